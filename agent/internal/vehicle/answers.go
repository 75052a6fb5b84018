package vehicle

import (
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
)

// An Answer to a question that must not be answered by default.
type Answer string

// The answers. The zero value is [Unknown].
const (
	Unknown Answer = ""
	Yes     Answer = "yes"
	No      Answer = "no"
)

const (
	standing = 0.5 // km/h: less is standing
	standFor = 2 * time.Second
)

// Stationary answers whether the car stands: less than 0.5 km/h for 2 s, or asleep
// in order. A car that wakes from such a sleep stands on, if within 2 s it says
// so and has said nothing else. Standing for less than 2 s is unknown: it may be
// asked again.
func (s *State) Stationary(now time.Time) Answer {
	r := s.Get(speed, now)
	switch {
	case r.Good() && r.Value.Float() >= standing:
		return No
	case r.Good():
		since := s.stands(s.layout.byPath[speed][r.Source])
		woke := s.rested != 0 && since >= s.rested && since-s.rested <= int64(standFor)
		if woke || s.layout.since(now)-since >= int64(standFor) {
			return Yes
		}
	case s.parked(now):
		return Yes
	}
	return Unknown
}

// stands is since when source n of the speed has said, without a gap, that the
// car stands.
func (s *State) stands(n int32) int64 {
	at := s.values[n].slow
	for _, g := range s.layout.sources[n].groups {
		if s.cells[g] != nil {
			at = max(at, s.cells[g].since)
		}
	}
	return at
}

// IgnitionOff answers whether the ignition is off or locked, or the car asleep in
// order.
func (s *State) IgnitionOff(now time.Time) Answer {
	r := s.Get(ignition, now)
	switch {
	case r.Good():
		return off(r.Value)
	case s.parked(now):
		return Yes
	}
	return Unknown
}

func off(v Value) Answer {
	switch v.Word() {
	case "OFF", "LOCK":
		return Yes
	case "ACC", "ON", "START":
		return No
	}
	return Unknown
}

// NoCrash answers whether there was no crash. A bus that fell asleep in order
// without one had none.
func (s *State) NoCrash(now time.Time) Answer {
	r := s.Get(crashDetected, now)
	switch {
	case r.Good() && r.Value.Bool():
		return No
	case r.Good():
		return Yes
	case r.Quality == Stale && s.parked(now):
		return Yes
	}
	return Unknown
}

// parked reports whether the buses that carry speed and ignition fell asleep in
// order: the last word of both was zero and off, and since then there was neither
// a frame nor a fault that could have hidden one.
func (s *State) parked(now time.Time) bool {
	return s.asleep(speed, now, func(v Value) bool { return v.Float() < standing }) &&
		s.asleep(ignition, now, func(v Value) bool { return off(v) == Yes })
}

func (s *State) asleep(p profile.Path, now time.Time, rest func(Value) bool) bool {
	for _, n := range s.layout.byPath[p] {
		is := &s.values[n]
		if is.quality != Good {
			continue
		}
		return rest(is.value) && s.quiet(n, now)
	}
	return false
}

// quiet reports whether every bus behind the value of source n sleeps, and has
// been undisturbed since that value.
func (s *State) quiet(n int32, now time.Time) bool {
	src := &s.layout.sources[n]
	for i, g := range src.groups {
		if !src.counts(&s.values[n], i) {
			continue
		}
		b := &s.layout.buses[s.layout.groups[g].bus]
		if s.cells[g] == nil || s.cells[g].last.Load() <= b.live.disturbed.Load() ||
			s.layout.health(b, now).State != canbus.Silent {
			return false
		}
	}
	return len(src.groups) > 0
}
