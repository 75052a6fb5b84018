package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/socketcand"
)

const (
	recordQueue = 1 << 16          // frames that wait for the disk
	patience    = time.Second      // for a client that does not read, where the recording waits for clients
	farewell    = 10 * time.Second // for clients to read the end of the recording
)

// run shares the device until ctx ends, or the recording where that is asked for.
func run(ctx context.Context, cfg config, log zerolog.Logger) error {
	rec, err := checkRecording(ctx, cfg.device, cfg.iface, cfg.name)
	if err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that ctx has ended is no error
		}
		return err
	}
	h := &hub{bus: canbus.NewMemory(), clients: make(map[*client]struct{}), listened: make(chan struct{})}
	disk, err := openRecord(cfg, h, log)
	if err != nil {
		return err
	}
	l, err := socketcand.Listen(cfg.listen)
	if err != nil {
		disk.close()
		if errors.Is(err, socketcand.ErrAddress) {
			return usagef("--listen: %w", err)
		}
		return fmt.Errorf("cannot listen: %w", err)
	}
	server := &socketcand.Server{
		Name: cfg.name, Origin: canbus.Recording, Attach: h.attach, MaySend: cfg.maySend, Log: log,
	}
	log.Info().Str("recording", rec.file).Uint64("frames", rec.frames).Str("interface", rec.iface).
		Float64("speed", rec.speed).Stringer("listen", l.Addr()).Str("bus", cfg.name).Msg("serving")

	ctx, stop := context.WithCancel(ctx)
	var serving sync.WaitGroup
	var serveErr error
	serving.Go(func() {
		defer stop()
		serveErr = server.Serve(ctx, l)
	})
	err = h.play(ctx, cfg, rec, log)
	if err == nil {
		h.drain(ctx)
	}
	stop()
	serving.Wait()
	err = errors.Join(err, serveErr, disk.close())
	log.Info().Interface("counts", server.Counts()).Msg("ended")
	return err
}

func (c *config) maySend(f canbus.Frame) bool { return !c.listenOnly || c.allow[keyOf(&f)] }

// A hub is the bus and the clients on it.
type hub struct {
	bus  *canbus.Memory
	disk *canbus.End // that of the record; nil without one

	mu       sync.Mutex
	clients  map[*client]struct{}
	heard    bool
	listened chan struct{} // closed when the first client is on the bus
}

// A client is one connection's end of the bus.
type client struct {
	*canbus.End
	hub   *hub
	queue int
}

func (h *hub) attach(queue int) canbus.Bus {
	c := &client{End: h.bus.Attach(queue), hub: h, queue: queue}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients[c] = struct{}{}
	if !h.heard {
		h.heard = true
		close(h.listened)
	}
	return c
}

// Close takes the client off the bus, after it was told everything.
func (c *client) Close() error {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	delete(c.hub.clients, c)
	return c.End.Close()
}

// play plays the recording and returns when it is over and the program should
// end: an error, or nil if ctx ended.
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

// A record writes to disk what is on the bus. nil records nothing.
type record struct {
	bus  *canbus.Memory
	end  *canbus.End
	file *os.File
	done chan error
}

// openRecord appends to the file: a restart must not cost what was recorded. It
// is for its owner only, for a recording tells where a car was and whose it is.
func openRecord(cfg config, h *hub, log zerolog.Logger) (*record, error) {
	if cfg.record == "" {
		return nil, nil
	}
	f, err := os.OpenFile(cfg.record, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, usageError{err}
	}
	r := &record{bus: h.bus, end: h.bus.Attach(recordQueue), file: f, done: make(chan error, 1)}
	h.disk = r.end
	go func() {
		err := r.write(cfg.name)
		if err != nil { // the bus goes on without
			log.Error().Err(err).Msg("recording to disk ended")
		}
		r.done <- err
	}()
	return r, nil
}

// write goes on until the bus ends.
func (r *record) write(name string) error {
	defer r.end.Close()
	batch, out := make([]canbus.Rx, 256), make([]byte, 0, 64*1024)
	for {
		n, err := r.end.Receive(context.Background(), batch)
		if errors.Is(err, canbus.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		out = out[:0]
		for _, rx := range batch[:n] {
			l := canbus.Line{At: rx.At, HasTime: true, Interface: name, Frame: rx.Frame}
			out = append(l.Append(out), '\n')
		}
		if _, err := r.file.Write(out); err != nil {
			return err
		}
	}
}

// close ends the bus, and writes what was on it until then.
func (r *record) close() error {
	if r == nil {
		return nil
	}
	_ = r.bus.Close()
	err := errors.Join(<-r.done, r.file.Sync(), r.file.Close())
	if lost := r.end.Stats().LostByUs; lost > 0 {
		err = errors.Join(err, fmt.Errorf("%d frames were not recorded: the disk is too slow", lost))
	}
	if err != nil {
		return fmt.Errorf("--record: %w", err)
	}
	return nil
}
