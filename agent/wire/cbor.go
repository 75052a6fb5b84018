package wire

import (
	"bytes"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// The three modes of the package. Nothing here uses the library's defaults.
var (
	encMode = mustEncMode()
	fromNet = mustDecMode(32, 16)  // what comes down to the car
	fromCar = mustDecMode(128, 32) // what comes up from it, for the backend and the phone
)

func mustEncMode() cbor.EncMode {
	o := cbor.CoreDetEncOptions()
	o.NilContainers = cbor.NilContainerAsEmpty // an empty list is a list, not null
	o.TagsMd = cbor.TagsForbidden
	m, err := o.EncMode()
	if err != nil {
		panic(err) // wrong options: every test of the package would say so
	}
	return m
}

func mustDecMode(elements, pairs int) cbor.DecMode {
	simple, err := cbor.NewSimpleValueRegistryFromDefaults(
		cbor.WithRejectedSimpleValue(22), cbor.WithRejectedSimpleValue(23)) // null, undefined
	if err != nil {
		panic(err)
	}
	m, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:   4,
		MaxArrayElements:  elements,
		MaxMapPairs:       pairs,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		IntDec:            cbor.IntDecConvertSignedOrFail,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		SimpleValues:      simple,
		NaN:               cbor.NaNDecodeForbidden,
		Inf:               cbor.InfDecodeForbidden,
		BignumTag:         cbor.BignumTagForbidden,
	}.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}

// bare is the kind of what has none.
const bare Kind = 0

// A ranged is a message that knows which values it may hold.
type ranged interface{ check() error }

// encode writes a message after its ranges were checked: what this side would
// refuse to read it does not say either.
func encode(form any, m ranged) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	b, err := encMode.Marshal(form)
	if err != nil {
		return nil, &Error{Fault: Malformed, Text: "cannot be encoded", Err: err}
	}
	return b, nil
}

// decode reads b into form, which m is part of. Encoding again finds what a
// lenient library lets pass: longer integers, unsorted keys, missing fields,
// arrays in place of strings.
func decode(mode cbor.DecMode, limit int, b []byte, kind Kind, form any, m ranged) error {
	if len(b) > limit {
		return &Error{Fault: TooLong, Text: "too long"}
	}
	if k, ok := firstKind(b); ok && k != kind && kind != bare {
		return &Error{Fault: Other, Field: 1, Text: "not " + kind.String()}
	}
	if err := mode.Unmarshal(b, form); err != nil {
		return &Error{Fault: Malformed, Text: "not as the CDDL says", Err: err}
	}
	again, err := encMode.Marshal(form)
	if err != nil || !bytes.Equal(again, b) {
		return &Error{Fault: Unlike, Text: "would be written differently", Err: err}
	}
	return m.check()
}

// A rule is one field's range, and whether the value keeps to it.
type rule struct {
	field int
	kept  bool
	text  string
}

// firstBroken returns the first rule that is broken.
func firstBroken(rules ...rule) error {
	for _, r := range rules {
		if !r.kept {
			return &Error{Fault: OutOfRange, Field: r.field, Text: r.text}
		}
	}
	return nil
}

// isWord is the CDDL's word: [a-z][a-z0-9-]{1,23}.
func isWord(s string) bool {
	return len(s) >= 2 && len(s) <= 24 && isLetter(s[0]) && isTail(s[1:])
}

func areWords(words []string, most int) bool {
	for _, w := range words {
		if !isWord(w) {
			return false
		}
	}
	return len(words) <= most
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' }

func isTail(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

func sized(s string, least, most int) bool {
	return len(s) >= least && len(s) <= most && utf8.ValidString(s)
}
