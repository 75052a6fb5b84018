package vehicle

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
	"github.com/headunit-agent/headunit/canbus/e2e"
)

// A slot is the newest raw value of one signal.
type slot struct {
	raw      uint64
	physical float64
	seen     bool
	short    bool // the frame was too short for it
}

// A cell is how long one state of a group holds. While the bus repeats it, last
// runs on, also for states published before; once it changes, the group gets a
// new cell, and older states keep the time up to which they were true.
type cell struct {
	last  atomic.Int64
	since int64 // heard without a gap since then
}

// A payload is the frame before, to be compared with.
type payload struct {
	data [64]byte
	len  uint8
	seen bool
}

// e2eState is the receiver's side of one protected message.
type e2eState struct {
	e2e.State
	at int64 // of the frame before, whole or not
}

// Counts are what protection made of the frames of one message.
type Counts struct {
	OK, First, Jumped, CRC, Repeated atomic.Uint64
	// Taken are those of First, CRC and Repeated whose signals counted, or were
	// shown, all the same, as the profile's policy wants it.
	Taken atomic.Uint64
}

// fold takes a batch of one bus in. It allocates only when something changed.
func (c *Car) fold(busNumber int, frames []canbus.Rx, now time.Time) {
	b := &c.layout.buses[busNumber]
	at := c.layout.since(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	changed := false
	if last := b.live.last.Load(); last != never && at-last >= int64(b.asleep) && c.state.Load().parked(now) {
		c.rested = max(at, 1)
	}
	for i := range frames {
		f := &frames[i]
		// What this program sent proves nothing about the car.
		if f.Own || f.Flags&(canbus.Error|canbus.Remote) != 0 {
			continue
		}
		b.live.heard(&f.Frame, at)
		for _, s := range b.sendable {
			s.look(&f.Frame, at)
		}
		n := b.plan.Lookup(f.ID, f.Flags&canbus.Extended != 0)
		if n >= 0 && c.frame(b, n, &f.Frame, at) {
			changed = true
		}
	}
	if changed {
		c.publish()
	}
}

// frame takes one frame of a wanted message in, and reports whether anything is
// new.
func (c *Car) frame(b *bus, n int, f *canbus.Frame, at int64) bool {
	number := b.messages[n]
	m := &c.layout.messages[number]
	if m.e2e != nil && !c.accept(m, &c.checks[number], f, at) {
		switch m.of.E2E.Policy {
		case profile.Count:
			m.counts.Taken.Add(1)
		case profile.Show:
			m.counts.Taken.Add(1)
			return c.glance(b, n, m, f, at)
		default:
			return false
		}
	}
	was := &c.last[number]
	if m.single && was.same(m, f) {
		changed := c.refresh(m.group, at)
		return c.watchCrash(m, at) || changed
	}
	if m.single {
		*was = payload{f.Data, f.Len, true}
	}
	changed := c.decode(b, n, m, f, at)
	return c.watchCrash(m, at) || changed
}

// same reports whether the frame says what the one before said.
func (p *payload) same(m *message, f *canbus.Frame) bool {
	if !p.seen || p.len != f.Len {
		return false
	}
	if m.e2e == nil {
		return p.data == f.Data
	}
	// Checksum and counter differ in every frame and carry nothing else.
	return p.data[1]&0xF0 == f.Data[1]&0xF0 && [62]byte(p.data[2:]) == [62]byte(f.Data[2:])
}

// accept checks the protection. After a gap two good frames in order are needed.
func (c *Car) accept(m *message, is *e2eState, f *canbus.Frame, at int64) bool {
	if at-is.at > m.wraps { // the counter may have gone round: it proves no order any more
		is.State = e2e.State{}
	}
	is.at = at
	switch m.e2e.Check(&is.State, f.Payload()) {
	case e2e.OK:
		m.counts.OK.Add(1)
		return true
	case e2e.Jumped:
		m.counts.Jumped.Add(1)
		return true
	case e2e.First:
		m.counts.First.Add(1)
		c.breakRows(m)
	case e2e.Repeated:
		m.counts.Repeated.Add(1)
	case e2e.CRC:
		m.counts.CRC.Add(1)
		c.breakRows(m)
	}
	return false
}

// decode reads the signals, works the sources out that look at changed ones, and
// sets the ages.
func (c *Car) decode(b *bus, n int, m *message, f *canbus.Frame, at int64) bool {
	values := c.dst[:b.plan.DecodeMessage(n, f, c.dst)]
	c.present, c.altered = c.present[:0], c.altered[:0]
	for i := range values {
		v := &values[i]
		number := m.signals[v.Index]
		g := c.layout.signals[number].group
		if !slices.Contains(c.present, g) {
			c.present = append(c.present, g)
		}
		is := newSlot(v)
		if is.equal(c.slots[number]) {
			continue
		}
		c.slots[number] = is
		if !slices.Contains(c.altered, g) {
			c.altered = append(c.altered, g)
		}
	}
	for i := range values {
		if number := m.signals[values[i].Index]; slices.Contains(c.altered, c.layout.signals[number].group) {
			for _, s := range c.layout.signals[number].sources {
				c.work(s, at)
			}
		}
	}
	changed := len(c.altered) > 0
	for _, g := range c.present {
		if slices.Contains(c.altered, g) {
			c.renew(g, at)
		} else if c.refresh(g, at) {
			changed = true
		}
	}
	return changed
}

// glance works out what a frame says that failed its check, and puts everything
// back: only [State.Last] shows it. It reports whether there was anything.
func (c *Car) glance(b *bus, n int, m *message, f *canbus.Frame, at int64) (shown bool) {
	values := c.dst[:b.plan.DecodeMessage(n, f, c.dst)]
	c.kept = c.kept[:0]
	for i := range values {
		number := m.signals[values[i].Index]
		c.kept = append(c.kept, c.slots[number])
		c.slots[number] = newSlot(&values[i])
	}
	for i := range values {
		for _, s := range c.layout.signals[m.signals[values[i].Index]].sources {
			if v, q, _ := c.layout.sources[s].value(c.slots); q == Good {
				c.values[s].shown, c.values[s].shownAt, shown = v, at, true
			}
		}
	}
	for i := range values {
		c.slots[m.signals[values[i].Index]] = c.kept[i]
	}
	return shown
}

func newSlot(v *dbc.Value) slot {
	return slot{raw: v.Raw, physical: v.Physical, seen: true, short: v.Short}
}

// equal compares bits, so that a signal which is NaN does not change for ever.
func (s slot) equal(o slot) bool { return s.raw == o.raw && s.seen == o.seen && s.short == o.short }

// refresh lets the group hold longer. Coming back after its time was over is a
// change: what was stale is good again.
func (c *Car) refresh(g int32, at int64) bool {
	k := c.cells[g]
	if k == nil || at-k.last.Load() > int64(c.layout.groups[g].fresh) {
		c.renew(g, at)
		return true
	}
	k.last.Store(at)
	return false
}

// renew begins a new cell for the group.
func (c *Car) renew(g int32, at int64) {
	k := &cell{since: at}
	if was := c.cells[g]; was != nil && at-was.last.Load() <= int64(c.layout.groups[g].fresh) {
		k.since = was.since
	}
	k.last.Store(at)
	c.cells[g] = k
}
