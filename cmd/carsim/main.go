// Carsim is the simulated car as a program: its buses, its GNSS receiver
// and its modem as sockets and ptys in a folder, and a socket that takes orders.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/cmd/internal/sim/car"
)

func main() { os.Exit(command(os.Args[1:], os.Stderr)) }

// command is main without the process: 0 after a signal or --help, 2 for a bad
// flag, 1 for the rest.
func command(args []string, stderr io.Writer) int {
	cfg, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "carsim: %v\n", err)
		return 2
	}
	log := zerolog.New(stderr).Level(cfg.level).With().Timestamp().Logger()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	switch err := run(ctx, cfg, log); {
	case errors.Is(err, car.ErrOptions):
		fmt.Fprintf(stderr, "carsim: %v\n", err)
		return 2
	case err != nil:
		log.Error().Err(err).Msg("stopped")
		return 1
	}
	return 0
}

// A config is what the command line says.
type config struct {
	dir   string
	car   car.Options
	level zerolog.Level
}

const usage = `carsim is a simulated car.

Usage: carsim --run DIR [flags]

It makes in DIR:
  can0 can1 can2   the buses drive, body and fd (socketcand on unix sockets)
  control          takes orders, one a line, each answered by ok or error; say help
  gnss.port        the loopback port on which gpsd's protocol is spoken
  modem0 modem1    links to the AT ports of the modem

Flags:
`

func parse(args []string, stderr io.Writer) (config, error) {
	var cfg config
	set := flag.NewFlagSet("carsim", flag.ContinueOnError)
	set.SetOutput(io.Discard) // said by command, once
	set.StringVar(&cfg.dir, "run", "", "folder for the sockets; made if it is missing")
	signature := set.Uint("signature", car.DefaultSignature, "what a lock request must carry, 1 to 2047")
	set.StringVar(&cfg.car.VIN, "vin", car.DefaultVIN, "vehicle identification number")
	level := set.String("log", "info", "least level logged: debug, info, warn, error")
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stderr, usage)
			set.SetOutput(stderr)
			set.PrintDefaults()
		}
		return cfg, err
	}
	var err error
	switch cfg.level, err = zerolog.ParseLevel(*level); {
	case err != nil:
		return cfg, fmt.Errorf("--log %q is no level: say debug, info, warn or error", *level)
	case set.NArg() > 0:
		return cfg, fmt.Errorf("%q is too much: see carsim --help", set.Arg(0))
	case cfg.dir == "":
		return cfg, errors.New("--run is missing: name a folder for the sockets")
	case *signature < 1 || *signature > 2047:
		return cfg, fmt.Errorf("--signature %d is not within 1 to 2047", *signature)
	}
	cfg.car.Signature = uint16(*signature)
	return cfg, nil
}
