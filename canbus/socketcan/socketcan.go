// Package socketcan is a CAN bus of the Linux kernel: every frame that reaches
// the socket is received or counted as lost, and what was sent is believed only
// once the kernel says that it went out.
//
// An interface is set up by the system (bit rate, listen-only, up, restart after
// bus-off); this package needs no privilege, and changes nothing about it. It
// works on Linux only; elsewhere [Open] says so.
package socketcan

import (
	"errors"
	"time"
)

const (
	// MaxFilters is how many identifiers the kernel tells apart for one socket.
	MaxFilters = 512

	// DefaultBuffer is what is asked for as receive buffer, in octets. The
	// kernel's own default holds a few hundred frames.
	DefaultBuffer = 4 << 20

	retry    = 2 * time.Millisecond // between attempts while the send queue is full; poll does not tell
	recovery = time.Second          // of frames from others until a bus that was off is believed again
)

var (
	// ErrBusOff is wrapped by the error of [Bus.Send] while the controller has
	// taken itself off the bus. What was to be sent is not sent later.
	ErrBusOff = errors.New("the controller is off the bus")

	// ErrListenOnly is wrapped by the error of [Bus.Send] when this end, or the
	// controller, only listens.
	ErrListenOnly = errors.New("listen-only")

	// ErrClassicOnly is wrapped by the error of [Bus.Send] for an FD frame where
	// FD was not asked for, or where the interface does not carry it.
	ErrClassicOnly = errors.New("only classic frames are carried")

	// ErrNoCAN is wrapped by the error of [Open] on a system without CAN sockets.
	ErrNoCAN = errors.New("no CAN sockets on this system")
)

// A Filter is one message to receive: data frames with this very identifier.
type Filter struct {
	ID       uint32
	Extended bool
}

// Options say what is received. The zero value receives error frames, which
// always come, and nothing else.
type Options struct {
	// Filters are the messages to receive, picked by the kernel; above
	// [MaxFilters] everything comes. They hold for this end's own frames too:
	// what is sent and not among them is never confirmed.
	Filters []Filter

	// All receives every frame, remote frames included, whatever Filters says.
	All bool

	// FD receives and sends FD frames too, where the interface carries them.
	FD bool

	// ListenOnly refuses to send. The controller acknowledges frames all the
	// same, unless the system has made it listen-only.
	ListenOnly bool

	// Buffer is the receive buffer to ask for in octets, 0 for [DefaultBuffer].
	Buffer int
}
