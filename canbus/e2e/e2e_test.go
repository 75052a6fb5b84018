package e2e

import (
	"encoding/hex"
	"testing"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestCRC(t *testing.T) {
	plain := Config{Plain: true}
	if got := plain.sum([]byte("x123456789"), &plain.Constants); got != 0xDF {
		t.Errorf("check value %02X", got)
	}
}

// TestKnownFrames are frames whose checksums were made elsewhere.
func TestKnownFrames(t *testing.T) {
	for _, c := range []struct {
		id   uint32
		data string
	}{
		{0x3C0, "66000000"},
		{0x3C0, "4B050300"},
		{0x0FD, "9509000088130000"},
		{0x040, "6B03000000000000"},
		{0x040, "2704E10000600000"},
	} {
		data := unhex(t, c.data)
		cfg, ok := VW(c.id, len(data))
		if !ok {
			t.Fatalf("%03X is not known", c.id)
		}
		var s State
		if v := cfg.Check(&s, data); v != First {
			t.Errorf("%03X %s: %s", c.id, c.data, v)
		}
		again := append([]byte(nil), data...)
		again[0] = 0
		cfg.Protect(again, data[1]&15)
		if again[0] != data[0] {
			t.Errorf("%03X: made %02X", c.id, again[0])
		}
		for bit := range 8 * len(data) {
			data[bit/8] ^= 1 << (bit % 8)
			if v := cfg.Check(new(State), data); v != CRC {
				t.Errorf("%03X with bit %d flipped: %s", c.id, bit, v)
			}
			data[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func TestCounter(t *testing.T) {
	cfg := Constant(0xF1)
	frame := func(counter uint8) []byte {
		b := make([]byte, 8)
		cfg.Protect(b, counter)
		return b
	}
	var s State
	for i, c := range []struct {
		counter uint8
		want    Verdict
	}{
		{14, First}, {15, OK}, {0, OK}, {0, Repeated}, {2, Jumped}, {5, Jumped}, {9, First}, {10, OK}, {9, First},
	} {
		if v := cfg.Check(&s, frame(c.counter)); v != c.want {
			t.Errorf("%d, counter %d: %s, not %s", i, c.counter, v, c.want)
		}
	}
	bad := frame(10)
	bad[0] ^= 1
	if v := cfg.Check(&s, bad); v != CRC {
		t.Error(v)
	}
	if v := cfg.Check(&s, frame(10)); v != OK {
		t.Errorf("a broken frame counted: %s", v)
	}
	for _, short := range [][]byte{nil, {1}} {
		cfg.Protect(short, 3)
		if v := cfg.Check(new(State), short); v != CRC {
			t.Errorf("%d octets: %s", len(short), v)
		}
	}
}

// TestShortForm: newer senders protect only the first octets of some messages.
func TestShortForm(t *testing.T) {
	cfg, ok := VW(0x139, 64)
	if !ok || cfg.Short != 28 {
		t.Fatalf("%+v %v", cfg, ok)
	}
	long, short := make([]byte, 64), make([]byte, 64)
	short[40] = 7
	cfg.Protect(long, 4)
	form := Config{Constants: cfg.ShortTo, Length: 28}
	form.Protect(short, 5)
	var s State
	if a, b := cfg.Check(&s, long), cfg.Check(&s, short); a != First || b != OK {
		t.Errorf("%s %s", a, b)
	}
}

func TestTable(t *testing.T) {
	for _, r := range table {
		if b, err := hex.DecodeString(r.constants); err != nil || len(b) != 16 {
			t.Errorf("%03X: %d constants, %v", r.id, len(b), err)
		}
	}
	if _, ok := VW(0x123, 8); ok {
		t.Error("123 is known")
	}
}

func BenchmarkCheck(b *testing.B) {
	cfg, _ := VW(0x0FD, 8)
	data := make([]byte, 8)
	var s State
	b.ReportAllocs()
	for i := uint8(0); b.Loop(); i++ {
		cfg.Protect(data, i)
		if cfg.Check(&s, data) == CRC {
			b.Fatal("wrong")
		}
	}
}
