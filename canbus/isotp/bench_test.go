package isotp

import (
	"testing"
	"time"
)

// transfer is one payload through both machines.
func transfer(b testing.TB, l *Link, r *Receiver, payload []byte) {
	s, err := l.Sender(Normal(0x7E0, 0x7E8), payload)
	if err != nil {
		b.Fatal(err)
	}
	now, got := start, false
	s, o := s.Step(now, Event{Kind: Begin})
	for o.Send {
		f := o.Frame
		s, o = s.Step(now, Event{Kind: Sent})
		var back Output
		*r, back = r.Step(now, Event{Kind: Heard, Frame: &f})
		got = got || back.Done && len(back.Payload) == len(payload)
		if back.Send {
			*r, _ = r.Step(now, Event{Kind: Sent})
			s, o = s.Step(now, Event{Kind: Heard, Frame: &back.Frame})
		}
		now = now.Add(time.Microsecond)
	}
	if !got {
		b.Fatal("nothing arrived")
	}
}

func TestNoAllocations(t *testing.T) {
	l := Link{Block: 8}
	r, err := l.Receiver(Normal(0x7E8, 0x7E0))
	if err != nil {
		t.Fatal(err)
	}
	payload := octets(4095, 1)
	transfer(t, &l, &r, payload)
	if n := testing.AllocsPerRun(10, func() { transfer(t, &l, &r, payload) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkTransfer is 4,095 octets in 586 frames of 8 through both machines.
func BenchmarkTransfer(b *testing.B) {
	l := Link{}
	r, err := l.Receiver(Normal(0x7E8, 0x7E0))
	if err != nil {
		b.Fatal(err)
	}
	payload := octets(4095, 1)
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		transfer(b, &l, &r, payload)
	}
}

// BenchmarkMonitor is one single frame looked at.
func BenchmarkMonitor(b *testing.B) {
	m := NewMonitor(0)
	f := frame(0x7E8, 6, 0x41, 0, 0x80, 0, 0, 1, 0xAA)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		m.Step(start, f, func(Message) { n++ })
	}
	if n == 0 {
		b.Fatal("nothing found")
	}
}
