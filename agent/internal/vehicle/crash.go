package vehicle

import (
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
)

// crashHold is for how long every source must say that there is no crash before
// one that was seen is forgotten. A bus that dies says nothing.
const crashHold = time.Minute

var (
	crashDetected  = profile.Must(profile.CrashDetected)
	crashSeverity  = profile.Must(profile.CrashSeverity)
	crashDirection = profile.Must(profile.CrashDirection)
)

// crashLayout is the crash section as signal numbers.
type crashLayout struct {
	sources []crashSource
	only    *onlyWith
}

type crashSource struct {
	of       *profile.CrashSource
	any      []int32 // signals
	zero     []int32
	severity int32 // -1: none
	group    int32
}

type onlyWith struct {
	of     *profile.OnlyWith
	signal int32
}

func (l *layout) addCrash(of *profile.Crash) {
	l.crash = &crashLayout{}
	for i := range of.Sources {
		k := &of.Sources[i]
		s := crashSource{of: k, severity: -1}
		for _, b := range k.Any {
			s.any = append(s.any, l.byRef[b.Signal])
		}
		for _, b := range k.AllZero {
			s.zero = append(s.zero, l.byRef[b.Signal])
		}
		if n, ok := l.byRef[k.Severity]; ok {
			s.severity = n
		}
		s.group = l.signals[s.any[0]].group
		l.crash.sources = append(l.crash.sources, s)
		m := l.messageOf(k.Message)
		m.crash = append(m.crash, int32(i))
	}
	if o := of.OnlyWith; o != nil {
		l.crash.only = &onlyWith{of: o, signal: l.byRef[o.Signal]}
		l.messageOf(o.Message).ignites = true
	}
}

func (l *layout) messageOf(of *profile.Message) *message {
	for i := range l.messages {
		if l.messages[i].of == of {
			return &l.messages[i]
		}
	}
	return &message{} // every signal of the crash is in a plan
}

// crash is the fold of the crash section.
type crash struct {
	sources []crashWatch
	allowed int64 // when only_with last held
	calm    int64 // since when no source has shown a crash
	shown   crashShown
}

// crashShown is the part that a state carries.
type crashShown struct {
	detected  bool
	at        int64 // when it was last seen
	direction Value
	severity  Value
}

// crashWatch follows one source: for each bit, when it stood in the frames before.
type crashWatch struct {
	seen   [][]int64 // by bit: times of the last frames in a row that had it
	active bool
}

func newCrash(l *layout) crash {
	k := crash{allowed: never}
	if l.crash == nil {
		return k
	}
	for i := range l.crash.sources {
		s := &l.crash.sources[i]
		w := crashWatch{seen: make([][]int64, len(s.any))}
		for b := range w.seen {
			w.seen[b] = make([]int64, 0, s.of.Frames)
		}
		k.sources = append(k.sources, w)
	}
	return k
}

// watchCrash looks at every accepted frame of the messages concerned, changed or
// not, and reports whether what a state shows is new.
func (c *Car) watchCrash(m *message, at int64) bool {
	if m.ignites {
		o := c.layout.crash.only
		if v := c.slots[o.signal]; v.seen && !v.short && int64(v.raw) == o.of.Is {
			c.crash.allowed = at
		}
	}
	if len(m.crash) == 0 {
		return false
	}
	was := c.crash.shown
	for _, i := range m.crash {
		c.watchSource(int(i), at)
	}
	c.judge(at)
	return c.crash.shown.detected != was.detected || c.crash.shown.direction != was.direction ||
		c.crash.shown.severity != was.severity
}

// watchSource counts frames in a row, bit by bit.
func (c *Car) watchSource(i int, at int64) {
	s, w := &c.layout.crash.sources[i], &c.crash.sources[i]
	quiet := true
	for _, z := range s.zero {
		quiet = quiet && c.slots[z].seen && c.slots[z].raw == 0
	}
	w.active = false
	for b, n := range s.any {
		if !quiet || !c.slots[n].seen || c.slots[n].raw == 0 {
			w.seen[b] = w.seen[b][:0]
			continue
		}
		if len(w.seen[b]) == s.of.Frames {
			copy(w.seen[b], w.seen[b][1:])
			w.seen[b] = w.seen[b][:s.of.Frames-1]
		}
		w.seen[b] = append(w.seen[b], at)
		w.active = w.active || w.complete(b, s)
	}
}

