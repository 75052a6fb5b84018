package modem

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sim "github.com/headunit-agent/headunit/cmd/internal/sim/modem"
)

// msdV2 is a message the PSAP of the simulator can read.
var msdV2 = []byte{
	0x02, 0x1E, 0x00, 0x06, 0x81, 0xD5, 0x49, 0x70, 0xD6, 0x5C, 0x35, 0x97, 0xCA, 0x04, 0x20, 0xC4,
	0x14, 0x64, 0x0B, 0x2A, 0x9F, 0x88, 0x04, 0x52, 0xE9, 0xBB, 0x84, 0x13, 0xF1, 0x49, 0xC0, 0x70,
}

// TestWholeCall is a manual eCall from the greeting to the clearing, compared
// with the dialogue in testdata.
func TestWholeCall(t *testing.T) {
	onBench(t, 2, sim.Options{}, func(b *bench) {
		ctx := b.Context()
		if err := b.Prepare(ctx); err != nil {
			b.Fatal(err)
		}
		if c := b.Caps(); !c.Simulator || !c.LateMSD || !c.MSD {
			b.Errorf("caps %+v", c)
		}
		if err := b.Dial(ctx, b.manual()); err != nil {
			b.Fatal(err)
		}
		if err := b.LoadMSD(ctx, msdV2); err != nil { // over the other port
			b.Fatal(err)
		}
		b.await(Ended)
		var got strings.Builder
		for n := range 2 {
			for _, c := range b.sim.Commands() {
				if c.Port == n {
					fmt.Fprintf(&got, "> %d %s\n", n, c.Line)
				}
			}
		}
		for _, e := range b.heard {
			fmt.Fprintf(&got, "< %s\n", e)
		}
		golden(b.T, "testdata/whole-call.txt", got.String())
		if calls := b.calls(); len(calls) != 1 || calls[0].MSDs != 1 || calls[0].Kind != "manual" {
			b.Errorf("calls: %+v", calls)
		}
	})
}

// golden compares with a file; UPDATE_GOLDEN=1 writes it. Read the difference.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s:\n%s", file, got)
	}
}

// TestEmergencyNeedsArmed: without an Armed for this very port not one octet of
// an emergency call is sent.
func TestEmergencyNeedsArmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := sim.New(sim.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{T: t, sim: m}
		b.start(1, func(l *line) { l.plain = true }) // the simulator's name, on no pty
		b.await(Ready)
		if b.Caps().Simulator {
			t.Error("a simulator that is not on a pty")
		}
		if a, err := Arm(b.telit, Trigger{physical: !armedUnit}); !errors.Is(err, ErrNotArmed) || a != (Armed{}) {
			t.Errorf("armed as %s: %v", a, err)
		}
		for _, a := range []Armed{{}, {bySimulator}} {
			for _, k := range []Kind{Manual, Automatic} {
				for _, w := range []Way{AsKind, Other, Voice} {
					if err := b.Dial(t.Context(), Call{Kind: k, Way: w, Armed: a}); !errors.Is(err, ErrNotArmed) {
						t.Errorf("%s %s armed %s: %v", k, w, a, err)
					}
				}
			}
		}
		for _, c := range b.commands() {
			if strings.Contains(c, "CECALL") || strings.HasPrefix(c, "ATD") {
				t.Error("sent", c)
			}
		}
		b.end()
	})
}

