package slcan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// A Bus is a CAN bus behind an adapter. One goroutine may receive while others
// send.
//
// Nothing an adapter says ends a Bus: what is malformed is counted in Errors and
// passed over, up to the next CR or BEL. Only a device that is gone does. An
// adapter whose own buffer overflows often drops frames without a word; only
// counters inside the messages show that.
//
// When the state of the controller changes, and the adapter says so, an error
// frame is received in the form Linux gives it: class 040 for bus-off, 100 for
// the end of it, 004 for the others, with counters where they are known.
type Bus struct {
	line     io.ReadWriteCloser
	opts     Options
	requests chan *request
	answers  chan answer   // to the start sequence
	ready    chan struct{} // holds a token while frames may be queued
	space    chan struct{} // holds a token after fewer answers are owed
	nudge    chan struct{} // holds a token after a new deadline
	gone     chan struct{} // closed when the device is gone
	closing  sync.Once

	mu      sync.Mutex // guards what follows
	phase   phase
	parsed  Line // the line at hand
	clock   clock
	queue   queue
	owed    []debt
	serials uint64
	learnt  [classes]confirm
	status  statusPoll
	told    bool // lines s tell the state: F need not
	info    Info
	stats   canbus.Stats
	counts  Counts
	err     error // why the device is gone
	closed  bool  // by Close
}

var _ canbus.Bus = (*Bus)(nil)

// A phase says what becomes of a line.
type phase string

const (
	starting phase = "starting" // frames are old ones; answers go to the start sequence
	opening  phase = "opening"  // frames count already
	open     phase = "open"     // answers belong to frames that were sent
)

// An Info is what was learnt about an adapter.
type Info struct {
	Version      string  // what it answered to V; "" if nothing
	Dialect      Dialect // which commands it gets
	Acknowledges bool    // it answered the commands at the start
	Confirms     bool    // Own on a classic frame means that the adapter took it; false: unconfirmed, it was written
	ConfirmsFD   bool    // the same for an FD frame
	Stamps       bool    // it was asked for time stamps and did not refuse
	Status       bool    // it answers F, so that errors and losses inside it are known
}

// Counts are running totals of what [canbus.Stats] does not tell apart.
type Counts struct {
	Malformed  uint64 // lines that could not be read, too long ones too
	TooLong    uint64 // lines of more than [MaxLine] octets
	Refused    uint64 // BEL: mostly a frame that the adapter would not send
	Unanswered uint64 // frames without an answer in 200 ms from an adapter that gives one
	Stray      uint64 // answers to nothing
	Faults     uint64 // lines e
	Statuses   uint64 // answers to F with a flag that matters
}

// Limits of the dialogue.
const (
	answerLimit = 200 * time.Millisecond // for an answer
	stuckLimit  = 2 * time.Second        // for the device to take a line
	pollEvery   = time.Second            // F
	quick       = 5 * time.Millisecond   // a read that gives nothing and is faster than this has not waited
	breath      = 20 * time.Millisecond  // until such a device is read again
)

// Open starts the adapter at the end of line and takes line over: it closes it
// when it fails and when the Bus is closed. It takes up to 4 s, most of them for
// an adapter that starts anew when it is opened; ctx ends it earlier, and has no
// meaning afterwards.
//
// The errors are [ErrOptions], [ErrMute], [ErrRefused], or those of line.
func Open(ctx context.Context, line io.ReadWriteCloser, o Options) (*Bus, error) {
	if err := o.Check(); err != nil {
		return nil, errors.Join(err, line.Close())
	}
	b := &Bus{
		line: line, opts: o, phase: starting,
		requests: make(chan *request), answers: make(chan answer, 64),
		ready: make(chan struct{}, 1), space: make(chan struct{}, 1), nudge: make(chan struct{}, 1),
		gone: make(chan struct{}), queue: queue{most: o.queue()},
	}
	b.stats.State = canbus.OK
	go b.read()
	go b.write()
	if err := b.start(ctx); err != nil {
		b.end(err)
		return nil, err
	}
	go b.mind()
	return b, nil
}

// read takes what the device sends until it is gone.
func (b *Bus) read() {
	chunk := make([]byte, 4096)
	var in scanner
	for {
		from := time.Now()
		n, err := b.line.Read(chunk)
		now := time.Now()
		if n > 0 {
			b.take(&in, chunk[:n], now)
		}
		switch {
		case err != nil:
			b.end(err)
			return
		case n > 0:
			continue
		case b.unplugged():
			b.end(ErrUnplugged)
			return
		}
		wait := time.Duration(0) // a read with a time limit gives nothing now and then
		if now.Sub(from) < quick {
			wait = breath
		}
		if b.pause(context.Background(), wait) != nil {
			return
		}
	}
}

