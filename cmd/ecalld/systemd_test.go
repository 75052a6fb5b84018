package main

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// TestWatchdog: ready once, and alive for each turn of the loop.
func TestWatchdog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	pulse, done := newLatest[struct{}](), make(chan struct{})
	go func() { defer close(done); notifySystemd(ctx, path, pulse, zerolog.Nop()) }()
	defer func() { cancel(); <-done }()
	hears := func(want string) {
		t.Helper()
		if err := l.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 64)
		if n, err := l.Read(b); err != nil || string(b[:n]) != want {
			t.Fatalf("%q, %v, want %s", b[:n], err, want)
		}
	}
	hears("READY=1")
	for range 2 {
		pulse.put(struct{}{})
		hears("WATCHDOG=1")
	}
}
