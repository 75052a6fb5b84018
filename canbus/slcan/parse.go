package slcan

import "github.com/headunit-agent/headunit/canbus"

// Parse reads one line without its CR or BEL and without line feeds into l.
// Letters of hexadecimal digits may be of either case. An error is one of
// [ErrLine]; l then holds nothing of use. It allocates nothing: l.Text aliases
// text.
func Parse(text []byte, l *Line) error {
	*l = Line{}
	if len(text) == 0 {
		return nil
	}
	if len(text) > MaxLine {
		return errTooLong
	}
	switch text[0] {
	case 't', 'T', 'r', 'R', 'd', 'D', 'b', 'B':
		return l.frame(text)
	case 'z':
		return l.only(Sent, text)
	case 'Z':
		return l.only(SentExtended, text)
	case 'F':
		return l.status(text)
	case 'e':
		return l.fault(text)
	case 's':
		return l.state(text)
	case 'V':
		return l.text(Version, text[1:])
	case 'v':
		return l.text(Firmware, text[1:])
	case 'N':
		return l.text(Serial, text[1:])
	case 'M':
		return l.register(Code, text[1:])
	case 'm':
		return l.register(Mask, text[1:])
	}
	return l.text(Text, text)
}

func (l *Line) only(k Kind, text []byte) error {
	if len(text) > 1 {
		return errMore
	}
	l.Kind = k
	return nil
}

// frameFlags are the flags of a frame by the letter before it.
var frameFlags = [256]canbus.Flags{
	'T': canbus.Extended,
	'r': canbus.Remote, 'R': canbus.Remote | canbus.Extended,
	'd': canbus.FD, 'D': canbus.FD | canbus.Extended,
	'b': canbus.FD | canbus.BRS, 'B': canbus.FD | canbus.BRS | canbus.Extended,
}

// frame reads letter, identifier, length code, data and time stamp. Whether
// there is a time stamp is told by the length alone: 4 digits more.
func (l *Line) frame(text []byte) error {
	f := &l.Frame
	f.Flags = frameFlags[text[0]]
	head, most := 4, uint32(canbus.MaxStandardID)
	if f.Flags&canbus.Extended != 0 {
		head, most = 9, canbus.MaxExtendedID
	}
	if len(text) <= head {
		return errShort
	}
	bad, id := uint8(0), uint32(0)
	for _, c := range text[1:head] {
		d := nibble[c]
		bad |= d
		id = id<<4 | uint32(d)
	}
	dlc := nibble[text[head]]
	if (bad|dlc)&none != 0 {
		return errHex
	}
	if id > most {
		return errID
	}
	f.ID = id
	f.Len = uint8(canbus.LenOf(dlc, f.Flags&canbus.FD != 0))
	if f.Flags&canbus.FD == 0 && dlc > canbus.MaxLen {
		l.DLC = dlc
	}
	rest, n := text[head+1:], 0
	if f.Flags&canbus.Remote == 0 {
		n = int(f.Len)
	}
	if len(rest) != 2*n {
		if len(rest) != 2*n+4 {
			return errLength
		}
		if err := l.stamp(rest[2*n:]); err != nil {
			return err
		}
	}
	if !decode(f.Data[:n], rest) {
		return errHex
	}
	l.Kind = Frame
	return nil
}

func (l *Line) stamp(text []byte) error {
	v, ok := number(text)
	switch {
	case !ok:
		return errHex
	case v >= Minute:
		return errStamp
	}
	l.Stamp, l.Stamped = uint16(v), true
	return nil
}

// status reads F and two digits.
func (l *Line) status(text []byte) error {
	if len(text) < 3 {
		return errShort
	}
	if len(text) > 3 {
		return errMore
	}
	v, ok := number(text[1:])
	if !ok {
		return errHex
	}
	l.Kind, l.Flags = Status, Flags(v)
	return nil
}

// fault reads e, a digit, and as many letters (Linux slcan: e1a, e3bcO).
func (l *Line) fault(text []byte) error {
	if len(text) < 3 {
		return errShort
	}
	letters := text[2:]
	if n := text[1]; n < '1' || n > '8' || int(n-'0') != len(letters) {
		return errFaults
	}
	for _, c := range letters {
		switch c {
		case 'a', 'b', 'B', 'c', 'f', 'o', 'O', 's':
		default:
			return errFaults
		}
	}
	l.Kind, l.Text = Fault, letters
	return nil
}

// state reads s, a letter, and the counters of receiving and sending with three
// decimal digits each (Linux slcan: sa057033).
func (l *Line) state(text []byte) error {
	switch {
	case len(text) < 8:
		return errShort
	case len(text) > 8:
		return errMore
	}
	switch text[1] {
	case 'a':
		l.State = canbus.OK
	case 'w':
		l.State = canbus.Warning
	case 'p':
		l.State = canbus.Passive
	case 'b':
		l.State = canbus.Off
	default:
		return errState
	}
	for _, c := range text[2:] {
		if c < '0' || c > '9' {
			return errState
		}
	}
	l.Kind = State
	l.RxErrors, l.TxErrors = decimal(text[2:5]), decimal(text[5:8])
	return nil
}

func decimal(three []byte) uint16 {
	return uint16(three[0]-'0')*100 + uint16(three[1]-'0')*10 + uint16(three[2]-'0')
}

func (l *Line) register(k Kind, digits []byte) error {
	switch {
	case len(digits) < 8:
		return errShort
	case len(digits) > 8:
		return errMore
	}
	if _, ok := number(digits); !ok {
		return errHex
	}
	return l.text(k, digits)
}

func (l *Line) text(k Kind, text []byte) error {
	for _, c := range text {
		if c < ' ' || c > '~' {
			return errText
		}
	}
	l.Kind, l.Text = k, text
	return nil
}

// none marks what is no hexadecimal digit: the upper half of a nibble is empty.
const none = 0xF0

var nibble = func() (t [256]uint8) {
	for c := range t {
		switch {
		case '0' <= c && c <= '9':
			t[c] = uint8(c - '0')
		case 'A' <= c && c <= 'F':
			t[c] = uint8(c-'A') + 10
		case 'a' <= c && c <= 'f':
			t[c] = uint8(c-'a') + 10
		default:
			t[c] = none
		}
	}
	return t
}()

// decode reads len(dst) octets from text, which has at least twice as many digits.
func decode(dst, text []byte) bool {
	bad := uint8(0)
	text = text[:2*len(dst)]
	for i := range dst {
		hi, lo := nibble[text[2*i]], nibble[text[2*i+1]]
		bad |= hi | lo
		dst[i] = hi<<4 | lo
	}
	return bad&none == 0
}

// number reads at most 8 digits.
func number(text []byte) (v uint32, ok bool) {
	bad := uint8(0)
	for _, c := range text {
		d := nibble[c]
		bad |= d
		v = v<<4 | uint32(d&15)
	}
	return v, bad&none == 0
}
