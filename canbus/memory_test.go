package canbus

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func receive(t *testing.T, e Bus, n int) []Rx {
	t.Helper()
	got := make([]Rx, 0, n)
	for len(got) < n {
		k, err := e.Receive(t.Context(), got[len(got):n])
		if err != nil {
			t.Fatalf("after %d of %d frames: %v", len(got), n, err)
		}
		got = got[:len(got)+k]
	}
	return got
}

func TestEveryEndGetsEveryFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		a, b, c := m.Attach(0), m.Attach(0), m.Attach(0)
		f, g := frame(0x123, 0, 1), frame(0x123, Extended, 2)
		for _, err := range []error{a.Send(t.Context(), f), b.Send(t.Context(), g)} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for i, e := range []*End{a, b, c} {
			got, now := receive(t, e, 2), time.Now()
			want := []Rx{{f, now, i == 0}, {g, now, i == 1}}
			if got[0] != want[0] || got[1] != want[1] {
				t.Errorf("end %d: %v", i, got)
			}
		}
		if s := a.Stats(); s.Sent != 1 || s.Received != 2 || s.State != OK {
			t.Errorf("%+v", s)
		}
	})
}

// Many send at once: all ends see one and the same order, and it is the order
// of the time stamps.
func TestOneOrderForAll(t *testing.T) {
	const senders, each = 8, 500
	m := NewMemory()
	a, b := m.Attach(senders*each), m.Attach(senders*each)
	var sending sync.WaitGroup
	for s := range senders {
		e := m.Attach(1)
		sending.Go(func() {
			for n := range each {
				if err := e.Send(t.Context(), frame(uint32(s), 0, byte(n), byte(n>>8))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seenA, seenB := receive(t, a, senders*each), receive(t, b, senders*each)
	sending.Wait()
	next := [senders]int{}
	for i := range seenA {
		if seenA[i] != seenB[i] {
			t.Fatalf("frame %d is %v for one and %v for the other", i, seenA[i], seenB[i])
		}
		if f := seenA[i].Frame; int(f.Data[0])|int(f.Data[1])<<8 != next[f.ID] {
			t.Fatalf("frame %d overtook: %v", i, f)
		}
		if next[seenA[i].ID]++; i > 0 && seenA[i].At.Before(seenA[i-1].At) {
			t.Fatalf("frame %d is older than the one before it", i)
		}
	}
}

func TestSlowReaderLosesTheOldestAndItIsCounted(t *testing.T) {
	m := NewMemory()
	from, slow := m.Attach(0), m.Attach(100)
	const sent = 1234
	for n := range sent {
		if err := from.Send(t.Context(), frame(1, 0, byte(n), byte(n>>8))); err != nil {
			t.Fatal(err)
		}
	}
	got := receive(t, slow, 100)
	for i, rx := range got {
		if n := int(rx.Data[0]) | int(rx.Data[1])<<8; n != sent-100+i {
			t.Fatalf("frame %d is number %d", i, n)
		}
	}
	if s := slow.Stats(); s.LostByUs != sent-100 || s.Received != 100 || slow.Queued() != 0 {
		t.Errorf("%+v, %d queued", s, slow.Queued())
	}
	if s := from.Stats(); s.LostByUs != 0 || s.Sent != sent {
		t.Errorf("%+v", s)
	}
}

func TestWaitingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMemory()
		e, other := m.Attach(0), m.Attach(0)
		result := make(chan error)
		wait := func(ctx context.Context) {
			_, err := e.Receive(ctx, make([]Rx, 1))
			result <- err
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go wait(ctx)
		if err := <-result; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("context: %v", err)
		}
		go wait(t.Context())
		synctest.Wait()
		_, _ = e.Close(), e.Close() // twice does no harm
		if err := <-result; !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if err := e.Send(t.Context(), Frame{}); !errors.Is(err, ErrClosed) || e.Stats().State != Gone {
			t.Errorf("sent on a closed end: %v", err)
		}
		if err := other.Send(t.Context(), Frame{}); err != nil || len(receive(t, other, 1)) != 1 {
			t.Errorf("the others are cut off: %v", err)
		}
		if err := other.Send(ctx, Frame{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("sent with a context that has ended: %v", err)
		}
	})
}

func TestWhatIsQueuedOutlivesTheBus(t *testing.T) {
	m := NewMemory()
	from, to, waiting := m.Attach(0), m.Attach(0), m.Attach(0)
	for range 3 {
		if err := from.Send(t.Context(), frame(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, waiting, 3)
	result := make(chan error)
	go func() {
		_, err := waiting.Receive(t.Context(), make([]Rx, 1))
		result <- err
	}()
	_ = m.Close()
	if err := <-result; !errors.Is(err, ErrClosed) {
		t.Errorf("who waits: %v", err)
	}
	receive(t, to, 3)
	for _, e := range []*End{to, m.Attach(0)} {
		if _, err := e.Receive(t.Context(), make([]Rx, 1)); !errors.Is(err, ErrClosed) {
			t.Errorf("after the last frame: %v", err)
		}
		if err := e.Send(t.Context(), Frame{}); !errors.Is(err, ErrClosed) || e.Stats().State != Gone {
			t.Errorf("sent after the end: %v", err)
		}
	}
}

func TestOnlyRealFramesAreSent(t *testing.T) {
	e := NewMemory().Attach(0)
	for _, f := range []Frame{{ID: 0x800}, {Flags: Error}, {Len: 9}} {
		if err := e.Send(t.Context(), f); !errors.Is(err, ErrFrame) {
			t.Errorf("%v: %v", f, err)
		}
	}
	if e.Queued() != 0 {
		t.Error("it is on the bus")
	}
}

func TestRelayKeepsTimeAndIsNobodysOwn(t *testing.T) {
	m := NewMemory()
	device, client := m.Attach(0), m.Attach(0)
	at := time.Unix(1, 2)
	for _, rx := range []Rx{{Frame: frame(0x40, Error), At: at, Own: true}, {Frame: frame(1, 0), At: at}} {
		if err := device.Relay(rx); err != nil {
			t.Fatal(err)
		}
	}
	got := receive(t, client, 2)
	if got[0] != (Rx{Frame: frame(0x40, Error), At: at}) || got[1].At != at || device.Queued() != 0 {
		t.Errorf("%v, and %d went back to the device", got, device.Queued())
	}
	if s := client.Stats(); s.Errors != 1 || s.Received != 1 {
		t.Errorf("%+v", s)
	}
}

func BenchmarkMemory(b *testing.B) {
	m := NewMemory()
	from, to := m.Attach(1), m.Attach(64)
	dst, f := make([]Rx, 64), frame(0x123, 0, long[:8]...)
	b.ReportAllocs()
	for b.Loop() {
		_ = from.Send(b.Context(), f)
		if _, err := to.Receive(b.Context(), dst); err != nil {
			b.Fatal(err)
		}
	}
}
