package main

import (
	"context"
	"errors"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/gnss"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/ecall"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/modem"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/msd"
)

// How often the loop looks around by itself.
const (
	statusEvery  = 10 * time.Second // the status file, changed or not
	askEvery     = time.Minute      // the modem, for the self-test
	callEvery    = 10 * time.Second // the modem, whether the call still lives
	prepareEvery = 5 * time.Second  // at most, the modem's settings
	fixAge       = 5 * time.Second  // of a receiver that works
)

// notBefore is what a system clock has to be past to be believed: this program
// was written after it.
var notBefore = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// What comes into the loop. Nothing else changes a state.
type (
	frames struct { // of one bus that are wanted, in order
		bus  int
		at   time.Time // boot time of reading
		list []canbus.Frame
	}
	busUp struct {
		bus     int
		trigger modem.Trigger // judged now, for in a crash the device may be gone
	}
	busDown struct{ bus int }
	fix     struct{ gnss.Fix }
	asked   struct { // a line of the request socket
		ecall.Request
		answer chan<- string // holds one
	}
	failed struct{ ecall.Failed } // a Dial
	looked struct {               // the modem's answer to our questions
		modem.Status
		question
		silent bool // to some of them it had none
	}
	question struct {
		ready  bool   // asked because the modem came back
		serial uint32 // of a call of which the modem had shown a sign; 0: none
	}
	prepared struct{ err error }
)

// A loop owns everything that changes. It waits for nothing but its own inputs:
// what takes time is done by others, and comes back as an input.
type loop struct {
	log    zerolog.Logger
	now    func() time.Time // since boot
	wall   func() time.Time // as good as the system clock is
	config ecall.Config
	wrong  bool // the configuration is not as it should be
	limits ecall.Limits
	in     <-chan any
	modem  modem.Modem
	crew   *crew
	status func([]byte) // must not wait
	alive  func()       // must not wait

	detector *ecall.Detector
	state    ecall.State
	course   ecall.Course
	trigger  modem.Trigger // of the call, or of what may become one
	triggers []modem.Trigger
	up       []bool // the buses
	next     []ecall.Event
	octets   []byte // of the MSD in the making

	utc     time.Time // at the boot time utcAt; zero unknown
	utcAt   time.Time
	fixAt   time.Time
	stamp   uint32 // of stampOf, once known
	stampOf time.Time
	net     modem.NetState
	sim     string
	there   bool      // the modem said Ready, and not Lost since
	unready bool      // the modem's settings have to be made
	readyAt time.Time // when that was tried last
	askedAt time.Time
	missing uint32 // the Serial of a call that the modem did not list when asked last
	told    string // the last status without its number
	toldAt  time.Time
	toldSeq uint64
}

// run turns until ctx ends.
func (l *loop) run(ctx context.Context) {
	l.triggers, l.up = make([]modem.Trigger, len(l.detector.Buses())), make([]bool, len(l.detector.Buses()))
	l.tell(ecall.Lost{})
	l.tend()
	events := l.modem.Events()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(l.wait())
		select {
		case <-ctx.Done():
			l.course.Erase()
			clear(l.octets)
			return
		case e, ok := <-events:
			if !ok {
				events = nil
				l.tell(ecall.Lost{})
				break
			}
			l.heard(e)
		case in := <-l.in:
			l.take(in)
		case <-timer.C:
			l.tell(ecall.Tick{})
		}
		l.tend()
	}
}

// wait is the time to the next thing that happens by itself. A turn each second
// feeds the watchdog.
func (l *loop) wait() time.Duration {
	wait := time.Second
	if due := l.state.Due(); !due.IsZero() {
		wait = min(wait, max(0, due.Sub(l.now())))
	}
	return wait
}

// take is one input.
func (l *loop) take(in any) {
	switch in := in.(type) {
	case frames:
		var found [4]ecall.Event
		for i := range in.list {
			for _, e := range l.detector.Feed(found[:0], in.bus, &in.list[i], in.at) {
				l.seen(in.bus, e)
			}
		}
	case busUp:
		l.up[in.bus], l.triggers[in.bus] = true, in.trigger
	case busDown:
		l.up[in.bus] = false
		for _, e := range l.detector.Gone(nil, in.bus) {
			l.tell(e)
		}
	case fix:
		l.fixed(in.Fix)
	case asked:
		in.answer <- l.answer(in.Request)
	case failed:
		l.tell(in.Failed)
	case prepared:
		l.unready = errors.Is(in.err, modem.ErrCall)
		if in.err != nil {
			l.log.Warn().Err(in.err).Msg("modem settings")
		}
		if !l.unready && !l.state.Phase.Live() { // should every later one fail, this one lies in the modem
			l.crew.post(order{do: load, msd: l.safetyNet()})
		}
	case looked:
		l.looked(in)
	}
}

