package backend

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/cmd/internal/sim/mqtt"
)

// A Car is what the backend knows of one car.
type Car struct {
	Name     wire.Name
	Online   bool
	Hello    *wire.Hello    // the last, nil: never heard
	Left     wire.Reason    // why it is away
	Now      uint32         // vehicle seconds of the newest report
	Number   uint32         // of the newest report
	Readings []wire.Reading // by signal; those of deltas are not signed
	Gaps     []wire.Gap     // by signal
	Status   *wire.Status   // the last full one, nil: none of this epoch
	Waiting  int            // envelopes that no answer came to
}

// waiting is an envelope that a phone gave us for a car.
type waiting struct {
	suffix   wire.Suffix
	id       wire.ID
	envelope []byte
	epoch    wire.Epoch // the car's when it was given; zero: not known
	until    time.Time
	sent     way
}

// way is one connection of the car and one of ours. What was published on it is
// not published on it again.
type way struct {
	car  *wire.Hello // nil: never heard of
	link *mqtt.Client
}

// car is the same with its keys. It is guarded by [Backend.mu].
type car struct {
	name wire.Name
	sign []byte
	kid  wire.Kid
	seal wire.SealPublic

	online   bool
	hello    *wire.Hello
	left     wire.Reason
	now      uint32
	number   uint32
	full     *wire.Status
	readings map[uint8]wire.Reading
	gaps     map[uint8]wire.Gap
	ids      [128]wire.ID // seen, round and round
	next     int
	wait     []waiting
}

func (c *car) epoch() wire.Epoch {
	if c.hello == nil {
		return wire.Epoch{}
	}
	return c.hello.Epoch
}

func (c *car) shown() Car {
	s := Car{
		Name: c.name, Online: c.online, Hello: c.hello, Left: c.left, Now: c.now, Number: c.number,
		Readings: slices.Collect(maps.Values(c.readings)), Gaps: slices.Collect(maps.Values(c.gaps)),
		Status: c.full, Waiting: len(c.wait),
	}
	slices.SortFunc(s.Readings, func(a, b wire.Reading) int { return cmp.Compare(a.Signal, b.Signal) })
	slices.SortFunc(s.Gaps, func(a, b wire.Gap) int { return cmp.Compare(a.Signal, b.Signal) })
	return s
}

// await keeps an envelope until its answer comes or it is too old to matter. The
// same one again takes the place of the first.
func (c *car) await(w waiting, now time.Time) bool {
	c.wait = slices.DeleteFunc(c.wait, func(o waiting) bool {
		return o.until.Before(now) || o.id == w.id && bytes.Equal(o.envelope, w.envelope)
	})
	if len(c.wait) >= maxWaiting {
		return false
	}
	c.wait = append(c.wait, w)
	return true
}

// answered forgets what bears the id.
func (c *car) answered(id wire.ID) {
	c.wait = slices.DeleteFunc(c.wait, func(w waiting) bool { return w.id == id })
}

// wanted returns what was not yet published on this way and was made for the
// car's present epoch: older commands are dead, and the car would only say so.
func (c *car) wanted(link *mqtt.Client, now time.Time) []waiting {
	c.wait = slices.DeleteFunc(c.wait, func(w waiting) bool {
		return w.until.Before(now) || w.epoch != wire.Epoch{} && w.epoch != c.epoch()
	})
	var out []waiting
	for i := range c.wait {
		if here := (way{c.hello, link}); link != nil && c.wait[i].sent != here {
			c.wait[i].sent = here
			out = append(out, c.wait[i])
		}
	}
	return out
}

// meet takes a hello. An older connection of the same epoch is stale.
func (c *car) meet(h wire.Hello) verdict {
	if c.hello != nil && c.hello.Epoch == h.Epoch {
		if h.Connections < c.hello.Connections {
			return stale
		}
		if h.Connections == c.hello.Connections {
			return repeated
		}
	} else { // the agent was started anew: it counts from 1 again
		c.now, c.number, c.full = 0, 0, nil
		c.readings, c.gaps = map[uint8]wire.Reading{}, map[uint8]wire.Gap{}
	}
	c.hello, c.online, c.left = &h, true, ""
	return fresh
}

// part takes a goodbye, of this connection alone: the will of an older one comes
// late where networks are bad.
func (c *car) part(g wire.Goodbye) verdict {
	switch {
	case c.hello == nil || g.Epoch != c.hello.Epoch || g.Connections != c.hello.Connections:
		return stale
	case !c.online:
		return repeated
	}
	c.online, c.left = false, g.Reason
	return fresh
}

// status takes a signed status.
func (c *car) status(s wire.Status) verdict {
	if s.Epoch != c.epoch() {
		return stale
	}
	v := c.report(s.Number, s.Now, s.Full, s.Readings, s.Gaps)
	if v == fresh && s.Full {
		c.full = &s
	}
	return v
}

// report takes the content of a status or a delta, in order of its number.
func (c *car) report(number, now uint32, full bool, rs []wire.Reading, gs []wire.Gap) verdict {
	if c.hello == nil {
		return stale // of which epoch, nobody knows
	}
	if number <= c.number {
		return repeated
	}
	c.number, c.now = number, now
	if full {
		clear(c.readings)
		clear(c.gaps)
	}
	for _, r := range rs {
		delete(c.gaps, r.Signal)
		c.readings[r.Signal] = r
	}
	for _, g := range gs {
		delete(c.readings, g.Signal)
		c.gaps[g.Signal] = g
	}
	return fresh
}

// seen notes what bears an id, and tells whether it was noted before.
func (c *car) seen(id wire.ID) verdict {
	if slices.Contains(c.ids[:], id) {
		return repeated
	}
	c.ids[c.next%len(c.ids)] = id
	c.next++
	return fresh
}
