package slcan

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/headunit-agent/headunit/canbus"
)

func frame(id uint32, flags canbus.Flags, data ...byte) canbus.Frame {
	f := canbus.Frame{ID: id, Flags: flags, Len: uint8(len(data))}
	copy(f.Data[:], data)
	return f
}

func fill(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(0xA0 + i)
	}
	return data
}

const x, fdf, brs = canbus.Extended, canbus.FD, canbus.BRS

// The texts are what the manuals and firmwares show, not what Append makes.
var frames = []struct {
	text string
	line Line
}{
	{"t1230", Line{Frame: frame(0x123, 0)}},
	{"t7FF81122334455667788", Line{Frame: frame(0x7FF, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88)}},
	{"t0002AbCd", Line{Frame: frame(0, 0, 0xAB, 0xCD)}},
	{"T1FFFFFFF10f", Line{Frame: frame(0x1FFFFFFF, x, 0x0F)}},
	{"T000001231FF", Line{Frame: frame(0x123, x, 0xFF)}},
	{"r1238", Line{Frame: canbus.Frame{ID: 0x123, Flags: canbus.Remote, Len: 8}}},
	{"R000001230", Line{Frame: canbus.Frame{ID: 0x123, Flags: canbus.Remote | x}}},
	{"t123F1122334455667788", Line{DLC: 15, Frame: frame(0x123, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88)}},
	{"r1239", Line{DLC: 9, Frame: canbus.Frame{ID: 0x123, Flags: canbus.Remote, Len: 8}}},
	{"d1230", Line{Frame: frame(0x123, fdf)}},
	{"d1239a0a1a2a3a4a5a6a7a8a9aaab", Line{Frame: frame(0x123, fdf, fill(12)...)}},
	{"D00000123101", Line{Frame: frame(0x123, fdf|x, 1)}},
	{"b123F" + strings.Repeat("55", 64), Line{Frame: frame(0x123, fdf|brs, bytes.Repeat([]byte{0x55}, 64)...)}},
	{"B1FFFFFFFF" + strings.Repeat("5a", 64), Line{Frame: frame(0x1FFFFFFF, fdf|brs|x, bytes.Repeat([]byte{0x5A}, 64)...)}},
	{"t12300000", Line{Stamped: true, Frame: frame(0x123, 0)}},
	{"t1231AAEA5F", Line{Stamped: true, Stamp: 59999, Frame: frame(0x123, 0, 0xAA)}},
	{"r1238abcd", Line{Stamped: true, Stamp: 0xABCD, Frame: canbus.Frame{ID: 0x123, Flags: canbus.Remote, Len: 8}}},
	{"B1FFFFFFFF" + strings.Repeat("5A", 64) + "0001", Line{Stamped: true, Stamp: 1, Frame: frame(0x1FFFFFFF, fdf|brs|x, bytes.Repeat([]byte{0x5A}, 64)...)}},
}

var answers = []struct {
	text string
	line Line
}{
	{"", Line{}},
	{"z", Line{Kind: Sent}},
	{"Z", Line{Kind: SentExtended}},
	{"F00", Line{Kind: Status}},
	{"Fa9", Line{Kind: Status, Flags: RxFull | Overrun | ErrPassive | BusError}},
	{"e1a", Line{Kind: Fault, Text: []byte("a")}},
	{"e3bcO", Line{Kind: Fault, Text: []byte("bcO")}},
	{"sa057033", Line{Kind: State, State: canbus.OK, RxErrors: 57, TxErrors: 33}},
	{"sw096000", Line{Kind: State, State: canbus.Warning, RxErrors: 96}},
	{"sp000128", Line{Kind: State, State: canbus.Passive, TxErrors: 128}},
	{"sb256256", Line{Kind: State, State: canbus.Off, RxErrors: 256, TxErrors: 256}},
	{"V1013", Line{Kind: Version, Text: []byte("1013")}},
	{"v0202", Line{Kind: Firmware, Text: []byte("0202")}},
	{"NA123", Line{Kind: Serial, Text: []byte("A123")}},
	{"M0123abcd", Line{Kind: Code, Text: []byte("0123abcd")}},
	{"mFFFFFFFF", Line{Kind: Mask, Text: []byte("FFFFFFFF")}},
	{"CANable 2: github.com", Line{Kind: Text, Text: []byte("CANable 2: github.com")}},
}

