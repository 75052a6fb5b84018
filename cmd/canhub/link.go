package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/slcan"
	"github.com/headunit-agent/headunit/canbus/socketcand"
)

// Classes of error frames (linux/can/error.h).
const (
	classOff       = 0x040
	classRestarted = 0x100
)

func errorFrame(class uint32) canbus.Frame {
	return canbus.Frame{ID: class, Flags: canbus.Error, Len: canbus.MaxLen}
}

const (
	sendLimit = 500 * time.Millisecond // for the device to take a frame; it is dropped then, being old
	oweLimit  = 10 * time.Second       // for the device to confirm it
	maxOwed   = 256                    // frames that wait for that
	maxTold   = 16                     // different errors of one outage that are logged
)

// errOther is wrapped when what comes back is not what went: the clients were
// told what stands behind the bus, and have to ask again.
var errOther = errors.New("another kind of device is there now: start again, so that the clients ask again what it is")

// A link carries frames between a live device and the bus, while the device
// comes and goes.
type link struct {
	live  *live
	hub   *hub
	log   zerolog.Logger
	bus   *canbus.End // the device's end of the bus
	ready func(canbus.Origin)
	fatal context.CancelCauseFunc

	// used by one goroutine only, that of Supervise
	origin    canbus.Origin
	opens     uint64
	unclaimed uint64          // frames that nobody here is known to have sent
	told      map[string]bool // errors of this outage

	off  bool          // 040 was the last word about the bus; guarded by hub.mu, and written by that goroutine only
	lost atomic.Uint64 // frames that the device has lost, in all its openings

	turn chan struct{} // holds a token while nobody sends

	mu    sync.Mutex // guards what follows
	dev   canbus.Bus // nil: gone
	owed  []debt
	stats canbus.Stats // of earlier openings
}

// A debt is a confirmation that the device owes a client.
type debt struct {
	to    *client
	frame canbus.Frame
	until time.Time
}

// share links the device with the bus until ctx ends. ready is called once, with
// what stands behind the bus, when the device was opened for the first time.
func (h *hub) share(ctx context.Context, d *live, log zerolog.Logger, ready func(canbus.Origin)) error {
	ctx, fatal := context.WithCancelCause(ctx)
	defer fatal(nil)
	l := &link{
		live: d, hub: h, log: log, bus: h.bus.Attach(1), ready: ready, fatal: fatal,
		told: make(map[string]bool), turn: make(chan struct{}, 1),
	}
	defer l.bus.Close()
	l.turn <- struct{}{}
	h.link = l
	slcan.Supervise(ctx, l.open, l.use, l.failed)
	if why := context.Cause(ctx); errors.Is(why, errOther) {
		return why
	}
	return nil
}

func (l *link) open(ctx context.Context) (canbus.Bus, error) { return l.live.open(ctx, l.live.listen) }

// use carries frames from the device to the bus until the device is gone.
func (l *link) use(ctx context.Context, b canbus.Bus) error {
	dev, ok := b.(opened)
	if !ok || l.opens > 0 && dev.origin != l.origin {
		err := fmt.Errorf("%s: %w (%q, not %q)", l.live.name, errOther, dev.origin, l.origin)
		l.fatal(err)
		return err
	}
	l.plugged(dev)
	err := l.receive(ctx, dev)
	l.unplugged(ctx, dev)
	return err
}

func (l *link) receive(ctx context.Context, dev opened) error {
	before, marked := l.lost.Load(), false
	batch := make([]canbus.Rx, 256)
	for {
		n, err := dev.Receive(ctx, batch)
		s := dev.Stats()
		l.lost.Store(before + s.Lost + s.LostByUs)
		if err != nil {
			return err
		}
		for i := range batch[:n] {
			if batch[i].Own && !marked {
				marked = l.mark(dev, &batch[i].Frame)
			}
			l.put(&batch[i])
		}
	}
}

// mark tells that Own is worth little with this adapter, if that is so.
func (l *link) mark(dev opened, own *canbus.Frame) (told bool) {
	a, ok := dev.Bus.(*slcan.Bus)
	if !ok {
		return false
	}
	i, fd := a.Info(), own.Flags&canbus.FD != 0
	if fd && i.ConfirmsFD || !fd && i.Confirms {
		return false
	}
	l.log.Warn().Str("adapter", i.Version).Bool("fd", fd).
		Msg("this adapter does not confirm: what clients see as sent was written to it, and nobody knows more")
	return true
}

