package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestKidIsTheThumbprintOfRFC9679(t *testing.T) {
	// The example key of RFC 9679, whose whole thumbprint is 496bd8af…53ec.
	x := unhex(t, "65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d")
	y := unhex(t, "1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c")
	kid, err := KidOf(append(append([]byte{4}, x...), y...))
	if err != nil || kid.String() != "496bd8afadf307e5" {
		t.Errorf("kid %s, error %v", kid, err)
	}
	for _, pub := range [][]byte{nil, make([]byte, 64), make([]byte, 65), append([]byte{2}, x...)} {
		if _, err := KidOf(pub); !errors.Is(err, ErrKey) {
			t.Errorf("a key of %d octets: %v", len(pub), err)
		}
	}
}

func TestWhatIsReadIsWhatWasSaid(t *testing.T) {
	for _, m := range []struct {
		name string
		said messageType
	}{
		{"command", fullCommand()},
		{"grant", sampleGrant()},
		{"session", sampleSession()},
		{"hello", sampleHello()},
		{"result", sampleResult()},
		{"status", sampleStatus()},
		{"event", sampleEvent()},
		{"goodbye", sampleGoodbye()},
		{"delta", sampleDelta()},
		{"climate", Climate{30, 210}},
		{"horn", Horn{1, 20}},
	} {
		got, err := decoderNamed(t, m.name).decode(must(m.said.Encode()))
		if err != nil || !reflect.DeepEqual(got, m.said) {
			t.Errorf("%s: error %v\n%+v\n%+v", m.name, err, got, m.said)
		}
	}
}

func TestEveryKindAndNoOtherIsRead(t *testing.T) {
	for _, from := range decoders {
		if from.kind == bare {
			continue
		}
		for _, v := range validVectors() {
			_, err := from.decode(v.octets)
			if (err == nil) != (v.Message == from.name) {
				t.Errorf("%s read as %s: %v", v.Name, from.name, err)
			}
		}
	}
}

// TestNothingIsSaidThatWouldNotBeRead breaks each range on the saying side.
func TestNothingIsSaidThatWouldNotBeRead(t *testing.T) {
	c, r, h, s := sampleCommand(), sampleResult(), sampleHello(), sampleStatus()
	e, g, d := sampleEvent(), sampleGoodbye(), sampleDelta()
	for name, m := range map[string]messageType{
		"seq 0":            func() Command { c := c; c.Seq = 0; return c }(),
		"seq too high":     func() Command { c := c; c.Seq = 1<<32 - 1; return c }(),
		"short proof":      func() Command { c := c; c.Proof = []byte{1}; return c }(),
		"empty grant":      func() Command { c := c; c.Grant = []byte{}; return c }(),
		"no map":           func() Command { c := c; c.Arguments = []byte{1}; return c }(),
		"garbage in a map": func() Command { c := c; c.Arguments = []byte{0xA1}; return c }(),
		"no state":         func() Result { r := r; r.State = 6; return r }(),
		"no reason":        func() Result { r := r; r.Reason = "?"; return r }(),
		"no value":         func() Result { r := r; r.Readings = []Reading{{Signal: 1}}; return r }(),
		"no method":        Hello{Version: "1", SwitchedOff: []string{}},
		"no version":       func() Hello { h := h; h.Version = ""; return h }(),
		"not UTF-8":        func() Hello { h := h; h.Version = "\xFF"; return h }(),
		"a gap that is good": func() Status {
			s := s
			s.Gaps = []Gap{{Signal: 1}}
			return s
		}(),
		"a long word": func() Status {
			s := s
			s.Readings = []Reading{{Signal: 1, Value: Text(strings.Repeat("x", 25))}}
			return s
		}(),
		"no type":          func() Event { e := e; e.Type = ""; return e }(),
		"no such goodbye":  func() Goodbye { g := g; g.Reason = CommandBusy; return g }(),
		"a lock, unsigned": func() Delta { d := d; d.Readings = []Reading{{Signal: 21, Value: Text("LOCKED")}}; return d }(),
		"a delta of gaps":  func() Delta { d := d; d.Readings = nil; return d }(),
		"5 minutes":        Minutes{5},
		"20 horns":         Horn{20, 10},
		"zero climate":     Climate{},
		"level 9":          SetLevel{9},
	} {
		if b, err := m.Encode(); err == nil || b != nil {
			t.Errorf("%s: said as %x", name, b)
		}
	}
}

func TestASignatureIsForOneMessageByOneKey(t *testing.T) {
	signers := []steady{carSign, phoneSign, grantSign, timeSign}
	for _, v := range validVectors() {
		kind := decoderKind(v.Message)
		if kind == bare {
			continue
		}
		for _, by := range signers {
			s := must(ParseSigned(must(Sign(by, kind, v.octets))))
			for as := range Kind(40) {
				for _, pub := range signers {
					if testing.Short() && as != kind && pub != by {
						continue
					}
					err := s.Verify(pub.Public(), as)
					if want := as == kind && pub == by; (err == nil) != want {
						t.Fatalf("%s by %s, read as %s by %s: %v", kind, by.Kid(), as, pub.Kid(), err)
					}
				}
			}
		}
		if _, err := Sign(carSign, KindLogin, v.octets); faultOf(t, err) != Other {
			t.Errorf("%s was signed as login: %v", v.Name, err)
		}
	}
}

