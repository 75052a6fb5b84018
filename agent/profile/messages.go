package profile

import (
	"maps"
	"time"

	"github.com/headunit-agent/headunit/canbus/dbc"
)

func (c *checker) messages(n *node) {
	c.pairs(n, "messages", func(key, value *node) {
		if m, ok := c.message(key, "messages"); ok {
			c.settings(value, m)
		}
	})
}

func (c *checker) settings(n *node, m *Message) {
	what := "message " + m.DBC.Name
	c.mapping(n, what, fields{
		"fresh":    func(n *node) { m.Fresh, _ = c.duration(n, "fresh", 10*time.Millisecond, time.Hour) },
		"e2e":      func(n *node) { m.E2E = c.e2e(n, m) },
		"valid_if": func(n *node) { m.ValidIf = c.validIf(n, m) },
		"mask": func(n *node) {
			c.list(n, "mask", 64, func(item *node) {
				if name, ok := c.text(item, "mask"); ok {
					if s, ok := c.signalOf(item, "mask", m, name); ok {
						m.Masked = append(m.Masked, s.Name)
					}
				}
			})
		},
		"send": func(n *node) { m.Send = c.sendable(n, m) },
	})
}

func (c *checker) e2e(n *node, m *Message) *E2E {
	e := &E2E{}
	c.mapping(n, "e2e of "+m.DBC.Name, fields{
		"kind": func(n *node) { c.choice(n, "kind", "vw") },
		"constant": func(n *node) {
			if v, ok := c.whole(n, "constant", 0, 255); ok {
				e.Constants = new([16]byte)
				for i := range e.Constants {
					e.Constants[i] = byte(v)
				}
			}
		},
		"constants": func(n *node) {
			b, ok := c.payload(n, "constants")
			if ok && len(b) != 16 {
				c.at(n, "constants has %d octets; it must have 16, one for each counter value", len(b))
			} else if ok {
				e.Constants = (*[16]byte)(b)
			}
		},
		"max_gap": func(n *node) {
			v, _ := c.whole(n, "max_gap", 1, 14)
			e.MaxGap = int(v)
		},
		"length": func(n *node) {
			v, _ := c.whole(n, "length", 3, int64(max(3, m.DBC.Len)))
			e.Length = int(v)
		},
		"policy": func(n *node) {
			v, _ := c.choice(n, "policy", string(Reject), string(Count), string(Show))
			e.Policy = Policy(v)
		},
	}, "kind")
	if n.has("constant") && n.has("constants") {
		c.at(n, "e2e of %s has constant and constants; keep one of them", m.DBC.Name)
	}
	if m.DBC.Len < 3 {
		c.at(n, "message %s has %d octets: too short for checksum and counter", m.DBC.Name, m.DBC.Len)
	}
	return e
}

// proofs keeps what a crash and a pressed key are told by from counting without
// proof: neither can be taken back.
func (c *checker) proofs() {
	proof := func(m *Message, what string) {
		if m != nil && m.E2E != nil && m.E2E.Policy != "" && m.E2E.Policy != Reject {
			c.at(&node{line: m.line, col: m.col}, "message %s tells %s, so its policy must be reject, not %s", m.DBC.Name, what, m.E2E.Policy)
		}
	}
	if k := c.p.Crash; k != nil {
		for _, s := range k.Sources {
			proof(s.Message, "a crash")
		}
		if k.OnlyWith != nil {
			proof(k.OnlyWith.Message, "a crash")
		}
	}
	if k := c.p.Keys; k != nil {
		proof(c.set[messageKey{k.Press.Key.Bus, k.Press.Key.Message}], "pressed keys")
	}
}

func (c *checker) sendable(n *node, m *Message) *Sendable {
	s := &Sendable{}
	c.mapping(n, "send of "+m.DBC.Name, fields{
		"cycle": func(n *node) { s.Cycle, _ = c.duration(n, "cycle", time.Millisecond, time.Minute) },
		"fast":  func(n *node) { s.Fast, _ = c.duration(n, "fast", time.Millisecond, time.Minute) },
		"max_rate": func(n *node) {
			v, _ := c.whole(n, "max_rate", 1, 200)
			s.MaxRate = int(v)
		},
		"absent_for": func(n *node) { s.AbsentFor, _ = c.duration(n, "absent_for", time.Second, time.Hour) },
	}, "max_rate")
	if s.Fast > s.Cycle && s.Cycle != 0 {
		c.at(n, "send of %s: fast is slower than cycle", m.DBC.Name)
	}
	return s
}

// validIf reads {signal: Name, is: raw} about a signal of the same message.
func (c *checker) validIf(n *node, m *Message) *Condition {
	var cond Condition
	var s *dbc.Signal
	good := c.mapping(n, "valid_if", fields{
		"signal": func(n *node) {
			name, ok := c.text(n, "signal")
			if !ok {
				return
			}
			if s, ok = c.signalOf(n, "valid_if", m, name); ok {
				cond.Signal = c.read(m, s)
			}
		},
		"is": func(*node) {},
	}, "signal", "is")
	if s == nil {
		return nil
	}
	c.section(n, "is", func(n *node) { cond.Is, _ = c.raw(n, "is", s) })
	if !good {
		return nil
	}
	return &cond
}

// condition reads {signal: bus/Message.Signal, is: raw}, with further keys.
func (c *checker) condition(n *node, what string, more fields) (Condition, *Message, *dbc.Signal, bool) {
	var cond Condition
	var m *Message
	var s *dbc.Signal
	f := fields{
		"signal": func(n *node) {
			var ok bool
			if m, s, ok = c.signal(n, what+": signal"); ok {
				cond.Signal = c.read(m, s)
			}
		},
		"is": func(*node) {},
	}
	maps.Copy(f, more)
	good := c.mapping(n, what, f, "signal", "is")
	if s == nil {
		return cond, nil, nil, false
	}
	c.section(n, "is", func(n *node) {
		v, ok := c.raw(n, what+": is", s)
		cond.Is, good = v, good && ok
	})
	return cond, m, s, good
}
