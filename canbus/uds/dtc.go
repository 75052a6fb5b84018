package uds

import (
	"errors"
	"fmt"
	"strconv"
)

// A DTC is a diagnostic trouble code of three octets: the fault code (ISO 15031-6,
// SAE J2012) and the failure type.
type DTC uint32

// String is the code as people know it: "U0121-00". The letter is chosen by the
// top two bits (P C B U), the next two are a digit, then three hex digits and
// the failure type.
func (d DTC) String() string {
	return fmt.Sprintf("%s-%02X", OBDCode(d>>8), uint8(d))
}

// ErrDTC is what [ParseDTC] says of a text that is no code.
var ErrDTC = errors.New("not a trouble code")

// ParseDTC reads what String writes, and nothing else.
func ParseDTC(s string) (DTC, error) {
	const shape = "U0121-00"
	if len(s) == len(shape) && s[5] == '-' {
		v, err := strconv.ParseUint("0"+s[1:5]+s[6:], 16, 32)
		for i, letter := range "PCBU" {
			if d := DTC(i)<<22 | DTC(v); err == nil && rune(s[0]) == letter && d.String() == s {
				return d, nil
			}
		}
	}
	return 0, fmt.Errorf("%w: %q", ErrDTC, s)
}

// An OBDCode is a trouble code of two octets, as OBD-II has it.
type OBDCode uint16

// String is the code as people know it: "P0301".
func (c OBDCode) String() string {
	c &= 0xFFFF
	return fmt.Sprintf("%c%d%03X", "PCBU"[c>>14], c>>12&3, uint16(c)&0xFFF)
}

// A Status is what a unit says about a code (ISO 14229-1, DTC status byte).
type Status uint8

// The bits that matter here.
const (
	FailedNow Status = 1 << 0
	IsPending Status = 1 << 2
	Confirmed Status = 1 << 3
	Lamp      Status = 1 << 7

	// Faults is the mask that a health report asks with.
	Faults = FailedNow | IsPending | Confirmed
)

// A Code is a fault code with its status.
type Code struct {
	DTC    DTC
	Status Status
}

// A DTCList is the answer to [ReadDTCByMask] (Sub 2) and [ReadDTCSupported] (0A).
type DTCList struct {
	Sub          uint8
	Availability Status // the bits that the unit keeps at all
	Codes        []Code
}

// Encode is the answer as it is sent.
func (l DTCList) Encode() []byte {
	b := []byte{byte(ReadDTCSID) + positive, l.Sub, byte(l.Availability)}
	for _, c := range l.Codes {
		b = append(put24(b, uint32(c.DTC)), byte(c.Status))
	}
	return b
}

// DecodeDTCList reads the answer to [ReadDTCByMask] or [ReadDTCSupported].
func DecodeDTCList(b []byte) (DTCList, error) {
	if len(b) < 3 || b[0] != byte(ReadDTCSID)+positive || b[1] != 2 && b[1] != 0x0A || (len(b)-3)%4 != 0 {
		return DTCList{}, malformed("a list of fault codes", b)
	}
	l := DTCList{Sub: b[1], Availability: Status(b[2]), Codes: make([]Code, 0, (len(b)-3)/4)}
	for at := 3; at < len(b); at += 4 {
		l.Codes = append(l.Codes, Code{DTC(get24(b[at:])), Status(b[at+3])})
	}
	return l, nil
}

// A DTCRecord is the beginning of the answer to [ReadDTCSnapshot] (Sub 4) and
// [ReadDTCExtended] (6). Records is what follows: its layout is the maker's.
type DTCRecord struct {
	Sub     uint8
	Code    Code
	Records []byte
}

// Encode is the answer as it is sent.
func (r DTCRecord) Encode() []byte {
	b := put24([]byte{byte(ReadDTCSID) + positive, r.Sub}, uint32(r.Code.DTC))
	return append(append(b, byte(r.Code.Status)), r.Records...)
}

// DecodeDTCRecord reads the answer to [ReadDTCSnapshot] or [ReadDTCExtended].
func DecodeDTCRecord(b []byte) (DTCRecord, error) {
	if len(b) < 6 || b[0] != byte(ReadDTCSID)+positive || b[1] != 4 && b[1] != 6 {
		return DTCRecord{}, malformed("the record of a fault code", b)
	}
	return DTCRecord{b[1], Code{DTC(get24(b[2:])), Status(b[5])}, b[6:]}, nil
}
