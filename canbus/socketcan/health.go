package socketcan

import (
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// Classes of error frames, in the identifier (linux/can/error.h).
const (
	classController = 0x004
	classOff        = 0x040
	classRestarted  = 0x100
	classCounters   = 0x200
)

// What data[1] of the class "controller" says.
const (
	overflowRx    = 0x01
	stateWarning  = 0x04 | 0x08 // of the receiver, of the sender
	statePassive  = 0x10 | 0x20
	stateActive   = 0x40
	atCounterTEC  = 6
	atCounterREC  = 7
	limitWarning  = 96 // of the counters, ISO 11898-1
	limitPassive  = 128
	atControllers = 1
)

// A health is what error frames have said of the controller. Off is left only
// when the controller says that it was restarted, or after [recovery] in which
// others were heard: other error frames may well come from a controller that is
// off.
type health struct {
	state    canbus.BusState
	tec, rec uint8
	overflow uint64    // times the controller lost frames: at least one each
	heard    time.Time // the first frame of others since the bus was off
}

// failed learns from an error frame.
func (h *health) failed(f *canbus.Frame) {
	if f.ID&classCounters != 0 {
		h.tec, h.rec = f.Data[atCounterTEC], f.Data[atCounterREC]
	}
	var controller byte
	if f.ID&classController != 0 {
		controller = f.Data[atControllers]
	}
	if controller&overflowRx != 0 {
		h.overflow++
	}
	switch {
	case f.ID&classOff != 0:
		h.state, h.heard = canbus.Off, time.Time{}
	case f.ID&classRestarted != 0:
		h.state = canbus.OK
	case h.state == canbus.Off:
	case controller&statePassive != 0:
		h.state = canbus.Passive
	case controller&stateWarning != 0:
		h.state = canbus.Warning
	case controller&stateActive != 0:
		h.state = canbus.OK
	case f.ID&classCounters != 0: // a driver that tells the counters and no change of state
		h.state = stateOf(max(h.tec, h.rec))
	}
}

func stateOf(counter uint8) canbus.BusState {
	switch {
	case counter >= limitPassive:
		return canbus.Passive
	case counter >= limitWarning:
		return canbus.Warning
	}
	return canbus.OK
}

// received learns from a frame that another node sent, at now.
func (h *health) received(now time.Time) {
	switch {
	case h.state != canbus.Off:
	case h.heard.IsZero():
		h.heard = now
	case now.Sub(h.heard) >= recovery:
		h.state = canbus.OK
	}
}
