// Uplinkd is a pipe between a unix socket and an MQTT broker, and knows
// no meaning.
//
// It holds nothing that opens a car: no CAN, no state, no key of an owner. What
// a hostile broker can reach through it is this process.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/cmd/uplinkd/internal/mqtt"
)

// The exit codes that systemd knows (RestartPreventExitStatus=2).
const (
	exitFailed = 1
	exitUsage  = 2
)

// A config is what the flags say.
type config struct {
	socket    string
	level     zerolog.Level
	keepAlive time.Duration
	limits    mqtt.Limits
}

func main() { os.Exit(program(os.Args[1:], os.Stderr)) }

func program(args []string, stderr io.Writer) int {
	cfg, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return exitUsage
	}
	log := zerolog.New(stderr).Level(cfg.level).With().Timestamp().Logger()
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	if err := run(ctx, cfg, log); err != nil {
		log.Error().Err(err).Msg("uplinkd ends")
		return exitFailed
	}
	return 0
}

// parse reads the flags; what is wrong has been said on stderr.
func parse(args []string, stderr io.Writer) (config, error) {
	cfg := config{limits: mqtt.DefaultLimits()}
	set := flag.NewFlagSet("uplinkd", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&cfg.socket, "socket", "/run/headunit/uplink.sock", "`path` of the socket that headunitd connects to")
	set.TextVar(&cfg.level, "log-level", zerolog.InfoLevel, "`level`: debug, info, warn or error")
	set.DurationVar(&cfg.keepAlive, "keepalive", time.Minute, "MQTT keep-alive, 1s to 120s")
	set.DurationVar(&cfg.limits.Min, "backoff-min", cfg.limits.Min, "shortest wait before connecting again")
	set.DurationVar(&cfg.limits.Max, "backoff-max", cfg.limits.Max, "longest wait before connecting again")
	if err := set.Parse(args); err != nil {
		return cfg, err
	}
	var err error
	switch {
	case set.NArg() > 0:
		err = fmt.Errorf("argument %q is not wanted: uplinkd takes flags only", set.Arg(0))
	case cfg.socket == "":
		err = errors.New("--socket is empty: name the socket")
	case cfg.keepAlive < time.Second || cfg.keepAlive > 2*time.Minute:
		err = fmt.Errorf("--keepalive is %v: take 1s to 120s", cfg.keepAlive)
	case cfg.limits.Min <= 0 || cfg.limits.Max < cfg.limits.Min:
		err = fmt.Errorf("--backoff-min is %v and --backoff-max is %v: take a positive one, and a larger or equal one", cfg.limits.Min, cfg.limits.Max)
	}
	if err != nil {
		fmt.Fprintln(stderr, "uplinkd:", err)
	}
	return cfg, err
}

func run(ctx context.Context, cfg config, log zerolog.Logger) error {
	l, err := listen(cfg.socket)
	if err != nil {
		return err
	}
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn().Err(err).Msg("systemd cannot be told")
	}
	log.Info().Str("socket", cfg.socket).Msg("uplinkd listens")
	return serve(ctx, cfg, l, log)
}
