// Ecalld places the emergency call: for a crash seen on the CAN bus or
// for SOS, with nothing but a modem. It needs no network, no agent, no disk and
// no configuration, and ends for none of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/cmd/ecalld/internal/ecall"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/modem"
)

// Where an installed unit has its files.
const (
	defaultConfig = "/etc/headunit/ecall.json"
	spareConfig   = "/usr/lib/headunit/ecall.json" // looked at beside the default only
	defaultStatus = "/run/headunit/ecall"
	defaultSocket = "/run/headunit/ecalld.sock"
	defaultState  = "/var/lib/ecall"
)

// options are the flags.
type options struct {
	config, status, socket, state string
	level                         zerolog.Level
}

func main() { os.Exit(start()) }

// start is main with an exit code: 0 after SIGTERM, 2 for a bad flag. There is
// none for a bad file.
func start() int {
	o, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // the flag package has said why
	}
	signal.Ignore(unix.SIGPIPE) // a log that nobody reads any more ends nothing: Go would die of it on stderr
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	lines, cancel := context.WithCancel(context.Background())
	out, written := newDropper(lines, os.Stderr)
	run(ctx, o, zerolog.New(out).Level(o.level).With().Timestamp().Logger())
	cancel()
	select {
	case <-written:
	case <-time.After(time.Second): // a stderr that nobody reads
	}
	return 0
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("ecalld", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() {
		fmt.Fprint(stderr, "ecalld places the emergency call for a crash signal or SOS.\n\nusage: ecalld [flags]\n\n")
		f.PrintDefaults()
	}
	f.StringVar(&o.config, "config", defaultConfig, "`file` compiled by headunitctl profile ecall; whatever is missing or broken in it has a default")
	f.StringVar(&o.status, "status", defaultStatus, "`file` that tells phase, lamp and faults, and never a place")
	f.StringVar(&o.socket, "socket", defaultSocket, "unix socket for requests: sos, cancel, breakdown, service, test, hangup, answer, ping")
	f.StringVar(&o.state, "state", defaultState, "`folder` of the call's journal; nothing is written there yet")
	level := f.String("log-level", "info", "debug, info, warn or error")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.level, err = zerolog.ParseLevel(*level); err != nil || *level == "" {
		err = fmt.Errorf("--log-level %q: use debug, info, warn or error", *level)
	} else if f.NArg() > 0 {
		err = fmt.Errorf("%q is too much: ecalld takes flags only", f.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(stderr, "ecalld: %v\n", err)
	}
	return o, err
}

// sinceBoot is CLOCK_BOOTTIME, which goes on in suspend and is set by nobody, as
// a time without monotonic reading.
func sinceBoot() time.Time {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return time.Now() // the kernel is older than this clock (2.6.39)
	}
	return time.Unix(t.Unix()).UTC()
}

// run puts the program together, in the order in which a call needs it: crash
// and SOS, then the modem, then everything else.
func run(ctx context.Context, o options, log zerolog.Logger) {
	config, sound := readConfig(places(o.config), log)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var others sync.WaitGroup
	in := make(chan any, 256)
	tell := func(v any) {
		select {
		case in <- v:
		case <-ctx.Done():
		}
	}
	detector := ecall.NewDetector(&config)
	for i, name := range detector.Buses() {
		l := &listener{number: i, name: name, log: log, now: sinceBoot, open: opener(detector.Messages(i)), wants: detector, tell: tell}
		others.Go(func() { l.run(ctx) })
	}
	m := openModem(ctx, config, log)
	status, pulse := newLatest[[]byte](), newLatest[struct{}]()
	l := &loop{
		log: log, now: sinceBoot, wall: time.Now, config: config, wrong: !sound, limits: config.Limits(), in: in, modem: m,
		crew: newCrew(ctx, m, log, tell), status: status.put, alive: func() { pulse.put(struct{}{}) }, detector: detector,
	}
	others.Go(func() { writeStatus(ctx, o.status, status, log) })
	d := &desk{path: o.socket, log: log, now: sinceBoot, tell: tell}
	others.Go(func() { d.run(ctx) })
	if config.GNSS != "" {
		others.Go(func() { receive(ctx, config.GNSS, log, tell) })
	}
	others.Go(func() { notifySystemd(ctx, os.Getenv("NOTIFY_SOCKET"), pulse, log) })
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		log.Warn().Err(err).Msg("memory is not locked")
	}
	log.Info().Int("buses", len(detector.Buses())).Msg("ready to call")
	l.run(ctx)
	cancel()
	atMost(time.Second, others.Wait) // a disk may keep who writes the status
	atMost(time.Second, func() {
		if err := m.Close(); err != nil {
			log.Warn().Err(err).Msg("modem")
		}
		l.crew.done.Wait()
	})
	log.Info().Msg("end")
}

// atMost waits for f, but not for ever: who does not end is not started again,
// and until then nobody calls.
func atMost(limit time.Duration, f func()) {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(limit):
	}
}

// places are where a configuration may be, the one to prefer first.
func places(path string) []string {
	if path == defaultConfig {
		return []string{path, spareConfig}
	}
	return []string{path}
}

// readConfig takes the best configuration there is, and of two that are as good
// the first.
func readConfig(paths []string, log zerolog.Logger) (ecall.Config, bool) {
	best, grade, wrong := ecall.Config{}, ecall.Grade(-1), []string(nil)
	for _, p := range paths {
		b, err := readSome(p)
		if err != nil {
			log.Warn().Err(err).Msg("configuration")
		}
		if c, g, w := ecall.Parse(b); g > grade {
			best, grade, wrong = c, g, w
		}
	}
	if len(wrong) > 0 {
		log.Warn().Strs("wrong", wrong).Msg("configuration: defaults in their place")
	}
	return best, len(wrong) == 0
}

// readSome reads no more than a configuration may have, whatever path is.
func readSome(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a FIFO would wait for its writer
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_ = f.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) // and for what that writes; a file has no deadline, and needs none
	return io.ReadAll(io.LimitReader(f, ecall.MaxConfig+1))
}

// openModem opens the modem, or that of the defaults where the configuration
// names none that could be.
func openModem(ctx context.Context, c ecall.Config, log zerolog.Logger) modem.Modem {
	m, err := modem.Open(ctx, modem.Config{Driver: c.Driver, Ports: c.Ports, Baud: c.Baud}, log)
	if err == nil {
		return m
	}
	log.Error().Err(err).Msg("modem: defaults in its place")
	c = ecall.Defaults()
	if m, err = modem.Open(ctx, modem.Config{Driver: c.Driver, Ports: c.Ports, Baud: c.Baud}, log); err != nil {
		panic(err) // the defaults are tested
	}
	return m
}
