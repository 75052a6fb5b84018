package dbc

import (
	"slices"
	"strings"
	"testing"

	"github.com/headunit-agent/headunit/canbus"
)

// FuzzParse: whatever the file, Parse ends without a panic, and what it returns
// compiles, decodes and encodes.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", whole1, esp, muxed, lock, one,
		"BO_ 2048 NotMarked: 8 X\nBO_ 3221225472 VECTOR__INDEPENDENT_SIG_MSG: 0 X\n SG_ O : 0|1@1+ (1,0) [0|0] \"\"",
		one + "CM_ SG_ 100 \"no name\"; CM_ 100 \"no kind\"; CM_ SG_ 100 T \"\"; VAL_ 7 S 0 \"\";",
		"BO_ 1 M: 8.0 X\n SG_ S : 0|8@1+ (.25,-.5) [1.|1E-06] \"\" X",
		"BO_ 1 2017_5: 8 X\n SG_ 0_C : 0|8@1+ (1,0) [0|0] \"\"\nCM_ SG_ 1 0_C \"a\"\nVAL_ 1 0_C 0 \"a\"",
		"BO_ 1 M: 8 X\n SG_ A m : 0|8@1+ (1,0) [0|0] \"\"\n SG_ B M : 8|8@1+ (1,0) [0|0] \"\"\n SG_ C m1M : 9|8@1- (1,0) [0|0] \"\"\n SG_ D m0 : 7|64@0- (1,0) [0|0] \"\"\n",
		"BO_ 1 M: 2 X\n SG_ A : 15|16@1+ (1,0) [0|0] \"\"\n SG_ B : 65535|64@0+ (1,0) [0|0] \"\"\n",
		"BO_ 1 M: 0 X\nBO_ 2 N: 64 X\n SG_ A : 7|64@1- (1e300,1e300) [0|0] \"\"\nBO_ 3 O: 65535 X\nBA_ \"VFrameFormat\" BO_ 1 15;",
		one + "VAL_ 100 S 0 \"a\" 1 \"a\" 256 \"b\" -1 \"c\" 0.5 \"d\";",
		"\xEF\xBB\xBFVERSION \"\xB0\"\r\nBO_ 1 M\t: 8 X\r\nCM_ \"\\\"\";",
		one + one + " SG_ S : 0|8@1+ (1,0) [0|0] \"\" X\n",
		"BO_ 1 M: 8 X\n SG_ S : 0|0@1+ (1,0) [0|0] \"\"", "BO_ 1 M: 8 X\n SG_ S : 0|65@1+ (1,0) [0|0] \"\"",
		"VERSION \"", "BO_ 1 M: 9x", one + "SIG_VALTYPE_ 100 S : 2;", one + "SG_MUL_VAL_ 100 S S 0-18446744073709551615;",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		file, warnings, err := Parse("t.dbc", src)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "t.dbc:") || file != nil {
				t.Fatalf("%v, %v", file, err)
			}
			return
		}
		for _, w := range warnings {
			if w.Line < 1 || w.Col < 1 || w.Text == "" {
				t.Fatalf("%+v", w)
			}
		}
		for _, m := range file.Messages {
			exercise(t, file, m)
		}
	})
}

// exercise compiles all of a message, and decodes what it encodes.
func exercise(t *testing.T, file *File, m *Message) {
	var wanted []Ref
	var names []string
	for _, s := range m.Signals {
		names = append(names, s.Name)
		if file.Message(m.Name) == m && !lost(s) {
			wanted = append(wanted, Ref{m.Name, s.Name})
		}
	}
	p, err := Compile(file, wanted)
	if err != nil {
		t.Fatal(err)
	}
	frame, err := m.Encode()
	if err == nil && frame.Check() != nil {
		t.Fatalf("%s: %v", m.Name, frame.Check())
	}
	if _, err := m.Mask(names...); err == nil && m.Len > canbus.MaxLenFD {
		for _, s := range m.Signals {
			if s.Octets() > canbus.MaxLenFD {
				t.Fatalf("%s lies in no frame and has a mask", s.Name)
			}
		}
	}
	values := make([]Value, p.Most())
	if n := p.Decode(&frame, values); n > len(wanted) {
		t.Fatalf("%d values of %d", n, len(wanted))
	}
}

// FuzzDecode: any frame against a file with every kind of signal.
func FuzzDecode(f *testing.F) {
	file, _, err := Parse("t.dbc", []byte(esp+muxed+lock+`
BO_ 500 Kinds: 64 X
 SG_ Nine : 3|64@1+ (1,0) [0|0] "" X
 SG_ NineBig : 130|64@0- (0.1,5) [0|0] "" X
 SG_ Last : 504|8@1- (1,0) [0|0] "" X
 SG_ Never : 505|8@1- (1,0) [0|0] "" X
`))
	if err != nil {
		f.Fatal(err)
	}
	wanted := slices.DeleteFunc(everything(file), func(r Ref) bool { return lost(file.Message(r.Message).Signal(r.Signal)) })
	p, err := Compile(file, wanted)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(253), uint8(0), uint8(8), []byte{0x95, 9, 0, 0, 0x88, 0x13, 0, 0})
	f.Add(uint32(253), uint8(0), uint8(3), []byte{1, 2, 3})           // short
	f.Add(uint32(1), uint8(0), uint8(4), []byte{0xF1, 1, 2, 3})       // multiplexed
	f.Add(uint32(2), uint8(0), uint8(4), []byte{1, 2, 3, 4})          // nested
	f.Add(uint32(400), uint8(1), uint8(12), []byte{0, 0, 0xC0, 0x7F}) // floats
	f.Add(uint32(500), uint8(8), uint8(64), []byte{1, 2, 3, 4, 5, 6}) // nine octets
	f.Add(uint32(500), uint8(8), uint8(255), []byte{1})               // no such length
	f.Add(uint32(253), uint8(2), uint8(8), []byte{})                  // remote
	f.Add(uint32(0xFFFFFFFF), uint8(1), uint8(8), []byte{1, 2, 3})    // no such identifier
	f.Fuzz(func(t *testing.T, id uint32, flags, length uint8, data []byte) {
		fr := canbus.Frame{ID: id, Flags: canbus.Flags(flags), Len: length}
		copy(fr.Data[:], data)
		values := make([]Value, p.Most())
		for _, v := range values[:p.Decode(&fr, values)] {
			s := file.Message(wanted[v.Index].Message).Signal(wanted[v.Index].Signal)
			raw := s.extract(&fr.Data)
			switch want := s.physical(raw); {
			case v.Short != (s.Octets() > min(int(length), 64)):
				t.Fatalf("%s of %d octets: %+v", s.Name, length, v)
			case v.Short:
			case v.Raw != raw, v.Physical != want && want == want:
				t.Fatalf("%s: %+v, want %#x and %v", s.Name, v, raw, want)
			}
		}
	})
}