func TestParse(t *testing.T) {
	for _, c := range frames {
		c.line.Kind = Frame
		var got Line
		if err := Parse([]byte(c.text), &got); err != nil || !reflect.DeepEqual(got, c.line) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", c.text, err, got, c.line)
		}
		back, err := got.Append([]byte("x"))
		head := 1
		want := "x" + c.text[:head] + strings.ToUpper(c.text[head:]) + "\r"
		if err != nil || string(back) != want {
			t.Errorf("%q becomes %q: %v", c.text, back, err)
		}
	}
	for _, c := range answers {
		var got Line
		if err := Parse([]byte(c.text), &got); err != nil || !reflect.DeepEqual(got, c.line) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", c.text, err, got, c.line)
		}
		if back, err := got.Append(nil); err != nil || !strings.EqualFold(string(back), c.text+"\r") {
			t.Errorf("%q becomes %q: %v", c.text, back, err)
		}
	}
}

// One line for each rule that it breaks, and no other.
var malformed = []struct {
	text string
	why  error
}{
	{"t", errShort},
	{"t123", errShort},
	{"T0000012", errShort},
	{"T00000123", errShort},
	{"t1231", errLength},
	{"t1231A", errLength},
	{"t1231AAB", errLength},
	{"t1231AABB", errLength},
	{"t1231AABBC", errLength},
	{"t1231AABBCCD", errLength},
	{"t123100t12300", errLength},
	{"r1232AABB0", errLength},
	{"d1239" + strings.Repeat("00", 9), errLength},
	{"t1239" + strings.Repeat("00", 9), errLength},
	{"t1G30", errHex},
	{"t123G", errHex},
	{"t1231AG", errHex},
	{"t1231GA", errHex},
	{"t123000G0", errHex},
	{"t\x0030", errShort},
	{"t12\xff0", errHex},
	{"t8000", errID},
	{"d8000", errID},
	{"T200000000", errID},
	{"T800000000", errID},
	{"t1230EA60", errStamp},
	{"t1230FFFF", errStamp},
	{"zz", errMore},
	{"zt1230", errMore},
	{"ZZ", errMore},
	{"F", errShort},
	{"F0", errShort},
	{"F000", errMore},
	{"F0G", errHex},
	{"e", errShort},
	{"e1", errShort},
	{"e0a", errFaults},
	{"e9aaaaaaaaa", errFaults},
	{"e2a", errFaults},
	{"e1aa", errFaults},
	{"e1x", errFaults},
	{"sa05703", errShort},
	{"sa0570333", errMore},
	{"sx057033", errState},
	{"sf057033", errState},
	{"sa05703A", errState},
	{"sa-57033", errState},
	{"V10\x0013", errText},
	{"\xff", errText},
	{"hello\x7f", errText},
	{"M0", errShort},
	{"M012345678", errMore},
	{"m0123456G", errHex},
	{strings.Repeat("x", MaxLine+1), errTooLong},
}

func TestMalformedLinesAreRefused(t *testing.T) {
	for _, c := range malformed {
		var l Line
		if err := Parse([]byte(c.text), &l); !errors.Is(err, c.why) || !errors.Is(err, ErrLine) {
			t.Errorf("%q: %v, and not %v", c.text, err, c.why)
		}
	}
}

