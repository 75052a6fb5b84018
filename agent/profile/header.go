package profile

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headunit-agent/headunit/canbus/dbc"
)

type messageKey struct{ bus, name string }

// equipment is what the agent knows to ask for. Another word is odd, no mistake:
// a screen or a backend may know it.
var equipment = []string{
	"alarm_horn", "aux_heater", "central_lock", "charging", "climate", "code", "departure_timers", "fuel", "horn_lights",
	"sunroof", "sync", "theft_alarm", "tkov", "traction_battery", "tyre_pressure", "ventilation", "windows",
}

// profile reads the whole file. Buses come first, because everything else names
// their messages, wherever they stand in the file.
func (c *checker) profile(root *node, read func(string) ([]byte, error)) {
	skip := func(*node) {}
	all := fields{
		"profile": c.version, "id": c.id, "title": c.title, "proven": c.proven, "attributes": c.attributes,
		"equipment": c.equipment, "parameters": c.parameters, "buses": skip, "messages": skip, "signals": skip,
		"crash": skip, "operations": skip, "wake": skip, "keys": skip, "diagnostics": skip,
	}
	if !c.mapping(root, "the profile", all, "profile", "id", "title", "proven", "buses", "signals") && root.shape != mapping {
		return
	}
	c.section(root, "buses", func(n *node) { c.buses(n, read) })
	for _, s := range []struct {
		key  string
		read func(*node)
	}{
		{"messages", c.messages},
		{"signals", c.signals},
		{"crash", c.crash},
		{"wake", c.wake},
		{"operations", c.operations},
		{"keys", c.keys},
		{"diagnostics", c.diagnostics},
	} {
		c.section(root, s.key, s.read)
	}
	for _, check := range c.later {
		check()
	}
}

func (c *checker) section(root *node, key string, read func(*node)) {
	for _, e := range root.keys {
		if e.key.text == key && e.value.shape != empty {
			read(e.value)
			return // a second one is a mistake already
		}
	}
}

func (c *checker) version(n *node) {
	if n.shape != scalar || n.text != "1" {
		c.at(n, "profile is %s; this program reads version 1", n.kind())
	}
}

func (c *checker) id(n *node) { c.p.ID, _ = c.name(n, "id") }

func (c *checker) title(n *node) { c.p.Title, _ = c.text(n, "title") }

func (c *checker) proven(n *node) {
	c.p.Proven, _ = c.choice(n, "proven", ProvenReference, ProvenRead, ProvenOperate)
}

func (c *checker) attributes(n *node) {
	c.pairs(n, "attributes", func(key, value *node) {
		p, ok := c.path(key, "an attribute")
		if !ok {
			return
		}
		if v, ok := c.literal(value, key.text, p); ok {
			c.p.Attributes[p] = v
		}
	})
}

func (c *checker) equipment(n *node) {
	c.list(n, "equipment", 100, func(item *node) {
		s, ok := c.name(item, "equipment")
		switch {
		case !ok:
		case slices.Contains(c.p.Equipment, s):
			c.at(item, "%q is listed twice", s)
		default:
			c.p.Equipment = append(c.p.Equipment, s)
			if !slices.Contains(equipment, s) {
				c.warn(item, "the agent knows no equipment %q%s", s, nearest(s, equipment))
			}
		}
	})
}

func (c *checker) parameters(n *node) {
	c.pairs(n, "parameters", func(key, value *node) {
		name, ok := c.name(key, "a parameter's name")
		if !ok {
			return
		}
		p := Parameter{Type: "uint"}
		if c.mapping(value, "parameter "+name, fields{
			"type":   func(n *node) { c.choice(n, "type", "uint") },
			"min":    func(n *node) { p.Min, _ = c.whole(n, "min", 0, 1<<32-1) },
			"max":    func(n *node) { p.Max, _ = c.whole(n, "max", 0, 1<<32-1) },
			"secret": func(n *node) { p.Secret, _ = c.boolean(n, "secret") },
		}, "type", "min", "max") && p.Min > p.Max {
			c.at(value, "parameter %s: min %d is above max %d", name, p.Min, p.Max)
		}
		c.p.Parameters[name] = p
	})
}

