package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/socketcand"
	"github.com/headunit-agent/headunit/cmd/internal/sim/car"
)

// simulated is a program of the scripts: the simulated car, in the folder that
// is named first; further words are told to it before anybody can find it.
func simulated() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	c, err := car.New(car.Options{Signature: 77})
	if err == nil {
		dir := os.Args[1]
		err = errors.Join(os.MkdirAll(dir, 0o750), car.Together(ctx, c.Run, func(ctx context.Context) error {
			for _, line := range os.Args[2:] {
				if _, err := c.Do(ctx, line); err != nil {
					return err
				}
			}
			return c.Serve(ctx, dir, func() {})
		}))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// shelf is a bus with nothing on it but what clients send, offered with an
// origin: shelf SOCKET ORIGIN. A third word is a frame that somebody sends there
// again and again.
func shelf() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	l, err := socketcand.Listen("unix:" + os.Args[1])
	if err == nil {
		bus := canbus.NewMemory()
		s := &socketcand.Server{
			Name: interfaceName(os.Args[1]), Origin: canbus.Origin(os.Args[2]), Attach: func(queue int) canbus.Bus { return bus.Attach(queue) },
			MaySend: func(canbus.Frame) bool { return true },
		}
		if len(os.Args) > 3 {
			go again(ctx, bus.Attach(1), os.Args[3])
		}
		err = s.Serve(ctx, l)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func again(ctx context.Context, b canbus.Bus, text string) {
	l, _, err := canbus.ParseLine("any " + text)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ; err == nil; err = b.Send(ctx, l.Frame) {
		<-tick.C
	}
}

// there waits for files: a program that was just started is not there at once.
func there() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for _, name := range os.Args[1:] {
		for {
			if _, err := os.Stat(name); err == nil {
				break
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				fmt.Fprintln(os.Stderr, name, "does not come")
				os.Exit(1)
			}
		}
	}
}
