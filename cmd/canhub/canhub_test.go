package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/socketcand"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"canhub": main, "cancat": cancat})
}

func TestCanhub(t *testing.T) {
	const scripts = "../../testdata/script/canhub"
	if found, _ := filepath.Glob(scripts + "/*.txtar"); len(found) == 0 {
		t.Fatal("there is no script in " + scripts)
	}
	testscript.Run(t, testscript.Params{
		Dir:       scripts,
		Setup:     setup,
		Condition: condition,
		Cmds:      map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "perm": perm, "until": until, "adapter": adapter},
	})
}

// setup names a port that was free a moment ago.
func setup(e *testscript.Env) error {
	e.Setenv("GORACE", "atexit_sleep_ms=0")
	b := &bench{dir: e.WorkDir, bus: canbus.NewMemory()}
	b.end = b.bus.Attach(0)
	e.Values[benchKey{}] = b
	e.Defer(func() { _ = b.unplug() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	e.Setenv("PORT", port)
	return l.Close()
}

// exits CODE PROGRAM ARG… expects an exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG…")
	}
	code := 0
	if e, failed := errors.AsType[*exec.ExitError](ts.Exec(args[1], args[2:]...)); failed {
		code = e.ExitCode()
	}
	if want, err := strconv.Atoi(args[0]); err != nil || code != want {
		ts.Fatalf("it exits with %d, not %s", code, args[0])
	}
}

// perm MODE FILE expects the permissions of a file, in octal.
func perm(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); neg || got != args[0] {
		ts.Fatalf("%s has %s", args[1], got)
	}
}

// cancat is a client for the scripts: it waits for the server, sends, and prints
// what it receives, without times.
//
//	cancat [-n COUNT] [-ready FILE] [-origin] [-send FRAME,FRAME…] ADDRESS
func cancat() {
	n := flag.Int("n", 0, "frames to receive; 0: until the server ends")
	frames := flag.String("send", "", "frames to send first")
	origin := flag.Bool("origin", false, "print what stands behind the bus")
	ready := flag.String("ready", "", "`FILE` to make once it listens")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := dial(ctx, flag.Arg(0))
	if err == nil && *ready != "" {
		err = os.WriteFile(*ready, nil, 0o600)
	}
	if err == nil && *origin {
		fmt.Println(c.Origin())
	}
	if err == nil {
		err = sendAll(ctx, c, *frames)
	}
	if err == nil {
		err = printAll(ctx, c, *n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cancat:", err)
		os.Exit(1)
	}
}

func dial(ctx context.Context, addr string) (*socketcand.Client, error) {
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		c, err := socketcand.Dial(ctx, addr)
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) || ctx.Err() != nil {
			return c, err
		}
	}
}

func sendAll(ctx context.Context, c *socketcand.Client, frames string) error {
	for text := range strings.SplitSeq(frames, ",") {
		if text == "" {
			continue
		}
		l, _, err := canbus.ParseLine("x " + text)
		if err != nil {
			return err
		}
		if err := c.Send(ctx, l.Frame); err != nil {
			return err
		}
	}
	return nil
}

func printAll(ctx context.Context, c *socketcand.Client, n int) error {
	batch := make([]canbus.Rx, 64)
	for got := 0; n == 0 || got < n; {
		k, err := c.Receive(ctx, batch)
		if errors.Is(err, io.EOF) && n == 0 {
			break
		}
		if err != nil {
			return err
		}
		for _, rx := range batch[:k] {
			own := ""
			if rx.Own {
				own = " own"
			}
			fmt.Println(canbus.Line{Interface: "can0", Frame: rx.Frame}.String() + own)
		}
		got += k
	}
	if s := c.Stats(); s.Lost > 0 {
		fmt.Println("lost", s.Lost)
	}
	return nil
}

