package wire

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/veraison/go-cose"
)

// A Kid names a key: the first 8 octets of its COSE thumbprint (RFC 9679,
// SHA-256).
type Kid [8]byte

// PublicLen is the length of a public key: an uncompressed point on P-256.
const PublicLen = 65

// ErrKey is what parsing a key returns.
var ErrKey = errors.New("wire: not a P-256 key")

// KidOf returns the name of the key whose public half is pub ([PublicLen]
// octets). It does not ask whether the point lies on the curve.
func KidOf(pub []byte) (Kid, error) {
	if len(pub) != PublicLen || pub[0] != 4 {
		return Kid{}, fmt.Errorf("%w: %d octets", ErrKey, len(pub))
	}
	// COSE_Key with what is required, in deterministic order: kty EC2, crv P-256, x, y.
	key := make([]byte, 0, 5+2*(3+32))
	key = append(key, 0xA4, 0x01, 0x02, 0x20, 0x01)
	key = append(append(key, 0x21, 0x58, 32), pub[1:33]...)
	key = append(append(key, 0x22, 0x58, 32), pub[33:]...)
	print := sha256.Sum256(key)
	return Kid(print[:8]), nil
}

// String returns the kid in hexadecimal.
func (k Kid) String() string { return hex.EncodeToString(k[:]) }

// A Signer holds an ES256 key: one of the car's, the backend's, or a phone's.
// [Key] is the one in software.
type Signer interface {
	Kid() Kid
	Public() []byte // PublicLen octets
	// Sign returns the signature of the octets: r and s, 64 octets, over
	// their SHA-256.
	Sign(octets []byte) ([]byte, error)
}

// An Opener holds a P-256 key that opens boxes. [BoxKey] is the one in software.
type Opener interface {
	Kid() Kid
	Public() []byte // PublicLen octets
	// Open opens enc ‖ ct as RFC 9180, base mode, DHKEM(P-256, HKDF-SHA256),
	// HKDF-SHA256, AES-128-GCM.
	Open(info, aad, box []byte) ([]byte, error)
}

// A Key is an ES256 key kept in software.
type Key struct {
	private *ecdsa.PrivateKey
	half
}

// half is the public half of a key, which may be shown.
type half struct {
	public [PublicLen]byte
	kid    Kid
}

func (h *half) Kid() Kid       { return h.kid }
func (h *half) Public() []byte { return h.public[:] }

// String shows the name of the key and nothing else of it.
func (h *half) String() string { return "key " + h.kid.String() }

func halfOf(pub []byte) half {
	kid, err := KidOf(pub)
	if err != nil {
		panic(err) // the library made this key
	}
	return half{[PublicLen]byte(pub), kid}
}

// NewKey makes a signing key.
func NewKey() *Key {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // only for a curve that does not exist
	}
	return keyOf(private)
}

func keyOf(private *ecdsa.PrivateKey) *Key {
	pub, err := private.PublicKey.Bytes()
	if err != nil {
		panic(err) // as above
	}
	return &Key{private, halfOf(pub)}
}

// ParseKey reads what [Key.Marshal] returned. The error is [ErrKey].
func ParseKey(b []byte) (*Key, error) {
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return keyOf(private), nil
}

// Marshal returns the private key, 32 octets, for the key store alone.
func (k *Key) Marshal() []byte {
	b, err := k.private.Bytes()
	if err != nil {
		panic(err) // as above
	}
	return b
}

// GoString hides the private half from %#v.
func (k *Key) GoString() string { return k.String() }

// Sign implements [Signer].
func (k *Key) Sign(octets []byte) ([]byte, error) {
	s, err := cose.NewSigner(cose.AlgorithmES256, k.private)
	if err != nil {
		return nil, err
	}
	return s.Sign(rand.Reader, octets)
}

// A SealPublic is the public half of a key that opens boxes: whoever has it can
// seal to it.
type SealPublic struct {
	key hpke.PublicKey
	half
}

// ParseSealPublic reads [PublicLen] octets. The error is [ErrKey].
func ParseSealPublic(pub []byte) (SealPublic, error) {
	p, err := ecdh.P256().NewPublicKey(pub)
	if err != nil {
		return SealPublic{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	key, err := hpke.NewDHKEMPublicKey(p)
	if err != nil {
		return SealPublic{}, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return SealPublic{key, halfOf(pub)}, nil
}

// seal returns enc ‖ ct for the holder of the private half.
func (p *SealPublic) seal(info, aad, content []byte) ([]byte, error) {
	if p.key == nil {
		return nil, fmt.Errorf("%w: nobody to seal to", ErrKey)
	}
	enc, sender, err := hpke.NewSender(p.key, hpke.HKDFSHA256(), hpke.AES128GCM(), info)
	if err != nil {
		return nil, err
	}
	ct, err := sender.Seal(aad, content)
	if err != nil {
		return nil, err
	}
	return append(enc, ct...), nil
}

// A BoxKey is a key that opens boxes, kept in software.
type BoxKey struct {
	private hpke.PrivateKey
	half
}

// NewBoxKey makes a key that opens boxes.
func NewBoxKey() *BoxKey {
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // never, with crypto/rand
	}
	return boxKeyOf(private)
}

func boxKeyOf(p *ecdh.PrivateKey) *BoxKey {
	private, err := hpke.NewDHKEMPrivateKey(p)
	if err != nil {
		panic(err) // only for a curve that it does not know
	}
	return &BoxKey{private, halfOf(p.PublicKey().Bytes())}
}

// ParseBoxKey reads what [BoxKey.Marshal] returned. The error is [ErrKey].
func ParseBoxKey(b []byte) (*BoxKey, error) {
	p, err := ecdh.P256().NewPrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return boxKeyOf(p), nil
}

// Marshal returns the private key, 32 octets, for the key store alone.
func (k *BoxKey) Marshal() []byte {
	b, err := k.private.Bytes()
	if err != nil {
		panic(err) // a software key has octets
	}
	return b
}

// GoString hides the private half from %#v.
func (k *BoxKey) GoString() string { return k.String() }

// SealPublic returns the public half, to seal to.
func (k *BoxKey) SealPublic() SealPublic { return SealPublic{k.private.PublicKey(), k.half} }

// Open implements [Opener].
func (k *BoxKey) Open(info, aad, box []byte) ([]byte, error) {
	if len(box) < PublicLen {
		return nil, &Error{Fault: BadBox, Text: "shorter than a key"}
	}
	r, err := hpke.NewRecipient(box[:PublicLen], k.private, hpke.HKDFSHA256(), hpke.AES128GCM(), info)
	if err != nil {
		return nil, &Error{Fault: BadBox, Text: "no key in it", Err: err}
	}
	b, err := r.Open(aad, box[PublicLen:])
	if err != nil {
		return nil, &Error{Fault: BadBox, Text: "does not open", Err: err}
	}
	return b, nil
}
