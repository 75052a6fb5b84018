package agent

import (
	"time"

	"golang.org/x/sys/unix"
)

// bootTime is CLOCK_BOOTTIME, which counts suspend and never jumps, as a time
// without a monotonic reading. Its date means nothing.
func bootTime() time.Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return time.Now() // no such clock before Linux 2.6.39
	}
	return time.Unix(ts.Unix())
}