func (b *Bus) unplugged() bool { return b.opts.Present != nil && !b.opts.Present() }

// pause waits. It fails when ctx ends or the device is gone.
func (b *Bus) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-b.gone:
		return b.why()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take reads the lines in chunk, under one lock.
func (b *Bus) take(in *scanner, chunk []byte, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(chunk) > 0 {
		var t token
		t, chunk = in.next(chunk)
		switch {
		case t.end == 0:
		case t.long:
			b.counts.TooLong++
			b.malformed()
		default:
			b.heard(t, now)
		}
	}
}

func (b *Bus) malformed() {
	b.counts.Malformed++
	b.stats.Errors++
}

// heard is one line. A BEL behind a text is an answer of its own: the CR between
// them was lost.
func (b *Bus) heard(t token, now time.Time) {
	if len(t.text) > 0 || t.end == cr {
		err := Parse(t.text, &b.parsed)
		switch {
		case err == nil && b.parsed.Kind == Frame:
			if b.phase != starting {
				b.received(now)
			}
		case b.phase != open:
			// The free text of a version may begin like anything.
			b.tell(answer{kind: b.parsed.Kind, text: string(t.text), odd: err != nil})
		case err != nil:
			b.malformed()
		default:
			b.answered(now)
		}
	}
	if t.end == bel {
		if b.phase != open {
			b.tell(answer{refused: true})
			return
		}
		b.refused()
	}
}

// received queues the frame of the line at hand.
func (b *Bus) received(now time.Time) {
	rx := canbus.Rx{Frame: b.parsed.Frame, At: now}
	if b.opts.Stamps && b.parsed.Stamped {
		rx.At = b.clock.time(b.parsed.Stamp, now)
	}
	if b.stats.State == canbus.Off {
		b.become(canbus.OK, now) // who receives is on the bus
	}
	b.push(&rx)
}

func (b *Bus) push(rx *canbus.Rx) {
	if b.queue.push(rx) {
		b.stats.LostByUs++
	}
	wake(b.ready)
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Receive waits for a frame and returns as many as have arrived and fit. When
// the device is gone it first returns what had arrived, then an error that wraps
// [canbus.ErrClosed] and says why.
func (b *Bus) Receive(ctx context.Context, dst []canbus.Rx) (int, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := b.pop(dst)
		if n > 0 || err != nil || len(dst) == 0 {
			return n, err
		}
		select {
		case <-b.ready:
		case <-b.gone:
		case <-ctx.Done():
		}
	}
}

func (b *Bus) pop(dst []canbus.Rx) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, canbus.ErrClosed
	}
	n := b.queue.pop(dst)
	for i := range dst[:n] {
		if dst[i].Flags&canbus.Error != 0 {
			b.stats.Errors++
		} else {
			b.stats.Received++
		}
	}
	if n == 0 {
		return 0, b.err
	}
	return n, nil
}

// end says why the device is gone, once, and lets go of it.
func (b *Bus) end(err error) {
	b.mu.Lock()
	first := b.err == nil
	if first {
		b.err = fmt.Errorf("%w: %w", canbus.ErrClosed, err)
		if errors.Is(err, canbus.ErrClosed) {
			b.err = err
		}
		b.stats.State = canbus.Gone
		close(b.gone)
	}
	b.mu.Unlock()
	if first {
		_ = b.line.Close()
	}
}

// why is the error of a device that is gone.
func (b *Bus) why() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// Close tells the adapter to leave the bus, for which it has 200 ms, and closes
// the stream; a Receive that waits returns [canbus.ErrClosed].
func (b *Bus) Close() error {
	b.closing.Do(func() {
		b.mu.Lock()
		b.closed = true
		b.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), answerLimit)
		defer cancel()
		_ = b.order(ctx, cmdClose)
		b.end(canbus.ErrClosed)
	})
	return nil
}

// Stats are the totals since Open. Sent counts the frames that came back with
// Own set. Lost counts the occasions on which the adapter said it lost frames,
// once for each: it does not say how many. Errors holds error frames, malformed
// lines, frames the adapter refused or did not confirm, and errors on the bus.
func (b *Bus) Stats() canbus.Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stats
}

// Counts are the totals since Open that are the adapter's own.
func (b *Bus) Counts() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts
}

// Info is what is known about the adapter by now.
func (b *Bus) Info() Info {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := b.info
	i.Confirms, i.ConfirmsFD = b.learnt[classic].confirmed(), b.learnt[fd].confirmed()
	i.Status = b.status.answered
	return i
}
