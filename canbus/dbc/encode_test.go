package dbc

import (
	"errors"
	"math"
	"testing"

	"github.com/headunit-agent/headunit/canbus"
)

const lock = `
BO_ 400 Lock: 8 Gate
 SG_ Kind M : 0|4@1+ (1,0) [0|0] "" X
 SG_ Minutes m1 : 8|8@1+ (5,10) [0|0] "min" X
 SG_ Heat m2 : 8|8@1- (0.5,0) [0|0] "degC" X
 SG_ Order : 20|3@1+ (1,0) [0|0] "" X
 SG_ Level : 31|16@0- (0.1,0) [0|0] "" X
 SG_ LevelHigh : 24|8@1+ (1,0) [0|0] "" X
 SG_ Wide : 40|16@1+ (1,0) [0|0] "" X
 SG_ Far : 60|8@1+ (1,0) [0|0] "" X
BO_ 2147484048 Floats: 12 Gate
 SG_ F32 : 0|32@1- (1,0) [0|0] "" X
 SG_ F64 : 32|64@1- (2,1) [0|0] "" X
BO_ 402 Large: 10 Gate
 SG_ U64 : 3|64@1+ (1,0) [0|0] "" X
BO_ 403 Transport: 100 Gate
 SG_ S : 0|8@1+ (1,0) [0|0] "" X
BO_ 404 Flat: 8 Gate
 SG_ Zero : 0|8@1+ (0,3) [0|0] "" X
BO_ 406 Signed: 2 Gate
 SG_ Sw M : 0|4@1- (1,0) [0|0] "" X
 SG_ S m15 : 8|8@1+ (1,0) [0|0] "" X
BO_ 405 Lost: 8 Gate
 SG_ S m1 : 0|8@1+ (1,0) [0|0] "" X
BA_ "GenSigStartValue" SG_ 400 Order 5;
BA_ "GenSigStartValue" SG_ 400 Minutes 255;
BA_ "GenSigStartValue" SG_ 400 Heat -2;
BA_ "GenSigStartValue" SG_ 400 Far 255;
BA_ "GenSigStartValue" SG_ 400 LevelHigh 7;
VAL_ 400 Order 0 "none" 1 "open" 2 "shut" 3 "twice" 4 "twice" 9 "beyond" ;
SIG_VALTYPE_ 2147484048 F32 : 1;
SIG_VALTYPE_ 2147484048 F64 : 2;
`

