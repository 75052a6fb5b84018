package wire

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/cryptotest"

	"github.com/fxamacker/cbor/v2"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/wire anew; read the diff before committing it")

func goldenPath(name string) string {
	return filepath.Join("..", "..", "testdata", "wire", name)
}

// golden compares lines with a file, or writes it.
func golden[T any](t *testing.T, name string, lines []T) {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, l := range lines {
		if err := e.Encode(l); err != nil {
			t.Fatal(err)
		}
	}
	if *rewrite {
		if err := os.WriteFile(goldenPath(name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenPath(name))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("%s is not what this package writes now; run go test ./agent/wire -rewrite and read the diff", name)
	}
}

// linesOf reads a golden file as somebody else's program would.
func linesOf[T any](t *testing.T, name string, least int) []T {
	t.Helper()
	f, err := os.Open(goldenPath(name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []T
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var v T
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatalf("%s line %d: %v", name, len(out)+1, err)
		}
		out = append(out, v)
	}
	if err := s.Err(); err != nil || len(out) < least {
		t.Fatalf("%s has %d lines, %d are wanted: %v", name, len(out), least, err)
	}
	return out
}

// unhex reads what stands in a vector.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// faultOf returns which fault was found, "" for none.
func faultOf(t testing.TB, err error) Fault {
	t.Helper()
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("an error without a fault: %v", err)
	}
	return e.Fault
}

func TestMessageVectors(t *testing.T) {
	vs := messageVectors()
	for i := range vs {
		vs[i].Octets = hex.EncodeToString(vs[i].octets)
		if vs[i].Fault == "" {
			vs[i].Means = must(cbor.Diagnose(vs[i].octets))
		}
	}
	golden(t, "messages.jsonl", vs)
	seen := map[string]bool{}
	for _, v := range linesOf[vector](t, "messages.jsonl", 150) {
		if seen[v.Message+v.Name] {
			t.Errorf("%s: twice", v.Name)
		}
		seen[v.Message+v.Name] = true
		octets := unhex(t, v.Octets)
		m, err := decoderNamed(t, v.Message).decode(octets)
		if f := faultOf(t, err); f != v.Fault {
			t.Errorf("%s %q: fault %q, not %q: %v", v.Message, v.Name, f, v.Fault, err)
			continue
		}
		if err != nil {
			continue
		}
		if again := must(m.Encode()); !bytes.Equal(again, octets) {
			t.Errorf("%s %q: encodes to %x", v.Message, v.Name, again)
		}
	}
}

// A keyVector is a key pair and its name.
type keyVector struct {
	Name    string `json:"name"`
	Private string `json:"private"`
	Public  string `json:"public"`
	Kid     string `json:"kid"`
}

func TestKeyVectors(t *testing.T) {
	type key interface {
		Marshal() []byte
		Public() []byte
		Kid() Kid
	}
	var vs []keyVector
	for _, k := range []struct {
		name string
		key  key
	}{
		{"car sign", carSign},
		{"phone sign", phoneSign},
		{"grant sign", grantSign},
		{"time sign", timeSign},
		{"car seal", carSeal},
		{"other seal", otherSeal},
	} {
		vs = append(vs, keyVector{
			k.name, hex.EncodeToString(k.key.Marshal()), hex.EncodeToString(k.key.Public()), k.key.Kid().String(),
		})
	}
	golden(t, "keys.jsonl", vs)
	for _, v := range linesOf[keyVector](t, "keys.jsonl", 6) {
		private := unhex(t, v.Private)
		for name, parsed := range map[string]key{"sign": must(ParseKey(private)), "seal": must(ParseBoxKey(private))} {
			if !bytes.Equal(parsed.Public(), unhex(t, v.Public)) || parsed.Kid().String() != v.Kid {
				t.Errorf("%s as a key to %s: %x", v.Name, name, parsed.Public())
			}
		}
	}
}

// An envelopeVector is a signed message.
type envelopeVector struct {
	Name   string `json:"name"`
	Kind   Kind   `json:"kind"` // as which it is verified
	Public string `json:"public"`
	Octets string `json:"octets"`
	Fault  Fault  `json:"fault,omitempty"`
}

