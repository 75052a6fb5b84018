package socketcan

import (
	"testing"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

func errorFrame(classes uint32, controller, tec, rec byte) *canbus.Frame {
	f := frame(classes, canbus.Error, 0, controller, 0, 0, 0, 0, tec, rec)
	return &f
}

func TestErrorFramesSayTheState(t *testing.T) {
	steps := []struct {
		name     string
		f        *canbus.Frame
		want     canbus.BusState
		tec, rec uint8
		overflow uint64
	}{
		{"a bit error changes nothing", errorFrame(0x088, 0, 0, 0), canbus.OK, 0, 0, 0},
		{"the receiver warns, with counters", errorFrame(0x204, 0x04, 3, 97), canbus.Warning, 3, 97, 0},
		{"no acknowledgment: counters only", errorFrame(0x220, 0, 128, 0), canbus.Passive, 128, 0, 0},
		{"without the class, octets 6 and 7 are no counters", errorFrame(0x004, 0x08, 9, 9), canbus.Warning, 128, 0, 0},
		{"passive outranks warning", errorFrame(0x004, 0x08|0x20, 0, 0), canbus.Passive, 128, 0, 0},
		{"the receiver is passive", errorFrame(0x204, 0x10, 0, 130), canbus.Passive, 0, 130, 0},
		{"the counters are low again", errorFrame(0x200, 0, 95, 95), canbus.OK, 95, 95, 0},
		{"at 96 it is a warning", errorFrame(0x200, 0, 96, 0), canbus.Warning, 96, 0, 0},
		{"at 127 still", errorFrame(0x200, 0, 0, 127), canbus.Warning, 0, 127, 0},
		{"active again", errorFrame(0x204, 0x40, 0, 0), canbus.OK, 0, 0, 0},
		{"the controller lost frames", errorFrame(0x004, 0x01, 0, 0), canbus.OK, 0, 0, 1},
		{"data[1] means nothing in another class", errorFrame(0x008, 0x01|0x20, 0, 0), canbus.OK, 0, 0, 1},
		{"off", errorFrame(0x040, 0, 0, 0), canbus.Off, 0, 0, 1},
		{"active is not restarted", errorFrame(0x204, 0x40, 0, 0), canbus.Off, 0, 0, 1},
		{"low counters are not restarted", errorFrame(0x200, 0, 1, 0), canbus.Off, 1, 0, 1},
		{"restarted", errorFrame(0x100, 0, 0, 0), canbus.OK, 1, 0, 1},
		{"restarted and off at once is off", errorFrame(0x140, 0, 0, 0), canbus.Off, 1, 0, 1},
	}
	h := health{state: canbus.OK}
	for _, s := range steps {
		h.failed(s.f)
		if h.state != s.want || h.tec != s.tec || h.rec != s.rec || h.overflow != s.overflow {
			t.Errorf("%s: %s, TEC %d, REC %d, %d overflows; want %s, %d, %d, %d",
				s.name, h.state, h.tec, h.rec, h.overflow, s.want, s.tec, s.rec, s.overflow)
		}
	}
}

func TestOneSecondOfOthersEndsBusOff(t *testing.T) {
	start := time.Unix(1000, 0)
	h := health{state: canbus.OK}
	h.received(start) // long before: it does not count
	h.failed(errorFrame(0x040, 0, 0, 0))
	for _, s := range []struct {
		after time.Duration
		off   bool // off once more, after the frame
		want  canbus.BusState
	}{
		{10 * time.Second, false, canbus.Off},
		{10*time.Second + 999*time.Millisecond, true, canbus.Off},
		{11 * time.Second, false, canbus.Off}, // the second starts anew
		{12*time.Second - 1, false, canbus.Off},
		{12 * time.Second, false, canbus.OK},
	} {
		h.received(start.Add(s.after))
		if s.off {
			h.failed(errorFrame(0x040, 0, 0, 0))
		}
		if h.state != s.want {
			t.Errorf("after %v: %s, want %s", s.after, h.state, s.want)
		}
	}
	h = health{state: canbus.Passive}
	h.received(start)
	h.received(start.Add(time.Hour))
	if h.state != canbus.Passive {
		t.Errorf("frames of others made %s of passive", h.state)
	}
}
