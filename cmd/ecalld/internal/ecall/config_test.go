package ecall

import (
	"fmt"
	"hash/crc32"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/agent/gnss"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/msd"
)

// sealed adds the last line.
func sealed(s string) []byte {
	return fmt.Appendf(nil, "%scrc32:%08X\n", s, crc32.ChecksumIEEE([]byte(s)))
}

func TestConfig(t *testing.T) {
	c, g, wrong := Parse(sealed(mqb))
	if g != Sound || len(wrong) != 0 {
		t.Fatalf("grade %d, wrong %v", g, wrong)
	}
	if string(c.VIN[:]) != "WM9VDSVDSYA123456" || c.Storage != msd.Gasoline|msd.Electric || c.Version != 2 || len(c.Crash) != 3 ||
		c.Ignition == nil || c.SOS.Key == nil || !c.SOS.Screen || string(c.Test) != "+46700000001" || c.Service != "" {
		t.Errorf("not what was written: %+v", c)
	}
	if a := c.Crash[0]; a.Bus != "drive" || a.ID != 64 || a.Within != 200*time.Millisecond || !a.Alone || a.E2E.Constants[7] != 0x40 || a.Any[2] != 0x1F || a.Zero[3] != 0x30 {
		t.Errorf("the airbag: %+v", a)
	}
	for _, s := range []string{fmt.Sprintf("%v %+v %s", c, c, c.Test), c.VIN.String()} {
		if strings.Contains(s, "WM9") || strings.Contains(s, "4670") {
			t.Errorf("shown: %s", s)
		}
	}
}

// TestTolerance breaks one field after the other: its default, a fault, and
// everything else as it was.
func TestTolerance(t *testing.T) {
	for _, c := range []struct {
		from, to, wrong string
		is              func(c Config) bool
	}{
		{`"vin":"WM9VDSVDSYA123456",`, ``, "vin", func(c Config) bool { return c.VIN == msd.VIN{} }},
		{`"WM9VDSVDSYA123456"`, `"WM9VDSVDSYA12345I"`, "vin", func(c Config) bool { return c.VIN == msd.VIN{} }},
		{`"type":"M1"`, `"type":7`, "type", func(c Config) bool { return c.Type == msd.M1 }},
		{`"type":"M1"`, `"type":"X1"`, "type", func(c Config) bool { return c.Type == msd.M1 }},
		{`"electric"`, `"steam"`, "storage", func(c Config) bool { return c.Storage == msd.Gasoline }},
		{`"electric"],"msd":{"cs":2`, `"other"],"msd":{"cs":1`, "storage", func(c Config) bool { return c.Storage == msd.Gasoline && c.Version == 1 && c.VIN != msd.VIN{} }},
		{`"cs":2`, `"cs":9`, "msd.cs", func(c Config) bool { return c.Version == 2 }},
		{`{"driver":"telit","ports":["a","b"],"baud":115200}`, `[]`, "modem", func(c Config) bool { return c.Baud == 115200 && len(c.Ports) == 2 }},
		{`["a","b"]`, `["a","a"]`, "modem.ports", func(c Config) bool { return c.Ports[0] == "/dev/ttyUSB2" }},
		{`"baud":115200`, `"baud":-1`, "modem.baud", func(c Config) bool { return c.Baud == 115200 }},
		{`"driver":"telit"`, `"driver":"x"`, "modem.driver", func(c Config) bool { return c.Driver == "telit" }},
		{`"+46700000001"`, `"112"`, "numbers.test", func(c Config) bool { return c.Test == "" && c.Breakdown != "" }},
		{`"crash":[{`, `"crash":[7,{`, "crash[0]", func(c Config) bool { return len(c.Crash) == 3 }},
		{`"id":64`, `"id":-64`, "crash[0].id", func(c Config) bool { return len(c.Crash) == 2 && c.Crash[0].ID == 870 }},
		{`[16,17,18,19,20]`, `[16,64]`, "crash[0].any", func(c Config) bool { return len(c.Crash) == 3 && c.Crash[0].Any[2] == 1 }},
		{`[16,17,18,19,20]`, `[]`, "crash[0]", func(c Config) bool { return len(c.Crash) == 2 }},
		{`"frames":2,"within_ms":200`, `"frames":0,"within_ms":200`, "crash[0].frames", func(c Config) bool { return c.Crash[0].Frames == 2 }},
		{`"within_ms":200`, `"within_ms":"x"`, "crash[0].within_ms", func(c Config) bool { return c.Crash[0].Within == 200*time.Millisecond }},
		{`"const":"40"`, `"const":"4"`, "crash[0].e2e.const", func(c Config) bool { return len(c.Crash) == 3 && c.Crash[0].E2E == nil }},
		{`"kind":"vw","const":"C3"`, `"kind":"?"`, "ignition.e2e.kind", func(c Config) bool { return c.Ignition != nil }},
		{`"hold_ms":3000`, `"hold_ms":0`, "sos.hold_ms", func(c Config) bool { return c.Limits().Hold == 3*time.Second }},
		{`"presses":5`, `"presses":1`, "sos.presses", func(c Config) bool { return c.Limits().Presses == 5 }},
		{`"screen":true`, `"screen":"yes"`, "sos.screen", func(c Config) bool { return !c.SOS.Screen && c.SOS.Key != nil }},
		{`"gnss":"gpsd:127.0.0.1:2947"`, `"gnss":["x"]`, "gnss", func(c Config) bool { return c.GNSS != "" }},
	} {
		text := strings.Replace(mqb, c.from, c.to, 1)
		if text == mqb {
			t.Fatalf("%s is not there", c.from)
		}
		got, g, wrong := Parse(sealed(text))
		if g != Sound || !reflect.DeepEqual(wrong, []string{c.wrong}) || !c.is(got) {
			t.Errorf("%s: wrong %v, want %s; or not the default", c.to, wrong, c.wrong)
		}
		if c.wrong != "vin" && got.VIN == (msd.VIN{}) {
			t.Errorf("%s took the VIN away", c.to)
		}
	}
}

