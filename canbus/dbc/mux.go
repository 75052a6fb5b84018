package dbc

// maxDepth bounds switches that hang on switches; real files have two.
const maxDepth = 16

// mux is what the file says of a signal's multiplexing, before its switch is
// known.
type mux struct {
	root  bool   // M: a switch that is always present
	under bool   // m7: present for
	value uint64 // this value of a switch
	lost  bool   // under a switch that the message does not have
}

// hang puts s under a switch as SG_MUL_VAL_ says, in place of what SG_ said.
func (p *parser) hang(m *Message, s, sw *Signal, when []Range, off int) {
	if s.Under != nil && s.Under != sw {
		p.warn(off, "%s hangs on %s already: %s is ignored", s.Name, s.Under.Name, sw.Name)
		return
	}
	if !sw.Switch {
		p.warn(off, "%s of %s is not marked as a switch: taken as one", sw.Name, m.Name)
		sw.Switch = true
	}
	s.Under, s.When = sw, append(s.When, when...)
	depth := 0
	for x := s; x.Under != nil; x = x.Under {
		if depth++; depth > maxDepth {
			p.fail(off, "the switches of %s go in a circle, or deeper than %d", s.Name, maxDepth)
			return
		}
	}
}

// resolve finds the switch of each signal that says which value it needs and not
// of which switch. With one switch that is clear, wherever it stands. With more
// of them it is the last one before the signal; for a signal that is a switch
// itself, the last one that is always present.
func (p *parser) resolve(m *Message) {
	var first, root, last *Signal
	roots, switches := 0, 0
	for _, s := range m.Signals {
		if s.Switch {
			switches++
		}
		if s.mux.root {
			if roots++; first == nil {
				first = s
			}
		}
	}
	if roots > 1 {
		p.warn(m.at, "message %s has %d switches", m.Name, roots)
	}
	for _, s := range m.Signals {
		if s.mux.under && s.Under == nil {
			over := last
			switch {
			case s.Switch || over == nil:
				over = root
			}
			if over == nil {
				over = first
			}
			p.settle(m, s, over, switches)
		}
		if s.mux.root {
			root = s
		}
		if s.Switch {
			last = s
		}
	}
}

func (p *parser) settle(m *Message, s, over *Signal, switches int) {
	switch {
	case over == nil:
		p.warn(s.at, "%s is multiplexed, and %s has no switch: it cannot be read", s.Name, m.Name)
		s.mux.lost = true
		return
	case switches > 1:
		p.warn(s.at, "%s does not say which switch it hangs on: %s is taken", s.Name, over.Name)
	}
	s.Under, s.When = over, []Range{{s.mux.value, s.mux.value}}
}

// exclusive reports whether no frame can hold both signals: somewhere above them
// is one switch of which they need different values.
func exclusive(a, b *Signal) bool {
	for x := a; x.Under != nil; x = x.Under {
		for y := b; y.Under != nil; y = y.Under {
			if x.Under == y.Under && disjoint(x.When, y.When) {
				return true
			}
		}
	}
	return false
}

func disjoint(a, b []Range) bool {
	for _, r := range a {
		for _, q := range b {
			if r.From <= q.To && q.From <= r.To {
				return false
			}
		}
	}
	return true
}
