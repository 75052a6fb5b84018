package wire

import (
	"bufio"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestNames(t *testing.T) {
	n := Name(seeded("x", 16))
	s := n.String()
	if got, err := ParseName(s); err != nil || got != n || len(s) != 26 {
		t.Errorf("%s is %s, %v", s, got, err)
	}
	last := "b" + s[1:25] + "b" // its last bits are not zero
	for _, bad := range []string{"", s[:25], s + "a", strings.ToUpper(s), "1" + s[1:], "+" + s[1:], last, s[:25] + "=", s[:24] + "\n\n", strings.Repeat("\n", 26)} {
		if got, err := ParseName(bad); err == nil {
			t.Errorf("%q is %s", bad, got)
		}
	}
}

func TestTopics(t *testing.T) {
	car := Name(seeded("x", 16))
	carried := map[Kind]Suffix{}
	for _, topic := range Topics() {
		whole := topic.Suffix.Of("c1", car)
		cell, name, s, err := ParseTopic(whole)
		if err != nil || cell != "c1" || name != car || s != topic.Suffix || s.Max() != topic.Max {
			t.Errorf("%s: %s %s %s %v", whole, cell, name, s, err)
		}
		if topic.Max > MaxPayload || s.Down() != strings.HasPrefix(string(s), "dn/") {
			t.Errorf("%+v", topic)
		}
		for _, k := range topic.Kinds {
			if carried[k] != "" {
				t.Errorf("%s on %s and %s", k, carried[k], s)
			}
			carried[k] = s
		}
	}
	for k := range Kind(64) {
		if want := k.String() != "" && k != KindGrant; (carried[k] != "") != want {
			t.Errorf("kind %d %q goes on %q", k, k, carried[k])
		}
	}
	for _, bad := range []string{
		"", "hu/v1/c1", "hu/v2/c1/" + car.String() + "/dn/cmd", "xx/v1/c1/" + car.String() + "/dn/cmd",
		"hu/v1//" + car.String() + "/dn/cmd", "hu/v1/C1/" + car.String() + "/dn/cmd",
		"hu/v1/12345678901234567/" + car.String() + "/dn/cmd", "hu/v1/c1/x/dn/cmd",
		"hu/v1/c1/" + car.String() + "/dn", "hu/v1/c1/" + car.String() + "/dn/cmd/x", "hu/v1/c1/" + car.String() + "/dn/#",
	} {
		if _, _, s, err := ParseTopic(bad); err == nil {
			t.Errorf("%q ends in %s", bad, s)
		}
	}
	if Suffix("dn/x").Max() != 0 || Suffix("dn/x").Carries(KindCommand) || DownCommand.Carries(KindLogin) {
		t.Error("a topic that is not there")
	}
}

func TestSignalsAreThoseOfVSS(t *testing.T) {
	last := uint8(0)
	for _, s := range Signals {
		if s.Number <= last {
			t.Errorf("%d after %d", s.Number, last)
		}
		last = s.Number
		if at, ok := SignalAt(s.Path); !ok || at != s {
			t.Errorf("%s is %d and %d", s.Path, s.Number, at.Number)
		}
	}
	if len(Signals) != 60 {
		t.Errorf("%d signals", len(Signals))
	}
	if _, ok := SignalOf(0); ok {
		t.Error("there is a signal 0")
	}
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", "vss", "vss_6.0.tsv"))
	if err != nil {
		t.Skipf("the list of VSS 6.0 leaves is not here: %v", err)
	}
	defer f.Close()
	kinds := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if field := strings.Split(lines.Text(), "\t"); len(field) > 3 {
			kinds[field[0]] = field[2]
		}
	}
	overlay := []string{"CentralLocking", "TheftAlarm", "AuxiliaryHeater"}
	for _, s := range Signals {
		ours := slices.ContainsFunc(overlay, func(o string) bool { return strings.Contains(s.Path, o) })
		kind := kinds[s.Path]
		switch counted := kind != "boolean" && kind != "string"; {
		case (kind == "") != ours:
			t.Errorf("%s is %q in VSS", s.Path, kind)
		case !ours && counted != (s.Step != 0):
			t.Errorf("%s is %s and has step %v", s.Path, kind, s.Step)
		}
	}
}

