package uds

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// A Conn carries payloads to one control unit and back.
type Conn interface {
	// Send returns when the payload is on the bus. What came before is not the
	// answer and may be dropped.
	Send(ctx context.Context, payload []byte) error

	// Receive waits for a payload that begins within the time given, and then
	// until it ends. The error is [os.ErrDeadlineExceeded] if none began.
	Receive(ctx context.Context, within time.Duration) ([]byte, error)
}

// Limits are the times and counts of a conversation. Take [DefaultLimits].
type Limits struct {
	Timing   Timing        // until the unit says otherwise
	Margin   time.Duration // for the way there and back through gateways, on top of P2 and P2*
	Retry    time.Duration // before a request is repeated that found the unit busy
	Retries  int           // of one request
	Pendings int           // times that a unit may ask for more time
	Alive    time.Duration // between two TesterPresent
}

// DefaultLimits are those of ISO 14229-2, and ours where it has none.
var DefaultLimits = Limits{
	Timing: DefaultTiming, Margin: 50 * time.Millisecond,
	Retry: 100 * time.Millisecond, Retries: 3, Pendings: 10, Alive: 2 * time.Second,
}

// A Pace keeps requests apart, whoever sends them. A nil Pace does not.
type Pace struct {
	Gap time.Duration // between two requests, at least

	mu   sync.Mutex
	next time.Time
}

func (p *Pace) wait(ctx context.Context) error {
	if p == nil {
		return ctx.Err()
	}
	p.mu.Lock()
	at := time.Now()
	if at.Before(p.next) {
		at = p.next
	}
	p.next = at.Add(p.Gap)
	p.mu.Unlock()
	return sleep(ctx, time.Until(at))
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// An Answer is what a unit said: Payload, or, if that is nil, that it does not
// offer what was asked for. It may hold a VIN and does not show itself.
type Answer struct {
	Payload    []byte // with the service, 40 added
	NotOffered NRC    // 0 if Payload is there
}

// String is the service and the length, or the reason.
func (a Answer) String() string {
	if len(a.Payload) == 0 {
		return "not offered: " + a.NotOffered.String()
	}
	return fmt.Sprintf("%02X (%d octets)", a.Payload[0], len(a.Payload))
}

// Format writes String, whatever the verb.
func (a Answer) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, a.String()) }

// MarshalText is String.
func (a Answer) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// A Client asks one control unit, one request at a time. Its methods may be
// called from several goroutines.
type Client struct {
	conn   Conn
	limits Limits
	pace   *Pace
	turn   chan struct{} // holds a token while a request is on its way
	change chan struct{} // a token: another session

	mu      sync.Mutex // guards what follows
	session uint8
	timing  Timing
}

// NewClient makes a client that keeps pace, which may be shared or nil.
func NewClient(c Conn, l Limits, p *Pace) *Client {
	return &Client{
		conn: c, limits: l, pace: p, session: 1, timing: l.Timing,
		turn: make(chan struct{}, 1), change: make(chan struct{}, 1),
	}
}

// sendable reports whether b only reads. Sessions are the default and the
// extended one; in the programming session a unit stops its work.
func sendable(b []byte) bool {
	switch Service(b[0]) {
	case OBDCurrent, OBDStored, OBDPending, OBDVehicle, OBDPermanent, ReadDTCSID, ReadDataSID, TesterSID:
		return true
	case SessionSID:
		return len(b) == 2 && (b[1] == 1 || b[1] == 3)
	}
	return false
}

// Ask sends r and waits for the answer as long as the unit may take. The error
// is [ErrForbidden] (nothing was sent), [ErrSilent], [ErrPending], a [Negative],
// one of the connection or of ctx. [ReadData] with several identifiers succeeds
// if the unit has one of them.
func (c *Client) Ask(ctx context.Context, r Request) (Answer, error) {
	b := r.Encode()
	if _, err := DecodeRequest(b); err != nil || !sendable(b) {
		return Answer{}, fmt.Errorf("%w: service %02X", ErrForbidden, b[0])
	}
	if err := c.take(ctx); err != nil {
		return Answer{}, err
	}
	defer c.give()
	payload, err := c.retry(ctx, b)
	if n, ok := errors.AsType[Negative](err); ok && n.Code.NotOffered() {
		return Answer{NotOffered: n.Code}, nil
	}
	if err != nil {
		return Answer{}, err
	}
	if b[0] == byte(SessionSID) {
		if err := c.enter(payload); err != nil {
			return Answer{}, err
		}
	}
	return Answer{Payload: payload}, nil
}

