package dbc

import (
	"fmt"
	"math"
)

func (s *Signal) fromText(text string) (uint64, error) {
	var raw int64
	found := 0
	for v, t := range s.Values {
		if t == text {
			raw = v
			found++
		}
	}
	switch {
	case found == 0:
		return 0, fmt.Errorf("text %q: %w", text, ErrUnknown)
	case found > 1:
		return 0, fmt.Errorf("text %q stands for %d values: %w as one", text, found, ErrRange)
	case !s.Float && s.fits(raw):
		return uint64(raw), nil
	}
	return s.fromRaw(raw)
}

func (s *Signal) fromRaw(v int64) (uint64, error) {
	switch f := float64(v); {
	case s.Float && (int64(f) != v || f >= 1<<63 || s.Size == 32 && float64(float32(f)) != f):
		return 0, fmt.Errorf("raw %d: %w into a float of %d bits", v, ErrRange, s.Size)
	case s.Float:
		return s.floatBits(f), nil
	case !s.fits(v), !s.Signed && v < 0:
		return 0, fmt.Errorf("raw %d: %w into %d bits", v, ErrRange, s.Size)
	}
	return uint64(v), nil
}

func (s *Signal) floatBits(f float64) uint64 {
	if s.Size == 32 {
		return uint64(math.Float32bits(float32(f)))
	}
	return math.Float64bits(f)
}

func (s *Signal) fromPhysical(v float64) (uint64, error) {
	x := (v - s.Offset) / s.Factor
	r := math.Round(x) // half away from zero
	switch {
	case math.IsNaN(x), math.IsInf(x, 0), s.Float && s.Size == 32 && math.Abs(x) > math.MaxFloat32:
		return 0, fmt.Errorf("%v (raw %v): %w into %d bits", v, x, ErrRange, s.Size)
	case s.Float:
		return s.closestFloat(s.floatBits(x), v), nil
	}
	raw, inside := s.nearest(r)
	raw = s.closest(raw, v)
	// The largest value of 64 bits decodes to a float64 that lies beyond it.
	if !inside && s.physical(raw) != v {
		return 0, fmt.Errorf("%v (raw %v): %w into %d bits", v, r, ErrRange, s.Size)
	}
	return raw, nil
}

// nearest is the raw value nearest to r, and whether r can be held.
func (s *Signal) nearest(r float64) (raw uint64, inside bool) {
	switch limit := math.Ldexp(1, s.Size); {
	case s.Signed && r < -limit/2:
		return ^(s.mask() >> 1), false
	case s.Signed && r >= limit/2:
		return s.mask() >> 1, false
	case s.Signed:
		return uint64(int64(r)), true
	case r < 0:
		return 0, false
	case r >= limit:
		return s.mask(), false
	}
	return uint64(r), true
}

// closest is a raw value near raw that decodes to exactly v, or raw if there is
// none: division does not undo the roundings of multiplication and addition,
// which are large where a signal has more bits than a float64.
func (s *Signal) closest(raw uint64, v float64) uint64 {
	at := raw
	for range 8 {
		miss := v - s.physical(at)
		if miss == 0 {
			return at
		}
		by := math.Round(miss / s.Factor)
		if by == 0 {
			by = math.Copysign(1, miss/s.Factor)
		}
		next, ok := s.move(at, by)
		if !ok {
			break
		}
		at = next
	}
	return raw
}

// move adds by to a raw value, if the sum can be held.
func (s *Signal) move(raw uint64, by float64) (uint64, bool) {
	if math.Abs(by) >= 1<<62 {
		return raw, false
	}
	next := raw + uint64(int64(by))
	switch grew := by > 0; {
	case s.Signed && (int64(next) > int64(raw)) != grew, !s.Signed && (next > raw) != grew:
		return raw, false
	}
	return next, s.extend(next) == next
}

// closestFloat is closest for floats: of the neighbors of raw.
func (s *Signal) closestFloat(raw uint64, v float64) uint64 {
	for i := range uint64(4) {
		for _, near := range [2]uint64{raw + i, raw - i} {
			if s.physical(near&s.mask()) == v {
				return near & s.mask()
			}
		}
	}
	return raw
}