func TestOnlyWhatCanBeReadIsWritten(t *testing.T) {
	for _, l := range []Line{
		{Kind: Frame, DLC: 8, Frame: canbus.Frame{Len: 8}},
		{Kind: Frame, DLC: 16, Frame: canbus.Frame{Len: 8}},
		{Kind: Frame, DLC: 9, Frame: canbus.Frame{Len: 7}},
		{Kind: Frame, DLC: 9, Frame: canbus.Frame{Len: 12, Flags: fdf}},
		{Kind: Frame, Stamped: true, Stamp: Minute},
		{Kind: Fault},
		{Kind: Fault, Text: []byte("aaaaaaaaa")},
		{Kind: Fault, Text: []byte("x")},
		{Kind: State},
		{Kind: State, State: canbus.Gone},
		{Kind: State, State: canbus.OK, RxErrors: 1000},
		{Kind: Text},
		{Kind: Text, Text: []byte("t1230")},
		{Kind: Text, Text: []byte("Zoe")},
		{Kind: Text, Text: []byte("a\rb")},
		{Kind: Code, Text: []byte("0")},
		{Kind: Text + 1},
	} {
		if text, err := l.Append([]byte("kept")); err == nil || string(text) != "kept" {
			t.Errorf("%+v becomes %q: %v", l, text, err)
		}
	}
	for _, f := range []canbus.Frame{
		{Flags: canbus.Error},
		{Flags: fdf | canbus.ESI},
		{Flags: fdf | canbus.Remote},
		{Flags: brs},
		{Flags: 64},
		{ID: 0x800},
		{ID: 1 << 29, Flags: x},
		{Len: 9},
		{Len: 9, Flags: fdf},
		{Len: 65, Flags: fdf},
	} {
		if text, err := Append([]byte("kept"), &f); !errors.Is(err, canbus.ErrFrame) || string(text) != "kept" {
			t.Errorf("%+v becomes %q: %v", f, text, err)
		}
	}
}

func drawFrame(t *rapid.T) canbus.Frame {
	kinds := []canbus.Flags{0, x, canbus.Remote, canbus.Remote | x, fdf, fdf | x, fdf | brs, fdf | brs | x}
	f := canbus.Frame{Flags: rapid.SampledFrom(kinds).Draw(t, "flags")}
	most := uint32(canbus.MaxStandardID)
	if f.Flags&x != 0 {
		most = canbus.MaxExtendedID
	}
	f.ID = rapid.Uint32Range(0, most).Draw(t, "id")
	f.Len = uint8(canbus.LenOf(rapid.Uint8Range(0, 15).Draw(t, "dlc"), f.Flags&fdf != 0))
	copy(f.Payload(), rapid.SliceOfN(rapid.Byte(), 64, 64).Draw(t, "data"))
	return f
}

// Whatever is sent can be read, and is the same, in whatever case, with whatever
// line feeds, in whatever pieces it arrives.
func TestAppendParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Line{Kind: Frame, Frame: drawFrame(t), Stamped: rapid.Bool().Draw(t, "stamped")}
		if want.Stamped {
			want.Stamp = rapid.Uint16Range(0, Minute-1).Draw(t, "stamp")
		}
		if want.Frame.Len == 8 && want.Frame.Flags&fdf == 0 && rapid.Bool().Draw(t, "raw") {
			want.DLC = rapid.Uint8Range(9, 15).Draw(t, "code")
		}
		text, err := want.Append(nil)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := Append(nil, &want.Frame); err != nil || !want.Stamped && want.DLC == 0 && !bytes.Equal(plain, text) {
			t.Fatalf("%q and %q: %v", plain, text, err)
		}
		if rapid.Bool().Draw(t, "lower") {
			text = append(text[:1:1], bytes.ToLower(text[1:])...)
		}
		lf := rapid.IntRange(0, len(text)).Draw(t, "line feed")
		text = append(text[:lf:lf], append([]byte("\n"), text[lf:]...)...)
		var in scanner
		var got Line
		cut := rapid.IntRange(0, len(text)).Draw(t, "cut")
		for _, chunk := range [][]byte{text[:cut], text[cut:]} {
			for len(chunk) > 0 {
				var tok token
				if tok, chunk = in.next(chunk); tok.end != 0 {
					if err := Parse(tok.text, &got); err != nil || tok.end != cr || tok.long {
						t.Fatalf("%q: %v", tok.text, err)
					}
				}
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q\n got %+v\nwant %+v", text, got, want)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, c := range frames {
		f.Add([]byte(c.text))
	}
	for _, c := range answers {
		f.Add([]byte(c.text))
	}
	for _, c := range malformed {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var l Line
		if err := Parse(text, &l); err != nil {
			if !errors.Is(err, ErrLine) {
				t.Fatal(err)
			}
			return
		}
		if l.Kind == Frame {
			if err := l.Frame.Check(); err != nil {
				t.Fatal(err)
			}
		}
		// It accepts only what it would print.
		back, err := l.Append(nil)
		if err != nil || !strings.EqualFold(string(back), string(text)+"\r") {
			t.Fatalf("%q is read and becomes %q: %v", text, back, err)
		}
	})
}