func (c *Client) take(ctx context.Context) error {
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *Client) give() { <-c.turn }

func (c *Client) retry(ctx context.Context, b []byte) ([]byte, error) {
	for try := 0; ; try++ {
		if err := c.pace.wait(ctx); err != nil {
			return nil, err
		}
		if err := c.conn.Send(ctx, b); err != nil {
			return nil, err
		}
		if bytes.Equal(b, TesterPresent{Quiet: true}.Encode()) {
			return nil, nil
		}
		payload, err := c.wait(ctx, b)
		n, refused := errors.AsType[Negative](err)
		if !refused || n.Code != Busy || try >= c.limits.Retries {
			return payload, err
		}
		if err := sleep(ctx, c.limits.Retry); err != nil {
			return nil, err
		}
	}
}

// wait is for one answer to the request b.
func (c *Client) wait(ctx context.Context, b []byte) ([]byte, error) {
	timing := c.Timing()
	deadline := time.Now().Add(timing.P2 + c.limits.Margin)
	for pending := 0; ; {
		got, err := c.conn.Receive(ctx, time.Until(deadline))
		now := time.Now()
		switch n, refused := DecodeNegative(got); {
		case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
			return nil, ErrSilent
		case err != nil:
			return nil, err
		case answers(b, got):
			return got, nil
		case refused && n.Service == Service(b[0]) && n.Code == Pending:
			if pending++; pending > c.limits.Pendings {
				return nil, ErrPending
			}
			deadline = now.Add(timing.P2Star + c.limits.Margin)
		case refused && n.Service == Service(b[0]):
			return nil, n
		case !now.Before(deadline): // it talks without end, but not to us
			return nil, ErrSilent
		}
	}
}

// answers reports whether got is the positive answer to the request b and not
// one that came late for another.
func answers(b, got []byte) bool {
	if len(got) == 0 || got[0] != b[0]+positive {
		return false
	}
	switch Service(b[0]) {
	case OBDStored, OBDPending, OBDPermanent:
		return true
	case OBDCurrent:
		return len(got) > 1 && slices.Contains(b[1:], got[1])
	case ReadDataSID:
		for at := 1; at+1 < len(b) && len(got) > 2; at += 2 {
			if binary.BigEndian.Uint16(b[at:]) == binary.BigEndian.Uint16(got[1:]) {
				return true
			}
		}
		return false
	}
	return len(got) > 1 && got[1] == b[1]&^suppress
}

func (c *Client) enter(payload []byte) error {
	s, err := DecodeSession(payload)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session, c.timing = s.Session, s.Timing
	select {
	case c.change <- struct{}{}:
	default:
	}
	return nil
}

// Timing is how long the unit may take in its present session.
func (c *Client) Timing() Timing {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.timing
}

// Session is the session that the unit was last asked for and entered; 1 is the default.
func (c *Client) Session() uint8 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// KeepAlive says TesterPresent every 2 s while the session is not the default
// one, and nothing otherwise, until ctx ends or the connection fails. Without
// it a unit falls back to the default session 5 s after the last request.
func (c *Client) KeepAlive(ctx context.Context) error {
	timer := time.NewTimer(c.limits.Alive)
	defer timer.Stop()
	for {
		if c.Session() == 1 {
			timer.Stop()
		} else {
			timer.Reset(c.limits.Alive)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.change:
		case <-timer.C:
			if err := c.alive(ctx); err != nil {
				return err
			}
		}
	}
}

// alive waits for its turn, and the session may have ended meanwhile.
func (c *Client) alive(ctx context.Context) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.give()
	if c.Session() == 1 {
		return nil
	}
	_, err := c.retry(ctx, TesterPresent{Quiet: true}.Encode())
	return err
}
