package vehicle

import (
	"math"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
)

// A State is what the car said up to a moment. It is safe for any number of
// goroutines. Ages are worked out when it is read.
type State struct {
	layout *layout
	slots  []slot
	cells  []*cell
	values []sourceState
	crash  crashShown
	rested int64 // as in [Car]
}

// Get is the reading of a path: of the first of its sources that is good, else of
// the first that was ever seen.
func (s *State) Get(p profile.Path, now time.Time) Reading {
	if int(p) >= len(s.layout.byPath) {
		return Reading{Quality: Never}
	}
	if r, ok := s.crashReading(p, now); ok {
		return r
	}
	best := Reading{Quality: Never}
	for i, n := range s.layout.byPath[p] {
		r := s.read(n, now)
		r.Source = uint8(i)
		if r.Quality == Good {
			return r
		}
		if best.Quality == Never {
			best = r
		}
	}
	return best
}

// read is the reading of source n.
func (s *State) read(n int32, now time.Time) Reading {
	src, is := &s.layout.sources[n], &s.values[n]
	r := Reading{Quality: is.quality}
	if is.quality == "" || is.quality == Never {
		if is.shown.Kind() != profile.NoValue { // heard, and never proven
			return Reading{Quality: Stale}
		}
		return Reading{Quality: Never}
	}
	at, at2 := s.layout.since(now), int64(math.MaxInt64)
	for i, g := range src.groups {
		if !src.counts(is, i) {
			continue
		}
		if s.cells[g] == nil { // a condition that was not heard yet
			continue
		}
		last := s.cells[g].last.Load()
		at2 = min(at2, last)
		if at-last > int64(s.layout.groups[g].fresh) {
			r.Quality = Stale
		}
	}
	if at2 != math.MaxInt64 {
		r.At = s.layout.at(at2)
	}
	if r.Quality == Good {
		r.Value = is.value
	}
	return r
}

// Last is the last good reading of a path, with the time up to which it was good:
// for "as of 18:04", never to decide on. Where the profile's policy is to show
// frames that failed their check, what they say counts here too.
func (s *State) Last(p profile.Path) Reading {
	best, at := Reading{Quality: Never}, int64(never)
	if int(p) >= len(s.layout.byPath) {
		return best
	}
	for i, n := range s.layout.byPath[p] {
		v, t := s.lastOf(n)
		if v.Kind() != profile.NoValue && (best.Quality == Never || t > at) {
			best, at = Reading{Value: v, Quality: Good, At: s.layout.at(t), Source: uint8(i)}, t
		}
	}
	return best
}

// lastOf is the last value of source n, and up to when it was known.
func (s *State) lastOf(n int32) (Value, int64) {
	is := &s.values[n]
	v, t := is.last, is.lastAt
	if is.quality == Good {
		t = oldest(&s.layout.sources[n], is, s.cells)
	}
	if is.shown.Kind() != profile.NoValue && (v.Kind() == profile.NoValue || is.shownAt > t) {
		return is.shown, is.shownAt
	}
	return v, t
}

// Signal is the raw value, as an Int, of a signal that the profile watches; Never
// for one that it does not.
func (s *State) Signal(ref profile.SignalRef, now time.Time) Reading {
	n, ok := s.layout.byRef[ref]
	if !ok || !s.slots[n].seen {
		return Reading{Quality: Never}
	}
	g := s.layout.signals[n].group
	last := s.cells[g].last.Load()
	r := Reading{Quality: Good, At: s.layout.at(last)}
	switch {
	case s.layout.since(now)-last > int64(s.layout.groups[g].fresh):
		r.Quality = Stale
	case s.slots[n].short:
		r.Quality = Unavailable
	default:
		r.Value = profile.Int(int64(s.slots[n].raw))
	}
	return r
}

// Bus is the health of a bus; Gone for one that the profile lacks.
func (s *State) Bus(name string, now time.Time) BusHealth {
	i, ok := s.layout.busNumber(name)
	if !ok {
		return BusHealth{State: canbus.Gone}
	}
	return s.layout.health(&s.layout.buses[i], now)
}

// LastForeign is when somebody else last sent a frame that asks for something
// with an identifier that the profile lets us send; zero: not since the start.
func (s *State) LastForeign(bus string, id uint32, extended bool) time.Time {
	if i, ok := s.layout.busNumber(bus); ok {
		for _, k := range s.layout.buses[i].sendable {
			if last := k.last.Load(); k.id == id && k.extended == extended && last != never {
				return s.layout.at(last)
			}
		}
	}
	return time.Time{}
}

// LastTester is when somebody else last asked a control unit something, on any
// bus; zero: not since the start.
func (s *State) LastTester() time.Time {
	at := int64(never)
	for i := range s.layout.buses {
		at = max(at, s.layout.buses[i].live.tester.Load())
	}
	if at == never {
		return time.Time{}
	}
	return s.layout.at(at)
}

// Counts are the running totals of a protected message; nil for one that is not.
func (s *State) Counts(bus, message string) *Counts {
	for i := range s.layout.messages {
		if m := &s.layout.messages[i]; m.of.Bus == bus && m.of.DBC.Name == message {
			return m.counts
		}
	}
	return nil
}

// NextStale is the earliest moment after now at which an answer of this state
// changes though nothing is heard: a value goes stale, a bus falls silent, the
// car has stood for long enough. Zero: never.
func (s *State) NextStale(now time.Time) time.Time {
	at, next := s.layout.since(now), int64(math.MaxInt64)
	sooner := func(t int64) {
		if t > at && t < next {
			next = t
		}
	}
	for g, k := range s.cells {
		if k != nil {
			sooner(k.last.Load() + int64(s.layout.groups[g].fresh) + 1)
		}
	}
	for i := range s.layout.buses {
		if last := s.layout.buses[i].live.last.Load(); last != never {
			sooner(last + int64(s.layout.buses[i].asleep))
		}
	}
	for _, n := range s.layout.byPath[speed] {
		if s.values[n].slow != 0 {
			sooner(s.stands(n) + int64(standFor))
		}
	}
	if next == math.MaxInt64 {
		return time.Time{}
	}
	return s.layout.at(next)
}