func (c *checker) buses(n *node, read func(string) ([]byte, error)) {
	c.pairs(n, "buses", func(key, value *node) {
		name, ok := c.name(key, "a bus's name")
		if !ok {
			return
		}
		b := Bus{Name: name, AsleepAfter: 5 * time.Second}
		c.mapping(value, "bus "+name, fields{
			"dbc": func(n *node) {
				if file, ok := c.text(n, "dbc"); ok {
					b.File, b.DBC = file, c.readDBC(n, file, read)
				}
			},
			"bitrate":      func(n *node) { b.Bitrate, _ = c.bitrate(n, "bitrate") },
			"data_bitrate": func(n *node) { b.DataBitrate, _ = c.bitrate(n, "data_bitrate") },
			"asleep_after": func(n *node) { b.AsleepAfter, _ = c.duration(n, "asleep_after", 500*time.Millisecond, time.Hour) },
		}, "dbc", "bitrate")
		if b.DataBitrate != 0 && b.DataBitrate < b.Bitrate {
			c.at(value, "bus %s: data_bitrate is below bitrate; FD sends its data faster, or as fast", name)
		}
		c.p.Buses = append(c.p.Buses, b)
	})
	if len(c.p.Buses) > 8 {
		c.at(n, "%d buses; at most 8 make sense", len(c.p.Buses))
	}
}

// readDBC gives nil after a mistake; what names the bus's messages then says
// nothing more.
func (c *checker) readDBC(n *node, file string, read func(string) ([]byte, error)) *dbc.File {
	src, err := read(file)
	if err != nil {
		c.at(n, "DBC file %q cannot be read: %v; it must lie beside the profile", file, reason(err))
		return nil
	}
	f, warnings, err := dbc.Parse(file, src)
	for _, w := range warnings {
		if len(c.warnings) < maxProblems {
			c.warnings = append(c.warnings, Problem{w.File, w.Line, w.Col, w.Text})
		}
	}
	if err != nil {
		p := Problem{File: c.file, Line: n.line, Col: n.col, Text: err.Error()}
		if e, ok := errors.AsType[*dbc.Error](err); ok {
			p = Problem{e.File, e.Line, e.Col, e.Text}
		}
		c.mistakes = append(c.mistakes, p)
		return nil
	}
	return f
}

// bus finds a bus by name.
func (c *checker) bus(n *node, what, name string) (*Bus, bool) {
	var names []string
	for i := range c.p.Buses {
		if c.p.Buses[i].Name == name {
			return &c.p.Buses[i], true
		}
		names = append(names, c.p.Buses[i].Name)
	}
	c.at(n, "%s: there is no bus %q%s", what, name, orList(name, names))
	return nil, false
}

// message reads bus/Message.
func (c *checker) message(n *node, what string) (*Message, bool) {
	s, ok := c.text(n, what)
	if !ok {
		return nil, false
	}
	bus, name, ok := strings.Cut(s, "/")
	if !ok || strings.ContainsAny(name, "./ ") {
		c.at(n, "%s is %q; write bus/Message", what, s)
		return nil, false
	}
	return c.find(n, what, bus, name)
}

func (c *checker) find(n *node, what, bus, name string) (*Message, bool) {
	b, ok := c.bus(n, what, bus)
	if !ok || b.DBC == nil {
		return nil, false
	}
	if m := c.set[messageKey{bus, name}]; m != nil {
		return m, true
	}
	d := b.DBC.Message(name)
	if d == nil {
		names := make([]string, len(b.DBC.Messages))
		for i, m := range b.DBC.Messages {
			names[i] = m.Name
		}
		c.at(n, "%s: %s has no message %q%s", what, b.File, name, nearest(name, names))
		return nil, false
	}
	m := &Message{Bus: bus, DBC: d, line: n.line, col: n.col}
	c.set[messageKey{bus, name}] = m
	return m, true
}

// signal reads bus/Message.Signal, and marks the signal as one the plan must hold.
func (c *checker) signal(n *node, what string) (*Message, *dbc.Signal, bool) {
	s, ok := c.text(n, what)
	if !ok {
		return nil, nil, false
	}
	bus, rest, ok1 := strings.Cut(s, "/")
	name, sig, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || sig == "" {
		c.at(n, "%s is %q; write bus/Message.Signal", what, s)
		return nil, nil, false
	}
	m, ok := c.find(n, what, bus, name)
	if !ok {
		return nil, nil, false
	}
	d, ok := c.signalOf(n, what, m, sig)
	return m, d, ok
}

