package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/socketcan"
	"github.com/headunit-agent/headunit/canbus/socketcand"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/ecall"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/modem"
)

// A lost device is opened again after retryLeast, then after twice as long each
// time, up to retryMost.
const (
	retryLeast = 100 * time.Millisecond
	retryMost  = 5 * time.Second
)

// backoff waits before the next attempt and says how long to wait after that.
// It reports false when ctx ended.
func backoff(ctx context.Context, d time.Duration) (time.Duration, bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return min(2*d, retryMost), true
	case <-ctx.Done():
		return d, false
	}
}

// openBus opens a device by its name and says what stands behind it. A kernel
// interface is asked for the wanted messages and no others.
func openBus(ctx context.Context, name string, wanted []ecall.Address) (canbus.Bus, modem.Trigger, error) {
	kind, rest, _ := strings.Cut(name, ":")
	switch kind {
	case "socketcand":
		c, err := socketcand.Dial(ctx, rest)
		if err != nil {
			return nil, modem.Trigger{}, err
		}
		return c, modem.CANTrigger(c.Origin(), rest[strings.LastIndexByte(rest, '/')+1:]), nil
	case "socketcan":
		o := socketcan.Options{FD: true, ListenOnly: true}
		for _, a := range wanted {
			o.Filters = append(o.Filters, socketcan.Filter(a))
		}
		c, err := socketcan.Open(ctx, rest, o)
		if err != nil {
			return nil, modem.Trigger{}, err
		}
		return c, modem.CANTrigger(c.Origin(), rest), nil
	}
	return nil, modem.Trigger{}, fmt.Errorf("CAN device of kind %q is not known; known: socketcan, socketcand", kind)
}

// opener is openBus for one bus.
func opener(wanted []ecall.Address) func(context.Context, string) (canbus.Bus, modem.Trigger, error) {
	return func(ctx context.Context, name string) (canbus.Bus, modem.Trigger, error) {
		return openBus(ctx, name, wanted)
	}
}

// A listener reads one bus for the loop, whatever happens to the bus.
type listener struct {
	number int
	name   string
	log    zerolog.Logger
	now    func() time.Time
	open   func(ctx context.Context, name string) (canbus.Bus, modem.Trigger, error)
	wants  *ecall.Detector
	tell   func(any)
}

func (l *listener) run(ctx context.Context) {
	wait, ok := retryLeast, true
	for quiet := false; ok; wait, ok = backoff(ctx, wait) {
		bus, trigger, err := l.open(ctx, l.name)
		if err != nil {
			if !quiet {
				l.log.Warn().Err(err).Int("bus", l.number).Msg("no CAN bus")
			}
			quiet = true
			continue
		}
		l.log.Info().Int("bus", l.number).Bool("physical", trigger.Physical()).Msg("CAN bus")
		l.tell(busUp{l.number, trigger})
		wait, quiet = retryLeast, false
		err = l.read(ctx, bus)
		_ = bus.Close() // it is gone anyway
		if ctx.Err() != nil {
			return
		}
		l.log.Warn().Err(err).Int("bus", l.number).Msg("CAN bus is lost")
		l.tell(busDown{l.number})
	}
}

func (l *listener) read(ctx context.Context, bus canbus.Bus) error {
	batch := make([]canbus.Rx, 256)
	for {
		n, err := bus.Receive(ctx, batch)
		if err != nil {
			return err
		}
		at := l.now()
		var list []canbus.Frame
		for i := range batch[:n] {
			if !batch[i].Own && l.wants.Wants(l.number, &batch[i].Frame) {
				list = append(list, batch[i].Frame)
			}
		}
		if list != nil {
			l.tell(frames{l.number, at, list})
		}
	}
}
