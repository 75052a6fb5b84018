package modem

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/headunit-agent/headunit/canbus"
)

// dials matches what could be a dial command, or the beginning of one.
var dials = regexp.MustCompile(`(?i)CECALL=($|[^?])|(^|[^0-9])112([^0-9]|$)|^ATD|TESTNUM=`)

// TestDialCommandsStandInOneFile reads every source file of the emergency call
// that is not a test.
func TestDialCommandsStandInOneFile(t *testing.T) {
	files, here := 0, 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files++
		own := filepath.Base(path) == "emergency.go" && filepath.Base(filepath.Dir(path)) == "modem"
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				s, err := strconv.Unquote(l.Value)
				switch {
				case err != nil:
					t.Error(path, err)
				case !dials.MatchString(s):
				case own:
					here++
				default:
					t.Errorf("%s: %q belongs into emergency.go", fset.Position(l.Pos()), s)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 || here < 4 {
		t.Errorf("%d files read, %d dial commands seen: the search is blind", files, here)
	}
}

func TestSearchForDialCommands(t *testing.T) {
	for s, want := range map[string]bool{
		"AT+CECALL=2": true, "at+cecall=3": true, "AT+CECALL=": true, "+CECALL=%d": true, "ATD": true, "ATD%s;": true, "112": true,
		"tel:112;": true, "AT#TESTNUM=0,": true, "AT+CECALL=?": false, "115200": false, "ATE0": false, "#ECALLEV:": false, "1123": false,
	} {
		if dials.MatchString(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}

func TestArm(t *testing.T) {
	real := Trigger{physical: true}
	for _, c := range []struct {
		simulator, unit bool
		trigger         Trigger
		want            string
	}{
		{true, false, Trigger{}, "simulator"},
		{true, true, real, "simulator"},
		{false, true, real, "unit"},
		{false, true, Trigger{}, "bench"},
		{false, false, real, "bench"},
		{false, false, Trigger{}, "bench"},
	} {
		a, err := arm(c.simulator, c.unit, c.trigger)
		if a.String() != c.want || (err == nil) != (c.want != "bench") || err != nil && !errors.Is(err, ErrNotArmed) {
			t.Errorf("%+v: %s, %v", c, a, err)
		}
	}
}

func TestTriggers(t *testing.T) {
	sys := t.TempDir()
	for class, device := range map[string]string{
		"class/net/can0": "devices/platform/can", "class/net/vcan0": "devices/virtual/net/vcan0",
		"class/input/event0": "devices/platform/gpio-keys", "class/input/event1": "devices/virtual/input/input1",
	} {
		for _, dir := range []string{filepath.Dir(class), device} {
			if err := os.MkdirAll(filepath.Join(sys, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(filepath.Join(sys, device), filepath.Join(sys, class)); err != nil {
			t.Fatal(err)
		}
	}
	dev := t.TempDir()
	for _, name := range []string{"event0", "event1", "event2"} {
		if err := os.WriteFile(filepath.Join(dev, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("event0", filepath.Join(dev, "by-path")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"event0": true, "by-path": true, "event1": false, "event2": false, "none": false} {
		if got := inputTrigger(sys, filepath.Join(dev, name)).Physical(); got != want {
			t.Errorf("input %s: %v", name, got)
		}
	}
	for _, c := range []struct {
		origin canbus.Origin
		iface  string
		want   bool
	}{
		{canbus.Kernel, "can0", true},
		{canbus.Kernel, "vcan0", false},
		{canbus.Kernel, "can1", false},
		{canbus.Kernel, "", false},
		{canbus.Kernel, "../net/can0", false},
		{canbus.Adapter, "", true},
		{canbus.Recording, "can0", false},
		{canbus.Simulation, "can0", false},
		{"", "can0", false},
	} {
		if got := canTrigger(sys, c.origin, c.iface).Physical(); got != c.want {
			t.Errorf("%q %q: %v", c.origin, c.iface, got)
		}
	}
	if (Trigger{}).Physical() || ScreenTrigger(false).Physical() || !ScreenTrigger(true).Physical() {
		t.Error("screen or zero trigger")
	}
}
