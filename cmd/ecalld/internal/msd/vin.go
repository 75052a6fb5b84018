package msd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rs/zerolog"
)

// letters are those a VIN may hold, in the order of their codes (no I, O, Q).
const letters = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"

// codes is letters turned around: code + 1, 0 for no letter of a VIN.
var codes = func() (t [256]uint8) {
	for i := range len(letters) {
		t[letters[i]] = uint8(i) + 1
	}
	return t
}()

// ErrVIN is returned by [ParseVIN]; it does not repeat what it was given.
var ErrVIN = errors.New("not a VIN: 17 of 0-9 and A-Z without I, O and Q")

// A VIN is a vehicle identification number (ISO 3779). The zero value is not
// known and is sent as seventeen zeros. It hides itself from every kind of
// printing; string(v[:]) is the only way to read it.
type VIN [17]byte

// ParseVIN reads s strictly: no blanks, no lower case.
func ParseVIN(s string) (VIN, error) {
	var v VIN
	if len(s) != len(v) {
		return VIN{}, ErrVIN
	}
	for i := range v {
		if codes[s[i]] == 0 {
			return VIN{}, ErrVIN
		}
		v[i] = s[i]
	}
	return v, nil
}

const hidden = "(hidden)"

func (VIN) String() string                                 { return "VIN " + hidden }
func (v VIN) Format(f fmt.State, _ rune)                   { _, _ = f.Write([]byte(v.String())) }
func (v VIN) MarshalText() ([]byte, error)                 { return []byte(v.String()), nil }
func (VIN) MarshalZerologObject(e *zerolog.Event)          { e.Bool("hidden", true) }
func (Position) String() string                            { return "position " + hidden }
func (p Position) Format(f fmt.State, _ rune)              { _, _ = f.Write([]byte(p.String())) }
func (p Position) MarshalText() ([]byte, error)            { return []byte(p.String()), nil }
func (Position) MarshalZerologObject(e *zerolog.Event)     { e.Bool("hidden", true) }
func (Delta) String() string                               { return "delta " + hidden }
func (d Delta) Format(f fmt.State, _ rune)                 { _, _ = f.Write([]byte(d.String())) }
func (d Delta) MarshalText() ([]byte, error)               { return []byte(d.String()), nil }
func (Delta) MarshalZerologObject(e *zerolog.Event)        { e.Bool("hidden", true) }
func (a Additional) String() string                        { return "data of " + a.OID.String() + " " + hidden }
func (a Additional) Format(f fmt.State, _ rune)            { _, _ = f.Write([]byte(a.String())) }
func (a Additional) MarshalText() ([]byte, error)          { return []byte(a.String()), nil }
func (a Additional) MarshalZerologObject(e *zerolog.Event) { e.Stringer("oid", a.OID) }

// String says which MSD this is, and nothing that is in it.
func (m MSD) String() string               { return fmt.Sprintf("MSD v%d id %d %s", m.Version, m.ID, hidden) }
func (m MSD) Format(f fmt.State, _ rune)   { _, _ = f.Write([]byte(m.String())) }
func (m MSD) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// MarshalZerologObject logs version and identifier, and nothing else.
func (m MSD) MarshalZerologObject(e *zerolog.Event) { e.Uint8("v", m.Version).Uint8("id", m.ID) }

// An OID is a relative object identifier as its octets (X.690, 8.20). It is
// comparable and may be malformed if a stranger sent it.
type OID string

// EuroNCAP is 8.1: the crash as Euro NCAP TB 040 describes it; see [Impact].
const EuroNCAP OID = "\x08\x01"

// ParseOID reads the dotted form, such as "1.2.125".
func ParseOID(s string) (OID, error) {
	var b []byte
	for part := range strings.SplitSeq(s, ".") {
		var v uint32
		if part == "" || len(part) > 9 || len(part) > 1 && part[0] == '0' {
			return "", fmt.Errorf("%q is not a relative object identifier", s)
		}
		for _, r := range part {
			if r < '0' || r > '9' {
				return "", fmt.Errorf("%q is not a relative object identifier", s)
			}
			v = v*10 + uint32(r-'0')
		}
		for shift := 28; shift > 0; shift -= 7 {
			if v>>shift != 0 {
				b = append(b, 0x80|byte(v>>shift&0x7F))
			}
		}
		b = append(b, byte(v&0x7F))
	}
	return OID(b), nil
}

// String is the dotted form, or hex where the octets are none.
func (o OID) String() string {
	var s []byte
	var v uint64
	for i := range len(o) {
		v = v<<7 | uint64(o[i]&0x7F)
		if v > 1<<32 || o[i] == 0x80 && (i == 0 || o[i-1] < 0x80) {
			return fmt.Sprintf("%X", string(o))
		}
		if o[i] < 0x80 {
			if s != nil {
				s = append(s, '.')
			}
			s = fmt.Appendf(s, "%d", v)
			v = 0
		} else if i == len(o)-1 {
			return fmt.Sprintf("%X", string(o))
		}
	}
	return string(s)
}
