package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/cmd/internal/sim/modem"
	"github.com/headunit-agent/headunit/cmd/internal/sim/slcan"
)

// A bench is the CAN bus of one script, with a simulated adapter on it that can
// be plugged in as $WORK/tty.
type bench struct {
	dir     string
	bus     *canbus.Memory
	end     *canbus.End // of the script
	adapter *slcan.Adapter
	served  chan error // nil: it is not plugged in
}

type benchKey struct{}

// adapter is the command of the scripts:
//
//	adapter plug [DIALECT]   a pseudo-terminal, behind the symbolic link tty
//	adapter unplug           it is closed, and the link is gone
//	adapter frame FRAME…     somebody else on the bus sends
//	adapter sees FRAME       waits until that one was sent by the adapter
//	adapter silent|normal    waits until it was opened so
//	adapter do LINE          see [slcan.Adapter.Do]
func adapter(ts *testscript.TestScript, neg bool, args []string) {
	b, ok := ts.Value(benchKey{}).(*bench)
	if neg || len(args) == 0 || !ok {
		ts.Fatalf("usage: adapter VERB …")
	}
	var err error
	switch rest := args[1:]; args[0] {
	case "plug":
		err = b.plug(strings.Join(rest, " "))
	case "unplug":
		err = b.unplug()
	case "frame":
		err = b.frames(rest)
	case "sees":
		err = b.sees(rest[0])
	case "silent", "normal":
		err = wait(func() bool { s := b.adapter.State(); return s.Open && s.Silent == (args[0] == "silent") })
	case "do":
		err = b.adapter.Do(strings.Join(rest, " "))
	default:
		ts.Fatalf("%q is nothing an adapter does", args[0])
	}
	ts.Check(err)
}

func (b *bench) plug(dialect string) error {
	master, name, err := modem.OpenPty()
	if err != nil {
		return err
	}
	end := b.bus.Attach(0)
	// A real one has forgotten everything when it is plugged in anew.
	if b.adapter, err = slcan.New(slcan.Options{Dialect: dialect, Bitrate: 500_000, FIFO: 4096}, end); err != nil {
		return err
	}
	b.served = make(chan error, 1)
	go func() {
		err := b.adapter.Serve(context.Background(), master)
		_ = end.Close()
		b.served <- err
	}()
	return os.Symlink(name, filepath.Join(b.dir, "tty"))
}

func (b *bench) unplug() error {
	if b.served == nil {
		return nil
	}
	if err := errors.Join(os.Remove(filepath.Join(b.dir, "tty")), b.adapter.Do("unplug")); err != nil {
		return err
	}
	err := <-b.served
	b.served = nil
	if errors.Is(err, slcan.ErrUnplugged) {
		return nil
	}
	return err
}

func (b *bench) frames(texts []string) error {
	for _, text := range texts {
		l, _, err := canbus.ParseLine("x " + text)
		if err != nil {
			return err
		}
		if err := b.end.Send(context.Background(), l.Frame); err != nil {
			return err
		}
	}
	return nil
}

// sees takes frames off the bus until the one that is waited for.
func (b *bench) sees(text string) error {
	want, _, err := canbus.ParseLine("x " + text)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for batch := make([]canbus.Rx, 1); ; {
		switch _, err := b.end.Receive(ctx, batch); {
		case err != nil:
			return fmt.Errorf("%s is not on the bus: %w", text, err)
		case batch[0].Own:
		case batch[0].Frame == want.Frame:
			return nil
		default:
			return fmt.Errorf("%v is on the bus", batch[0].Frame)
		}
	}
}

// condition knows [pty]: there are pseudo-terminals here.
func condition(name string) (bool, error) {
	if name != "pty" {
		return false, fmt.Errorf("there is no condition %s", name)
	}
	master, _, err := modem.OpenPty()
	if err != nil {
		return false, nil //nolint:nilerr // that is the answer
	}
	return true, master.Close()
}

// until FILE [TEXT] waits for a file, or for a text in it.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: until FILE [TEXT]")
	}
	file := ts.MkAbs(args[0])
	ts.Check(wait(func() bool {
		if len(args) == 1 {
			_, err := os.Lstat(file)
			return err == nil
		}
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), args[1])
	}))
}

func wait(ok func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			return errors.New("it did not happen within 10 s")
		}
	}
	return nil
}
