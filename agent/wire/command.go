package wire

import (
	"crypto/sha256"

	"github.com/fxamacker/cbor/v2"
)

// The largest payloads of what comes down, inside envelope and box.
const (
	maxCommand = 4096
	maxSmall   = 1024
)

// Lengths of fields that are boxes or envelopes themselves.
const (
	proofLen = minBox + 4 // four digits in a box
	minGrant = 100
	maxGrant = 256
)

// MaxSeq is the highest sequence number of a command. It starts at 1.
const MaxSeq = 1<<32 - 2

// A Command asks the car for one operation, once. The phone signs it
// ([KindCommand]) and seals it to the car.
type Command struct {
	Car       Name            `cbor:"2,keyasint"`
	Epoch     Epoch           `cbor:"3,keyasint"`
	Users     uint32          `cbor:"5,keyasint"` // version of the user list that the phone knows
	Seq       uint32          `cbor:"6,keyasint"` // 1 to MaxSeq, never used before with this key
	Expires   uint32          `cbor:"7,keyasint"` // vehicle seconds
	ID        ID              `cbor:"8,keyasint"`
	Operation uint64          `cbor:"9,keyasint"` // number in [Operations], known or not
	Arguments cbor.RawMessage `cbor:"10,keyasint,omitzero"`
	Proof     []byte          `cbor:"11,keyasint,omitzero"` // S-PIN, [SealPIN]
	Grant     []byte          `cbor:"12,keyasint,omitzero"` // signed grant; optional until grants are judged
	Challenge ID              `cbor:"13,keyasint,omitzero"` // echo of the car's, if it asked for one
	NewPIN    []byte          `cbor:"52,keyasint,omitzero"` // [SealNewPIN]
}

type commandForm struct {
	Kind Kind `cbor:"1,keyasint"`
	Command
}

func (c *Command) check() error {
	return firstBroken(
		rule{6, c.Seq >= 1 && c.Seq <= MaxSeq, "sequence numbers are 1 to 2^32-2"},
		rule{10, c.Arguments == nil || isMap(c.Arguments), "arguments are a map"},
		rule{11, c.Proof == nil || len(c.Proof) == proofLen, "a proof has 85 octets"},
		rule{12, c.Grant == nil || len(c.Grant) >= minGrant && len(c.Grant) <= maxGrant, "no grant is so long"},
		rule{52, c.NewPIN == nil || len(c.NewPIN) == proofLen, "a new S-PIN has 85 octets"},
	)
}

// Encode returns the payload that is signed.
func (c Command) Encode() ([]byte, error) { return encode(commandForm{KindCommand, c}, &c) }

// DecodeCommand reads a command. Its arguments are unread yet: what they are
// depends on the operation, and [DecodeMinutes] and the others read them.
func DecodeCommand(b []byte) (Command, error) {
	var f commandForm
	if err := decode(fromNet, maxCommand, b, KindCommand, &f, &f.Command); err != nil {
		return Command{}, err
	}
	return f.Command, nil
}

// proofAAD binds an S-PIN to its command: the hash of the command without the
// boxes themselves.
func (c Command) proofAAD() ([]byte, error) {
	c.Proof, c.NewPIN = nil, nil
	b, err := c.Encode()
	if err != nil {
		return nil, err
	}
	h := sha256.Sum256(b)
	return h[:], nil
}

// SealPIN returns the S-PIN, four digits, in a box for the car that opens with
// this very command alone ([Command.Proof]). Everything else in the command must
// be as it will be sent.
func SealPIN(to SealPublic, c Command, digits string) ([]byte, error) {
	return c.sealDigits(to, "hu/pin/v1", digits)
}

// SealNewPIN is [SealPIN] for the S-PIN that shall be valid ([Command.NewPIN]).
func SealNewPIN(to SealPublic, c Command, digits string) ([]byte, error) {
	return c.sealDigits(to, "hu/new-pin/v1", digits)
}

