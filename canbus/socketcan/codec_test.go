package socketcan

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/headunit-agent/headunit/canbus"
)

// octets are a frame as the kernel lays it out: the identifier in the machine's
// order, then what rest says in hexadecimal, then zeros.
func octets(size int, word uint32, rest string) []byte {
	b := make([]byte, size)
	binary.NativeEndian.PutUint32(b, word)
	more, err := hex.DecodeString(strings.ReplaceAll(rest, " ", ""))
	if err != nil {
		panic(err)
	}
	copy(b[4:], more)
	return b
}

func frame(id uint32, flags canbus.Flags, data ...byte) canbus.Frame {
	f := canbus.Frame{ID: id, Flags: flags, Len: uint8(len(data))}
	copy(f.Data[:], data)
	return f
}

var goodOctets = []struct {
	name string
	in   []byte
	want canbus.Frame
}{
	{"standard", octets(16, 0x123, "03 00 00 00 DEADBE"), frame(0x123, 0, 0xDE, 0xAD, 0xBE)},
	{"extended", octets(16, 1<<31|0x1733_0301, "01 00 00 00 07"), frame(0x1733_0301, canbus.Extended, 7)},
	{"a standard identifier in the extended format", octets(16, 1<<31|0x123, "00"), frame(0x123, canbus.Extended)},
	{"remote, whatever lies in its data", octets(16, 1<<30|0x7FF, "08 00 00 00 FFFF"), canbus.Frame{ID: 0x7FF, Flags: canbus.Remote, Len: 8}},
	{"error", octets(16, 1<<29|0x204, "08 00 00 00 00 08 00 00 00 00 60 01"), frame(0x204, canbus.Error, 0, 8, 0, 0, 0, 0, 0x60, 1)},
	{"raw length code of a classic frame", octets(16, 1, "08 00 00 0F 0102030405060708"), frame(1, 0, 1, 2, 3, 4, 5, 6, 7, 8)},
	{"what the sender left beyond the length", octets(16, 1, "01 FF FF 00 01 02"), frame(1, 0, 1)},
	{"FD", octets(72, 1, "0C 00 00 00 0102030405060708090A0B0C FF"), frame(1, canbus.FD, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)},
	{"FD of a newer kernel", octets(72, 1, "01 07 00 00 09"), frame(1, canbus.FD|canbus.BRS|canbus.ESI, 9)},
	{"FD extended, bit-rate switch", octets(72, 1<<31|5, "00 01"), frame(5, canbus.FD|canbus.BRS|canbus.Extended)},
}

var badOctets = []struct {
	name string
	in   []byte
}{
	{"nothing", nil},
	{"one octet short", octets(15, 1, "00")},
	{"one octet more", octets(17, 1, "00")},
	{"between the sizes", octets(71, 1, "00")},
	{"more than FD", octets(73, 1, "00")},
	{"classic with 9 octets", octets(16, 1, "09")},
	{"classic with 12 octets", octets(16, 1, "0C")},
	{"FD with 9 octets", octets(72, 1, "09")},
	{"FD with 65 octets", octets(72, 1, "41")},
	{"standard identifier of 12 bits", octets(16, 0x800, "00")},
	{"FD remote", octets(72, 1<<30|1, "00")},
	{"error in FD", octets(72, 1<<29|4, "08")},
	{"error and extended", octets(16, 1<<29|1<<31|4, "08")},
	{"error and remote", octets(16, 1<<29|1<<30|4, "08")},
}

func TestDecodeTellsFramesByTheirSize(t *testing.T) {
	for _, c := range goodOctets {
		var got canbus.Frame
		if !decode(c.in, &got) || got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	for _, c := range badOctets {
		var got canbus.Frame
		if decode(c.in, &got) {
			t.Errorf("%s: taken as %+v", c.name, got)
		}
	}
}

func TestEncodeWritesWhatTheKernelReads(t *testing.T) {
	var b [sizeFD]byte
	for _, c := range goodOctets {
		for i := range b {
			b[i] = 0xEE // what was there before must not go out
		}
		n := encode(&b, &c.want)
		var back canbus.Frame
		if n != len(c.in) || !decode(b[:n], &back) || back != c.want {
			t.Errorf("%s: %d octets, read back as %+v", c.name, n, back)
		}
		for i, o := range b[dataAt+len(c.want.Payload()):] {
			if o != 0 {
				t.Errorf("%s: octet %d beyond the data is %02X", c.name, i, o)
			}
		}
		if n == sizeFD && b[5]&fdFDF == 0 {
			t.Errorf("%s: not marked as FD", c.name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, c := range goodOctets {
		f.Add(c.in)
	}
	for _, c := range badOctets {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var got, back canbus.Frame
		if !decode(in, &got) {
			return
		}
		if err := got.Check(); err != nil {
			t.Fatalf("% X: %v", in, err)
		}
		var b [sizeFD]byte
		n := encode(&b, &got)
		if n != len(in) || !decode(b[:n], &back) || back != got {
			t.Fatalf("% X became % X: %+v and %+v", in, b[:n], got, back)
		}
	})
}
