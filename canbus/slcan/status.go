package slcan

import (
	"context"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// A statusPoll is what is known about F.
type statusPoll struct {
	answered bool // at least once
	missed   int  // questions in a row without an answer
	off      bool // this adapter does not know it
}

// After so many questions without any answer ever, no more are asked.
const statusTries = 3

func (s *statusPoll) unanswered() {
	s.missed++
	s.off = s.off || !s.answered && s.missed >= statusTries
}

// mind gives up answers that do not come, asks for the status, and sees whether
// the device is still there.
func (b *Bus) mind() {
	every := b.opts.Poll
	if every <= 0 {
		every = pollEvery
	}
	timer := time.NewTimer(every)
	defer timer.Stop()
	for poll := time.Now().Add(every); ; {
		now := time.Now()
		if !now.Before(poll) {
			poll = now.Add(every)
			if b.unplugged() {
				b.end(ErrUnplugged)
				return
			}
			b.pollStatus()
		}
		wake := poll
		if next := b.expire(now); !next.IsZero() && next.Before(wake) {
			wake = next
		}
		timer.Reset(wake.Sub(now))
		select {
		case <-b.gone:
			return
		case <-b.nudge:
		case <-timer.C:
		}
	}
}

// pollStatus asks F, if nothing else is being written at the moment and the
// last one is not owed any more.
func (b *Bus) pollStatus() {
	b.mu.Lock()
	skip := b.opts.Poll < 0 || b.status.off || b.oldest(true) >= 0
	b.mu.Unlock()
	if skip {
		return
	}
	r := &request{ctx: context.Background(), text: []byte(cmdStatus + "\r"), done: make(chan struct{})}
	select {
	case b.requests <- r:
	default:
	}
}

// answered is a line that is no frame; mu is held, as in all that follows.
func (b *Bus) answered(now time.Time) {
	switch l := &b.parsed; l.Kind {
	case OK:
		b.confirmed(byCR, now)
	case Sent, SentExtended:
		b.confirmed(byZ, now)
	case Status:
		if i := b.oldest(true); i >= 0 {
			b.settle(i)
		}
		b.status.answered, b.status.missed = true, 0
		b.apply(l.Flags, now)
	case Fault:
		b.faults(l.Text)
	case State:
		b.told = true
		b.stats.RxErrors, b.stats.TxErrors = counter(l.RxErrors), counter(l.TxErrors)
		b.become(l.State, now)
	default: // an answer to what was asked at the start
		b.counts.Stray++
	}
}

// counter fits a counter of a line s into the 8 bits a controller has.
func counter(v uint16) uint8 { return uint8(min(v, 255)) }

// apply is a status. It knows no bus-off, and does not end one.
func (b *Bus) apply(f Flags, now time.Time) {
	if f&(RxFull|Overrun) != 0 {
		b.stats.Lost++
	}
	if f&BusError != 0 {
		b.stats.Errors++
	}
	if f&^Arbitration != 0 {
		b.counts.Statuses++
	}
	switch {
	case b.told || b.stats.State == canbus.Off:
	case f&ErrPassive != 0:
		b.become(canbus.Passive, now)
	case f&Warned != 0:
		b.become(canbus.Warning, now)
	default:
		b.become(canbus.OK, now)
	}
}

// faults is a line e: o is frames lost on the way in, the others are errors.
func (b *Bus) faults(letters []byte) {
	b.counts.Faults++
	for _, c := range letters {
		if c == 'o' {
			b.stats.Lost++
		} else {
			b.stats.Errors++
		}
	}
}

// Classes of error frames, and the bits of data[1] for class 004
// (linux/can/error.h).
const (
	classController = 0x004
	classOff        = 0x040
	classRestarted  = 0x100
	classCounters   = 0x200

	bitsWarning = 0x04 | 0x08
	bitsPassive = 0x10 | 0x20
	bitActive   = 0x40
)

// become sets the state, and tells a change as an error frame.
func (b *Bus) become(s canbus.BusState, now time.Time) {
	was := b.stats.State
	if s == was || was == canbus.Gone {
		return
	}
	b.stats.State = s
	f := canbus.Frame{ID: classController, Flags: canbus.Error, Len: canbus.MaxLen}
	switch {
	case s == canbus.Off:
		f.ID = classOff
	case was == canbus.Off:
		f.ID = classRestarted
	case s == canbus.Passive:
		f.Data[1] = bitsPassive
	case s == canbus.Warning:
		f.Data[1] = bitsWarning
	default:
		f.Data[1] = bitActive
	}
	if b.told {
		f.ID |= classCounters
		f.Data[6], f.Data[7] = b.stats.TxErrors, b.stats.RxErrors
	}
	b.push(&canbus.Rx{Frame: f, At: now})
}
