package socketcan

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/canbus"
)

// pair is a bus whose kernel is the test: what is written to peer is received,
// octet by octet as a CAN socket would give it.
func pair(t *testing.T) (b *Bus, peer int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err = newBus("pair", fds[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.Close()
		_ = unix.Close(fds[1]) // a test may have closed it
	})
	return b, fds[1]
}

func put(t *testing.T, peer int, frames ...canbus.Frame) {
	t.Helper()
	for i := range frames {
		var out [sizeFD]byte
		n := encode(&out, &frames[i])
		if _, err := unix.Write(peer, out[:n]); err != nil {
			t.Fatal(err)
		}
	}
}

func receive(t *testing.T, b *Bus, room int) []canbus.Rx {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	dst := make([]canbus.Rx, room)
	n, err := b.Receive(ctx, dst)
	if err != nil {
		t.Fatal(err)
	}
	return dst[:n]
}

func TestMmsghdrIsTheKernels(t *testing.T) {
	size, at := unsafe.Sizeof(mmsghdr{}), unsafe.Offsetof(mmsghdr{}.length)
	if wantSize, wantAt := uintptr(8*wordSize), uintptr(7*wordSize); size != wantSize || at != wantAt {
		t.Errorf("struct mmsghdr has %d octets, the length at %d; want %d and %d", size, at, wantSize, wantAt)
	}
}

func TestReceiveTakesWhatIsReadyAndFits(t *testing.T) {
	b, peer := pair(t)
	for i := range uint32(100) {
		put(t, peer, frame(i, canbus.FD, byte(i), 1, 2, 3))
	}
	next := uint32(0)
	for _, want := range []struct{ room, got int }{{3, 3}, {1, 1}, {200, 64}, {200, 32}} {
		got := receive(t, b, want.room)
		if len(got) != want.got {
			t.Fatalf("room for %d: %d frames, want %d", want.room, len(got), want.got)
		}
		for _, rx := range got {
			if rx.Frame != frame(next, canbus.FD, byte(next), 1, 2, 3) || rx.Own || time.Since(rx.At) > time.Minute {
				t.Fatalf("frame %d is %+v", next, rx)
			}
			next++
		}
	}
	if n, err := b.Receive(t.Context(), nil); n != 0 || err != nil {
		t.Errorf("room for none: %d, %v", n, err)
	}
	if s := b.Stats(); s.Received != 100 || s.Errors != 0 || s.Sent != 0 || s.State != canbus.OK {
		t.Errorf("%+v", s)
	}
}

// A message longer than a frame is cut to the size of one: only the kernel's
// flag tells.
func TestWhatIsNoFrameIsCounted(t *testing.T) {
	b, peer := pair(t)
	long := append(octets(72, 1, "01"), 1, 2, 3)
	for _, bad := range [][]byte{long, octets(15, 1, "00"), octets(16, 1, "09"), make([]byte, 2000), {1}} {
		if _, err := unix.Write(peer, bad); err != nil {
			t.Fatal(err)
		}
	}
	put(t, peer, frame(0x123, 0, 1))
	if got := receive(t, b, 8); len(got) != 1 || got[0].ID != 0x123 {
		t.Errorf("received %+v", got)
	}
	if s := b.Stats(); s.Errors != 5 || s.Received != 1 {
		t.Errorf("%+v", s)
	}
}

func TestReceiveEndsWithItsContextAndGoesOn(t *testing.T) {
	b, peer := pair(t)
	dst := make([]canbus.Rx, 8)
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for range 2 { // it waits, then the context has ended already
		if n, err := b.Receive(short, dst); n != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%d, %v", n, err)
		}
	}
	canceled, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := b.Receive(canceled, dst)
		done <- err
	}()
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	put(t, peer, frame(1, 0))
	if got := receive(t, b, 8); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	if s := b.Stats().State; s != canbus.OK {
		t.Errorf("state %s", s)
	}
}

func TestCloseEndsReceive(t *testing.T) {
	for range 20 { // before it waits, while it waits
		b, _ := pair(t)
		done := make(chan error)
		started := make(chan struct{})
		go func() {
			close(started)
			_, err := b.Receive(context.Background(), make([]canbus.Rx, 1))
			done <- err
		}()
		<-started
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; !errors.Is(err, canbus.ErrClosed) || err.Error() != "pair: "+canbus.ErrClosed.Error() {
			t.Fatal(err)
		}
		if err := b.Send(t.Context(), frame(1, 0)); !errors.Is(err, canbus.ErrClosed) {
			t.Fatalf("Send: %v", err)
		}
		if s := b.Stats().State; s != canbus.Gone {
			t.Fatalf("state %s", s)
		}
		if err := b.Close(); err != nil {
			t.Fatalf("the second time: %v", err)
		}
	}
}

