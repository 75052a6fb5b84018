package isotp

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// mailbox is how many payloads wait for a receiver; the oldest is dropped.
const mailbox = 32

// A box holds what came for one [Conn] or [Group].
type box struct {
	mail  []letter
	ready chan struct{} // a token: mail, or a reception that ended
}

type letter struct {
	peer    Address
	payload []byte
	err     error
}

// tell puts a copy of what came into every box of the line.
func (l *line) tell(payload []byte, err error) {
	for _, b := range l.boxes {
		if len(b.mail) == mailbox {
			b.mail = slices.Delete(b.mail, 0, 1)
		}
		b.mail = append(b.mail, letter{payload: slices.Clone(payload), err: err, peer: l.r.from})
		select {
		case b.ready <- struct{}{}:
		default:
		}
	}
}

// A Conn talks to one control unit. It may be used by one goroutine at a time.
type Conn struct{ g *Group }

// A Group talks to several control units at once: it asks all of them at a
// functional address and answers each one's first frames at its own. It may be
// used by one goroutine at a time.
type Group struct {
	e     *Endpoint
	to    Address
	peers []Address
	box   *box
	one   bool // peer
	keep  bool // what was not fetched when something is sent
}

// Open makes a connection to one control unit, for the side that asks.
func (e *Endpoint) Open(a Address) (*Conn, error) {
	g, err := e.open(a, []Address{a})
	if err != nil {
		return nil, err
	}
	g.one = true
	return &Conn{g}, nil
}

// Listen is Open for the side that answers: what it received and did not fetch
// yet is kept when it sends.
func (e *Endpoint) Listen(a Address) (*Conn, error) {
	c, err := e.Open(a)
	if err == nil {
		c.g.keep = true
	}
	return c, err
}

// OpenGroup makes a connection to peers that are asked all at once at to, whose
// Receive does not matter.
func (e *Endpoint) OpenGroup(to Address, peers ...Address) (*Group, error) {
	return e.open(to, slices.Clone(peers))
}

func (e *Endpoint) open(to Address, peers []Address) (*Group, error) {
	for _, a := range append([]Address{to}, peers...) {
		if err := a.Check(); err != nil {
			return nil, err
		}
	}
	g := &Group{e: e, to: to, peers: peers, box: &box{ready: make(chan struct{}, 1)}}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range peers {
		l := e.lines[a]
		if l == nil {
			r, err := e.conf.Receiver(a)
			if err != nil {
				return nil, err
			}
			l = &line{r: r}
			e.lines[a] = l
		}
		l.boxes = append(l.boxes, g.box)
	}
	return g, nil
}

// Close ends the connection; what was received is lost.
func (g *Group) Close() error {
	g.e.mu.Lock()
	defer g.e.mu.Unlock()
	for _, a := range g.peers {
		if l := g.e.lines[a]; l != nil {
			l.boxes = slices.DeleteFunc(l.boxes, func(b *box) bool { return b == g.box })
			if len(l.boxes) == 0 {
				delete(g.e.lines, a)
			}
		}
	}
	return nil
}

// Send sends payload and returns when the last of its frames is on the bus. To
// a group only what fits one frame can be sent. What was received before and
// not fetched cannot be the answer, and is dropped, but on a connection made by
// [Endpoint.Listen].
func (g *Group) Send(ctx context.Context, payload []byte) error {
	if !g.one && !g.e.conf.Fits(g.to, len(payload)) {
		return fmt.Errorf("%w: a functional request of %d octets", ErrLength, len(payload))
	}
	o, err := g.e.begin(g, slices.Clone(payload))
	if err != nil {
		return err
	}
	select {
	case err = <-o.done:
		return err
	case <-ctx.Done():
		g.e.abort(o)
		return ctx.Err()
	}
}

func (e *Endpoint) begin(g *Group, payload []byte) (*out, error) {
	s, err := e.conf.Sender(g.to, payload)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return nil, e.err
	}
	if slices.ContainsFunc(e.outs, func(o *out) bool { return o.s.to == g.to }) {
		return nil, ErrBusy
	}
	if !g.keep {
		g.box.mail = nil
	}
	o := &out{s: s, done: make(chan error, 1)}
	e.outs = append(e.outs, o)
	e.send(time.Now(), o, Event{Kind: Begin})
	e.wake()
	return o, nil
}

func (e *Endpoint) abort(o *out) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.outs = slices.DeleteFunc(e.outs, func(other *out) bool { return other == o })
}

// Receive waits for the next payload: until within for its first frame, then as
// long as its frames keep coming. The error is [os.ErrDeadlineExceeded] if
// nothing began in time, one of this package's if a payload was lost on the
// way, else ctx's or the bus's.
//
// The peer is the number of the sender in the list that the group was opened with.
func (g *Group) Receive(ctx context.Context, within time.Duration) (peer int, payload []byte, err error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	late := within <= 0
	for {
		if l, ok, coming := g.look(); ok {
			return slices.Index(g.peers, l.peer), l.payload, l.err
		} else if late && !coming {
			return -1, nil, os.ErrDeadlineExceeded
		}
		select {
		case <-g.box.ready:
		case <-timer.C:
			late = true
		case <-ctx.Done():
			return -1, nil, ctx.Err()
		case <-g.e.over:
			return -1, nil, g.e.err
		}
	}
}

// look takes the oldest letter; coming says that one will follow by itself.
func (g *Group) look() (l letter, ok, coming bool) {
	g.e.mu.Lock()
	defer g.e.mu.Unlock()
	if len(g.box.mail) > 0 {
		l = g.box.mail[0]
		g.box.mail = slices.Delete(g.box.mail, 0, 1)
		return l, true, false
	}
	for _, a := range g.peers {
		if l := g.e.lines[a]; l != nil && l.r.Receiving() {
			return letter{}, false, true
		}
	}
	return letter{}, false, false
}

// Close ends the connection; what was received is lost.
func (c *Conn) Close() error { return c.g.Close() }

// Send sends payload, as [Group.Send] does, of any length.
func (c *Conn) Send(ctx context.Context, payload []byte) error { return c.g.Send(ctx, payload) }

// Receive waits for the next payload, as [Group.Receive] does.
func (c *Conn) Receive(ctx context.Context, within time.Duration) ([]byte, error) {
	_, payload, err := c.g.Receive(ctx, within)
	return payload, err
}
