// Package slcan drives serial CAN adapters that speak the text protocol of
// LAWICEL, also called SLCAN: [Open] makes a [canbus.Bus] of a byte stream with
// such an adapter at its end, and [Parse] and [Append] are its lines.
//
// Adapters differ in what they answer. What this one does is learnt while it is
// opened and used, and [Bus.Info] says it: above all whether a frame that comes
// back with Own set was confirmed by the adapter or merely written to it.
//
// Sources: the LAWICEL CANUSB and CAN232 manuals; the firmwares of CANable 1
// and 2; drivers/net/can/slcan of Linux for the lines e and s.
package slcan

import (
	"errors"
	"fmt"

	"github.com/headunit-agent/headunit/canbus"
)

// MaxLine is how many octets a line may have, its end not counted. The longest
// real one, an FD frame of 64 octets with a time stamp, has 142.
const MaxLine = 150

// Minute is the period of the time stamps, in their unit of 1 ms.
const Minute = 60_000

// The two ends of a line. BEL says that what was asked for is refused.
const (
	cr  = '\r'
	bel = '\a'
)

// A Kind is what a line means.
type Kind uint8

// The kinds of lines that an adapter sends.
const (
	OK           Kind = iota // nothing: what was asked for is done
	Sent                     // z: a frame with an 11-bit identifier was taken
	SentExtended             // Z: one with 29 bits
	Frame                    // t T r R d D b B
	Status                   // F: what has happened since it was asked for last
	Fault                    // e: errors on the bus
	State                    // s: state and error counters of the controller
	Version                  // V: four characters, or free text
	Firmware                 // v
	Serial                   // N
	Code                     // M: acceptance code, 8 hexadecimal digits
	Mask                     // m: acceptance mask, the same
	Text                     // anything else that people can read
)

// A Line is one line of an adapter. Which fields mean something depends on Kind.
type Line struct {
	Kind     Kind
	Stamped  bool   // Frame: it has a time stamp
	Stamp    uint16 // Frame: ms, 0 to [Minute]-1
	DLC      uint8  // Frame: 9 to 15, the raw length code of a classic frame of 8 octets; else 0
	Flags    Flags  // Status
	Frame    canbus.Frame
	State    canbus.BusState // State: ok, warning, passive or off
	RxErrors uint16          // State: 0 to 999; a controller counts to 255, bus-off is told as 256
	TxErrors uint16          // the same
	Text     []byte          // Fault: one letter each; Version to Text: what follows the letter; aliases what was parsed
}

// Flags are the answer to F, the status register of an SJA1000 as LAWICEL
// arranges it. Most tell what has happened since F was asked for last.
type Flags uint8

// The flags of a status; bit 4 is unused.
const (
	RxFull      Flags = 1 << 0 // the queue towards us was full: frames are lost
	TxFull      Flags = 1 << 1 // the queue towards the bus is full
	Warned      Flags = 1 << 2 // an error counter is above 96
	Overrun     Flags = 1 << 3 // the controller lost frames
	ErrPassive  Flags = 1 << 5 // an error counter is above 127
	Arbitration Flags = 1 << 6 // arbitration was lost, which is no error
	BusError    Flags = 1 << 7 // an error on the bus
)

// Errors of this package. Those of [Open] say that this device is of no use as
// it is; the caller may try again, for it may be plugged in anew.
var (
	// ErrLine is wrapped by the errors of [Parse].
	ErrLine = errors.New("not a line of an SLCAN adapter")

	// ErrMute is returned by [Open] for a device that answers nothing at all in
	// 2 s: most probably it is something else.
	ErrMute = errors.New("the device answers nothing, so it may be no SLCAN adapter; " +
		"if it is one that never answers, add mute=1 to its name")

	// ErrRefused is wrapped by the error of [Open] when the adapter cannot do
	// what the options ask for.
	ErrRefused = errors.New("the SLCAN adapter refuses")

	// ErrUnplugged is wrapped by the error of [Bus.Receive] when the device went
	// away without saying so.
	ErrUnplugged = errors.New("the device is no longer there")

	// ErrStuck is wrapped by the error of [Bus.Receive] when the device took
	// nothing that was written to it for 2 s.
	ErrStuck = errors.New("the device takes nothing any more")

	// ErrListenOnly is returned by [Bus.Send] on a bus that was opened with
	// Listen.
	ErrListenOnly = errors.New("the adapter is listen-only")

	// ErrClassicOnly is returned by [Bus.Send] for an FD frame on a bus that was
	// opened without Data.
	ErrClassicOnly = errors.New("the adapter is opened for classic CAN only")
)

// The ways in which a line is malformed: values, so that parsing a flood of them
// allocates nothing.
var (
	errShort   = fmt.Errorf("%w: it ends too early", ErrLine)
	errLength  = fmt.Errorf("%w: its length is not what its length code says", ErrLine)
	errHex     = fmt.Errorf("%w: a hexadecimal digit is none", ErrLine)
	errID      = fmt.Errorf("%w: the identifier is too large", ErrLine)
	errStamp   = fmt.Errorf("%w: a time stamp of a minute or more", ErrLine)
	errMore    = fmt.Errorf("%w: there is more than belongs to it", ErrLine)
	errState   = fmt.Errorf("%w: no such state or counter", ErrLine)
	errFaults  = fmt.Errorf("%w: no such error on the bus", ErrLine)
	errText    = fmt.Errorf("%w: it is not printable", ErrLine)
	errTooLong = fmt.Errorf("%w: it is too long", ErrLine)
	errKind    = fmt.Errorf("%w: there is no such kind", ErrLine)
)
