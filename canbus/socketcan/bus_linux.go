package socketcan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/canbus"
)

// A Bus is one socket on a CAN interface. One goroutine may receive while others
// send. The state of the controller is learned from error frames, so somebody
// has to receive.
type Bus struct {
	name   string
	file   *os.File
	raw    syscall.RawConn
	fd     bool // takes FD frames
	listen bool
	origin canbus.Origin
	buffer int
	in     reception
	out    dispatch

	mu     sync.Mutex // guards what follows
	stats  canbus.Stats
	health health
}

var _ canbus.Bus = (*Bus)(nil)

// A reception is what Receive and the function that it hands to the runtime tell
// each other. It lives in the Bus so that a call allocates nothing while frames
// are ready.
type reception struct {
	batch *batch
	try   func(fd uintptr) bool
	drops uint32 // what the kernel counted last

	ctx   context.Context // of the call that is under way
	most  int
	n     int
	err   error
	reset func() // takes the deadline back
}

// A dispatch is the same for Send.
type dispatch struct {
	mu    sync.Mutex // guards what follows; never held while waiting
	try   func(fd uintptr) bool
	frame [sizeFD]byte
	size  int
	err   error
}

// newBus makes a bus of a socket that does not block; the socket is its own from
// here, and closed when there is an error.
func newBus(name string, fd int) (*Bus, error) {
	b := &Bus{name: name, file: os.NewFile(uintptr(fd), name)}
	raw, err := b.file.SyscallConn()
	if err == nil { // fails for what the runtime cannot wait for
		err = b.file.SetReadDeadline(time.Time{})
	}
	if err != nil {
		_ = b.file.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	b.raw = raw
	b.in.batch = newBatch()
	b.in.try = b.tryRead
	b.out.try = b.tryWrite
	b.health.state = canbus.OK
	return b, nil
}

// Receive waits for a frame and returns as many as are ready and fit, at most
// 64. Error frames are among them, with their classes as ID. A frame of this
// very end comes back with Own set once it went out, if the filters let it in.
// At is the time at which the kernel took the frame from the driver.
//
// When the interface went down or away the error wraps [canbus.ErrClosed] and
// what the kernel said, and the bus is closed.
func (b *Bus) Receive(ctx context.Context, dst []canbus.Rx) (int, error) {
	if len(dst) == 0 {
		return 0, nil
	}
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		read, err := b.read(ctx, len(dst))
		if err != nil {
			return 0, err
		}
		n, err := b.take(dst, read)
		if n > 0 || err != nil { // else all were malformed
			return n, err
		}
	}
}

// read fills the batch, and waits for that until ctx ends.
func (b *Bus) read(ctx context.Context, most int) (int, error) {
	b.in.ctx, b.in.most, b.in.n, b.in.err = ctx, most, 0, nil
	err := b.raw.Read(b.in.try)
	if b.in.reset != nil {
		b.in.reset()
		b.in.reset = nil
	}
	b.in.ctx = nil
	switch {
	case err == nil && b.in.err == nil:
		return b.in.n, nil
	case err == nil:
		return 0, b.end(b.in.err)
	case ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded):
		return 0, ctx.Err()
	}
	return 0, b.end(os.ErrClosed) // the runtime's own word for it is internal
}

// tryRead is called by the runtime, again whenever the socket becomes readable;
// false is "not yet". Only a call that has to wait pays for watching its context.
func (b *Bus) tryRead(fd uintptr) bool {
	b.in.n, b.in.err = b.in.batch.read(fd, b.in.most)
	if !errors.Is(b.in.err, unix.EAGAIN) {
		return true
	}
	b.in.err = nil
	if b.in.reset == nil {
		b.in.reset = until(b.in.ctx, b.file.SetReadDeadline)
	}
	return false
}

// until lets the deadline of a file pass when ctx ends. The function it returns
// undoes that.
func until(ctx context.Context, deadline func(time.Time) error) (restore func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	passed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = deadline(time.Unix(1, 0))
		close(passed)
	})
	return func() {
		if !stop() {
			<-passed
			_ = deadline(time.Time{})
		}
	}
}

// take makes frames of what was read, and counts.
func (b *Bus) take(dst []canbus.Rx, read int) (n int, err error) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range read {
		octets, said, flags := b.in.batch.message(i)
		if len(octets) == 0 { // no CAN socket gives that: it is the end of something else
			return n, b.endLocked(io.EOF)
		}
		c := parseControl(said, wordSize)
		if c.hasDrops {
			b.stats.LostByUs += uint64(c.drops - b.in.drops) // right when it wrapped, too
			b.in.drops = c.drops
		}
		rx := &dst[n]
		if flags&unix.MSG_TRUNC != 0 || !decode(octets, &rx.Frame) {
			b.stats.Errors++
			continue
		}
		rx.At, rx.Own = c.at, flags&unix.MSG_CONFIRM != 0
		if rx.At.IsZero() {
			rx.At = now
		}
		b.count(rx, flags, now)
		n++
	}
	return n, nil
}

