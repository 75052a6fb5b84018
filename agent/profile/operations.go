package profile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/headunit-agent/headunit/canbus/dbc"
)

// An Operation is what the car does for somebody outside: its conditions, its
// frames, and the sign on the bus that it happened.
type Operation struct {
	Name        string
	Parameters  map[string]Argument
	Require     []Requirement
	Wake        string // bus to wake first; empty: none
	Send        Send
	Confirm     Confirm
	Refused     Refused
	Gap         time.Duration // least time between two
	RepeatNever bool          // not even after a time-out
}

// An Argument is what the asker chooses: a number from Min to Max in steps of
// Step, or one of the words (or numbers, as text) of Values.
type Argument struct {
	Min, Max, Step int64
	Values         map[string]float64 // nil: Min, Max and Step hold
}

// A Requirement must hold before every frame. It is one of the names of the
// specification, or a comparison of a good reading.
type Requirement struct {
	Name  string // "stationary" "ignition_off" "no_crash" "no_alarm"; empty: the rest
	Path  Path
	Op    string // "is" "not" "below" "not_below" "in"
	Value Value
	In    []Value // for "in"
	Code  string  // what the asker is told; of a named one the specification's word
}

// Send says which frames carry an operation out.
type Send struct {
	Bus            string
	Message        *dbc.Message
	E2E            *E2E
	Set            []SetValue // the other signals keep their start values
	Every          time.Duration
	AtMost         time.Duration // 0: the seconds of AtMostParam
	AtMostParam    string
	UntilConfirmed bool // else until AtMost
	ThenZero       int  // frames of the rest state afterwards
}

// A SetValue is the physical value of one signal, fixed or of a parameter: the
// operation's, else the car's.
type SetValue struct {
	Signal string
	Value  float64
	Param  string // "" or the parameter's name
}

// Confirm is the sign that it happened: a good reading of Path, or the raw value
// of Signal.
type Confirm struct {
	Path   Path // 0: Signal
	Signal SignalRef
	Is     Value // of Signal: an Int
	Within time.Duration
}

// Refused is how the car says no: raw values of a signal, and our words.
type Refused struct {
	Signal SignalRef // zero: the car does not say
	Codes  map[int64]string
}

// Holds reports whether a good reading's value meets the requirement. For a
// named one it is false: who asks knows what the name means.
func (r *Requirement) Holds(v Value) bool {
	if v.Kind() == NoValue {
		return false
	}
	switch r.Op {
	case "is":
		return v == r.Value
	case "not":
		return v != r.Value
	case "below":
		return v.Float() < r.Value.Float()
	case "not_below":
		return v.Float() >= r.Value.Float()
	case "in":
		return slices.Contains(r.In, v)
	}
	return false
}

var operationNames = []string{
	"lock", "unlock", "vent_start", "heat_start", "climate_start", "aux_stop", "horn_lights", "charge_start", "charge_stop",
	"charge_schedule_set", "departure_timers_set",
}

// requirements are the named conditions, the path each reads, and its code.
var requirements = map[string]struct{ path, code string }{
	"stationary":   {"Vehicle.Speed", "moving"},
	"ignition_off": {"Vehicle.LowVoltageSystemState", "ignition"},
	"no_crash":     {"Vehicle.Safety.Crash.IsDetected", "no_crash"},
	"no_alarm":     {"Vehicle.Body.TheftAlarm.IsTriggered", "no_alarm"},
}

func (c *checker) operations(n *node) {
	c.pairs(n, "operations", func(key, value *node) {
		if !slices.Contains(operationNames, key.text) {
			c.at(key, "there is no operation %q%s", key.text, orList(key.text, operationNames))
			return
		}
		c.p.Operations[key.text] = c.operation(value, key.text)
	})
	if len(n.keys) > 0 && c.p.Proven == ProvenRead {
		c.warn(n, "proven: read, so none of these operations is ever sent")
	}
}