func TestTheEndOfTheSocketIsTheEnd(t *testing.T) {
	b, peer := pair(t)
	put(t, peer, frame(1, 0))
	if err := unix.Close(peer); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, b, 1); len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	_, err := b.Receive(t.Context(), make([]canbus.Rx, 8))
	if !errors.Is(err, canbus.ErrClosed) || !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}

// fill sends until the socket takes no more.
func fill(t *testing.T, b *Bus) (sent int) {
	t.Helper()
	for f := frame(0x10, 0); ; sent++ {
		switch err := b.write(&f); {
		case errors.Is(err, unix.EAGAIN):
			return sent
		case err != nil:
			t.Fatal(err)
		}
	}
}

func TestSendWaitsForRoomUntilItsContextEnds(t *testing.T) {
	b, peer := pair(t)
	fill(t, b)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := b.Send(ctx, frame(0x11, 0))
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, unix.ENOBUFS) {
		t.Fatalf("a full queue: %v", err)
	}
	done := make(chan error)
	go func() { done <- b.Send(context.Background(), frame(0x12, 0)) }()
	var last canbus.Frame
	for in := make([]byte, sizeFD); last.ID != 0x12; {
		n, err := unix.Read(peer, in)
		if errors.Is(err, unix.EAGAIN) {
			continue
		}
		if err != nil || !decode(in[:n], &last) || last.ID == 0x11 {
			t.Fatalf("%X, %v", in[:n], err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// pausing tells when somebody waits for its end: Send, between two attempts.
type pausing struct {
	context.Context
	asked chan struct{}
}

func (p pausing) Done() <-chan struct{} {
	select {
	case p.asked <- struct{}{}:
	default:
	}
	return p.Context.Done()
}

func TestNothingIsSentWhileTheBusIsOff(t *testing.T) {
	b, peer := pair(t)
	fill(t, b)
	waits := make(chan error)
	ctx := pausing{t.Context(), make(chan struct{}, 1)}
	go func() { waits <- b.Send(ctx, frame(0x12, 0)) }()
	<-ctx.asked
	put(t, peer, *errorFrame(0x240, 0, 255, 0))
	if got := receive(t, b, 8); got[0].Flags != canbus.Error || got[0].ID != 0x240 {
		t.Fatalf("%+v", got)
	}
	if err := <-waits; !errors.Is(err, ErrBusOff) { // a frame that waited is not sent later
		t.Fatalf("%v", err)
	}
	if s := b.Stats(); s.State != canbus.Off || s.TxErrors != 255 || s.Errors != 1 || s.Received != 0 {
		t.Errorf("%+v", s)
	}
	for in := make([]byte, sizeFD); ; {
		if _, err := unix.Read(peer, in); errors.Is(err, unix.EAGAIN) {
			break
		}
	}
	if err := b.Send(t.Context(), frame(0x13, 0)); !errors.Is(err, ErrBusOff) {
		t.Fatalf("%v", err)
	}
	put(t, peer, *errorFrame(0x100, 0, 0, 0))
	receive(t, b, 8)
	if err := b.Send(t.Context(), frame(0x14, 0)); err != nil {
		t.Fatal(err)
	}
	var f canbus.Frame
	in := make([]byte, sizeFD)
	if n, err := unix.Read(peer, in); err != nil || !decode(in[:n], &f) || f.ID != 0x14 {
		t.Errorf("on the bus: %+v, %v", f, err)
	}
}

func TestWhatIsNeverSent(t *testing.T) {
	b, peer := pair(t)
	silent, _ := pair(t)
	silent.listen = true
	for _, c := range []struct {
		name string
		b    *Bus
		f    canbus.Frame
		want error
	}{
		{"FD where it is not carried", b, frame(1, canbus.FD, 1), ErrClassicOnly},
		{"an error frame", b, frame(4, canbus.Error), canbus.ErrFrame},
		{"a frame that cannot be", b, frame(0x800, 0), canbus.ErrFrame},
		{"anything, by one who listens", silent, frame(1, 0), ErrListenOnly},
	} {
		if err := c.b.Send(t.Context(), c.f); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Send(ended, frame(1, 0)); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	if n, err := unix.Read(peer, make([]byte, sizeFD)); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("%d octets went out, %v", n, err)
	}
	b.fd = true
	if err := b.Send(t.Context(), frame(1, canbus.FD, 1)); err != nil {
		t.Error(err)
	}
}

// arrive puts into the batch what the kernel would: a frame, its flags and what
// is said beside it.
func arrive(b *Bus, i int, f canbus.Frame, flags int32, said []byte) {
	h := &b.in.batch.heads[i]
	h.length = uint32(encode(&b.in.batch.frames[i], &f))
	h.head.Flags = flags
	h.head.SetControllen(copy(b.in.batch.control[i][:], said))
}

func TestLossesAreDifferencesOfACounterThatWraps(t *testing.T) {
	b, _ := pair(t)
	dst := make([]canbus.Rx, batchSize)
	for _, c := range []struct {
		counter uint32
		lost    uint64
	}{{0, 0}, {5, 5}, {5, 5}, {0xFFFF_FFF0, 0xFFFF_FFF0}, {0x10, 0x1_0000_0010}} {
		arrive(b, 0, frame(1, 0), 0, message(wordSize, 1, typeDrops, words(4, uint64(c.counter))))
		arrive(b, 1, frame(1, 0), 0, nil) // says nothing, and means nothing
		if n, err := b.take(dst, 2); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		if got := b.Stats().LostByUs; got != c.lost {
			t.Errorf("the kernel counts %X: %X lost, want %X", c.counter, got, c.lost)
		}
	}
}

func TestOwnIsWhatTheKernelConfirms(t *testing.T) {
	b, _ := pair(t)
	arrive(b, 0, frame(1, 0), 0, nil)
	arrive(b, 1, frame(2, 0), unix.MSG_DONTROUTE, nil)
	arrive(b, 2, frame(3, 0), unix.MSG_DONTROUTE|unix.MSG_CONFIRM, message(wordSize, 1, typeStampsNew, words(8, 1000, 5, 0, 0, 0, 0)))
	dst := make([]canbus.Rx, 3)
	if n, err := b.take(dst, 3); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if dst[0].Own || dst[1].Own || !dst[2].Own || !dst[2].At.Equal(time.Unix(1000, 5)) {
		t.Errorf("%+v", dst)
	}
	if s := b.Stats(); s.Sent != 1 || s.Received != 3 {
		t.Errorf("%+v", s)
	}
}

// What programs of this machine send comes back without a bus, on vcan and from
// some drivers: it does not prove that the controller is back.
func TestOnlyOthersProveThatTheBusIsBack(t *testing.T) {
	b, _ := pair(t)
	b.health = health{state: canbus.Off, heard: time.Now().Add(-2 * recovery)}
	dst := make([]canbus.Rx, 1)
	for _, c := range []struct {
		flags int32
		want  canbus.BusState
	}{{unix.MSG_DONTROUTE, canbus.Off}, {unix.MSG_DONTROUTE | unix.MSG_CONFIRM, canbus.Off}, {0, canbus.OK}} {
		arrive(b, 0, frame(1, 0), c.flags, nil)
		if _, err := b.take(dst, 1); err != nil {
			t.Fatal(err)
		}
		if s := b.Stats().State; s != c.want {
			t.Errorf("flags %X: %s, want %s", c.flags, s, c.want)
		}
	}
}

func TestReceiveAllocatesNothingWhileFramesAreReady(t *testing.T) {
	b, peer := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in := octets(16, 0x123, "08 00 00 00 0102030405060708")
	dst := make([]canbus.Rx, 8)
	if n := testing.AllocsPerRun(200, func() {
		if _, err := unix.Write(peer, in); err != nil {
			t.Error(err)
		}
		if n, err := b.Receive(ctx, dst); n != 1 || err != nil {
			t.Error(n, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkReceive(b *testing.B) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		b.Fatal(err)
	}
	bus, err := newBus("pair", fds[0])
	if err != nil {
		b.Fatal(err)
	}
	defer bus.Close()
	defer func() { _ = unix.Close(fds[1]) }()
	in := octets(16, 0x123, "08 00 00 00 0102030405060708")
	dst := make([]canbus.Rx, batchSize)
	b.ReportAllocs()
	for b.Loop() { // a batch: the writes are outside of what is measured
		b.StopTimer()
		for range batchSize {
			if _, err := unix.Write(fds[1], in); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		if n, err := bus.Receive(b.Context(), dst); n != batchSize || err != nil {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batchSize, "ns/frame")
}
