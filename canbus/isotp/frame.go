package isotp

import (
	"encoding/binary"

	"github.com/headunit-agent/headunit/canbus"
)

// A pci is the protocol control information of a frame and what follows it:
//
//	single       0L                 L 1..7, 1..6 behind an address octet
//	             00 LL              in FD frames of more than 8 octets
//	first        1L LL              12-bit length
//	             10 00 LL LL LL LL  32-bit length, above 4,095
//	consecutive  2N                 N 1..15, 0, 1 …
//	flow         3S BS ST           S 0 go, 1 wait, 2 overflow
type pci struct {
	kind   byte // the upper four bits of the first octet
	low    byte // the lower four: sequence number, flow status
	length uint32
	block  byte
	stmin  byte
	frame  int // octets of the frame
	data   []byte
}

const (
	single = iota
	first
	consecutive
	flow
)

const (
	goOn = iota
	wait
	overflow
)

// parse reads a frame that goes to a. ok is false for what the standard has a
// receiver ignore: frames of others, lengths that cannot be, unknown kinds.
func (a *Address) parse(f *canbus.Frame) (p pci, ok bool) {
	b, ok := a.body(f)
	if !ok {
		return pci{}, false
	}
	p = pci{kind: b[0] >> 4, low: b[0] & 15, frame: int(f.Len)}
	switch p.kind {
	case single:
		return p.single(b, a.before())
	case first:
		return p.first(b, a.before())
	case consecutive:
		p.data = b[1:]
		return p, len(p.data) > 0
	case flow:
		if len(b) < 3 {
			return p, false
		}
		p.block, p.stmin = b[1], b[2]
		return p, true
	}
	return p, false
}

func (p pci) single(b []byte, before int) (pci, bool) {
	n, at := int(p.low), 1
	if p.frame > canbus.MaxLen {
		if p.low != 0 || len(b) < 2 { // the short form does not exist in long frames
			return p, false
		}
		n, at = int(b[1]), 2
		if n <= 7-before { // it would have fitted the short form
			return p, false
		}
	}
	if n == 0 || n > len(b)-at {
		return p, false
	}
	p.length, p.data = uint32(n), b[at:at+n]
	return p, true
}

func (p pci) first(b []byte, before int) (pci, bool) {
	if p.frame < canbus.MaxLen { // a first frame is full
		return p, false
	}
	p.length, p.data = uint32(p.low)<<8|uint32(b[1]), b[2:]
	if p.length == 0 {
		p.length, p.data = binary.BigEndian.Uint32(b[2:]), b[6:]
		return p, p.length > MaxPayload
	}
	return p, p.length > uint32(singleMost(p.frame, before))
}

// singleMost is the longest payload of a single frame in a sender's longest
// frame, behind an address octet or not.
func singleMost(length, before int) int {
	if length > canbus.MaxLen {
		return length - 2 - before
	}
	return length - 1 - before
}

// frame makes a frame to a: the address octet if it has one, body, padding.
func (l *Link) frame(a *Address, body []byte) canbus.Frame {
	f := canbus.Frame{ID: a.Send}
	if a.Extended {
		f.Flags |= canbus.Extended
	}
	if l.FD {
		f.Flags |= canbus.FD
		if l.BRS {
			f.Flags |= canbus.BRS
		}
	}
	n := a.before()
	if a.Octet {
		f.Data[0] = a.To
	}
	n += copy(f.Data[n:], body)
	full := n
	switch {
	case n > canbus.MaxLen:
		full = canbus.LenOf(canbus.DLC(n), true)
	case l.Padding != Short:
		full = canbus.MaxLen
	}
	for ; n < full; n++ {
		f.Data[n] = l.Padding.fill()
	}
	f.Len = uint8(full)
	return f
}

func (l *Link) flow(a *Address, status byte) canbus.Frame {
	return l.frame(a, []byte{flow<<4 | status, l.Block, l.STmin})
}