func TestEnvelopeVectors(t *testing.T) {
	golden(t, "envelopes.jsonl", envelopeVectors())
	for _, v := range linesOf[envelopeVector](t, "envelopes.jsonl", 30) {
		s, err := ParseSigned(unhex(t, v.Octets))
		if err == nil {
			err = s.Verify(unhex(t, v.Public), v.Kind)
		}
		if f := faultOf(t, err); f != v.Fault {
			t.Errorf("%s: fault %q, not %q: %v", v.Name, f, v.Fault, err)
		}
	}
}

func envelopeVectors() []envelopeVector {
	var vs []envelopeVector
	add := func(name string, kind Kind, public, octets []byte, f Fault) {
		vs = append(vs, envelopeVector{name, kind, hex.EncodeToString(public), hex.EncodeToString(octets), f})
	}
	for _, m := range validVectors() {
		kind := decoderKind(m.Message)
		if kind == bare {
			continue
		}
		by := signerOf(kind)
		add(m.Name, kind, by.Public(), must(Sign(by, kind, m.octets)), "")
	}
	payload := must(sampleCommand().Encode())
	ok := must(Sign(phoneSign, KindCommand, payload))
	pub := phoneSign.Public()
	part := must(ParseSigned(ok))
	sealOf := func(protected, unprotected []byte, payload, signature any) []byte {
		b := append([]byte{sign1Tag, arrayOfFour}, raw(protected)...)
		b = append(b, unprotected...)
		return append(append(b, raw(payload)...), raw(signature)...)
	}
	none := []byte{emptyMap}
	head := header(phoneSign.Kid())
	twin := highS(part.signature)
	bad := func(name string, f Fault, octets []byte) { add(name, KindCommand, pub, octets, f) }
	add("signed as another message", KindLogin, pub, ok, BadSign)
	add("signed by another key of this name's claim", KindCommand, carSign.Public(), ok, BadSign)
	bad("the signature's twin", "", sealOf(head, none, payload, twin))
	bad("a signature of zeros", BadSign, sealOf(head, none, payload, make([]byte, 64)))
	bad("a signature of 63 octets", BadSign, sealOf(head, none, payload, part.signature[:63]))
	bad("a signature of 65 octets", BadSign, sealOf(head, none, payload, append(part.signature[:64:64], 0)))
	bad("a signature as text", NotEnvelope, sealOf(head, none, payload, "signature"))
	bad("another payload", BadSign, sealOf(head, none, must(fullCommand().Encode()), part.signature))
	bad("no payload", NotEnvelope, sealOf(head, none, nil, part.signature))
	bad("the kid unprotected too", BadHeader, sealOf(head, raw(map[int][]byte{4: head[5:]}), payload, part.signature))
	bad("no unprotected header", NotEnvelope, sealOf(head, nil, payload, part.signature))
	bad("a protected header without alg", BadHeader, sealOf(raw(map[int][]byte{4: head[5:]}), none, payload, part.signature))
	bad("alg ES384", BadHeader, sealOf(bytes.Replace(head, []byte{1, 0x26}, []byte{1, 0x38}, 1), none, payload, part.signature))
	bad("a critical header", BadHeader, sealOf(raw(map[int]any{1: -7, 2: []int{4}, 4: head[5:]}), none, payload, part.signature))
	bad("an empty protected header", BadHeader, sealOf(nil, none, payload, part.signature))
	bad("another kid", BadSign, sealOf(header(carSign.Kid()), none, payload, part.signature))
	bad("another kid, and signed so", BadSign, must(Sign(liar{phoneSign}, KindCommand, payload)))
	bad("no tag", NotEnvelope, ok[1:])
	bad("tag 98", NotEnvelope, append([]byte{0xD8, 98}, ok[1:]...))
	bad("the tag twice", NotEnvelope, append([]byte{sign1Tag}, ok...))
	bad("the tag in two octets", NotEnvelope, append([]byte{0xD8, 18}, ok[1:]...))
	bad("three members", NotEnvelope, append([]byte{sign1Tag, 0x83}, ok[2:]...))
	bad("octets after the end", NotEnvelope, append(slices.Clip(ok), 0))
	bad("cut short", NotEnvelope, ok[:len(ok)-1])
	bad("nothing", NotEnvelope, nil)
	bad("a length longer than needed", Unlike, bytes.Replace(ok, []byte{0x58, 0x40}, []byte{0x59, 0, 0x40}, 1))
	bad("longer than any topic", TooLong, make([]byte, MaxPayload+1))
	return vs
}

