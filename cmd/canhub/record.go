package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/canbus"
)

const recordQueue = 1 << 16 // frames that wait for the disk

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
			l := canbus.Line{At: rx.At, HasTime: true, Interface: name, Frame: masked(rx.Frame)}
			out = append(l.Append(out), '\n')
		}
		if _, err := r.file.Write(out); err != nil {
			return err
		}
	}
}

// masked is f without what no recording may hold: the secret of the component
// protection, which the VW group's VIN_01 carries beside the first part of the
// VIN (switch 0, octets 1 to 4; spec: can.md 9.1).
func masked(f canbus.Frame) canbus.Frame {
	const vin01, switchBits = 0x6B4, 0x03
	if f.ID != vin01 || f.Flags&(canbus.Extended|canbus.Error) != 0 || f.Data[0]&switchBits != 0 {
		return f
	}
	clear(f.Data[1:5])
	return f
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
