package car

import (
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// An abort is a value of BM_Telematik_Abbruchgrund: why the body controller did
// not do, or no longer does, what TM_01 asked.
type abort uint8

const (
	noReason    abort = 0
	tooFast     abort = 1
	defect      abort = 2
	terminalS   abort = 3
	terminal15  abort = 4
	doorOpen    abort = 5
	isBusy      abort = 10
	dropped     abort = 12
	timeOver    abort = 13
	notCoded    abort = 14
	contradicts abort = 15
)

// The bits of TM_01 from 48 on that ask for something.
const (
	tmHorn uint64 = 1 << iota
	tmLock
	tmUnlock
	tmLights
	tmPanic
	tmAsks  = tmHorn | tmLock | tmUnlock | tmLights | tmPanic
	tmNoisy = tmHorn | tmLights | tmPanic
)

const (
	requestSilence = 500 * ms // this long without TM_01 is the end of a request
	longestNoise   = 30 * time.Second
	reasonTime     = 2 * time.Second
)

// telematics is the part of the body controller that listens to TM_01.
type telematics struct {
	held    uint64 // the request bits and the signature of the last frame
	count   int    // frames in a row that were the same
	pending uint64 // waits for a slow body controller
	noise   uint64 // the lights, horn or panic that are on by request
	reason  abort
}

// receive takes one frame of TM_01. Two equal frames in a row make a request,
// and however long it is held on, it counts once.
func (t *telematics) receive(w *world, f *canbus.Frame) {
	bits := uint64(f.Data[6]) | uint64(f.Data[7])<<8
	if bits&tmAsks == 0 {
		t.held, t.count = 0, 0
		w.stop(requestGone)
		t.stop(w, noReason)
		return
	}
	if bits != t.held {
		if t.held, t.count = bits, 0; bits&tmNoisy != t.noise {
			t.stop(w, noReason)
		}
	}
	t.count++
	w.after(requestGone, requestSilence)
	if t.count == 2 {
		if t.pending = bits; w.faults.slow > 0 {
			w.after(bcmAct, w.faults.slow)
		} else {
			t.act(w)
		}
	}
}

// act carries out the pending request, or says why not.
func (t *telematics) act(w *world) {
	bits := t.pending
	if why := t.refusal(w, bits); why != noReason {
		t.refuse(w, why)
		return
	}
	switch {
	case bits&tmLock != 0:
		w.bcm.key = 0
		w.bcm.lock(w)
	case bits&tmUnlock != 0:
		w.bcm.unlock(w)
	case t.held == bits: // a slow controller may come too late for noise
		t.noise = bits & tmNoisy
		w.after(requestMax, longestNoise)
	}
}

func (t *telematics) refusal(w *world, bits uint64) abort {
	locks := bits&(tmLock|tmUnlock) != 0
	signature := uint16(bits >> 5)
	switch {
	case bits&tmLock != 0 && bits&tmUnlock != 0:
		return contradicts
	case locks && signature != w.fixed.Signature:
		return notCoded
	case w.speed > 0:
		return tooFast
	case locks && w.faults.defect:
		return defect
	case w.kl15():
		return terminal15
	case locks && w.klS():
		return terminalS
	case bits&tmLock != 0 && w.doors[doorDriver].open:
		return doorOpen
	case w.bcm.busy(w), locks && t.noise != 0:
		return isBusy
	}
	return noReason
}

func (t *telematics) refuse(w *world, why abort) {
	t.reason = why
	w.after(reasonOver, reasonTime)
}

// gone is TM_01 staying away.
func (t *telematics) gone(w *world) {
	t.held, t.count = 0, 0
	t.stop(w, dropped)
}

// stop ends the noise, if there is any.
func (t *telematics) stop(w *world, why abort) {
	if t.noise == 0 {
		return
	}
	t.noise = 0
	w.stop(requestMax)
	if why != noReason {
		t.refuse(w, why)
	}
}

func (t *telematics) doing(bit uint64) bool { return t.noise&bit != 0 }
func (t *telematics) blinking() bool        { return t.doing(tmLights | tmPanic) }
func (t *telematics) horn() bool            { return t.doing(tmHorn | tmPanic) }

// fillFactory is the factory's own telematics unit: present, and asking nothing.
func fillFactory(w *world, p *payload) { p.set("TM_ZV_Signatur", float64(w.fixed.Signature)) }