func TestDialling(t *testing.T) {
	armed := Armed{bySimulator}
	for _, c := range []struct {
		call Call
		want string
		err  error
	}{
		{Call{Kind: Manual, Armed: armed}, "AT+CECALL=2", nil},
		{Call{Kind: Automatic, Armed: armed}, "AT+CECALL=3", nil},
		{Call{Kind: Manual, Way: Other, Armed: armed}, "AT+CECALL=3", nil},
		{Call{Kind: Automatic, Way: Other, Armed: armed}, "AT+CECALL=2", nil},
		{Call{Kind: Manual, Way: Voice, Armed: armed}, "ATD112;", nil},
		{Call{Kind: Automatic, Way: Voice, Armed: armed}, "ATD112;", nil},
		{Call{Kind: Test, Number: "+4712345678"}, "AT#TESTNUM=0,+4712345678 AT+CECALL=0", nil},
		{Call{Kind: Assist, Number: "0123456789"}, "ATD0123456789;", nil},
		{Call{Kind: Manual, Number: "12345678"}, "", ErrNotArmed},
		{Call{Kind: Test}, "", ErrNumber},
		{Call{Kind: Assist, Number: "112"}, "", ErrNumber},
		{Call{Kind: Test, Number: "112"}, "", ErrNumber},
		{Call{Kind: Assist, Number: "+112"}, "", ErrNumber},
		{Call{Kind: Assist, Number: "00000112"}, "", ErrNumber},
		{Call{Kind: Assist, Number: "911"}, "", ErrNumber},
		{Call{Kind: Assist, Number: "12345;D112"}, "", ErrNumber},
		{Call{Kind: Assist, Number: "12345\rAT"}, "", ErrNumber},
		{Call{Kind: Assist, Number: "++12345"}, "", ErrNumber},
		{Call{Kind: Assist, Number: "123456789012345678901"}, "", ErrNumber},
		{Call{}, "", ErrUnsupported},
	} {
		got, err := dialling(c.call, true)
		if strings.Join(got, " ") != c.want || !errors.Is(err, c.err) {
			t.Errorf("%+v: %q, %v", c.call, got, err)
		}
	}
}

// spoiled are faults that may last until the cause of the end is asked for.
var spoiled = []string{"lost 3", "nook 3", "garbage 2", "nonsense 2"}

// TestFaultsDoNotStopACall: whatever the modem does to its answers, a call is
// placed in time and reaches voice.
func TestFaultsDoNotStopACall(t *testing.T) {
	for _, fault := range []string{
		"none", "echo on", "glued on", "noline on", "lower on", "ceer on", "late 300ms", "late 900ms", "nook 3", "lost 3",
		"garbage 2", "nonsense 2", "noprompt 1", "cme 3", "order 1", "sync 1", "t5 1", "t6 1", "t7 1",
	} {
		for _, ports := range []int{1, 2} {
			t.Run(fmt.Sprint(fault, " ", ports), func(t *testing.T) {
				onBench(t, ports, sim.Options{}, func(b *bench) {
					ctx := b.Context()
					call := b.manual()
					if err := b.LoadMSD(ctx, msdV2); err != nil { // the safety net
						b.Fatal(err)
					}
					b.do("fault " + fault)
					short, cancel := context.WithTimeout(ctx, 400*time.Millisecond)
					defer cancel()
					loading := b.within(400*time.Millisecond, "LoadMSD", func() error { return b.LoadMSD(short, msdV2) })
					err := b.within(6*time.Second, "Dial", func() error { return b.Dial(ctx, call) })
					for range 3 {
						if err == nil || errors.Is(err, ErrSilent) {
							break
						}
						b.Log("dialled again after", err) // as the call machine would
						err = b.Dial(ctx, b.manual())
					}
					b.Log("load:", loading, "dial:", err)
					b.await(Answered)
					if fault != "t5 1" {
						b.await(Start)
					}
					if e := b.await(Ended); e.Cause != Normal && (e.Cause != Unknown || !slices.Contains(spoiled, fault)) {
						b.Errorf("%s", e)
					}
					if n := len(b.calls()); n != 1 {
						b.Errorf("%d calls", n)
					}
				})
			})
		}
	}
}

// TestDialIsNotHeldUp: with the modem in the middle of something slow, the dial
// command is written at once, or after the moment that a command has to end.
func TestDialIsNotHeldUp(t *testing.T) {
	for _, fault := range []string{"none", "late 3s", "deaf 0"} {
		onBench(t, 1, sim.Options{}, func(b *bench) {
			call := b.manual()
			if fault != "none" {
				b.do("fault " + fault)
			}
			go func() { _, _ = b.Status(b.Context()) }()
			go func() { _ = b.Prepare(b.Context()) }()
			time.Sleep(10 * time.Millisecond) // fake: they are under way
			start := time.Now()
			ctx, cancel := context.WithTimeout(b.Context(), yieldLimit+100*time.Millisecond)
			defer cancel()
			err := b.Dial(ctx, call)
			if fault == "deaf 0" {
				if !errors.Is(err, ErrSilent) {
					b.Error(err)
				}
				return
			}
			if err != nil {
				b.Error(fault, err)
			}
			i := slices.IndexFunc(b.sim.Commands(), func(c sim.Command) bool { return c.Line == "AT+CECALL=2" })
			if i < 0 {
				b.Fatal("not dialled")
			}
			if d := b.sim.Commands()[i].At.Sub(start); d > yieldLimit {
				b.Errorf("%s: dialled after %v", fault, d)
			}
		})
	}
}

