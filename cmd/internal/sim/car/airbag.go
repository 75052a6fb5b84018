package car

import "time"

// A direction is where a crash came from.
type direction string

const (
	front     direction = "front"
	rear      direction = "rear"
	driver    direction = "driver"
	passenger direction = "passenger"
	rollover  direction = "rollover"
)

var crashSignal = map[direction]string{
	front: "AB_Front_Crash", rear: "AB_Heck_Crash", driver: "AB_SF_Crash", passenger: "AB_SB_Crash", rollover: "AB_Rollover_Crash",
}

const (
	extraFrames   = 3 // sent after a crash, out of turn
	extraGap      = 5 * ms
	crashNoticed  = 20 * ms  // until the body controller says so
	crashUnlocks  = 200 * ms // until it has opened the locks
	deploying     = 4        // the intensity from which airbags fire
	nonDeployment = 2        // AB_EDR_Trigger
	deployment    = 3
)

// airbag is the airbag unit. What a crash set stays until reset.
type airbag struct {
	crash     direction // "": none
	intensity int       // 0 to 7
	extra     int       // frames still to be sent out of turn
	fuelCut   bool
	belt      bool // the driver's is closed
}

// hit is a crash now. If dies is not negative every bus goes dead that long
// after it, as when the battery is torn off.
func (a *airbag) hit(w *world, from direction, intensity int, dies time.Duration) {
	a.crash, a.intensity, a.extra, a.fuelCut = from, intensity, extraFrames, true
	w.target = 0
	w.heater.off(w)
	w.settle() // an impact wakes a sleeping car
	w.after(crashSeen, crashNoticed)
	w.after(crashUnlock, crashUnlocks)
	if dies >= 0 {
		w.after(busesDie, dies)
	}
	a.sendExtra(w)
}

func (a *airbag) fire(w *world, t timer) {
	switch t {
	case airbagExtra:
		a.sendExtra(w)
	case crashSeen:
		w.bcm.crash = true
	case crashUnlock:
		w.bcm.release(w)
	case busesDie:
		w.dead = true
	}
}

func (a *airbag) sendExtra(w *world) {
	for i := range w.senders {
		if s := &w.senders[i]; s.m == airbag01 {
			w.emit(s)
			s.due = w.now.Add(airbag01.cycle)
		}
	}
	if a.extra--; a.extra > 0 {
		w.after(airbagExtra, extraGap)
	}
}

// reset is the workshop: the crash is forgotten and the buses have power.
func (a *airbag) reset(w *world) {
	a.crash, a.intensity, a.extra, a.fuelCut = "", 0, 0, false
	w.stop(airbagExtra, crashSeen, crashUnlock, busesDie)
	w.bcm.crash = false
	if w.dead {
		w.dead = false
		w.awaken()
	}
}

func fillAirbag01(w *world, p *payload) {
	a := &w.airbag
	if a.crash == "" {
		return
	}
	p.flag(crashSignal[a.crash], true)
	p.set("AB_Crash_Int", float64(a.intensity))
	if p.set("AB_EDR_Trigger", nonDeployment); a.intensity >= deploying {
		p.set("AB_EDR_Trigger", deployment)
		p.set("AB_Deaktivierung_HV", 1)
	}
}

func fillAirbag02(w *world, p *payload) {
	const open, closed = 2, 3
	p.set("AB_Gurtschloss_FA", open)
	if w.airbag.belt && w.kl15() {
		p.set("AB_Gurtschloss_FA", closed)
	}
	for _, seat := range []string{"BF", "Reihe2_FA", "Reihe2_MI", "Reihe2_BF"} {
		p.set("AB_Gurtschloss_"+seat, open)
	}
}