// playAll plays text and says when each frame came.
func playAll(t *testing.T, d device, text string, most int) []string {
	t.Helper()
	d.file = filepath.Join(t.TempDir(), "drive.log")
	if err := os.WriteFile(d.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	rec, err := checkRecording(t.Context(), d, "", "can0")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	start, enough := time.Now(), errors.New("enough")
	err = rec.play(t.Context(), func(rx canbus.Rx) error {
		if len(got) == most {
			return enough
		}
		got = append(got, fmt.Sprintf("%X@%v", rx.ID, time.Since(start)))
		return nil
	})
	if err != nil && !errors.Is(err, enough) {
		t.Fatal(err)
	}
	return got
}

func TestItsOwnPace(t *testing.T) {
	for _, c := range []struct {
		name, text, want string
		device           device
	}{
		{"as it was", "(10.0) can0 001#\n(10.5) can0 002#\n(12.0) can0 003#\n", "1@0s 2@500ms 3@2s", device{speed: 1}},
		{"twice as fast", "(10.0) can0 001#\n(10.5) can0 002#\n(12.0) can0 003#\n", "1@0s 2@250ms 3@1s", device{speed: 2}},
		{"no pace", "(10.0) can0 001#\n(10.5) can0 002#\n(99.0) can0 003#\n", "1@0s 2@0s 3@0s", device{}},
		{"no times", "can0 001#\ncan0 002#\n", "1@0s 2@0s", device{speed: 1}},
		{
			"two buses written in turns", "(10.0) can0 001#\n(10.5) can0 002#\n(10.4) can0 003#\n(10.6) can0 004#\n",
			"1@0s 2@500ms 3@500ms 4@600ms",
			device{speed: 1},
		},
		{
			"time jumps back", "(100.0) can0 001#\n(100.5) can0 002#\n(10.0) can0 003#\n(10.5) can0 004#\n",
			"1@0s 2@500ms 3@500ms 4@1s",
			device{speed: 1},
		},
		{"loop", "(10.0) can0 001#\n(10.5) can0 002#\n", "1@0s 2@500ms 1@500ms 2@1s 1@1s", device{speed: 1, loop: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if got := strings.Join(playAll(t, c.device, c.text, 5), " "); got != c.want {
					t.Errorf("%s; want %s", got, c.want)
				}
			})
		})
	}
}

// A wait that does not fit a duration is a long wait, and no wait at all.
func TestPaceDoesNotOverflow(t *testing.T) {
	p := pace{speed: 1e-6}
	now := time.Unix(1e9, 0)
	p.wait(time.Unix(0, 0), true, now)
	if d := p.wait(time.Unix(1e12-1, 0), true, now); d < 1e6*time.Hour {
		t.Errorf("it waits %v", d)
	}
}

// The whole of a recording of a real car reaches a client, in order, as fast as
// it can read.
func TestRealRecordingsPassWhole(t *testing.T) {
	files, _ := filepath.Glob("../../../shared/data/logs/*/*.log")
	if len(files) == 0 {
		t.Skip("no recordings of real cars: ../shared/data/logs is not there")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) { passes(t, file) })
	}
}

func passes(t *testing.T, file string) {
	socket := "unix:" + filepath.Join(t.TempDir(), "can1")
	done := make(chan int, 1)
	go func() {
		args := []string{"--replay", file, "--speed", "0", "--listen", socket, "--name", "can1", "--exit"}
		done <- command(t.Context(), args, io.Discard, io.Discard)
	}()
	c, err := dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	want := canbus.NewReader(file, f)
	iface := only(t, file, "can1")
	batch := make([]canbus.Rx, 64)
	for n := 0; ; {
		k, err := c.Receive(t.Context(), batch)
		if err != nil {
			if l, err := next(want, iface); !errors.Is(err, io.EOF) {
				t.Errorf("it ends after %d frames, before %v", n, l)
			}
			break
		}
		for _, rx := range batch[:k] {
			if l, err := next(want, iface); err != nil || rx.Frame != l.Frame {
				t.Fatalf("frame %d is %v, not %v (%v)", n, rx.Frame, l, err)
			}
			n++
		}
	}
	if code := <-done; code != 0 || c.Stats().Lost != 0 {
		t.Errorf("exit code %d, %+v", code, c.Stats())
	}
}

// only is iface if the file has it, else "".
func only(t *testing.T, file, iface string) string {
	t.Helper()
	rec, err := checkRecording(t.Context(), device{file: file}, "", iface)
	if err != nil {
		t.Fatal(err)
	}
	return rec.iface
}

func next(r *canbus.Reader, iface string) (canbus.Line, error) {
	for {
		l, err := r.Next()
		if err != nil || iface == "" || l.Interface == iface {
			return l, err
		}
	}
}

func TestTermIsAGoodEnd(t *testing.T) {
	folder := t.TempDir()
	file, socket := filepath.Join(folder, "drive.log"), "unix:"+filepath.Join(folder, "can0")
	if err := os.WriteFile(file, []byte("can0 123#\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hub := exec.Command("canhub", "--replay", file, "--listen", socket) // as the scripts find it
	if err := hub.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := hub.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := hub.Wait(); err != nil {
		t.Error(err)
	}
	if err := printAll(t.Context(), c, 0); err != nil {
		t.Errorf("the client: %v", err)
	}
}

// What was on the bus when the end came is on the disk.
func TestRecordIsWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rec.log")
	h := newHub()
	r, err := openRecord(config{record: file, name: "can0"}, h, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	from := h.bus.Attach(1)
	const frames = 50_000
	for n := range frames {
		if err := from.Relay(canbus.Rx{Frame: canbus.Frame{ID: uint32(n), Flags: canbus.Extended}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if n := strings.Count(string(text), "\n"); err != nil || n != frames {
		t.Errorf("%d of %d frames, %v", n, frames, err)
	}
}
