package slcan

import (
	"context"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// The pauses between two attempts to open a device (can.md 1).
const (
	FirstPause = 100 * time.Millisecond
	LastPause  = 5 * time.Second
)

// Supervise keeps a device open until ctx ends: it opens it, hands it to use,
// closes it when use returns, and begins again after a pause of 100 ms that
// doubles to 5 s and starts anew with a bus that lasted longer than that. Each
// error of open and use is told, with the pause that follows it, before the
// pause. It serves any [canbus.Bus].
func Supervise(ctx context.Context, open func(context.Context) (canbus.Bus, error),
	use func(context.Context, canbus.Bus) error, told func(err error, pause time.Duration),
) {
	pause := FirstPause
	for ctx.Err() == nil {
		lasted, err := once(ctx, open, use)
		if ctx.Err() != nil {
			return
		}
		if lasted > LastPause {
			pause = FirstPause
		}
		told(err, pause)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
		pause = min(2*pause, LastPause)
	}
}

func once(ctx context.Context, open func(context.Context) (canbus.Bus, error),
	use func(context.Context, canbus.Bus) error,
) (lasted time.Duration, err error) {
	b, err := open(ctx)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	begun := time.Now()
	err = use(ctx, b)
	return time.Since(begun), err
}