// looked takes what the modem answered. A call that it does not list, twice, has
// ended without a word, and one that it lists as active was answered without one.
func (l *loop) looked(in looked) {
	if in.ready && !l.there {
		return // gone again
	}
	l.sim = in.SIM
	lives := in.CallsKnown && in.Call != modem.NoCall
	switch {
	case in.ready:
		if in.silent && !in.CallsKnown && l.talking() { // a call in doubt is not given up: what is asked next decides
			lives, l.askedAt = true, time.Time{}
		}
		l.tell(ecall.Ready{InCall: lives})
	case !l.talking() || !in.CallsKnown || lives:
		l.missing = 0
	case l.missing == 0 || l.missing != l.state.Serial:
		l.missing = l.state.Serial
	default:
		l.missing = 0
		l.tell(ecall.Ended{})
	}
	l.registered(in.Net) // after Ready: either may be a reason to call, and one call is enough
	if in.Call == modem.Active && l.state.Phase == ecall.Dialling && (in.ready || in.serial == l.state.Serial) {
		l.tell(ecall.Answered{})
	}
}

// talking reports whether the modem should list a call.
func (l *loop) talking() bool {
	switch p := l.state.Phase; p {
	case ecall.Connected, ecall.Sending, ecall.Acking, ecall.Voice:
		return true
	default:
		return p == ecall.Assist && l.state.Heard
	}
}

// seen is what the detector found on a bus, with what stands behind that bus.
func (l *loop) seen(bus int, e ecall.Event) {
	_, crash := e.(ecall.Trigger)
	if crash || e == (ecall.Down{}) {
		if !l.state.Phase.Live() || l.state.Kind == ecall.Test || l.triggers[bus].Physical() {
			l.trigger = l.triggers[bus]
		}
	}
	l.tell(e)
}

// tell is a turn: the event, and what follows from what was done for it.
func (l *loop) tell(e ecall.Event) {
	l.next = append(l.next[:0], e)
	for i := 0; i < len(l.next); i++ {
		before := l.state.Phase
		var acts []ecall.Action
		l.state, acts = l.limits.Step(l.state, l.now(), l.next[i])
		for _, a := range acts {
			l.act(a)
		}
		level := zerolog.DebugLevel
		if l.state.Phase != before || len(acts) > 0 {
			level = zerolog.InfoLevel
		}
		if l.next[i] != (ecall.Tick{}) || level == zerolog.InfoLevel {
			l.log.WithLevel(level).Str("from", string(before)).Str("to", string(l.state.Phase)).
				Type("event", l.next[i]).Any("do", acts).Msg("step")
		}
	}
}

// act hands over to the crew; nothing is waited for.
func (l *loop) act(a ecall.Action) {
	//exhaustive:enforce
	switch a {
	case ecall.Dial:
		l.dial()
	case ecall.Load:
		l.crew.post(order{do: load, msd: l.message()})
	case ecall.Hangup:
		l.crew.post(order{do: hangup})
	case ecall.TakeIt:
		l.crew.post(order{do: answer})
	case ecall.Restart:
		l.crew.post(order{do: reset})
	}
}

// dial places the call of the state, or says why it must not.
func (l *loop) dial() {
	o := order{do: dial, serial: l.state.Serial}
	//exhaustive:enforce
	switch l.state.Kind {
	case ecall.Test:
		o.call = modem.Call{Kind: modem.Test, Number: string(l.config.Test)}
	case ecall.Breakdown:
		o.call = modem.Call{Kind: modem.Assist, Number: string(l.config.Breakdown)}
	case ecall.Service:
		o.call = modem.Call{Kind: modem.Assist, Number: string(l.config.Service)}
	case ecall.Manual, ecall.Automatic:
		armed, err := modem.Arm(l.modem, l.trigger)
		switch {
		case err != nil && l.state.Lost: // who is there is not known yet
			l.next = append(l.next, ecall.Failed{Serial: l.state.Serial})
			return
		case err != nil:
			l.log.Warn().Err(err).Msg("no emergency call")
			l.next = append(l.next, ecall.Unarmed{Test: l.config.Test != ""})
			return
		}
		o.call = modem.Call{Kind: modem.Manual, Way: way[l.state.Rung], Armed: armed}
		if l.state.Automatic {
			o.call.Kind = modem.Automatic
		}
	}
	if l.state.Rung == ecall.WithMSD && o.call.Kind != modem.Assist {
		o.msd = l.message()
	}
	l.crew.post(o)
}

var way = map[ecall.Rung]modem.Way{ecall.OtherCategory: modem.Other, ecall.Plain: modem.Voice}

