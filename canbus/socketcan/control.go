package socketcan

import (
	"encoding/binary"
	"time"
)

// Control messages that come with a frame (level SOL_SOCKET). Their numbers are
// those of ARM and x86.
const (
	levelSocket   = 1
	typeStampsOld = 37 // SO_TIMESTAMPING: seconds and nanoseconds are words
	typeStampsNew = 65 // SO_TIMESTAMPING_NEW: 64 bits each, on 32-bit machines too
	typeDrops     = 40 // SO_RXQ_OVFL
)

// A control is what the kernel says about one frame.
type control struct {
	at       time.Time // zero: it said nothing
	drops    uint32    // frames this socket has lost so far; it wraps
	hasDrops bool
}

// parseControl reads control messages as a machine with words of 4 or 8 octets
// lays them out. What is cut off or unknown is passed over.
func parseControl(b []byte, word int) (c control) {
	head := word + 8 // length (a word), level, type
	for len(b) >= head {
		n := int(min(integer(b, word), uint64(len(b)))) // cut off: as much as there is
		if n < head {
			return c
		}
		if binary.NativeEndian.Uint32(b[word:]) == levelSocket {
			c.take(binary.NativeEndian.Uint32(b[word+4:]), b[head:n], word)
		}
		b = b[min((n+word-1)&^(word-1), len(b)):]
	}
	return c
}

func (c *control) take(kind uint32, data []byte, word int) {
	switch kind {
	case typeStampsNew:
		c.at = stamp(data, 8)
	case typeStampsOld:
		if c.at.IsZero() {
			c.at = stamp(data, word)
		}
	case typeDrops:
		if len(data) >= 4 {
			c.drops, c.hasDrops = binary.NativeEndian.Uint32(data), true
		}
	}
}

// stamp picks one of three: by the system's clock, one of no use, by the
// controller's clock. The system's is the same for all buses.
func stamp(data []byte, word int) time.Time {
	if len(data) < 6*word {
		return time.Time{}
	}
	for _, i := range []int{0, 2} {
		sec, nsec := integer(data[2*i*word:], word), integer(data[(2*i+1)*word:], word)
		if sec|nsec != 0 {
			return time.Unix(int64(sec), int64(nsec))
		}
	}
	return time.Time{}
}

func integer(b []byte, word int) uint64 {
	if word == 4 {
		return uint64(binary.NativeEndian.Uint32(b))
	}
	return binary.NativeEndian.Uint64(b)
}
