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
	handshake = 5 * time.Second // for a server to say what it can, at most
	patience  = 100             // malformed messages in a row before the connection ends
	early     = 4096            // frames that may come before the handshake is over
)

// A Client is a bus that a socketcand server lends. One goroutine may receive
// while others send.
//
// A malformed message from the server is counted in Errors and passed over, as
// far as the next <. A message without end, or 100 malformed ones in a row,
// end the connection with [ErrProtocol]. What it holds is bounded: it reads
// from the server only while somebody receives.
type Client struct {
	conn   net.Conn
	fd     bool
	origin canbus.Origin
	in     *scanner      // used by Receive only
	first  []canbus.Rx   // came during the handshake; used by Receive only
	row    int           // malformed messages in a row; used by Receive only
	broken error         // the peer speaks something else; used by Receive only
	turn   chan struct{} // holds a token while nobody writes
	out    []byte        // of the owner of the token

	mu    sync.Mutex
	stats canbus.Stats
}

var _ canbus.Bus = (*Client)(nil)

// Dial opens a bus by address, "127.0.0.1:29536/can0" or "unix:/path/to/can0":
// there the socket is the whole path, and the bus is named by its last element.
// TCP goes to loopback only ([ErrAddress]). A peer that is no socketcand server
// is [ErrProtocol]; one that does not answer is given up after 5 s.
func Dial(ctx context.Context, addr string) (*Client, error) {
	server, bus, err := splitBus(addr)
	if err != nil {
		return nil, err
	}
	network, address, err := splitAddress(server)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c, err := newClient(ctx, conn, bus)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	return c, nil
}

func newClient(ctx context.Context, conn net.Conn, bus string) (*Client, error) {
	c := &Client{conn: conn, in: newScanner(conn, 64*1024), turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	c.stats.State = canbus.OK
	if err := c.open(ctx, bus); err != nil {
		return nil, err
	}
	return c, nil
}

// open is the handshake. A foreign server refuses fdmode, and stays usable.
func (c *Client) open(ctx context.Context, bus string) error {
	if r, err := c.expect(ctx); err != nil || r.kind != kindHi {
		return unexpected(r, err, textHi)
	}
	if r, err := c.ask(ctx, "< open "+bus+" >"); err != nil || r.kind != kindOK {
		return unexpected(r, err, textOK)
	}
	r, err := c.ask(ctx, "< fdmode >")
	if c.fd = r.kind == kindOK; c.fd {
		r, err = c.ask(ctx, "< origin >")
		switch {
		case err == nil && r.kind == kindOrigin:
			c.origin = canbus.Origin(r.text)
		case err != nil || r.kind != kindRefused:
			return unexpected(r, err, "< origin … >")
		}
		return nil
	}
	if err != nil || r.kind != kindRefused {
		return unexpected(r, err, textOK)
	}
	if r, err = c.ask(ctx, "< rawmode >"); err != nil || r.kind != kindOK {
		return unexpected(r, err, textOK)
	}
	return nil
}

func unexpected(r reply, err error, want string) error {
	switch {
	case err != nil:
		return err
	case r.kind == kindRefused:
		return fmt.Errorf("%w: %.60q", ErrRefused, r.text)
	}
	return fmt.Errorf("%w: it answers %q where %q was due", ErrProtocol, r.kind, want)
}

func (c *Client) ask(ctx context.Context, text string) (reply, error) {
	if err := c.write(ctx, func(out []byte) []byte { return append(out, text...) }); err != nil {
		return reply{}, err
	}
	return c.expect(ctx)
}

// expect is the next message that is no frame.
func (c *Client) expect(ctx context.Context) (reply, error) {
	for {
		r, err := c.next(ctx)
		switch {
		case err != nil || r.kind != kindFrame:
			return r, err
		case len(c.first) == early:
			return reply{}, fmt.Errorf("%w: it shows %d frames and gives no answer", ErrProtocol, early)
		}
		c.first = append(c.first, r.rx)
	}
}

// next is the next message that has a meaning.
func (c *Client) next(ctx context.Context) (reply, error) {
	for {
		r, err := c.buffered()
		if !errors.Is(err, errMore) {
			return r, err
		}
		if err := c.fill(ctx); err != nil {
			return reply{}, err
		}
	}
}

// buffered is the next message among what has been read; errMore asks for
// reading. Losses are counted here, and malformed messages.
func (c *Client) buffered() (reply, error) {
	for c.broken == nil {
		text, err := c.in.next()
		if errors.Is(err, errMore) {
			return reply{}, err
		}
		if errors.Is(err, errLong) {
			c.broken = fmt.Errorf("%w: a message of more than %d octets", ErrProtocol, MaxLine)
			break
		}
		r, ok := reply{}, false
		if err == nil {
			r, ok = parseReply(text)
		}
		switch {
		case !ok:
			c.malformed()
		case r.kind == kindLost:
			c.count(func(s *canbus.Stats) { s.Lost += r.lost })
		default:
			return r, nil
		}
	}
	return reply{}, c.broken
}

func (c *Client) malformed() {
	c.count(func(s *canbus.Stats) { s.Errors++ })
	if c.row++; c.row >= patience {
		c.broken = fmt.Errorf("%w: %d malformed messages in a row", ErrProtocol, c.row)
	}
}

// fill reads once more, for as long as ctx allows.
func (c *Client) fill(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	restore := until(ctx, c.conn.SetReadDeadline)
	err := c.in.fill()
	restore()
	if err == nil {
		return nil
	}
	if why := ctx.Err(); why != nil {
		return why
	}
	return c.end(err)
}

// until lets the deadline of a connection pass when ctx ends. The function it
// returns undoes that.
func until(ctx context.Context, deadline func(time.Time) error) (restore func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	passed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = deadline(time.Unix(1, 0))
		close(passed)
	})
	return func() {
		if !stop() {
			<-passed
			_ = deadline(time.Time{})
		}
	}
}

