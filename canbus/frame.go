// Package canbus holds what every CAN device here has in common: a [Frame] is a
// value, a [Bus] receives and sends frames, and candump text is the form in
// which people read them. It opens no device; the packages below it do.
package canbus

import (
	"errors"
	"fmt"
	"time"
)

// Flags say what kind of frame a [Frame] is. The zero value is a classic data
// frame with an 11-bit identifier.
type Flags uint8

// The flags of a frame (ISO 11898-1). FD frames have no remote form.
const (
	Extended Flags = 1 << iota // 29-bit identifier
	Remote                     // remote frame: a length and no data
	Error                      // error frame: ID holds the classes of linux/can/error.h; goes with no other flag
	FD                         // CAN FD format
	BRS                        // FD: data phase at the second bit rate
	ESI                        // FD: the sender is error-passive
)

// The limits of ISO 11898-1.
const (
	MaxStandardID = 1<<11 - 1
	MaxExtendedID = 1<<29 - 1
	MaxLen        = 8  // octets of a classic frame
	MaxLenFD      = 64 // octets of an FD frame
)

// A Frame is one CAN frame, classic or FD. It is comparable and holds no
// pointers. ID never carries flag bits, and octets of Data beyond Len are zero.
type Frame struct {
	ID    uint32
	Flags Flags
	Len   uint8
	Data  [64]byte
}

// An Rx is a received frame.
type Rx struct {
	Frame
	At  time.Time // of the kernel or the adapter; of arrival where neither knows
	Own bool      // this very end sent it, and it went out
}

// ErrFrame is what [Frame.Check] finds.
var ErrFrame = errors.New("no such CAN frame")

// Check reports whether f could be on a bus: identifier within its format, a
// length that exists, flags that go together, nothing beyond Len.
func (f *Frame) Check() error {
	switch wide := f.Flags&(Extended|Error) != 0; { // an error frame's classes take 29 bits
	case f.Flags&^(Extended|Remote|Error|FD|BRS|ESI) != 0:
		return fmt.Errorf("%w: %X has flags that do not exist", ErrFrame, f.ID)
	case f.Flags&Error != 0 && f.Flags != Error:
		return fmt.Errorf("%w: %X is an error frame and something else", ErrFrame, f.ID)
	case wide && f.ID > MaxExtendedID, !wide && f.ID > MaxStandardID:
		return fmt.Errorf("%w: identifier %X is too large for its format", ErrFrame, f.ID)
	case f.Flags&FD == 0 && f.Flags&(BRS|ESI) != 0:
		return fmt.Errorf("%w: %X has FD flags and is not FD", ErrFrame, f.ID)
	case f.Flags&FD != 0 && f.Flags&Remote != 0:
		return fmt.Errorf("%w: %X is FD and remote", ErrFrame, f.ID)
	case f.Flags&FD == 0 && f.Len > MaxLen, !ValidLen(int(f.Len)):
		return fmt.Errorf("%w: %X has a length of %d", ErrFrame, f.ID, f.Len)
	}
	from := int(f.Len)
	if f.Flags&Remote != 0 {
		from = 0
	}
	for _, b := range f.Data[from:] {
		if b != 0 {
			return fmt.Errorf("%w: %X has data beyond its length", ErrFrame, f.ID)
		}
	}
	return nil
}

// Payload is the data of f; it aliases f.
func (f *Frame) Payload() []byte {
	if f.Flags&Remote != 0 {
		return nil
	}
	return f.Data[:min(int(f.Len), len(f.Data))]
}

var lengths = [16]uint8{0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64}

// ValidLen reports whether n octets can be the length of a frame (for more than
// 8, of an FD frame).
func ValidLen(n int) bool {
	return 0 <= n && n <= MaxLenFD && int(lengths[DLC(n)]) == n
}

// DLC is the smallest data length code that holds n octets, for n of 0 to 64.
func DLC(n int) uint8 {
	for c, l := range lengths {
		if int(l) >= n {
			return uint8(c)
		}
	}
	return 15
}

// LenOf is the number of octets that a data length code stands for. On classic
// CAN the codes 9 to 15 mean 8 octets.
func LenOf(dlc uint8, fd bool) int {
	if n := int(lengths[dlc&15]); fd || n <= MaxLen {
		return n
	}
	return MaxLen
}
