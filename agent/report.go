package agent

import (
	"time"

	"github.com/headunit-agent/headunit/agent/internal/vehicle"
	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/privacy"
)

const (
	lookEvery = 200 * time.Millisecond // at what may have changed, at most
	debounce  = 2 * time.Second        // an edge is told when it has lasted
)

// wakeBudget is what hello says of wake-ups left: nothing counts them yet.
const wakeBudget = 15

// said is what the backend was last told of a signal.
type said struct {
	value   wire.Value
	quality vehicle.Quality
}

// A report knows what was told on this connection, and when to look again.
type report struct {
	signals []reported
	number  uint32 // of the last status
	told    map[uint8]said
	edge    time.Time // when the changes that were seen may be told; zero: none were
	due     time.Time // next look; zero: nothing has changed
	on      bool      // the ignition, when it was last known
}

// reported is a signal on the wire that this car has.
type reported struct {
	wire.Signal
	path profile.Path
}

func newReport(p *profile.Profile) report {
	var r report
	for _, path := range p.Paths() {
		if s, ok := wire.SignalAt(path.String()); ok {
			r.signals = append(r.signals, reported{s, path})
		}
	}
	return r
}

// changed says that the vehicle has news.
func (r *report) changed(now time.Time) {
	if r.due.IsZero() {
		r.due = now.Add(lookEvery)
	}
}

// encode is one signal as it goes over the wire: a reading, a gap, or neither if
// the value cannot be said.
func (s reported) encode(v *vehicle.State, now time.Time) (*wire.Reading, *wire.Gap) {
	r := v.Get(s.path, now)
	quality := wire.Good
	switch r.Quality {
	case vehicle.Good:
	case vehicle.Stale:
		quality = wire.Stale
		r = v.Last(s.path)
	case vehicle.Unavailable:
		return nil, &wire.Gap{Signal: s.Number, Quality: wire.Unavailable}
	case vehicle.Range:
		return nil, &wire.Gap{Signal: s.Number, Quality: wire.BadRange}
	case vehicle.Never, "":
		return nil, &wire.Gap{Signal: s.Number, Quality: wire.Never}
	}
	value, ok := s.value(r.Value)
	if !ok {
		return nil, &wire.Gap{Signal: s.Number, Quality: wire.Unavailable}
	}
	return &wire.Reading{Signal: s.Number, Value: value, Age: seconds(now, r.At), Quality: quality}, nil
}

func (s reported) value(v vehicle.Value) (wire.Value, bool) {
	switch v.Kind() {
	case profile.BoolKind:
		return wire.Bool(v.Bool()), true
	case profile.WordKind:
		return wire.Text(v.Word()), true
	case profile.IntKind, profile.FloatKind:
		return s.Count(v.Float())
	case profile.NoValue, profile.MaskedKind:
	}
	return wire.Value{}, false
}

func (s reported) said(v *vehicle.State, now time.Time) said {
	q := v.Get(s.path, now).Quality
	if r, _ := s.encode(v, now); r != nil {
		return said{r.Value, q}
	}
	return said{quality: q}
}

// hello is the first that is said on a connection; a full status follows it.
func (l *loop) hello(now time.Time) {
	since := l.seconds(l.since)
	b, err := wire.Hello{
		Car: l.id.name, Epoch: l.epoch, Now: l.seconds(now), Users: l.users.Version, Nonce: wire.NewID(),
		Method: l.method(), Documents: []wire.Version{}, Version: version, Storage: wire.StorageSoftware,
		Level: l.level(), SwitchedOff: l.switchedOff(), Wakes: wakeBudget, May: l.actuator.Offered(),
		LevelSince: &since, Connections: l.line.connections,
	}.Encode()
	l.box.First(l.say(now, privacy.Session, wire.UpHello, wire.KindHello, b, err))
	l.tellAll(now)
}

// method is what proves ownership of this car.
func (l *loop) method() string {
	if l.profile.Keys != nil {
		return l.profile.Keys.Method
	}
	return wire.MethodCode
}

// tellAll sends a full status.
func (l *loop) tellAll(now time.Time) {
	v := l.car.State()
	level, wakes, since := l.level(), uint8(wakeBudget), l.seconds(l.since)
	s := wire.Status{
		Readings: []wire.Reading{}, Level: &level, SwitchedOff: l.switchedOff(), Wakes: &wakes,
		Missing: []wire.Missing{}, LevelSince: &since, Full: true,
	}
	l.tell.told = map[uint8]said{}
	for _, sig := range l.tell.signals {
		r, g := sig.encode(v, now)
		if r != nil {
			s.Readings = append(s.Readings, *r)
		} else {
			s.Gaps = append(s.Gaps, *g)
		}
		l.tell.told[sig.Number] = sig.said(v, now)
	}
	l.tell.edge = time.Time{}
	l.status(now, s)
}

func (l *loop) status(now time.Time, s wire.Status) {
	l.tell.number++
	s.Car, s.Epoch, s.Now, s.Number = l.id.name, l.epoch, l.seconds(now), l.tell.number
	b, err := s.Encode()
	l.say(now, privacy.Status, wire.UpStatus, wire.KindStatus, b, err)
}

// report tells what the car sends by itself: everything when the ignition goes
// off, and the edges of what must be signed while it is off. While driving
// nothing is streamed.
func (l *loop) report(now time.Time) {
	if l.tell.due.IsZero() || now.Before(l.tell.due) {
		return
	}
	l.tell.due = time.Time{}
	v := l.car.State()
	off := v.IgnitionOff(now)
	was := l.tell.on
	if off != vehicle.Unknown {
		l.tell.on = off == vehicle.No
	}
	switch {
	case !l.line.up || l.tell.told == nil:
		return
	case was && !l.tell.on:
		l.tellAll(now)
		return
	case off != vehicle.Yes:
		l.tell.edge = time.Time{}
		return
	}
	l.edges(now, v)
}

// edges tells the signals that changed, when they have stayed so for a while.
func (l *loop) edges(now time.Time, v *vehicle.State) {
	var changed []reported
	for _, sig := range l.tell.signals {
		if sig.Signed && sig.said(v, now) != l.tell.told[sig.Number] {
			changed = append(changed, sig)
		}
	}
	switch {
	case len(changed) == 0:
		l.tell.edge = time.Time{}
		return
	case l.tell.edge.IsZero():
		l.tell.edge = now.Add(debounce)
		fallthrough
	case now.Before(l.tell.edge):
		l.tell.due = l.tell.edge
		return
	}
	s := wire.Status{Readings: []wire.Reading{}}
	for _, sig := range changed {
		r, g := sig.encode(v, now)
		if r != nil {
			s.Readings = append(s.Readings, *r)
		} else {
			s.Gaps = append(s.Gaps, *g)
		}
		l.tell.told[sig.Number] = sig.said(v, now)
	}
	l.tell.edge = time.Time{}
	l.status(now, s)
}
