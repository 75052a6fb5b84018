package command

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
)

// ErrNotAllowed is returned for a frame that the profile does not let the agent
// send. Nothing else in the agent reaches a bus.
var ErrNotAllowed = errors.New("frame is not on the allow-list")

// A Guard is the allow-list of a profile: identifier, form, length, the bits
// that may differ, and how many a second. It belongs to one goroutine.
type Guard struct {
	lines   map[address][]*allowance
	refused uint64
}

type address struct {
	bus string
	id  uint32
	ext bool
}

type allowance struct {
	profile.Allowed
	rate *rate.Limiter
}

// NewGuard compiles an allow-list.
func NewGuard(allowed []profile.Allowed) *Guard {
	g := &Guard{lines: map[address][]*allowance{}}
	for _, a := range allowed {
		at := address{a.Bus, a.ID, a.Extended}
		g.lines[at] = append(g.lines[at], &allowance{a, rate.NewLimiter(rate.Limit(a.Rate), max(1, a.Rate))})
	}
	return g
}

// Check reports whether f may be sent now, and counts it.
func (g *Guard) Check(bus string, f canbus.Frame, now time.Time) error {
	const form = canbus.Extended | canbus.FD | canbus.BRS // and no other flag
	for _, l := range g.lines[address{bus, f.ID, f.Flags&canbus.Extended != 0}] {
		if f.Flags&^form != 0 || f.Flags&canbus.FD != 0 != l.FD || int(f.Len) != l.Len || f.Check() != nil || !l.fits(&f) {
			continue
		}
		if !l.rate.AllowN(now, 1) {
			g.refused++
			return fmt.Errorf("%w: more than %d of %s %X a second", ErrNotAllowed, l.Rate, bus, f.ID)
		}
		return nil
	}
	g.refused++
	return fmt.Errorf("%w: %s %X", ErrNotAllowed, bus, f.ID)
}

// fits reports whether f differs from the base only where it may.
func (l *allowance) fits(f *canbus.Frame) bool {
	for i := range l.Len {
		if (f.Data[i]^l.Base[i])&^l.Mask[i] != 0 {
			return false
		}
	}
	return true
}

// Refused is how many frames were held back.
func (g *Guard) Refused() uint64 { return g.refused }
