package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/cmd/internal/sim/car"
	"github.com/headunit-agent/headunit/cmd/internal/sim/modem"
)

// run is the car until ctx ends.
func run(ctx context.Context, cfg config, log zerolog.Logger) error {
	if err := os.MkdirAll(cfg.dir, 0o750); err != nil {
		return fmt.Errorf("--run: %w", err)
	}
	m, err := modem.New(modem.Options{})
	if err != nil {
		return err
	}
	cfg.car.Modem, cfg.car.Log = m, log
	c, err := car.New(cfg.car)
	if err != nil {
		return err
	}
	jobs := []func(context.Context) error{c.Run}
	for port := range modem.Ports {
		link := filepath.Join(cfg.dir, fmt.Sprintf("modem%d", port))
		master, err := openPort(link)
		if err != nil {
			return err
		}
		defer master.Close()
		defer func() { _ = os.Remove(link) }()
		jobs = append(jobs, func(ctx context.Context) error {
			if err := m.ServePort(ctx, port, master); err != nil {
				return fmt.Errorf("modem port %d: %w", port, err)
			}
			return nil
		})
	}
	jobs = append(jobs, func(ctx context.Context) error {
		return c.Serve(ctx, cfg.dir, func() { log.Info().Str("run", cfg.dir).Msg("the car is there") })
	})
	return car.Together(ctx, jobs...)
}

// openPort makes a pty and a link to it, in place of one that was left behind.
func openPort(link string) (io.ReadWriteCloser, error) {
	switch info, err := os.Lstat(link); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case info.Mode()&fs.ModeSymlink == 0:
		return nil, fmt.Errorf("%s exists and is no link: move it away", link)
	default:
		if err := os.Remove(link); err != nil {
			return nil, err
		}
	}
	master, name, err := modem.OpenPty()
	if err != nil {
		return nil, err
	}
	if err := os.Symlink(name, link); err != nil {
		_ = master.Close()
		return nil, err
	}
	return master, nil
}