// breakRows forgets the frames before one that is broken or begins anew: a crash
// stands in good frames that follow each other. In a flood of garbage one in 256
// is right by chance.
func (c *Car) breakRows(m *message) {
	for _, i := range m.crash {
		for b := range c.crash.sources[i].seen {
			c.crash.sources[i].seen[b] = c.crash.sources[i].seen[b][:0]
		}
	}
}

func (w *crashWatch) complete(bit int, s *crashSource) bool {
	t := w.seen[bit]
	return len(t) == s.of.Frames && t[len(t)-1]-t[0] <= int64(s.of.Within)
}

// judge decides from all sources, and latches.
func (c *Car) judge(at int64) {
	k := &c.crash
	active, alone := 0, false
	for i := range k.sources {
		if k.sources[i].active {
			active++
			alone = alone || c.layout.crash.sources[i].of.Alone
		}
	}
	o := c.layout.crash.only
	seen := alone || active > 1
	if seen && (k.shown.detected || o == nil || k.allowed != never && at-k.allowed <= int64(o.of.SeenWithin)) {
		c.latch(at)
		return
	}
	if active > 0 {
		k.calm = 0
		return
	}
	if k.calm == 0 {
		k.calm = max(at, 1)
	}
	if k.shown.detected && at-k.calm >= int64(crashHold) {
		k.shown = crashShown{}
	}
}

// latch keeps the crash: the next milliseconds may be the bus's last.
func (c *Car) latch(at int64) {
	k := &c.crash
	k.calm, k.shown.detected, k.shown.at = 0, true, at
	for i := range k.sources {
		s, w := &c.layout.crash.sources[i], &k.sources[i]
		if !w.active {
			continue
		}
		for b := range w.seen {
			if d := s.of.Any[b].Direction; k.shown.direction == (Value{}) && w.complete(b, s) {
				k.shown.direction = d
			}
		}
		if s.severity >= 0 {
			v, q := convert(c.slots[s.severity].physical, &severityLeaf)
			if q == Good && v.Int() >= k.shown.severity.Int() {
				k.shown.severity = v
			}
		}
	}
}

var severityLeaf = crashSeverity.Leaf()

// crashReading is the reading of the leaves that the crash section fills.
func (s *State) crashReading(p profile.Path, now time.Time) (Reading, bool) {
	if p != crashDetected && p != crashSeverity && p != crashDirection {
		return Reading{}, false
	}
	if s.layout.crash == nil {
		return Reading{Quality: Never}, true
	}
	if s.crash.detected {
		r := Reading{Quality: Good, At: s.layout.at(s.crash.at)}
		switch p {
		case crashSeverity:
			r.Value = s.crash.severity
		case crashDirection:
			r.Value = s.crash.direction
		default:
			r.Value = profile.Bool(true)
		}
		if r.Value.Kind() == profile.NoValue {
			r.Quality = Unavailable
		}
		return r, true
	}
	return s.calmReading(p, now), true
}

// calmReading: no crash is known as long as any of the sources can be heard.
func (s *State) calmReading(p profile.Path, now time.Time) Reading {
	r, at := Reading{Quality: Never}, int64(never)
	for i := range s.layout.crash.sources {
		g := s.layout.crash.sources[i].group
		if s.cells[g] == nil {
			continue
		}
		last := s.cells[g].last.Load()
		if last < at {
			continue
		}
		at = last
		r.At, r.Source, r.Quality = s.layout.at(last), uint8(i), Stale
		if s.layout.since(now)-last <= int64(s.layout.groups[g].fresh) {
			r.Quality = Good
		}
	}
	switch {
	case r.Quality == Good && p != crashDetected:
		r.Quality = Unavailable
	case r.Quality == Good:
		r.Value = profile.Bool(false)
	}
	return r
}
