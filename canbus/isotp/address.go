package isotp

import (
	"fmt"

	"github.com/headunit-agent/headunit/canbus"
)

// An Address is the way to one control unit and back, in one of the addressing
// formats of ISO 15765-2. Make one with [Normal], [Normal29], [Fixed], [Mixed29],
// and [Address.Extend] or [Address.Mix]. It is comparable.
type Address struct {
	Send, Receive uint32 // identifiers
	Extended      bool   // both have 29 bits
	Octet         bool   // data begin with an address octet (extended and mixed addressing)
	To, From      byte   // the octets of what is sent and received, if Octet
}

// Normal is normal addressing with 11-bit identifiers.
func Normal(send, receive uint32) Address { return Address{Send: send, Receive: receive} }

// Normal29 is normal addressing with 29-bit identifiers.
func Normal29(send, receive uint32) Address {
	return Address{Send: send, Receive: receive, Extended: true}
}

// Fixed is normal fixed addressing of one unit: 18DAxxyy.
func Fixed(target, source byte) Address { return fixed(0x18DA0000, 0x18DA0000, target, source) }

// FixedGroup is normal fixed addressing of all units: 18DBxxyy. Nothing is
// received at it: each unit answers from its own address.
func FixedGroup(target, source byte) Address { return fixed(0x18DB0000, 0x18DA0000, target, source) }

// Mixed29 is mixed addressing of one unit with 29 bits: 18CExxyy and an octet.
func Mixed29(target, source, extension byte) Address {
	return fixed(0x18CE0000, 0x18CE0000, target, source).Mix(extension)
}

func fixed(send, receive uint32, target, source byte) Address {
	return Normal29(send|uint32(target)<<8|uint32(source), receive|uint32(source)<<8|uint32(target))
}

// Extend makes extended addressing of a: the first octet of a frame is the
// address of the unit that it goes to.
func (a Address) Extend(target, source byte) Address {
	a.Octet, a.To, a.From = true, target, source
	return a
}

// Mix makes mixed addressing of a: the first octet of a frame is the address
// extension, the same both ways.
func (a Address) Mix(extension byte) Address { return a.Extend(extension, extension) }

// Reverse is a as the other side sees it.
func (a Address) Reverse() Address {
	a.Send, a.Receive, a.To, a.From = a.Receive, a.Send, a.From, a.To
	return a
}

// Check reports whether a can be on a bus.
func (a Address) Check() error {
	most := uint32(canbus.MaxStandardID)
	if a.Extended {
		most = canbus.MaxExtendedID
	}
	if a.Send > most || a.Receive > most {
		return fmt.Errorf("%w: %v has an identifier that is too large", ErrAddress, a)
	}
	return nil
}

func (a Address) String() string {
	width := 3
	if a.Extended {
		width = 8
	}
	s := fmt.Sprintf("%0*X/%0*X", width, a.Send, width, a.Receive)
	if a.Octet {
		s += fmt.Sprintf(" %02X/%02X", a.To, a.From)
	}
	return s
}

// before is the number of octets before the protocol control information.
func (a *Address) before() int {
	if a.Octet {
		return 1
	}
	return 0
}

// body is what f carries for the receiver of a, without the address octet.
func (a *Address) body(f *canbus.Frame) ([]byte, bool) {
	switch {
	case f.ID != a.Receive || f.Flags&canbus.Extended != 0 != a.Extended:
		return nil, false
	case f.Flags&(canbus.Remote|canbus.Error) != 0:
		return nil, false
	case !a.Octet:
		return f.Payload(), f.Len > 0
	case f.Len < 2 || f.Data[0] != a.From:
		return nil, false
	}
	return f.Payload()[1:], true
}
