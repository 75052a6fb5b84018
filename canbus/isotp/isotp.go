// Package isotp carries payloads longer than a frame over CAN (ISO 15765-2), and
// hands out a payload only when every octet of it arrived in order: what was
// lost, doubled or overtaken ends in an error.
//
// [Sender] and [Receiver] decide: they are values that are told the time. An
// [Endpoint] drives them over a bus, and gives each control unit a [Conn]. A
// [Monitor] reassembles what others send, and sends nothing.
package isotp

import (
	"errors"
	"fmt"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// What can end a transfer (ISO 15765-2, N_Result). Nothing of it was handed out.
var (
	ErrTimeout  = errors.New("transfer timed out")
	ErrSequence = errors.New("a consecutive frame is missing, doubled or out of order")
	ErrOverflow = errors.New("the receiver has no room for the payload")
	ErrWaits    = errors.New("the receiver asked to wait too often")
	ErrFlow     = errors.New("flow control with an unknown status")
	ErrReplaced = errors.New("the sender began another payload before the end of this one")
	ErrLength   = errors.New("payload does not fit")
	ErrFull     = errors.New("too many receptions at once")
	ErrBusy     = errors.New("another payload is on its way to this address")
	ErrAddress  = errors.New("no such address")
)

// The timers that can run out; each is an [ErrTimeout].
var (
	ErrAs = fmt.Errorf("%w: N_As: the bus did not take a frame", ErrTimeout)
	ErrAr = fmt.Errorf("%w: N_Ar: the bus did not take a flow control", ErrTimeout)
	ErrBs = fmt.Errorf("%w: N_Bs: no flow control came", ErrTimeout)
	ErrCr = fmt.Errorf("%w: N_Cr: no consecutive frame came", ErrTimeout)
)

// The bounds that hold where a [Link] asks for nothing else.
const (
	MaxPayload    = 4095        // octets: what a 12-bit length can say
	MaxReceptions = 16          // at once, on one [Endpoint] or [Monitor]
	MaxWaits      = 10          // flow controls that ask to wait, one after the other
	Timeout       = time.Second // N_As, N_Ar, N_Bs, N_Cr
)

// A Link is how one side sends and what it accepts. The zero value is classic
// CAN, frames filled to 8 octets with 55, payloads up to 4,095 octets, everything
// at once and without gaps. It does not change while something uses it.
type Link struct {
	FD      bool    // CAN FD frames
	BRS     bool    // with FD: the second bit rate
	Length  int     // octets of the longest frame sent: 8 (also 0), with FD also 12 16 20 24 32 48 64
	Padding Padding // of frames that are not full
	Most    int     // octets of the longest payload accepted; 0 means 4,095
	Block   uint8   // consecutive frames between two of our flow controls; 0: all
	STmin   uint8   // gap that we ask for: 00..7F ms, F1..F9 100..900 µs
	Quiet   bool    // send no flow control: somebody else receives, we listen

	As, Ar, Bs, Cr time.Duration // timers; 0 means 1,000 ms
}

// A Padding says what fills a frame that is not full. The zero value is 55.
type Padding struct {
	octet byte
	kind  uint8 // 0: 55, 1: octet, 2: short frames
}

// Short is no padding: frames are as short as they can be. FD frames above 8
// octets, which not every length exists for, are filled with CC.
var Short = Padding{kind: 2}

// Pad is padding with b.
func Pad(b byte) Padding { return Padding{octet: b, kind: 1} }

func (p Padding) fill() byte { return [3]byte{0x55, p.octet, 0xCC}[p.kind] }

// Check reports whether l can be used.
func (l *Link) Check() error {
	switch n := l.length(); {
	case n < canbus.MaxLen || !canbus.ValidLen(n) || !l.FD && n > canbus.MaxLen:
		return fmt.Errorf("%w: there are no frames of %d octets", ErrLength, n)
	case !l.FD && l.BRS:
		return fmt.Errorf("%w: a second bit rate without FD", ErrLength)
	case l.Most < 0 || uint64(l.Most) > 1<<32-1:
		return fmt.Errorf("%w: %d octets at most", ErrLength, l.Most)
	}
	return nil
}

func (l *Link) length() int {
	if l.Length == 0 {
		return canbus.MaxLen
	}
	return l.Length
}

func (l *Link) most() uint32 {
	if l.Most == 0 {
		return MaxPayload
	}
	return uint32(l.Most)
}

func limit(d time.Duration) time.Duration {
	if d == 0 {
		return Timeout
	}
	return d
}

// Gap is the least time between two consecutive frames that the STmin octet b
// asks for. Reserved values mean the longest, 127 ms.
func Gap(b byte) time.Duration {
	switch {
	case b <= 0x7F:
		return time.Duration(b) * time.Millisecond
	case 0xF1 <= b && b <= 0xF9:
		return time.Duration(b-0xF0) * 100 * time.Microsecond
	default:
		return 0x7F * time.Millisecond
	}
}

// An EventKind is what happened to a [Sender] or a [Receiver].
type EventKind uint8

// The events. The zero value is a look at the clock.
const (
	Tick  EventKind = iota
	Begin           // a Sender may send its first frame
	Sent            // the frame of the last [Output] is on the bus
	Heard           // Frame was received; others' frames are ignored
)

// An Event is one thing that happened.
type Event struct {
	Kind  EventKind
	Frame *canbus.Frame // with Heard: not kept, not changed
	Full  bool          // with Heard: there is no room for another reception
}

// An Output is what a step asks for and what it found.
type Output struct {
	Send    bool
	Frame   canbus.Frame // to be sent, if Send
	Payload []byte       // complete; valid until the receiver's next step
	Done    bool         // the transfer of a Sender ended, well if Err is nil; or Payload is complete
	Err     error        // of the transfer that ended; a Receiver may at once hand out the next, or begin it
}

func due(now, deadline time.Time) bool { return !deadline.IsZero() && !now.Before(deadline) }
