// Package wire says what an octet between car, backend and phone means, and
// takes nothing that it would not have written itself: every decoder checks
// types, ranges and limits, encodes again and compares.
//
// A message is deterministic CBOR (RFC 8949, 4.2.1). Going up it is signed by
// the car ([Sign], [Signed]); going down it is signed by whoever says it and
// sealed to the car ([Seal], [Open]). The one exception is [Delta], which is
// bare. wire.cddl beside this file is the same contract for readers of other
// languages, and testdata/wire holds vectors for them.
//
// The package reads no clock and does no I/O; chance comes from crypto/rand.
package wire

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"math/bits"
)

// A Name is the car's name outside (pvid): 128 random bits, new after every
// factory reset. It stands in every topic, client id and certificate.
type Name [16]byte

// names is RFC 4648 base32 in lower case and without padding: a topic level
// without a dot that every broker takes.
var names = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewName draws a name.
func NewName() Name { return Name(NewID()) }

// ParseName reads the 26 characters that [Name.String] writes, and no others:
// the two bits that 26 characters have too many must be zero.
func ParseName(s string) (Name, error) {
	var n Name
	if len(s) != names.EncodedLen(len(n)) {
		return Name{}, fmt.Errorf("wire: a car's name has %d characters, not %d", names.EncodedLen(len(n)), len(s))
	}
	if _, err := names.Decode(n[:], []byte(s)); err != nil {
		return Name{}, fmt.Errorf("wire: a car's name: %w", err)
	}
	if n.String() != s {
		return Name{}, fmt.Errorf("wire: %q is no car's name: its last character says too much", s)
	}
	return n, nil
}

// String returns 26 characters a to z and 2 to 7.
func (n Name) String() string { return names.EncodeToString(n[:]) }

// An ID is 16 random octets that name one thing once: a command, an event, a
// nonce, a challenge. All zero means that there is none.
type ID [16]byte

// An Epoch is the random number of one start of the agent. Commands of another
// epoch are dead.
type Epoch = ID

// NewID draws an id.
func NewID() ID {
	var id ID
	rand.Read(id[:]) // never fails (crypto/rand)
	return id
}

// String returns the id in hexadecimal.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// A Hash is a SHA-256.
type Hash [32]byte

// HashOf returns the hash of a payload, which is what binds a [Result] to its
// [Command]. Payloads are hashed, never envelopes: a signature has a twin.
func HashOf(payload []byte) Hash { return sha256.Sum256(payload) }

// String returns the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Ops is a set of operations: bit n stands for operation n of [Operations].
type Ops uint64

// OpsOf returns the set of the operations given by number.
func OpsOf(numbers ...uint8) Ops {
	var o Ops
	for _, n := range numbers {
		o |= 1 << n
	}
	return o
}

// Has reports whether operation n is in the set.
func (o Ops) Has(n uint8) bool { return n < 64 && o>>n&1 == 1 }

// Len returns how many operations are in the set.
func (o Ops) Len() int { return bits.OnesCount64(uint64(o)) }

// A Fault is the kind of mistake a decoder found. The words are those of the
// golden vectors; none of them ever leaves the car.
type Fault string

// The faults, in the order in which they are looked for.
const (
	TooLong     Fault = "size"      // longer than the topic or the kind allows
	Malformed   Fault = "form"      // not the CBOR that this message is made of, or beyond the limits
	Other       Fault = "kind"      // another message
	Unlike      Fault = "canonical" // decodes, but would be written differently
	OutOfRange  Fault = "range"     // a value that the CDDL does not know
	NotEnvelope Fault = "envelope"  // no tagged COSE_Sign1 of four members
	BadHeader   Fault = "header"    // another protected header, or anything unprotected
	BadSign     Fault = "signature" // not signed by this key for this message
	NotForUs    Fault = "recipient" // sealed to another key
	BadBox      Fault = "box"       // a box that does not open
)

// An Error tells why octets were not taken. It never quotes them.
type Error struct {
	Fault Fault
	Field int // number of protocol 4.2, 0 where none can be named
	Text  string
	Err   error // from the library beneath, if any
}

func (e *Error) Error() string {
	s := "wire: " + string(e.Fault) + ": " + e.Text
	if e.Field != 0 {
		s += fmt.Sprintf(" (field %d)", e.Field)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }
