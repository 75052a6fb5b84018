package car

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/e2e"
)

// A rig is a running car in fake time, with everything it ever said.
type rig struct {
	*testing.T
	car     *Car
	ctx     context.Context
	ends    [buses]*canbus.End
	heard   []heard
	from    time.Time // of the frames that count, see mark
	spoilt  bool      // protection may be wrong: a fault says so
	counter map[uint32]int
	sending map[uint32]uint8 // counters of what the rig sends
}

type heard struct {
	at  time.Time
	bus bus
	m   *message
	canbus.Frame
}

// live runs f with a new car, in a bubble of fake time.
func live(t *testing.T, f func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		r := &rig{T: t, car: c, ctx: ctx, from: time.Now(), counter: map[uint32]int{}, sending: map[uint32]uint8{}}
		for b := range buses {
			r.ends[b] = c.Bus(b.String()).Attach(1 << 20)
		}
		over := make(chan error)
		go func() { over <- c.Run(ctx) }()
		defer func() { // also when f gives up
			cancel()
			if err := <-over; err != nil {
				t.Error(err)
			}
		}()
		f(r)
		r.hear()
	})
}

// do carries out a line that must succeed.
func (r *rig) do(lines ...string) (said string) {
	r.Helper()
	for _, line := range lines {
		var err error
		if said, err = r.car.Do(r.ctx, line); err != nil {
			r.Fatalf("%s: %v", line, err)
		}
	}
	return said
}

func (r *rig) state() state {
	r.Helper()
	var s state
	if err := json.Unmarshal([]byte(r.do("state")), &s); err != nil {
		r.Fatal(err)
	}
	return s
}

// pass lets time pass.
func (r *rig) pass(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

// mark forgets what was heard until now.
func (r *rig) mark() time.Time {
	r.hear()
	r.heard = nil
	r.from = time.Now()
	return r.from
}

// hear takes in what the car sent, and checks every protected frame.
func (r *rig) hear() {
	r.Helper()
	synctest.Wait()
	var rx [256]canbus.Rx
	known := len(r.heard)
	for b, end := range r.ends {
		for end.Queued() > 0 {
			n, err := end.Receive(r.ctx, rx[:])
			if err != nil {
				r.Fatal(err)
			}
			for _, f := range rx[:n] {
				if f.Own {
					continue
				}
				h := heard{f.At, bus(b), messageOf(&f.Frame), f.Frame}
				r.heard = append(r.heard, h)
				if err := f.Check(); err != nil {
					r.Error(err)
				}
				if h.m != nil && h.m.e2e != nil && !r.spoilt {
					r.checkProtection(h)
				}
			}
		}
	}
	slices.SortStableFunc(r.heard[known:], func(a, b heard) int { return a.at.Compare(b.at) })
}

func (r *rig) checkProtection(h heard) {
	r.Helper()
	var s e2e.State
	if v := h.m.e2e.Check(&s, h.Data[:h.Len]); v != e2e.First {
		r.Errorf("%s %X: protection is %s", h.m.name, h.Payload(), v)
	}
	n := int(h.Data[1] & 15)
	if last, ok := r.counter[h.ID]; ok && n != (last+1)&15 {
		r.Errorf("%s: counter %d after %d", h.m.name, n, last)
	}
	r.counter[h.ID] = n
}

func messageOf(f *canbus.Frame) *message {
	for _, m := range messages() {
		if m.id == f.ID && m.extended == (f.Flags&canbus.Extended != 0) && f.Flags&canbus.Error == 0 {
			return m
		}
	}
	return nil
}

// of are the frames of one message since the mark.
func (r *rig) of(m *message) (l []heard) {
	r.Helper()
	r.hear()
	for _, h := range r.heard {
		if h.m == m && !h.at.Before(r.from) {
			l = append(l, h)
		}
	}
	return l
}

// first is how long after the mark a signal had a value for the first time; -1
// if it never had.
func (r *rig) first(m *message, signal string, want uint64) time.Duration {
	r.Helper()
	for _, h := range r.of(m) {
		if m.signal(signal).raw(&h.Data) == want {
			return h.at.Sub(r.from)
		}
	}
	return -1
}

// now is the newest raw value of a signal.
func (r *rig) now(m *message, signal string) uint64 {
	r.Helper()
	r.hear()
	for _, h := range slices.Backward(r.heard) {
		if h.m == m {
			return m.signal(signal).raw(&h.Data)
		}
	}
	r.Fatalf("%s was never sent", m.name)
	return 0
}

func (r *rig) want(m *message, signal string, want uint64) {
	r.Helper()
	if got := r.now(m, signal); got != want {
		r.Errorf("%s.%s is %d, want %d", m.name, signal, got, want)
	}
}

// request is a frame of a message that the car receives.
func (r *rig) request(m *message, set map[string]float64) canbus.Frame {
	p := payload{m: m}
	for name, v := range set {
		p.set(name, v)
	}
	if m.e2e != nil {
		m.e2e.Protect(p.data[:m.len], r.sending[m.id])
		r.sending[m.id] = (r.sending[m.id] + 1) & 15
	}
	return p.frame()
}

// send sends a request n times, and waits after each.
func (r *rig) send(m *message, n int, every time.Duration, set map[string]float64) {
	r.Helper()
	for range n {
		if err := r.ends[m.bus].Send(r.ctx, r.request(m, set)); err != nil {
			r.Fatal(err)
		}
		synctest.Wait()
		if every > 0 {
			r.pass(every)
		}
	}
}

// ask sends two equal frames of TM_01, 100 ms apart; the mark is at the second.
func (r *rig) ask(set map[string]float64) {
	r.Helper()
	r.send(tm01, 1, 100*ms, set)
	r.mark()
	r.send(tm01, 1, 0, set)
}

func signed(signal string) map[string]float64 {
	return map[string]float64{signal: 1, "TM_ZV_Signatur": DefaultSignature}
}

// lock locks the car by key, and lets the alarm arm.
func (r *rig) lock() {
	r.Helper()
	r.do("key 1 lock", "wait armed 1s")
	r.pass(2 * time.Second)
	r.mark()
}
