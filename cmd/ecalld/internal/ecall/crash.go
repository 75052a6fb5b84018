package ecall

import (
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// together is how far apart two sources may see the same crash where neither
// counts alone. BM_Crash of MQB cars comes every 500 ms at the latest (choice).
const together = 2 * time.Second

// A Detector sees a crash, the ignition and the SOS key in the frames it is fed.
// It forgets nothing when a bus dies: what it has said stays said. One goroutine
// uses it, but for [Detector.Wants].
type Detector struct {
	buses    []string
	wanted   map[wanted][]*watcher
	crash    []*source
	ignition *watcher
	recent   time.Duration
	key      *watcher
	onSince  time.Time // ignition on; zero: off or never seen
	onLast   time.Time
	onSaid   time.Time // last good frame that tells of the ignition, on or off
	first    time.Time // first good frame of a crash source
	down     bool
}

type wanted struct {
	bus      int
	id       uint32
	extended bool
}

// A watcher judges one message.
type watcher struct {
	Watch
	guard guard
	feed  func(d *Detector, dst []Event, v verdict, f *canbus.Frame, at time.Time) []Event
}

// A source is one way in which a crash shows.
type source struct {
	Source
	run     []sight   // the frames in a row that say so, at most Frames
	seen    time.Time // the rule was complete
	good    time.Time // last good frame
	latched bool
}

type sight struct {
	at  time.Time
	any Mask
}

// NewDetector watches what c names.
func NewDetector(c *Config) *Detector {
	d := &Detector{wanted: map[wanted][]*watcher{}}
	for i := range c.Crash {
		s := &source{Source: c.Crash[i]}
		d.crash = append(d.crash, s)
		d.watch(s.Watch, func(d *Detector, dst []Event, v verdict, f *canbus.Frame, at time.Time) []Event {
			return s.feed(d, dst, v, f, at)
		})
	}
	if c.Ignition != nil {
		d.recent = c.Ignition.Recent
		d.ignition = d.watch(c.Ignition.Watch, (*Detector).ignited)
	}
	if c.SOS.Key != nil {
		d.key = d.watch(*c.SOS.Key, (*Detector).pressed)
	}
	return d
}

func (d *Detector) watch(w Watch, feed func(*Detector, []Event, verdict, *canbus.Frame, time.Time) []Event) *watcher {
	k := wanted{id: w.ID, extended: w.Extended, bus: len(d.buses)}
	for i, name := range d.buses {
		if name == w.Bus {
			k.bus = i
		}
	}
	if k.bus == len(d.buses) {
		d.buses = append(d.buses, w.Bus)
	}
	r := &watcher{Watch: w, guard: newGuard(w), feed: feed}
	d.wanted[k] = append(d.wanted[k], r)
	return r
}

// Buses are the devices that frames are wanted of, by number.
func (d *Detector) Buses() []string { return d.buses }

// Wants reports whether f is worth a [Detector.Feed]. Any goroutine may ask.
func (d *Detector) Wants(bus int, f *canbus.Frame) bool {
	return len(d.wanted[wanted{bus, f.ID, f.Flags&canbus.Extended != 0}]) > 0
}

// An Address is what tells one message on a bus from another.
type Address struct {
	ID       uint32
	Extended bool
}

// Messages are those of a bus that [Detector.Wants] wants, for a device that can
// be asked for no others.
func (d *Detector) Messages(bus int) []Address {
	var all []Address
	for k := range d.wanted {
		if k.bus == bus {
			all = append(all, Address{k.id, k.extended})
		}
	}
	return all
}

// Feed takes a frame that came at the boot time at, and appends what it means.
func (d *Detector) Feed(dst []Event, bus int, f *canbus.Frame, at time.Time) []Event {
	if f.Flags&(canbus.Remote|canbus.Error) != 0 {
		return dst
	}
	for _, w := range d.wanted[wanted{bus, f.ID, f.Flags&canbus.Extended != 0}] {
		if w.Len != 0 && int(f.Len) != w.Len {
			continue
		}
		dst = w.feed(d, dst, w.guard.check(f.Payload(), at), f, at)
	}
	return dst
}

// Gone says that a bus is not there: a key that cannot be seen is not down.
func (d *Detector) Gone(dst []Event, bus int) []Event {
	if d.key != nil && d.buses[bus] == d.key.Bus && d.down {
		d.down = false
		dst = append(dst, Up{})
	}
	return dst
}

func (s *source) feed(d *Detector, dst []Event, v verdict, f *canbus.Frame, at time.Time) []Event {
	bits := s.Any.of(f)
	//exhaustive:enforce
	switch v {
	case old: // nothing new was said
		return dst
	case bad:
		s.run = s.run[:0]
		return dst
	case anew:
		s.run = s.run[:0]
	case good:
	}
	s.good = at
	if d.first.IsZero() {
		d.first = at
	}
	if bits.empty() {
		s.latched = false
	}
	if bits.empty() || !s.Zero.of(f).empty() {
		s.run = s.run[:0]
		return dst
	}
	if len(s.run) == s.Frames {
		copy(s.run, s.run[1:])
		s.run = s.run[:s.Frames-1]
	}
	if s.run = append(s.run, sight{at, bits}); s.Frames == 1 && v == anew {
		return dst // in order with nothing: no good frame yet
	}
	if s.latched || !s.complete() || !d.ignitedBy(at) {
		return dst
	}
	s.seen, s.latched = at, true
	for _, o := range d.crash {
		if s.Alone || o != s && !o.seen.IsZero() && at.Sub(o.seen) <= together {
			return append(dst, Trigger{Kind: Automatic})
		}
	}
	return dst
}

// complete reports whether one bit stood in enough frames in time.
func (s *source) complete() bool {
	if len(s.run) < s.Frames || s.run[len(s.run)-1].at.Sub(s.run[0].at) > s.Within {
		return false
	}
	all := s.run[0].any
	for _, r := range s.run[1:] {
		all = all.and(&r.any)
	}
	return !all.empty()
}

// ignitedBy reports whether the ignition was seen on lately. Where nothing tells
// of the ignition it is not asked for.
func (d *Detector) ignitedBy(at time.Time) bool {
	return d.ignition == nil || !d.onLast.IsZero() && at.Sub(d.onLast) <= d.recent
}

func (d *Detector) ignited(dst []Event, v verdict, f *canbus.Frame, at time.Time) []Event {
	if v != good && v != anew {
		return dst
	}
	d.onSaid = at
	if d.ignition.Any.of(f).empty() {
		d.onSince = time.Time{}
		return dst
	}
	d.onLast = at
	if d.onSince.IsZero() {
		d.onSince = at
		return append(dst, IgnitedOn{})
	}
	return dst
}

func (d *Detector) pressed(dst []Event, v verdict, f *canbus.Frame, _ time.Time) []Event {
	down := !d.key.Any.of(f).empty() && d.key.Zero.of(f).empty()
	switch {
	case v != good && v != anew, down == d.down:
		return dst
	case down:
		dst = append(dst, Down{})
	default:
		dst = append(dst, Up{})
	}
	d.down = down
	return dst
}

// Silent reports whether a crash could not be seen now: no source; or one talks
// and nothing tells of the ignition, so that it would not count; or the ignition
// is on for 3 s and one of them says nothing good. With the ignition off, or
// everything asleep, silence is no fault.
func (d *Detector) Silent(now time.Time) bool {
	const patience = 3 * time.Second
	if len(d.crash) == 0 {
		return true
	}
	talks, silent := false, false
	for _, s := range d.crash {
		is := !s.good.IsZero() && now.Sub(s.good) <= patience
		talks, silent = talks || is, silent || !is
	}
	if d.ignition != nil && talks && now.Sub(d.first) > patience && now.Sub(d.onSaid) > patience {
		return true
	}
	return silent && !d.onSince.IsZero() && now.Sub(d.onSince) >= patience && now.Sub(d.onLast) <= patience
}