// plugged lets clients send, and tells them if the device was away before.
func (l *link) plugged(dev opened) {
	clear(l.told)
	l.mu.Lock()
	l.dev = dev
	l.mu.Unlock()
	e := l.log.Info().Str("device", l.live.name).Str("origin", string(dev.origin))
	if a, ok := dev.Bus.(*slcan.Bus); ok {
		e.Interface("adapter", a.Info())
	}
	e.Msg("device opened")
	if l.opens++; l.opens == 1 {
		l.origin = dev.origin
		if l.live.warning != "" && dev.origin == canbus.Adapter {
			l.log.Warn().Msg(l.live.warning)
		}
		l.ready(dev.origin)
		return
	}
	l.put(&canbus.Rx{Frame: errorFrame(classRestarted)})
}

// unplugged tells the clients, unless it is canhub that ends.
func (l *link) unplugged(ctx context.Context, dev opened) {
	s := dev.Stats()
	l.mu.Lock()
	l.dev, l.owed = nil, nil
	l.stats = sum(l.stats, s)
	l.mu.Unlock()
	e := l.log.Info().Interface("device", s)
	if a, ok := dev.Bus.(*slcan.Bus); ok {
		e.Interface("adapter", a.Counts())
	}
	e.Msg("device closed")
	if ctx.Err() == nil {
		l.put(&canbus.Rx{Frame: errorFrame(classOff)})
	}
}

// failed logs an error of an outage once, however long that takes.
func (l *link) failed(err error, _ time.Duration) {
	text := err.Error()
	if l.told[text] || len(l.told) == maxTold {
		return
	}
	l.told[text] = true
	l.log.Error().Err(err).Str("device", l.live.name).Msg("no device; it is tried again until it is there")
	if errors.Is(err, socketcand.ErrRefused) {
		l.log.Info().Msg("the last part of the device's name must be the name of the bus there, its --name")
	}
}

// put shows a frame of the device to everybody. A frame of a client goes back to
// it as its own, with the time at which the confirmation came here.
func (l *link) put(rx *canbus.Rx) {
	if rx.Flags&canbus.Error != 0 || l.off {
		l.hub.mu.Lock() // who comes is told either the state or this frame
		defer l.hub.mu.Unlock()
		switch isError := rx.Flags&canbus.Error != 0; {
		case !isError, rx.ID&classRestarted != 0:
			l.off = false
		case rx.ID&classOff != 0:
			l.off = true
		}
	}
	if rx.Own {
		to := l.claim(&rx.Frame)
		if to != nil && to.End.Send(context.Background(), rx.Frame) == nil {
			return
		}
		l.unclaimed++ // the client is gone, or had to wait too long
	}
	if err := l.bus.Relay(*rx); err != nil && !errors.Is(err, canbus.ErrClosed) {
		l.log.Error().Err(err).Msg("the device shows what cannot be on a bus")
	}
}

// claim finds whose frame this is. A device that confirms in order has refused
// those before it, so that none of them takes the confirmation of a later one.
func (l *link) claim(f *canbus.Frame) *client {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.owed, func(d debt) bool { return d.frame == *f })
	if i < 0 {
		return nil
	}
	to, from := l.owed[i].to, 0
	l.owed = slices.DeleteFunc(l.owed, func(d debt) bool {
		n := from
		from++
		return n == i || n < i && l.live.ordered && (d.frame.Flags^f.Flags)&canbus.FD == 0
	})
	return to
}

// send gives the frame of a client to the device, one after the other. It is
// not kept for a device that is gone, nor for one that does not take it.
func (l *link) send(ctx context.Context, c *client, f canbus.Frame) error {
	ctx, cancel := context.WithTimeout(ctx, sendLimit)
	defer cancel()
	select {
	case <-l.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { l.turn <- struct{}{} }()
	d := debt{to: c, frame: f, until: time.Now().Add(oweLimit)}
	dev := l.owe(d)
	if dev == nil {
		return canbus.ErrClosed
	}
	err := dev.Send(ctx, f)
	if err != nil && ctx.Err() == nil { // else it may go out nevertheless
		l.forget(d)
	}
	return err
}

// owe notes a debt before the frame goes, for the device may be quick. It
// returns the device.
func (l *link) owe(d debt) canbus.Bus {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dev == nil {
		return nil
	}
	l.owed = slices.DeleteFunc(l.owed, func(d debt) bool { return now.After(d.until) })
	if len(l.owed) == maxOwed {
		l.owed = slices.Delete(l.owed, 0, 1)
	}
	l.owed = append(l.owed, d)
	return l.dev
}

// forget takes the newest such debt back.
func (l *link) forget(d debt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, o := range slices.Backward(l.owed) {
		if o == d {
			l.owed = slices.Delete(l.owed, i, i+1)
			return
		}
	}
}

// totals are those of the device in all its openings; its state is the newest.
func (l *link) totals() canbus.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

func sum(a, b canbus.Stats) canbus.Stats {
	b.Received += a.Received
	b.Sent += a.Sent
	b.Lost += a.Lost
	b.LostByUs += a.LostByUs
	b.Errors += a.Errors
	return b
}
