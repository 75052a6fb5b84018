// Package watch shows what a car says with the agent's own way from bits to
// values, and without the agent: nothing is sent, kept or told to anybody. It is
// for tools that look at a bus with a profile.
package watch

import (
	"context"
	"time"

	"github.com/headunit-agent/headunit/agent/internal/vehicle"
	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
)

// A Car is what the buses of one profile said so far.
type Car struct {
	car     *vehicle.Car
	profile *profile.Profile
	now     func() time.Time
}

// New makes a car that has heard nothing yet. now is the clock that freshness is
// measured by: it must not jump.
func New(p *profile.Profile, now func() time.Time) *Car {
	return &Car{vehicle.New(p, now), p, now}
}

// Follow reads one bus of the profile until ctx ends or the device is gone, and
// says why it stopped. One goroutine may follow a bus at a time.
func (c *Car) Follow(ctx context.Context, bus string, b canbus.Bus) error {
	return c.car.Follow(ctx, bus, b)
}

// A Reading is one value, and how sure it is.
type Reading struct {
	Path    profile.Path
	Value   profile.Value // of a stale one the last that was known; none unless good or stale
	Quality string        // "never" "good" "unavailable" "range" "stale"
	Source  int           // which of the profile's sources of the path, from 0
	Age     time.Duration // since Value was true; negative: never
}

// Readings are those of every path that the profile fills, by name.
func (c *Car) Readings() []Reading {
	s, now := c.car.State(), c.now()
	paths := c.profile.Paths()
	all := make([]Reading, len(paths))
	for i, p := range paths {
		r := s.Get(p, now)
		all[i] = Reading{Path: p, Value: r.Value, Quality: string(r.Quality), Source: int(r.Source), Age: -1}
		if r.Quality == vehicle.Stale {
			r = s.Last(p)
			all[i].Value, all[i].Source = r.Value, int(r.Source)
		}
		if !r.At.IsZero() {
			all[i].Age = now.Sub(r.At)
		}
	}
	return all
}

// A Protection is how the frames of one protected message fared.
type Protection struct {
	Bus, Message                       string
	OK, First, Jumped, Repeated, Wrong uint64 // Wrong: bad checksum
	Taken                              uint64 // of those that failed: used or shown all the same, by the profile's policy
}

// Failed reports whether any frame was not what it should be.
func (p Protection) Failed() bool { return p.Repeated+p.Wrong+p.Jumped > 0 || p.First > 1 }

// Protections are those of every protected message, by bus and name.
func (c *Car) Protections() []Protection {
	var all []Protection
	s := c.car.State()
	for _, m := range c.profile.Messages {
		if n := s.Counts(m.Bus, m.DBC.Name); n != nil {
			all = append(all, Protection{
				Bus: m.Bus, Message: m.DBC.Name, OK: n.OK.Load(), First: n.First.Load(), Jumped: n.Jumped.Load(),
				Repeated: n.Repeated.Load(), Wrong: n.CRC.Load(), Taken: n.Taken.Load(),
			})
		}
	}
	return all
}

// Health is the state of a bus, and its losses.
func (c *Car) Health(bus string) (canbus.BusState, canbus.Stats) {
	h := c.car.State().Bus(bus, c.now())
	return h.State, h.Stats
}
