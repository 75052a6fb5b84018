package uds

import (
	"encoding/binary"
	"fmt"
	"time"
)

// The data identifiers that every maker means the same by (ISO 14229-1, annex C).
const (
	IDPart     uint16 = 0xF187 // spare part number
	IDSoftware uint16 = 0xF189 // software version
	IDSerial   uint16 = 0xF18C // serial number
	IDVIN      uint16 = 0xF190 // see [VIN]
	IDName     uint16 = 0xF197 // of the system
)

// A Value is what a unit says for one data identifier. It may be a VIN: it does
// not show itself, as [VIN] does not.
type Value struct {
	ID   uint16
	Data []byte
}

// String is the identifier and the length.
func (v Value) String() string { return fmt.Sprintf("%04X (%d octets)", v.ID, len(v.Data)) }

// Format writes String, whatever the verb.
func (v Value) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, v.String()) }

// MarshalText is String.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// EncodeData is the positive answer to [ReadData].
func EncodeData(values ...Value) []byte {
	b := []byte{byte(ReadDataSID) + positive}
	for _, v := range values {
		b = append(binary.BigEndian.AppendUint16(b, v.ID), v.Data...)
	}
	return b
}

// DecodeData reads the answer to ids. A unit leaves out what it does not have,
// and keeps the order. The answer does not say how long a value is: length does,
// 0 for unknown, and may be nil. A value of unknown length can only be the last
// of ids; with it in another place the answer cannot be taken apart, and is an
// [ErrFormat]. The values alias b.
func DecodeData(b []byte, ids []uint16, length func(id uint16) int) ([]Value, error) {
	if len(b) < 4 || b[0] != byte(ReadDataSID)+positive {
		return nil, malformed("data", b)
	}
	var values []Value
	rest := b[1:]
	for i, id := range ids {
		if len(rest) < 2 || binary.BigEndian.Uint16(rest) != id {
			continue
		}
		n := 0
		if length != nil {
			n = length(id)
		}
		rest = rest[2:]
		switch {
		case n > len(rest):
			return nil, malformed(fmt.Sprintf("a value of %04X", id), rest)
		case n <= 0 && i < len(ids)-1:
			return nil, fmt.Errorf("%w: nobody knows how long %04X is", ErrFormat, id)
		case n <= 0:
			n = len(rest)
		}
		values = append(values, Value{id, rest[:n]})
		rest = rest[n:]
	}
	if len(values) == 0 || len(rest) > 0 {
		return nil, malformed("data that were not asked for", b)
	}
	return values, nil
}

// Timing is how long a unit may take: P2 until it answers, P2Star after each
// time that it asked for more.
type Timing struct{ P2, P2Star time.Duration }

// DefaultTiming holds until a unit says otherwise (ISO 14229-2).
var DefaultTiming = Timing{50 * time.Millisecond, 5 * time.Second}

// A Session is the positive answer to [SessionControl].
type Session struct {
	Session uint8
	Timing  Timing // P2 in steps of 1 ms, P2Star of 10 ms
}

// Encode is the answer as it is sent.
func (s Session) Encode() []byte {
	b := []byte{byte(SessionSID) + positive, s.Session}
	b = binary.BigEndian.AppendUint16(b, uint16(s.Timing.P2/time.Millisecond))
	return binary.BigEndian.AppendUint16(b, uint16(s.Timing.P2Star/(10*time.Millisecond)))
}

// DecodeSession reads the answer to [SessionControl]. Older units leave the
// times out: they are the defaults then, as they are where a unit says 0.
func DecodeSession(b []byte) (Session, error) {
	if len(b) != 2 && len(b) != 6 || b[0] != byte(SessionSID)+positive {
		return Session{}, malformed("a session", b)
	}
	s := Session{b[1], DefaultTiming}
	if len(b) == 6 {
		if v := binary.BigEndian.Uint16(b[2:]); v > 0 {
			s.Timing.P2 = time.Duration(v) * time.Millisecond
		}
		if v := binary.BigEndian.Uint16(b[4:]); v > 0 {
			s.Timing.P2Star = time.Duration(v) * 10 * time.Millisecond
		}
	}
	return s, nil
}
