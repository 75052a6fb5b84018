package isotp

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// run starts an endpoint on a new end of m; it ends with the test.
func run(t *testing.T, m *canbus.Memory, c Config) *Endpoint {
	t.Helper()
	end := m.Attach(0)
	e, err := NewEndpoint(end, c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := e.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	synctest.Wait()
	return e
}

func open(t *testing.T, e *Endpoint, a Address) *Conn {
	t.Helper()
	c, err := e.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestConversation: long payloads both ways at once, in time.
func TestConversation(t *testing.T) {
	for name, c := range map[string]Config{
		"blocks and gaps": {Link: Link{Block: 8, STmin: 1}},
		"fd":              {Link: Link{FD: true, Length: 64}},
		"unconfirmed":     {Unconfirmed: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := canbus.NewMemory()
				a := Normal(0x7E0, 0x7E8)
				tester, err := run(t, m, c).Listen(a) // both may be asked
				if err != nil {
					t.Fatal(err)
				}
				ecu, err := run(t, m, c).Listen(a.Reverse())
				if err != nil {
					t.Fatal(err)
				}
				ask, answer := octets(300, 1), octets(4095, 2)
				began := time.Now()
				var answering sync.WaitGroup
				defer answering.Wait()
				answering.Go(func() {
					if err := ecu.Send(t.Context(), answer); err != nil {
						t.Error(err)
					}
				})
				if err := tester.Send(t.Context(), ask); err != nil {
					t.Error(err)
				}
				if got, err := ecu.Receive(t.Context(), time.Second); err != nil || !bytes.Equal(got, ask) {
					t.Errorf("asked: %d octets, %v", len(got), err)
				}
				if got, err := tester.Receive(t.Context(), 10*time.Millisecond); err != nil || !bytes.Equal(got, answer) {
					t.Errorf("answered: %d octets, %v", len(got), err)
				}
				// 585 consecutive frames in blocks of 8: 7 gaps each, but the last block of 1
				want := time.Duration(0)
				if c.STmin == 1 {
					want = 7 * 73 * time.Millisecond
				}
				if took := time.Since(began); took != want {
					t.Errorf("took %v, gaps make %v", took, want)
				}
			})
		})
	}
}

// TestSilence: nothing began, something began and stopped, nobody takes it.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := canbus.NewMemory()
		c := open(t, run(t, m, Config{}), Normal(0x7E0, 0x7E8))
		ecu := m.Attach(0)
		began := time.Now()
		_, err := c.Receive(t.Context(), 50*time.Millisecond)
		if took := time.Since(began); !errors.Is(err, os.ErrDeadlineExceeded) || took != 50*time.Millisecond {
			t.Errorf("nothing: %v after %v", err, took)
		}
		if err := ecu.Send(t.Context(), *frame(0x7E8, 0x10, 20, 1, 2, 3, 4, 5, 6)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began = time.Now()
		_, err = c.Receive(t.Context(), 50*time.Millisecond)
		if took := time.Since(began); !errors.Is(err, ErrCr) || took != time.Second {
			t.Errorf("a first frame only: %v after %v", err, took)
		}
		began = time.Now()
		err = c.Send(t.Context(), octets(20, 1))
		if took := time.Since(began); !errors.Is(err, ErrBs) || took != time.Second {
			t.Errorf("no flow control: %v after %v", err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := c.Send(ctx, octets(20, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("given up: %v", err)
		}
		if err := c.Send(t.Context(), octets(7, 1)); err != nil {
			t.Errorf("after giving up: %v", err)
		}
	})
}

// TestUnconfirmed: where the bus does not say that it took a flow control, it is
// the consecutive frame that is waited for.
func TestUnconfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := canbus.NewMemory()
		c := open(t, run(t, m, Config{Unconfirmed: true}), Normal(0x7E0, 0x7E8))
		if err := m.Attach(0).Send(t.Context(), *frame(0x7E8, 0x10, 20, 1, 2, 3, 4, 5, 6)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := c.Receive(t.Context(), 0); !errors.Is(err, ErrCr) {
			t.Error(err)
		}
	})
}

