package socketcan

import (
	"encoding/binary"

	"github.com/headunit-agent/headunit/canbus"
)

// The kernel's frames (linux/can.h): identifier with flag bits in the machine's
// byte order, length, flags of FD, two octets of no meaning here, and the data
// from octet 8. A classic frame has room for 8 octets of data, an FD frame for
// 64, and this alone tells them apart.
const (
	sizeClassic = 16
	sizeFD      = 72
	dataAt      = 8
)

// Flag bits of the identifier.
const (
	bitExtended = 1 << 31
	bitRemote   = 1 << 30
	bitError    = 1 << 29
)

// Flags of an FD frame, in octet 5.
const (
	fdBRS = 0x01
	fdESI = 0x02
	fdFDF = 0x04 // newer kernels set it; the size says the same
)

// decode fills f from what a CAN socket gave, and reports whether that is a
// frame. Octets beyond the length are not looked at: the kernel leaves there
// what the sender had.
func decode(b []byte, f *canbus.Frame) bool {
	fd := len(b) == sizeFD
	if !fd && len(b) != sizeClassic {
		return false
	}
	word := binary.NativeEndian.Uint32(b)
	n := int(b[4])
	*f = canbus.Frame{ID: word & canbus.MaxExtendedID, Len: b[4]}
	switch {
	case !canbus.ValidLen(n), !fd && n > canbus.MaxLen:
		return false
	case word&bitError != 0:
		f.Flags = canbus.Error
		if fd || word&(bitExtended|bitRemote) != 0 {
			return false
		}
	case word&bitExtended != 0:
		f.Flags = canbus.Extended
	case f.ID > canbus.MaxStandardID:
		return false
	}
	if word&bitRemote != 0 {
		f.Flags |= canbus.Remote
		return !fd // and the data of a remote frame mean nothing
	}
	if fd {
		f.Flags |= canbus.FD
		if b[5]&fdBRS != 0 {
			f.Flags |= canbus.BRS
		}
		if b[5]&fdESI != 0 {
			f.Flags |= canbus.ESI
		}
	}
	copy(f.Data[:n], b[dataAt:dataAt+n])
	return true
}

// encode writes a frame that [canbus.Frame.Check] accepts, and returns how many
// octets of b it takes.
func encode(b *[sizeFD]byte, f *canbus.Frame) int {
	*b = [sizeFD]byte{4: f.Len}
	word := f.ID
	if f.Flags&canbus.Extended != 0 {
		word |= bitExtended
	}
	if f.Flags&canbus.Remote != 0 {
		word |= bitRemote
	}
	if f.Flags&canbus.Error != 0 {
		word |= bitError
	}
	binary.NativeEndian.PutUint32(b[:], word)
	copy(b[dataAt:], f.Payload())
	if f.Flags&canbus.FD == 0 {
		return sizeClassic
	}
	b[5] = fdFDF
	if f.Flags&canbus.BRS != 0 {
		b[5] |= fdBRS
	}
	if f.Flags&canbus.ESI != 0 {
		b[5] |= fdESI
	}
	return sizeFD
}
