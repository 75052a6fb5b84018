package canbus

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"
)

// A Line is one line of candump text (can-utils, candump -l): a frame, when and
// where it was seen. [ParseLine] and [Line.String] are inverse for every line
// that a [Reader] accepts, except for what the text repeats or leaves open:
// letter case, digits of the time stamp, the FDF bit and the direction.
type Line struct {
	At        time.Time // UTC; meaningful if HasTime
	HasTime   bool
	Interface string // 1 to 16 visible characters
	Frame     Frame
	DLC       uint8 // 9 to 15: the raw length code of a classic frame of 8 octets; else 0
}

// A ParseError says where a text is wrong. File is empty and Line is 0 where
// the text is a single line.
type ParseError struct {
	File      string
	Line, Col int // from 1; Col counts octets
	Text      string
}

func (e *ParseError) Error() string {
	switch {
	case e.Line == 0:
		return fmt.Sprintf("column %d: %s", e.Col, e.Text)
	default:
		return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Text)
	}
}

const (
	maxInterface = 16
	errorBit     = 1 << 29 // of the identifier as candump writes it (linux/can.h)
	maxText      = 4096    // octets of a line, comments included
)

// ParseLine reads one line of candump text, with or without its line end. ok is
// false for a blank line and a comment. An error is a [*ParseError].
func ParseLine(s string) (l Line, ok bool, err error) {
	p := parser[string]{s: s}
	return p.line()
}

// String is l as candump -l writes it, without a line end.
func (l Line) String() string {
	return string(l.Append(make([]byte, 0, 80)))
}

// Append adds l to dst as [Line.String] does. Times are written in
// microseconds, or in nanoseconds where they would lose something.
func (l Line) Append(dst []byte) []byte {
	if l.HasTime {
		dst = append(dst, '(')
		dst = appendDecimal(dst, uint64(max(l.At.Unix(), 0)), 10)
		dst = append(dst, '.')
		if ns := uint64(l.At.Nanosecond()); ns%1000 == 0 {
			dst = appendDecimal(dst, ns/1000, 6)
		} else {
			dst = appendDecimal(dst, ns, 9)
		}
		dst = append(dst, ") "...)
	}
	if l.Interface == "" {
		dst = append(dst, "any"...) // candump's own word
	}
	dst = append(dst, l.Interface...)
	dst = append(dst, ' ')
	return l.appendFrame(dst)
}

func (l *Line) appendFrame(dst []byte) []byte {
	f := &l.Frame
	switch {
	case f.Flags&Error != 0:
		dst = appendHex(dst, f.ID|errorBit, 8)
	case f.Flags&Extended != 0:
		dst = appendHex(dst, f.ID, 8)
	default:
		dst = appendHex(dst, f.ID, 3)
	}
	dst = append(dst, '#')
	switch {
	case f.Flags&FD != 0:
		dst = append(dst, '#', upper[fdBits(f.Flags)])
	case f.Flags&Remote != 0:
		dst = append(dst, 'R')
		if f.Len > 0 {
			dst = append(dst, upper[f.Len&15])
		}
	}
	for _, b := range f.Payload() {
		dst = append(dst, upper[b>>4], upper[b&15])
	}
	if l.DLC > MaxLen {
		dst = append(dst, '_', upper[l.DLC&15])
	}
	return dst
}

// fdBits is the flag digit of an FD frame (linux/can.h: CANFD_BRS, CANFD_ESI).
func fdBits(f Flags) (n uint8) {
	if f&BRS != 0 {
		n |= 1
	}
	if f&ESI != 0 {
		n |= 2
	}
	return n
}

const upper = "0123456789ABCDEF"

func appendHex(dst []byte, v uint32, digits int) []byte {
	for i := digits - 1; i >= 0; i-- {
		dst = append(dst, upper[v>>(4*i)&15])
	}
	return dst
}

func appendDecimal(dst []byte, v uint64, digits int) []byte {
	var b [20]byte
	i := len(b)
	for ; v > 0 || digits > 0; digits-- {
		i--
		b[i] = byte('0' + v%10)
		v /= 10
	}
	return append(dst, b[i:]...)
}

// A Reader reads candump text line by line and never holds more than one line.
type Reader struct {
	name  string
	r     *bufio.Reader
	n     int
	known string
}

// NewReader reads from r; name is what its errors call the file.
func NewReader(name string, r io.Reader) *Reader {
	return &Reader{name: name, r: bufio.NewReaderSize(r, maxText)}
}

// Next is the next frame of the recording; blank lines and comments are passed
// over. At the end the error is [io.EOF], for a bad line it is a [*ParseError]
// with file, line and column, and reading may go on after it.
func (r *Reader) Next() (Line, error) {
	for {
		text, err := r.r.ReadSlice('\n')
		r.n++
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.r.ReadSlice('\n')
			}
			return Line{}, &ParseError{r.name, r.n, maxText, fmt.Sprintf("the line is longer than %d octets", maxText)}
		case err != nil && !errors.Is(err, io.EOF):
			return Line{}, fmt.Errorf("%s:%d: %w", r.name, r.n, err)
		case err != nil && len(text) == 0:
			return Line{}, io.EOF
		}
		p := parser[[]byte]{s: text, known: r.known}
		l, ok, err := p.line()
		if e, bad := errors.AsType[*ParseError](err); bad {
			e.File, e.Line = r.name, r.n
			return Line{}, e
		}
		if ok {
			r.known = l.Interface
			return l, nil
		}
	}
}