// TestPortVanishes: Lost, then reopening that backs off to no more than a
// second, then Ready; the call in the network is not touched.
func TestPortVanishes(t *testing.T) {
	onBench(t, 1, sim.Options{}, func(b *bench) {
		if err := b.Dial(b.Context(), b.manual()); err != nil {
			b.Fatal(err)
		}
		b.await(Answered)
		b.lines[0].unplug()
		b.await(Lost)
		if err := b.within(0, "Dial", func() error { return b.Dial(b.Context(), b.manual()) }); !errors.Is(err, ErrLost) {
			b.Errorf("Dial without a port: %v", err)
		}
		if _, err := b.Status(b.Context()); !errors.Is(err, ErrLost) {
			b.Errorf("Status without a port: %v", err)
		}
		if !b.Caps().Simulator {
			b.Error("who the modem was is forgotten")
		}
		time.Sleep(10 * time.Second)
		b.lines[0].plug()
		b.await(Ready)
		var last time.Duration
		opens := b.lines[0].opens
		for i := 2; i < len(opens); i++ {
			d := opens[i].Sub(opens[i-1])
			if d < last || d > retryMost || d < retryLeast {
				b.Errorf("opened again after %v, before that %v", d, last)
			}
			last = d
		}
		if s, err := b.Status(b.Context()); err != nil || s.Call != Active {
			b.Errorf("%+v, %v", s, err)
		}
		if err := b.Prepare(b.Context()); !errors.Is(err, ErrCall) {
			b.Errorf("prepared in a call: %v", err)
		}
	})
}

// TestSecondPortTakesOver: with the first port gone or mute, the second dials,
// and nothing is told as lost.
func TestSecondPortTakesOver(t *testing.T) {
	onBench(t, 2, sim.Options{}, func(b *bench) {
		b.lines[0].unplug()
		synctest.Wait()
		if b.Caps().LateMSD {
			b.Error("one port, and a late MSD")
		}
		if err := b.Dial(b.Context(), b.manual()); err != nil {
			b.Fatal(err)
		}
		b.await(Answered)
		if slices.ContainsFunc(b.heard, func(e Event) bool { return e.Kind == Lost }) {
			b.Error("lost, with a port left")
		}
		if c := b.calls(); c[0].Port != 1 {
			b.Errorf("dialled over port %d", c[0].Port)
		}
	})
	onBench(t, 2, sim.Options{}, func(b *bench) {
		b.do("fault deaf 0")
		for range silences { // what the first port is asked is not answered
			_ = b.Hangup(b.Context())
		}
		if err := b.within(time.Second, "Dial", func() error { return b.Dial(b.Context(), b.manual()) }); err != nil {
			b.Fatal(err)
		}
		if c := b.calls(); c[0].Port != 1 {
			b.Errorf("dialled over port %d", c[0].Port)
		}
	})
}

// TestRestartIsNoticed: a modem that forgot its settings, behind a port that
// stayed open, is told as Lost and Ready, and its events are switched on again.
func TestRestartIsNoticed(t *testing.T) {
	onBench(t, 2, sim.Options{}, func(b *bench) {
		b.do("fault reset")
		time.Sleep(6 * time.Second) // it boots; nobody asked it anything
		if _, err := b.Status(b.Context()); err != nil {
			b.Error(err)
		}
		b.await(Lost)
		b.await(Ready)
		if err := b.Dial(b.Context(), b.manual()); err != nil {
			b.Fatal(err)
		}
		b.await(Start)
	})
}

