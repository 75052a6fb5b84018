package agent

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/headunit-agent/headunit/agent/internal/vehicle"
	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/socketcan"
	"github.com/headunit-agent/headunit/canbus/socketcand"
)

type sender func(ctx context.Context, bus string, f canbus.Frame) error

// buses opens the devices behind the buses of a profile, again and again.
type buses struct {
	devices map[string]string
	profile *profile.Profile
	log     zerolog.Logger

	mu   sync.Mutex
	open map[string]canbus.Bus
}

// newBuses checks that every device belongs to a bus of the profile, and can be
// opened by this program at all.
func newBuses(devices map[string]string, p *profile.Profile, log zerolog.Logger) (*buses, error) {
	var names []string
	for _, b := range p.Buses {
		names = append(names, b.Name)
		if devices[b.Name] == "" {
			log.Warn().Str("bus", b.Name).Msg("no device: its signals will never be seen")
		}
	}
	for bus, device := range devices {
		if _, ok := p.Bus(bus); !ok {
			return nil, fmt.Errorf("the profile has no bus %q; it has %s", bus, strings.Join(names, ", "))
		}
		if kind, _, _ := strings.Cut(device, ":"); kind != "socketcand" && kind != "socketcan" {
			return nil, fmt.Errorf("%s: cannot open %q; write socketcan:can0, socketcand:127.0.0.1:29536/can0 or socketcand:unix:PATH", bus, device)
		}
	}
	return &buses{devices: devices, profile: p, log: log, open: map[string]canbus.Bus{}}, nil
}

func (b *buses) run(ctx context.Context, g *errgroup.Group, car *vehicle.Car) {
	for bus, device := range b.devices {
		g.Go(func() error {
			b.follow(ctx, bus, device, car)
			return nil
		})
	}
}

// follow keeps one bus open and read until ctx ends.
func (b *buses) follow(ctx context.Context, bus, device string, car *vehicle.Car) {
	again := backoff.NewExponentialBackOff()
	again.InitialInterval, again.MaxInterval = 100*time.Millisecond, 5*time.Second
	for ctx.Err() == nil {
		began := time.Now()
		err := b.once(ctx, bus, device, car)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > 10*time.Second {
			again.Reset()
		}
		wait := again.NextBackOff()
		b.log.Warn().Err(err).Str("bus", bus).Dur("again_in", wait).Msg("CAN")
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// device is a bus that knows what stands behind it.
type device interface {
	canbus.Bus
	Origin() canbus.Origin
}

func (b *buses) dial(ctx context.Context, bus, name string) (device, error) {
	kind, addr, _ := strings.Cut(name, ":")
	if kind == "socketcan" {
		return socketcan.Open(ctx, addr, socketcan.Options{Filters: b.filters(bus), FD: true})
	}
	return socketcand.Dial(ctx, addr)
}

// filters are what the kernel has to let through of a bus: what the profile
// reads, what the agent may send (to see itself, and others that send it), and
// the requests of somebody else's tester.
func (b *buses) filters(bus string) []socketcan.Filter {
	var f []socketcan.Filter
	for _, m := range b.profile.Messages {
		if m.Bus == bus {
			f = append(f, socketcan.Filter{ID: m.DBC.ID, Extended: m.DBC.Extended})
		}
	}
	for _, a := range b.profile.Allowed() {
		if a.Bus == bus {
			f = append(f, socketcan.Filter{ID: a.ID, Extended: a.Extended})
		}
	}
	for id := uint32(0x700); id <= 0x7E7; id++ {
		if id < 0x780 || id >= 0x7DF {
			f = append(f, socketcan.Filter{ID: id})
		}
	}
	return f
}

func (b *buses) once(ctx context.Context, bus, name string, car *vehicle.Car) error {
	dev, err := b.dial(ctx, bus, name)
	if err != nil {
		return err
	}
	b.log.Info().Str("bus", bus).Str("behind", string(dev.Origin())).Msg("CAN is open")
	b.set(bus, dev)
	defer b.set(bus, nil)
	return errors.Join(car.Follow(ctx, bus, dev), dev.Close())
}

func (b *buses) set(bus string, dev canbus.Bus) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[bus] = dev
}

// send hands a frame to the device of a bus. Only the actuator calls it, behind
// its guard.
func (b *buses) send(ctx context.Context, bus string, f canbus.Frame) error {
	b.mu.Lock()
	dev := b.open[bus]
	b.mu.Unlock()
	if dev == nil {
		return fmt.Errorf("%s: %w", bus, canbus.ErrClosed)
	}
	return dev.Send(ctx, f)
}
