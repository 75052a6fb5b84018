package vehicle

import (
	"math"
	"strings"

	"github.com/headunit-agent/headunit/agent/profile"
)

// A sourceState is what one source says, apart from its age.
type sourceState struct {
	value   Value
	quality Quality // never [Stale]: that is asked when it is read
	looked  uint8   // of a rule list: inputs that decided; else all

	last   Value // the last good value
	lastAt int64 // up to when it was good; while it is good: see value
	slow   int64 // of the speed: below walking pace since then; 0: it is not

	shown   Value // of a frame that failed its check, where the policy is to show it
	shownAt int64
}

// work computes source n anew, after signals changed and before their ages do.
func (c *Car) work(n int32, at int64) {
	s, is := &c.layout.sources[n], &c.values[n]
	value, quality, looked := s.value(c.slots)
	if is.quality == Good {
		is.last, is.lastAt = is.value, oldest(s, is, c.cells)
	}
	is.value, is.quality, is.looked = value, quality, looked
	if quality == Good {
		is.last, is.lastAt = value, at
	} else {
		is.value = Value{}
	}
	if !s.slow {
		return
	}
	if quality != Good || value.Float() >= standing {
		is.slow = 0
		if quality == Good {
			c.rested = 0
		}
	} else if is.slow == 0 {
		is.slow = max(at, 1)
	}
}

// oldest is the time up to which everything the source looked at is known.
func oldest(s *source, is *sourceState, cells []*cell) int64 {
	at := int64(math.MaxInt64)
	for i, g := range s.groups {
		if !s.counts(is, i) {
			continue
		}
		if cells[g] == nil {
			return never
		}
		at = min(at, cells[g].last.Load())
	}
	return at
}

// counts reports whether group i of the source had a part in its value: of a rule
// list only the inputs up to the rule that held, and their conditions.
func (s *source) counts(is *sourceState, i int) bool {
	if i >= len(s.inputs) {
		i = s.gates[i-len(s.inputs)].input
	}
	return i < int(is.looked)
}

// value works the source out from raw values.
func (s *source) value(slots []slot) (Value, Quality, uint8) {
	switch {
	case s.of.Rules != nil:
		return s.rules(slots)
	case s.of.Chars != nil:
		v, q := s.chars(slots)
		return v, q, uint8(len(s.inputs))
	}
	in, q := s.input(slots, 0)
	if q != Good {
		return Value{}, q, 1
	}
	v, q := s.direct(in)
	return v, q, 1
}

// input is the raw value of input i, if its conditions hold.
func (s *source) input(slots []slot, i int) (slot, Quality) {
	in := slots[s.inputs[i]]
	switch {
	case !in.seen:
		return in, Never
	case in.short:
		return in, Unavailable
	}
	for _, g := range s.gates {
		if g.input != i {
			continue
		}
		if on := slots[g.signal]; !on.seen || on.short || int64(on.raw) != g.is {
			return in, Unavailable
		}
	}
	return in, Good
}

// rules: the first that holds; every signal looked at must be good.
func (s *source) rules(slots []slot) (Value, Quality, uint8) {
	i := 0
	for _, r := range s.of.Rules {
		if r.Always {
			return r.Value, Good, uint8(i)
		}
		in, q := s.input(slots, i)
		i++
		if q != Good {
			return Value{}, q, uint8(i)
		}
		if int64(in.raw) == r.If.Is {
			return r.Value, Good, uint8(i)
		}
	}
	return Value{}, Unavailable, uint8(i)
}

// direct is the transformation of one signal, in the order of the profile.
func (s *source) direct(in slot) (Value, Quality) {
	of := s.of
	for _, i := range of.Invalid {
		if i.Has(int64(in.raw)) {
			return Value{}, Unavailable
		}
	}
	x := in.physical
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return Value{}, Unavailable
	}
	if of.Valid != nil && (x < of.Valid.From || x > of.Valid.To) {
		return Value{}, Range
	}
	// float64 keeps arm64 from fusing the two, which would change the last digit.
	if x = float64(x*of.Scale) + of.Offset; of.Round {
		x = math.Round(x)
	}
	switch {
	case of.Map != nil:
		return s.choose(x)
	case of.Above != nil || of.Below != nil:
		return profile.Bool((of.Above == nil || x > *of.Above) && (of.Below == nil || x < *of.Below)), Good
	case of.Texts != nil:
		v, ok := of.Texts[int64(in.raw)]
		if !ok {
			return Value{}, Unavailable
		}
		return v, Good
	}
	return convert(x, &s.leaf)
}

func (s *source) choose(x float64) (Value, Quality) {
	for _, m := range s.of.Map {
		if m.When == x {
			return m.Value, Good
		}
	}
	if s.of.Other != nil {
		return *s.of.Other, Good
	}
	return Value{}, Unavailable
}

// convert makes a value of the leaf's type, or says that it does not fit.
func convert(x float64, leaf *profile.Leaf) (Value, Quality) {
	switch {
	case leaf.Type == profile.TypeBool:
		return profile.Bool(x != 0), Good
	case x < leaf.Min || x > leaf.Max:
		return Value{}, Range
	case leaf.Type.Integer():
		// 0.1 km counted in meters is off by a rounding error, not by a meter.
		whole := math.Round(x)
		if math.Abs(x-whole) > 1e-6*max(1, math.Abs(x)) {
			return Value{}, Range
		}
		return profile.Int(int64(whole)), Good
	case leaf.Type.Number():
		return profile.Float(x), Good
	}
	return Value{}, Unavailable
}

// chars puts a text together from one signal a character.
func (s *source) chars(slots []slot) (Value, Quality) {
	var text [64]byte
	for i := range s.inputs {
		in, q := s.input(slots, i)
		if q != Good {
			return Value{}, q
		}
		text[i] = byte(in.raw)
	}
	t := string(text[:len(s.inputs)])
	if s.of.Check == "vin" {
		if !legalVIN(t) {
			return Value{}, Unavailable
		}
		return profile.Masked(t), Good
	}
	t = strings.TrimRight(t, "\x00 ")
	if strings.ContainsFunc(t, func(r rune) bool { return r < ' ' || r > '~' }) {
		return Value{}, Unavailable
	}
	return profile.Word(t), Good
}

// legalVIN asks for 17 characters of ISO 3779: digits and letters but I, O, Q.
func legalVIN(s string) bool {
	return len(s) == 17 && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("0123456789ABCDEFGHJKLMNPRSTUVWXYZ", r)
	})
}
