package canbus

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func frame(id uint32, flags Flags, data ...byte) Frame {
	f := Frame{ID: id, Flags: flags, Len: uint8(len(data))}
	copy(f.Data[:], data)
	return f
}

func remote(id uint32, flags Flags, n uint8) Frame {
	return Frame{ID: id, Flags: flags | Remote, Len: n}
}

var long = bytes.Repeat([]byte{0xA5}, 64)

// What is read, and what it is written as: "" where that is the same text.
var lines = []struct {
	text, written string
	want          Line
}{
	{"can0 123#DEADBEEF", "", Line{Frame: frame(0x123, 0, 0xDE, 0xAD, 0xBE, 0xEF)}},
	{"can0 123#deadbeef", "can0 123#DEADBEEF", Line{Frame: frame(0x123, 0, 0xDE, 0xAD, 0xBE, 0xEF)}},
	{"can0 7FF#", "", Line{Frame: frame(0x7FF, 0)}},
	{"can0 00000123#01", "", Line{Frame: frame(0x123, Extended, 1)}},
	{"can0 1FFFFFFF#01", "", Line{Frame: frame(MaxExtendedID, Extended, 1)}},
	{"can0 123#R", "", Line{Frame: remote(0x123, 0, 0)}},
	{"can0 123#R0", "can0 123#R", Line{Frame: remote(0x123, 0, 0)}},
	{"can0 123#r5", "can0 123#R5", Line{Frame: remote(0x123, 0, 5)}},
	{"can0 00000123#R8", "", Line{Frame: remote(0x123, Extended, 8)}},
	{"can0 123#R8_F", "", Line{Frame: remote(0x123, 0, 8), DLC: 15}},
	{"can0 123##0", "", Line{Frame: frame(0x123, FD)}},
	{"can0 123##1AA", "", Line{Frame: frame(0x123, FD|BRS, 0xAA)}},
	{"can0 123##2AA", "", Line{Frame: frame(0x123, FD|ESI, 0xAA)}},
	{"can0 123##3AA", "", Line{Frame: frame(0x123, FD|BRS|ESI, 0xAA)}},
	{"can0 123##7AA", "can0 123##3AA", Line{Frame: frame(0x123, FD|BRS|ESI, 0xAA)}},
	{
		"can0 1ABCDEF0##5" + strings.Repeat("A5", 64), "can0 1ABCDEF0##1" + strings.Repeat("A5", 64),
		Line{Frame: frame(0x1ABCDEF0, Extended|FD|BRS, long...)},
	},
	{"can0 123##0" + strings.Repeat("A5", 12), "", Line{Frame: frame(0x123, FD, long[:12]...)}},
	{"can0 123#1122334455667788_C", "", Line{Frame: frame(0x123, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88), DLC: 12}},
	{
		"can0 123#1122334455667788_f", "can0 123#1122334455667788_F",
		Line{Frame: frame(0x123, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88), DLC: 15},
	},
	{"can0 20000040#0000000000000000", "", Line{Frame: frame(0x40, Error, 0, 0, 0, 0, 0, 0, 0, 0)}},
	{"can0 20000204#0008000000006000", "", Line{Frame: frame(0x204, Error, 0, 8, 0, 0, 0, 0, 0x60, 0)}},
	{"can0 123#01 R", "can0 123#01", Line{Frame: frame(0x123, 0, 1)}},
	{"can0 123#01 T", "can0 123#01", Line{Frame: frame(0x123, 0, 1)}},
	{"can0 123#01\r\n", "can0 123#01", Line{Frame: frame(0x123, 0, 1)}},
	{" can0\t123#01  ", "can0 123#01", Line{Frame: frame(0x123, 0, 1)}},
	{"(1747900000.123456) can0 123#01", "", Line{HasTime: true, At: time.Unix(1747900000, 123456000), Frame: frame(0x123, 0, 1)}},
	{"(1747900000.123456789) can0 123#01", "", Line{HasTime: true, At: time.Unix(1747900000, 123456789), Frame: frame(0x123, 0, 1)}},
	{
		"(1747900000.5) can0 123#01", "(1747900000.500000) can0 123#01",
		Line{HasTime: true, At: time.Unix(1747900000, 500000000), Frame: frame(0x123, 0, 1)},
	},
	{"(0.000000) can0 123#01", "(0000000000.000000) can0 123#01", Line{HasTime: true, At: time.Unix(0, 0), Frame: frame(0x123, 0, 1)}},
}

