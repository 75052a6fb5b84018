package backend

import (
	"context"

	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/cmd/internal/sim/mqtt"
)

// An Up is a message of a car, as whoever listens gets it: the envelope as the
// car signed it, for a phone believes no backend.
type Up struct {
	Car      wire.Name
	Kind     wire.Kind // 0: a delta
	Envelope []byte
}

type listener struct {
	of   wire.Name // zero: every car
	give func(Up) bool
}

// queue is how many messages wait for whoever listens.
const queue = 256

// Watch returns what a car says from now on, or with the zero name what every
// car says: signed messages whose signature was right, and deltas. A result that
// comes twice is heard twice, for whoever asked again wants the answer again.
// Who listens fetches fast: beyond 256 messages the newest is dropped. Stop ends
// it and closes the channel.
func (b *Backend) Watch(name wire.Name) (from <-chan Up, stop func()) {
	to := make(chan Up, queue)
	return to, b.listen(name, func(u Up) bool { return offer(to, u) }, func() { close(to) })
}

// Listen is [Backend.Watch] as a phone wants it: signed envelopes alone.
func (b *Backend) Listen(name wire.Name) (envelopes <-chan []byte, stop func()) {
	to := make(chan []byte, queue)
	return to, b.listen(name, func(u Up) bool { return u.Kind == 0 || offer(to, u.Envelope) }, func() { close(to) })
}

func offer[T any](to chan<- T, v T) bool {
	select {
	case to <- v:
		return true
	default:
		return false
	}
}

func (b *Backend) listen(of wire.Name, give func(Up) bool, end func()) (stop func()) {
	l := &listener{of, give}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard[l] = struct{}{}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if _, ok := b.heard[l]; ok {
			delete(b.heard, l)
			end()
		}
	}
}

// tell hands a message to those who listen. The caller holds the lock.
func (b *Backend) tell(u Up) {
	for l := range b.heard {
		if (l.of == u.Car || l.of == wire.Name{}) && !l.give(u) {
			b.counts.Unheard++
		}
	}
}

// take judges one message from the broker.
func (b *Backend) take(ctx context.Context, m mqtt.Message) {
	log := b.cfg.Log.With().Str("topic", m.Topic).Logger()
	cell, name, suffix, err := wire.ParseTopic(m.Topic)
	b.mu.Lock()
	c := b.cars[name]
	switch {
	case err != nil || cell != b.cfg.Cell || suffix.Down() || c == nil:
		b.counts.Unknown++
	case m.Retained:
		b.counts.Stale++
	case len(m.Payload) > suffix.Max():
		b.counts.Malformed++
	case suffix == wire.UpStatus && wire.IsDelta(m.Payload):
		b.takeDelta(c, m.Payload)
	default:
		s, kind := b.verified(c, suffix, m.Payload)
		if s == nil {
			break
		}
		v, hello := judge(c, kind, s.Payload())
		b.count(v)
		if v == fresh || v == repeated && kind == wire.KindResult {
			b.tell(Up{name, kind, m.Payload})
		}
		if hello == nil {
			break
		}
		to := c.seal
		b.mu.Unlock() // publishing waits for the broker
		if err := b.greet(ctx, *hello, to); err != nil {
			log.Error().Err(err).Msg("hello not answered")
		}
		return
	}
	counts := b.counts
	b.mu.Unlock()
	log.Debug().Any("counts", counts).Msg("taken")
}

// verified returns the message if this car signed it and the topic carries it.
func (b *Backend) verified(c *car, suffix wire.Suffix, payload []byte) (*wire.Signed, wire.Kind) {
	s, err := wire.ParseSigned(payload)
	if err != nil {
		b.counts.Malformed++
		return nil, 0
	}
	kind, ok := wire.KindOf(s.Payload())
	if !ok || !suffix.Carries(kind) {
		b.counts.Malformed++
		return nil, 0
	}
	if s.Kid() != c.kid || s.Verify(c.sign, kind) != nil {
		b.counts.Forged++
		return nil, 0
	}
	return s, kind
}

func (b *Backend) takeDelta(c *car, payload []byte) {
	d, err := wire.DecodeDelta(payload)
	if err != nil {
		b.count(malformed)
		return
	}
	v := c.report(d.Number, d.Now, false, d.Readings, d.Gaps)
	b.count(v)
	if v == fresh {
		b.tell(Up{c.name, 0, payload})
	}
}

// verdict says what a message of the car is worth.
type verdict uint8

const (
	malformed verdict = iota // or naming another car: signed for nothing that we know
	stale                    // of another epoch or an older connection
	repeated                 // taken before
	fresh
)

func (b *Backend) count(v verdict) {
	switch v {
	case malformed:
		b.counts.Malformed++
	case stale:
		b.counts.Stale++
	case repeated:
		b.counts.Repeated++
	case fresh:
		b.counts.Messages++
	}
}

// judge takes what the car has signed, and returns the hello that wants an
// answer: also one that came before, for the answer may have been lost.
func judge(c *car, kind wire.Kind, payload []byte) (verdict, *wire.Hello) {
	switch kind {
	case wire.KindHello:
		h, err := wire.DecodeHello(payload)
		if err != nil || h.Car != c.name {
			return malformed, nil
		}
		v := c.meet(h)
		if v == stale {
			return v, nil
		}
		return v, &h
	case wire.KindGoodbye:
		if g, err := wire.DecodeGoodbye(payload); err == nil && g.Car == c.name {
			return c.part(g), nil
		}
	case wire.KindStatus:
		if s, err := wire.DecodeStatus(payload); err == nil && s.Car == c.name {
			return c.status(s), nil
		}
	case wire.KindEvent:
		if e, err := wire.DecodeEvent(payload); err == nil && e.Car == c.name {
			return c.seen(e.ID), nil
		}
	case wire.KindResult:
		if r, err := wire.DecodeResult(payload); err == nil && r.Car == c.name {
			c.answered(r.ID)
			return c.seen(digest(payload)), nil
		}
	case wire.KindSession:
		if s, err := wire.DecodeSession(payload); err == nil && s.Car == c.name {
			c.answered(s.Nonce)
			c.answered(s.Command)
			return c.seen(digest(payload)), nil
		}
	}
	return malformed, nil // a kind that this backend does not know yet
}

// digest names octets that bear no id of their own.
func digest(payload []byte) wire.ID {
	h := wire.HashOf(payload)
	return wire.ID(h[:16])
}
