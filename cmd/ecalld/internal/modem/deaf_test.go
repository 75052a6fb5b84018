package modem

import (
	"errors"
	"testing"
	"time"

	sim "github.com/headunit-agent/headunit/cmd/internal/sim/modem"
)

// TestDeafPort: a call that the first port did not hear is placed over the
// second, and asking for the status finds such a port before any call.
func TestDeafPort(t *testing.T) {
	onBench(t, 2, sim.Options{}, func(b *bench) {
		b.do("fault deaf 0")
		if err := b.within(dialLimit+time.Second, "Dial", func() error { return b.Dial(b.Context(), b.manual()) }); err != nil {
			b.Fatal(err)
		}
		b.await(Answered)
		if c := b.calls(); len(c) != 1 || c[0].Port != 1 {
			b.Errorf("calls %+v", c)
		}
	})
	onBench(t, 2, sim.Options{}, func(b *bench) {
		b.do("fault deaf 0")
		for range silences {
			if s, err := b.Status(b.Context()); err != nil || !s.CallsKnown {
				b.Errorf("status %+v, %v", s, err)
			}
		}
		if err := b.within(time.Second, "Dial", func() error { return b.Dial(b.Context(), b.manual()) }); err != nil {
			b.Fatal(err)
		}
		if c := b.calls(); c[0].Port != 1 {
			b.Errorf("dialled over port %d", c[0].Port)
		}
	})
}

// TestSlowIsNotDeaf: a call that the modem lists is not placed a second time,
// though it says nothing of it, and the port that took it stays.
func TestSlowIsNotDeaf(t *testing.T) {
	onBench(t, 2, sim.Options{Dialing: 8 * time.Second}, func(b *bench) {
		if err := b.Dial(b.Context(), b.manual()); !errors.Is(err, ErrSilent) {
			b.Errorf("%v, want silence", err)
		}
		b.await(Answered)
		if c := b.calls(); len(c) != 1 || c[0].Port != 0 {
			b.Errorf("calls %+v", c)
		}
		if !b.Caps().LateMSD {
			b.Error("a port was given up")
		}
	})
}
