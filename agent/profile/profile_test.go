package profile

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew; read the difference before it is kept")

const refcarDir = "../../testdata/refcar"

func refcar(t testing.TB) *Profile {
	t.Helper()
	p, warnings, err := Load(filepath.Join(refcarDir, "refcar.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		t.Error("warning:", w)
	}
	return p
}

// golden compares with a file that a reviewer read.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-rewrite writes it anew):\n%s", file, got)
	}
}

func TestCatalogueIsVSS(t *testing.T) {
	f, err := os.Open("../../../shared/data/vss/vss_6.0.tsv")
	if err != nil {
		t.Skipf("the published list is not here: %v", err)
	}
	defer f.Close()
	published := make(map[string]string)
	for s := bufio.NewScanner(f); s.Scan(); {
		c := strings.Split(s.Text(), "\t")
		published[c[0]] = strings.TrimRight(strings.Join(slices.Concat(c[:1], c[2:7]), "\t"), "\t")
	}
	n := 0
	for line := range strings.Lines(vssTable) {
		line = strings.TrimSuffix(line, "\n")
		name, _, _ := strings.Cut(line, "\t")
		if n++; published[name] != line {
			t.Errorf("ours\n%s\npublished\n%s", line, published[name])
		}
	}
	for line := range strings.Lines(overlayTable) {
		if name, _, _ := strings.Cut(line, "\t"); published[name] != "" {
			t.Errorf("%s is of VSS; it does not belong into the overlay", name)
		}
	}
	if n < 90 {
		t.Errorf("%d leaves, want those of the specification", n)
	}
}

func TestCatalogue(t *testing.T) {
	for i := 1; i < Paths(); i++ {
		p := Path(i)
		if q, ok := Find(p.String()); !ok || q != p {
			t.Errorf("%s is found as %d, is %d", p, q, p)
		}
		switch l := p.Leaf(); {
		case !l.Type.Number() && l.Type != TypeBool && l.Type != TypeString && l.Type != TypeStrings:
			t.Errorf("%s has the type %q, which nothing here knows", p, l.Type)
		case l.Min > l.Max:
			t.Errorf("%s goes from %g to %g", p, l.Min, l.Max)
		}
	}
	if Path(0).String() != "" || Path(60000).String() != "" {
		t.Error("a path that is none has a name")
	}
}

func TestRefcar(t *testing.T) {
	p := refcar(t)
	var w strings.Builder
	for _, path := range p.Paths() {
		fmt.Fprintln(&w, p.Explain(path))
	}
	golden(t, "refcar.explain", w.String())
	w.Reset()
	for _, a := range p.Allowed() {
		fmt.Fprintf(&w, "%s %X extended=%t len=%d base=%X mask=%X rate=%d e2e=%t\n", a.Bus, a.ID, a.Extended, a.Len,
			a.Base[:a.Len], a.Mask[:a.Len], a.Rate, a.E2E)
	}
	for _, name := range operationNames {
		if o := p.Operations[name]; o != nil {
			s := o.Send
			fmt.Fprintf(&w, "%s wake=%q %s every=%s at_most=%s%s until_confirmed=%t then_zero=%d gap=%s repeat_never=%t\n", name, o.Wake,
				s.Message.Name, s.Every, s.AtMost, s.AtMostParam, s.UntilConfirmed, s.ThenZero, o.Gap, o.RepeatNever)
			fmt.Fprintf(&w, "  set %v\n  confirm %s %v is %s within %s\n  refused %v\n", s.Set, o.Confirm.Path, o.Confirm.Signal,
				o.Confirm.Is, o.Confirm.Within, o.Refused)
			for _, r := range o.Require {
				fmt.Fprintf(&w, "  require %q %s %s %s code %s\n", r.Name, r.Path, r.Op, r.Value, r.Code)
			}
		}
	}
	fmt.Fprintf(&w, "keys %+v\n", p.Keys.Press)
	fmt.Fprintf(&w, "diagnostics %+v\n", *p.Diagnostics)
	golden(t, "refcar.sends", w.String())
}

func TestFreshness(t *testing.T) {
	p := refcar(t)
	for name, want := range map[string]time.Duration{
		"drive/ESP_21":    200 * time.Millisecond,  // as written
		"drive/Airbag_01": 120 * time.Millisecond,  // three cycles
		"body/VIN_01":     4500 * time.Millisecond, // three parts in turn
		"body/REF_Keys":   5 * time.Second,         // no cycle
	} {
		bus, message, _ := strings.Cut(name, "/")
		if got := p.Message(bus, message).Fresh; got != want {
			t.Errorf("%s is stale after %v, want %v", name, got, want)
		}
	}
}

// Each file holds profiles with mistakes, divided by lines of dashes, and beside
// it what is said about them.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/mistakes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no profiles with mistakes found: %v", err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p, warnings, err := Parse(filepath.Base(file), src, readRefcar)
		m, ok := errors.AsType[Mistakes](err)
		if p != nil || !ok || len(m) == 0 {
			t.Errorf("%s: no mistake was found (%v)", file, err)
		}
		var w strings.Builder
		fmt.Fprintln(&w, err)
		for _, x := range warnings {
			fmt.Fprintln(&w, "warning:", x)
		}
		golden(t, "mistakes/"+strings.TrimSuffix(filepath.Base(file), ".yaml")+".txt", w.String())
	}
}

func readRefcar(name string) ([]byte, error) { return os.ReadFile(filepath.Join(refcarDir, name)) }

