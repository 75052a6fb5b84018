// Canhub shares one CAN bus among the programs of this machine, in the protocol
// of the socketcand project: a serial adapter, an interface of the kernel,
// another such server, or a recording in candump text, played at the pace it was
// made. Its clients stay while the device comes and goes, and what they send is
// shown as sent only when the device says so.
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
)

// The exit codes: systemd does not restart the program after a usage error.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command is the program but for its signals.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	cfg, err := parseFlags(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	log := zerolog.New(stderr).With().Timestamp().Str("program", "canhub").Logger()
	if err == nil {
		err = run(ctx, cfg, log)
	}
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "canhub:", err)
	if _, usage := errors.AsType[usageError](err); usage {
		return exitUsage
	}
	return exitFailed
}

// A usageError is a flag or a file that cannot be right, whatever happens later.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }
