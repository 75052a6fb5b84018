// Package outbox holds what waits to leave the car: only what the gate cleared
// gets in, and it is judged again when it goes. What is not acknowledged is sent
// again on the next connection; what is of least importance goes first when
// there is too much. It lives in memory: a restart of the agent empties it.
package outbox

import (
	"slices"
	"time"

	"github.com/headunit-agent/headunit/privacy"
)

// Limits bound what waits.
type Limits struct {
	Octets   int // of payload, in all
	InFlight int // sent and not acknowledged
}

// DefaultLimits are those of the product.
var DefaultLimits = Limits{Octets: 8 << 20, InFlight: 8}

// lives says how long a class may wait. A class that is not listed waits for the
// connection it was made for and no longer.
var lives = map[privacy.Class]time.Duration{
	privacy.Result:    24 * time.Hour,
	privacy.Theft:     7 * 24 * time.Hour,
	privacy.RuleAlert: 7 * 24 * time.Hour,
	privacy.Trip:      30 * 24 * time.Hour,
	privacy.Health:    30 * 24 * time.Hour,
	privacy.Erasure:   365 * 24 * time.Hour,
}

// weights says what goes first when there is too much: the smaller. What has no
// weight is not dropped for space.
var weights = map[privacy.Class]int{
	privacy.Status: 1, privacy.Health: 2, privacy.Trip: 3, privacy.Theft: 4, privacy.RuleAlert: 4, privacy.Result: 5,
}

// An Item is one message on its way, with the number that its acknowledgment
// will name.
type Item struct {
	N uint64
	privacy.Cleared
}

type entry struct {
	Item
	since  time.Time
	flying bool
}

// A Box is an outbox. The zero value takes nothing; make one with [New]. It
// belongs to one goroutine.
type Box struct {
	limits  Limits
	entries []entry // in the order of arrival
	last    uint64
	octets  int
	dropped uint64
}

// New is an empty outbox.
func New(l Limits) *Box { return &Box{limits: l} }

// Put lets c wait. What does not fit pushes out the oldest of what matters
// least, which may be c itself. It returns the number by which c will be
// acknowledged, 0 if c holds nothing.
func (b *Box) Put(c privacy.Cleared, now time.Time) uint64 {
	if c.Empty() {
		return 0
	}
	b.last++
	b.entries = append(b.entries, entry{Item: Item{b.last, c}, since: now})
	b.octets += len(c.Payload())
	for b.octets > b.limits.Octets {
		worst := -1
		for i, e := range b.entries {
			if w := weights[e.Class()]; w > 0 && (worst < 0 || w < weights[b.entries[worst].Class()]) {
				worst = i
			}
		}
		if worst < 0 {
			break
		}
		b.remove(worst)
		b.dropped++
	}
	return b.last
}

// First lets a message that waits go before all others.
func (b *Box) First(n uint64) {
	if i := slices.IndexFunc(b.entries, func(e entry) bool { return e.N == n }); i >= 0 {
		e := b.entries[i]
		b.entries = slices.Insert(slices.Delete(b.entries, i, i+1), 0, e)
	}
}

// Next is the oldest message that may be sent now: it is marked as sent. What p
// no longer lets out is destroyed on the way.
func (b *Box) Next(p privacy.Policy, now time.Time) (Item, bool) {
	b.Purge(p)
	flying := 0
	for _, e := range b.entries {
		if e.flying {
			flying++
		}
	}
	if flying >= b.limits.InFlight {
		return Item{}, false
	}
	for i := 0; i < len(b.entries); i++ {
		e := &b.entries[i]
		if life, ok := lives[e.Class()]; ok && now.Sub(e.since) > life {
			b.remove(i)
			b.dropped++
			i--
			continue
		}
		if e.flying {
			continue
		}
		it := e.Item
		if e.QoS() == 0 { // nobody will acknowledge it
			b.remove(i)
		} else {
			e.flying = true
		}
		return it, true
	}
	return Item{}, false
}

// Done takes out what has been acknowledged.
func (b *Box) Done(n uint64) {
	if i := slices.IndexFunc(b.entries, func(e entry) bool { return e.N == n && e.flying }); i >= 0 {
		b.remove(i)
	}
}

// Lost says that the connection is gone: what was not acknowledged waits again,
// in its old order, and what was only for that connection is dropped.
func (b *Box) Lost() {
	b.keep(func(e entry) bool { _, ok := lives[e.Class()]; return ok })
	for i := range b.entries {
		b.entries[i].flying = false
	}
}

// Purge destroys what p does not let out.
func (b *Box) Purge(p privacy.Policy) { b.keep(func(e entry) bool { return p.Still(e.Cleared) }) }

// Stats are the number of messages and octets that wait, and how many messages
// have been dropped for age or space.
func (b *Box) Stats() (messages, octets int, dropped uint64) {
	return len(b.entries), b.octets, b.dropped
}

func (b *Box) keep(wanted func(entry) bool) {
	b.entries = slices.DeleteFunc(b.entries, func(e entry) bool {
		if wanted(e) {
			return false
		}
		b.octets -= len(e.Payload())
		return true
	})
}

func (b *Box) remove(i int) {
	b.octets -= len(b.entries[i].Payload())
	b.entries = slices.Delete(b.entries, i, i+1)
}
