package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"
)

// A child is a program that is started again whenever it ends, as systemd would.
type child struct {
	name string
	args []string
	path string
	out  io.Writer
	log  zerolog.Logger

	mu     sync.Mutex
	cmd    *exec.Cmd
	starts int
	done   chan struct{}
}

// spawner starts processes from one thread that never ends: the kernel ends them
// with the thread that started them (Pdeathsig), so that a demo that is killed
// leaves nothing behind.
type spawner chan func()

func newSpawner() spawner {
	s := make(spawner)
	go func() {
		runtime.LockOSThread()
		for f := range s {
			f()
		}
	}()
	return s
}

func (s spawner) start(cmd *exec.Cmd) error {
	result := make(chan error)
	s <- func() { result <- cmd.Start() }
	return <-result
}

// run keeps the program running until ctx ends, and then ends it: politely, and
// after two seconds not.
func (c *child) run(ctx context.Context, s spawner) {
	defer close(c.done)
	for ctx.Err() == nil {
		cmd := exec.Command(c.path, c.args...)
		cmd.Stdout, cmd.Stderr = c.out, c.out
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := s.start(cmd); err != nil {
			c.log.Error().Err(err).Msg("not started")
			return
		}
		c.mu.Lock()
		c.cmd = cmd
		c.starts++
		c.mu.Unlock()
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case err := <-ended:
			c.log.Info().Err(err).Msg("ended, and is started again")
			select { // a program that cannot start must not be started a thousand times a second
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		case <-ctx.Done():
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				c.log.Debug().Err(err).Msg("SIGTERM")
			}
			hung := time.AfterFunc(2*time.Second, c.kill)
			err := <-ended
			hung.Stop()
			c.log.Debug().Err(err).Msg("ended")
		}
	}
}

// kill ends the process that runs now, as kill -9 does.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cmd != nil && c.cmd.Process != nil {
		if err := c.cmd.Process.Kill(); err != nil {
			c.log.Debug().Err(err).Msg("kill")
		}
	}
}

// count is how often it was started.
func (c *child) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.starts
}

// until tries f every 10 ms until it succeeds, and gives up with its last error.
func until(ctx context.Context, limit time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := f()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", limit, errors.Join(err, context.Cause(ctx)))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// child makes one of the programs, not yet running.
func (b *bench) child(name string, args ...string) *child {
	c := &child{
		name: name, args: args, path: filepath.Join(b.bin, name), out: b.logs(name),
		log: b.log.With().Str("child", name).Logger(), done: make(chan struct{}),
	}
	b.children[name] = c
	return c
}
