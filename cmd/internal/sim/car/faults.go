package car

import (
	"fmt"
	"sort"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// A fault is what is wrong with one message.
type fault struct {
	drop     int  // frames still to be lost
	crc      bool // each has a wrong checksum
	frozen   bool // its counter stands still
	stuck    bool // it repeats held
	sentinel bool // its values say "not available"
	held     [canbus.MaxLenFD]byte
}

// faults are everything that was made to go wrong.
type faults struct {
	message map[uint32]*fault
	silent  [buses]bool // nothing is sent
	off     [buses]bool // bus-off: nothing is sent or heard
	passive [buses]bool
	lie     bool          // reports locked without locking
	slow    time.Duration // until the body controller acts on a request
	deaf    bool          // no request is answered
	defect  bool          // of the central lock
	heater  bool          // of the heater

	flooded bus
	rate    int // frames a second; 0: no flood
}

// of is the fault of a message, which may be none and can be read only.
func (f *faults) of(id uint32) *fault {
	if m := f.message[id]; m != nil {
		return m
	}
	return new(fault)
}

// at is the fault of a message, made if there is none.
func (f *faults) at(id uint32) *fault {
	if f.message == nil {
		f.message = make(map[uint32]*fault)
	}
	if f.message[id] == nil {
		f.message[id] = new(fault)
	}
	return f.message[id]
}

// list names the faults that are set, for people.
func (f *faults) list() []string {
	l := []string{}
	add := func(on bool, format string, a ...any) {
		if on {
			l = append(l, fmt.Sprintf(format, a...))
		}
	}
	for id, m := range f.message {
		add(m.drop > 0, "drop %03X %d", id, m.drop)
		add(m.crc, "crc %03X", id)
		add(m.frozen, "freeze_counter %03X", id)
		add(m.stuck, "stuck %03X", id)
		add(m.sentinel, "sentinel %03X", id)
	}
	for b := range buses {
		add(f.silent[b], "silence %s", b)
		add(f.off[b], "busoff %s", b)
		add(f.passive[b], "passive %s", b)
	}
	add(f.lie, "lie lock")
	add(f.slow > 0, "slow_bcm %s", f.slow)
	add(f.deaf, "no_answer")
	add(f.defect, "defect")
	add(f.heater, "heater")
	add(f.rate > 0, "flood %s %d", f.flooded, f.rate)
	sort.Strings(l)
	return l
}

const (
	floodID    = 0x001 // wins against everything else
	floodBatch = 10 * ms
)

// flood sends what is due of a flood. It does so in batches, so that a fast
// flood costs no more turns than a slow one.
func (w *world) flood() {
	if w.faults.rate == 0 {
		return
	}
	n := max(1, w.faults.rate*int(floodBatch)/int(time.Second))
	for range n {
		f := canbus.Frame{ID: floodID, Len: 8}
		for i := range 8 {
			f.Data[i] = byte(w.sentCount[w.faults.flooded] >> (8 * i))
		}
		w.put(w.faults.flooded, f)
	}
	if w.after(floodNext, time.Duration(n)*time.Second/time.Duration(w.faults.rate)); w.present.Sub(w.now) > late {
		w.timers[floodNext] = w.present.Add(floodBatch) // no catching up
	}
}

// The error frames by which a controller tells of its own state, as Linux
// numbers their classes.
const (
	errController = 0x004
	errBusOff     = 0x040
	errRestarted  = 0x100
	txPassive     = 0x20 // in octet 1 of a controller's error
	rxPassive     = 0x10
	nowActive     = 0x40
)

// tell puts an error frame where listeners of b can see it.
func (w *world) tell(b bus, class uint32, octet1 byte) {
	f := canbus.Frame{ID: class, Flags: canbus.Error, Len: 8}
	f.Data[1] = octet1
	w.out = append(w.out, outgoing{b, f})
}

func (w *world) setBusOff(b bus, off bool) {
	if w.faults.off[b] == off {
		return
	}
	if w.faults.off[b] = off; off {
		w.tell(b, errBusOff, 0)
	} else {
		w.tell(b, errRestarted, 0)
	}
}

func (w *world) setPassive(b bus, passive bool) {
	if w.faults.passive[b] == passive {
		return
	}
	if w.faults.passive[b] = passive; passive {
		w.tell(b, errController, txPassive|rxPassive)
	} else {
		w.tell(b, errController, nowActive)
	}
}

// clear repairs everything.
func (w *world) clearFaults() {
	for b := range buses {
		w.setBusOff(b, false)
		w.setPassive(b, false)
	}
	w.faults = faults{}
	w.stop(floodNext)
}