// bitStep leaves bits out where signatures are slow; 7 and 8 have no common
// divisor, so that every bit of an octet has its turn.
func bitStep() int {
	if testing.Short() {
		return 7
	}
	return 1
}

func TestEveryBitOfASealedCommandCounts(t *testing.T) {
	ok := must(Seal(carSeal.SealPublic(), carName, must(Sign(phoneSign, KindCommand, must(sampleCommand().Encode())))))
	accepted := func(b []byte) bool {
		inside, err := Open(carSeal, carName, b)
		if err != nil {
			return false
		}
		s, err := ParseSigned(inside)
		return err == nil && s.Verify(phoneSign.Public(), KindCommand) == nil
	}
	if !accepted(ok) {
		t.Fatal("the command itself is not accepted")
	}
	for i := 0; i < len(ok)*8; i += bitStep() {
		b := bytes.Clone(ok)
		if b[i/8] ^= 1 << (i % 8); accepted(b) {
			t.Errorf("accepted with bit %d flipped", i)
		}
	}
}

func TestEveryBitOfASignedCommandCounts(t *testing.T) {
	ok := must(Sign(phoneSign, KindCommand, must(sampleCommand().Encode())))
	for i := 0; i < len(ok)*8; i += bitStep() {
		b := bytes.Clone(ok)
		b[i/8] ^= 1 << (i % 8)
		if s, err := ParseSigned(b); err == nil && s.Verify(phoneSign.Public(), KindCommand) == nil {
			t.Errorf("accepted with bit %d flipped", i)
		}
	}
}

func TestAnSPINOpensWithItsCommandAlone(t *testing.T) {
	to, c := carSeal.SealPublic(), sampleCommand()
	c.Proof = must(SealPIN(to, c, "0815"))
	c.NewPIN = must(SealNewPIN(to, c, "4711"))
	if d, err := OpenPIN(carSeal, c); err != nil || string(d) != "0815" {
		t.Errorf("S-PIN %q, %v", d, err)
	}
	if d, err := OpenNewPIN(carSeal, c); err != nil || string(d) != "4711" {
		t.Errorf("new S-PIN %q, %v", d, err)
	}
	if len(c.Proof) != proofLen {
		t.Errorf("a proof of %d octets", len(c.Proof))
	}
	moved := []Command{c, c, c, c}
	moved[0].Seq++
	moved[1].Operation = 2
	moved[2].Arguments = must(Minutes{10}.Encode())
	moved[3].Proof, moved[3].NewPIN = c.NewPIN, c.Proof
	for i, m := range moved {
		if d, err := OpenPIN(carSeal, m); err == nil {
			t.Errorf("moved %d: opens to %q", i, d)
		}
	}
	if d, err := OpenPIN(otherSeal, c); err == nil {
		t.Errorf("another car opens it to %q", d)
	}
	for _, digits := range []string{"", "123", "12345", "12a4", "１２"} {
		if _, err := SealPIN(to, c, digits); err == nil {
			t.Errorf("%q is an S-PIN", digits)
		}
	}
}

func TestKeysComeBackFromTheStore(t *testing.T) {
	sign, box := NewKey(), NewBoxKey()
	again, err := ParseKey(sign.Marshal())
	if err != nil || again.Kid() != sign.Kid() {
		t.Errorf("%v, %v", again, err)
	}
	opener, err := ParseBoxKey(box.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	to := must(ParseSealPublic(box.Public()))
	if b, err := Open(opener, carName, must(Seal(to, carName, []byte("x")))); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
	for _, b := range [][]byte{nil, make([]byte, 32), bytes.Repeat([]byte{0xFF}, 32), make([]byte, 33)} {
		_, e1 := ParseKey(b)
		_, e2 := ParseBoxKey(b)
		if !errors.Is(e1, ErrKey) || !errors.Is(e2, ErrKey) {
			t.Errorf("%x: %v, %v", b, e1, e2)
		}
	}
	if _, err := ParseSealPublic(make([]byte, 65)); !errors.Is(err, ErrKey) {
		t.Errorf("a point of zeros: %v", err)
	}
	if _, err := Seal(SealPublic{}, carName, nil); err == nil {
		t.Error("sealed to nobody")
	}
}

func TestAKeyHidesItself(t *testing.T) {
	sign, box := NewKey(), NewBoxKey()
	for _, secret := range [][]byte{sign.Marshal(), box.Marshal()} {
		said := fmt.Sprintf("%v %+v %#v %s %x %v %+v %#v %s %x", sign, sign, sign, sign, sign, box, box, box, box, box)
		if strings.Contains(said, hex.EncodeToString(secret)) || strings.Contains(said, bigOf(secret).String()) ||
			strings.Contains(said, fmt.Sprint(secret)) {
			t.Errorf("a private key in %s", said)
		}
	}
}

func TestAWrongKeySignsNothing(t *testing.T) {
	_, err := Sign(brokenSigner{phoneSign}, KindCommand, must(sampleCommand().Encode()))
	if faultOf(t, err) != BadSign {
		t.Errorf("error %v", err)
	}
	_, err = Sign(shortSigner{phoneSign}, KindCommand, must(sampleCommand().Encode()))
	if faultOf(t, err) != BadSign {
		t.Errorf("error %v", err)
	}
}

type brokenSigner struct{ steady }

func (brokenSigner) Sign([]byte) ([]byte, error) { return nil, errors.New("no key today") }

type shortSigner struct{ steady }

func (shortSigner) Sign([]byte) ([]byte, error) { return make([]byte, 63), nil }
