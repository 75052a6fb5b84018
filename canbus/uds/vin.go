package uds

import (
	"errors"
	"fmt"
	"strings"
	"unique"
)

// A VIN is a vehicle identification number of 17 legal characters (ISO 3779).
// It is comparable, and it does not show itself: not in a text, not in JSON, not
// inside another type. The zero value is none.
type VIN struct{ h unique.Handle[string] }

// ErrVIN is what [ParseVIN] says; it does not repeat what it was given.
var ErrVIN = errors.New("not a vehicle identification number")

// ParseVIN accepts 17 digits and capital letters without I, O and Q.
func ParseVIN(s string) (VIN, error) {
	if len(s) != 17 {
		return VIN{}, ErrVIN
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') || strings.IndexByte("IOQ", c) >= 0 {
			return VIN{}, ErrVIN
		}
	}
	return VIN{unique.Make(s)}, nil
}

// Reveal is the number itself, or "" of none.
func (v VIN) Reveal() string {
	if v == (VIN{}) {
		return ""
	}
	return v.h.Value()
}

// String does not show the number.
func (v VIN) String() string {
	if v == (VIN{}) {
		return "no VIN"
	}
	return "VIN hidden"
}

// Format writes String, whatever the verb.
func (v VIN) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, v.String()) }

// MarshalText is String.
func (v VIN) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// A Sighting is a VIN and where it was read: "broadcast", or an address and a
// data identifier.
type Sighting struct {
	Source string
	VIN    VIN
}

// Agree is the VIN that two sightings agree on, be they of two sources or of one
// asked twice. Where two such pairs contradict each other there is none.
func Agree(seen []Sighting) (VIN, bool) {
	var agreed VIN
	for i, a := range seen {
		for _, b := range seen[:i] {
			switch {
			case a.VIN == (VIN{}) || a.VIN != b.VIN:
			case agreed != (VIN{}) && agreed != a.VIN:
				return VIN{}, false
			default:
				agreed = a.VIN
			}
		}
	}
	return agreed, agreed != (VIN{})
}
