package canbus

import (
	"fmt"
	"time"
)

// A parser reads one line of candump text from left to right. known is an
// interface name met before: it saves an allocation for each line.
type parser[T string | []byte] struct {
	s     T
	at    int
	known string
}

func (p *parser[T]) fail(at int, format string, args ...any) error {
	return &ParseError{Col: at + 1, Text: fmt.Sprintf(format, args...)}
}

func (p *parser[T]) line() (l Line, ok bool, err error) {
	p.trimEnd()
	p.blanks()
	if p.at == len(p.s) || p.s[p.at] == '#' {
		return Line{}, false, nil
	}
	if p.s[p.at] == '(' {
		if err := p.stamp(&l); err != nil {
			return Line{}, false, err
		}
	}
	if err := p.iface(&l); err != nil {
		return Line{}, false, err
	}
	if err := p.frame(&l); err != nil {
		return Line{}, false, err
	}
	if p.at < len(p.s) { // the direction, which says nothing we keep
		if p.blanks() == 0 {
			return Line{}, false, p.fail(p.at, "%q does not belong to a frame", p.s[p.at])
		}
		if rest := string(p.s[p.at:]); rest != "R" && rest != "T" {
			return Line{}, false, p.fail(p.at, "only a direction, R or T, may follow the frame")
		}
	}
	return l, true, nil
}

