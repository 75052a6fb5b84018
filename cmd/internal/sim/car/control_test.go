package car

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/canbus/e2e"
)

func TestLinesThatAreNoOrders(t *testing.T) {
	for line, want := range map[string]string{
		"":                                 "empty",
		"   ":                              "empty",
		"foo":                              "say help",
		"fault":                            "say help",
		"fault foo":                        "say help",
		"door":                             "is missing",
		"door driver":                      "usage: door DRIVER|PASSENGER",
		"door left open":                   "is not driver|passenger",
		"door driver open now":             "too much",
		"speed -1":                         "0..300",
		"speed 301":                        "0..300",
		"speed NaN":                        "0..300",
		"speed 1e2":                        "0..300",
		"speed 0x10":                       "0..300",
		"gnss 57.7":                        "lat,lon",
		"gnss 95,0":                        "lat,lon",
		"crash front":                      "0..7 is missing",
		"crash front 8":                    "0..7",
		"crash front 7 bus_dies":           "bus_dies_after",
		"crash front 7 bus_dies_after":     "is missing",
		"key 10 lock":                      "1..9|15",
		"key 1 lock weak weak fake replay": "too much",
		"wait soon 1s":                     "is not alarm|armed",
		"wait locked":                      "is missing",
		"wait locked -1s":                  "0s..1h0m0s",
		"wait locked 2h":                   "0s..1h0m0s",
		"fault drop 7FF 1":                 "is not message",
		"fault drop 5A8 1":                 "is not message",
		"fault flood mars 1":               "drive|body|fd",
		"ignition ON":                      "off|acc|on|start",
		"dtc 715 B100A13":                  "say help",
		strings.Repeat("x", 2*MaxLine):     "more than",
	} {
		if _, err := parse(line); !errors.Is(err, ErrVerb) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q in it", line, err, want)
		}
	}
}

// FuzzOrder: a line is refused, or it is an order that prints as itself and does
// no harm; whatever it does, the car goes on sending frames that can exist and
// are protected as they should be.
func FuzzOrder(f *testing.F) {
	for i := range verbs {
		f.Add(verbs[i].usage())
	}
	for _, line := range []string{
		"door driver open", "window rear_driver 40.5", "boot open", "bonnet closed", "ignition start", "speed 50", "gear R",
		"park_brake 1", "belt 0", "fuel 7", "soc 55", "volts 11.9", "temp -12", "plug 1", "key 1 unlock", "key 9 lock weak fake replay",
		"keys 1", "crash front 7", "crash rollover 0 bus_dies_after 15ms", "reset", "alarm tilt", "sos press", "sos release",
		"gnss 57.7,11.97", "gnss -0,180 90", "gnss lost", "sleep", "wake", "factory_unit 1", "tester 0", "state", "wait locked 5s", "help",
		"fault drop 0FD 3", "fault crc 040", "fault freeze_counter ESP_21 off", "fault stuck 2F0", "fault sentinel REF_HV_01",
		"fault silence fd", "fault flood can1 4500", "fault busoff body", "fault passive drive off", "fault lie lock",
		"fault slow_bcm 4s", "fault no_answer", "fault defect off", "fault heater", "fault clear",
	} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		o, err := parse(line)
		if err != nil {
			return
		}
		again, err := parse(o.String())
		if err != nil || again.String() != o.String() || again.verb != o.verb {
			t.Fatalf("%q prints as %q: %v", line, o, err)
		}
		if o.verb.run == nil {
			return
		}
		w := newWorld(time.Unix(1e9, 0), Fixed{DefaultSignature, DefaultVIN})
		if _, err := o.verb.run(w, o.args); err != nil {
			return
		}
		w.settle()
		w.tick(w.now.Add(1500 * ms))
		for _, out := range w.out {
			if err := out.frame.Check(); err != nil {
				t.Fatal(err)
			}
			if m := messageOf(&out.frame); m != nil && m.e2e != nil && o.verb.name != "fault crc" {
				var s e2e.State
				if v := m.e2e.Check(&s, out.frame.Data[:m.len]); v != e2e.First {
					t.Fatalf("%s: %s", m.name, v)
				}
			}
		}
	})
}

