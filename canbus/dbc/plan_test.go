package dbc

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/headunit-agent/headunit/canbus"
)

// esp resembles a frame of the MQB platform: 13 signals in 8 octets.
const esp = `
BO_ 253 Esp: 8 Gate
 SG_ Checksum : 0|8@1+ (1,0) [0|255] "" X
 SG_ Counter : 8|4@1+ (1,0) [0|15] "" X
 SG_ Torque : 12|10@1+ (1,-509) [-509|509] "" X
 SG_ Diagnosis : 23|1@1+ (1,0) [0|1] "" X
 SG_ Qualifier : 25|3@1+ (1.0,0.0) [0.0|7] "" X
 SG_ BadRoad : 30|1@1+ (1,0) [0|1] "" X
 SG_ Speed : 32|16@1+ (0.01,0) [0|655.32] "km/h" X
 SG_ State : 50|1@1+ (1,0) [0|1] "" X
 SG_ Shift : 51|2@1+ (1,0) [0|3] "" X
 SG_ Hold : 53|1@1+ (1,0) [0|1] "" X
 SG_ SpeedInvalid : 55|1@1+ (1,0) [0|1] "" X
 SG_ Braking : 56|1@1+ (1,0) [0|1] "" X
 SG_ Stopping : 63|1@1+ (1,0) [0|1] "" X
`

func frame(id uint32, data ...byte) *canbus.Frame {
	f := &canbus.Frame{ID: id, Len: uint8(len(data))}
	copy(f.Data[:], data)
	return f
}

