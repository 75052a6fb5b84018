package main

import (
	"context"
	"errors"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// A recording is a file of candump text that was found good from end to end. It
// is never held in memory: it is read again to be played.
type recording struct {
	device
	iface  string // "": all interfaces
	frames uint64 // that will be played
}

// checkRecording reads the whole file once. A mistake in it is a usageError that
// names its place, and so is an interface that it does not hold.
func checkRecording(ctx context.Context, d device, iface, name string) (*recording, error) {
	f, err := os.Open(d.file)
	if err != nil {
		return nil, usageError{err}
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, usagef("%s is not a file that can be read twice", d.file)
	}
	seen := make(map[string]uint64)
	for r := canbus.NewReader(d.file, f); ; {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, usageError{err}
		}
		if seen[l.Interface]++; len(seen) > 256 {
			return nil, usagef("%s holds more than 256 interfaces: that is no recording of a car", d.file)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	rec := &recording{device: d}
	return rec, rec.choose(seen, iface, name)
}

// choose takes the interface that was asked for, else the one that is called
// like the bus, else all of them.
func (rec *recording) choose(seen map[string]uint64, iface, name string) error {
	switch {
	case len(seen) == 0:
		return usagef("%s holds no frame", rec.file)
	case iface != "" && seen[iface] == 0:
		return usagef("%s has no interface %s, only %s", rec.file, iface, strings.Join(slices.Sorted(maps.Keys(seen)), " "))
	case iface == "" && seen[name] > 0:
		iface = name
	}
	rec.iface = iface
	for i, n := range seen {
		if iface == "" || i == iface {
			rec.frames += n
		}
	}
	return nil
}

// play hands each frame to put when it is due, with the time it is put, until
// the end of the recording, or for ever if it loops. put may wait.
func (rec *recording) play(ctx context.Context, put func(canbus.Rx) error) error {
	p := pace{speed: rec.speed}
	for {
		if err := rec.once(ctx, &p, put); err != nil || !rec.loop {
			return err
		}
		p.restart()
	}
}

func (rec *recording) once(ctx context.Context, p *pace, put func(canbus.Rx) error) error {
	f, err := os.Open(rec.file)
	if err != nil {
		return err
	}
	defer f.Close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for r := canbus.NewReader(rec.file, f); ; {
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if rec.iface != "" && l.Interface != rec.iface {
			continue
		}
		if wait := p.wait(l.At, l.HasTime, time.Now()); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := put(canbus.Rx{Frame: l.Frame}); err != nil {
			return err
		}
	}
}

// maxBack is how far the time in a recording may step back without a new start:
// adapters with two buses write them in turns.
const maxBack = time.Second

// A pace says how long to wait for a frame. Frames older than the one before are
// due at once. Where time jumps back by more than maxBack, what follows keeps
// its distances from there.
type pace struct {
	speed float64
	begun bool
	base  time.Time // in the recording
	start time.Time // and when that was played
	last  time.Time // the latest in the recording
}

func (p *pace) wait(at time.Time, hasTime bool, now time.Time) time.Duration {
	if p.speed == 0 || !hasTime {
		return 0
	}
	if !p.begun || p.last.Sub(at) > maxBack {
		p.begun, p.base, p.start, p.last = true, at, now, at
		return 0
	}
	if at.After(p.last) {
		p.last = at
	}
	after := min(float64(at.Sub(p.base))/p.speed, math.MaxInt64/2)
	return p.start.Add(time.Duration(after)).Sub(now)
}

// restart lets the next frame begin anew, at once.
func (p *pace) restart() { p.begun = false }