func TestEveryOrderIsTakenAtOnce(t *testing.T) {
	live(t, func(r *rig) {
		r.spoilt = true
		for i := range verbs {
			o := order{verb: &verbs[i]}
			for _, k := range verbs[i].kinds {
				o.args = append(o.args, example(t, k))
			}
			switch o.verb.name {
			case "alarm", "sleep", "wait", "fault crc", "fault freeze_counter", "fault sentinel":
				continue // not as the car stands
			}
			before := time.Now()
			r.do(o.String())
			if d := time.Since(before); d != 0 {
				t.Errorf("%s took %v", o, d)
			}
		}
		if len(r.state().Frames) != int(buses) {
			t.Error("state does not count frames")
		}
	})
}

// example is a word that k takes.
func example(t *testing.T, k kind) arg {
	for _, w := range append(strings.Split(k.want, "|"), "1", "1s", "57.7,11.97", "0FD", strings.Split(k.want, "..")[0]) {
		if a, ok := k.parse(w); ok {
			return a
		}
	}
	t.Fatalf("no example of %s", k.want)
	return arg{}
}

func TestWait(t *testing.T) {
	live(t, func(r *rig) {
		start := time.Now()
		_, err := r.car.Do(r.ctx, "wait locked 5s")
		if !errors.Is(err, ErrTimeout) || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		go func() {
			r.pass(time.Second)
			r.do("key 1 lock")
		}()
		start = time.Now()
		if r.do("wait locked 5s"); time.Since(start) != 1350*ms {
			t.Errorf("locked after %v", time.Since(start))
		}
		ctx, cancel := context.WithTimeout(r.ctx, time.Second)
		defer cancel()
		if _, err := r.car.Do(ctx, "wait unlocked 5s"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v when its caller gave up", err)
		}
	})
}

func TestCarThatIsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- c.Run(ctx) }()
		synctest.Wait()
		waiting := make(chan error)
		go func() {
			_, err := c.Do(t.Context(), "wait locked 1h")
			waiting <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-over; err != nil {
			t.Error(err)
		}
		if err := <-waiting; !errors.Is(err, ErrOff) {
			t.Errorf("wait: %v", err)
		}
		if _, err := c.Do(t.Context(), "state"); !errors.Is(err, ErrOff) {
			t.Errorf("state: %v", err)
		}
		if err := c.Run(t.Context()); err == nil {
			t.Error("runs twice")
		}
	})
}

