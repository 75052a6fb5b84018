package vehicle

import (
	"math"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus/dbc"
	"github.com/headunit-agent/headunit/canbus/e2e"
)

// A layout is the profile as numbers: it does not change after New, but for the
// counters and times behind its pointers, which are safe for everybody.
type layout struct {
	start    time.Time
	buses    []bus
	messages []message
	signals  []signal
	groups   []group
	sources  []source
	byPath   [][]int32 // sources by path
	byRef    map[profile.SignalRef]int32
	crash    *crashLayout // nil: none
	most     int          // values in one frame, at most
}

type bus struct {
	name     string
	asleep   time.Duration
	plan     *dbc.Plan
	messages []int32 // by number in the plan
	live     *live
	sendable []*sighting
}

type message struct {
	of      *profile.Message
	signals []int32 // by number in the profile's Wanted: -1 for those of others
	group   int32   // of everything that is always in the message
	e2e     *e2e.Config
	counts  *Counts // nil: not protected
	wraps   int64   // ns after which the counter says nothing about order
	single  bool    // all signals have one age and no secret is in it: unchanged payloads are known by a compare
	crash   []int32 // crash sources that watch it
	ignites bool    // crash.only_with watches it
}

// A group of signals arrives together and so has one age: those of a message, or
// of one part of a multiplexed one.
type group struct {
	fresh time.Duration
	bus   int32
}

type signal struct {
	ref     profile.SignalRef
	group   int32
	sources []int32 // that look at it
}

// A source is one way to a value, with the signals it needs.
type source struct {
	path   profile.Path
	leaf   profile.Leaf
	of     *profile.Source
	inputs []int32 // signals, in the order of profile.Source.Signals
	gates  []gate  // by input: conditions for it
	groups []int32 // by input, then of the gates
	slow   bool    // of Vehicle.Speed: how long it stood is kept
}

// A gate must hold for an input to count.
type gate struct {
	input  int // for this input
	signal int32
	is     int64
}

func (l *layout) since(t time.Time) int64 { return int64(t.Sub(l.start)) }

func (l *layout) at(ns int64) time.Time { return l.start.Add(time.Duration(ns)) }

func (l *layout) busNumber(name string) (int, bool) {
	for i := range l.buses {
		if l.buses[i].name == name {
			return i, true
		}
	}
	return 0, false
}

func newLayout(p *profile.Profile, start time.Time) *layout {
	l := &layout{start: start, byPath: make([][]int32, profile.Paths()), byRef: make(map[profile.SignalRef]int32)}
	for i := range p.Buses {
		l.addBus(p, &p.Buses[i])
	}
	for _, path := range p.Paths() {
		for _, s := range p.Signals[path] {
			l.addSource(p, path, s)
		}
	}
	if p.Crash != nil {
		l.addCrash(p.Crash)
	}
	return l
}

func (l *layout) addBus(p *profile.Profile, b *profile.Bus) {
	plan := p.Plan(b.Name)
	out := bus{name: b.Name, asleep: b.AsleepAfter, plan: plan, live: newLive()}
	for _, a := range p.Allowed() {
		if a.Bus == b.Name {
			out.sendable = append(out.sendable, newSighting(a))
		}
	}
	wanted := p.Wanted(b.Name)
	for _, m := range plan.Messages() {
		out.messages = append(out.messages, int32(len(l.messages)))
		l.addMessage(p.Message(b.Name, m.Name), wanted, int32(len(l.buses)))
	}
	l.buses = append(l.buses, out)
	l.most = max(l.most, plan.Most())
}

func (l *layout) addMessage(of *profile.Message, wanted []dbc.Ref, bus int32) {
	m := message{of: of, group: -1, signals: make([]int32, len(wanted))}
	parts, multiplexed := make(map[uint64]int32), false
	for i, ref := range wanted {
		if m.signals[i] = -1; ref.Message != of.DBC.Name {
			continue
		}
		m.signals[i] = int32(len(l.signals))
		s := of.DBC.Signal(ref.Signal)
		multiplexed = multiplexed || s.Under != nil
		r := profile.SignalRef{Bus: of.Bus, Message: ref.Message, Signal: ref.Signal}
		l.byRef[r] = m.signals[i]
		l.signals = append(l.signals, signal{ref: r, group: l.groupOf(s, of, bus, &m, parts)})
	}
	m.single = m.group >= 0 && !multiplexed && len(of.Masked) == 0
	if of.E2E != nil {
		m.e2e, m.counts, m.wraps = protection(of), &Counts{}, int64(of.Fresh)
		if of.DBC.Cycle > 0 {
			m.wraps = 15 * int64(of.DBC.Cycle)
		}
	}
	l.messages = append(l.messages, m)
}

// groupOf finds or makes the group of a signal: signals behind one value of one
// switch arrive together.
func (l *layout) groupOf(s *dbc.Signal, of *profile.Message, bus int32, m *message, parts map[uint64]int32) int32 {
	add := func() int32 {
		l.groups = append(l.groups, group{fresh: of.Fresh, bus: bus})
		return int32(len(l.groups) - 1)
	}
	if s.Under == nil {
		if m.group < 0 {
			m.group = add()
		}
		return m.group
	}
	if s.Under.Under != nil || len(s.When) != 1 || s.When[0].From != s.When[0].To {
		return add()
	}
	key := s.When[0].From<<16 | uint64(s.Under.Start)
	g, ok := parts[key]
	if !ok {
		g = add()
		parts[key] = g
	}
	return g
}

// protection is the profile's word, else the built-in table's, else a checksum
// without a constant.
func protection(m *profile.Message) *e2e.Config {
	c := e2e.Config{Plain: true}
	if m.E2E.Constants != nil {
		c = e2e.Config{Constants: *m.E2E.Constants}
	} else if vw, ok := e2e.VW(m.DBC.ID, m.DBC.Len); ok {
		c = vw
	}
	if m.E2E.MaxGap != 0 {
		c.MaxGap = m.E2E.MaxGap
	}
	if m.E2E.Length != 0 {
		c.Length = m.E2E.Length
	}
	return &c
}

func (l *layout) addSource(p *profile.Profile, path profile.Path, of *profile.Source) {
	s := source{path: path, leaf: path.Leaf(), of: of, slow: path == speed}
	n := int32(len(l.sources))
	use := func(ref profile.SignalRef) int32 {
		i := l.byRef[ref]
		l.signals[i].sources = append(l.signals[i].sources, n)
		return i
	}
	for _, ref := range of.Signals() {
		i := use(ref)
		s.inputs = append(s.inputs, i)
		s.groups = append(s.groups, l.signals[i].group)
	}
	for k, ref := range of.Signals() {
		conditions := []*profile.Condition{p.Message(ref.Bus, ref.Message).ValidIf}
		if of.From == ref {
			conditions = append(conditions, of.ValidIf)
		}
		for _, c := range conditions {
			if c != nil {
				i := use(c.Signal)
				s.gates = append(s.gates, gate{input: k, signal: i, is: c.Is})
				s.groups = append(s.groups, l.signals[i].group)
			}
		}
	}
	l.sources = append(l.sources, s)
	l.byPath[path] = append(l.byPath[path], n)
}

// never is a time before all others.
const never = math.MinInt64

var (
	speed    = profile.Must("Vehicle.Speed")
	ignition = profile.Must("Vehicle.LowVoltageSystemState")
)
