package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/socketcand"
)

const (
	patience = time.Second      // for a client that does not read, where the recording waits for clients
	farewell = 10 * time.Second // for clients to read the end of the recording
)

// run shares the device until ctx ends, or the recording where that is asked for.
func run(ctx context.Context, cfg config, log zerolog.Logger) error {
	rec, err := checkDevice(ctx, cfg)
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that ctx has ended is no error
		}
		return err
	}
	h := newHub()
	disk, err := openRecord(cfg, h, log)
	if err != nil {
		return err
	}
	l, err := socketcand.Listen(cfg.listen)
	if err != nil {
		_ = disk.close()
		if errors.Is(err, socketcand.ErrAddress) {
			return usagef("--listen: %w", err)
		}
		return fmt.Errorf("cannot listen: %w", err)
	}
	defer l.Close() // again, where it was never served
	server := &socketcand.Server{Name: cfg.name, Attach: h.attach, MaySend: cfg.maySend, Log: log}

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var serving sync.WaitGroup
	var serveErr error
	serve := func(what *zerolog.Event, origin canbus.Origin) {
		what.Str("origin", string(origin)).Stringer("listen", l.Addr()).Str("bus", cfg.name).Msg("serving")
		server.Origin = origin
		serving.Go(func() {
			defer stop()
			serveErr = server.Serve(ctx, l)
		})
	}
	if rec != nil {
		serve(log.Info().Str("recording", rec.file).Uint64("frames", rec.frames).Str("interface", rec.iface).
			Float64("speed", rec.speed), canbus.Recording)
		err = h.play(ctx, cfg, rec, log)
	} else {
		err = h.share(ctx, cfg.device.live, log, func(o canbus.Origin) {
			serve(log.Info().Str("device", cfg.device.live.name).Bool("listen_only", cfg.device.live.listen), o)
		})
	}
	stop()
	serving.Wait()
	err = errors.Join(err, serveErr, disk.close())
	h.last(log.Info().Interface("counts", server.Counts())).Msg("ended")
	return err
}

// checkDevice reads the recording, if it is one.
func checkDevice(ctx context.Context, cfg config) (*recording, error) {
	if cfg.device.live != nil {
		return nil, nil
	}
	return checkRecording(ctx, cfg.device, cfg.iface, cfg.name)
}

func (c *config) maySend(f canbus.Frame) bool { return !c.listenOnly || c.allow[keyOf(&f)] }

// A hub is the bus and the clients on it.
type hub struct {
	bus  *canbus.Memory
	disk *canbus.End // that of the record; nil without one
	link *link       // to a live device; nil for a recording; set before clients come

	mu       sync.Mutex
	clients  map[*client]struct{}
	heard    bool
	listened chan struct{} // closed when the first client is on the bus
}

func newHub() *hub {
	return &hub{bus: canbus.NewMemory(), clients: make(map[*client]struct{}), listened: make(chan struct{})}
}

// last adds to the last line of the log what passed between bus and device.
func (h *hub) last(e *zerolog.Event) *zerolog.Event {
	if h.link != nil {
		e.Interface("device", h.link.totals()).Uint64("unclaimed", h.link.unclaimed)
	}
	return e
}

// A client is one connection's end of the bus.
type client struct {
	*canbus.End
	hub   *hub
	queue int
	greet bool   // it is to be told that the bus is off; used by Receive only
	lost  uint64 // what the device had lost when the client came
}

func (h *hub) attach(queue int) canbus.Bus {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := &client{End: h.bus.Attach(queue), hub: h, queue: queue}
	if h.link != nil {
		c.greet, c.lost = h.link.off, h.link.lost.Load()
	}
	h.clients[c] = struct{}{}
	if !h.heard {
		h.heard = true
		close(h.listened)
	}
	return c
}

// Receive begins with the state of the bus, if that is off.
func (c *client) Receive(ctx context.Context, dst []canbus.Rx) (int, error) {
	if c.greet && len(dst) > 0 {
		c.greet = false
		dst[0] = canbus.Rx{Frame: errorFrame(classOff), At: time.Now()}
		return 1, nil
	}
	return c.End.Receive(ctx, dst)
}

// Send gives f to the device. The client sees it again when the device says that
// it went out, and so does everybody else.
func (c *client) Send(ctx context.Context, f canbus.Frame) error {
	if c.hub.link != nil {
		return c.hub.link.send(ctx, c, f)
	}
	return c.End.Send(ctx, f)
}

// Stats are those of this client, and with them what the device lost since it came.
func (c *client) Stats() canbus.Stats {
	s := c.End.Stats()
	if c.hub.link != nil {
		s.Lost += c.hub.link.lost.Load() - c.lost
	}
	return s
}

// Close takes the client off the bus, after it was told everything.
func (c *client) Close() error {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	delete(c.hub.clients, c)
	return c.End.Close()
}

// play plays the recording and returns when it is over and the program should
// end: an error, or nil if ctx ended or every client has read it.
func (h *hub) play(ctx context.Context, cfg config, rec *recording, log zerolog.Logger) error {
	if cfg.wait {
		select {
		case <-h.listened:
		case <-ctx.Done():
			return nil
		}
	}
	from := h.bus.Attach(1)
	defer from.Close()
	played := uint64(0)
	log.Info().Msg("recording begins")
	err := rec.play(ctx, func(rx canbus.Rx) error {
		if rec.speed == 0 {
			h.room(ctx)
		}
		played++
		return from.Relay(rx)
	})
	log.Info().Uint64("frames", played).Msg("recording ended")
	if ctx.Err() != nil {
		return nil
	}
	if err == nil && !cfg.exit {
		<-ctx.Done()
	}
	if err == nil {
		h.drain(ctx)
	}
	return err
}

// room waits until every client has space, so that a recording played without a
// pace loses nothing; but for one that does not read at all it does not wait.
func (h *hub) room(ctx context.Context) {
	if h.roomy() {
		return
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !h.roomy() && time.Now().Before(end) && ctx.Err() == nil; {
		<-tick.C
	}
}

func (h *hub) roomy() bool {
	if h.disk != nil && h.disk.Queued() > recordQueue/2 {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		if c.Queued() > c.queue/2 {
			return false
		}
	}
	return true
}

// drain ends the bus and waits until the clients have read what they have queued.
func (h *hub) drain(ctx context.Context) {
	_ = h.bus.Close()
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for h.crowded() && ctx.Err() == nil {
		<-tick.C
	}
}

func (h *hub) crowded() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients) > 0
}