func TestCountsAreExact(t *testing.T) {
	for _, s := range Signals {
		if s.Step == 0 {
			if _, ok := s.Count(1); ok {
				t.Errorf("%s is counted", s.Path)
			}
			if _, ok := s.Measure(Int(1)); ok {
				t.Errorf("%s is measured", s.Path)
			}
			continue
		}
		rapid.Check(t, func(t *rapid.T) {
			n := Int(int64(rapid.Int32().Draw(t, "n")))
			v, ok := s.Measure(n)
			if again, ok2 := s.Count(v); !ok || !ok2 || again != n {
				t.Fatalf("%s: %v is %v and again %v", s.Path, n, v, again)
			}
		})
		for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e30} {
			if n, ok := s.Count(v); ok {
				t.Errorf("%s: %v is %v", s.Path, v, n)
			}
		}
	}
	volts, _ := SignalOf(33)
	if v, _ := volts.Count(12.34); v != Int(1234) {
		t.Errorf("12.34 V is %v", v)
	}
	if v, _ := volts.Measure(Int(1234)); v != 12.34 {
		t.Errorf("1234 is %v V", v)
	}
	left, _ := SignalOf(55)
	if v, _ := left.Count(89); v != Int(1) {
		t.Errorf("89 s is %v min", v)
	}
}

func TestOperations(t *testing.T) {
	classA, pins, names := OpsOf(2, 5, 13, 16, 17, 18, 19, 20, 21, 22, 23), OpsOf(1, 2, 3, 5, 7, 16, 17, 18, 19, 20, 21, 22), map[string]bool{}
	unlicensed, guarded := OpsOf(4, 6, 8, 16, 17, 18, 19, 20, 21, 22, 23, 24), OpsOf(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
	for i, o := range Operations {
		if int(o.Number) != i+1 || names[o.Name] || !isWord(o.Name) {
			t.Errorf("operation %d is %+v", i+1, o)
		}
		names[o.Name] = true
		if at, ok := OperationNamed(o.Name); !ok || at.Number != o.Number {
			t.Errorf("%s is %d", o.Name, at.Number)
		}
		if at, ok := OperationOf(uint64(o.Number)); !ok || at.Name != o.Name {
			t.Errorf("%d is %s", o.Number, at.Name)
		}
		if (o.Class == ClassA) != classA.Has(o.Number) || (o.PIN == Yes) != pins.Has(o.Number) {
			t.Errorf("%s: class %c, S-PIN %d", o.Name, o.Class, o.PIN)
		}
		if o.Licensed == unlicensed.Has(o.Number) || o.Guarded != guarded.Has(o.Number) {
			t.Errorf("%s: licensed %v, guarded %v", o.Name, o.Licensed, o.Guarded)
		}
		if short := o.Number == 2 || o.Number == 9; short && o.TTL != 30 || !short && o.TTL != 60 {
			t.Errorf("%s lives %d s", o.Name, o.TTL)
		}
		for _, r := range o.Rates {
			if r.Most < 1 || r.Per < time.Minute {
				t.Errorf("%s: %+v", o.Name, r)
			}
		}
		if len(o.Rates) == 0 || o.Roles == 0 || (o.Class != ClassA && o.Class != ClassB) {
			t.Errorf("%+v", o)
		}
	}
	for _, n := range []uint64{0, 25, 1 << 40} {
		if o, ok := OperationOf(n); ok {
			t.Errorf("%d is %s", n, o.Name)
		}
	}
	if _, ok := OperationNamed("fly"); ok {
		t.Error("cars fly")
	}
	if o := OpsOf(1, 14); !o.Has(1) || !o.Has(14) || o.Has(2) || o.Has(64) || o.Len() != 2 {
		t.Errorf("set %b", o)
	}
}

func TestWords(t *testing.T) {
	for s := range State(6) {
		if s.String() == "no state" || s.Final() != (s != InProgress) {
			t.Errorf("state %d is %s", s, s)
		}
	}
	if State(6).String() != "no state" || Kind(200).String() != "" || Kind(16).String() != "" {
		t.Error("words for what is not there")
	}
	for _, r := range []Reason{CommandEpoch, CommandDoorOpen, PrivacyCarOnly, CommandBattery12V, SystemLost, ResetDone} {
		if !r.ok() {
			t.Errorf("%s is no reason", r)
		}
	}
	for v, want := range map[Value]string{Bool(true): "true", Int(-3): "-3", Text("ON"): "ON", {}: "nothing"} {
		if v.String() != want {
			t.Errorf("%s, not %s", v, want)
		}
	}
	if b, ok := Int(1).Bool(); ok && b {
		t.Error("a number is a boolean")
	}
}

// TestTheCDDLNamesWhatIsBuilt keeps wire.cddl beside the code: it has a rule for
// each message that there is a decoder for, with the number of its kind.
func TestTheCDDLNamesWhatIsBuilt(t *testing.T) {
	text := string(must(os.ReadFile("wire.cddl")))
	for _, d := range decoders {
		rule := "\n" + d.name + " = "
		if d.kind != bare {
			rule += "{ 1: " + strconv.Itoa(int(d.kind)) + ","
		}
		if !strings.Contains(text, rule) {
			t.Errorf("wire.cddl has no%s", rule)
		}
	}
}
