package slcan

import (
	"encoding/binary"
	"fmt"

	"github.com/headunit-agent/headunit/canbus"
)

const upper = "0123456789ABCDEF"

// Append adds to dst the line that sends f, with its CR. It fails with
// [canbus.ErrFrame] for what has no such line: error frames, the ESI flag, and
// what cannot be on a bus. With room in dst it allocates nothing.
func Append(dst []byte, f *canbus.Frame) ([]byte, error) {
	letter := letters[f.Flags&63]
	fd := f.Flags&canbus.FD != 0
	most := uint32(canbus.MaxStandardID)
	if f.Flags&canbus.Extended != 0 {
		most = canbus.MaxExtendedID
	}
	switch {
	case letter == 0 || f.Flags > 63:
		return dst, fmt.Errorf("%w: no line of SLCAN can carry the flags %X", canbus.ErrFrame, f.Flags)
	case f.ID > most:
		return dst, fmt.Errorf("%w: identifier %X is too large for its format", canbus.ErrFrame, f.ID)
	case !fd && f.Len > canbus.MaxLen, !canbus.ValidLen(int(f.Len)):
		return dst, fmt.Errorf("%w: %X has a length of %d", canbus.ErrFrame, f.ID, f.Len)
	}
	dst = appendFrame(dst, letter, f, canbus.DLC(int(f.Len)))
	return append(dst, cr), nil
}

// letters are the letters of the frames that a line can carry.
var letters = [64]byte{
	0: 't', canbus.Extended: 'T',
	canbus.Remote: 'r', canbus.Remote | canbus.Extended: 'R',
	canbus.FD: 'd', canbus.FD | canbus.Extended: 'D',
	canbus.FD | canbus.BRS: 'b', canbus.FD | canbus.BRS | canbus.Extended: 'B',
}

func appendFrame(dst []byte, letter byte, f *canbus.Frame, dlc uint8) []byte {
	dst = append(dst, letter)
	if f.Flags&canbus.Extended != 0 {
		dst = appendHex(dst, f.ID>>12, 5)
	}
	dst = appendHex(dst, f.ID, 3)
	dst = append(dst, upper[dlc&15])
	data := f.Payload()
	from := len(dst)
	dst = append(dst, blank[:2*len(data)]...)
	text := dst[from:]
	for len(data) >= 4 { // all of a long frame; one octet at a time would take 70 ns
		binary.BigEndian.PutUint64(text, eight(binary.BigEndian.Uint32(data)))
		data, text = data[4:], text[8:]
	}
	for i, b := range data {
		text[2*i], text[2*i+1] = upper[b>>4], upper[b&15]
	}
	return dst
}

var blank [2 * canbus.MaxLenFD]byte

// eight are the digits of v, the first one in the highest octet.
func eight(v uint32) uint64 {
	w := uint64(v) // one nibble to an octet
	w = (w | w<<16) & 0x0000FFFF0000FFFF
	w = (w | w<<8) & 0x00FF00FF00FF00FF
	w = (w | w<<4) & 0x0F0F0F0F0F0F0F0F
	letter := (w + 0x0606060606060606) >> 4 & 0x0101010101010101 // 1 where it is above 9
	return w + 0x3030303030303030 + letter*('A'-'9'-1)
}

func appendHex(dst []byte, v uint32, digits int) []byte {
	for i := digits - 1; i >= 0; i-- {
		dst = append(dst, upper[v>>(4*i)&15])
	}
	return dst
}

// Append adds l to dst as an adapter sends it, with its CR. It fails for what
// [Parse] would not read.
func (l *Line) Append(dst []byte) ([]byte, error) {
	from := len(dst)
	switch l.Kind {
	case OK:
	case Sent:
		dst = append(dst, 'z')
	case SentExtended:
		dst = append(dst, 'Z')
	case Frame:
		return l.appendFrame(dst)
	case Status:
		dst = appendHex(append(dst, 'F'), uint32(l.Flags), 2)
	case Fault:
		dst = append(append(dst, 'e', '0'+byte(len(l.Text)&15)), l.Text...)
	case State:
		dst = append(dst, 's', stateLetters[l.State])
		dst = appendDecimal(appendDecimal(dst, l.RxErrors), l.TxErrors)
	case Version, Firmware, Serial, Code, Mask:
		dst = append(append(dst, "VvNMm"[l.Kind-Version]), l.Text...)
	case Text:
		dst = append(dst, l.Text...)
	default:
		return dst, errKind
	}
	var again Line
	if err := Parse(dst[from:], &again); err != nil {
		return dst[:from], err
	}
	if again.Kind != l.Kind || again.RxErrors != l.RxErrors || again.TxErrors != l.TxErrors {
		return dst[:from], errKind
	}
	return append(dst, cr), nil
}

var stateLetters = map[canbus.BusState]byte{canbus.OK: 'a', canbus.Warning: 'w', canbus.Passive: 'p', canbus.Off: 'b'}

func appendDecimal(dst []byte, v uint16) []byte {
	return append(dst, '0'+byte(v/100%10), '0'+byte(v/10%10), '0'+byte(v%10))
}

func (l *Line) appendFrame(dst []byte) ([]byte, error) {
	from := len(dst)
	dst, err := Append(dst, &l.Frame)
	if err != nil {
		return dst, err
	}
	if l.DLC != 0 {
		if l.DLC <= canbus.MaxLen || l.DLC > 15 || l.Frame.Len != canbus.MaxLen || l.Frame.Flags&canbus.FD != 0 {
			return dst[:from], errLength
		}
		at := from + 4
		if l.Frame.Flags&canbus.Extended != 0 {
			at = from + 9
		}
		dst[at] = upper[l.DLC]
	}
	if !l.Stamped {
		return dst, nil
	}
	if l.Stamp >= Minute {
		return dst[:from], errStamp
	}
	return append(appendHex(dst[:len(dst)-1], uint32(l.Stamp), 4), cr), nil
}
