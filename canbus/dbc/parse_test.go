package dbc

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// parse fails the test unless text parses with just these warnings, each given
// as line:column and the begin or a part of its text.
func parse(t testing.TB, text string, warnings ...string) *File {
	t.Helper()
	f, got, err := Parse("t.dbc", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for i, w := range got {
		if i >= len(warnings) {
			t.Errorf("a warning too many: %v", w)
			continue
		}
		place, part, _ := strings.Cut(warnings[i], " ")
		if fmt.Sprintf("%d:%d", w.Line, w.Col) != place || !strings.Contains(w.Text, part) || w.File != "t.dbc" {
			t.Errorf("warning %v, want %s", w, warnings[i])
		}
	}
	if len(got) < len(warnings) {
		t.Errorf("no warning %s", warnings[len(got):])
	}
	return f
}

const whole1 = `VERSION "3.1"

NS_ :
	NS_DESC_
	CM_
	BA_DEF_
	BA_
	VAL_
	FILTER
	BA_DEF_DEF_
	BU_SG_REL_
	SG_MUL_VAL_

BS_: 500 : 1,2

BU_: Gate Door

VAL_TABLE_ onoff 0 "off" 1 "on" ;

BO_ 837 Door_01: 8 Gate
 SG_ Door_Open : 0|1@1+ (1,0) [0|1] "" Door,Gate
 SG_ Door_Angle : 15|12@0- (0.5,-10) [-100|100.5] "deg"  Door
 SG_ Door_Force M : 32|8@1+ (1,0) [0|255] "N" Door
 SG_ Door_Heat m2 : 40|8@1- (2E-1,1e1) [0|0] "°C" Door

BO_ 2566914048 Long_Frame: 16 Gate
 SG_ Ratio : 64|32@1- (1,0) [0|0] "" Vector__XXX

BO_TX_BU_ 837 : Gate,Door;
EV_ Ambient: 0 [0|100] "C" 20 1 DUMMY_NODE_VECTOR0 Door;
CM_ "the file";
CM_ BU_ Gate "a node";
CM_ BO_ 837 "the door;
SG_ on two lines, with \"quotes\"";
CM_ SG_ 837 Door_Open "is it?";
BA_DEF_ BO_ "GenMsgCycleTime" INT 0 65535;
BA_DEF_ BO_ "GenMsgSendType" ENUM "cyclic","onChange";
BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN","r","r","r","r","r","r","r","r","r","r","r","r","StandardCAN_FD","ExtendedCAN_FD";
BA_DEF_ SG_ "GenSigStartValue" INT 0 65535;
BA_DEF_REL_ BU_SG_REL_ "Timeout" INT 0 100;
BA_DEF_DEF_ "GenMsgCycleTime" 100;
BA_DEF_DEF_ "GenMsgSendType" "onChange";
BA_DEF_DEF_ "GenSigStartValue" 1;
BA_ "Anything" 5;
BA_ "Node" BU_ Gate "x";
BA_ "GenMsgCycleTime" BO_ 837 20;
BA_ "GenMsgSendType" BO_ 837 0;
BA_ "VFrameFormat" BO_ 2566914048 15;
BA_ "GenSigStartValue" SG_ 837 Door_Angle -3;
BA_ "GenSigStartValue" SG_ 2566914048 Ratio 0.5;
BA_ "SystemSignalLongSymbol" SG_ 837 Door_Force "Door_Force_With_A_Name_Of_More_Than_32_Characters";
BA_ "SystemMessageLongSymbol" BO_ 837 "Door_01_With_A_Name_Of_More_Than_32_Characters";
BA_REL_ "Timeout" BU_SG_REL_ Door SG_ 837 Door_Open 50;
VAL_ 837 Door_Open 0 "shut" 1 "open" ;
VAL_ 837 Door_Angle -2 "jammed" 2047 "unknown";
VAL_ Ambient 0 "cold" ;
SIG_GROUP_ 837 Group 1 : Door_Open Door_Angle;
SIG_VALTYPE_ 2566914048 Ratio : 1;
SG_MUL_VAL_ 837 Door_Heat Door_Force 2-2, 5-7;
`

func TestWholeFile(t *testing.T) {
	f := parse(t, whole1)
	if f.Version != "3.1" || f.Comment != "the file" || len(f.Messages) != 2 {
		t.Errorf("%+v", f)
	}
	m := f.Message("Door_01_With_A_Name_Of_More_Than_32_Characters")
	if m == nil || f.Message("Door_01") != nil {
		t.Fatal("the long name of a message is not in force")
	}
	if m.ID != 837 || m.Extended || m.FD || m.Len != 8 || m.Cycle != 20*time.Millisecond || m.SendType != "cyclic" ||
		m.Sender != "Gate" || m.Comment != "the door;\nSG_ on two lines, with \"quotes\"" {
		t.Errorf("%+v", m)
	}
	force := m.Signal("Door_Force_With_A_Name_Of_More_Than_32_Characters")
	if force == nil || m.Signal("Door_Force") != nil || !force.Switch || force.InitialRaw != 1 {
		t.Fatalf("the long name of a signal is not in force: %+v", force)
	}
	open := m.Signal("Door_Open")
	if open.Comment != "is it?" || !reflect.DeepEqual(open.Values, map[int64]string{0: "shut", 1: "open"}) || open.Under != nil {
		t.Errorf("%+v", open)
	}
	angle := *m.Signal("Door_Angle")
	if angle.Start != 15 || angle.Size != 12 || !angle.BigEndian || !angle.Signed || angle.Float || angle.Factor != 0.5 ||
		angle.Offset != -10 || angle.Min != -100 || angle.Max != 100.5 || angle.Unit != "deg" ||
		angle.InitialRaw != math.MaxUint64-2 || angle.Values[-2] != "jammed" {
		t.Errorf("%+v", angle)
	}
	heat := m.Signal("Door_Heat")
	if heat.Factor != 0.2 || heat.Offset != 10 || heat.Unit != "°C" || heat.Under != force ||
		!slices.Equal(heat.When, []Range{{2, 2}, {5, 7}}) {
		t.Errorf("%+v", heat)
	}
	long := f.Message("Long_Frame")
	if long.ID != 0x19000000 || !long.Extended || !long.FD || long.Len != 16 || long.Cycle != 100*time.Millisecond || long.SendType != "onChange" {
		t.Errorf("%+v", long)
	}
	if s := long.Signal("Ratio"); !s.Float || s.Signed || s.InitialRaw != uint64(math.Float32bits(0.5)) {
		t.Errorf("%+v", s)
	}
}

// one is a message of 8 octets with one signal, to which a test adds.
const one = "BO_ 100 M: 8 X\n SG_ S : 0|8@1+ (1,0) [0|0] \"\" X\n"

func TestIdentifiers(t *testing.T) {
	f := parse(t, `BO_ 2047 Std: 1 X
BO_ 2048 NotMarked: 1 X
BO_ 2147483649 Marked: 1 X
BO_ 3221225472 VECTOR__INDEPENDENT_SIG_MSG: 0 X
 SG_ Orphan : 0|8@1+ (1,0) [0|0] "" X
 SG_ Orphan : 8|8@1+ (1,0) [0|0] "" X
BO_ 1073741824 VECTOR__INDEPENDENT_SIG_MSG: 0 X
 SG_ Orphan2 : 0|8@1+ (1,0) [0|0] "" X
BO_ 1073743490 TooWide: 1 X
CM_ SG_ 3221225472 Orphan "of no message";
VAL_ 1073741824 Orphan2 0 "x";
CM_ BO_ 2147485696 "of NotMarked";
`, "2:1 not marked as 29-bit", "9:1 more than 29 bits: taken as 682")
	var got []key
	for _, m := range f.Messages {
		got = append(got, key{m.ID, m.Extended})
	}
	if want := []key{{2047, false}, {2048, true}, {1, true}, {0x682, true}}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if f.Message("NotMarked").Comment != "of NotMarked" {
		t.Error("a comment names a message with bit 31, the message lacks it: lost")
	}
}

func TestStatementsAboutNothing(t *testing.T) {
	f := parse(t, one+`CM_ BO_ 101 "x";
CM_ SG_ 100 T "x";
CM_ SG_ 100 "no name";
VAL_ 100 T 0 "x";
VAL_ 101 S 0 "x";
BA_ "GenMsgCycleTime" BO_ 101 10;
SIG_VALTYPE_ 100 T : 1;
SG_MUL_VAL_ 100 S T 1-1;
`, "3:1 no message 101", "4:1 no signal T", "5:1 attached to the message", "6:1 no signal T", "7:1 no message 101",
		"8:1 no message 101", "9:1 no signal T", "10:1 no signal T")
	if m := f.Message("M"); m.Comment != "no name" || m.Signal("S").Under != nil {
		t.Errorf("%+v", m)
	}
	f = parse(t, "NS_ :\n CM_\n BA_ CM_\nCM_ \"right after the list\";\n")
	if f.Comment != "right after the list" {
		t.Errorf("comment %q", f.Comment)
	}
	f = parse(t, one+"CM_ 100 \"no kind\";\n", "3:1 without a kind")
	if c := f.Message("M").Comment; c != "no kind" {
		t.Errorf("comment %q", c)
	}
}

func TestNumbers(t *testing.T) {
	f := parse(t, `BO_ 100 M: 8.0 X
 SG_ A : 0|8@1+ (.25,-.5) [1.|1E-06] "" X
 SG_ B : 8.0|8@1+ (1.0,0.0) [+1|-1.5E+3] "" X
BA_ "GenSigStartValue" SG_ 100 A 3.0;
`, "1:12 written as 8.0", "2:18 .25", "2:22 -.5", "2:28 1.", "3:10 written as 8.0")
	a, b := f.Message("M").Signal("A"), f.Message("M").Signal("B")
	if a.Factor != 0.25 || a.Offset != -0.5 || a.Min != 1 || a.Max != 1e-6 || a.InitialRaw != 3 {
		t.Errorf("%+v", a)
	}
	if b.Start != 8 || b.Factor != 1 || b.Min != 1 || b.Max != -1500 {
		t.Errorf("%+v", b)
	}
}

func TestNamesAndMissingSemicolons(t *testing.T) {
	f := parse(t, `BU_: 2017_5 Ä_1
BO_ 100 2017_5: 8 2017_5
 SG_ 0_COUNTER : 0|8@1+ (1,0) [0|0] "" 2017_5 , 
  X
 SG_ NoReceiver : 8|8@1+ (1,0) [0|0] ""
BO_ 101 NoSender : 8
CM_ SG_ 100 0_COUNTER "counts"
VAL_ 100 0_COUNTER 0 "zero" 1 "one"
VAL_ 100 NoReceiver 5 "five"`,
		"8:1 CM_ has no semicolon", "9:1 list of values has no semicolon", "9:29 list of values has no semicolon")
	m := f.Message("2017_5")
	if m == nil || len(m.Signals) != 2 || len(f.Messages) != 2 || f.Message("NoSender") == nil {
		t.Fatalf("%+v", f.Messages)
	}
	if s := m.Signal("0_COUNTER"); s.Comment != "counts" || s.Values[1] != "one" || m.Signal("NoReceiver").Values[5] != "five" {
		t.Errorf("%+v", s)
	}
}

func TestOverlapAndReach(t *testing.T) {
	parse(t, `BO_ 100 M: 2 X
 SG_ A : 0|8@1+ (1,0) [0|0] "" X
 SG_ B : 7|4@1+ (1,0) [0|0] "" X
 SG_ C : 12|8@1+ (1,0) [0|0] "" X
 SG_ Far : 4000|8@1+ (1,0) [0|0] "" X
BO_ 101 Mux: 8 X
 SG_ Sw M : 0|8@1+ (1,0) [0|0] "" X
 SG_ D m0 : 8|8@1+ (1,0) [0|0] "" X
 SG_ E m1 : 8|8@1+ (1,0) [0|0] "" X
 SG_ F m1 : 15|2@1+ (1,0) [0|0] "" X
`, "3:2 B overlaps A", "4:2 reaches beyond the 2 octets", "5:2 reaches beyond", "10:2 F overlaps E")
}

func TestLengths(t *testing.T) {
	f := parse(t, `BA_DEF_ BO_ "VFrameFormat" ENUM "StandardCAN","ExtendedCAN";
BO_ 100 Empty: 0 X
BO_ 101 Long: 64 X
BO_ 102 Transport: 1785 X
BO_ 103 ShortFD: 8 X
BO_ 104 NotFD: 12 X
BO_ 105 NotExtended: 8 X
BA_ "VFrameFormat" BO_ 103 14;
BA_ "VFrameFormat" BO_ 104 0;
BA_ "VFrameFormat" BO_ 105 "ExtendedCAN";
`, "2:1 no octets", "3:1 taken as FD", "4:1 no frame carries more", "9:28 taken as FD", "10:28 contradicts")
	for name, fd := range map[string]bool{"Empty": false, "Long": true, "Transport": true, "ShortFD": true, "NotFD": true, "NotExtended": false} {
		if m := f.Message(name); m.FD != fd || m.Extended {
			t.Errorf("%s: FD %v, extended %v", name, m.FD, m.Extended)
		}
	}
}

func TestTexts(t *testing.T) {
	f := parse(t, `VAL_TABLE_ gear 0 "P" 1 "R" ;
BO_ 100 M: 8 X
 SG_ S : 0|2@1+ (1,0) [0|0] "" X
 SG_ T : 2|4@1- (1,0) [0|0] "" X
 SG_ U : 8|64@1+ (1,0) [0|0] "" X
VAL_ 100 S 0 "reserved" 1 "reserved" 4 "outside" 1.0 "again" 0.5 "half" ;
VAL_ 100 T gear ;
VAL_ 100 U 18446744073709551615 "init" 99999999999999999999 "more than 64 bits" ;
`, "5:2 reaches beyond", "6:25 text \"reserved\" has another value", "6:38 does not fit the 2 bits", "6:50 written as 1.0",
		"6:50 has another text", "6:62 not a whole number", "8:40 not a whole number")
	m := f.Message("M")
	for name, want := range map[string]map[int64]string{
		"S": {0: "reserved", 1: "again", 4: "outside"},
		"T": {0: "P", 1: "R"},
		"U": {-1: "init"},
	} {
		if got := m.Signal(name).Values; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestForeignText(t *testing.T) {
	f := parse(t, "VERSION \"\"\r\n\r\nBO_ 100 M\t: 8 X\r\n\tSG_ S : 0|8@1+ (1,0) [0|0] \"\xB0C \x80\" X\r\n CM_ BO_ 100 \"a\r\nb\";\r\n",
		"1:11 CR LF", "4:30 Windows-1252")
	if u := f.Message("M").Signal("S").Unit; u != "°C €" {
		t.Errorf("unit %q", u)
	}
	if c := f.Message("M").Comment; c != "a\r\nb" {
		t.Errorf("comment %q", c)
	}
	f = parse(t, "\xEF\xBB\xBF"+strings.Replace(one, `""`, `"µ€"`, 1), "1:1 byte order mark")
	if u := f.Message("M").Signal("S").Unit; u != "µ€" {
		t.Errorf("unit %q", u)
	}
	// Columns count characters, whatever their octets.
	parse(t, "BO_ 1 M: 8 X\n SG_ S : 0|8@1+ (1,0) [0|0] \"\" Ä SG_\nCM_ BO_ 2 \"\xE4\xE4\"; CM_ BO_ 2 \"\";", "2:32 Windows-1252", "3:1 no message", "3:17 no message")
}

func TestDoubledNames(t *testing.T) {
	f := parse(t, `BO_ 100 First: 8 X
 SG_ A : 0|8@1+ (1,0) [0|0] "" X
BO_ 101 Same: 8 X
BO_ 100 Second: 4 X
 SG_ B : 0|8@1+ (1,0) [0|0] "" X
BO_ 102 Same: 8 X
CM_ SG_ 100 B "of the second";
`, "4:1 used by First already", "6:1 two messages of the name Same")
	if f.Message("First") != nil || len(f.Messages) != 3 || f.Message("Second").Signal("B").Comment != "of the second" {
		t.Errorf("%+v", f.Messages)
	}
	if f.Message("Same").ID != 102 {
		t.Error("a doubled name does not mean the last")
	}
}

func TestUnknownStatements(t *testing.T) {
	f := parse(t, "FOO_ 1 \"a;b\" c;\n;"+one+"BAR_ (x\nCM_ BO_ 100 \"c\";\nBAZ_", "1:1 unknown statement FOO_", "4:1 unknown statement BAR_", "4:1 no semicolon",
		"6:1 unknown statement BAZ_", "6:1 no semicolon")
	if f.Message("M").Comment != "c" {
		t.Error("a statement without a semicolon took the next one with it")
	}
}

func TestAttributesThatDoNotFit(t *testing.T) {
	f := parse(t, one+` SG_ T : 8|8@1- (1,0) [0|0] "" X
BA_ "GenSigStartValue" SG_ 100 S 256;
BA_ "GenMsgCycleTime" BO_ 100 -5;
SIG_VALTYPE_ 100 S : 3;
BA_ "GenSigStartValue" SG_ 100 T 128;
`, "4:34 does not fit the 8 bits", "5:31 out of range", "6:22 unknown: taken as an integer", "7:34 does not fit the 8 bits")
	if m := f.Message("M"); m.Cycle != 0 || m.Signal("S").InitialRaw != 0 || m.Signal("S").Float {
		t.Errorf("%+v %+v", m, m.Signal("S"))
	}
}

func TestErrors(t *testing.T) {
	for text, want := range map[string]string{
		"BO_ 1 M: 8 X\n SG_ S : 0|0@1+ (1,0) [0|0] \"\" X":       "t.dbc:2:12: signal S has 0 bits",
		"BO_ 1 M: 8 X\n SG_ S : 0|65@1+ (1,0) [0|0] \"\" X":      "t.dbc:2:12: signal S has 65 bits",
		"BO_ 1 M: 8 X\n SG_ S : 0|8@1+ (1x,0) [0|0] \"\" X":      "t.dbc:2:18: the factor is expected here as a number",
		"BO_ 1 M: 8 X\n SG_ S : 0|8@1+ (1.2.3,0) [0|0] \"\" X":   "t.dbc:2:18: the factor is expected",
		"BO_ 1 M: 8 X\n SG_ S : 0|8@1+ (1,NaN) [0|0] \"\" X":     "t.dbc:2:20: the offset is expected",
		"BO_ 1 M: 8 X\n SG_ S : 0|8@1+ (1E999,0) [0|0] \"\" X":   "t.dbc:2:18: the factor 1E999 cannot be read",
		"BO_ 1 M: 8 X\n SG_ S : 0|8.5@1+ (1,0) [0|0] \"\" X":     "t.dbc:2:12: the size 8.5 is not a whole number",
		"BO_ 1 M: 8 X\n SG_ S : -1|8@1+ (1,0) [0|0] \"\" X":      "t.dbc:2:10: the start bit -1 is out of range",
		"BO_ 1 M: 8 X\n SG_ S : 0|8@2+ (1,0) [0|0] \"\" X":       "t.dbc:2:14: a byte order",
		"BO_ 1 M: 8 X\n SG_ S : 0|8@1 (1,0) [0|0] \"\" X":        "t.dbc:2:16: a sign",
		"BO_ 1 M: 8 X\n SG_ S q1 : 0|8@1+ (1,0) [0|0] \"\" X":    "t.dbc:2:8: \"q1\" is no multiplexer",
		"BO_ 1 M: 8 X\n SG_ S : 0|8@1+ (1,0) [0|0] \"never shut": "t.dbc:2:29: the unit has no closing quotation mark",
		"BO_ 4294967296 M: 8 X":                                  "t.dbc:1:5: an identifier 4294967296 is out of range",
		"BO_ x M: 8 X":                                           "t.dbc:1:5: an identifier is expected",
		"BO_ 1 M 8 X":                                            "t.dbc:1:9: ':' is expected here, not '8'",
		"BO_ 1":                                                  "t.dbc:1:6: the name of a message is expected here, not the end of the file",
		" SG_ S : 0|8@1+ (1,0) [0|0] \"\" X":                     "t.dbc:1:2: signal outside of a message",
		"%":                                                      "t.dbc:1:1: a statement is expected here, not '%'",
		"CM_ \"x\" %":                                            "t.dbc:1:9: ';' is expected here",
		"VERSION 5":                                              "t.dbc:1:9: the version in quotation marks is expected here, not '5'",
		one + " SG_ S : 8|8@1+ (1,0) [0|0] \"\" X":               "t.dbc:3:6: message M has a signal S already",
		one + "SIG_VALTYPE_ 100 S : 1;":                          "t.dbc:3:22: signal S is declared as a float of 32 bits and has 8",
		one + "SG_MUL_VAL_ 100 S S 1-1;":                         "t.dbc:3:1: the switches of S go in a circle",
		one + "SG_MUL_VAL_ 100 S S 2-1;":                         "t.dbc:3:21: range 2-1 goes backwards",
		one + " SG_ T : 8|8@1+ (1,0) [0|0] \"\" X\nBA_ \"SystemSignalLongSymbol\" SG_ 100 T \"S\";": "message M has two signals of the name S",
	} {
		f, _, err := Parse("t.dbc", []byte(text))
		at, ok := errors.AsType[*Error](err)
		if !ok || f != nil || !strings.Contains(at.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestBounds(t *testing.T) {
	if _, _, err := Parse("t.dbc", make([]byte, MaxFile+1)); err == nil {
		t.Error("a file of more than 16 MiB is read")
	}
	signals := strings.Repeat(" SG_ S : 0|1@1+ (1,0) [0|0] \"\"\n", MaxSignals)
	text := "BO_ 3221225472 VECTOR__INDEPENDENT_SIG_MSG: 0 X\n" + signals
	if _, _, err := Parse("t.dbc", []byte(text)); err != nil {
		t.Error(err)
	}
	_, _, err := Parse("t.dbc", []byte(text+" SG_ S : 0|1@1+ (1,0) [0|0] \"\"\n"))
	if at, ok := errors.AsType[*Error](err); !ok || at.Line != MaxSignals+2 {
		t.Errorf("100,001 signals: %v", err)
	}
	_, warnings, err := Parse("t.dbc", []byte(strings.Repeat("CM_ BO_ 1 \"\";\n", 3*maxWarnings)))
	if err != nil || len(warnings) != maxWarnings+1 {
		t.Errorf("%d warnings, %v", len(warnings), err)
	}
}

// A file made to be slow: every signal shares its bits with every other.
func TestManyOverlaps(t *testing.T) {
	var b strings.Builder
	b.WriteString("BO_ 1 M: 8 X\n SG_ Sw M : 0|8@1+ (1,0) [0|0] \"\"\n")
	for i := range 20_000 {
		fmt.Fprintf(&b, " SG_ S%d m%d : 8|8@1+ (1,0) [0|0] \"\"\n", i, i)
	}
	b.WriteString("BO_ 2 N: 8 X\n SG_ A : 8|8@1+ (1,0) [0|0] \"\"\n SG_ B : 8|8@1+ (1,0) [0|0] \"\"\n")
	parse(t, b.String(), "1417:2 overlaps from here on are not shown")
}

func TestCanonicalIsWithinFormat(t *testing.T) {
	for _, id := range []uint32{0, 1, 0x7FF, 0x800, 0x1FFFFFFF, 0x20000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF} {
		k := canonical(id)
		f := canbus.Frame{ID: k.id}
		if k.extended {
			f.Flags = canbus.Extended
		}
		if err := f.Check(); err != nil {
			t.Errorf("%X: %v", id, err)
		}
	}
}
