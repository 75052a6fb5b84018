package isotp

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// replay tells found what the transfers of a recording end in.
func replay(t *testing.T, name string, found func(Message)) {
	t.Helper()
	file, err := os.Open("../../../shared/data/logs/" + name)
	if err != nil {
		t.Skipf("no recording: %v", err)
	}
	defer file.Close()
	m := NewMonitor(0)
	lines := canbus.NewReader(name, file)
	var last time.Time
	for {
		l, err := lines.Next()
		if errors.Is(err, io.EOF) {
			m.Step(last.Add(time.Hour), nil, found)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if last.Before(l.At) { // two buses in turn: a line may be older than the one before
			last = l.At
		}
		m.Step(last, &l.Frame, found)
	}
}

// TestRecordings: the figures were counted by another program from the same
// files, and those of the last one are in its description too.
func TestRecordings(t *testing.T) {
	for name, want := range map[string]struct{ whole, cut int }{
		"hyundai_kona/221210-1-2021-dcan-car-scanner-elm327.log":              {1814, 2},
		"hyundai_kona/221210-2-2021-dcan-car-scanner-elm327-vcu-mcu-only.log": {636, 2},
		"css_mf4/17BD1DB7_00000006_00000170.log":                              {270, 30},
	} {
		whole, cut := 0, 0
		replay(t, name, func(m Message) {
			switch {
			case m.Err == nil:
				whole++
			case errors.Is(m.Err, ErrCr), errors.Is(m.Err, ErrReplaced):
				cut++
			default:
				t.Errorf("%s: %03X: %v", name, m.ID, m.Err)
			}
		})
		if whole != want.whole || cut != want.cut {
			t.Errorf("%s: %d payloads and %d cut off, want %+v", name, whole, cut, want)
		}
	}
}

func TestMonitorIsBounded(t *testing.T) {
	m := NewMonitor(0)
	full, cut := 0, 0
	found := func(m Message) {
		switch {
		case errors.Is(m.Err, ErrFull):
			full++
		case errors.Is(m.Err, ErrCr):
			cut++
		default:
			t.Errorf("%+v", m)
		}
	}
	for i := range uint32(20) {
		m.Step(start, frame(0x700+i, 0x10, 20, 1, 2, 3, 4, 5, 6), found)
	}
	m.Step(start.Add(Timeout), nil, found)
	if full != 4 || cut != 16 || len(m.active) != 0 || len(m.spare) > MaxReceptions+1 {
		t.Errorf("%d refused, %d ran out, %d active, %d spare", full, cut, len(m.active), len(m.spare))
	}
}