// heard is what the modem said by itself.
func (l *loop) heard(e modem.Event) {
	switch e.Kind {
	case modem.Ready:
		l.there, l.unready, l.readyAt = true, true, time.Time{}
		if p := l.state.Phase; p.Live() || p == ecall.Assist {
			l.crew.look(question{ready: true}) // whether the call survived decides
			return
		}
		l.tell(ecall.Ready{})
		l.askedAt = time.Time{}
	case modem.Lost:
		l.there, l.net, l.sim = false, "", ""
		l.tell(ecall.Lost{})
	case modem.Net:
		l.registered(e.Net)
	case modem.Dialling, modem.Ringing:
		l.tell(ecall.Sign{})
	case modem.Answered:
		l.tell(ecall.Answered{})
	case modem.Start:
		l.tell(ecall.Start{})
	case modem.LLAck:
		l.tell(ecall.LLAck{})
	case modem.ALAck:
		l.tell(ecall.ALAck{Clear: e.Detail == 1})
	case modem.T5:
		l.tell(ecall.Expired{Timer: "T5"})
	case modem.T6:
		l.tell(ecall.Expired{Timer: "T6"})
	case modem.T7:
		l.tell(ecall.Expired{Timer: "T7"})
	case modem.Sync:
		l.tell(ecall.SyncLost{})
	case modem.Ended:
		l.tell(ecall.Ended{Cause: ecall.Cause(e.Cause)})
	case modem.Incoming:
		l.tell(ecall.Incoming{})
	case modem.Codec: // audio is the modem's
	}
}

func (l *loop) registered(n modem.NetState) {
	if n != "" {
		l.net = n
		l.tell(ecall.Network{Registered: n == modem.Registered})
	}
}

// answer follows a request, or says why not. The turn is over when it returns.
func (l *loop) answer(r ecall.Request) string {
	e := r.Event()
	if e == nil {
		return "ok"
	}
	why := l.limits.Refuse(l.state, l.now(), e)
	switch {
	case r == ecall.AskSOS && !l.config.SOS.Screen:
		why = "screen"
	case r == ecall.AskTest && l.config.Test == "", r == ecall.AskBreakdown && l.config.Breakdown == "",
		r == ecall.AskService && l.config.Service == "":
		why = "number"
	}
	if why != "" {
		return "no " + why
	}
	if r == ecall.AskSOS {
		l.trigger = modem.ScreenTrigger(l.config.SOS.Screen)
	}
	l.tell(e)
	return "ok"
}

func (l *loop) fixed(f gnss.Fix) {
	now := l.now()
	l.fixAt = now
	l.course.Add(f, now)
	if !f.Time.IsZero() {
		l.utc, l.utcAt = f.Time, now
	}
}

// tend does what is due after every turn.
func (l *loop) tend() {
	now := l.now()
	idle := l.state.Phase == ecall.Idle || l.state.Phase == ecall.Pressed
	if l.unready && idle && !l.state.Lost && now.Sub(l.readyAt) >= prepareEvery {
		l.unready, l.readyAt = false, now
		l.crew.prepare()
	}
	every, why := askEvery, question{}
	if l.state.Phase == ecall.Dialling && l.state.Heard {
		why.serial = l.state.Serial
	}
	if l.talking() || why.serial != 0 {
		every = callEvery
	}
	if !l.state.Lost && (l.askedAt.IsZero() || now.Sub(l.askedAt) >= every) {
		l.askedAt = now
		l.crew.look(why)
	}
	l.publish(now)
	l.alive()
}

// message is the MSD of the moment, canonical. What it holds lies in memory;
// making it takes some microseconds.
func (l *loop) message() []byte {
	s := &l.state
	if !l.stampOf.Equal(s.Incident) {
		l.stamp, l.stampOf = 0, s.Incident
	}
	if l.stamp == 0 {
		l.stamp = l.timestamp(s.Incident)
	}
	m := l.blank()
	m.ID, m.Automatic, m.Test, m.Timestamp = s.ID, s.Automatic, s.Kind == ecall.Test, l.stamp
	l.course.Fill(&m, l.now())
	return l.encode(&m)
}

// safetyNet is the MSD that lies in the modem before there was any trigger.
func (l *loop) safetyNet() []byte {
	m := l.blank()
	m.ID = 1
	new(ecall.Course).Fill(&m, l.now())
	return l.encode(&m)
}

func (l *loop) blank() msd.MSD {
	return msd.MSD{Version: l.config.Version, Type: l.config.Type, VIN: l.config.VIN, Storage: l.config.Storage}
}

func (l *loop) encode(m *msd.MSD) []byte {
	b, err := msd.Encode(l.octets[:0], m)
	if err != nil { // a bad field is no reason to send nothing
		l.log.Error().Err(err).Msg("MSD without vehicle")
		m.VIN, m.Type, m.Storage, m.Version = msd.VIN{}, msd.M1, 0, 2
		if b, err = msd.Encode(l.octets[:0], m); err != nil {
			return nil
		}
	}
	l.octets = b
	return append([]byte(nil), b...)
}

// timestamp is a boot time as UNIX seconds: by satellite, else by the system
// clock, 0 if neither is to be believed.
func (l *loop) timestamp(at time.Time) uint32 {
	utc := l.wall().Add(at.Sub(l.now()))
	if l.utc.After(notBefore) { // an old receiver may be 1024 weeks behind
		utc = l.utc.Add(at.Sub(l.utcAt))
	}
	if n := utc.Unix(); utc.After(notBefore) && n <= 1<<32-1 {
		return uint32(n)
	}
	return 0
}
