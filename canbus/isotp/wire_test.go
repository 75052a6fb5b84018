package isotp

import (
	"testing"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// A wire carries frames between a Sender and a Receiver in made-up time, and
// loses, doubles and swaps those of the Sender that it is told to.
type wire struct {
	t   *testing.T
	now time.Time
	s   Sender
	r   Receiver

	lose, double, swap map[int]bool // numbers of frames there; swap: overtaken by the next one

	flying      []flight
	held        *canbus.Frame
	there, back []canbus.Frame // as they were sent
	at          []time.Time    // of there
	sendErr     error
	results     []result
}

type flight struct {
	f    canbus.Frame
	back bool
}

type result struct {
	payload []byte
	err     error
}

func (w *wire) join(tx, rx *Link, a Address, payload []byte) {
	w.t.Helper()
	var err error
	if w.s, err = tx.Sender(a, payload); err != nil {
		w.t.Fatal(err)
	}
	if w.r, err = rx.Receiver(a.Reverse()); err != nil {
		w.t.Fatal(err)
	}
}

// run goes on until both sides are still.
func (w *wire) run() []result {
	w.send(Event{Kind: Begin})
	for range 100_000 {
		if len(w.flying) > 0 {
			next := w.flying[0]
			w.flying = w.flying[1:]
			w.land(next)
			continue
		}
		next := w.s.Deadline
		if d := w.r.Deadline; next.IsZero() || !d.IsZero() && d.Before(next) {
			next = d
		}
		if next.IsZero() {
			return w.results
		}
		w.now = next
		w.send(Event{})
		w.hear(Event{})
	}
	w.t.Fatal("it never ends")
	return nil
}

func (w *wire) land(l flight) {
	if l.back {
		w.hear(Event{Kind: Sent})
		w.send(Event{Kind: Heard, Frame: &l.f})
		return
	}
	n := len(w.there)
	w.there, w.at = append(w.there, l.f), append(w.at, w.now)
	w.send(Event{Kind: Sent})
	if w.swap[n] && w.held == nil {
		w.held = &l.f
		return
	}
	if !w.lose[n] {
		w.hear(Event{Kind: Heard, Frame: &l.f})
	}
	if w.double[n] {
		w.hear(Event{Kind: Heard, Frame: &l.f})
	}
	if held := w.held; held != nil {
		w.held = nil
		w.hear(Event{Kind: Heard, Frame: held})
	}
}

func (w *wire) send(e Event) {
	var o Output
	w.s, o = w.s.Step(w.now, e)
	if o.Err != nil {
		w.sendErr = o.Err
	}
	w.fly(o, false)
}

func (w *wire) hear(e Event) {
	var o Output
	w.r, o = w.r.Step(w.now, e)
	if o.Err != nil {
		w.results = append(w.results, result{err: o.Err})
	}
	if o.Done {
		w.results = append(w.results, result{payload: append([]byte(nil), o.Payload...)})
	}
	if o.Send {
		w.back = append(w.back, o.Frame)
	}
	w.fly(o, true)
}

func (w *wire) fly(o Output, back bool) {
	if !o.Send {
		return
	}
	if err := o.Frame.Check(); err != nil {
		w.t.Fatal(err)
	}
	w.flying = append(w.flying, flight{o.Frame, back})
}
