package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// A latest carries the newest of something to a goroutine that may be slow.
// Putting never waits.
type latest[T any] chan T

func newLatest[T any]() latest[T] { return make(latest[T], 1) }

// put replaces what was not taken yet. One goroutine puts.
func (c latest[T]) put(v T) {
	select {
	case <-c:
	default:
	}
	c <- v
}

// writeStatus replaces the file path by each content, until ctx ends. A reader
// sees the old one or the new one.
func writeStatus(ctx context.Context, path string, contents latest[[]byte], log zerolog.Logger) {
	told := false
	for {
		select {
		case <-ctx.Done():
			return
		case b := <-contents:
			err := replace(path, b)
			if err != nil && !told {
				log.Warn().Err(err).Msg("status file")
			}
			told = err != nil
		}
	}
}

// replace needs no fsync: what is in /run is gone with the power.
func replace(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	next := path + ".new"
	if err := os.WriteFile(next, b, 0o644); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// A dropper writes lines to a slow writer, and drops them when that is too slow.
type dropper struct {
	lines   chan []byte
	dropped atomic.Uint64
}

func newDropper(ctx context.Context, w io.Writer) (d *dropper, done <-chan struct{}) {
	d = &dropper{lines: make(chan []byte, 256)}
	end := make(chan struct{})
	go func() {
		defer close(end)
		for {
			select {
			case b := <-d.lines:
				d.write(w, b)
			case <-ctx.Done():
				for {
					select {
					case b := <-d.lines:
						d.write(w, b)
					default:
						return
					}
				}
			}
		}
	}()
	return d, end
}

func (d *dropper) write(w io.Writer, b []byte) {
	if n := d.dropped.Swap(0); n > 0 {
		b = fmt.Appendf(b, `{"level":"warn","dropped":%d,"message":"log lines"}`+"\n", n)
	}
	_, _ = w.Write(b) // nobody is left to tell
}

// Write implements io.Writer; it never waits and never fails.
func (d *dropper) Write(b []byte) (int, error) {
	select {
	case d.lines <- append([]byte(nil), b...):
	default:
		d.dropped.Add(1)
	}
	return len(b), nil
}

// notifySystemd tells systemd that the program is ready, and after each pulse
// that it is alive (sd_notify(3)). Without NOTIFY_SOCKET it only takes the pulses.
func notifySystemd(ctx context.Context, socket string, pulse latest[struct{}], log zerolog.Logger) {
	var conn net.Conn
	if socket != "" {
		var err error
		conn, err = new(net.Dialer).DialContext(ctx, "unixgram", socket)
		if err == nil {
			defer conn.Close()
			_, err = io.WriteString(conn, "READY=1")
		}
		if err != nil {
			log.Warn().Err(err).Msg("systemd")
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-pulse:
			if conn != nil {
				_, _ = io.WriteString(conn, "WATCHDOG=1") // the next pulse tries again
			}
		}
	}
}