func TestEveryFormBothWays(t *testing.T) {
	for _, c := range lines {
		c.want.Interface = "can0"
		got, ok, err := ParseLine(c.text)
		if err != nil || !ok || got.Frame != c.want.Frame || got.DLC != c.want.DLC || got.Interface != "can0" ||
			got.HasTime != c.want.HasTime || got.HasTime && !got.At.Equal(c.want.At) {
			t.Errorf("%q: %+v, %v, %v", c.text, got, ok, err)
			continue
		}
		if err := got.Frame.Check(); err != nil {
			t.Errorf("%q gives a frame that cannot be: %v", c.text, err)
		}
		want := c.written
		if want == "" {
			want = c.text
		}
		if got.String() != want {
			t.Errorf("%q is written as %q", c.text, got)
		}
	}
}

func TestNothingToRead(t *testing.T) {
	for _, text := range []string{"", "\n", "\r\n", "  \t ", "# comment", "  #can0 123#01\r\n"} {
		if l, ok, err := ParseLine(text); ok || err != nil {
			t.Errorf("%q: %v, %v, %v", text, l, ok, err)
		}
	}
}

// A mistake each, and the column it is in.
var mistakes = []struct {
	text string
	col  int
	says string
}{
	{"can0 FFF#01", 6, "11 bits"},
	{"can0 800#", 6, "11 bits"},
	{"can0 40000000#", 6, "29 bits"},
	{"can0 A0000123#01", 6, "29 bits"},
	{"can0 12#01", 6, "3 or 8"},
	{"can0 1234#01", 6, "3 or 8"},
	{"can0 1234567#01", 6, "3 or 8"},
	{"can0 123456789#01", 6, "3 or 8"},
	{"can0 #01", 6, "3 or 8"},
	{"can0 123", 9, "#"},
	{"can0 123 01", 9, "#"},
	{"can0 123#1", 10, "pairs"},
	{"can0 123#112", 12, "pairs"},
	{"can0 123#1g", 11, "pairs"},
	{"can0 123#g1", 10, "hexadecimal"},
	{"can0 123#11.22", 12, "hexadecimal"},
	{"can0 123#112233445566778899", 26, "more than 8"},
	{"can0 123#112233_C", 16, "8 octets"},
	{"can0 123#1122334455667788_8", 27, "9 to F"},
	{"can0 123#1122334455667788_", 27, "9 to F"},
	{"can0 123#1122334455667788_CC", 28, "belong"},
	{"can0 20000040#0000000000000000_C", 31, "8 octets"},
	{"can0 123#R9", 11, "0 to 8"},
	{"can0 123#RA", 11, "0 to 8"},
	{"can0 123#R55", 12, "belong"},
	{"can0 123#R5_C", 12, "8 octets"},
	{"can0 123##", 11, "flag digit"},
	{"can0 123##8", 11, "0 to 7"},
	{"can0 123##g", 11, "0 to 7"},
	{"can0 123##0112233445566778899", 12, "octets"},
	{"can0 123##3" + strings.Repeat("00", 65), 12 + 128, "more than 64"},
	{"can0 123##31", 12, "pairs"},
	{"can0 123##311_9", 14, "belong"},
	{"can0 20000040##0", 15, "no FD"},
	{"can0 20000040#R", 15, "no remote"},
	{"can0 123#01 X", 13, "direction"},
	{"can0 123#01 R T", 13, "direction"},
	{"can0", 5, "must follow"},
	{"123#01", 1, "interface"},
	{"can0#123 01", 1, "interface"},
	{"c\x00n0 123#01", 1, "interface"},
	{"abcdefghijklmnopq 123#01", 1, "at most 16"},
	{"(1747900000) can0 123#01", 12, "point"},
	{"(1747900000.) can0 123#01", 13, "1 to 9"},
	{"(1747900000.1234567890) can0 123#01", 22, "1 to 9"},
	{"(.5) can0 123#01", 2, "digits"},
	{"(-1.5) can0 123#01", 2, "digits"},
	{"(1234567890123.5) can0 123#01", 14, "12 digits"},
	{"(1.5 can0 123#01", 5, "1 to 9"},
	{"(1.5)can0 123#01", 6, "blank"},
	{"(1.5)", 6, "blank"},
	{"(1.5) ", 6, "blank"},
}

