package privacy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew; read the diff")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("..", "testdata", "privacy", name)
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs; run with -args -rewrite and read the diff\ngot:\n%s", path, got)
	}
}

// TestGateTable freezes what each level lets out, with and without a position,
// and what a switch takes away.
func TestGateTable(t *testing.T) {
	var b strings.Builder
	answer := func(p Policy, r Record) string {
		c, ok := p.Clear(r)
		if ok == c.Empty() || ok != p.Still(c) {
			t.Errorf("%v %v: cleared %v and %+v", p, r.Class, ok, c)
		}
		return map[bool]string{true: "yes", false: "-"}[ok]
	}
	fmt.Fprintf(&b, "%-11s %-9s %-8s %-12s %-13s %-15s %s\n", "class", "position", "maximum", "no-location", "use-location", "share-location", "switched off")
	for _, class := range Classes {
		for _, located := range []bool{false, true} {
			r := Record{Class: class, Position: located, Topic: "up/x", Payload: []byte{1}}
			var row []any
			for _, l := range Levels {
				row = append(row, answer(Policy{Level: l}, r))
			}
			var held []string
			for _, s := range services {
				off, _ := NewSwitches(s)
				open := Policy{Level: ShareLocation}
				if answer(open, r) != answer(Policy{Level: ShareLocation, Off: off}, r) {
					held = append(held, string(s))
				}
			}
			line := fmt.Sprintf("%-11s %-9v %-8s %-12s %-13s %-15s %s", append(append([]any{class, located}, row...), strings.Join(held, " "))...)
			b.WriteString(strings.TrimRight(line, " ") + "\n")
		}
	}
	golden(t, "gate.txt", b.String())
}

// TestNothingLeaks goes through every class under every policy that must hold
// everything back.
func TestNothingLeaks(t *testing.T) {
	for _, p := range []Policy{{}, {Level: Maximum}, {Level: "Share-Location"}, {Level: "open"}, {Level: ShareLocation, Closing: true}} {
		for _, class := range append(Classes[:], "", "statistics") {
			for _, topic := range []string{"", "up/sta", "up/hello"} {
				if c, ok := p.Clear(Record{Class: class, Topic: topic, Payload: []byte{1}}); ok || !c.Empty() {
					t.Errorf("%+v let %q out to %q", p, class, topic)
				}
			}
		}
	}
	if _, ok := (Policy{Level: ShareLocation}).Clear(Record{Class: "statistics", Topic: "up/x"}); ok {
		t.Error("a class without a row left the car")
	}
}

func TestOnlyTheGoodbyePassesWhileClosing(t *testing.T) {
	p := Policy{Level: Maximum, Closing: true}
	bye := Record{Class: Session, Topic: TopicGoodbye, Payload: []byte{1}}
	if _, ok := p.Clear(bye); !ok {
		t.Error("the goodbye was held back")
	}
	bye.Class = Status
	if _, ok := p.Clear(bye); ok {
		t.Error("a status passed for a goodbye")
	}
}

// TestJudgedAgain: what was cleared under an open level does not leave under a
// strict one.
func TestJudgedAgain(t *testing.T) {
	c, ok := Policy{Level: ShareLocation}.Clear(Record{Class: Position, Position: true, Topic: "up/evt", Payload: []byte{1}})
	if !ok {
		t.Fatal("not cleared")
	}
	for _, l := range Levels[:3] {
		if (Policy{Level: l}).Still(c) {
			t.Errorf("a position left at %s", l)
		}
	}
	if (Policy{Level: ShareLocation}).Still(Cleared{}) {
		t.Error("the zero Cleared left the car")
	}
}

func TestNames(t *testing.T) {
	for _, l := range Levels {
		if got, err := ParseLevel(string(l)); got != l || err != nil {
			t.Errorf("%s: %s, %v", l, got, err)
		}
	}
	if l, err := ParseLevel("open"); l != Maximum || err == nil {
		t.Errorf("open: %s, %v", l, err)
	}
	if _, err := NewSwitches("112"); err == nil {
		t.Error("a switch for a service that has none")
	}
	off, err := NewSwitches(Store, VehicleStatus)
	if err != nil || off.String() != "vehicle-status,store" || !off.Has(Store) || off.Has(HornLights) || off.Has("x") {
		t.Errorf("%v %v", off, err)
	}
}