// signalOf is a signal of a known message, by its name alone.
func (c *checker) signalOf(n *node, what string, m *Message, name string) (*dbc.Signal, bool) {
	s := m.DBC.Signal(name)
	if s == nil {
		names := make([]string, len(m.DBC.Signals))
		for i, s := range m.DBC.Signals {
			names[i] = s.Name
		}
		c.at(n, "%s: message %s has no signal %q%s", what, m.DBC.Name, name, orList(name, names))
		return nil, false
	}
	if s.Octets() > m.DBC.Len {
		c.at(n, "%s: %s lies in octet %d and its message has %d: it would never be seen; mend the DBC file", what, name, s.Octets(), m.DBC.Len)
		return nil, false
	}
	if slices.Contains(m.Masked, name) {
		c.at(n, "%s: %s is masked: a secret of the car that nothing may read", what, name)
		return nil, false
	}
	return s, true
}

// read puts a signal into the plan of its bus.
func (c *checker) read(m *Message, s *dbc.Signal) SignalRef {
	key := m.DBC.Name + "." + s.Name
	if c.used[m.Bus] == nil {
		c.used[m.Bus] = make(map[string]bool)
	}
	if !c.used[m.Bus][key] {
		c.used[m.Bus][key] = true
		c.p.refs[m.Bus] = append(c.p.refs[m.Bus], dbc.Ref{Message: m.DBC.Name, Signal: s.Name})
	}
	return SignalRef{m.Bus, m.DBC.Name, s.Name}
}

// raw reads a raw value that the signal can have.
func (c *checker) raw(n *node, what string, s *dbc.Signal) (int64, bool) {
	lo, hi := rawRange(s)
	v, ok := c.whole(n, what, -1<<63, 1<<63-1)
	if ok && (v < lo || v > hi) {
		c.at(n, "%s cannot be %s; %s of %s hold raw values from %s to %s", what, n.text, bits(s.Size), s.Name,
			strconv.FormatInt(lo, 10), strconv.FormatInt(hi, 10))
		return 0, false
	}
	return v, ok
}

// bits counts in words.
func bits(n int) string {
	if n == 1 {
		return "1 bit"
	}
	return strconv.Itoa(n) + " bits"
}

// rawRange is what a signal can hold. Raw values above the int64 range cannot be
// named in a profile.
func rawRange(s *dbc.Signal) (lo, hi int64) {
	switch {
	case s.Size >= 64:
		if s.Signed {
			return -1 << 63, 1<<63 - 1
		}
		return 0, 1<<63 - 1
	case s.Signed:
		return -1 << (s.Size - 1), 1<<(s.Size-1) - 1
	}
	return 0, 1<<s.Size - 1
}

// finish orders what maps left in no order, and compiles the allow-list.
func (c *checker) finish() {
	for _, m := range c.set {
		c.p.Messages = append(c.p.Messages, m)
	}
	slices.SortFunc(c.p.Messages, func(a, b *Message) int {
		return cmp.Or(strings.Compare(a.Bus, b.Bus), strings.Compare(a.DBC.Name, b.DBC.Name))
	})
	for _, m := range c.p.Messages {
		if m.Fresh == 0 {
			m.Fresh = defaultFresh(m.DBC)
		}
	}
	c.proofs()
	c.allow()
	for _, b := range c.p.Buses {
		plan, err := dbc.Compile(b.DBC, c.p.refs[b.Name])
		if err != nil {
			c.mistakes = append(c.mistakes, Problem{File: b.File, Text: strings.ReplaceAll(err.Error(), "\n", "; ")})
		}
		c.p.plans[b.Name] = plan
	}
}

// defaultFresh is three cycles, or 5 s where the DBC file knows none. A
// multiplexed message says a thing only once in as many frames as it has parts.
func defaultFresh(m *dbc.Message) time.Duration {
	parts := make(map[uint64]bool)
	for _, s := range m.Signals {
		for _, w := range s.When {
			parts[w.From] = true
		}
	}
	if m.Cycle == 0 {
		return 5 * time.Second
	}
	return 3 * m.Cycle * time.Duration(max(1, len(parts)))
}