func TestEveryMistakeHasItsColumn(t *testing.T) {
	for _, c := range mistakes {
		l, ok, err := ParseLine(c.text)
		e, is := errors.AsType[*ParseError](err)
		if !is || ok || e.Col != c.col || !strings.Contains(e.Text, c.says) {
			t.Errorf("%q: %v, %v, %v; want column %d and %q", c.text, l, ok, err, c.col, c.says)
		}
	}
}

func TestReaderNamesThePlaceAndGoesOn(t *testing.T) {
	text := "# a recording\r\n\r\n(1.5) can0 123#01\r\ncan0 FFF#\ncan1 124#\n" + strings.Repeat("x", 5000) + "\ncan1 125#"
	r := NewReader("drive.log", strings.NewReader(text))
	var got []string
	for {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			got = append(got, err.Error())
			continue
		}
		got = append(got, l.String())
	}
	want := []string{
		"(0000000001.500000) can0 123#01",
		"drive.log:4:6: FFF does not fit 11 bits: the largest is 7FF, and 29 bits are written with 8 digits",
		"can1 124#",
		"drive.log:6:4096: the line is longer than 4096 octets",
		"can1 125#",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s", strings.Join(got, "\n"))
	}
}

func TestReaderPassesOnWhatFails(t *testing.T) {
	r := NewReader("drive.log", io.MultiReader(strings.NewReader("can0 123#\n"), broken{}))
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(err.Error(), "drive.log:2:") {
		t.Errorf("%v", err)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// Recordings of real cars come back octet for octet.
func TestRecordingsRoundTrip(t *testing.T) {
	const folder = "../../shared/data/logs"
	files, _ := filepath.Glob(folder + "/*/*.log")
	if len(files) == 0 {
		t.Skip("no recordings of real cars: " + folder + " is not there")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := NewReader(file, bytes.NewReader(text))
		var out []byte
		for {
			l, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			out = append(l.Append(out), '\n')
		}
		if !bytes.Equal(out, text) {
			t.Errorf("%s: %d octets came back as %d others", file, len(text), len(out))
		}
	}
}

func TestReadingAllocatesNothing(t *testing.T) {
	text := strings.Repeat("(1747900000.123456) can0 123#DEADBEEF01020304\n", 2000)
	r := NewReader("", strings.NewReader(text))
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(1000, func() {
		l, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		dst = l.Append(dst[:0])
	}); n != 0 {
		t.Errorf("%v allocations a line", n)
	}
}

func FuzzParseLine(f *testing.F) {
	for _, c := range lines {
		f.Add(c.text)
	}
	for _, c := range mistakes {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, ok, err := ParseLine(s)
		switch {
		case err != nil:
			if e, is := errors.AsType[*ParseError](err); !is || ok || e.Col < 1 || e.Col > len(s)+1 {
				t.Fatalf("%q: %v, %v", s, ok, err)
			}
			return
		case !ok:
			return
		}
		if err := l.Frame.Check(); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		again, ok, err := ParseLine(l.String())
		if err != nil || !ok || again != l {
			t.Fatalf("%q is %+v, written as %q, and that is %+v, %v, %v", s, l, l, again, ok, err)
		}
	})
}

func BenchmarkParseLine(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"classic", "(1747900000.123456) can0 123#DEADBEEF01020304"},
		{"fd64", "(1747900000.123456) can0 1ABCDEF0##1" + strings.Repeat("A5", 64)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, ok, err := ParseLine(c.text); !ok || err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReader(b *testing.B) {
	text := strings.Repeat("(1747900000.123456) can0 123#DEADBEEF01020304\n", 1000)
	b.ReportAllocs()
	for b.Loop() {
		r := NewReader("", strings.NewReader(text))
		for range 1000 {
			if _, err := r.Next(); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/line")
}

func BenchmarkAppendLine(b *testing.B) {
	l := Line{At: time.Unix(1747900000, 123456000), HasTime: true, Interface: "can0", Frame: frame(0x123, 0, long[:8]...)}
	dst := make([]byte, 0, 200)
	b.ReportAllocs()
	for b.Loop() {
		dst = l.Append(dst[:0])
	}
}

func ExampleParseLine() {
	l, _, err := ParseLine("(1747900000.123456) can0 3c0#4B050300")
	fmt.Println(l, err)
	// Output: (1747900000.123456) can0 3C0#4B050300 <nil>
}
