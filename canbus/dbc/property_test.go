package dbc

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/headunit-agent/headunit/canbus"
)

// drawSignal draws a signal that fits into 64 octets.
func drawSignal(t *rapid.T) *Signal {
	s := &Signal{
		Name:      "S",
		Size:      rapid.IntRange(1, 64).Draw(t, "size"),
		BigEndian: rapid.Bool().Draw(t, "big endian"),
		Signed:    rapid.Bool().Draw(t, "signed"),
		Factor:    rapid.SampledFrom([]float64{1, -1, 0.01, 0.1, 0.25, 0.39, 5.08, 3.0517578125e-05, 1e-6, 25, 1e9}).Draw(t, "factor"),
		Offset:    rapid.SampledFrom([]float64{0, -40, -509, 0.1, 1e6, -1e12}).Draw(t, "offset"),
	}
	if rapid.IntRange(0, 4).Draw(t, "float") == 0 {
		s.Float, s.Signed, s.Size = true, false, rapid.SampledFrom([]int{32, 64}).Draw(t, "size of a float")
	}
	s.Start = rapid.IntRange(0, 511).Filter(func(start int) bool {
		at := Signal{Start: start, Size: s.Size, BigEndian: s.BigEndian}
		return at.Octets() <= canbus.MaxLenFD
	}).Draw(t, "start")
	return s
}

// Decode(Encode(v)) = v, for each value that a signal can say: as bits, and as a
// physical value.
func TestEncodeThenDecode(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSignal(t)
		m := &Message{Name: "M", Len: 64, FD: true, Signals: []*Signal{s}, byName: map[string]*Signal{"S": s}}
		p, err := Compile(&File{byName: map[string]*Message{"M": m}}, []Ref{{"M", "S"}})
		if err != nil {
			t.Fatal(err)
		}
		decode := func(f canbus.Frame) (v [1]Value) {
			if p.Decode(&f, v[:]) != 1 || v[0].Short {
				t.Fatalf("%+v", v)
			}
			return v
		}
		raw := s.extend(rapid.Uint64().Draw(t, "raw"))
		f, err := m.Encode(Bits("S", raw))
		if err != nil {
			t.Fatal(err)
		}
		v := decode(f)[0]
		if v.Raw != raw {
			t.Fatalf("raw %#x, want %#x", v.Raw, raw)
		}
		if x := v.Physical; math.IsNaN(x) || math.IsInf(x, 0) {
			return
		}
		if f, err = m.Encode(Physical("S", v.Physical)); err != nil {
			t.Fatalf("%v of raw %#x is representable: %v", v.Physical, raw, err)
		}
		if again := decode(f)[0]; again.Physical != v.Physical {
			t.Fatalf("%v, want %v: raw %#x, was %#x", again.Physical, v.Physical, again.Raw, raw)
		}
		if s.Size <= 40 && !s.Float && math.Abs(s.Offset) < 1e7 && f.Data != mustEncode(t, m, raw).Data {
			t.Fatalf("raw %#x encodes to %X", raw, f.Data)
		}
	})
}

func mustEncode(t *rapid.T, m *Message, raw uint64) canbus.Frame {
	f, err := m.Encode(Bits("S", raw))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Values that division alone does not bring back; found by the property above
// and by search.
func TestRoundingIsUndone(t *testing.T) {
	for _, c := range []struct {
		s   Signal
		raw uint64
	}{
		{Signal{Size: 52, Factor: 0.1}, 0xC0000037FFFFF},
		{Signal{Size: 64, Factor: 1}, math.MaxUint64}, // decodes to 2^64, which is one too many
		{Signal{Size: 64, Factor: 1, Signed: true}, math.MaxInt64},
		{Signal{Size: 64, Factor: 0.1, Offset: 0.1, Float: true}, 0xC01199ADB03A3F81},
		{Signal{Size: 64, Factor: 25, Offset: 0.1, Float: true}, 0x3FA430D15C41E537},
	} {
		v := c.s.physical(c.raw)
		raw, err := c.s.fromPhysical(v)
		if err != nil || c.s.physical(raw) != v {
			t.Errorf("%+v: %v becomes raw %#x, which is %v (%v)", c.s, v, raw, c.s.physical(raw), err)
		}
	}
}
