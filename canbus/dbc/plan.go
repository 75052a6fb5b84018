package dbc

import (
	"errors"
	"fmt"
	"slices"

	"github.com/headunit-agent/headunit/canbus"
)

// A Ref names one signal. Names of signals repeat across messages.
type Ref struct{ Message, Signal string }

func (r Ref) String() string { return r.Message + "." + r.Signal }

// A Plan decodes the wanted signals of frames. It is made once by [Compile], does
// not change, and may be used by any number of goroutines. The zero Plan wants
// nothing.
type Plan struct {
	messages []*Message
	programs []program
	most     int
	standard [canbus.MaxStandardID + 1]int32 // message number + 1
	extended map[uint32]int32
}

// A program decodes one message: steps in order, gates jump over those that a
// multiplexer leaves out.
type program struct {
	steps  []step
	gates  []gate
	octets int  // a frame of so many holds every signal
	word   bool // all are little or big, within the first 8 octets: two loads serve them all
}

// kind says how a step gets at the bits.
type kind uint8

const (
	other  kind = iota // [step.read]: signed, float, 64 bits, in 9 octets
	little             // unsigned below 64 bits, within 8 octets
	big                // the same
)

// A step is one signal: 8 octets are loaded, shifted down until its lowest bit is
// the lowest, and masked.
type step struct {
	factor, offset float64
	mask           uint64
	signal         *Signal
	index          int32 // into wanted; of a gate, into gates
	load           uint8 // the first of the 8 octets
	shift          uint8
	octets         uint8 // the frame needs so many; never: none has them
	kind           kind
	nine           bool // the signal touches a ninth octet
	gate           bool
}

// never is the length of a frame for a signal that no frame can hold.
const never = 255

// A gate lets the steps up to next pass if the switch that its step reads has a
// value of when.
type gate struct {
	when []Range
	next int
}

// Compile makes a plan for the wanted signals. The error joins one for each that
// cannot be had: [ErrUnknown] if the file has no such message or signal,
// [ErrAbsent] if the file does not say when it is present.
func Compile(f *File, wanted []Ref) (*Plan, error) {
	p := &Plan{extended: map[uint32]int32{}}
	trees := map[*Message]*node{}
	var errs []error
	for i, ref := range wanted {
		m := f.Message(ref.Message)
		if m == nil {
			errs = append(errs, fmt.Errorf("message %s: %w", ref.Message, ErrUnknown))
			continue
		}
		s := m.Signal(ref.Signal)
		switch {
		case s == nil:
			errs = append(errs, fmt.Errorf("signal %s: %w", ref, ErrUnknown))
			continue
		case lost(s):
			errs = append(errs, fmt.Errorf("signal %s: %w: the message has no switch", ref, ErrAbsent))
			continue
		}
		if trees[m] == nil {
			trees[m] = &node{}
			p.messages = append(p.messages, m)
		}
		leaf := trees[m].leaf(s)
		leaf.wanted = append(leaf.wanted, want{s, int32(i)})
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for n, m := range p.messages {
		p.number(m, int32(n))
		var g program
		g.compile(trees[m])
		g.word = g.octets <= 8 && !slices.ContainsFunc(g.steps, func(s step) bool { return s.kind == other })
		p.programs = append(p.programs, g)
		p.most = max(p.most, len(g.steps)-len(g.gates))
	}
	return p, nil
}

func lost(s *Signal) bool {
	for s.Under != nil {
		s = s.Under
	}
	return s.mux.lost
}

func (p *Plan) number(m *Message, n int32) {
	if m.Extended {
		p.extended[m.ID] = n + 1
		return
	}
	p.standard[m.ID] = n + 1
}

// Lookup is the number of a message in the plan, -1 if nothing of it is wanted.
func (p *Plan) Lookup(id uint32, extended bool) int {
	switch {
	case extended:
		return int(p.extended[id]) - 1
	case id < uint32(len(p.standard)):
		return int(p.standard[id]) - 1
	}
	return -1
}

// Messages are those of which something is wanted, by their numbers. They are the
// plan's own: do not change the slice.
func (p *Plan) Messages() []*Message { return p.messages }

// Most is the largest number of values that one frame can give: a dst of this
// length always suffices.
func (p *Plan) Most() int { return p.most }

// A node holds the wanted signals behind one gate, and the gates behind that.
type node struct {
	over   *Signal // nil: the root
	when   []Range
	wanted []want
	kids   []*node
}

type want struct {
	signal *Signal
	index  int32
}

// leaf is the node that a signal's switches lead to.
func (n *node) leaf(s *Signal) *node {
	if s.Under == nil {
		return n
	}
	at := n.leaf(s.Under)
	for _, k := range at.kids {
		if k.over == s.Under && slices.Equal(k.when, s.When) {
			return k
		}
	}
	k := &node{over: s.Under, when: s.When}
	at.kids = append(at.kids, k)
	return k
}

func (g *program) compile(n *node) {
	for _, w := range n.wanted {
		s := newStep(w.signal, w.index)
		g.octets = max(g.octets, int(s.octets))
		g.steps = append(g.steps, s)
	}
	for _, k := range n.kids {
		i := len(g.gates)
		s := newStep(k.over, int32(i))
		s.gate = true
		g.steps = append(g.steps, s)
		g.gates = append(g.gates, gate{when: k.when})
		g.compile(k)
		g.gates[i].next = len(g.steps)
	}
}

func newStep(s *Signal, index int32) step {
	t := step{factor: s.Factor, offset: s.Offset, signal: s, mask: s.mask(), index: index, octets: never}
	need, first := s.Octets(), s.Start/8
	if need > canbus.MaxLenFD {
		return t
	}
	t.octets, t.nine = uint8(need), need-first > 8
	switch {
	case t.nine:
	case need <= 8:
		first = 0 // see program.word
	default:
		first = min(first, canbus.MaxLenFD-8)
	}
	t.load, t.shift = uint8(first), uint8(s.Start-8*first)
	if s.BigEndian {
		// What lies below the signal: in the 8 octets, or in the ninth.
		below := 64 - (s.top() - 8*first) - s.Size
		t.shift = uint8((below + 8) & 7)
		if !t.nine {
			t.shift = uint8(below)
		}
	}
	switch {
	case t.nine, s.Float, s.Signed, s.Size == 64:
	case s.BigEndian:
		t.kind = big
	default:
		t.kind = little
	}
	return t
}
