package isotp

import "time"

// A Receiver puts together what one control unit sends. It goes on for ever, one
// payload after the other. Only the newest value of it may be used: the octets
// gathered so far are shared with the ones before.
type Receiver struct {
	Phase    Phase     // "" or Idle, Flow, Moving
	Deadline time.Time // zero: idle

	link   *Link
	from   Address
	got    []byte
	length uint32 // announced
	frame  int    // octets of the first frame: every consecutive one but the last is as long
	number byte   // expected
	left   int    // consecutive frames until our next flow control; -1: all
}

// Receiver waits for what comes from a. Flow control goes to a's Send.
func (l *Link) Receiver(a Address) (Receiver, error) {
	if err := l.Check(); err != nil {
		return Receiver{}, err
	}
	if err := a.Check(); err != nil {
		return Receiver{}, err
	}
	return Receiver{Phase: Idle, link: l, from: a}, nil
}

// Receiving reports whether a payload began and did not end yet.
func (r *Receiver) Receiving() bool { return !r.Deadline.IsZero() }

// Step is what happens next. A passed deadline ends the reception before e is
// looked at, so one step may report that end and the beginning of the next.
func (r Receiver) Step(now time.Time, e Event) (Receiver, Output) {
	var o Output
	if r.link == nil {
		return r, o // the zero Receiver hears nothing
	}
	if due(now, r.Deadline) {
		if o.Err = ErrCr; r.Phase == Flow {
			o.Err = ErrAr
		}
		r = r.idle()
	}
	switch e.Kind {
	case Sent:
		if r.Phase == Flow {
			r = r.wait(now)
		}
	case Heard:
		p, ok := r.from.parse(e.Frame)
		if !ok {
			break
		}
		switch p.kind {
		case single:
			return r.single(p, o)
		case first:
			return r.first(now, p, o, e.Full)
		case consecutive:
			if r.Receiving() {
				return r.next(now, p)
			}
		}
	case Tick, Begin:
	}
	return r, o
}

func (r Receiver) single(p pci, o Output) (Receiver, Output) {
	if r.Receiving() {
		o.Err = ErrReplaced
	}
	r = r.idle()
	if o.Done = p.length <= r.link.most(); o.Done {
		r.got = append(r.got[:0], p.data...)
		o.Payload = r.got
	}
	return r, o
}

func (r Receiver) first(now time.Time, p pci, o Output, full bool) (Receiver, Output) {
	running := r.Receiving()
	if running {
		o.Err = ErrReplaced
	}
	r = r.idle()
	if most := p.length > r.link.most(); most || full && !running {
		if o.Err = ErrOverflow; !most {
			o.Err = ErrFull
		}
		if o.Send = !r.link.Quiet; o.Send {
			o.Frame = r.link.flow(&r.from, overflow)
		}
		return r, o
	}
	if cap(r.got) > 2*(MaxPayload+1) {
		r.got = nil // one huge payload does not hold its memory for ever
	}
	r.got = append(r.got[:0], p.data...)
	r.length, r.frame, r.number = p.length, p.frame, 1
	return r.ask(now, o)
}

// ask sends flow control, and starts a block.
func (r Receiver) ask(now time.Time, o Output) (Receiver, Output) {
	if r.left = int(r.link.Block); r.left == 0 || r.link.Quiet {
		r.left = -1
	}
	if r.link.Quiet {
		return r.wait(now), o
	}
	r.Phase, r.Deadline = Flow, now.Add(limit(r.link.Ar))
	o.Send, o.Frame = true, r.link.flow(&r.from, goOn)
	return r, o
}

func (r Receiver) wait(now time.Time) Receiver {
	r.Phase, r.Deadline = Moving, now.Add(limit(r.link.Cr))
	return r
}

func (r Receiver) next(now time.Time, p pci) (Receiver, Output) {
	missing := int(r.length) - len(r.got)
	switch {
	case p.frame > r.frame, p.frame < r.frame && len(p.data) < missing:
		return r, Output{} // no frame of this transfer can have that length
	case p.low != r.number:
		return r.idle(), Output{Err: ErrSequence}
	}
	r.got = append(r.got, p.data[:min(len(p.data), missing)]...)
	r.number = (r.number + 1) & 15
	if len(r.got) == int(r.length) {
		r = r.idle()
		return r, Output{Done: true, Payload: r.got}
	}
	if r.left > 0 {
		if r.left--; r.left == 0 {
			return r.ask(now, Output{})
		}
	}
	return r.wait(now), Output{}
}

// idle forgets the reception; its memory serves the next.
func (r Receiver) idle() Receiver {
	r.Phase, r.Deadline = Idle, time.Time{}
	return r
}
