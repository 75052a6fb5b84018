package socketcand

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/canbus"
)

// A Server lends one bus to the programs of this machine. Set the fields before
// Serve and leave them alone afterwards.
type Server struct {
	Name   string        // the bus name that clients must open: 1 to 16 visible characters
	Origin canbus.Origin // what a client of ours is told; empty: it is not told

	// Attach makes the end of the bus that one connection uses, with a queue for
	// that many frames. It is called when a client begins to listen or to send,
	// and the end is closed with the connection.
	Attach func(queue int) canbus.Bus

	// MaySend decides whether a client may send this frame; what it may not is
	// dropped and counted. Without it nothing may be sent. It is called from
	// several goroutines.
	MaySend func(canbus.Frame) bool

	Log zerolog.Logger

	connections atomic.Int64
	refused     atomic.Uint64
	dropped     atomic.Uint64
	untold      atomic.Uint64
	lost        atomic.Uint64
}

// Counts are running totals of a [Server], except for Connections.
type Counts struct {
	Connections int    // open now
	Refused     uint64 // connections beyond [MaxConnections]
	Dropped     uint64 // frames that a client was not allowed to send, or that the bus did not take
	Untold      uint64 // FD and remote frames kept from a client that knows classic data frames only
	Lost        uint64 // frames that clients missed because they read too slowly
}

// Counts are the totals until now.
func (s *Server) Counts() Counts {
	return Counts{
		int(s.connections.Load()), s.refused.Load(), s.dropped.Load(), s.untold.Load(), s.lost.Load(),
	}
}

// Serve accepts connections until ctx ends, and returns nil then, after the
// last one was closed. It refuses a listener that reaches beyond this machine.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	if !validName(s.Name) || s.Attach == nil {
		return fmt.Errorf("socketcand: a server needs a bus and a name of 1 to %d characters, not %q", MaxName, s.Name)
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		return fmt.Errorf("%w: %s", ErrAddress, a)
	}
	ctx, cancel := context.WithCancel(ctx)
	var open sync.WaitGroup
	defer open.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("socketcand: %w", err)
		case err != nil: // no descriptors left, or a client that gave up
			s.Log.Warn().Err(err).Msg("connection not accepted")
			if !pause(ctx, 100*time.Millisecond) {
				return nil
			}
			continue
		}
		if s.connections.Add(1) > MaxConnections {
			s.connections.Add(-1)
			s.refused.Add(1)
			s.Log.Warn().Int("most", MaxConnections).Msg("connection refused: too many")
			_ = conn.Close()
			continue
		}
		open.Go(func() {
			defer s.connections.Add(-1)
			s.serve(ctx, conn)
		})
	}
}

// pause waits; it is false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// serve speaks with one client until it leaves or ctx ends.
func (s *Server) serve(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c := &session{Server: s, ctx: ctx, cancel: cancel, conn: conn, flow: make(chan struct{}, 1)}
	s.Log.Info().Str("bus", s.Name).Msg("client connected")
	err := c.read()
	cancel()
	_ = conn.Close()
	c.wg.Wait()
	if c.bus != nil {
		_ = c.bus.Close()
	}
	s.Log.Info().Str("bus", s.Name).AnErr("why", err).Uint64("lost", c.told).Msg("client gone")
}
