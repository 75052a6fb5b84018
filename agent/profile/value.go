package profile

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/rs/zerolog"
)

// A Kind says what a [Value] holds.
type Kind uint8

// The kinds of a value.
const (
	NoValue    Kind = iota
	BoolKind        // true or false
	IntKind         // a whole number in the unit of its leaf
	FloatKind       // a number in the unit of its leaf
	WordKind        // a word of the catalogue, or a text
	MaskedKind      // a text that must not be read by accident: the VIN
)

// A Value is one value of a leaf. It is comparable; the zero Value is none and
// equals no other.
type Value struct {
	kind Kind
	bits uint64 // bool, int64, or the IEEE 754 bits of a float64
	word string
}

// Bool is a truth.
func Bool(v bool) Value {
	if v {
		return Value{kind: BoolKind, bits: 1}
	}
	return Value{kind: BoolKind}
}

// Int is a whole number.
func Int(v int64) Value { return Value{kind: IntKind, bits: uint64(v)} }

// Float is a number. Negative zero becomes zero, so that equal numbers are equal
// values.
func Float(v float64) Value {
	if v == 0 {
		v = 0
	}
	return Value{kind: FloatKind, bits: math.Float64bits(v)}
}

// Word is a word of the catalogue.
func Word(v string) Value { return Value{kind: WordKind, word: v} }

// Masked is a text that String, JSON and log show as stars. Only [Value.Reveal]
// gives it back.
func Masked(v string) Value { return Value{kind: MaskedKind, word: v} }

// Kind says which of the methods below has an answer.
func (v Value) Kind() Kind { return v.kind }

// Bool is false for what is no truth.
func (v Value) Bool() bool { return v.kind == BoolKind && v.bits == 1 }

// Int is 0 for what is no whole number.
func (v Value) Int() int64 {
	if v.kind != IntKind {
		return 0
	}
	return int64(v.bits)
}

// Float is the number, whole or not; 0 for what is no number.
func (v Value) Float() float64 {
	switch v.kind {
	case FloatKind:
		return math.Float64frombits(v.bits)
	case IntKind:
		return float64(int64(v.bits))
	case NoValue, BoolKind, WordKind, MaskedKind:
	}
	return 0
}

// Word is the word; empty for everything else, masked texts included.
func (v Value) Word() string {
	if v.kind != WordKind {
		return ""
	}
	return v.word
}

// Reveal is the text behind a masked value. Who calls it has a reason to read
// the VIN: the emergency call's configuration, a sealed enrolment message.
func (v Value) Reveal() string {
	if v.kind != MaskedKind {
		return ""
	}
	return v.word
}

const stars = "***"

// String is for people; a masked value is stars.
func (v Value) String() string {
	switch v.kind {
	case BoolKind:
		return strconv.FormatBool(v.bits == 1)
	case IntKind:
		return strconv.FormatInt(int64(v.bits), 10)
	case FloatKind:
		return strconv.FormatFloat(math.Float64frombits(v.bits), 'g', -1, 64)
	case WordKind:
		return v.word
	case MaskedKind:
		return stars
	case NoValue:
	}
	return "none"
}

// GoString keeps %#v from reading a masked value.
func (v Value) GoString() string { return v.String() }

// MarshalJSON writes what String shows, as a JSON value; none is null.
func (v Value) MarshalJSON() ([]byte, error) {
	switch v.kind {
	case BoolKind, IntKind:
		return []byte(v.String()), nil
	case FloatKind:
		return json.Marshal(v.Float()) // refuses what JSON cannot say
	case WordKind, MaskedKind:
		return json.Marshal(v.String())
	case NoValue:
	}
	return []byte("null"), nil
}

// MarshalZerologObject logs what String shows.
func (v Value) MarshalZerologObject(e *zerolog.Event) { e.Str("value", v.String()) }
