package mqtt

import (
	"net"
	"sync"
	"time"
)

// writeTimeout bounds every write: paho 1.5.1 sets none for pings and
// acknowledgements.
const writeTimeout = 10 * time.Second

// A guarded connection hands paho only packets that its [guard] has passed,
// and is closed at the first other one.
type guarded struct {
	net.Conn
	guard *guard

	in    []byte // received and not judged yet
	pass  []byte // judged and not read yet
	chunk [2048]byte

	outMu sync.Mutex
	out   []byte // the packet being written

	once  sync.Once
	ended chan struct{}
	cause error // of the end; read after ended is closed
}

func guardConn(c net.Conn, topics []string) *guarded {
	return &guarded{Conn: c, guard: newGuard(topics), ended: make(chan struct{})}
}

// finish closes the connection and keeps the first reason.
func (c *guarded) finish(why error) {
	c.once.Do(func() {
		c.cause = why
		_ = c.Conn.Close()
		close(c.ended)
	})
}

// Close ends the connection; paho calls it, and so do we.
func (c *guarded) Close() error {
	c.finish(net.ErrClosed)
	return nil
}

// Read returns octets of packets that were judged as a whole.
func (c *guarded) Read(b []byte) (int, error) {
	for len(c.pass) == 0 {
		if err := c.receive(); err != nil {
			c.finish(err)
			return 0, err
		}
	}
	n := copy(b, c.pass)
	c.pass = c.pass[n:]
	return n, nil
}

func (c *guarded) receive() error {
	n, err := c.Conn.Read(c.chunk[:])
	c.in = append(c.in, c.chunk[:n]...)
	now := time.Now()
	for {
		size, bad := split(c.in, maxPacket)
		if bad == nil && size == 0 {
			break
		}
		if bad == nil {
			bad = c.guard.from(c.in[:size], now)
		}
		if bad != nil {
			c.pass = nil
			return bad
		}
		c.pass = append(c.pass, c.in[:size]...)
		c.in = append(c.in[:0], c.in[size:]...)
	}
	if len(c.pass) > 0 {
		return nil // the error comes again
	}
	return err
}

// Write notes what goes out before it does, so that no answer can be earlier.
func (c *guarded) Write(b []byte) (int, error) {
	c.outMu.Lock()
	defer c.outMu.Unlock()
	c.out = append(c.out, b...)
	for {
		size, err := split(c.out, maxOwn)
		if err != nil {
			c.finish(err)
			return 0, err
		}
		if size == 0 {
			break
		}
		c.guard.sent(c.out[:size])
		c.out = append(c.out[:0], c.out[size:]...)
	}
	if err := c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		c.finish(err)
		return 0, err
	}
	n, err := c.Conn.Write(b)
	if err != nil {
		c.finish(err)
	}
	return n, err
}

// SetWriteDeadline does nothing: each Write has its own, and paho would lift
// it. Its deadline for the handshake comes by SetDeadline and stays.
func (c *guarded) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline bounds reading; see [guarded.SetWriteDeadline].
func (c *guarded) SetDeadline(t time.Time) error { return c.Conn.SetReadDeadline(t) }
