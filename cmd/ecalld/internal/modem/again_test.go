package modem

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sim "github.com/headunit-agent/headunit/cmd/internal/sim/modem"
)

// TestCallOfAnother: a driver that starts while a call lives, as after a program
// that died, changes no setting under it.
func TestCallOfAnother(t *testing.T) {
	onBench(t, 2, sim.Options{}, func(b *bench) {
		if err := b.Dial(b.Context(), b.manual()); err != nil {
			b.Fatal(err)
		}
		b.await(Answered)
		b.end()
		b.start(2)
		b.await(Ready)
		synctest.Wait() // both ports
		before := len(b.commands())
		if err := b.Prepare(b.Context()); !errors.Is(err, ErrCall) {
			b.Errorf("%v, want %v", err, ErrCall)
		}
		if sent := b.commands()[before:]; slices.ContainsFunc(sent, func(s string) bool { return strings.Contains(s, "=") }) {
			b.Errorf("sent %q", sent)
		}
		if len(b.calls()) != 1 || b.calls()[0].State == "ended" {
			b.Errorf("calls %+v", b.calls())
		}
	})
}

// TestListOvertaken: a list of calls that was asked for before the newest call
// was placed does not hide the end of that call.
func TestListOvertaken(t *testing.T) {
	onBench(t, 2, sim.Options{}, func(b *bench) {
		b.do("answer busy")
		if err := b.Dial(b.Context(), b.manual()); err != nil {
			b.Fatal(err)
		}
		b.await(Ended)
		b.do("fault late 300ms") // the list is on its way while the next call begins
		done := make(chan struct{})
		go func() { defer close(done); _, _ = b.list(b.Context(), b.second()) }()
		synctest.Wait()
		if err := b.Dial(b.Context(), b.manual()); err != nil {
			b.Fatal(err)
		}
		<-done
		b.await(Ended)
	})
}

// TestNextCallOverTheOtherPort: what is said of a call over one port only does
// not hide the same words about the next call over the other.
func TestNextCallOverTheOtherPort(t *testing.T) {
	onBench(t, 2, sim.Options{}, func(b *bench) {
		b.do("fault stuck 2") // what is said of the calls, the test says
		say := func(p *port, words ...string) {
			for _, w := range words {
				b.hear(p, w)
			}
		}
		if err := b.Dial(b.Context(), b.manual()); err != nil {
			b.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		say(b.ports[1], "BUSY")
		b.await(Ended)
		b.mu.Lock()
		b.dials++ // the next call
		b.mu.Unlock()
		time.Sleep(2 * time.Millisecond)
		say(b.ports[0], "BUSY") // the slower port
		b.none(Ended, 23*time.Millisecond)
		say(b.ports[0], "DIALING", "BUSY")
		b.await(Ended)
	})
}

// TestPromptLeftOpen: a program that died while it loaded an MSD left a port that
// takes everything for data. The next one gets it back, and no answer out of step.
func TestPromptLeftOpen(t *testing.T) {
	for _, open := range []bool{true, false} {
		for _, noise := range []string{"", "\r\nOK\r\n", "\r\nERROR\r\n"} { // to an escape
			data := open
			withScripted(t, func(b *bench, _ *scripted) {
				start := time.Now()
				b.await(Ready)
				synctest.Wait()
				if d := time.Since(start); d > time.Second || !b.Caps().Simulator {
					t.Errorf("open %v, noise %q: ready after %v, simulator %v", open, noise, d, b.Caps().Simulator)
				}
			}, func(line string) string {
				switch {
				case line == "\x1b":
					data = false
					return noise
				case data:
					return ""
				case line == "AT+CGMI":
					return "\r\n" + simulatorName + "\r\n\r\nOK\r\n"
				}
				return "\r\nOK\r\n"
			})
		}
	}
}
