package wire

import (
	"fmt"
	"strconv"

	"github.com/fxamacker/cbor/v2"
)

// A Value is a boolean, a number of steps, or a word of the catalogue. The zero
// Value is none of them and cannot be encoded.
type Value struct {
	kind valueKind
	n    int64
	text string
}

type valueKind uint8

const (
	noValue valueKind = iota
	boolean
	integer
	word
)

const maxText = 24 // octets of a word

// Bool returns a boolean value.
func Bool(b bool) Value {
	v := Value{kind: boolean}
	if b {
		v.n = 1
	}
	return v
}

// Int returns a number, counted in steps of its signal ([Signal.Count]).
func Int(n int64) Value { return Value{kind: integer, n: n} }

// Text returns a word of the catalogue, 1 to 24 octets.
func Text(s string) Value { return Value{kind: word, text: s} }

// Bool returns the boolean, and whether it is one.
func (v Value) Bool() (b, ok bool) { return v.n == 1, v.kind == boolean }

// Int returns the number of steps, and whether it is a number.
func (v Value) Int() (int64, bool) { return v.n, v.kind == integer }

// Text returns the word, and whether it is one.
func (v Value) Text() (string, bool) { return v.text, v.kind == word }

// String returns the value as people read it.
func (v Value) String() string {
	switch v.kind {
	case boolean:
		return strconv.FormatBool(v.n == 1)
	case integer:
		return strconv.FormatInt(v.n, 10)
	case word:
		return v.text
	case noValue:
	}
	return "nothing"
}

func (v Value) content() (any, error) {
	switch v.kind {
	case boolean:
		return v.n == 1, nil
	case integer:
		return v.n, nil
	case word:
		return v.text, nil
	case noValue:
	}
	return nil, &Error{Fault: OutOfRange, Field: 18, Text: "a reading without a value"}
}

// MarshalCBOR implements cbor.Marshaler.
func (v Value) MarshalCBOR() ([]byte, error) {
	c, err := v.content()
	if err != nil {
		return nil, err
	}
	return encMode.Marshal(c)
}

// UnmarshalCBOR implements cbor.Unmarshaler.
func (v *Value) UnmarshalCBOR(b []byte) error {
	var c any
	if err := fromCar.Unmarshal(b, &c); err != nil {
		return err
	}
	switch c := c.(type) {
	case bool:
		*v = Bool(c)
	case int64:
		*v = Int(c)
	case string:
		*v = Text(c)
	default:
		return fmt.Errorf("a value is a boolean, an integer or a word, not %T", c)
	}
	return nil
}

// A Quality says how far a reading or a gap may be believed.
type Quality uint8

// The qualities. The first two come with a value, in a [Reading], the others
// without, in a [Gap].
const (
	Good        Quality = 0
	Stale       Quality = 1 // the last good value, with its age
	Never       Quality = 2 // never seen
	Unavailable Quality = 3 // the car says that it does not know
	BadRange    Quality = 4 // outside its range
)

// A Source says where a reading comes from.
type Source uint8

// The sources.
const (
	FromBus         Source = 0
	FromDiagnostics Source = 1
	FromGNSS        Source = 2
	Computed        Source = 3
	FromSetting     Source = 4
)

// A Reading is one signal's value. On the wire it is an array without the zeros
// at its end.
type Reading struct {
	Signal  uint8 // 1 to 255, number in [Signals]
	Value   Value
	Age     uint32 // seconds
	Quality Quality
	Source  Source
}

// MarshalCBOR implements cbor.Marshaler.
func (r Reading) MarshalCBOR() ([]byte, error) {
	a := append(make([]any, 0, 5), r.Signal, r.Value, r.Age, uint8(r.Quality), uint8(r.Source))
	return marshalShort(a, 2)
}

// marshalShort writes an array without the zeros at its end, of least members.
func marshalShort(a []any, least int) ([]byte, error) {
	for len(a) > least && (a[len(a)-1] == uint8(0) || a[len(a)-1] == uint32(0)) {
		a = a[:len(a)-1]
	}
	return encMode.Marshal(a)
}

// UnmarshalCBOR implements cbor.Unmarshaler.
func (r *Reading) UnmarshalCBOR(b []byte) error {
	*r = Reading{}
	return unmarshalShort(b, 2, &r.Signal, &r.Value, &r.Age, (*uint8)(&r.Quality), (*uint8)(&r.Source))
}

// unmarshalShort reads an array of at least least members into those of into
// that are there.
func unmarshalShort(b []byte, least int, into ...any) error {
	var a []cbor.RawMessage
	if err := fromCar.Unmarshal(b, &a); err != nil {
		return err
	}
	if len(a) < least || len(a) > len(into) {
		return fmt.Errorf("an array of %d members", len(a))
	}
	for i, raw := range a {
		if err := fromCar.Unmarshal(raw, into[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reading) check() error {
	text, isText := r.Value.Text()
	return firstBroken(
		rule{18, r.Signal != 0, "signals count from 1"},
		rule{18, r.Value.kind != noValue, "a reading without a value"},
		rule{18, !isText || sized(text, 1, maxText), "a word has 1 to 24 octets"},
		rule{18, r.Quality <= Stale, "a reading is good or stale"},
		rule{18, r.Source <= FromSetting, "no such source"},
	)
}

// checkReadings checks each of at most most readings.
func checkReadings(rs []Reading, most int) error {
	if len(rs) > most {
		return &Error{Fault: OutOfRange, Field: 18, Text: "too many readings"}
	}
	for i := range rs {
		if err := rs[i].check(); err != nil {
			return err
		}
	}
	return nil
}

// A Gap is a signal that has no value now, and why.
type Gap struct {
	Signal  uint8   // 1 to 255, number in [Signals]
	Quality Quality // Never, Unavailable or BadRange
	Age     uint32  // seconds
}

// MarshalCBOR implements cbor.Marshaler.
func (g Gap) MarshalCBOR() ([]byte, error) {
	return marshalShort([]any{g.Signal, uint8(g.Quality), g.Age}, 2)
}

// UnmarshalCBOR implements cbor.Unmarshaler.
func (g *Gap) UnmarshalCBOR(b []byte) error {
	*g = Gap{}
	return unmarshalShort(b, 2, &g.Signal, (*uint8)(&g.Quality), &g.Age)
}

func checkGaps(gs []Gap, most int) error {
	if len(gs) > most {
		return &Error{Fault: OutOfRange, Field: 19, Text: "too many gaps"}
	}
	for _, g := range gs {
		if err := firstBroken(
			rule{19, g.Signal != 0, "signals count from 1"},
			rule{19, g.Quality >= Never && g.Quality <= BadRange, "a gap is never seen, unavailable or out of range"},
		); err != nil {
			return err
		}
	}
	return nil
}
