package main

import (
	"context"
	"io"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/canbus"
)

// The limit of one client over real sockets: one that never reads costs the
// others nothing, and is told what it missed.
func TestSilentReaderOverSocket(t *testing.T) {
	socket := "unix:" + filepath.Join(t.TempDir(), "can0")
	d := newFake()
	cfg := config{listen: socket, name: "can0", listenOnly: true, device: device{live: &live{
		name: "fake", open: func(context.Context, bool) (opened, error) { return opened{d, canbus.Adapter}, nil },
	}}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, cfg, zerolog.New(io.Discard)) }()
	slow, err := dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	quick, err := dial(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	defer quick.Close()
	const frames = 40_000
	batch := make([]canbus.Rx, 256)
	for i, n := 0, 0; n < frames; {
		for ; i < frames && i-n < 2000; i++ { // as much as the quick one can have queued
			d.shows(t, uint32(i%0x800))
		}
		k, err := quick.Receive(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		for _, rx := range batch[:k] {
			if rx.ID != uint32(n%0x800) {
				t.Fatalf("frame %d is %X", n, rx.ID)
			}
			n++
		}
	}
	n := uint64(0)
	for n+slow.Stats().Lost < frames {
		k, err := slow.Receive(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		n += uint64(k)
	}
	if quick.Stats().Lost != 0 || slow.Stats().Lost == 0 || n+slow.Stats().Lost != frames {
		t.Errorf("quick %+v, slow %+v and %d received", quick.Stats(), slow.Stats(), n)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// One frame from a device to eight clients, over unix sockets; the delay is
// until the last of them has it (bar: 20,000 frames/s, p99 below 1 ms).
func BenchmarkRelay(b *testing.B) {
	socket := "unix:" + filepath.Join(b.TempDir(), "can0")
	d := newFake()
	cfg := config{listen: socket, name: "can0", listenOnly: true, device: device{live: &live{
		name: "fake", open: func(context.Context, bool) (opened, error) { return opened{d, canbus.Adapter}, nil },
	}}}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- run(ctx, cfg, zerolog.New(io.Discard)) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}()
	var clients []canbus.Bus
	for range 8 {
		c, err := dial(b.Context(), socket)
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	const burst = 16 // frames at once, as a USB adapter gives them
	f := canbus.Frame{ID: 0x123, Len: 8}
	batch := make([]canbus.Rx, 256)
	var delays []time.Duration
	b.ResetTimer()
	for i := 0; i < b.N; i += burst {
		begun := time.Now()
		for range burst {
			if err := d.far.Relay(canbus.Rx{Frame: f}); err != nil {
				b.Fatal(err)
			}
		}
		for _, c := range clients {
			for n := 0; n < burst; {
				k, err := c.Receive(b.Context(), batch)
				if err != nil {
					b.Fatal(err)
				}
				n += k
			}
		}
		delays = append(delays, time.Since(begun))
	}
	b.StopTimer()
	slices.Sort(delays)
	b.ReportMetric(float64(delays[len(delays)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(len(delays)*burst)/b.Elapsed().Seconds(), "frames/s")
}