// TestAskedAll: several units answer a functional request at once, each gets
// its flow control at its own address, and what they say is kept apart.
func TestAskedAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := canbus.NewMemory()
		e := run(t, m, Config{})
		var peers []Address
		for i := range uint32(8) {
			peers = append(peers, Normal(0x7E0+i, 0x7E8+i))
		}
		all, err := e.OpenGroup(Normal(0x7DF, 0), peers...)
		if err != nil {
			t.Fatal(err)
		}
		if err := all.Send(t.Context(), make([]byte, 8)); !errors.Is(err, ErrLength) {
			t.Errorf("8 octets to everybody: %v", err)
		}
		ecus := run(t, m, Config{})
		var answering sync.WaitGroup
		defer answering.Wait()
		for i, a := range peers[1:4] {
			heard := open(t, ecus, Address{Send: a.Receive, Receive: 0x7DF})
			says := open(t, ecus, a.Reverse())
			answering.Go(func() {
				if _, err := heard.Receive(t.Context(), time.Minute); err != nil {
					t.Error(err)
				}
				if err := says.Send(t.Context(), octets(100+i, uint64(i))); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if err := all.Send(t.Context(), []byte{9, 2}); err != nil {
			t.Fatal(err)
		}
		seen := map[int]bool{}
		for range 3 {
			peer, payload, err := all.Receive(t.Context(), 50*time.Millisecond)
			if i := peer - 1; err != nil || i < 0 || !bytes.Equal(payload, octets(100+i, uint64(i))) {
				t.Fatalf("peer %d: %d octets, %v", peer, len(payload), err)
			}
			seen[peer] = true
		}
		if _, _, err := all.Receive(t.Context(), 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) || len(seen) != 3 {
			t.Errorf("%v, heard %v", err, seen)
		}
	})
}

// TestManyAtOnce: the seventeenth reception is refused, the sixteen go on.
func TestManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := canbus.NewMemory()
		e := run(t, m, Config{})
		ecu := m.Attach(0)
		for i := range uint32(17) {
			open(t, e, Normal(0x600+i, 0x700+i))
			if err := ecu.Send(t.Context(), *frame(0x700+i, 0x10, 20, 1, 2, 3, 4, 5, 6)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		var rx [64]canbus.Rx
		n, err := ecu.Receive(t.Context(), rx[:])
		if err != nil {
			t.Fatal(err)
		}
		status := map[byte]int{}
		for _, f := range rx[:n] {
			if !f.Own {
				status[f.Data[0]]++
			}
		}
		if status[0x30] != 16 || status[0x32] != 1 {
			t.Errorf("flow control: %v", status)
		}
	})
}

// deaf takes frames and never says that they went out.
type deaf struct{ *canbus.End }

func (d deaf) Receive(ctx context.Context, dst []canbus.Rx) (int, error) {
	<-ctx.Done()
	return 0, ctx.Err()
}

func TestBusThatSendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := canbus.NewMemory()
		e, err := NewEndpoint(deaf{m.Attach(0)}, Config{})
		if err != nil {
			t.Fatal(err)
		}
		c := open(t, e, Normal(0x7E0, 0x7E8))
		if err := c.Send(t.Context(), []byte{1}); err == nil {
			t.Error("sent before Run")
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- e.Run(ctx) }()
		synctest.Wait()
		if err := c.Send(t.Context(), []byte{1}); !errors.Is(err, ErrAs) {
			t.Errorf("unconfirmed: %v", err)
		}
		sent := make(chan error)
		go func() { sent <- c.Send(t.Context(), []byte{1}) }()
		go func() {
			_, err := c.Receive(t.Context(), time.Hour)
			sent <- err
		}()
		synctest.Wait()
		if err := c.Send(t.Context(), []byte{1}); !errors.Is(err, ErrBusy) {
			t.Errorf("at the same time: %v", err)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
		for range 2 {
			if err := <-sent; !errors.Is(err, context.Canceled) {
				t.Errorf("the bus is gone: %v", err)
			}
		}
		if err := e.Run(t.Context()); err == nil {
			t.Error("ran twice")
		}
	})
}

// TestBusGone: whoever waits learns it.
func TestBusGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := canbus.NewMemory()
		e, err := NewEndpoint(m.Attach(0), Config{})
		if err != nil {
			t.Fatal(err)
		}
		c := open(t, e, Normal(0x7E0, 0x7E8))
		ended := make(chan error, 1)
		go func() { ended <- e.Run(t.Context()) }()
		synctest.Wait()
		sent := make(chan error, 1)
		go func() { sent <- c.Send(t.Context(), octets(20, 1)) }()
		synctest.Wait()
		m.Close()
		if err := <-ended; !errors.Is(err, canbus.ErrClosed) {
			t.Errorf("Run: %v", err)
		}
		if err := <-sent; !errors.Is(err, canbus.ErrClosed) {
			t.Errorf("Send: %v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestLateAnswer: what was not fetched before a request is not its answer.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := canbus.NewMemory()
		c := open(t, run(t, m, Config{}), Normal(0x7E0, 0x7E8))
		ecu := m.Attach(0)
		if err := ecu.Send(t.Context(), *frame(0x7E8, 1, 0x50)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := c.Send(t.Context(), []byte{0x3E}); err != nil {
			t.Fatal(err)
		}
		if b, err := c.Receive(t.Context(), time.Second); err == nil {
			t.Errorf("answered with %x", b)
		}
	})
}
