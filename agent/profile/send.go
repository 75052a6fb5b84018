package profile

import (
	"maps"
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

// An Allowed is one line of the allow-list. A frame may be sent when it has the
// identifier, form and length, and differs from Base only in bits of Mask. Base
// is zero where Mask is set.
type Allowed struct {
	Bus      string
	ID       uint32
	Extended bool
	FD       bool
	Len      int
	Base     [64]byte
	Mask     [64]byte
	Rate     int  // frames/s
	E2E      bool // checksum and counter are among the bits of Mask
}

// Admits reports whether f is a frame of this line of the allow-list, apart from
// its bus and its rate.
func (a *Allowed) Admits(f *canbus.Frame) bool {
	const never = canbus.Remote | canbus.Error | canbus.ESI
	if f.Check() != nil || f.ID != a.ID || int(f.Len) != a.Len || f.Flags&never != 0 ||
		a.Extended != (f.Flags&canbus.Extended != 0) || a.FD != (f.Flags&canbus.FD != 0) {
		return false
	}
	for i := range f.Data {
		if (f.Data[i]^a.Base[i])&^a.Mask[i] != 0 {
			return false
		}
	}
	return true
}

// Wake says how a sleeping bus is woken, and kept awake.
type Wake struct {
	Bus      string
	Send     WakeFrame
	Attempts int
	Within   time.Duration // after the first frame; then the bus did not wake
	AnyFrame bool          // any frame proves that it is awake
	Keep     *WakeFrame    // nil: it stays awake by itself
	Every    time.Duration
	AtMost   time.Duration
}

// A WakeFrame is a fixed frame.
type WakeFrame struct {
	ID       uint32
	Extended bool
	Len      int
	Data     [64]byte
}

// sending reads the frames of an operation or of the keys' listening.
func (c *checker) sending(n *node, what string, args map[string]Argument, until bool) Send {
	var s Send
	var m *Message
	c.section(n, "message", func(n *node) {
		var ok bool
		if m, ok = c.message(n, what+": message"); !ok {
			return
		}
		s.Bus, s.Message, s.E2E = m.Bus, m.DBC, m.E2E
		if m.Send == nil {
			c.at(n, "%s: %s/%s is not sendable; add it to messages with send: {max_rate: …}", what, m.Bus, m.DBC.Name)
		}
	})
	f := fields{
		"message": func(*node) {},
		"set": func(n *node) {
			if m != nil {
				s.Set = c.sets(n, what, m, args)
			}
		},
		"every": func(n *node) {
			var ok bool
			s.Every, ok = c.duration(n, "every", 5*time.Millisecond, 10*time.Second)
			if ok && m != nil && m.Send != nil && m.Send.MaxRate > 0 && s.Every*time.Duration(m.Send.MaxRate) < time.Second {
				c.at(n, "every %s is %s, above the max_rate %d of %s", n.text, perSecond(s.Every), m.Send.MaxRate, m.DBC.Name)
			}
		},
		"at_most": func(n *node) {
			name, ok := param(n)
			if !ok {
				s.AtMost, _ = c.duration(n, "at_most", 100*time.Millisecond, 5*time.Minute)
				return
			}
			lo, hi, ok := c.argument(n, name, args)
			if ok && (lo < 1 || hi > 300) {
				c.at(n, "at_most: %s runs from %g to %g seconds; at most 300 make sense", n.text, lo, hi)
			}
			s.AtMostParam = name
		},
	}
	need := []string{"message", "set", "every", "at_most"}
	if until {
		f["until"] = func(n *node) {
			u, _ := c.choice(n, "until", "confirmed", "elapsed")
			s.UntilConfirmed = u == "confirmed"
		}
		f["then_zero"] = func(n *node) {
			v, _ := c.whole(n, "then_zero", 0, 20)
			s.ThenZero = int(v)
		}
		need = append(need, "until")
	}
	c.mapping(n, what, f, need...)
	return s
}

// sets reads the signals of a frame and tries the smallest and the largest value
// each can get.
func (c *checker) sets(n *node, what string, m *Message, args map[string]Argument) (set []SetValue) {
	c.pairs(n, "set", func(key, value *node) {
		d, ok := c.signalOf(key, what, m, key.text)
		if !ok {
			return
		}
		v := SetValue{Signal: d.Name}
		lo, hi := 0.0, 0.0
		if name, isParam := param(value); isParam {
			v.Param = name
			lo, hi, ok = c.argument(value, name, args)
		} else {
			v.Value, ok = c.number(value, "set "+d.Name)
			lo, hi = v.Value, v.Value
		}
		if !ok {
			return
		}
		for _, x := range []float64{lo, hi} {
			if _, err := m.DBC.Encode(dbc.Physical(d.Name, x)); err != nil {
				c.at(value, "%s: %s cannot be %g: %v", what, d.Name, x, err)
				break
			}
		}
		if m.E2E != nil && c.overlapsE2E(m, d.Name) {
			c.at(key, "%s: %s lies in the checksum or counter, which are filled in by themselves", what, d.Name)
		}
		set = append(set, v)
	})
	return set
}

func (c *checker) overlapsE2E(m *Message, signal string) bool {
	mask, err := m.DBC.Mask(signal)
	return err == nil && (mask[0] != 0 || mask[1]&0x0F != 0)
}

func (c *checker) wake(n *node) {
	c.pairs(n, "wake", func(key, value *node) {
		b, ok := c.bus(key, "wake", key.text)
		if !ok {
			return
		}
		w := &Wake{Bus: b.Name}
		c.mapping(value, "wake of "+b.Name, fields{
			"send": func(n *node) {
				f, ok := c.wakeFrame(n, "send", fields{
					"attempts": func(n *node) {
						v, _ := c.whole(n, "attempts", 1, 10)
						w.Attempts = int(v)
					},
					"within":     func(n *node) { w.Within, _ = c.duration(n, "within", 100*time.Millisecond, time.Minute) },
					"awake_when": func(n *node) { _, w.AnyFrame = c.choice(n, "awake_when", "any_frame") },
				}, "attempts", "within", "awake_when")
				if ok {
					w.Send = f
				}
			},
			"keep": func(n *node) {
				f, ok := c.wakeFrame(n, "keep", fields{
					"every":   func(n *node) { w.Every, _ = c.duration(n, "every", 20*time.Millisecond, time.Minute) },
					"at_most": func(n *node) { w.AtMost, _ = c.duration(n, "at_most", time.Second, time.Hour) },
				}, "every", "at_most")
				if ok {
					w.Keep = &f
				}
			},
		}, "send")
		c.p.Wake[b.Name] = w
	})
}

func (c *checker) wakeFrame(n *node, what string, more fields, required ...string) (WakeFrame, bool) {
	var f WakeFrame
	all := fields{
		"id": func(n *node) {
			v, _ := c.whole(n, "id", 0, 1<<29-1)
			f.ID = uint32(v)
		},
		"extended": func(n *node) { f.Extended, _ = c.boolean(n, "extended") },
		"data": func(n *node) {
			b, ok := c.payload(n, "data")
			if ok && len(b) > 8 {
				c.at(n, "data has %d octets; a wake frame is a classic frame with at most 8", len(b))
			} else if ok {
				f.Len = copy(f.Data[:], b)
			}
		},
	}
	maps.Copy(all, more)
	ok := c.mapping(n, "wake: "+what, all, append(required, "id", "data")...)
	if ok && !f.Extended && f.ID > 0x7FF {
		c.at(n, "id 0x%X has more than 11 bits; add \"extended: true\"", f.ID)
		return f, false
	}
	return f, ok
}

// allow compiles the allow-list from everything that sends.
func (c *checker) allow() {
	sets := make(map[*dbc.Message]map[string]bool)
	add := func(s Send) {
		if s.Message == nil {
			return
		}
		if sets[s.Message] == nil {
			sets[s.Message] = make(map[string]bool)
		}
		for _, v := range s.Set {
			sets[s.Message][v.Signal] = true
		}
	}
	for _, o := range c.p.Operations {
		add(o.Send)
	}
	if c.p.Keys != nil {
		add(c.p.Keys.Listen)
	}
	for _, m := range c.p.Messages {
		if m.Send != nil && sets[m.DBC] != nil {
			c.allowMessage(m, sets[m.DBC])
		}
	}
	for _, b := range c.p.Buses {
		if w := c.p.Wake[b.Name]; w != nil {
			c.allowFrame(b.Name, w.Send, w.Attempts)
			if w.Keep != nil {
				c.allowFrame(b.Name, *w.Keep, int((time.Second+w.Every-1)/w.Every)+1)
			}
		}
	}
}

func (c *checker) allowMessage(m *Message, signals map[string]bool) {
	here := &node{line: m.line, col: m.col}
	base, err := m.DBC.Encode()
	if err != nil {
		c.at(here, "message %s cannot be sent: %v", m.DBC.Name, err)
		return
	}
	names := make([]string, 0, len(signals))
	for s := range signals {
		names = append(names, s)
	}
	mask, err := m.DBC.Mask(names...)
	if err != nil {
		c.at(here, "message %s cannot be sent: %v", m.DBC.Name, err)
		return
	}
	if m.E2E != nil {
		mask[0] = 0xFF
		mask[1] |= 0x0F
	}
	a := Allowed{
		Bus: m.Bus, ID: m.DBC.ID, Extended: m.DBC.Extended, FD: m.DBC.FD, Len: int(base.Len),
		Base: base.Data, Mask: mask, Rate: m.Send.MaxRate, E2E: m.E2E != nil,
	}
	for i := range a.Base {
		a.Base[i] &^= a.Mask[i]
	}
	c.p.allowed = append(c.p.allowed, a)
}

func (c *checker) allowFrame(bus string, f WakeFrame, rate int) {
	c.p.allowed = append(c.p.allowed, Allowed{
		Bus: bus, ID: f.ID, Extended: f.Extended, Len: f.Len, Base: f.Data, Rate: rate,
	})
}
