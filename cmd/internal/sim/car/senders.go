package car

import (
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/e2e"
)

// A sender is one message that one ECU sends.
type sender struct {
	m       *message
	fill    func(w *world, p *payload)
	cycle   func(w *world) time.Duration // nil: the message's own
	wanted  func(w *world) bool          // nil: always
	changes bool                         // a change is sent at once
	sent    func(w *world)               // nil: nothing depends on it

	due     time.Time
	counter uint8
	last    [canbus.MaxLenFD]byte // what was filled in last, before protection
}

// every is the time between two frames of s as things are; 0: none.
func (s *sender) every(w *world) time.Duration {
	switch {
	case s.wanted != nil && !s.wanted(w):
		return 0
	case s.cycle != nil:
		return s.cycle(w)
	}
	return s.m.cycle
}

func newSenders() []sender {
	s := []sender{
		{m: airbag01, fill: fillAirbag01},
		{m: airbag02, fill: fillAirbag02},
		{m: esp21, fill: fillESP21},
		{m: klemmen, fill: fillKlemmen},
		{m: gateway73, fill: fillGateway73},
		{m: lichtAnf, fill: fillLichtAnf},
		{m: kombi01, fill: fillKombi01},
		{m: systeminfo, fill: fillSysteminfo},
		{m: kombi02, fill: fillKombi02},
		{m: kombi03, fill: fillKombi03},
		{m: wiv, fill: fillWIV},
		{m: diagnose, fill: fillDiagnose},
		{m: vin01, fill: fillVIN, sent: func(w *world) { w.bcm.vinPart = (w.bcm.vinPart + 1) % 3 }},
		{m: zv02, fill: fillZV02, changes: true},
		{m: blinkmodi, fill: fillBlinkmodi, cycle: blinkCycle, changes: true},
		{m: bcm01, fill: fillBCM01},
		{m: klimaSensor, fill: fillKlimaSensor},
		{m: wfs, fill: fillWFS},
		{m: sth, fill: fillSTH},
		{m: auxState, fill: fillAuxState, changes: true},
		{m: keysMessage, fill: fillKeys, changes: true, sent: func(w *world) { w.keys.shown() }},
		{m: sosMessage, fill: fillSOS, changes: true},
		{m: hv01, fill: fillHV},
		{m: tm01, fill: fillFactory, cycle: func(*world) time.Duration { return time.Second }, wanted: func(w *world) bool { return w.factory }},
	}
	for d := range doors {
		s = append(s, sender{m: doorMessages[d], fill: func(w *world, p *payload) { w.doors[d].fill(p, doorPrefix[d]) }})
	}
	return append(s, networkSenders()...)
}

// stagger spreads the cycles of the senders after waking.
const stagger = 2 * ms

// awaken starts the cycles of all senders anew.
func (w *world) awaken() {
	w.asleep = false
	w.brakes.since = w.now
	w.after(busSleep, sleepAfter)
	for i := range w.senders {
		w.senders[i].due = w.now.Add(time.Duration(i+1) * stagger)
	}
}

// late is how far behind its cycle a sender may be and still catch up; a car
// that stood still for longer (a suspended machine) goes on from now.
const late = 100 * ms

// send puts s on the bus and sets when it is due again.
func (w *world) send(s *sender) {
	every := s.every(w)
	if s.due = s.due.Add(max(every, ms)); every == 0 {
		s.due = w.present.Add(100 * ms) // look again whether it is wanted
		return
	}
	if w.present.Sub(s.due) > late {
		s.due = w.present.Add(every)
	}
	w.emit(s)
}

// emit sends s now: filled in, then protected, then spoilt by the faults.
func (w *world) emit(s *sender) {
	if w.dead {
		return
	}
	p := payload{m: s.m}
	s.fill(w, &p)
	s.last = p.data
	f := w.faults.of(s.m.id)
	if f.stuck {
		p.data = f.held
	}
	if f.sentinel {
		for i := range s.m.signals {
			if g := &s.m.signals[i]; g.na != 0 {
				g.put(&p.data, g.na)
			}
		}
	}
	if s.m.e2e != nil {
		s.m.e2e.Protect(p.data[:s.m.len], s.counter)
		if f.crc {
			p.data[0] ^= 0xFF
		}
	}
	if !f.frozen {
		s.counter = (s.counter + 1) & 15
	}
	if s.sent != nil {
		s.sent(w)
	}
	if f.drop > 0 {
		f.drop--
		return
	}
	w.put(s.m.bus, p.frame())
}

// put hands a frame over, unless its bus has died or is kept silent.
func (w *world) put(b bus, f canbus.Frame) {
	if w.dead || w.faults.silent[b] || w.faults.off[b] {
		return
	}
	w.sentCount[b]++
	w.out = append(w.out, outgoing{b, f})
}

// sendChanges sends at once what changed where the message says so, and brings
// forward what is due sooner than it was.
func (w *world) sendChanges() {
	for i := range w.senders {
		s := &w.senders[i]
		if !s.changes {
			continue
		}
		if every := s.every(w); s.due.Sub(w.present) > every {
			s.due = w.present.Add(every)
		}
		p := payload{m: s.m}
		if s.fill(w, &p); p.data != s.last {
			w.emit(s)
			s.due = w.present.Add(s.every(w))
		}
	}
}

// receive lets the car hear a frame that somebody else sent.
func (w *world) receive(b bus, f *canbus.Frame) {
	if w.dead || w.faults.off[b] || f.Flags&(canbus.Error|canbus.Remote) != 0 || b != body {
		return
	}
	w.after(busSleep, sleepAfter)
	if w.asleep {
		w.awaken()
	}
	if f.Flags&(canbus.Extended|canbus.FD) == 0 && !w.faults.deaf {
		switch {
		case f.ID == tm01.id && int(f.Len) == tm01.len:
			w.telemat.receive(w, f)
		case f.ID == auxReq.id && int(f.Len) == auxReq.len:
			w.heater.receive(w, f)
		case f.ID == keyListen.id && int(f.Len) == keyListen.len:
			w.keys.receive(w, f)
		}
	}
	w.settle()
}

// proven reports whether a protected request may be acted on: its checksum is
// right, and it follows another that was right.
func proven(m *message, s *e2e.State, f *canbus.Frame) bool {
	v := m.e2e.Check(s, f.Data[:m.len])
	return v == e2e.OK || v == e2e.Jumped
}