func TestBusyAndDropped(t *testing.T) {
	onBench(t, 1, sim.Options{}, func(b *bench) {
		b.do("answer busy")
		if err := b.Dial(b.Context(), b.manual()); err != nil {
			b.Fatal(err)
		}
		if e := b.await(Ended); e.Cause != Busy {
			b.Error(e)
		}
		b.do("answer 1s")
		if err := b.Dial(b.Context(), b.manual()); err != nil {
			b.Fatal(err)
		}
		b.await(Answered)
		b.do("fault ceer on")
		b.do("drop")
		if e := b.await(Ended); e.Cause != Dropped {
			b.Error(e)
		}
		b.do("net none")
		if e := b.await(Net); e.Net != None {
			b.Error(e)
		}
		if err := b.Dial(b.Context(), b.manual()); err != nil {
			b.Fatal(err)
		}
		if e := b.await(Ended); e.Cause != Dropped {
			b.Error(e)
		}
	})
}

// TestHangupThenDial: the end of a call hung up is not taken for the end of the
// next.
func TestHangupThenDial(t *testing.T) {
	onBench(t, 1, sim.Options{}, func(b *bench) {
		if err := b.Dial(b.Context(), Call{Kind: Assist, Number: "12345678"}); err != nil {
			b.Fatal(err)
		}
		b.await(Answered)
		if err := b.within(time.Second, "Hangup", func() error { return b.Hangup(b.Context()) }); err != nil {
			b.Fatal(err)
		}
		if err := b.Dial(b.Context(), b.manual()); err != nil {
			b.Fatal(err)
		}
		b.none(Ended, 5*time.Second)
		if c := b.calls(); len(c) != 2 || c[1].Kind != "manual" {
			b.Errorf("%+v", c)
		}
	})
}

func TestCallBackIsAnswered(t *testing.T) {
	onBench(t, 2, sim.Options{}, func(b *bench) {
		b.do("callback")
		b.await(Incoming)
		if s, err := b.Status(b.Context()); err != nil || s.Call != Calling {
			b.Errorf("%+v, %v", s, err)
		}
		if err := b.within(2*time.Second, "Answer", func() error { return b.Answer(b.Context()) }); err != nil {
			b.Fatal(err)
		}
		b.await(Answered)
		b.do("request")
		b.await(Start)
	})
}

func TestStatus(t *testing.T) {
	onBench(t, 1, sim.Options{}, func(b *bench) {
		for _, c := range []struct{ line, want string }{
			{"net registered", `{true ready registered -69  true}`},
			{"net limited", `{true ready limited -85  true}`},
			{"net none", `{true ready none 0  true}`},
			{"sim out", `{true absent none 0  true}`},
		} {
			b.do(c.line)
			s, err := b.Status(b.Context())
			if got := fmt.Sprint(s); err != nil || got != c.want {
				b.Errorf("%s: %s, %v; want %s", c.line, got, err, c.want)
			}
		}
	})
}

// TestAnswersWithoutOK: what was said counts, though its end is missing.
func TestAnswersWithoutOK(t *testing.T) {
	onBench(t, 1, sim.Options{}, func(b *bench) {
		b.do("fault nook 3")
		s, err := b.Status(b.Context())
		if got := fmt.Sprint(s); err != nil || got != "{true ready registered -69  true}" {
			b.Errorf("%s, %v", got, err)
		}
	})
}

func TestReset(t *testing.T) {
	onBench(t, 2, sim.Options{}, func(b *bench) {
		for _, d := range []Depth{ResetPort, ResetFunctionality} {
			if err := b.within(3*time.Second, "Reset", func() error { return b.Reset(b.Context(), d) }); err != nil {
				b.Error(d, err)
			}
			b.await(Lost)
			b.await(Ready)
		}
		if err := b.Reset(b.Context(), ResetPower); !errors.Is(err, ErrUnsupported) {
			b.Error(err)
		}
	})
}

func TestTestCallNeverGoesElsewhere(t *testing.T) {
	onBench(t, 1, sim.Options{}, func(b *bench) {
		b.do("fault cme 4") // the number is refused
		if err := b.Dial(b.Context(), Call{Kind: Test, Number: "12345678"}); !errors.Is(err, ErrRefused) {
			b.Error(err)
		}
		if slices.Contains(b.commands(), "AT+CECALL=0") {
			b.Error("dialled without a number")
		}
		if err := b.Dial(b.Context(), Call{Kind: Test, Number: "12345678"}); err != nil {
			b.Error(err)
		}
		b.await(Answered)
		if c := b.calls(); c[0].Number != "12345678" {
			b.Errorf("%+v", c)
		}
	})
}
