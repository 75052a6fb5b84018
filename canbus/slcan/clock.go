package slcan

import "time"

// creep is how much slower than ours the clock of an adapter may run: 1 in 1024.
const creep = 10

// A clock turns the time stamps of an adapter, milliseconds that begin anew
// each minute, into times of this machine. A stamp is never later than the
// arrival of its frame. The zero value is ready.
type clock struct {
	stamp   uint16
	arrived time.Time
	at      time.Time // what the last stamp meant
}

// time is when the frame with that stamp was received, which arrived now.
func (c *clock) time(stamp uint16, now time.Time) time.Time {
	if c.arrived.IsZero() {
		*c = clock{stamp, now, now}
		return now
	}
	gap := time.Duration((int(stamp)-int(c.stamp)+Minute)%Minute) * time.Millisecond
	// A silence of minutes does not show in the stamp: add those that bring it
	// nearest to the time that has really passed.
	if passed := now.Sub(c.arrived); passed > gap {
		gap += (passed - gap + 30*time.Second).Truncate(time.Minute)
	}
	// A line that was held up makes frames look old, and only the ones that were
	// not tell the truth: follow those at once, and the others slowly.
	at := c.at.Add(gap + gap>>creep)
	if at.After(now) {
		at = now
	}
	*c = clock{stamp, now, at}
	return at
}
