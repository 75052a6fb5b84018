package mqtt

import (
	"testing"
	"time"
)

func TestBackoffGrowsAndIsJittered(t *testing.T) {
	l := DefaultLimits()
	now := time.Unix(0, 0)
	var low, high backoff
	for i, most := range []time.Duration{2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300} {
		if d, _ := low.next(l, now, 0, 0); d != time.Second {
			t.Errorf("attempt %d: at least %v", i, d)
		}
		if d, _ := high.next(l, now, 0, 0.999999); d.Round(time.Second) != most*time.Second {
			t.Errorf("attempt %d: at most %v, want %v s", i, d, int(most))
		}
	}
	if d, _ := high.next(l, now, 59*time.Second, 0.999999); d < 299*time.Second {
		t.Errorf("a connection of 59 s counts as good: %v", d)
	}
	if d, _ := high.next(l, now, time.Minute, 0.999999); d.Round(time.Second) != 2*time.Second {
		t.Errorf("a connection of 60 s counts for nothing: %v", d)
	}
}

func TestFiveLossesAMinuteCostAPause(t *testing.T) {
	l := DefaultLimits()
	now := time.Unix(0, 0)
	var b backoff
	for i := range 5 {
		d, kicked := b.next(l, now, time.Second, 0)
		if kicked != (i == 4) || kicked && d != time.Minute {
			t.Errorf("loss %d: %v %t", i+1, d, kicked)
		}
		now = now.Add(15 * time.Second)
	}
	for i := range 20 { // not often enough
		now = now.Add(15*time.Second + time.Millisecond)
		if _, kicked := b.next(l, now, time.Second, 0); kicked {
			t.Errorf("kicked at loss %d", i+1)
		}
	}
}
