package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// What Protect makes, Check takes; and what was changed on the way, it does not.
func TestProtectedIsWholeAndChangedIsNot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{
			Plain:  rapid.Bool().Draw(t, "plain"),
			Length: rapid.SampledFrom([]int{0, 2, 7}).Draw(t, "length"),
		}
		copy(c.Constants[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "constants"))
		data := rapid.SliceOfN(rapid.Byte(), 7, 64).Draw(t, "data")
		before := append([]byte(nil), data...)
		counter := rapid.Byte().Draw(t, "counter")
		c.Protect(data, counter)
		if data[1] != before[1]&0xF0|counter&15 || string(data[2:]) != string(before[2:]) {
			t.Fatalf("%x became %x", before, data)
		}
		s := State{seen: true, counter: (counter - 1) & 15}
		if v := c.Check(&s, data); v != OK {
			t.Fatalf("%x: %s", data, v)
		}
		n := c.Length
		if n == 0 {
			n = len(data)
		}
		at, bit := rapid.IntRange(0, len(data)-1).Draw(t, "at"), rapid.IntRange(0, 7).Draw(t, "bit")
		data[at] ^= 1 << bit
		before[0] = byte(s.counter)
		v := c.Check(&s, data)
		// a counter that was changed may meet a constant that fits: that is chance, not protection
		if chance := at == 1 && bit < 4 && !c.Plain; v == CRC != (at < n) && !chance {
			t.Fatalf("octet %d of %d, bit %d: %s", at, n, bit, v)
		}
		if v == CRC && s.counter != before[0] {
			t.Fatal("a broken frame moved the counter")
		}
	})
}

// The table is a copy, and a digit wrong in it would be found in a car only: the
// digest was made of the published table by another program.
func TestTableIsTheOneThatWasPublished(t *testing.T) {
	h := sha256.New()
	for _, r := range table {
		fmt.Fprintf(h, "%03X %d %s\n", r.id, r.length, r.constants)
	}
	const want = "00a892d2236c90ca21964e0fe05657e71cb722f08be61409606a1e1a0babd509"
	if got := hex.EncodeToString(h.Sum(nil)); got != want || len(table) != 43 {
		t.Errorf("%d rows with the digest %s", len(table), got)
	}
}

// Every step from every counter, for every gap that can be set.
func TestEveryStep(t *testing.T) {
	for gap := range 17 {
		c := Constant(0xC3)
		c.MaxGap = gap
		most := gap
		if gap == 0 {
			most = 3
		}
		for from := range uint8(16) {
			for step := range 16 {
				s := State{seen: true, counter: from}
				data := make([]byte, 8)
				c.Protect(data, from+uint8(step))
				want := First
				switch {
				case step == 0:
					want = Repeated
				case step == 1:
					want = OK
				case step <= most:
					want = Jumped
				}
				if v := c.Check(&s, data); v != want || s.counter != (from+uint8(step))&15 {
					t.Fatalf("gap %d, %d steps from %d: %s", gap, step, from, v)
				}
			}
		}
	}
}

func TestCounts(t *testing.T) {
	c := Constant(1)
	var s State
	for _, counter := range []uint8{5, 6, 6, 9, 3, 4} {
		data := make([]byte, 8)
		c.Protect(data, counter)
		c.Check(&s, data)
		data[7]++
		c.Check(&s, data)
	}
	if s.Bad != 6 || s.Again != 1 || s.Lost != 2 || s.Restarted != 1 {
		t.Errorf("%+v", s)
	}
}

func TestShortFormsFitTheFrame(t *testing.T) {
	for id, want := range map[uint32]int{0x0DB: 42, 0x102: 44, 0x0FC: 60, 0x10B: 44, 0x139: 28, 0x13D: 28, 0x040: 0} {
		for _, length := range []int{8, 24, 48, 64} {
			c, ok := VW(id, length)
			short := want
			if want >= length {
				short = 0
			}
			if !ok || c.Short != short || c.Length != 0 || c.Plain {
				t.Errorf("%03X with %d octets: %+v, %v", id, length, c, ok)
			}
			data := make([]byte, length)
			c.Protect(data, 3)
			if data[0] != c.sum(data, &c.Constants) {
				t.Errorf("%03X is sent in the short form", id)
			}
		}
	}
}

func TestTooShortIsNotWhole(t *testing.T) {
	for _, length := range []int{9, 1, -1} {
		c := Config{Length: length, Plain: true}
		data := [8]byte{7: 1}
		c.Protect(data[:], 1)
		if v := c.Check(new(State), data[:]); v != CRC || data != [8]byte{7: 1} {
			t.Errorf("length %d: %s, % x", length, v, data)
		}
	}
	c := Config{Short: 70} // longer than the frame: there is no short form
	data := make([]byte, 64)
	c.Protect(data, 1)
	if v := c.Check(new(State), data); v != First {
		t.Error(v)
	}
}

func TestNoAllocations(t *testing.T) {
	c, _ := VW(0x139, 64)
	data := make([]byte, 64)
	var s State
	counter := uint8(0)
	if n := testing.AllocsPerRun(100, func() {
		counter++
		c.Protect(data, counter)
		c.Check(&s, data)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte{}, 0, 0)
	f.Add([]byte{0x4B, 0x05, 0x03, 0x00}, 0, 0)
	f.Add(make([]byte, 64), 28, 60)
	f.Add([]byte{1, 2}, -1, 1)
	f.Fuzz(func(t *testing.T, data []byte, short, length int) {
		c := Constant(0xC3)
		c.Short, c.Length = short, length
		var s State
		if v := c.Check(&s, data); v != First && v != CRC {
			t.Fatal(v)
		}
	})
}
