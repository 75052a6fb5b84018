package socketcand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

const (
	queueLen = 4096 // frames that wait for one client
	batchLen = 128  // frames in one write

	// settle is how long the first frame waits after the answer to rawmode:
	// python-can compares what one read returned with that answer.
	settle = 20 * time.Millisecond

	// asking is how long the first frame waits after the answer to fdmode, or
	// until the client says something more: its question for the origin shall
	// be answered before a flood of frames.
	asking = 250 * time.Millisecond

	// parting is how long a client is listened to after the end of the bus: it
	// may be in the middle of its opening, and would take silence for a failure.
	parting = 250 * time.Millisecond
)

// A session is one connection. Two goroutines and one for each cyclic frame
// work for it: read takes requests and answers them, pump writes frames.
type session struct {
	*Server
	ctx    context.Context
	cancel context.CancelFunc
	conn   net.Conn
	wg     sync.WaitGroup
	opened bool          // used by read only
	flow   chan struct{} // holds a token when frames need not be held back any more
	bus    canbus.Bus    // nil before the client listens or sends; set once, by read, with mu held

	mu   sync.Mutex // one message after the other; guards what follows
	mode verb       // "" before open, then bcmmode, rawmode or fdmode
	hold time.Time  // no frame before; zero: none is held back
	out  []byte
	told uint64 // losses reported
	bcm  bcm
}

func (c *session) read() error {
	if err := c.answer(textHi); err != nil {
		return err
	}
	in := newScanner(c.conn, 4*MaxLine)
	for {
		text, err := in.next()
		switch {
		case errors.Is(err, errMore):
			if err := in.fill(); err != nil {
				return err
			}
			continue
		case errors.Is(err, errLong):
			return fmt.Errorf("%w: a message of more than %d octets", ErrProtocol, MaxLine)
		case err != nil:
			err = c.answer(textUnknown)
		default:
			err = c.take(text)
		}
		if err != nil {
			return err
		}
	}
}

// take does what one message asks for. An error ends the connection.
func (c *session) take(text []byte) error {
	r, ok := parseRequest(text)
	switch {
	case r.verb == verbOpen && !c.opened:
		if !ok || r.name != c.Name {
			_ = c.answer(textNoBus)
			return fmt.Errorf("there is no bus %.16q", r.name)
		}
		c.opened = true
		return c.change(verbBcmmode, textOK)
	case !ok, r.verb == verbOpen, !c.opened && r.verb != verbEcho:
		return c.answer(textUnknown)
	}
	if r.verb != verbFdmode && r.verb != verbRawmode {
		defer c.release()
	}
	switch r.verb {
	case verbEcho:
		return c.answer(textEcho)
	case verbOrigin:
		if c.mode != verbFdmode || c.Origin == "" {
			return c.answer(textUnknown)
		}
		return c.answer("< origin " + string(c.Origin) + " >")
	case verbBcmmode:
		return c.change(r.verb, textOK)
	case verbRawmode, verbFdmode:
		return c.change(r.verb, textOK)
	case verbFdsend:
		if c.mode != verbFdmode {
			return c.answer(textUnknown)
		}
		fallthrough
	case verbSend:
		if c.bus == nil { // mu may be held for as long as the client does not read
			c.mu.Lock()
			c.attach()
			c.mu.Unlock()
		}
		c.send(r.frame)
		return nil
	}
	return c.takeBcm(&r)
}

// attach puts the client on the bus. It expects mu: what happens on the bus from
// now on reaches the client, and after what is written before mu is released.
func (c *session) attach() {
	if c.bus == nil {
		c.bus = c.Attach(queueLen)
		c.wg.Go(c.pump)
	}
}

// change sets the mode and says so. A client that asked for fdmode keeps its
// texts when it then asks for rawmode, as others must.
func (c *session) change(mode verb, text string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if mode != verbBcmmode {
		c.attach()
	}
	switch {
	case mode == verbRawmode && c.mode == verbFdmode:
		c.release()
	case mode == verbRawmode:
		c.mode = mode
		c.holdFor(settle)
	case mode == verbFdmode:
		c.mode = mode
		c.holdFor(asking)
	default:
		c.mode = mode
	}
	return c.write(append(c.out[:0], text...))
}

func (c *session) answer(text string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write(append(c.out[:0], text...))
}

// write expects mu.
func (c *session) write(out []byte) error {
	c.out = out
	if len(out) == 0 {
		return nil
	}
	_, err := c.conn.Write(out)
	return err
}

// holdFor expects mu.
func (c *session) holdFor(d time.Duration) {
	select {
	case <-c.flow: // of something said before
	default:
	}
	c.hold = time.Now().Add(d)
}

// release lets frames go that are held back. It does without mu,
// which may be held for as long as the client does not read.
func (c *session) release() {
	select {
	case c.flow <- struct{}{}:
	default:
	}
}

func (c *session) send(f canbus.Frame) {
	if c.MaySend == nil || !c.MaySend(f) || c.bus.Send(c.ctx, f) != nil {
		c.dropped.Add(1)
	}
}

// pump writes what the bus shows until the connection or the bus ends. When the
// bus ends, requests that are on their way are answered still.
func (c *session) pump() {
	batch := make([]canbus.Rx, batchLen)
	for {
		n, err := c.bus.Receive(c.ctx, batch)
		if err != nil {
			if c.ctx.Err() == nil {
				c.Log.Info().Err(err).Msg("the bus has ended")
				_ = c.conn.SetReadDeadline(time.Now().Add(parting))
			}
			return
		}
		stats := c.bus.Stats() // now: what is lost from here on comes after batch
		if err := c.tell(batch[:n], stats.Lost+stats.LostByUs); err != nil {
			if c.ctx.Err() == nil && !errors.Is(err, io.EOF) {
				c.Log.Info().Err(err).Msg("client does not take what it asked for")
			}
			c.cancel()
			return
		}
	}
}

// tell writes a batch, and before it what was lost; lost is the total until then.
func (c *session) tell(batch []canbus.Rx, lost uint64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wait := time.Until(c.hold); !c.hold.IsZero() && wait > 0 {
		c.mu.Unlock()
		c.holdBack(wait)
		c.mu.Lock()
	}
	c.hold = time.Time{}
	out := c.out[:0]
	if n := lost - c.told; n > 0 {
		c.told += n
		c.lost.Add(n)
		if c.mode == verbFdmode {
			out = appendLost(out, n)
		}
	}
	for i := range batch {
		out = c.append(out, &batch[i])
	}
	return c.write(out)
}

func (c *session) holdBack(most time.Duration) {
	t := time.NewTimer(most)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.flow:
	case <-c.ctx.Done():
	}
}

func (c *session) append(out []byte, rx *canbus.Rx) []byte {
	switch {
	case c.mode == verbFdmode:
		return appendFD(out, rx)
	case rx.Own: // the protocol has no word for it
		return out
	case c.mode != verbRawmode && !c.bcm.wants(rx):
		return out
	}
	out, ok := appendFrame(out, rx)
	if !ok {
		c.untold.Add(1)
	}
	return out
}
