package mqtt

import "time"

// Limits are the durations and counts of the reconnect loop.
type Limits struct {
	Min, Max time.Duration // between two attempts, 1 s and 5 min
	Good     time.Duration // a connection that lasts this long is a success, 60 s
	Quick    int           // this many connections lost
	Within   time.Duration // in this time
	Pause    time.Duration // cost at least this long, but not more than Max
}

// DefaultLimits are those of the protocol.
func DefaultLimits() Limits {
	return Limits{time.Second, 5 * time.Minute, time.Minute, 5, time.Minute, time.Minute}
}

// A backoff decides when to try again. The zero value has not failed yet.
type backoff struct {
	failures int
	lost     []time.Time // connections lost within the time, newest last
}

// next is how long to wait after an attempt that ended at now. upFor is how
// long the connection lasted, 0 if there was none; chance is in [0,1). Kicked
// says that somebody else may be using the name.
func (b *backoff) next(l Limits, now time.Time, upFor time.Duration, chance float64) (wait time.Duration, kicked bool) {
	if upFor >= l.Good {
		b.failures = 0
	}
	if upFor > 0 {
		b.lost = append(b.lost, now)
	}
	for len(b.lost) > 0 && now.Sub(b.lost[0]) > l.Within {
		b.lost = b.lost[1:]
	}
	most := l.Min
	for range b.failures + 1 {
		if most >= l.Max {
			break
		}
		most *= 2
	}
	most = min(most, l.Max)
	b.failures++
	wait = l.Min + time.Duration(chance*float64(most-l.Min))
	if len(b.lost) >= l.Quick {
		b.lost = nil
		return max(wait, min(l.Pause, l.Max)), true
	}
	return wait, false
}