// trimEnd drops one line end (LF or CR LF) and the blanks before it.
func (p *parser[T]) trimEnd() {
	n := len(p.s)
	if n > 0 && p.s[n-1] == '\n' {
		n--
	}
	if n > 0 && p.s[n-1] == '\r' {
		n--
	}
	for n > 0 && blank(p.s[n-1]) {
		n--
	}
	p.s = p.s[:n]
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

func (p *parser[T]) blanks() (n int) {
	for p.at < len(p.s) && blank(p.s[p.at]) {
		p.at++
		n++
	}
	return n
}

// digits reads at most most decimal digits.
func (p *parser[T]) digits(most int) (v uint64, n int) {
	for p.at < len(p.s) && n < most && '0' <= p.s[p.at] && p.s[p.at] <= '9' {
		v = v*10 + uint64(p.s[p.at]-'0')
		p.at++
		n++
	}
	return v, n
}

// take reads c if it is next.
func (p *parser[T]) take(c byte) bool {
	if p.at < len(p.s) && p.s[p.at] == c {
		p.at++
		return true
	}
	return false
}

// stamp reads "(seconds.fraction) ". Seconds beyond 12 digits are no time.
func (p *parser[T]) stamp(l *Line) error {
	p.at++
	sec, n := p.digits(12)
	if n == 0 {
		return p.fail(p.at, "a time stamp is (seconds.fraction), and seconds are digits")
	}
	if !p.take('.') {
		return p.fail(p.at, "a time stamp needs a point after at most 12 digits of seconds")
	}
	frac, n := p.digits(9)
	if n == 0 {
		return p.fail(p.at, "a time stamp needs 1 to 9 digits after the point")
	}
	for ; n < 9; n++ {
		frac *= 10
	}
	if !p.take(')') {
		return p.fail(p.at, "a time stamp ends with ) after 1 to 9 digits of fraction")
	}
	if p.blanks() == 0 {
		return p.fail(p.at, "a blank must follow the time stamp")
	}
	l.At, l.HasTime = time.Unix(int64(sec), int64(frac)).UTC(), true
	return nil
}

func (p *parser[T]) iface(l *Line) error {
	from := p.at
	for p.at < len(p.s) && !blank(p.s[p.at]) {
		if c := p.s[p.at]; c <= ' ' || c > '~' || c == '#' || c == '(' {
			return p.fail(from, "an interface name such as can0 must stand before the frame")
		}
		p.at++
	}
	switch n := p.at - from; {
	case n == 0:
		return p.fail(from, "an interface name such as can0 must stand before the frame")
	case n > maxInterface:
		return p.fail(from, "an interface name has at most %d characters", maxInterface)
	}
	if string(p.s[from:p.at]) == p.known {
		l.Interface = p.known
	} else {
		l.Interface = string(p.s[from:p.at])
	}
	if p.blanks() == 0 {
		return p.fail(p.at, "a frame, identifier#data, must follow the interface")
	}
	return nil
}

func (p *parser[T]) frame(l *Line) error {
	f := &l.Frame
	if err := p.identifier(f); err != nil {
		return err
	}
	if p.take('#') {
		return p.fd(f)
	}
	if p.take('R') || p.take('r') {
		return p.remote(l)
	}
	from := p.at
	if err := p.data(f, MaxLen); err != nil {
		return err
	}
	if !ValidLen(int(f.Len)) {
		return p.fail(from, "a classic frame has at most 8 octets")
	}
	return p.rawDLC(l)
}

// identifier reads 3 digits (11 bits) or 8 digits (29 bits, or bit 29 and the
// classes of an error frame), and the # behind them.
func (p *parser[T]) identifier(f *Frame) error {
	from, v := p.at, uint32(0)
	for p.at < len(p.s) && p.at-from < 9 {
		d, ok := hexDigit(p.s[p.at])
		if !ok {
			break
		}
		v = v<<4 | uint32(d)
		p.at++
	}
	switch n := p.at - from; {
	case n == 3 && v > MaxStandardID:
		return p.fail(from, "%03X does not fit 11 bits: the largest is 7FF, and 29 bits are written with 8 digits", v)
	case n == 8 && v > MaxExtendedID|errorBit:
		return p.fail(from, "%08X does not fit 29 bits: the largest is 1FFFFFFF", v)
	case n == 8 && v&errorBit != 0:
		f.ID, f.Flags = v&^errorBit, Error
	case n == 8:
		f.ID, f.Flags = v, Extended
	case n == 3:
		f.ID = v
	default:
		return p.fail(from, "an identifier has 3 or 8 hexadecimal digits")
	}
	if !p.take('#') {
		return p.fail(p.at, "# must follow the identifier")
	}
	return nil
}

func (p *parser[T]) fd(f *Frame) error {
	from := p.at
	if f.Flags&Error != 0 {
		return p.fail(from-1, "an error frame has no FD form")
	}
	if p.at == len(p.s) {
		return p.fail(from, "an FD frame has a flag digit after ##")
	}
	bits, ok := hexDigit(p.s[p.at])
	if !ok || bits > 7 {
		return p.fail(from, "the flag digit of an FD frame is 0 to 7: 1 BRS, 2 ESI, 4 FDF")
	}
	p.at++
	f.Flags |= FD
	if bits&1 != 0 {
		f.Flags |= BRS
	}
	if bits&2 != 0 {
		f.Flags |= ESI
	}
	from = p.at
	if err := p.data(f, MaxLenFD); err != nil {
		return err
	}
	if !ValidLen(int(f.Len)) {
		return p.fail(from, "an FD frame has 0 to 8, 12, 16, 20, 24, 32, 48 or 64 octets, not %d", f.Len)
	}
	return nil
}

func (p *parser[T]) remote(l *Line) error {
	f := &l.Frame
	if f.Flags&Error != 0 {
		return p.fail(p.at-1, "an error frame has no remote form")
	}
	f.Flags |= Remote
	if n, ok := uint64(0), p.at < len(p.s) && !blank(p.s[p.at]); ok {
		from := p.at
		if n, _ = p.digits(1); from == p.at || n > MaxLen {
			return p.fail(from, "the length of a remote frame is one digit, 0 to 8")
		}
		f.Len = uint8(n)
	}
	return p.rawDLC(l)
}

// data reads pairs of hexadecimal digits as far as they go.
func (p *parser[T]) data(f *Frame, most int) error {
	for n := 0; p.at < len(p.s); n++ {
		hi, ok := hexDigit(p.s[p.at])
		if !ok {
			break
		}
		if n == most {
			return p.fail(p.at, "the frame has more than %d octets", most)
		}
		if p.at+1 == len(p.s) {
			return p.fail(p.at, "data are pairs of hexadecimal digits: one is missing")
		}
		lo, ok := hexDigit(p.s[p.at+1])
		if !ok {
			return p.fail(p.at+1, "data are pairs of hexadecimal digits, and this is none")
		}
		f.Data[n] = hi<<4 | lo
		f.Len++
		p.at += 2
	}
	if p.at < len(p.s) && !blank(p.s[p.at]) && p.s[p.at] != '_' {
		return p.fail(p.at, "%q is no hexadecimal digit", p.s[p.at])
	}
	return nil
}

// rawDLC reads "_C": the length code where it says more than the 8 octets that
// a classic frame can have.
func (p *parser[T]) rawDLC(l *Line) error {
	from := p.at
	if !p.take('_') {
		return nil
	}
	if l.Frame.Len != MaxLen || l.Frame.Flags&Error != 0 {
		return p.fail(from, "a raw length code belongs to a frame of 8 octets")
	}
	if p.at == len(p.s) {
		return p.fail(p.at, "a raw length code is one digit, 9 to F")
	}
	c, ok := hexDigit(p.s[p.at])
	if !ok || c <= MaxLen {
		return p.fail(p.at, "a raw length code is one digit, 9 to F")
	}
	p.at++
	l.DLC = c
	return nil
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
