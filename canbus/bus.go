package canbus

import (
	"context"
	"errors"
)

// A Bus is one end of a CAN bus. One goroutine may receive while others send.
type Bus interface {
	// Receive waits for at least one frame and returns as many as are ready and
	// fit. It fails only when ctx ends or the device is gone: then the caller
	// opens it anew.
	Receive(ctx context.Context, dst []Rx) (int, error)

	// Send hands f over for sending. That it went out is said by a received
	// frame with Own set, not by a nil error.
	Send(ctx context.Context, f Frame) error

	Stats() Stats
	Close() error
}

// ErrClosed is returned by the methods of a [Bus] that was closed or is gone.
var ErrClosed = errors.New("CAN bus is closed or gone")

// A BusState is the health of a bus as its controller sees it.
type BusState string

// The states of a bus (ISO 11898-1, and two of ours). The zero value is unknown.
const (
	OK      BusState = "ok"
	Warning BusState = "warning" // an error counter above 96
	Passive BusState = "passive" // an error counter above 127
	Off     BusState = "off"     // bus-off: nothing is sent or received
	Silent  BusState = "silent"  // no frame for the time the profile names
	Gone    BusState = "gone"    // no device
)

// Stats are running totals of one [Bus] since it was opened, and its state now.
type Stats struct {
	Received uint64
	Sent     uint64
	Lost     uint64 // frames the device or the peer says it dropped
	LostByUs uint64 // frames dropped here because nobody received them in time
	Errors   uint64 // error frames and malformed input
	State    BusState
	TxErrors uint8 // TEC
	RxErrors uint8 // REC
}

// An Origin says what stands behind a bus. Only [Kernel] and [Adapter] are a
// real car; the emergency call asks before it dials (spec: bench safety). The
// zero value is unknown and counts as not real.
type Origin string

// The origins a bus can have.
const (
	Kernel     Origin = "kernel"
	Adapter    Origin = "adapter"
	Recording  Origin = "recording"
	Simulation Origin = "simulation"
)
