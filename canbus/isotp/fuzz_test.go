package isotp

import (
	"testing"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// FuzzFrames feeds any frames to a sender, a receiver and a monitor. The input
// is a list of: milliseconds, octets, data.
func FuzzFrames(f *testing.F) {
	for _, seed := range [][]byte{
		{0, 3, 2, 0x3E, 0}, // single
		{0, 1, 0},          // single of length 0
		{0, 2, 7, 1},       // single beyond the frame
		{0, 12, 0, 10, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10},                                         // long single
		{0, 8, 0x10, 10, 1, 2, 3, 4, 5, 6, 1, 5, 0x21, 7, 8, 9, 10},                           // first, consecutive
		{0, 8, 0x10, 10, 1, 2, 3, 4, 5, 6, 1, 5, 0x22, 7, 8, 9, 10},                           // wrong number
		{0, 8, 0x10, 10, 1, 2, 3, 4, 5, 6, 255, 0, 255, 0, 255, 0, 255, 5, 0x21, 7, 8, 9, 10}, // late
		{0, 8, 0x10, 10, 1, 2, 3, 4, 5, 6, 0, 8, 0x10, 9, 1, 2, 3, 4, 5, 6},                   // first again
		{0, 8, 0x10, 0, 0, 0, 0x10, 1, 1, 2},                                                  // wide length
		{0, 8, 0x10, 0, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2},                                         // all of 32 bits
		{0, 8, 0x10, 7, 1, 2, 3, 4, 5, 6},                                                     // first of 7
		{0, 3, 0x30, 0, 0},                                                                    // go
		{0, 3, 0x30, 2, 0xF1},                                                                 // go, in blocks
		{0, 3, 0x31, 0, 0, 0, 3, 0x31, 0, 0},                                                  // wait
		{0, 3, 0x32, 0, 0},                                                                    // overflow
		{0, 3, 0x35, 0, 0},                                                                    // unknown status
		{0, 2, 0x30, 0},                                                                       // too short
		{0, 2, 0x50, 0},                                                                       // unknown kind
	} {
		f.Add(seed, uint8(0))
		f.Add(seed, uint8(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, mode uint8) {
		a := Normal(0x7E0, 0x7E8)
		if mode&1 != 0 {
			a = a.Mix(0x10)
		}
		l := Link{FD: mode&2 != 0, Block: mode >> 4, Most: 5000}
		s, err := l.Sender(a, make([]byte, 100))
		if err != nil {
			t.Fatal(err)
		}
		r, err := l.Receiver(a)
		if err != nil {
			t.Fatal(err)
		}
		m := NewMonitor(0)
		now := start
		s, _ = s.Step(now, Event{Kind: Begin})
		fed := 0
		for len(in) >= 2 {
			now = now.Add(time.Duration(in[0]) * time.Millisecond)
			n := int(in[1]) % (canbus.MaxLenFD + 1)
			in = in[2:]
			n = min(n, len(in))
			for !canbus.ValidLen(n) {
				n--
			}
			x := frame(0x7E8, in[:n]...)
			in = in[n:]
			fed += n
			for _, e := range []Event{heard(x), {Kind: Sent}, {}} {
				var o Output
				s, o = s.Step(now, e)
				checkOutput(t, o, 100, now, s.Deadline)
				r, o = r.Step(now, e)
				checkOutput(t, o, fed, now, r.Deadline)
				if cap(r.got) > 4*fed+64 {
					t.Fatalf("%d octets of memory for %d", cap(r.got), fed)
				}
			}
			m.Step(now, x, func(m Message) {
				if len(m.Payload) > fed || (m.Err == nil) != (len(m.Payload) > 0) {
					t.Fatalf("%+v of %d octets", m, fed)
				}
			})
		}
	})
}

func checkOutput(t *testing.T, o Output, fed int, now, deadline time.Time) {
	t.Helper()
	if o.Send {
		if err := o.Frame.Check(); err != nil || o.Frame.ID != 0x7E0 {
			t.Fatalf("sends %+v: %v", o.Frame, err)
		}
	}
	if len(o.Payload) > fed {
		t.Fatalf("%d octets out of %d", len(o.Payload), fed)
	}
	if due(now, deadline) {
		t.Fatal("a deadline that has passed: the clock would spin")
	}
}