func (c Command) sealDigits(to SealPublic, info, digits string) ([]byte, error) {
	if !areDigits(digits) {
		return nil, &Error{Fault: OutOfRange, Text: "an S-PIN has four digits"}
	}
	aad, err := c.proofAAD()
	if err != nil {
		return nil, err
	}
	return to.seal(append([]byte(info), c.Car[:]...), aad, []byte(digits))
}

// OpenPIN returns the digits of [Command.Proof]. A box that does not open is a
// wrong S-PIN.
func OpenPIN(o Opener, c Command) ([]byte, error) { return c.openDigits(o, "hu/pin/v1", c.Proof) }

// OpenNewPIN returns the digits of [Command.NewPIN].
func OpenNewPIN(o Opener, c Command) ([]byte, error) {
	return c.openDigits(o, "hu/new-pin/v1", c.NewPIN)
}

func (c Command) openDigits(o Opener, info string, box []byte) ([]byte, error) {
	aad, err := c.proofAAD()
	if err != nil {
		return nil, err
	}
	digits, err := o.Open(append([]byte(info), c.Car[:]...), aad, box)
	if err != nil {
		return nil, err
	}
	if !areDigits(string(digits)) {
		return nil, &Error{Fault: OutOfRange, Text: "an S-PIN has four digits"}
	}
	return digits, nil
}

func areDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == 4
}

// A Grant is the backend's word that a key may command for a while. It lies,
// signed ([KindGrant]), inside a [Command], and is worth nothing without the key.
type Grant struct {
	Car     Name   `cbor:"2,keyasint"`
	Epoch   Epoch  `cbor:"3,keyasint"`
	Users   uint32 `cbor:"5,keyasint"`
	Expires uint32 `cbor:"7,keyasint"` // vehicle seconds
	Key     Kid    `cbor:"22,keyasint"`
	May     Ops    `cbor:"48,keyasint"`
}

type grantForm struct {
	Kind Kind `cbor:"1,keyasint"`
	Grant
}

func (g *Grant) check() error { return nil }

// Encode returns the payload that is signed.
func (g Grant) Encode() ([]byte, error) { return encode(grantForm{KindGrant, g}, &g) }

// DecodeGrant reads a grant.
func DecodeGrant(b []byte) (Grant, error) {
	var f grantForm
	if err := decode(fromNet, maxGrant, b, KindGrant, &f, &f.Grant); err != nil {
		return Grant{}, err
	}
	return f.Grant, nil
}

// A SessionAsk asks the car for a [Session]. The phone signs it
// ([KindSessionAsk]) and seals it to the car.
type SessionAsk struct {
	Car   Name `cbor:"2,keyasint"`
	Nonce ID   `cbor:"14,keyasint"`
}

type sessionAskForm struct {
	Kind Kind `cbor:"1,keyasint"`
	SessionAsk
}

func (s *SessionAsk) check() error { return nil }

// Encode returns the payload that is signed.
func (s SessionAsk) Encode() ([]byte, error) { return encode(sessionAskForm{KindSessionAsk, s}, &s) }

// DecodeSessionAsk reads a session-ask.
func DecodeSessionAsk(b []byte) (SessionAsk, error) {
	var f sessionAskForm
	if err := decode(fromNet, maxSmall, b, KindSessionAsk, &f, &f.SessionAsk); err != nil {
		return SessionAsk{}, err
	}
	return f.SessionAsk, nil
}

// A Time answers a [Hello]. The backend's time key signs it ([KindTime]); it
// counts if Nonce is that of this connection's hello.
type Time struct {
	Car   Name   `cbor:"2,keyasint"`
	Nonce ID     `cbor:"14,keyasint"`
	UTC   uint64 `cbor:"40,keyasint"` // seconds since 1970
}

type timeForm struct {
	Kind Kind `cbor:"1,keyasint"`
	Time
}

func (t *Time) check() error { return nil }

// Encode returns the payload that is signed.
func (t Time) Encode() ([]byte, error) { return encode(timeForm{KindTime, t}, &t) }

// DecodeTime reads a time.
func DecodeTime(b []byte) (Time, error) {
	var f timeForm
	if err := decode(fromNet, maxSmall, b, KindTime, &f, &f.Time); err != nil {
		return Time{}, err
	}
	return f.Time, nil
}