func TestDBCLiesBeside(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"../x.dbc", "/etc/passwd", "sub/x.dbc"} {
		src := "profile: 1\nid: x\ntitle: x\nproven: read\nbuses:\n  a: {dbc: " + name + ", bitrate: 500k}\nsignals: {}\n"
		file := filepath.Join(dir, "x.yaml")
		if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := Load(file)
		if err == nil || !strings.Contains(err.Error(), ErrNotBeside.Error()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoFile(t *testing.T) {
	if _, _, err := Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
}

func TestRequirementHolds(t *testing.T) {
	twelve := Float(12.2)
	for _, c := range []struct {
		r    Requirement
		v    Value
		want bool
	}{
		{Requirement{Op: "is", Value: Bool(false)}, Bool(false), true},
		{Requirement{Op: "is", Value: Bool(false)}, Value{}, false},
		{Requirement{Op: "not", Value: Word("ON")}, Word("OFF"), true},
		{Requirement{Op: "not", Value: Word("ON")}, Value{}, false},
		{Requirement{Op: "not_below", Value: twelve}, Float(12.2), true},
		{Requirement{Op: "not_below", Value: twelve}, Float(12.1), false},
		{Requirement{Op: "not_below", Value: twelve}, Value{}, false},
		{Requirement{Op: "below", Value: twelve}, Float(12.1), true},
		{Requirement{Op: "in", In: []Value{Int(1), Int(3)}}, Int(3), true},
		{Requirement{Op: "in", In: []Value{Int(1), Int(3)}}, Int(2), false},
		{Requirement{}, Bool(true), false},
	} {
		if got := c.r.Holds(c.v); got != c.want {
			t.Errorf("%s %v of %s: %t", c.r.Op, c.r.Value, c.v, got)
		}
	}
}

func TestValues(t *testing.T) {
	if Float(0) != Float(-1*0.0) || Int(1) == Float(1) || Word("x") == Masked("x") || Bool(false) == (Value{}) {
		t.Error("equal values differ, or different ones are equal")
	}
	for _, c := range []struct {
		v          Value
		text, json string
	}{
		{Bool(true), "true", "true"},
		{Int(-3), "-3", "-3"},
		{Float(0.5), "0.5", "0.5"},
		{Word("ON"), "ON", `"ON"`},
		{Masked("WM9VDSVDSYA123456"), "***", `"***"`},
		{Value{}, "none", "null"},
	} {
		json, err := c.v.MarshalJSON()
		if c.v.String() != c.text || string(json) != c.json || err != nil {
			t.Errorf("%s is shown as %s, JSON %s (%v)", c.text, c.v, json, err)
		}
	}
}

// FuzzParse: whatever the file, an answer, no panic, in bounds.
func FuzzParse(f *testing.F) {
	seeds, err := filepath.Glob("testdata/mistakes/*.yaml")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, s := range append(seeds, filepath.Join(refcarDir, "refcar.yaml")) {
		src, err := os.ReadFile(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(src))
	}
	for _, s := range []string{"", "a: &a [*a]", "{{{{", "- - - - -", "? a\n: b", "a: !!binary x", "%YAML 1.2\n---\n", "\xff", "a: |\n  x\n", "<<: *x", "---\n---\n"} {
		f.Add(s)
	}
	files := make(map[string][]byte)
	f.Fuzz(func(t *testing.T, src string) {
		p, warnings, err := Parse("x.yaml", []byte(src), func(name string) ([]byte, error) {
			if b, ok := files[name]; ok {
				return b, nil
			}
			b, err := readRefcar(filepath.Base(name))
			if err == nil {
				files[name] = b
			}
			return b, err
		})
		m, _ := errors.AsType[Mistakes](err)
		switch {
		case (p == nil) == (err == nil):
			t.Fatalf("profile %v, error %v", p, err)
		case len(m) > maxProblems+100 || len(warnings) > maxProblems:
			t.Fatalf("%d mistakes, %d warnings", len(m), len(warnings))
		}
		for _, x := range m {
			if x.Line < 0 || x.Col < 0 || x.Text == "" {
				t.Fatalf("mistake without a place: %+v", x)
			}
		}
		if p != nil {
			for _, path := range p.Paths() {
				if p.Explain(path) == "" {
					t.Fatalf("%s is not explained", path)
				}
			}
		}
	})
}

// The allow-list compares the bits that no operation sets, start values and all.
func TestAllowedKeepsStartValues(t *testing.T) {
	const file = `VERSION ""
BU_: A
BO_ 5 Ask: 2 A
 SG_ Now : 0|4@1+ (1,0) [0|0] "" A
 SG_ Fixed : 8|8@1+ (1,0) [0|0] "" A
BA_DEF_ SG_ "GenSigStartValue" INT 0 255;
BA_ "GenSigStartValue" SG_ 5 Now 9;
BA_ "GenSigStartValue" SG_ 5 Fixed 170;
`
	const src = `profile: 1
id: x
title: x
proven: operate
buses: {a: {dbc: a.dbc, bitrate: 500k}}
messages: {a/Ask: {send: {max_rate: 10}}}
signals: {Vehicle.Body.Horn.IsActive: {from: a/Ask.Now, map: {1: true}}}
operations:
  horn_lights: {send: {message: a/Ask, set: {Now: 1}, every: 1s, until: elapsed, at_most: 2s}, confirm: {signal: a/Ask.Now, is: 1, within: 1s}}
`
	p, _, err := Parse("x.yaml", []byte(src), func(string) ([]byte, error) { return []byte(file), nil })
	if err != nil {
		t.Fatal(err)
	}
	want := Allowed{Bus: "a", ID: 5, Len: 2, Base: [64]byte{0, 170}, Mask: [64]byte{15}, Rate: 10}
	if got := p.Allowed(); len(got) != 1 || got[0] != want {
		t.Errorf("allowed %+v, want %+v", got, want)
	}
}
