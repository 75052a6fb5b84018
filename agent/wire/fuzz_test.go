package wire

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// fuzzMessage asks of a decoder that it never panics and takes only what it would
// have written. Its seeds are the vectors: one for each rule.
func fuzzMessage(f *testing.F, name string) {
	d, seeds := decoderNamed(f, name), 0
	for _, v := range messageVectors() {
		if v.Message == name && len(v.octets) <= MaxPayload {
			f.Add(v.octets)
			seeds++
		}
	}
	if seeds == 0 {
		f.Fatalf("no seed for %s", name)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := d.decode(b)
		if err != nil {
			faultOf(t, err)
			return
		}
		if again, err := m.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x was taken and is written %x, %v", b, again, err)
		}
	})
}

func FuzzDecodeCommand(f *testing.F)    { fuzzMessage(f, "command") }
func FuzzDecodeGrant(f *testing.F)      { fuzzMessage(f, "grant") }
func FuzzDecodeSessionAsk(f *testing.F) { fuzzMessage(f, "session-ask") }
func FuzzDecodeTime(f *testing.F)       { fuzzMessage(f, "time") }
func FuzzDecodeHello(f *testing.F)      { fuzzMessage(f, "hello") }
func FuzzDecodeSession(f *testing.F)    { fuzzMessage(f, "session") }
func FuzzDecodeResult(f *testing.F)     { fuzzMessage(f, "result") }
func FuzzDecodeEvent(f *testing.F)      { fuzzMessage(f, "event") }
func FuzzDecodeStatus(f *testing.F)     { fuzzMessage(f, "status") }
func FuzzDecodeGoodbye(f *testing.F)    { fuzzMessage(f, "goodbye") }
func FuzzDecodeDelta(f *testing.F)      { fuzzMessage(f, "delta") }
func FuzzDecodeMinutes(f *testing.F)    { fuzzMessage(f, "minutes") }
func FuzzDecodeClimate(f *testing.F)    { fuzzMessage(f, "climate") }
func FuzzDecodeHorn(f *testing.F)       { fuzzMessage(f, "horn") }
func FuzzDecodeSetLevel(f *testing.F)   { fuzzMessage(f, "level") }

func FuzzParseSigned(f *testing.F) {
	for _, v := range envelopeVectors() {
		f.Add(must(hex.DecodeString(v.Octets)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSigned(b)
		if err != nil {
			faultOf(t, err)
			return
		}
		if again := must(wrap(s.kid, s.payload, s.signature)); !bytes.Equal(again, b) {
			t.Errorf("%x was taken and is written %x", b, again)
		}
		_ = s.Verify(phoneSign.Public(), KindCommand) // whatever it finds, it does not panic
	})
}

func FuzzOpen(f *testing.F) {
	for _, v := range sealedVectors() {
		f.Add(must(hex.DecodeString(v.Octets)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := Open(carSeal, carName, b); err != nil {
			faultOf(t, err)
		}
	})
}

func FuzzParseTopic(f *testing.F) {
	for _, topic := range Topics() {
		f.Add(topic.Suffix.Of("c1", carName))
	}
	f.Add("hu/v1/c1/x/dn/cmd")
	f.Fuzz(func(t *testing.T, s string) {
		cell, car, suffix, err := ParseTopic(s)
		if err == nil && suffix.Of(cell, car) != s {
			t.Errorf("%q was taken and is written %q", s, suffix.Of(cell, car))
		}
	})
}
