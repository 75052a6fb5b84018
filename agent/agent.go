// Package agent is the only place where headunitd is put together: [Run] opens
// what the [Config] names, starts one reader for each CAN bus, one goroutine for
// the pipe, one for the local API, and one loop that owns every state.
//
//	up    canbus.Frame ─► vehicle.State ─► privacy.Record │ privacy.Cleared ─► outbox ─► pipe
//	down  pipe ─► Sealed ─► Verified ─► Authorized ─► journal ─► frames ─► shown on the bus ─► result
package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/headunit-agent/headunit/agent/internal/command"
	"github.com/headunit-agent/headunit/agent/internal/hmi"
	"github.com/headunit-agent/headunit/agent/internal/store"
	"github.com/headunit-agent/headunit/agent/internal/vehicle"
	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/agent/wire"
)

// Config is all that the agent is told from outside.
type Config struct {
	State       string            // folder of what must outlive the process, 0700
	Profile     string            // the vehicle profile, YAML
	Buses       map[string]string // bus of the profile to device name
	Parameters  map[string]int64  // of this car, entered at installation
	Uplink      string            // uplinkd's socket; empty: none
	API         string            // socket of the local API, made here, 0600
	CallStatus  string            // ecalld's status file
	CallRequest string            // ecalld's request socket
	Broker      string            // what uplinkd connects to
	Cell        string            // the shard in every topic

	// A car is sent something only if its profile was proven for it, and the
	// installation says so; else the agent listens.
	Send      bool // to a car whose profile is proven: operate
	Simulated bool // to the reference car
}

// ErrConfig is in every error that a better configuration would mend: a profile
// with mistakes, a bus that it does not name.
var ErrConfig = errors.New("configuration")

// Run runs the agent until ctx ends, which is no error, or something happens
// that it cannot go on with.
func Run(ctx context.Context, cfg Config, log zerolog.Logger) error {
	return run(ctx, cfg, log, func(*loop) {})
}

func run(ctx context.Context, cfg Config, log zerolog.Logger, ready func(*loop)) error {
	p, warnings, err := profile.Load(cfg.Profile)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	for _, w := range warnings {
		log.Warn().Str("at", w.Error()).Msg("profile")
	}
	if err := wire.CheckCell(cfg.Cell); err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	kept, err := store.Open(cfg.State)
	if err != nil {
		return err
	}
	defer kept.Close()
	id, err := loadIdentity(kept)
	if err != nil {
		return err
	}

	car := vehicle.New(p, bootTime)
	buses, err := newBuses(cfg.Buses, p, log)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	var send sender
	if may := p.Proven == profile.ProvenReference && cfg.Simulated || p.Proven == profile.ProvenOperate && cfg.Send; may {
		send = buses.send
	} else {
		log.Info().Str("proven", p.Proven).Msg("this car is only listened to")
	}
	actuator := command.NewActuator(p, cfg.Parameters, send)
	if m := actuator.Missing(); send != nil && m != "" {
		log.Warn().Str("parameter", m).Msg("not entered: operations that need it are not offered")
	}

	events := make(chan event, 64)
	l := newLoop(cfg, p, car, kept, id, actuator, events, log)
	listener, err := listen(cfg.API)
	if err != nil {
		return err
	}
	server := hmi.Server(api{ctx, cfg.CallRequest, events}, log)

	g, ctx := errgroup.WithContext(ctx)
	// These outlive ctx: through them the loop sends the rest state and says goodbye.
	ways, stop := context.WithCancel(context.WithoutCancel(ctx))
	l.stop = stop
	buses.run(ways, g, car)
	if cfg.Uplink != "" {
		g.Go(func() error { return l.up.run(ways) })
	}
	g.Go(func() error { return watchCall(ctx, cfg.CallStatus, events) })
	g.Go(func() error { return l.run(ctx) })
	g.Go(func() error {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("local API: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn().Err(err).Msg("systemd was not told")
	}
	log.Info().Str("profile", p.ID).Str("version", version).Msg("ready")
	ready(l)
	return g.Wait()
}

// listen makes the API's socket, which only this user may open. A socket that a
// killed process left is removed; anything else in its place is not.
func listen(path string) (net.Listener, error) {
	if i, err := os.Lstat(path); err == nil && i.Mode().Type() == os.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("local API: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("local API: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// seconds since t, not negative.
func seconds(now, t time.Time) uint32 {
	if t.IsZero() || now.Before(t) {
		return 0
	}
	return uint32(now.Sub(t) / time.Second)
}
