package isotp

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// A Phase is where a transfer stands.
type Phase string

// The phases. A transfer ends in Done or Failed and stays there.
const (
	Idle   Phase = "idle"   // a Receiver that waits
	Ready  Phase = "ready"  // a Sender before Begin
	Whole  Phase = "whole"  // a single frame is handed to the bus
	Opened Phase = "opened" // the first frame is handed to the bus
	Flow   Phase = "flow"   // waiting for flow control; a Receiver: its own is handed to the bus
	Moving Phase = "moving" // a consecutive frame is handed to the bus; a Receiver: waiting for one
	Pause  Phase = "pause"  // the gap that the receiver asked for
	Done   Phase = "done"   // everything is on the bus
	Failed Phase = "failed" // it is not known what the receiver has; it handed out nothing
)

// A Sender is one payload on its way. Make it with [Link.Sender], step it with
// Begin, then with everything that happens and when Deadline has passed, until
// an [Output] is Done. Earlier values of a Sender may be kept: nothing in it is
// changed.
type Sender struct {
	Phase    Phase
	Deadline time.Time // zero: only an event goes on

	link    *Link
	to      Address
	payload []byte
	at      int // octets handed to the bus
	number  byte
	left    int // consecutive frames until the next flow control; -1: all
	gap     time.Duration
	waits   int
}

// Sender prepares to send payload to a. The payload must stay as it is until
// the end.
func (l *Link) Sender(a Address, payload []byte) (Sender, error) {
	if err := l.Check(); err != nil {
		return Sender{}, err
	}
	if err := a.Check(); err != nil {
		return Sender{}, err
	}
	if n := uint64(len(payload)); n == 0 || n > 1<<32-1 {
		return Sender{}, fmt.Errorf("%w: %d octets cannot be sent", ErrLength, n)
	}
	return Sender{Phase: Ready, link: l, to: a, payload: payload}, nil
}

// Fits reports whether n octets are a single frame to a. Only those may go to a
// functional address.
func (l *Link) Fits(a Address, n int) bool {
	return 0 < n && n <= singleMost(l.length(), a.before())
}

// Step is what happens next. It is total: what does not matter in a phase
// changes nothing.
func (s Sender) Step(now time.Time, e Event) (Sender, Output) {
	if due(now, s.Deadline) {
		switch s.Phase {
		case Pause:
			return s.next(now)
		case Flow:
			return s.fail(ErrBs)
		default:
			return s.fail(ErrAs)
		}
	}
	switch e.Kind {
	case Begin:
		if s.Phase == Ready {
			return s.begin(now)
		}
	case Sent:
		return s.sent(now)
	case Heard:
		if p, ok := s.to.parse(e.Frame); ok && p.kind == flow && s.listens() {
			return s.flow(now, p)
		}
	case Tick:
	}
	return s, Output{}
}

// listens: flow control that overtook the confirmation of our own frame confirms it.
func (s *Sender) listens() bool {
	return s.Phase == Flow || s.Phase == Opened || s.Phase == Moving && s.left == 0 && s.at < len(s.payload)
}

func (s Sender) begin(now time.Time) (Sender, Output) {
	var body [canbus.MaxLenFD]byte
	n := len(s.payload)
	if s.link.Fits(s.to, n) {
		at := 1
		body[0] = byte(n)
		if n > 7-s.to.before() {
			at, body[0], body[1] = 2, 0, byte(n)
		}
		s.at = copy(body[at:], s.payload)
		return s.hand(now, Whole, body[:at+n])
	}
	at := 2
	binary.BigEndian.PutUint16(body[:], first<<12|uint16(n))
	if n > MaxPayload {
		at = 6
		binary.BigEndian.PutUint16(body[:], first<<12)
		binary.BigEndian.PutUint32(body[2:], uint32(n))
	}
	end := s.link.length() - s.to.before()
	s.at, s.number = copy(body[at:end], s.payload), 1
	return s.hand(now, Opened, body[:end])
}

// next hands over the next consecutive frame.
func (s Sender) next(now time.Time) (Sender, Output) {
	var body [canbus.MaxLenFD]byte
	body[0] = consecutive<<4 | s.number
	n := copy(body[1:s.link.length()-s.to.before()], s.payload[s.at:])
	s.at += n
	s.number = (s.number + 1) & 15
	if s.left > 0 {
		s.left--
	}
	return s.hand(now, Moving, body[:1+n])
}

func (s Sender) hand(now time.Time, p Phase, body []byte) (Sender, Output) {
	s.Phase, s.Deadline = p, now.Add(limit(s.link.As))
	return s, Output{Send: true, Frame: s.link.frame(&s.to, body)}
}

func (s Sender) sent(now time.Time) (Sender, Output) {
	switch {
	case s.Phase == Whole, s.Phase == Moving && s.at == len(s.payload):
		s.Phase, s.Deadline = Done, time.Time{}
		return s, Output{Done: true}
	case s.Phase == Opened, s.Phase == Moving && s.left == 0:
		s.Phase, s.Deadline = Flow, now.Add(limit(s.link.Bs))
	case s.Phase == Moving && s.gap == 0:
		return s.next(now)
	case s.Phase == Moving:
		s.Phase, s.Deadline = Pause, now.Add(s.gap)
	}
	return s, Output{}
}

func (s Sender) flow(now time.Time, p pci) (Sender, Output) {
	switch p.low {
	case goOn:
		s.waits, s.gap, s.left = 0, Gap(p.stmin), int(p.block)
		if s.left == 0 {
			s.left = -1
		}
		return s.next(now)
	case wait:
		if s.waits++; s.waits > MaxWaits {
			return s.fail(ErrWaits)
		}
		s.Phase, s.Deadline = Flow, now.Add(limit(s.link.Bs))
		return s, Output{}
	case overflow:
		return s.fail(ErrOverflow)
	}
	return s.fail(ErrFlow)
}

func (s Sender) fail(err error) (Sender, Output) {
	s.Phase, s.Deadline = Failed, time.Time{}
	return s, Output{Done: true, Err: err}
}
