package isotp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// A Bus is what an [Endpoint] needs of a CAN bus; a [canbus.Bus] is one. What it
// may send is decided behind it.
type Bus interface {
	Receive(ctx context.Context, dst []canbus.Rx) (int, error)
	Send(ctx context.Context, f canbus.Frame) error
}

// A Config says how an [Endpoint] talks.
type Config struct {
	Link

	// Unconfirmed is for a bus that never says Own: a frame counts as sent when
	// Send returned. Gaps are then as good as the device's queue is short.
	Unconfirmed bool
}

// An Endpoint talks to control units over one end of a bus, which it has for
// itself. Nothing is sent or received unless Run runs.
type Endpoint struct {
	bus  Bus
	conf Config
	kick chan struct{} // a token: look at the deadlines again
	over chan struct{} // closed when Run returned

	mu    sync.Mutex // guards what follows, and the insides of every line, out and box
	ctx   context.Context
	lines map[Address]*line
	outs  []*out
	err   error
}

// A line is what comes from one address, and who wants it.
type line struct {
	r       Receiver
	pending canbus.Frame // our flow control on its way
	boxes   []*box
}

// An out is one payload on its way to an address.
type out struct {
	s       Sender
	pending canbus.Frame
	done    chan error // holds one
}

// NewEndpoint makes an endpoint on bus.
func NewEndpoint(bus Bus, c Config) (*Endpoint, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	return &Endpoint{
		bus: bus, conf: c,
		kick: make(chan struct{}, 1), over: make(chan struct{}),
		lines: map[Address]*line{},
	}, nil
}

// Run receives and keeps the timers until ctx ends or the bus is gone, and
// returns why. Everybody who waits is told. It can run once.
func (e *Endpoint) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	e.mu.Lock()
	again := e.ctx != nil
	if !again {
		e.ctx = ctx
	}
	e.mu.Unlock()
	if again {
		stop()
		return errors.New("an endpoint runs once")
	}
	var clock sync.WaitGroup
	clock.Go(func() { e.clock(ctx) })
	err := e.receive(ctx)
	stop()
	clock.Wait()

	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = fmt.Errorf("no transport: %w", err)
	for _, o := range e.outs {
		o.done <- e.err
	}
	e.outs = nil
	close(e.over)
	return err
}

func (e *Endpoint) receive(ctx context.Context) error {
	batch := make([]canbus.Rx, 64)
	for {
		n, err := e.bus.Receive(ctx, batch)
		now := time.Now()
		e.mu.Lock()
		for i := range batch[:n] {
			e.heard(now, &batch[i])
		}
		e.mu.Unlock()
		e.wake()
		if err != nil {
			return err
		}
	}
}

// clock steps what is due.
func (e *Endpoint) clock(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.kick:
		case <-timer.C:
		}
		e.mu.Lock()
		now := time.Now()
		next := e.tick(now)
		e.mu.Unlock()
		timer.Reset(next.Sub(now))
	}
}

func (e *Endpoint) wake() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// tick steps what is due and returns the next deadline.
func (e *Endpoint) tick(now time.Time) time.Time {
	next := now.Add(time.Hour)
	for _, o := range slices.Clone(e.outs) {
		if due(now, o.s.Deadline) {
			e.send(now, o, Event{})
		}
		if d := o.s.Deadline; !d.IsZero() && d.Before(next) {
			next = d
		}
	}
	for _, l := range e.lines {
		if due(now, l.r.Deadline) {
			e.step(now, l, Event{})
		}
		if d := l.r.Deadline; !d.IsZero() && d.Before(next) {
			next = d
		}
	}
	return next
}

func (e *Endpoint) heard(now time.Time, rx *canbus.Rx) {
	if rx.Own {
		e.sent(now, &rx.Frame)
		return
	}
	for _, o := range slices.Clone(e.outs) {
		e.send(now, o, Event{Kind: Heard, Frame: &rx.Frame})
	}
	a := Address{Receive: rx.ID, Extended: rx.Flags&canbus.Extended != 0}
	for _, l := range e.lines { // few, and two may differ in the address octet only
		if l.r.from.Receive == a.Receive && l.r.from.Extended == a.Extended {
			e.step(now, l, Event{Kind: Heard, Frame: &rx.Frame, Full: e.receptions() >= MaxReceptions})
		}
	}
}

func (e *Endpoint) receptions() (n int) {
	for _, l := range e.lines {
		if l.r.Receiving() {
			n++
		}
	}
	return n
}

// sent finds whose frame f was.
func (e *Endpoint) sent(now time.Time, f *canbus.Frame) {
	for _, o := range e.outs {
		if same(&o.pending, f) {
			o.pending = canbus.Frame{}
			e.send(now, o, Event{Kind: Sent})
			return
		}
	}
	for _, l := range e.lines {
		if same(&l.pending, f) {
			l.pending = canbus.Frame{}
			e.step(now, l, Event{Kind: Sent})
			return
		}
	}
}

// same ignores the flags that a controller sets by itself.
func same(a, b *canbus.Frame) bool {
	const matter = canbus.Extended | canbus.FD
	return a.Len > 0 && a.ID == b.ID && a.Len == b.Len && a.Flags&matter == b.Flags&matter && a.Data == b.Data
}

// send steps a sender and does what it asks for.
func (e *Endpoint) send(now time.Time, o *out, ev Event) {
	for {
		next, act := o.s.Step(now, ev)
		o.s = next
		if act.Done {
			e.end(o, act.Err)
			return
		}
		if !act.Send {
			return
		}
		if err := e.put(act.Frame, &o.pending); err != nil {
			e.end(o, err)
			return
		}
		if !e.conf.Unconfirmed {
			return
		}
		ev = Event{Kind: Sent}
	}
}

func (e *Endpoint) end(o *out, err error) {
	e.outs = slices.DeleteFunc(e.outs, func(other *out) bool { return other == o })
	o.done <- err
}

// step steps a receiver and does what it asks for.
func (e *Endpoint) step(now time.Time, l *line, ev Event) {
	next, act := l.r.Step(now, ev)
	l.r = next
	if act.Err != nil {
		l.tell(nil, act.Err)
	}
	if act.Done {
		l.tell(act.Payload, nil)
	}
	if !act.Send {
		return
	}
	if err := e.put(act.Frame, &l.pending); err != nil {
		if l.r.Receiving() {
			l.r = l.r.idle()
			l.tell(nil, err)
		}
		return
	}
	if e.conf.Unconfirmed {
		l.r, _ = l.r.Step(now, Event{Kind: Sent})
	}
}

// put hands f to the bus. A bus that blocks may do so for N_As.
func (e *Endpoint) put(f canbus.Frame, pending *canbus.Frame) error {
	if e.ctx == nil {
		return errors.New("the endpoint does not run")
	}
	ctx, cancel := context.WithTimeout(e.ctx, limit(e.conf.As))
	defer cancel()
	*pending = f
	if err := e.bus.Send(ctx, f); err != nil {
		*pending = canbus.Frame{}
		return fmt.Errorf("frame not sent: %w", err)
	}
	return nil
}
