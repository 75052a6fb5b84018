// Headunitctl is the operator's command line: it asks the running agent over its
// local API, checks and compiles a vehicle profile on a desk, without a car, and
// reads CAN buses and recordings of them.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// cli is every command. Each group has its own file.
type cli struct {
	Show    showCmd      `cmd:"" help:"What the agent knows of the car, the driver's choice, the line and the call."`
	Privacy privacyCmd   `cmd:"" help:"Choose a privacy level, as the driver does on the screen."`
	Call    callCmd      `cmd:"" help:"Hand one request to the emergency call's program."`
	Profile profileGroup `cmd:"" help:"Check, explain and compile a vehicle profile."`
	Can     canGroup     `cmd:"" help:"Decode recordings, watch a bus, send what a profile allows."`
}

// output is where commands write.
type output struct{ io.Writer }

// input is where commands read what was piped to them.
type input struct{ io.Reader }

// complaints is where commands say what they go on in spite of.
type complaints struct{ io.Writer }

// errSaid ends the program with status 1 after a command that has said why.
var errSaid = errors.New("said already")

// errUse is for what the caller can mend by calling differently.
type errUse struct{ text string }

func (e errUse) Error() string { return e.text }

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the program: 0 done, 1 it did not work, 2 called wrongly.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c cli
	status := -1
	p, err := kong.New(&c, kong.Name("headunitctl"), kong.Description("Tools for the head unit agent."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { status = min(code, 2) }), kong.UsageOnError())
	if err != nil {
		fmt.Fprintln(stderr, "headunitctl:", err)
		return 1
	}
	ctx, err := p.Parse(args)
	switch {
	case status >= 0: // --help
		return status
	case err != nil:
		fmt.Fprintf(stderr, "headunitctl: %v (see headunitctl --help)\n", err)
		return 2
	}
	err = ctx.Run(output{stdout}, input{stdin}, complaints{stderr})
	_, use := errors.AsType[errUse](err)
	switch {
	case err == nil:
		return 0
	case use:
		fmt.Fprintln(stderr, "headunitctl:", err)
		return 2
	case !errors.Is(err, errSaid):
		fmt.Fprintln(stderr, "headunitctl:", err)
	}
	return 1
}