// decoded compiles one signal and decodes one frame of its message.
func decoded(t *testing.T, layout string, data ...byte) Value {
	t.Helper()
	f, _, err := Parse("t.dbc", []byte("BO_ 1 M: 64 X\n SG_ S : "+layout+" [0|0] \"\" X\n"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(f, []Ref{{"M", "S"}})
	if err != nil {
		t.Fatal(err)
	}
	var v [1]Value
	if n := p.Decode(frame(1, data...), v[:]); n != 1 {
		t.Fatalf("%s: %d values", layout, n)
	}
	return v[0]
}

func TestMeaning(t *testing.T) {
	nine := []byte{0x80, 1, 2, 3, 4, 5, 6, 7, 0x7F}
	fd := make([]byte, 64)
	fd[62], fd[63] = 0x12, 0x34
	for _, c := range []struct {
		layout   string
		data     []byte
		raw      uint64
		physical float64
	}{
		{"7|16@0+ (1,0)", []byte{0x12, 0x34}, 4660, 4660},
		{"0|16@1+ (1,0)", []byte{0x12, 0x34}, 13330, 13330},
		{"3|5@0+ (1,0)", []byte{0x1A, 0x80}, 0x15, 21},
		{"6|4@1+ (2,1)", []byte{0xC0, 0x03}, 0xF, 31},
		{"0|1@1+ (-1,5)", []byte{1}, 1, 4}, // one bit is scaled like any other
		{"0|8@1- (1,0)", []byte{0xFF}, math.MaxUint64, -1},
		{"5|4@1- (0.5,10)", []byte{0x00, 0x01}, ^uint64(7), 6},
		{"7|12@0- (1,0)", []byte{0x80, 0x0F}, ^uint64(0x7FF), -2048},
		{"0|64@1+ (1,0)", []byte{255, 255, 255, 255, 255, 255, 255, 255}, math.MaxUint64, math.MaxUint64},
		{"0|64@1- (1,0)", []byte{255, 255, 255, 255, 255, 255, 255, 255}, math.MaxUint64, -1},
		{"7|64@0+ (1,0)", []byte{0x80, 0, 0, 0, 0, 0, 0, 1}, 1<<63 | 1, 1 << 63},
		{"7|64@1+ (1,0)", nine, 0x7F<<57 | 0x07060504030201<<1 | 1, 0x7F<<57 | 0x07060504030201<<1 | 1},
		{"0|64@0+ (1,0)", nine, 0x01020304050607<<7 | 0x3F, 0x01020304050607<<7 | 0x3F},
		{"0|32@1- (1,0)", []byte{0, 0, 0x80, 0x3F}, 0x3F800000, 0x3F800000},
		{"496|16@1+ (1,0)", fd, 0x3412, 0x3412},
		{"503|16@0+ (1,0)", fd, 0x1234, 0x1234},
		{"511|1@1+ (1,0)", fd, 0, 0},
	} {
		got := decoded(t, c.layout, c.data...)
		if got.Raw != c.raw || got.Physical != c.physical || got.Short {
			t.Errorf("%s of %X: %+v, want %#x and %v", c.layout, c.data, got, c.raw, c.physical)
		}
	}
}

func TestFloats(t *testing.T) {
	f := parse(t, `
BO_ 1 M: 16 X
 SG_ A : 0|32@1- (2,1) [0|0] "" X
 SG_ B : 71|32@0- (1,0) [0|0] "" X
 SG_ C : 33|64@1- (1,0) [0|0] "" X
SIG_VALTYPE_ 1 A : 1;
SIG_VALTYPE_ 1 B 1;
SIG_VALTYPE_ 1 C : 2;
BA_ "VFrameFormat" BO_ 1 14;
`, "5:2 overlaps")
	m := f.Message("M")
	for name, want := range map[string]float64{"A": 4, "B": -0.25, "C": 1e300} {
		fr, err := m.Encode(Physical(name, want))
		if err != nil {
			t.Error(err)
			continue
		}
		p, _ := Compile(f, []Ref{{"M", name}})
		var v [1]Value
		if p.Decode(&fr, v[:]); v[0].Physical != want || v[0].Raw != m.Signal(name).extract(&fr.Data) {
			t.Errorf("%s: %+v, want %v", name, v, want)
		}
	}
}

func TestNothingIsClamped(t *testing.T) {
	p, err := Compile(parse(t, esp), []Ref{{"Esp", "Speed"}, {"Esp", "SpeedInvalid"}})
	if err != nil {
		t.Fatal(err)
	}
	var v [2]Value
	for _, c := range []struct {
		data []byte
		want [2]Value
	}{
		{[]byte{0x95, 9, 0, 0, 0x88, 0x13, 0, 0}, [2]Value{{Raw: 5000, Physical: 50}, {Index: 1}}},
		{[]byte{0x7B, 0x0A, 0, 0, 0xFE, 0xFF, 0, 0x80}, [2]Value{{Raw: 65534, Physical: 655.34}, {Index: 1}}},
		{[]byte{0x7B, 0x0A, 0, 0, 0xFE, 0xFF, 0x80, 0}, [2]Value{{Raw: 65534, Physical: 655.34}, {Index: 1, Raw: 1, Physical: 1}}},
	} {
		if n := p.Decode(frame(253, c.data...), v[:]); n != 2 || v != c.want {
			t.Errorf("%X: %+v, want %+v", c.data, v, c.want)
		}
	}
}

func TestShortFrames(t *testing.T) {
	f := parse(t, esp)
	p, err := Compile(f, everything(f))
	if err != nil {
		t.Fatal(err)
	}
	whole, part := make([]Value, 13), make([]Value, 13)
	data := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	p.Decode(frame(253, data...), whole)
	for length := range data {
		if n := p.Decode(frame(253, data[:length]...), part); n != 13 {
			t.Fatalf("%d values of %d octets", n, length)
		}
		for i, v := range part {
			want := whole[i]
			if f.Messages[0].Signals[i].Octets() > length {
				want = Value{Index: i, Short: true}
			}
			if v != want {
				t.Errorf("%d octets: %+v, want %+v", length, v, want)
			}
		}
	}
	long := frame(253, data...)
	long.Len = 255 // no such frame
	if n := p.Decode(long, part); n != 13 || !slices.Equal(part, whole) {
		t.Errorf("%+v", part)
	}
	for room := range 13 {
		if n := p.Decode(frame(253, data...), part[:room]); n != room || !slices.Equal(part[:n], whole[:n]) {
			t.Errorf("%d values in a slice of %d", n, room)
		}
	}
}

func TestBeyondEveryFrame(t *testing.T) {
	f, _, err := Parse("t.dbc", []byte("BO_ 1 M: 64 X\n SG_ S : 505|8@1+ (1,0) [0|0] \"\"\n SG_ T : 60000|8@0+ (1,0) [0|0] \"\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(f, everything(f))
	if err != nil {
		t.Fatal(err)
	}
	v := make([]Value, 2)
	fr := frame(1, make([]byte, 64)...)
	for _, fr.Len = range []uint8{8, 64, 65, 255} {
		if n := p.Decode(fr, v); n != 2 || !v[0].Short || !v[1].Short {
			t.Errorf("length %d: %+v", fr.Len, v)
		}
	}
}

func TestOtherFrames(t *testing.T) {
	f := parse(t, esp+"BO_ 2147483901 Extended: 8 X\n SG_ S : 0|8@1+ (1,0) [0|0] \"\"\n")
	p, err := Compile(f, []Ref{{"Extended", "S"}, {"Esp", "Counter"}, {"Esp", "Counter"}})
	if err != nil {
		t.Fatal(err)
	}
	if n, m := p.Lookup(253, false), p.Lookup(253, true); n != 1 || m != 0 || p.Messages()[1].Name != "Esp" {
		t.Errorf("messages %d and %d", n, m)
	}
	for _, id := range []uint32{0, 252, 2047, 2048, math.MaxUint32} {
		if p.Lookup(id, false) != -1 || p.Lookup(id, true) != -1 {
			t.Errorf("identifier %X is wanted", id)
		}
	}
	var v [3]Value
	for flags, want := range map[canbus.Flags]int{0: 2, canbus.FD: 2, canbus.Remote: 0, canbus.Error: 0, canbus.Extended: 1} {
		fr := frame(253, 1, 2)
		if fr.Flags = flags; p.Decode(fr, v[:]) != want {
			t.Errorf("flags %b: not %d values", flags, want)
		}
	}
	if p.DecodeMessage(-1, frame(253), v[:]) != 0 || p.DecodeMessage(2, frame(253), v[:]) != 0 {
		t.Error("a message that is not in the plan has values")
	}
	var none Plan
	if none.Decode(frame(1), v[:]) != 0 || none.Lookup(1, true) != -1 || none.Most() != 0 {
		t.Error("the zero plan wants something")
	}
}

func TestUnknownSignalsAreNamed(t *testing.T) {
	_, err := Compile(parse(t, esp), []Ref{{"Esp", "Speed"}, {"Abs", "Speed"}, {"Esp", "speed"}})
	if !errors.Is(err, ErrUnknown) || err.Error() != "message Abs: not in the DBC file\nsignal Esp.speed: not in the DBC file" {
		t.Errorf("%v", err)
	}
}

// The compiled plan against the same signal read bit by bit, for all layouts.
func TestPlanReadsTheRightBits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		s := &Signal{Name: "S", Size: 1 + rnd.IntN(64), Start: rnd.IntN(512), BigEndian: rnd.IntN(2) == 0, Factor: 0.25, Offset: -3}
		switch rnd.IntN(4) {
		case 0:
			s.Signed = true
		case 1:
			s.Float, s.Size = true, 32<<rnd.IntN(2)
		}
		var data [64]byte
		for i := range data {
			data[i] = byte(rnd.Uint32())
		}
		step := newStep(s, 0)
		if s.Octets() > 64 {
			if step.octets != never {
				t.Fatalf("%+v: %+v", s, step)
			}
			continue
		}
		m := &Message{Name: "M", Signals: []*Signal{s}, byName: map[string]*Signal{"S": s}}
		p, err := Compile(&File{byName: map[string]*Message{"M": m}}, []Ref{{"M", "S"}})
		if err != nil {
			t.Fatal(err)
		}
		var v [1]Value
		fr := canbus.Frame{Len: 64, Data: data}
		raw := s.extract(&data)
		want := Value{Raw: raw, Physical: s.physical(raw)}
		for _, fr.Len = range []uint8{64, uint8(s.Octets())} {
			p.Decode(&fr, v[:])
			if v[0] != want && !(math.IsNaN(v[0].Physical) && math.IsNaN(want.Physical)) {
				t.Fatalf("%+v: %+v, want %+v", s, v[0], want)
			}
		}
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	f := parse(t, esp+strings.ReplaceAll(muxed, "BO_ 1 ", "BO_ 11 "))
	p, err := Compile(f, everything(f))
	if err != nil {
		t.Fatal(err)
	}
	dst := make([]Value, p.Most())
	frames := []*canbus.Frame{
		frame(253, 1, 2, 3, 4, 5, 6, 7, 8), frame(253, 1, 2), frame(11, 1, 2, 3, 4), frame(2, 1, 2, 3, 4), frame(99, 1),
	}
	total := 0
	if n := testing.AllocsPerRun(100, func() {
		for _, fr := range frames {
			total += p.Decode(fr, dst)
		}
	}); n != 0 || total == 0 {
		t.Errorf("%v allocations, %d values", n, total)
	}
}

func ExampleCompile() {
	f, _, _ := Parse("esp.dbc", []byte(esp))
	p, _ := Compile(f, []Ref{{"Esp", "Speed"}, {"Esp", "Counter"}})
	values := make([]Value, p.Most())
	rx := canbus.Frame{ID: 253, Len: 8, Data: [64]byte{0x95, 0x09, 0, 0, 0x88, 0x13, 0, 0}}
	for _, v := range values[:p.Decode(&rx, values)] {
		fmt.Println(v.Index, v.Raw, v.Physical)
	}
	// Output:
	// 0 5000 50
	// 1 9 9
}