// A line that is cut off, too long, or has anything in it, costs itself and what
// its missing end glued to it, and nothing more.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{"", "\r", "\a", "t1230", "t1230\n", strings.Repeat("t", MaxLine), strings.Repeat("\n", 200), strings.Repeat("x", 4096), "\x00\xff\a\r\r", "z\a"} {
		f.Add([]byte(s), 1)
		f.Add([]byte(s), 7)
	}
	f.Fuzz(func(t *testing.T, noise []byte, piece int) {
		stream := append(append([]byte(nil), noise...), "\rt12325566\r"...)
		piece = min(max(piece, 1), len(stream))
		var in scanner
		var last string
		ends, lf := 0, 0
		for len(stream) > 0 {
			chunk := stream[:min(piece, len(stream))]
			stream = stream[len(chunk):]
			for len(chunk) > 0 {
				var tok token
				tok, chunk = in.next(chunk)
				if tok.end == 0 {
					continue
				}
				ends++
				last = string(tok.text)
				lf += bytes.Count(tok.text, []byte("\n"))
				if len(tok.text) > MaxLine {
					t.Fatalf("%d octets are one line", len(tok.text))
				}
			}
		}
		if want := bytes.Count(noise, []byte("\r")) + bytes.Count(noise, []byte("\a")) + 2; ends != want || last != "t12325566" || lf > 0 {
			t.Fatalf("%d of %d lines, %d line feeds, the last is %q", ends, want, lf, last)
		}
	})
}

func TestScannerDropsLongLines(t *testing.T) {
	for n, long := range map[int]bool{MaxLine: false, MaxLine + 1: true, 5000: true} {
		for _, piece := range []int{1, 100, 10000} {
			var in scanner
			stream := []byte(strings.Repeat("x", n) + "\rz\r")
			var got []token
			for len(stream) > 0 {
				chunk := stream[:min(piece, len(stream))]
				stream = stream[len(chunk):]
				for len(chunk) > 0 {
					var tok token
					if tok, chunk = in.next(chunk); tok.end != 0 {
						got = append(got, tok)
					}
				}
			}
			if len(got) != 2 || got[0].long != long || got[1].long {
				t.Errorf("%d octets in pieces of %d: %d lines", n, piece, len(got))
			}
		}
	}
}

func TestCodecAllocatesNothing(t *testing.T) {
	text, l, dst, f := []byte("T1ABCDEF08112233445566778812AB"), Line{}, make([]byte, 0, MaxLine), frame(0x123, fdf, fill(64)...)
	bad := []byte("t1231AG")
	var in scanner
	stream := []byte("t1232AABB\r\nz\r")
	for name, do := range map[string]func(){
		"Parse":      func() { _ = Parse(text, &l) },
		"Parse, bad": func() { _ = Parse(bad, &l) },
		"Append":     func() { _, _ = Append(dst, &f) },
		"scanner": func() {
			for rest := stream; len(rest) > 0; {
				_, rest = in.next(rest)
			}
		},
	} {
		if n := testing.AllocsPerRun(100, do); n != 0 {
			t.Errorf("%s allocates %g times", name, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for name, text := range map[string]string{
		"standard8": "t12381122334455667788", "extended8": "T1ABCDEF081122334455667788",
		"stamped8": "t1238112233445566778812AB", "fd64": "b123F" + strings.Repeat("5A", 64), "z": "z",
	} {
		b.Run(name, func(b *testing.B) {
			var l Line
			in := []byte(text)
			b.ReportAllocs()
			for b.Loop() {
				if err := Parse(in, &l); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for name, f := range map[string]canbus.Frame{
		"standard8": frame(0x123, 0, fill(8)...), "extended8": frame(0x1ABCDEF0, x, fill(8)...), "fd64": frame(0x123, fdf|brs, fill(64)...),
	} {
		b.Run(name, func(b *testing.B) {
			dst := make([]byte, 0, MaxLine)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Append(dst, &f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkScanner(b *testing.B) {
	stream := bytes.Repeat([]byte("t12381122334455667788\r"), 100)
	var in scanner
	var l Line
	b.ReportAllocs()
	for b.Loop() {
		for rest := stream; len(rest) > 0; {
			var tok token
			if tok, rest = in.next(rest); tok.end != 0 {
				_ = Parse(tok.text, &l)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/line")
}