func TestDoubtful(t *testing.T) {
	for _, c := range []struct {
		name string
		text string
		g    Grade
		vin  bool
	}{
		{"no last line", mqb, Doubtful, true},
		{"one bit", strings.Replace(string(sealed(mqb)), "gasoline", "gasolinf", 1), Doubtful, true},
		{"no line end", strings.TrimSpace(string(sealed(mqb))), Sound, true},
		{"cut", string(sealed(mqb))[:300], Unreadable, false},
		{"empty", "", Unreadable, false},
		{"a list", "[]", Unreadable, false},
		{"nothing", "{}", Doubtful, false},
		{"null", "null", Unreadable, false},
		{"too long", mqb[:1] + strings.Repeat(" ", MaxConfig) + mqb[1:], Unreadable, false},
		{"deep", strings.Repeat(`{"a":`, 20000), Unreadable, false},
	} {
		got, g, wrong := Parse([]byte(c.text))
		if g != c.g || (got.VIN != msd.VIN{}) != c.vin || g != Sound && len(wrong) == 0 {
			t.Errorf("%s: grade %d, want %d; wrong %v", c.name, g, c.g, wrong)
		}
		if got.Driver != "telit" || len(got.Ports) == 0 || got.Limits().Hold == 0 {
			t.Errorf("%s: no call could be placed", c.name)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(mqb))
	f.Add(sealed(mqb))
	for _, s := range []string{"", "{}", "[]", "null", `{"crash":[{}]}`, `{"sos":{"bus":"x","id":1,"any":[511]}}`, `{"vin":null,"modem":null}`, "crc32:00000000"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, _, _ := Parse(b)
		l := c.Limits()
		if c.Driver == "" || len(c.Ports) == 0 || c.Baud <= 0 || l.Hold <= 0 || l.Unhold <= 0 || l.Presses < 2 || c.Version < 1 || c.Version > 3 {
			t.Fatalf("not usable: %+v", c)
		}
		for _, s := range c.Crash {
			if s.Any.empty() || s.Frames < 1 || s.Within <= 0 || s.Bus == "" {
				t.Fatalf("a source that is none: %+v", s)
			}
		}
		NewDetector(&c)
	})
}

func TestRequests(t *testing.T) {
	for line, want := range map[string]bool{
		"sos": true, "ping": true, "SOS": false, "sos ": false, "": false, "sos\r": false, strings.Repeat("s", 32): false, "dial 112": false,
	} {
		if _, ok := ParseRequest([]byte(line)); ok != want {
			t.Errorf("%q: %v", line, ok)
		}
	}
}