func lockFile(t *testing.T) *File {
	t.Helper()
	f, _, err := Parse("lock.dbc", []byte(lock))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEncode(t *testing.T) {
	f := lockFile(t)
	for _, c := range []struct {
		what    string
		message string
		sets    []Set
		want    []byte
	}{
		{"start values, none of a switch that is elsewhere", "Lock", nil, []byte{0, 0, 0x50, 7, 0, 0, 0, 0}},
		{"start value of a multiplexed signal", "Lock", []Set{Raw("Kind", 2)}, []byte{2, 0xFE, 0x50, 7, 0, 0, 0, 0}},
		{"multiplexed", "Lock", []Set{Physical("Minutes", 30), Raw("Kind", 1)}, []byte{1, 4, 0x50, 7, 0, 0, 0, 0}},
		{"text", "Lock", []Set{Text("Order", "shut")}, []byte{0, 0, 0x20, 7, 0, 0, 0, 0}},
		{"over the start value of another signal", "Lock", []Set{Raw("Level", -2)}, []byte{0, 0, 0x50, 0xFF, 0xFE, 0, 0, 0}},
		{"rounding half up", "Lock", []Set{Raw("Kind", 2), Physical("Heat", 0.25)}, []byte{2, 1, 0x50, 7, 0, 0, 0, 0}},
		{"rounding half down", "Lock", []Set{Raw("Kind", 2), Physical("Heat", -0.25)}, []byte{2, 0xFF, 0x50, 7, 0, 0, 0, 0}},
		{"bits", "Lock", []Set{Bits("Level", math.MaxUint64)}, []byte{0, 0, 0x50, 0xFF, 0xFF, 0, 0, 0}},
		{"overlapping, and of one mind", "Lock", []Set{Raw("Level", 0x0102), Raw("LevelHigh", 1)}, []byte{0, 0, 0x50, 1, 2, 0, 0, 0}},
		{"a signed switch", "Signed", []Set{Raw("Sw", -1), Raw("S", 7)}, []byte{15, 7}},
		{"floats", "Floats", []Set{Raw("F32", -1), Physical("F64", 5)}, []byte{0, 0, 0x80, 0xBF, 0, 0, 0, 0, 0, 0, 0, 0x40}},
		{"nine octets, filled to 12", "Large", []Set{Bits("U64", math.MaxUint64)}, []byte{0xF8, 255, 255, 255, 255, 255, 255, 255, 7, 0, 0, 0}},
	} {
		got, err := f.Message(c.message).Encode(c.sets...)
		want := canbus.Frame{ID: 400, Len: uint8(len(c.want))}
		copy(want.Data[:], c.want)
		switch c.message {
		case "Floats":
			want.ID, want.Flags = 400, canbus.Extended|canbus.FD
		case "Signed":
			want.ID = 406
		case "Large":
			want.ID, want.Flags = 402, canbus.FD
		}
		if err != nil || got != want || got.Check() != nil {
			t.Errorf("%s: %X %v %v", c.what, got.Payload(), got.Flags, err)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	f := lockFile(t)
	for _, c := range []struct {
		message string
		set     []Set
		want    error
		text    string
	}{
		{"Lock", []Set{Raw("Ordre", 1)}, ErrUnknown, "signal Lock.Ordre: not in the DBC file"},
		{"Lock", []Set{Text("Order", "ajar")}, ErrUnknown, `signal Lock.Order: text "ajar": not in the DBC file`},
		{"Lock", []Set{Text("Order", "twice")}, ErrRange, `signal Lock.Order: text "twice" stands for 2 values: does not fit as one`},
		{"Lock", []Set{Text("Order", "beyond")}, ErrRange, "signal Lock.Order: raw 9: does not fit into 3 bits"},
		{"Lock", []Set{Raw("Order", 8)}, ErrRange, "signal Lock.Order: raw 8: does not fit into 3 bits"},
		{"Lock", []Set{Raw("Order", -1)}, ErrRange, ""},
		{"Lock", []Set{Raw("Level", 32768)}, ErrRange, ""},
		{"Lock", []Set{Raw("Level", -32769)}, ErrRange, ""},
		{"Lock", []Set{Physical("Level", 3276.75)}, ErrRange, ""}, // rounds to 32768
		{"Lock", []Set{Physical("Level", -3276.85)}, ErrRange, "signal Lock.Level: -3276.85 (raw -32769): does not fit into 16 bits"},
		{"Lock", []Set{Physical("Order", -0.5)}, ErrRange, ""},
		{"Lock", []Set{Physical("Order", 1e300)}, ErrRange, ""},
		{"Lock", []Set{Physical("Order", math.NaN())}, ErrRange, ""},
		{"Lock", []Set{Physical("Order", math.Inf(-1))}, ErrRange, ""},
		{"Lock", []Set{Bits("Order", 8)}, ErrRange, ""},
		{"Lock", []Set{Bits("Level", 0x8000)}, ErrRange, ""}, // not sign-extended
		{"Lock", []Set{Raw("Far", 1)}, ErrRange, "signal Lock.Far: does not fit into the 8 octets of the message"},
		{"Lock", []Set{Raw("Minutes", 1)}, ErrAbsent, "signal Lock.Minutes: multiplexer value was not chosen"},
		{"Lock", []Set{Raw("Kind", 2), Raw("Minutes", 1)}, ErrAbsent, ""},
		{"Lost", []Set{Raw("S", 1)}, ErrAbsent, ""},
		{"Lock", []Set{Raw("Order", 1), Raw("Order", 1)}, ErrTwice, "signal Lock.Order: the same bits are written twice"},
		{"Lock", []Set{Raw("Level", 0x0102), Raw("LevelHigh", 2)}, ErrTwice, ""},
		{"Floats", []Set{Raw("F32", 1<<24+1)}, ErrRange, ""},
		{"Floats", []Set{Raw("F64", 1<<53+1)}, ErrRange, ""},
		{"Floats", []Set{Raw("F64", math.MaxInt64)}, ErrRange, ""},
		{"Floats", []Set{Physical("F32", 1e39)}, ErrRange, ""},
		{"Floats", []Set{Physical("F64", math.Inf(1))}, ErrRange, ""},
		{"Large", []Set{Raw("U64", -1)}, ErrRange, ""},
		{"Large", []Set{Physical("U64", 2e19)}, ErrRange, ""},
		{"Transport", nil, ErrRange, "message Transport of 100 octets: does not fit into a frame"},
		{"Flat", []Set{Physical("Zero", 3)}, ErrRange, ""},
	} {
		got, err := f.Message(c.message).Encode(c.set...)
		if !errors.Is(err, c.want) || c.text != "" && err.Error() != c.text || got != (canbus.Frame{}) && c.message != "Transport" {
			t.Errorf("%s %v: %v %v, want %v", c.message, c.set, got, err, c.want)
		}
	}
}

func TestMask(t *testing.T) {
	m := lockFile(t).Message("Lock")
	got, err := m.Mask("Kind", "Order", "Level")
	if want := [64]byte{0x0F, 0, 0x70, 0xFF, 0xFF}; err != nil || got != want {
		t.Errorf("%X, %v", got, err)
	}
	if _, err := m.Mask("Kind", "Nothing"); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	if _, err := m.Mask("Far"); !errors.Is(err, ErrRange) {
		t.Errorf("%v", err)
	}
}
