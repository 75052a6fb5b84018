package wire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"io"

	"github.com/fxamacker/cbor/v2"
	"github.com/veraison/go-cose"
)

// MaxPayload is the largest payload of any topic, in octets.
const MaxPayload = 8192

const signatureLen = 64 // ES256: r and s

// A Signed is a COSE_Sign1 whose form was checked and whose signature was not:
// nothing in it may be believed before [Signed.Verify] said so.
type Signed struct {
	kid       Kid
	payload   []byte
	signature []byte
}

// Kid says whose signature it claims to be.
func (s *Signed) Kid() Kid { return s.kid }

// Payload returns the octets that were signed.
func (s *Signed) Payload() []byte { return s.payload }

// envelope is the COSE_Sign1 without its tag.
type envelope struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected cbor.RawMessage
	Payload     []byte
	Signature   []byte
}

// header returns the one protected header there is for a key: ES256 and its
// kid, as a map in deterministic order.
func header(kid Kid) []byte {
	return append([]byte{0xA2, 0x01, 0x26, 0x04, 0x48}, kid[:]...)
}

const (
	sign1Tag    = 0xD2 // tag 18
	arrayOfFour = 0x84
	emptyMap    = 0xA0
)

// Sign puts a payload of the given kind into a tagged COSE_Sign1 by s. It
// refuses a payload of another kind.
func Sign(s Signer, kind Kind, payload []byte) ([]byte, error) {
	if k, ok := KindOf(payload); !ok || k != kind {
		return nil, &Error{Fault: Other, Field: 1, Text: "not a payload of kind " + kind.String()}
	}
	m := message(s.Kid(), payload)
	if err := m.Sign(nil, kind.context(), coseSigner{s}); err != nil {
		return nil, &Error{Fault: BadSign, Text: "cannot sign", Err: err}
	}
	return wrap(s.Kid(), payload, m.Signature)
}

// message is what the library needs for the octets to be signed.
func message(kid Kid, payload []byte) *cose.Sign1Message {
	m := cose.NewSign1Message()
	m.Headers.Protected.SetAlgorithm(cose.AlgorithmES256)
	m.Headers.RawProtected = append([]byte{0x40 + 13}, header(kid)...) // a string of 13 octets
	m.Payload = payload
	return m
}

func wrap(kid Kid, payload, signature []byte) ([]byte, error) {
	if len(signature) != signatureLen {
		return nil, &Error{Fault: BadSign, Text: "a signature has 64 octets"}
	}
	b, err := encMode.Marshal(envelope{
		Protected: header(kid), Unprotected: []byte{emptyMap}, Payload: payload, Signature: signature,
	})
	if err != nil {
		return nil, &Error{Fault: Malformed, Text: "cannot be encoded", Err: err}
	}
	return append([]byte{sign1Tag}, b...), nil
}

// coseSigner makes a [Signer] the library's.
type coseSigner struct{ s Signer }

func (coseSigner) Algorithm() cose.Algorithm                         { return cose.AlgorithmES256 }
func (c coseSigner) Sign(_ io.Reader, octets []byte) ([]byte, error) { return c.s.Sign(octets) }

// ParseSigned reads a tagged COSE_Sign1. It takes one form alone: tag 18, the
// protected header that [Sign] writes for the kid, nothing unprotected, a
// signature of 64 octets, every length in its shortest form. So nothing can be
// added to a message that was signed.
func ParseSigned(b []byte) (*Signed, error) {
	if len(b) > MaxPayload {
		return nil, &Error{Fault: TooLong, Text: "too long for any topic"}
	}
	if len(b) < 2 || b[0] != sign1Tag || b[1] != arrayOfFour {
		return nil, &Error{Fault: NotEnvelope, Text: "not a tagged COSE_Sign1"}
	}
	var e envelope
	if err := fromNet.Unmarshal(b[1:], &e); err != nil {
		return nil, &Error{Fault: NotEnvelope, Text: "not a COSE_Sign1", Err: err}
	}
	empty := header(Kid{})
	if len(e.Protected) != len(empty) {
		return nil, &Error{Fault: BadHeader, Text: "another protected header"}
	}
	kid := Kid(e.Protected[len(empty)-len(Kid{}):])
	if !bytes.Equal(e.Protected, header(kid)) {
		return nil, &Error{Fault: BadHeader, Text: "another protected header"}
	}
	if !bytes.Equal(e.Unprotected, []byte{emptyMap}) {
		return nil, &Error{Fault: BadHeader, Text: "something unprotected"}
	}
	again, err := wrap(kid, e.Payload, e.Signature)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, b) {
		return nil, &Error{Fault: Unlike, Text: "would be written differently"}
	}
	return &Signed{kid, e.Payload, e.Signature}, nil
}

// Verify reports whether the key with this public half ([PublicLen] octets)
// signed the payload as a message of this kind. The caller looked the key up by
// [Signed.Kid]; a key of another name is refused before any arithmetic.
func (s *Signed) Verify(pub []byte, kind Kind) error {
	if kind.String() == "" {
		return &Error{Fault: Other, Field: 1, Text: "no such kind"}
	}
	if kid, err := KidOf(pub); err != nil || kid != s.kid {
		return &Error{Fault: BadSign, Text: "signed by another key", Err: err}
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), pub)
	if err != nil {
		return &Error{Fault: BadSign, Text: "no public key", Err: err}
	}
	v, err := cose.NewVerifier(cose.AlgorithmES256, key)
	if err != nil {
		return &Error{Fault: BadSign, Text: "no public key", Err: err}
	}
	m := message(s.kid, s.payload)
	m.Signature = s.signature
	if err := m.Verify(kind.context(), v); err != nil {
		return &Error{Fault: BadSign, Text: "not signed so", Err: err}
	}
	return nil
}
