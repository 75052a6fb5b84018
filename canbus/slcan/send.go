package slcan

import (
	"context"
	"io"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// A class is a sort of frames that an adapter confirms or does not.
type class uint8

const (
	classic class = iota
	fd
	classes
)

func classOf(f *canbus.Frame) class {
	if f.Flags&canbus.FD != 0 {
		return fd
	}
	return classic
}

// A confirm is what is known about the answer to frames of a class.
type confirm uint8

const (
	unknown confirm = iota // one frame at a time, until it is known
	byZ                    // z or Z; an empty line is something else
	byCR                   // an empty line
	never
)

func (c confirm) confirmed() bool { return c == byZ || c == byCR }

// window is how many frames may wait for their answers: few enough that an
// adapter of 64 places does not overflow.
const window = 16

// A debt is an answer that the adapter owes us.
type debt struct {
	serial uint64
	frame  canbus.Frame
	class  class
	status bool      // of F, not of frame
	due    time.Time // then it is given up
}

// A request is a line to write.
type request struct {
	ctx   context.Context
	text  []byte
	frame *canbus.Frame // nil: a command
	err   error
	done  chan struct{}
}

// Send hands f to the adapter. It waits while 16 frames have no answer yet, and
// behind the first of a kind (classic, FD) until it is known whether this
// adapter answers to it. A nil error says that f was written; [Bus.Info] says
// whether Own, in Receive, means more. If ctx ends while the device is slow to
// take the line, f may go out nevertheless.
//
// Send fails with [canbus.ErrFrame] for what SLCAN cannot carry (error frames,
// ESI), [ErrListenOnly], [ErrClassicOnly], and [canbus.ErrClosed].
func (b *Bus) Send(ctx context.Context, f canbus.Frame) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f.Check(); err != nil {
		return err
	}
	text, err := Append(make([]byte, 0, MaxLine), &f)
	switch {
	case err != nil:
		return err
	case b.opts.Listen:
		return ErrListenOnly
	case f.Flags&canbus.FD != 0 && b.opts.Data == 0:
		return ErrClassicOnly
	}
	return b.submit(&request{ctx: ctx, text: text, frame: &f, done: make(chan struct{})})
}

// order writes a command, without waiting for its answer.
func (b *Bus) order(ctx context.Context, command string) error {
	return b.submit(&request{ctx: ctx, text: append([]byte(command), cr), done: make(chan struct{})})
}

// submit waits until r was written, ctx ends, or the device is gone.
func (b *Bus) submit(r *request) error {
	select {
	case b.requests <- r:
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-b.gone:
		return b.why()
	}
	select {
	case <-r.done:
		return r.err
	case <-r.ctx.Done():
		return r.ctx.Err()
	case <-b.gone:
		return b.why()
	}
}

// write carries out requests one after the other. It has its own goroutine
// because a device may hold up a write for ever, and lines must stay whole.
func (b *Bus) write() {
	for {
		select {
		case r := <-b.requests:
			r.err = b.put(r)
			close(r.done)
		case <-b.gone:
			return
		}
	}
}

func (b *Bus) put(r *request) error {
	if err := b.room(r); err != nil {
		return err
	}
	serial := b.owe(r) // before the write: the answer may be quicker than its return
	watch := time.AfterFunc(stuckLimit, func() { b.end(ErrStuck) })
	err := writeAll(b.line, r.text)
	watch.Stop()
	if err != nil {
		b.end(err)
		return b.why()
	}
	b.written(r, serial)
	return nil
}

// writeAll forgives a device that takes a part and says nothing.
func writeAll(w io.Writer, p []byte) error {
	for len(p) > 0 {
		n, err := w.Write(p)
		switch p = p[n:]; {
		case err != nil:
			return err
		case n == 0:
			return io.ErrShortWrite
		}
	}
	return nil
}

// room waits until the answer to one more frame may be owed.
func (b *Bus) room(r *request) error {
	for {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		if b.fits(r) {
			return nil
		}
		select {
		case <-b.space:
		case <-r.ctx.Done():
		case <-b.gone:
			return b.why()
		}
	}
}

func (b *Bus) fits(r *request) bool {
	if r.frame == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	frames, learning := 0, b.learnt[classOf(r.frame)] == unknown
	for i := range b.owed {
		if !b.owed[i].status {
			frames++
			learning = learning || b.learnt[b.owed[i].class] == unknown
		}
	}
	return frames == 0 || !learning && frames < window
}

// owe notes that an answer will come, and gives the note a number; 0 for none.
func (b *Bus) owe(r *request) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := debt{due: time.Now().Add(stuckLimit + answerLimit)}
	switch {
	case r.frame != nil && b.learnt[classOf(r.frame)] != never:
		d.frame, d.class = *r.frame, classOf(r.frame)
	case r.frame == nil && string(r.text[:len(r.text)-1]) == cmdStatus:
		d.status = true
	default:
		return 0
	}
	b.serials++
	d.serial = b.serials
	b.owed = append(b.owed, d)
	return d.serial
}

// written starts the time for the answer. Where none will come, the frame is
// taken as sent: [Info] says that this proves nothing.
func (b *Bus) written(r *request, serial uint64) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	if serial == 0 && r.frame != nil {
		b.own(r.frame, now)
		return
	}
	for i := range b.owed {
		if b.owed[i].serial == serial {
			b.owed[i].due = now.Add(answerLimit)
			wake(b.nudge)
		}
	}
}

// own gives a frame of ours back; mu is held, as in all that follows.
func (b *Bus) own(f *canbus.Frame, now time.Time) {
	b.stats.Sent++
	b.push(&canbus.Rx{Frame: *f, At: now, Own: true})
}

// settle removes the i-th debt.
func (b *Bus) settle(i int) debt {
	d := b.owed[i]
	b.owed = append(b.owed[:i], b.owed[i+1:]...)
	wake(b.space)
	return d
}

// oldest is the first debt for a frame, or for F; -1 if there is none.
func (b *Bus) oldest(status bool) int {
	for i := range b.owed {
		if b.owed[i].status == status {
			return i
		}
	}
	return -1
}

// confirmed is z, Z or an empty line: the oldest frame was taken.
func (b *Bus) confirmed(how confirm, now time.Time) {
	i := b.oldest(false)
	if i < 0 || how == byCR && b.learnt[b.owed[i].class] == byZ {
		b.counts.Stray++
		return
	}
	d := b.settle(i)
	b.learnt[d.class] = how
	b.own(&d.frame, now)
}

// refused is BEL: to the oldest frame, or to F by an adapter that does not know it.
func (b *Bus) refused() {
	status, i := b.oldest(true), b.oldest(false)
	if status >= 0 && !b.status.answered && (i < 0 || status < i) {
		b.settle(status)
		b.status.off = true
		return
	}
	b.counts.Refused++
	b.stats.Errors++
	if i >= 0 {
		b.settle(i)
	}
}

// expire gives up what was not answered in time, and says when to look again;
// zero: when something new is owed.
func (b *Bus) expire(now time.Time) (next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := 0; i < len(b.owed); {
		if due := b.owed[i].due; now.Before(due) {
			if next.IsZero() || due.Before(next) {
				next = due
			}
			i++
			continue
		}
		switch d := b.settle(i); {
		case d.status:
			b.status.unanswered()
		case b.learnt[d.class].confirmed():
			b.counts.Unanswered++
			b.stats.Errors++
		default: // it answers to commands, and not to frames
			b.learnt[d.class] = never
			b.own(&d.frame, now)
		}
	}
	return next
}
