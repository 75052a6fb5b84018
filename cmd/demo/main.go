// Demo is the first five minutes: it starts an in-memory broker, a reference
// backend and a phone, and as child processes of their own binaries the
// simulated car and the three real daemons. It serves one plain page, or plays
// the story without hands (--story). Everything stays on loopback.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

func main() { os.Exit(command(os.Args[1:], os.Stdout, os.Stderr)) }

type config struct {
	story   bool
	listen  string
	bin     string
	keep    string
	verbose bool
}

const usage = `demo shows a car, its head unit and a phone, on one page.

Usage: demo [flags]

`

func parse(args []string, stderr io.Writer) (config, error) {
	var c config
	set := flag.NewFlagSet("demo", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.BoolVar(&c.story, "story", false, "play the story without hands; exit 0 only if every step was observed")
	set.StringVar(&c.listen, "listen", "127.0.0.1:8200", "loopback address of the page; port 0 takes a free one")
	set.StringVar(&c.bin, "bin", "", "folder with the built programs; empty: build them with go")
	set.StringVar(&c.keep, "keep", "", "folder for sockets, state and logs, kept afterwards; empty: a temporary one")
	set.BoolVar(&c.verbose, "v", false, "what the programs log, on standard error")
	err := set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stderr, usage)
		set.SetOutput(stderr)
		set.PrintDefaults()
	case err == nil && set.NArg() > 0:
		err = fmt.Errorf("%q is not a flag; --help lists them", set.Arg(0))
	case err == nil:
		if addr, bad := netip.ParseAddrPort(c.listen); bad != nil || !addr.Addr().IsLoopback() {
			err = fmt.Errorf("--listen %s is no loopback address with a port, such as 127.0.0.1:8200", c.listen)
		}
	}
	return c, err
}

// command is main without the process: 0 when all went well, 2 for a bad flag, 1
// for the rest.
func command(args []string, stdout, stderr io.Writer) int {
	c, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "demo: %v\n", err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, c, stdout, stderr); err != nil && ctx.Err() == nil {
		fmt.Fprintf(stderr, "demo: %v\n", err)
		return 1
	}
	return 0
}

func run(ctx context.Context, c config, stdout, stderr io.Writer) error {
	level := zerolog.Disabled
	if c.verbose {
		level = zerolog.InfoLevel
	}
	log := zerolog.New(zerolog.ConsoleWriter{Out: stderr, TimeFormat: time.TimeOnly}).Level(level).With().Timestamp().Logger()
	began := time.Now()
	bin, err := programs(ctx, c.bin, stdout)
	if err != nil {
		return err
	}
	dir := c.keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "hu-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	b, err := start(ctx, bin, dir, c.verbose, stderr, log)
	if err != nil {
		return err
	}
	defer b.close()
	fmt.Fprintf(stdout, "a car, its three daemons, a broker, a backend and a phone run (%.1f s)\n", time.Since(began).Seconds())
	if c.story {
		return b.story(ctx, stdout)
	}
	return b.page(ctx, c.listen, stdout)
}
