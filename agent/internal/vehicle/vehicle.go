// Package vehicle knows what the car says of itself, and how sure that is: every
// value is a [Reading] that is good, or says why it is not, and nothing is
// clamped, guessed or kept beyond its time.
//
// A [Car] follows the buses, one goroutine each, and folds their frames into a
// [State] that others read without a lock. Deciding is done on good readings
// only; the last good one of a car that sleeps is for showing ([State.Last]).
package vehicle

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

// A Value is a value of the catalogue's type for its path.
type Value = profile.Value

// A Quality says whether a reading can be used.
type Quality string

// The qualities. The zero value counts as [Never].
const (
	Never       Quality = "never"       // not seen since the start
	Good        Quality = "good"        // the only one with a value
	Unavailable Quality = "unavailable" // the car says that it does not know
	Range       Quality = "range"       // beyond what the profile or the catalogue allow
	Stale       Quality = "stale"       // not heard again in time
)

// A Reading is a value, how good it is, when it was measured, and which of its
// path's sources it came from.
type Reading struct {
	Value   Value   // none unless Quality is Good
	Quality Quality // "" is Never
	At      time.Time
	Source  uint8 // index into the profile's sources of the path
}

// Good reports whether the value can be used.
func (r Reading) Good() bool { return r.Quality == Good }

// A Car folds what the buses say into the newest [State].
type Car struct {
	layout  *layout
	now     func() time.Time
	state   atomic.Pointer[State]
	changed chan struct{}

	mu               sync.Mutex // guards what follows: the state that is being made
	slots            []slot
	cells            []*cell
	values           []sourceState
	crash            crash
	rested           int64       // the car woke then from a sleep in order, and has not moved since; 0: not so
	last             []payload   // by message
	checks           []e2eState  // by message
	dst              []dbc.Value // scratch, as is what follows:
	kept             []slot      // what a glance puts back
	present, altered []int32     // groups of the frame in hand
}

// New makes a car that has heard nothing yet. now is the clock that freshness is
// measured by: it must not jump.
func New(p *profile.Profile, now func() time.Time) *Car {
	l := newLayout(p, now())
	c := &Car{
		layout: l, now: now, changed: make(chan struct{}, 1),
		slots: make([]slot, len(l.signals)), cells: make([]*cell, len(l.groups)),
		values: make([]sourceState, len(l.sources)), crash: newCrash(l),
		last: make([]payload, len(l.messages)), checks: make([]e2eState, len(l.messages)),
		dst: make([]dbc.Value, l.most),
	}
	c.publish()
	return c
}

// State is the newest state; it never is nil and never changes, but that the
// time up to which its values hold runs on as long as the bus repeats them.
func (c *Car) State() *State { return c.state.Load() }

// Changed says that State has news. Several changes may be one message.
func (c *Car) Changed() <-chan struct{} { return c.changed }

func (c *Car) wake() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// Follow reads one bus of the profile until ctx ends or the device is gone, and
// says why it stopped. The bus stays open; one goroutine may follow a bus at a
// time.
func (c *Car) Follow(ctx context.Context, bus string, b canbus.Bus) error {
	i, ok := c.layout.busNumber(bus)
	if !ok {
		return fmt.Errorf("vehicle: the profile has no bus %q", bus)
	}
	l := &c.layout.buses[i]
	l.live.attach(b)
	c.wake()
	defer func() {
		l.live.detach(c.layout.since(c.now()))
		c.wake()
	}()
	var frames [64]canbus.Rx
	var was canbus.BusState
	for {
		n, err := b.Receive(ctx, frames[:])
		now := c.now()
		if n > 0 {
			c.fold(i, frames[:n], now)
		}
		if is := b.Stats().State; is != was {
			if was = is; is == canbus.Off || is == canbus.Gone {
				l.live.disturb(c.layout.since(now))
			}
			c.wake()
		}
		if err != nil {
			return fmt.Errorf("vehicle: bus %s: %w", bus, err)
		}
	}
}

// publish makes what was folded the newest state. The caller holds mu.
func (c *Car) publish() {
	c.state.Store(&State{
		layout: c.layout, slots: clone(c.slots), cells: clone(c.cells), values: clone(c.values), crash: c.crash.shown,
		rested: c.rested,
	})
	c.wake()
}

func clone[T any](s []T) []T { return append(make([]T, 0, len(s)), s...) }