// end closes the connection and says why.
func (c *Client) end(err error) error {
	_ = c.Close()
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return canbus.ErrClosed
	}
	return fmt.Errorf("%w: %w", canbus.ErrClosed, err)
}

func (c *Client) count(change func(*canbus.Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.stats)
}

// Receive waits for a frame and returns as many as have arrived and fit. Error
// frames come with their class and no details.
func (c *Client) Receive(ctx context.Context, dst []canbus.Rx) (n int, err error) {
	if len(dst) == 0 {
		return 0, nil
	}
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if n, err = c.ready(dst); n > 0 {
			c.received(dst[:n])
			return n, nil
		}
		if !errors.Is(err, errMore) {
			return 0, c.end(err)
		}
		if err := c.fill(ctx); err != nil {
			return 0, err
		}
	}
}

// ready takes frames from what has been read.
func (c *Client) ready(dst []canbus.Rx) (n int, err error) {
	if len(c.first) > 0 {
		n = copy(dst, c.first)
		c.first = c.first[n:]
	}
	for n < len(dst) {
		r, err := c.buffered()
		switch {
		case err != nil:
			return n, err // errMore, or seen again by the next call
		case r.kind == kindFrame:
			dst[n] = r.rx
			n++
			c.row = 0
		default: // an answer to nothing
			c.malformed()
		}
	}
	return n, nil
}

func (c *Client) received(batch []canbus.Rx) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range batch {
		c.stats.State = stateAfter(c.stats.State, &batch[i])
		switch {
		case batch[i].Flags&canbus.Error != 0:
			c.stats.Errors++
			continue
		case batch[i].Own:
			c.stats.Sent++
		}
		c.stats.Received++
	}
}

// Classes of error frames (linux/can/error.h) that say which state the
// controller is in now.
const (
	classOff       = 0x040
	classRestarted = 0x100
)

func stateAfter(s canbus.BusState, rx *canbus.Rx) canbus.BusState {
	switch {
	case s == canbus.Gone:
	case rx.Flags&canbus.Error == 0, rx.ID&classRestarted != 0:
		return canbus.OK // who receives is on the bus
	case rx.ID&classOff != 0:
		return canbus.Off
	}
	return s
}

// Send hands f to the server. A server that is not ours tells nothing about it
// afterwards, and carries classic data frames only ([ErrClassicOnly]). If ctx
// ends in the middle of a message, the connection is closed.
func (c *Client) Send(ctx context.Context, f canbus.Frame) error {
	switch err := f.Check(); {
	case err != nil:
		return err
	case f.Flags&canbus.Error != 0:
		return fmt.Errorf("%w: an error frame cannot be sent", canbus.ErrFrame)
	case !c.fd && f.Flags&^canbus.Extended != 0:
		return ErrClassicOnly
	}
	err := c.write(ctx, func(out []byte) []byte { return appendSend(out, &f) })
	if err == nil && !c.fd {
		c.count(func(s *canbus.Stats) { s.Sent++ })
	}
	return err
}

func (c *Client) write(ctx context.Context, text func([]byte) []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-c.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { c.turn <- struct{}{} }()
	c.out = text(c.out[:0])
	restore := until(ctx, c.conn.SetWriteDeadline)
	n, err := c.conn.Write(c.out)
	restore()
	switch why := ctx.Err(); {
	case err == nil:
		return nil
	case why != nil && n == 0:
		return why
	case why != nil:
		return c.end(why)
	}
	return c.end(err)
}

// Origin is what the server says stands behind the bus; empty if it does not
// say, as foreign servers do not.
func (c *Client) Origin() canbus.Origin { return c.origin }

// FD reports whether the server is one of ours: it carries FD and remote
// frames, confirms what was sent and tells losses.
func (c *Client) FD() bool { return c.fd }

// Stats are the totals since Dial. Sent counts frames confirmed, where the
// server confirms.
func (c *Client) Stats() canbus.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}

// Close ends the connection; a Receive that waits returns [canbus.ErrClosed].
func (c *Client) Close() error {
	c.count(func(s *canbus.Stats) { s.State = canbus.Gone })
	if err := c.conn.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
