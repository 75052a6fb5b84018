package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/agent/pipe"
	"github.com/headunit-agent/headunit/cmd/uplinkd/internal/mqtt"
)

// Limits of what waits for headunitd.
const (
	waitingMessages = 16  // the newest is dropped
	waitingFrames   = 256 // of all kinds: beyond it nobody reads
	peerTime        = 10 * time.Second
)

// badBroker is the reason of a link whose broker cannot be used at all.
const badBroker = "uplink.broker"

var errDeaf = errors.New("headunitd does not read")

// A peer is one connection of headunitd, and the link it asked for.
type peer struct {
	conn *net.UnixConn
	cfg  config
	log  zerolog.Logger
	out  outbox

	links sync.WaitGroup // running
	end   context.CancelFunc
	link  *mqtt.Link
	asked pipe.Open // for link
	sink  *sink
	done  chan struct{} // of link
}

func newPeer(c *net.UnixConn, cfg config, log zerolog.Logger) *peer {
	p := &peer{conn: c, cfg: cfg, log: log, end: func() {}}
	p.out.wake = make(chan struct{}, 1)
	return p
}

// run serves until the socket or ctx ends. The broker then misses us without a
// DISCONNECT, so that it publishes the will.
func (p *peer) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = p.conn.Close() })
	var writer sync.WaitGroup
	writer.Go(func() {
		if err := p.write(ctx); err != nil {
			p.log.Error().Err(err).Msg("frame to headunitd failed")
		}
		cancel()
	})
	err := p.read(ctx)
	stopped := ctx.Err() != nil
	cancel()
	stop()
	_ = p.conn.Close()
	p.end()
	p.links.Wait()
	writer.Wait()
	if stopped || errors.Is(err, io.EOF) {
		return nil //nolint:nilerr // the end of the peer, or of this program, is no error
	}
	return err
}

func (p *peer) read(ctx context.Context) error {
	buf := make([]byte, pipe.MaxFrame+1) // one more, so that a longer packet shows
	for {
		n, err := p.conn.Read(buf)
		if err != nil {
			return err
		}
		f, err := pipe.DecodeDown(buf[:n])
		if err != nil {
			return err
		}
		p.do(ctx, f)
	}
}

// do carries out a frame and waits for nothing.
func (p *peer) do(ctx context.Context, f pipe.Down) {
	switch f := f.(type) {
	case pipe.Open:
		p.open(ctx, f)
	case pipe.Publish:
		if p.link != nil {
			p.link.Publish(f.N, f.Topic, f.QoS, f.Payload)
		}
	case pipe.Close:
		if p.link != nil {
			p.link.Close(f.Last)
			p.link, p.end = nil, func() {} // from here on it ends by itself, and soon
		}
	case pipe.NewKey, pipe.Install, pipe.Wipe:
		p.log.Warn().Type("frame", f).Msg("not built: there is no TLS yet")
	}
}

// open begins a link; one that is open is dropped, one that is closing ends
// first. The same wish again brings a new will for the next attempt, and leaves
// the link alone.
func (p *peer) open(ctx context.Context, f pipe.Open) {
	if p.link != nil && f.Broker == p.asked.Broker && f.Cell == p.asked.Cell && f.Name == p.asked.Name {
		p.link.SetWill(f.Will)
		return
	}
	if p.link != nil {
		p.end()
	}
	p.asked = f
	if p.sink != nil {
		p.sink.dead.Store(true)
	}
	p.link, p.sink = nil, &sink{out: &p.out, log: p.log}
	if _, err := mqtt.Check(f.Broker); err != nil {
		p.log.Error().Err(err).Msg("no uplink")
		p.sink.State(false, badBroker)
		return
	}
	link := mqtt.New(mqtt.Config{
		Broker: f.Broker, ClientID: f.ClientName(), Prefix: f.Prefix(), Subscribe: pipe.DownTopics(),
		Bye: "up/bye", Will: f.Will, KeepAlive: p.cfg.keepAlive, Limits: p.cfg.limits,
	}, p.sink, p.log)
	ctx, end := context.WithCancel(context.WithoutCancel(ctx)) // a goodbye outlives the pipe
	before, done := p.done, make(chan struct{})
	p.link, p.end, p.done = link, end, done
	p.links.Go(func() {
		defer close(done)
		defer end()
		if before != nil {
			<-before
		}
		link.Run(ctx)
	})
}

func (p *peer) write(ctx context.Context) error {
	for {
		select {
		case <-p.out.wake:
		case <-ctx.Done():
			return nil
		}
		for {
			f, err := p.out.take()
			if err != nil {
				return err
			}
			if f == nil {
				break
			}
			b, err := pipe.EncodeUp(f)
			if err != nil { // the guard lets no such message through
				p.log.Error().Err(err).Msg("frame dropped")
				continue
			}
			if err := p.conn.SetWriteDeadline(time.Now().Add(peerTime)); err != nil {
				return ended(ctx, err)
			}
			if _, err := p.conn.Write(b); err != nil {
				return ended(ctx, err)
			}
		}
	}
}

// ended hides the error of a socket that was closed on purpose or by the peer.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) || errors.Is(err, unix.EPIPE) {
		return nil //nolint:nilerr // as it says
	}
	return err
}

// A sink passes on what one link says, until the next link begins.
type sink struct {
	out  *outbox
	log  zerolog.Logger
	dead atomic.Bool
	last *pipe.State // of the goroutine that runs the link
}

// State is told once, however often the same attempt fails.
func (s *sink) State(up bool, reason string) {
	now := pipe.State{Up: up, Reason: reason}
	if s.last == nil || *s.last != now {
		s.last = &now
		s.put(now)
	}
}

func (s *sink) Published(n uint64) { s.put(pipe.Published{N: n}) }

func (s *sink) Message(m mqtt.Message) {
	s.put(pipe.Message{Topic: m.Topic, QoS: m.QoS, Retained: m.Retained, Payload: m.Payload})
}

func (s *sink) put(f pipe.Up) {
	if s.dead.Load() {
		return
	}
	if n := s.out.put(f); n != 0 && n&(n-1) == 0 { // 1, 2, 4, 8 …: rarely
		s.log.Warn().Uint64("dropped", n).Msg("headunitd is slow: message dropped")
	}
}

// An outbox holds what headunitd has not read yet, in order. Putting never
// waits.
type outbox struct {
	mu       sync.Mutex
	frames   []pipe.Up
	messages int
	dropped  uint64
	full     bool
	wake     chan struct{}
}

// put returns how many messages were dropped so far if it dropped this one.
func (o *outbox) put(f pipe.Up) (dropped uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, message := f.(pipe.Message)
	switch {
	case message && o.messages == waitingMessages:
		o.dropped++
		return o.dropped
	case len(o.frames) == waitingFrames:
		o.full = true
	default:
		o.frames = append(o.frames, f)
		if message {
			o.messages++
		}
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return 0
}

// take returns the oldest frame, nil if there is none.
func (o *outbox) take() (pipe.Up, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.full:
		return nil, errDeaf
	case len(o.frames) == 0:
		return nil, nil
	}
	f := o.frames[0]
	o.frames = o.frames[1:]
	if _, is := f.(pipe.Message); is {
		o.messages--
	}
	return f, nil
}
