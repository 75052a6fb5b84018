package socketcand

import (
	"bytes"
	"errors"
	"io"

	"github.com/headunit-agent/headunit/canbus"
)

var (
	errMore    = errors.New("the message is not complete yet")
	errOutside = errors.New("something stands outside of < and >")
	errLong    = errors.New("the message is too long")
)

// A scanner cuts a stream into messages. It holds at most len(buf) octets.
type scanner struct {
	r        io.Reader
	buf      []byte // at least 2*MaxLine
	from, to int
	outside  int // octets since the last message
}

func newScanner(r io.Reader, size int) *scanner { return &scanner{r: r, buf: make([]byte, size)} }

// next is the text between < and > of the next message that has been read,
// valid until fill. errMore asks for fill; after errOutside the next call goes
// on behind what did not belong; errLong is final.
func (s *scanner) next() ([]byte, error) {
	in := s.buf[s.from:s.to]
	start := bytes.IndexByte(in, '<')
	if start < 0 {
		start = len(in)
	}
	if start > 0 {
		s.from += start
		if s.outside += start; s.outside > MaxLine {
			return nil, errLong
		}
		if len(bytes.Trim(in[:start], " \t\r\n")) > 0 {
			return nil, errOutside
		}
		in = in[start:]
	}
	if len(in) == 0 {
		return nil, errMore
	}
	end := bytes.IndexByte(in[:min(len(in), MaxLine)], '>')
	switch again := bytes.LastIndexByte(in[:max(end, 0)], '<'); {
	case end < 0 && len(in) >= MaxLine:
		return nil, errLong
	case end < 0:
		return nil, errMore
	case again > 0: // a message that broke off, and the next one
		s.from += again
		return nil, errOutside
	}
	s.from += end + 1
	s.outside = 0
	return in[1:end], nil
}

// fill reads more, once.
func (s *scanner) fill() error {
	if s.from > 0 {
		s.to = copy(s.buf, s.buf[s.from:s.to])
		s.from = 0
	}
	n, err := s.r.Read(s.buf[s.to:])
	s.to += n
	switch {
	case n > 0:
		return nil
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

// words are the elements of a message. Several blanks separate like one: an
// empty payload leaves two in a row, in the texts of other programs too.
type words struct{ rest []byte }

func (w *words) next() []byte {
	w.rest = bytes.TrimLeft(w.rest, " \t")
	n := bytes.IndexAny(w.rest, " \t")
	if n < 0 {
		n = len(w.rest)
	}
	word := w.rest[:n]
	w.rest = w.rest[n:]
	return word
}

func (w *words) end() bool { return len(w.next()) == 0 }

// id reads 3 digits (11 bits) or 8 digits (29 bits).
func (w *words) id(f *canbus.Frame) bool {
	word := w.next()
	v, ok := hex(word, 8)
	f.ID = v
	switch len(word) {
	case 3:
		return ok && v <= canbus.MaxStandardID
	case 8:
		f.Flags |= canbus.Extended
		return ok && v <= canbus.MaxExtendedID
	}
	return false
}

func (w *words) decimal(digits int) (v uint64, ok bool) { return decimal(w.next(), digits) }

// octets reads n octets of data, each a word of its own.
func (w *words) octets(f *canbus.Frame, n int) bool {
	for i := range n {
		v, ok := hex(w.next(), 2)
		if !ok {
			return false
		}
		f.Data[i] = byte(v)
	}
	return w.end()
}

func decimal(word []byte, digits int) (v uint64, ok bool) {
	for _, c := range word {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, 0 < len(word) && len(word) <= digits
}

func hex(word []byte, digits int) (v uint32, ok bool) {
	for _, c := range word {
		d, ok := hexDigit(c)
		if !ok {
			return 0, false
		}
		v = v<<4 | uint32(d)
	}
	return v, 0 < len(word) && len(word) <= digits
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

const upper = "0123456789ABCDEF"

func appendHex(dst []byte, v uint32, digits int) []byte {
	for ; digits < 8 && v>>(4*digits) != 0; digits++ {
	}
	for i := digits - 1; i >= 0; i-- {
		dst = append(dst, upper[v>>(4*i)&15])
	}
	return dst
}

func appendID(dst []byte, f *canbus.Frame) []byte {
	if f.Flags&canbus.Extended != 0 {
		return appendHex(dst, f.ID, 8)
	}
	return appendHex(dst, f.ID, 3)
}

// The flag octet of fdsend and fdframe.
const (
	bitBRS    = 0x01
	bitESI    = 0x02
	bitFD     = 0x04
	bitRemote = 0x08
	bitOwn    = 0x80
)

func flagBits(f canbus.Flags) (n uint8) {
	for _, b := range flagTable {
		if f&b.flag != 0 {
			n |= b.bit
		}
	}
	return n
}

// flagsOf is the reverse of flagBits; ok is false for a bit that means nothing.
func flagsOf(bits uint32) (f canbus.Flags, ok bool) {
	for _, b := range flagTable {
		if bits&uint32(b.bit) != 0 {
			f |= b.flag
			bits &^= uint32(b.bit)
		}
	}
	return f, bits == 0
}

var flagTable = [...]struct {
	flag canbus.Flags
	bit  uint8
}{
	{canbus.BRS, bitBRS}, {canbus.ESI, bitESI}, {canbus.FD, bitFD}, {canbus.Remote, bitRemote},
}
