package car

import (
	"math"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// An ignition is the position of the ignition switch.
type ignition string

const (
	ignitionOff   ignition = "off"
	ignitionAcc   ignition = "acc" // terminal S
	ignitionOn    ignition = "on"  // terminals S and 15
	ignitionStart ignition = "start"
)

// A world is the whole car at one moment: what it physically is, and what each
// of its ECUs remembers. It has no clock and does no I/O: tick and receive are
// told the time and leave the frames that are due in out. One goroutine owns it.
type world struct {
	now     time.Time
	present time.Time         // of the tick that goes on; now runs up to it
	timers  [timers]time.Time // zero: not set
	fixed   Fixed

	ignition  ignition
	speed     float64 // km/h
	target    float64 // km/h, what speed moves towards
	gear      string
	parkBrake bool
	bonnet    bool // open
	boot      bool // open
	fuel      float64
	soc       float64
	volts     float64
	ambient   float64 // °C
	plugged   bool
	odometer  float64 // m
	position  position
	tester    bool
	factory   bool // a factory telematics unit sends TM_01 too
	sos       bool // the button is held
	dead      bool // no bus has power any more

	airbag    airbag
	brakes    brakes
	bcm       bcm
	doors     [doors]door
	alarm     alarm
	heater    heater
	keys      receiver
	telemat   telematics
	asleep    bool
	faults    faults
	senders   []sender
	out       []outgoing
	sentCount [buses]uint64
}

// An outgoing is a frame that is due now.
type outgoing struct {
	bus   bus
	frame canbus.Frame
}

// Fixed is what does not change while a car exists.
type Fixed struct {
	Signature uint16 // what the body controller wants to see in a lock request, 1 to 2047
	VIN       string // 17 characters
}

// A timer is something that will happen by itself.
type timer int

const (
	busSleep timer = iota
	startOver
	bcmAct
	lockDone
	alarmArmed
	relock
	reasonOver
	blinkPhase
	requestGone
	requestMax
	panicOver
	alarmPhase
	heaterStart
	heaterEnd
	heaterRunOn
	heaterRefusalOver
	heaterGone
	listenGone
	listenMax
	airbagExtra
	crashSeen
	crashUnlock
	busesDie
	floodNext
	doorMoves // one for each door from here
	timers    = doorMoves + doors
)

// fire does what t was set for.
func (w *world) fire(t timer) {
	switch t {
	case busSleep:
		if w.reason() == "" { // else settle sets it again
			w.sleep()
		}
	case startOver:
		w.ignition = ignitionOn
	case bcmAct:
		w.telemat.act(w)
	case lockDone:
		w.bcm.moved(w)
	case alarmArmed:
		w.alarm.armed = true
	case relock:
		w.bcm.lock(w)
	case reasonOver:
		w.telemat.reason = noReason
	case blinkPhase:
		w.bcm.blink(w)
	case requestGone:
		w.telemat.gone(w)
	case requestMax:
		w.telemat.stop(w, timeOver)
	case panicOver:
		w.bcm.panicking = false
	case alarmPhase:
		w.alarm.next(w)
	case heaterStart, heaterEnd, heaterRunOn, heaterRefusalOver, heaterGone:
		w.heater.fire(w, t)
	case listenGone:
		w.keys.deafen(w)
	case listenMax:
		w.keys.listening, w.keys.frames, w.keys.worn = false, 0, true
	case airbagExtra, crashSeen, crashUnlock, busesDie:
		w.airbag.fire(w, t)
	case floodNext:
		w.flood()
	default:
		w.doors[t-doorMoves].moved()
	}
}

func (w *world) after(t timer, d time.Duration) { w.timers[t] = w.now.Add(d) }

func (w *world) stop(ts ...timer) {
	for _, t := range ts {
		w.timers[t] = time.Time{}
	}
}

func (w *world) running(t timer) bool { return !w.timers[t].IsZero() }

// newWorld is a parked, unlocked, awake car.
func newWorld(now time.Time, fixed Fixed) *world {
	w := &world{
		now: now, present: now, fixed: fixed,
		ignition: ignitionOff, gear: "P", parkBrake: true,
		fuel: 55, soc: 60, volts: 12.6, ambient: 15, odometer: 12_345_000,
		position: position{lat: 57.7, lon: 11.97, track: 45, valid: true},
	}
	w.heater.water = w.ambient
	w.keys.learned, w.keys.count = 2, 100
	w.airbag.belt = true
	w.senders = newSenders()
	w.awaken()
	return w
}

// tick lets time pass until now: everything that is due happens in the order of
// its time.
func (w *world) tick(now time.Time) {
	w.present = now
	for {
		at, t, s := w.earliest()
		if at.IsZero() || at.After(now) {
			break
		}
		w.advance(at)
		if s != nil {
			w.send(s)
		} else {
			w.timers[t] = time.Time{}
			w.fire(t)
		}
		w.settle()
	}
	w.advance(now)
	w.settle()
}

// earliest is the next thing that happens by itself: a timer, or a sender. The
// zero time means nothing does.
func (w *world) earliest() (at time.Time, t timer, s *sender) {
	for i, due := range w.timers {
		if !due.IsZero() && (at.IsZero() || due.Before(at)) {
			at, t = due, timer(i)
		}
	}
	if w.asleep || w.dead {
		return at, t, nil
	}
	for i := range w.senders {
		if due := w.senders[i].due; !due.IsZero() && (at.IsZero() || due.Before(at)) {
			at, s = due, &w.senders[i]
		}
	}
	return at, t, s
}

// settle makes good what an event left behind: it ends what may not go on, wakes
// the car, keeps it awake, starts the lamps, and sends at once what changed and
// may not wait.
func (w *world) settle() {
	if w.dead {
		return
	}
	w.heater.lost(w)
	switch {
	case w.speed > 0:
		w.telemat.stop(w, tooFast)
	case w.kl15():
		w.telemat.stop(w, terminal15)
	}
	if w.keys.listening && !w.kl15() {
		w.keys.deafen(w)
	}
	if w.reason() != "" {
		if w.asleep {
			w.awaken()
		}
		w.after(busSleep, sleepAfter)
	}
	if w.bcm.blinking(w) && !w.running(blinkPhase) {
		w.bcm.startBlinking(w)
	}
	if !w.asleep {
		w.sendChanges()
	}
}

const (
	ramp    = 3.0 * 3.6 // km/h a second: 3 m/s²
	perTank = 45.0      // l
	warming = 0.5       // K a second while heating
	cooling = 0.05
	charge  = 28.0 / 3600 // percent a second at the plug
)

// advance moves what moves by itself, from w.now to now.
func (w *world) advance(now time.Time) {
	dt := now.Sub(w.now).Seconds()
	if dt <= 0 {
		return
	}
	w.now = now
	before := w.speed
	w.speed = towards(w.speed, w.target, ramp*dt)
	moved := (before + w.speed) / 2 / 3.6 * dt
	w.odometer += moved
	w.position.move(moved)
	if w.heater.active == heating {
		w.heater.water = towards(w.heater.water, 75, warming*dt)
	} else {
		w.heater.water = towards(w.heater.water, w.ambient, cooling*dt)
	}
	if w.plugged {
		w.soc = min(100, w.soc+charge*dt)
	}
}

func towards(v, target, most float64) float64 {
	return v + min(max(target-v, -most), most)
}

// A position is where the car is and which way it looks.
type position struct {
	lat, lon float64 // degrees
	track    float64 // degrees from north
	valid    bool    // the receiver has a fix
}

const metersPerDegree = 111_194.9 // of a great circle

// move goes straight on by m meters.
func (p *position) move(m float64) {
	if m == 0 {
		return
	}
	sin, cos := math.Sincos(p.track * math.Pi / 180)
	p.lat += m * cos / metersPerDegree
	if p.lat > 89 || p.lat < -89 {
		p.track = math.Mod(p.track+180, 360) // turn round before the pole
	}
	p.lat = min(max(p.lat, -90), 90)
	shrink := max(math.Cos(p.lat*math.Pi/180), 0.01)
	p.lon = math.Mod(p.lon+m*sin/(metersPerDegree*shrink)+540, 360) - 180
}

func (w *world) kl15() bool { return w.ignition == ignitionOn || w.ignition == ignitionStart }
func (w *world) klS() bool  { return w.ignition != ignitionOff }

func (w *world) setIgnition(to ignition) {
	w.ignition = to
	w.stop(startOver)
	if to == ignitionStart {
		w.after(startOver, time.Second)
	}
	if w.kl15() { // with a key of the car, so nobody is a thief
		w.stop(relock, alarmArmed)
		w.alarm.disarm(w)
	}
	w.touched()
}

// setSpeed says where the speed shall go. A car that is told to drive is put
// into gear.
func (w *world) setSpeed(to float64) {
	if w.target = to; to > 0 {
		w.parkBrake = false
		if w.gear == "P" || w.gear == "N" {
			w.gear = "D"
		}
	}
}

func (w *world) openBoot(open bool) {
	if w.boot != open {
		w.boot = open
		w.touched()
		if open {
			w.opened(byBoot)
		}
	}
}

func (w *world) openBonnet(open bool) {
	if w.bonnet != open {
		w.bonnet = open
		w.touched()
		if open {
			w.opened(byBonnet)
		}
	}
}