func (c *checker) operation(n *node, name string) *Operation {
	o := &Operation{Name: name, Parameters: make(map[string]Argument)}
	// Parameters first: send may stand before them.
	c.section(n, "parameters", func(n *node) { c.arguments(n, o) })
	c.mapping(n, "operation "+name, fields{
		"parameters": func(*node) {},
		"require":    func(n *node) { c.list(n, "require", 32, func(item *node) { c.requirement(item, o) }) },
		"wake": func(n *node) {
			if bus, ok := c.text(n, "wake"); ok {
				c.wakes(n, bus)
				o.Wake = bus
			}
		},
		"send":    func(n *node) { o.Send = c.sending(n, "send of "+name, o.Parameters, true) },
		"confirm": func(n *node) { o.Confirm = c.confirm(n, name) },
		"refused": func(n *node) { o.Refused = c.refused(n) },
		"gap":     func(n *node) { o.Gap, _ = c.duration(n, "gap", time.Second, time.Hour) },
		"repeat": func(n *node) {
			_, o.RepeatNever = c.choice(n, "repeat", "never")
		},
	}, "send", "confirm")
	return o
}

func (c *checker) wakes(n *node, bus string) {
	if _, ok := c.bus(n, "wake", bus); ok && c.p.Wake[bus] == nil {
		c.at(n, "wake: nothing says how to wake %s; add it to the section wake", bus)
	}
}

func (c *checker) arguments(n *node, o *Operation) {
	c.pairs(n, "parameters", func(key, value *node) {
		name, ok := c.name(key, "a parameter's name")
		if !ok {
			return
		}
		a := Argument{Step: 1}
		c.mapping(value, "parameter "+name, fields{
			"min":    func(n *node) { a.Min, _ = c.whole(n, "min", 0, 1<<31) },
			"max":    func(n *node) { a.Max, _ = c.whole(n, "max", 0, 1<<31) },
			"step":   func(n *node) { a.Step, _ = c.whole(n, "step", 1, 1<<31) },
			"values": func(n *node) { a.Values = c.values(n) },
		})
		switch {
		case value.has("values") == (value.has("min") || value.has("max") || value.has("step")):
			c.at(value, "parameter %s has either min and max, or values", name)
		case value.has("values"):
		case !value.has("min") || !value.has("max") || a.Min > a.Max:
			c.at(value, "parameter %s needs min and max, min not above max", name)
		}
		o.Parameters[name] = a
	})
}

func (c *checker) values(n *node) map[string]float64 {
	values := make(map[string]float64)
	c.pairs(n, "values", func(key, value *node) {
		if v, ok := c.number(value, "values"); ok {
			values[key.text] = v
		}
	})
	if len(n.keys) == 0 {
		c.at(n, "values is empty")
	}
	return values
}

// requirement reads a name, or {path, is|not|below|not_below|in, code}.
func (c *checker) requirement(n *node, o *Operation) {
	if n.shape == scalar {
		names := []string{"stationary", "ignition_off", "no_crash", "no_alarm"}
		if r, ok := requirements[n.text]; ok {
			c.mustHave(n, Must(r.path), "require "+n.text)
			o.Require = append(o.Require, Requirement{Name: n.text, Path: Must(r.path), Code: r.code})
			return
		}
		c.at(n, "require: there is no %q; it is %s, or {path: …, is: …, code: …}", n.text, list(names))
		return
	}
	var r Requirement
	c.section(n, "path", func(n *node) {
		var ok bool
		if r.Path, ok = c.path(n, "path"); ok {
			c.mustHave(n, r.Path, "require")
		}
	})
	ops := 0
	compare := func(op string) func(*node) {
		return func(n *node) {
			ops++
			r.Op = op
			if r.Path == 0 {
				return
			}
			if (op == "below" || op == "not_below") && !r.Path.Leaf().Type.Number() {
				c.at(n, "%s compares numbers, and %s is %s", op, r.Path, r.Path.Leaf().Type)
				return
			}
			if op == "in" {
				c.list(n, "in", 32, func(item *node) {
					if v, ok := c.literal(item, "in", r.Path); ok {
						r.In = append(r.In, v)
					}
				})
				return
			}
			r.Value, _ = c.literal(n, op, r.Path)
		}
	}
	good := c.mapping(n, "a requirement", fields{
		"path": func(*node) {}, "is": compare("is"), "not": compare("not"), "below": compare("below"),
		"not_below": compare("not_below"), "in": compare("in"),
		"code": func(n *node) { r.Code, _ = c.name(n, "code") },
	}, "path", "code")
	if good && ops != 1 {
		c.at(n, "a requirement has one of is, not, below, not_below and in; this one has %d", ops)
	}
	o.Require = append(o.Require, r)
}