// liar signs with one key under the name of another.
type liar struct{ steady }

func (liar) Kid() Kid { return carSign.Kid() }

func decoderKind(name string) Kind {
	for _, d := range decoders {
		if d.name == name {
			return d.kind
		}
	}
	return bare
}

func signerOf(k Kind) Signer {
	switch k {
	case KindCommand, KindSessionAsk:
		return phoneSign
	case KindGrant:
		return grantSign
	case KindTime:
		return timeSign
	}
	return carSign
}

// A sealedVector is what lies in a payload down.
type sealedVector struct {
	Name    string `json:"name"`
	Private string `json:"private"` // of the key that opens
	Car     string `json:"car"`
	Octets  string `json:"octets"`
	Opens   string `json:"opens,omitempty"` // to this
	Fault   Fault  `json:"fault,omitempty"`
}

func TestSealedVectors(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	golden(t, "sealed.jsonl", sealedVectors())
	for _, v := range linesOf[sealedVector](t, "sealed.jsonl", 15) {
		key := must(ParseBoxKey(unhex(t, v.Private)))
		got, err := Open(key, must(ParseName(v.Car)), unhex(t, v.Octets))
		if f := faultOf(t, err); f != v.Fault || hex.EncodeToString(got) != v.Opens {
			t.Errorf("%s: fault %q, not %q; opens to %x: %v", v.Name, f, v.Fault, got, err)
		}
	}
}

func sealedVectors() []sealedVector {
	var vs []sealedVector
	add := func(name string, car Name, octets, opens []byte, f Fault) {
		vs = append(vs, sealedVector{
			name, hex.EncodeToString(carSeal.Marshal()), car.String(), hex.EncodeToString(octets), hex.EncodeToString(opens), f,
		})
	}
	inside := must(Sign(phoneSign, KindCommand, must(sampleCommand().Encode())))
	ok := must(Seal(carSeal.SealPublic(), carName, inside))
	var s sealed
	if err := fromNet.Unmarshal(ok, &s); err != nil {
		panic(err)
	}
	bad := func(name string, f Fault, octets []byte) { add(name, carName, octets, nil, f) }
	other := s
	other.To = otherSeal.Kid()
	flipped := bytes.Clone(ok)
	flipped[len(flipped)-1] ^= 1
	point := bytes.Clone(s.Box)
	point[1] ^= 1
	add("a signed command", carName, ok, inside, "")
	add("nothing inside", carName, must(Seal(carSeal.SealPublic(), carName, nil)), nil, "")
	add("for a car of another name", Name(seeded("other car", 16)), ok, nil, BadBox)
	bad("sealed to another key", NotForUs, must(Seal(otherSeal.SealPublic(), carName, inside)))
	bad("another key's name on it", NotForUs, raw(other))
	bad("this key's name on another's box", BadBox, raw([]any{carSeal.Kid(), otherBox(inside)}))
	bad("the last bit flipped", BadBox, flipped)
	bad("a point that is none", BadBox, raw([]any{s.To, point}))
	bad("a box of 80 octets", OutOfRange, raw([]any{s.To, make([]byte, 80)}))
	bad("a box of 8101 octets", OutOfRange, raw([]any{s.To, make([]byte, 8101)}))
	bad("a kid of 7 octets", Unlike, raw([]any{s.To[:7], s.Box}))
	bad("three members", Malformed, raw([]any{s.To, s.Box, 0}))
	bad("one member", Malformed, raw([]any{s.To}))
	bad("not sealed at all", Malformed, inside)
	bad("octets after the end", Malformed, append(slices.Clip(ok), 0))
	bad("cut short", Malformed, ok[:len(ok)-1])
	bad("a length longer than needed", Unlike, append(append(ok[:10:10], 0x59, 0, byte(len(s.Box))), s.Box...))
	bad("nothing", Malformed, nil)
	bad("longer than any topic", TooLong, make([]byte, MaxPayload+1))
	return vs
}

func otherBox(inside []byte) []byte {
	to := otherSeal.SealPublic()
	return must(to.seal(sealInfo(carName), nil, inside))
}

// highS returns the other signature that an ES256 signature is as good as.
func highS(signature []byte) []byte {
	n := elliptic256Order()
	s := n.Sub(n, bigOf(signature[32:]))
	out := bytes.Clone(signature)
	s.FillBytes(out[32:])
	return out
}
