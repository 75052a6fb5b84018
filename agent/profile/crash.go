package profile

import (
	"time"

	"github.com/headunit-agent/headunit/canbus/dbc"
)

// A Crash says what on the buses means that the car crashed. It fills
// Vehicle.Safety.Crash here, and is handed to the emergency call as bits.
type Crash struct {
	Sources  []CrashSource
	OnlyWith *OnlyWith // nil: always
}

// A CrashSource counts when one of its bits stands in Frames frames in a row
// within Within, while all of AllZero are 0.
type CrashSource struct {
	Message  *Message
	Any      []CrashBit
	AllZero  []Bit
	Frames   int
	Within   time.Duration
	Severity SignalRef // zero: the car does not say
	Alone    bool      // false: counts only together with another source
}

// A Bit is a signal of one bit, counted as in the DBC file.
type Bit struct {
	Signal SignalRef
	Number int
}

// A CrashBit is a bit that tells a crash from one side.
type CrashBit struct {
	Bit
	Direction Value // word of Vehicle.Safety.Crash.Direction; none: it does not say
}

// OnlyWith is a condition that was good and true not longer than SeenWithin ago.
type OnlyWith struct {
	Condition
	Message    *Message
	Bit        int // of Signal; -1: it has more than one
	SeenWithin time.Duration
}

// The leaves that a crash fills.
const (
	CrashDetected  = "Vehicle.Safety.Crash.IsDetected"
	CrashSeverity  = "Vehicle.Safety.Crash.Severity"
	CrashDirection = "Vehicle.Safety.Crash.Direction"
)

func crashPaths() []Path {
	return []Path{Must(CrashDetected), Must(CrashSeverity), Must(CrashDirection)}
}

func (c *checker) crash(n *node) {
	k := &Crash{}
	c.mapping(n, "crash", fields{
		"sources":   func(n *node) { c.list(n, "sources", 8, func(item *node) { c.crashSource(item, k) }) },
		"only_with": func(n *node) { k.OnlyWith = c.onlyWith(n) },
	}, "sources")
	alone := false
	for _, s := range k.Sources {
		alone = alone || s.Alone
	}
	if !alone && len(k.Sources) == 1 {
		c.at(n, "the only source of crash has alone: false, so that it can never count")
	}
	c.p.Crash = k
}

func (c *checker) crashSource(n *node, k *Crash) {
	s := CrashSource{Alone: true, Frames: 1}
	c.section(n, "message", func(n *node) {
		if m, ok := c.message(n, "crash: message"); ok {
			s.Message = m
		}
	})
	bits := func(read func(Bit)) func(*node) {
		return func(n *node) {
			c.list(n, "crash", 32, func(item *node) {
				if s.Message == nil {
					return
				}
				if b, ok := c.bit(item, s.Message); ok {
					read(b)
				}
			})
		}
	}
	var directions []Value
	c.mapping(n, "a source of crash", fields{
		"message":  func(*node) {},
		"any":      bits(func(b Bit) { s.Any = append(s.Any, CrashBit{Bit: b}) }),
		"all_zero": bits(func(b Bit) { s.AllZero = append(s.AllZero, b) }),
		"direction": func(n *node) {
			c.list(n, "direction", 32, func(item *node) {
				v, _ := c.literal(item, "direction", Must(CrashDirection))
				directions = append(directions, v)
			})
		},
		"frames": func(n *node) {
			v, _ := c.whole(n, "frames", 1, 20)
			s.Frames = int(v)
		},
		"within": func(n *node) { s.Within, _ = c.duration(n, "within", 10*time.Millisecond, 5*time.Second) },
		"severity": func(n *node) {
			name, ok := c.text(n, "severity")
			if !ok || s.Message == nil {
				return
			}
			if d, ok := c.signalOf(n, "severity", s.Message, name); ok {
				s.Severity = c.read(s.Message, d)
			}
		},
		"alone": func(n *node) { s.Alone, _ = c.boolean(n, "alone") },
	}, "message", "any", "frames", "within")
	if len(directions) > 0 && s.Message != nil && len(directions) != len(s.Any) {
		c.at(n, "direction has %d words for %d bits of any; one for each, in the same order", len(directions), len(s.Any))
		return
	}
	for i := range directions {
		if i < len(s.Any) {
			s.Any[i].Direction = directions[i]
		}
	}
	if s.Message != nil {
		k.Sources = append(k.Sources, s)
	}
}

// bit is a signal of one bit that is always in the message.
func (c *checker) bit(n *node, m *Message) (Bit, bool) {
	name, ok := c.text(n, "crash")
	if !ok {
		return Bit{}, false
	}
	d, ok := c.signalOf(n, "crash", m, name)
	if !ok {
		return Bit{}, false
	}
	if !plainBit(d) {
		c.at(n, "crash: %s has %d bits or is multiplexed; the emergency call reads plain single bits", name, d.Size)
		return Bit{}, false
	}
	return Bit{Signal: c.read(m, d), Number: d.Start}, true
}

func plainBit(d *dbc.Signal) bool { return d.Size == 1 && d.Under == nil }

func (c *checker) onlyWith(n *node) *OnlyWith {
	o := &OnlyWith{Bit: -1}
	var d *dbc.Signal
	var ok bool
	o.Condition, o.Message, d, ok = c.condition(n, "only_with", fields{
		"seen_within": func(n *node) { o.SeenWithin, _ = c.duration(n, "seen_within", time.Second, 5*time.Minute) },
	})
	if !n.has("seen_within") {
		c.at(n, "only_with lacks \"seen_within\"")
	}
	if !ok {
		return nil
	}
	if plainBit(d) && o.Is == 1 {
		o.Bit = d.Start
	} else {
		c.warn(n, "only_with: the emergency call can use single bits that are 1 only, and will do without this condition")
	}
	return o
}
