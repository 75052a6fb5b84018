package profile

import "github.com/headunit-agent/headunit/canbus/dbc"

// A Source says how one path gets its value: from one signal (From), by a list
// of rules (Rules), or from a row of characters (Chars).
//
// From a signal the way is: Invalid, ValidIf (and that of the message), Valid,
// then Scale, Offset, Round, Map, Other, Above, Below, Text, and last the
// conversion to the catalogue's type, which clamps nothing.
type Source struct {
	Path Path

	From    SignalRef
	Invalid []Span     // raw values that mean "not available"
	ValidIf *Condition // nil: always
	Valid   *Span64    // of the physical value, as the DBC file scales it; nil: any
	Scale   float64    // 1 does nothing
	Offset  float64
	Round   bool // half away from zero
	Map     []Choice
	Other   *Value   // for what Map lacks; nil: not available
	Above   *float64 // true when greater
	Below   *float64 // true when less
	Texts   map[int64]Value

	Rules []Rule

	Chars []SignalRef
	Check string // "vin" or nothing

	line, col int
}

// A Span is raw values from From to To, both included.
type Span struct{ From, To int64 }

// Has reports whether raw lies in the span.
func (s Span) Has(raw int64) bool { return s.From <= raw && raw <= s.To }

// A Span64 is physical values from From to To, both included.
type Span64 struct{ From, To float64 }

// A Choice gives Value for one number.
type Choice struct {
	When  float64
	Value Value
}

// A Rule gives Value when its condition holds; one with Always set needs none.
type Rule struct {
	If     Condition
	Always bool
	Value  Value
}

// Signals are the signals that the source reads, in order.
func (s *Source) Signals() []SignalRef {
	switch {
	case s.Rules != nil:
		var refs []SignalRef
		for _, r := range s.Rules {
			if !r.Always {
				refs = append(refs, r.If.Signal)
			}
		}
		return refs
	case s.Chars != nil:
		return s.Chars
	}
	return []SignalRef{s.From}
}

// wholeSteps reports whether every value of d, scaled, is a whole number.
func (s *Source) wholeSteps(d *dbc.Signal) bool {
	step, first := d.Factor*s.Scale, float64(d.Offset*s.Scale)+s.Offset
	return step == float64(int64(step)) && first == float64(int64(first))
}