func TestNewRefuses(t *testing.T) {
	for _, o := range []Options{{Signature: 2048}, {VIN: "SHORT"}, {VIN: "HUAREFCA6T000000I"}, {VIN: "huarefca6t0000001"}} {
		if _, err := New(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if c, err := New(Options{}); err != nil || c.Bus("mars") != nil || c.Bus("fd") == nil {
		t.Errorf("%v", err)
	}
}

type echo struct{}

func (echo) Do(_ context.Context, line string) (string, error) {
	if line == "bad" {
		return "", errors.New("no\nline")
	}
	return "said " + line, nil
}

// TestControlSocket talks to the car as a program does.
func TestControlSocket(t *testing.T) {
	c, err := New(Options{Modem: echo{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	over := make(chan error, 2)
	go func() { over <- c.Run(ctx) }()
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "control"))
	if err != nil {
		t.Fatal(err)
	}
	go func() { over <- c.ServeControl(ctx, l) }()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewScanner(conn)
	answers.Buffer(nil, 1<<20)
	for _, c := range []struct{ line, want string }{
		{"door driver open", "ok"},
		{"door driver opened", `error no such order: "opened" is not open|closed; usage: door DRIVER|PASSENGER|REAR_DRIVER|REAR_PASSENGER OPEN|CLOSED`},
		{"", "error no such order: the line is empty; say help"},
		{"modem calls", "ok said calls"},
		{"modem bad", "error no line"},
		{"key 1 lock", "ok ignored: the driver's door is open"},
	} {
		if _, err := io.WriteString(conn, c.line+"\n"); err != nil {
			t.Fatal(err)
		}
		if !answers.Scan() || answers.Text() != c.want {
			t.Errorf("%q: %q, want %q", c.line, answers.Text(), c.want)
		}
	}
	if _, err := io.WriteString(conn, "state\n"); err != nil {
		t.Fatal(err)
	}
	var s state
	if text, ok := strings.CutPrefix(scan(t, answers), "ok "); !ok || json.Unmarshal([]byte(text), &s) != nil || !s.Doors["driver"].Open {
		t.Errorf("state: %s", answers.Text())
	}
	if _, err := io.WriteString(conn, strings.Repeat("x", 2*MaxLine)+"\n"); err != nil {
		t.Fatal(err)
	}
	if text := scan(t, answers); !strings.HasPrefix(text, "error a line has at most") {
		t.Errorf("long line: %s", text)
	}
	cancel()
	for range 2 {
		if err := <-over; err != nil {
			t.Error(err)
		}
	}
}

func scan(t *testing.T, s *bufio.Scanner) string {
	t.Helper()
	if !s.Scan() {
		t.Fatalf("no answer: %v", s.Err())
	}
	return s.Text()
}

func TestGPSD(t *testing.T) {
	live(t, func(r *rig) {
		us, them := net.Pipe()
		over := make(chan struct{})
		go func() {
			defer close(over)
			defer them.Close()
			r.car.gpsd(r.ctx, them)
		}()
		lines := bufio.NewScanner(us)
		next := func() (m map[string]any) {
			t.Helper()
			if err := json.Unmarshal([]byte(scan(t, lines)), &m); err != nil {
				t.Fatal(err)
			}
			return m
		}
		ask := func(text string) {
			if _, err := io.WriteString(us, text); err != nil {
				t.Fatal(err)
			}
		}
		if v := next(); v["class"] != "VERSION" {
			t.Errorf("begins with %v", v)
		}
		ask(`?WATCH={"enable":true,"json":true};` + "\n")
		for _, want := range []string{"DEVICES", "WATCH", "TPV"} {
			if v := next(); v["class"] != want {
				t.Errorf("%v, want %s", v, want)
			}
		}
		at := time.Now()
		r.do("gnss 57.5,12.5", "ignition on")
		if v := next(); v["lat"] != 57.5 || v["lon"] != 12.5 || v["mode"] != 3.0 || time.Since(at) != fixEvery {
			t.Errorf("%v after %v", v, time.Since(at))
		}
		r.do("gnss lost")
		if v := next(); v["mode"] != 1.0 || v["lat"] != nil {
			t.Errorf("%v without a fix", v)
		}
		ask("?FOO\n")
		if v := next(); v["class"] != "ERROR" {
			t.Errorf("%v to a request that is none", v)
		}
		ask(`?WATCH={"enable":false}` + "\n")
		for {
			if v := next(); v["class"] == "WATCH" {
				break
			}
		}
		us.Close()
		<-over
	})
}

// TestServe starts everything in a folder, over what a killed car left there.
func TestServe(t *testing.T) {
	dir := t.TempDir()
	for range 2 {
		c, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ready, over := make(chan struct{}), make(chan error, 2)
		go func() { over <- c.Run(ctx) }()
		go func() { over <- c.Serve(ctx, dir, func() { close(ready) }) }()
		select {
		case <-ready:
		case err := <-over:
			t.Fatal(err)
		}
		for _, name := range []string{"can0", "can1", "can2", "control", "gnss.port"} {
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
		}
		cancel()
		for range 2 {
			if err := <-over; err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := New(Options{}); err != nil {
		t.Fatal(err)
	}
	c, _ := New(Options{})
	if err := c.Serve(t.Context(), filepath.Join(dir, "missing"), func() {}); err == nil {
		t.Error("serves in a folder that is not there")
	}
}