// count is called with mu held.
func (b *Bus) count(rx *canbus.Rx, flags int32, now time.Time) {
	if rx.Flags&canbus.Error != 0 {
		b.stats.Errors++
		b.health.failed(&rx.Frame)
		return
	}
	b.stats.Received++
	if rx.Own {
		b.stats.Sent++
	}
	if flags&unix.MSG_DONTROUTE == 0 { // else a program of this machine sent it
		b.health.received(now)
	}
}

// Send hands f to the kernel. While the send queue is full, as it is on a bus
// where nobody acknowledges, it tries again every 2 ms until ctx ends; the error
// then wraps both ctx's and ENOBUFS. So a cyclic sender gives it a context that
// ends with the cycle, and drops the frame. While the bus is off it sends
// nothing ([ErrBusOff]): until the controller was restarted, or others have been
// heard for 1 s.
func (b *Bus) Send(ctx context.Context, f canbus.Frame) error {
	if err := b.allowed(&f); err != nil {
		return fmt.Errorf("%s: %w", b.name, err)
	}
	var full error
	for {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, full)
		}
		if b.off() {
			return fmt.Errorf("%s: %w", b.name, ErrBusOff)
		}
		switch err := b.write(&f); {
		case err == nil:
			return nil
		case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EAGAIN): // of the interface, of this socket
			full = fmt.Errorf("%s: the send queue stays full: %w", b.name, unix.ENOBUFS)
		case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO), errors.Is(err, os.ErrClosed):
			return b.end(err)
		default:
			return fmt.Errorf("%s: %w", b.name, err)
		}
		pause(ctx)
	}
}

// allowed says what this bus can never send.
func (b *Bus) allowed(f *canbus.Frame) error {
	switch err := f.Check(); {
	case err != nil:
		return err
	case f.Flags&canbus.Error != 0:
		return fmt.Errorf("%w: an error frame cannot be sent", canbus.ErrFrame)
	case b.listen:
		return ErrListenOnly
	case f.Flags&canbus.FD != 0 && !b.fd:
		return ErrClassicOnly
	}
	return nil
}

func pause(ctx context.Context) {
	timer := time.NewTimer(retry)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// write tries once.
func (b *Bus) write(f *canbus.Frame) error {
	b.out.mu.Lock()
	defer b.out.mu.Unlock()
	b.out.size = encode(&b.out.frame, f)
	if err := b.raw.Write(b.out.try); err != nil {
		return os.ErrClosed // nothing else ends what never waits
	}
	return b.out.err
}

func (b *Bus) tryWrite(fd uintptr) bool {
	for {
		_, b.out.err = unix.Write(int(fd), b.out.frame[:b.out.size])
		if !errors.Is(b.out.err, unix.EINTR) {
			return true
		}
	}
}

func (b *Bus) off() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.health.state == canbus.Off
}

// Name is the interface's.
func (b *Bus) Name() string { return b.name }

// Origin is [canbus.Kernel] for a controller that is hardware, and
// [canbus.Simulation] for vcan and vxcan. It is unknown for what cannot be told:
// the kernel's own slcan is one interface for an adapter and for a pty.
func (b *Bus) Origin() canbus.Origin { return b.origin }

// FD reports whether FD frames are carried: asked for, and the interface's MTU
// has room for them.
func (b *Bus) FD() bool { return b.fd }

// Buffer is the receive buffer that the kernel granted, in octets by its own
// count, in which a frame takes several hundred.
func (b *Bus) Buffer() int { return b.buffer }

// Stats are the totals since Open. Sent counts frames that were confirmed,
// LostByUs those that did not fit into the receive buffer, as far as the kernel
// has told: it does so with the next frame that fits. Lost counts how often the
// controller said that it lost some.
func (b *Bus) Stats() canbus.Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.stats
	s.Lost, s.TxErrors, s.RxErrors = b.health.overflow, b.health.tec, b.health.rec
	if s.State != canbus.Gone {
		s.State = b.health.state
	}
	return s
}

// end closes the socket and says why.
func (b *Bus) end(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.endLocked(err)
}

func (b *Bus) endLocked(err error) error {
	b.stats.State = canbus.Gone
	_ = b.file.Close()
	if errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("%s: %w", b.name, canbus.ErrClosed)
	}
	return fmt.Errorf("%s: %w: %w", b.name, canbus.ErrClosed, err)
}

// Close ends a Receive that waits, with [canbus.ErrClosed].
func (b *Bus) Close() error {
	b.mu.Lock()
	b.stats.State = canbus.Gone
	b.mu.Unlock()
	if err := b.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}