// mustHave asks that something fills the path. The sections it needs may stand
// further down.
func (c *checker) mustHave(n *node, p Path, what string) {
	c.later = append(c.later, func() {
		if slices.Contains(crashPaths(), p) {
			if c.p.Crash == nil {
				c.at(n, "%s needs the section crash, which is missing", what)
			}
			return
		}
		if len(c.p.Signals[p]) == 0 {
			c.at(n, "%s reads %s, and nothing in signals fills it", what, p)
		}
	})
}

func (c *checker) confirm(n *node, operation string) Confirm {
	var f Confirm
	within := func(n *node) { f.Within, _ = c.duration(n, "within", 100*time.Millisecond, 10*time.Minute) }
	what := "confirm of " + operation
	if n.has("signal") && !n.has("path") {
		cond, _, _, _ := c.condition(n, what, fields{"within": within})
		f.Signal, f.Is = cond.Signal, Int(cond.Is)
		if !n.has("within") {
			c.at(n, "%s lacks \"within\"", what)
		}
		return f
	}
	c.section(n, "path", func(n *node) {
		var ok bool
		if f.Path, ok = c.path(n, "path"); ok {
			c.mustHave(n, f.Path, what)
		}
	})
	c.mapping(n, what, fields{
		"path": func(*node) {},
		"is": func(n *node) {
			if f.Path != 0 {
				f.Is, _ = c.literal(n, "is", f.Path)
			}
		},
		"within": within,
	}, "path", "is", "within")
	return f
}

func (c *checker) refused(n *node) Refused {
	var r Refused
	var m *Message
	var s *dbc.Signal
	c.section(n, "signal", func(n *node) {
		var ok bool
		if m, s, ok = c.signal(n, "refused: signal"); ok {
			r.Signal = c.read(m, s)
		}
	})
	c.mapping(n, "refused", fields{
		"signal": func(*node) {},
		"codes": func(n *node) {
			r.Codes = make(map[int64]string)
			c.pairs(n, "codes", func(key, value *node) {
				code, ok := c.name(value, "a code")
				if s == nil || !ok {
					return
				}
				if raw, ok := c.raw(key, "codes", s); ok {
					r.Codes[raw] = code
				}
			})
		},
	}, "signal", "codes")
	return r
}

// param takes $name apart.
func param(n *node) (string, bool) {
	if n.shape != scalar {
		return "", false
	}
	return strings.CutPrefix(n.text, "$")
}

// span is the range of numbers that a parameter can bring.
func (a Argument) span() (lo, hi float64) {
	if a.Values == nil {
		return float64(a.Min), float64(a.Max)
	}
	first := true
	for _, v := range a.Values {
		if first || v < lo {
			lo = v
		}
		if first || v > hi {
			hi = v
		}
		first = false
	}
	return lo, hi
}

// argument finds the range of $name: the operation's parameter, else the car's.
func (c *checker) argument(n *node, name string, of map[string]Argument) (lo, hi float64, ok bool) {
	if a, ok := of[name]; ok {
		lo, hi = a.span()
		return lo, hi, true
	}
	if p, ok := c.p.Parameters[name]; ok {
		return float64(p.Min), float64(p.Max), true
	}
	var names []string
	for k := range of {
		names = append(names, k)
	}
	for k := range c.p.Parameters {
		names = append(names, k)
	}
	slices.Sort(names)
	c.at(n, "there is no parameter %q%s", name, orList(name, names))
	return 0, 0, false
}

// perSecond is for mistakes about rates.
func perSecond(every time.Duration) string {
	return fmt.Sprintf("%.3g frames/s", float64(time.Second)/float64(every))
}