func FuzzRequest(f *testing.F) {
	for _, s := range []string{"sos", "cancel", "breakdown", "service", "test", "hangup", "answer", "ping", "", "x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, ok := ParseRequest(b); ok && (string(r) != string(b) || r != AskPing && r.Event() == nil) {
			t.Fatalf("%q was taken as %q", b, r)
		}
	})
}

func TestCourse(t *testing.T) {
	var c Course
	now := start
	fill := func(version uint8) msd.MSD {
		m := msd.MSD{Version: version, VIN: msd.VIN{}, Type: msd.M1}
		c.Fill(&m, now)
		if _, err := msd.Encode(nil, &m); err != nil {
			t.Errorf("cannot be sent: %v", err)
		}
		return m
	}
	if m := fill(2); m.Position != msd.NoPosition || m.Trusted || m.Direction != 255 || m.N1.Present {
		t.Error("something is known of nothing")
	}
	if m := fill(3); !m.N1.Present || m.N1.Latitude != 0 {
		t.Error("version 3 needs both deltas")
	}
	add := func(lat, lon float64, after time.Duration, f gnss.Fix) {
		now = now.Add(after)
		f.Valid, f.Latitude, f.Longitude = true, lat, lon
		c.Add(f, now)
	}
	add(57.7, 11.97, 0, gnss.Fix{Accuracy: 75, Course: 359.2, HasCourse: true, Speed: 10, HasSpeed: true})
	if m := fill(2); m.Position != (msd.Position{Latitude: 207720000, Longitude: 43092000}) || !m.Trusted || m.Direction != 0 || m.N1.Present {
		t.Errorf("one fix: %v trusted %v direction %d", m.Position == msd.NoPosition, m.Trusted, m.Direction)
	}
	now = now.Add(5001 * time.Millisecond)
	if fill(2).Trusted {
		t.Error("trusted after 5 s")
	}
	add(57.7001, 11.97, time.Second, gnss.Fix{HDOP: 15, Course: 90, HasCourse: true, Speed: 1, HasSpeed: true}) // 11 m
	if m := fill(2); !m.Trusted || m.Direction != 0 || m.N1 != (msd.Delta{Present: true, Latitude: -4}) || m.N2.Present {
		t.Errorf("two fixes: %+v", m)
	}
	add(57.7003, 11.9702, time.Second, gnss.Fix{HDOP: 15.1})
	if m := fill(2); m.Trusted || m.N1.Latitude != -7 || m.N1.Longitude != -7 || !m.N2.Present || m.N2.Latitude != -4 {
		t.Error("three fixes, the last of them not good enough")
	}
	add(58, 13, time.Second, gnss.Fix{Accuracy: 75.1})
	if m := fill(2); m.Trusted || m.N1.Present || m.N2.Present {
		t.Error("a jump that no delta can hold")
	}
	add(58, 14, time.Second, gnss.Fix{Accuracy: 5})
	if m := fill(2); m.N1.Present || m.N2.Present {
		t.Error("a jump to the east that no delta can hold")
	}
	now = now.Add(24*time.Hour + 1)
	if fill(2).Position != msd.NoPosition {
		t.Error("known for more than a day")
	}
	if c.Erase(); c != (Course{}) {
		t.Error("not erased")
	}
}

// TestStatusTellsNothing: the status is words and boot seconds.
func TestStatusTellsNothing(t *testing.T) {
	s := after(Trigger{Kind: Manual}, Sign{}, Answered{}, Start{}, LLAck{}, ALAck{})
	st := Status{Net: "registered", Armed: "bench", Faults: []string{"sim"}, Unmonitored: []string{"battery"}}
	st.Fill(s)
	if got, want := string(st.Encode()), `{"v":1,"seq":0,"phase":"voice","kind":"manual","since":1003,"lamp":"voice","net":"registered","armed":"bench","msd":"delivered","faults":["sim"],"unmonitored":["battery"]}`+"\n"; got != want {
		t.Errorf("got  %swant %s", got, want)
	}
	var keys []string
	for field := range reflect.TypeFor[Status]().Fields() {
		keys = append(keys, field.Tag.Get("json"))
	}
	if len(keys) != 12 || slices.Contains(keys, "incident") {
		t.Errorf("a new field: does it tell who, where or when? %v", keys)
	}
}
