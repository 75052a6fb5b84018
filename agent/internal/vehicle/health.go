package vehicle

import (
	"sync/atomic"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
)

// BusHealth is how one bus does.
type BusHealth struct {
	State     canbus.BusState // Gone without a device, Silent without frames
	Stats     canbus.Stats
	LastFrame time.Time // of anybody but this program; zero: none yet
}

// live is what is asked of a bus at any moment, without a new state: a bus that
// is off or silent has no frames that would make one.
type live struct {
	bus       atomic.Pointer[canbus.Bus]
	last      atomic.Int64 // a frame of somebody else
	disturbed atomic.Int64 // the device was gone, or bus-off: frames may be missing before this
	tester    atomic.Int64 // a diagnostic request of somebody else
}

func newLive() *live {
	l := &live{}
	for _, t := range []*atomic.Int64{&l.last, &l.disturbed, &l.tester} {
		t.Store(never)
	}
	return l
}

func (l *live) attach(b canbus.Bus) { l.bus.Store(&b) }

func (l *live) detach(at int64) {
	l.bus.Store(nil)
	l.disturb(at)
}

func (l *live) disturb(at int64) { l.disturbed.Store(at) }

func (l *live) heard(f *canbus.Frame, at int64) {
	l.last.Store(at)
	if request(f) {
		l.tester.Store(at)
	}
}

// request reports whether a frame looks like a question to a control unit (ISO
// 15765-4 and the VW group's addresses).
func request(f *canbus.Frame) bool {
	id := f.ID
	if f.Flags&canbus.Extended != 0 {
		top := id >> 16
		return top == 0x18DA || top == 0x18DB || top == 0x17FC
	}
	return id >= 0x700 && id <= 0x77F || id == 0x7DF || id >= 0x7E0 && id <= 0x7E7
}

func (l *layout) health(b *bus, now time.Time) BusHealth {
	h := BusHealth{State: canbus.Gone}
	last := b.live.last.Load()
	if last != never {
		h.LastFrame = l.at(last)
	}
	device := b.live.bus.Load()
	if device == nil {
		return h
	}
	h.Stats = (*device).Stats()
	h.State = h.Stats.State
	if h.State == canbus.OK && (last == never || l.since(now)-last >= int64(b.asleep)) {
		h.State = canbus.Silent
	}
	return h
}

// A sighting is when somebody else last asked for something with an identifier
// that we may send.
type sighting struct {
	id       uint32
	extended bool
	e2e      bool
	last     atomic.Int64
}

func newSighting(a profile.Allowed) *sighting {
	s := &sighting{id: a.ID, extended: a.Extended, e2e: a.E2E}
	s.last.Store(never)
	return s
}

func (s *sighting) look(f *canbus.Frame, at int64) {
	if f.ID != s.id || f.Flags&canbus.Extended != 0 != s.extended {
		return
	}
	data := f.Data
	if s.e2e { // checksum and counter ask for nothing
		data[0], data[1] = 0, data[1]&0xF0
	}
	if data != [64]byte{} {
		s.last.Store(at)
	}
}
