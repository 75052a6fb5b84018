package socketcan

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/canbus"
)

// guestCAN names the interfaces that tests may use as they like: flood them, take
// them down, remove them. The guests of make qemu-test set it.
const guestCAN = "QEMU_TEST_CAN"

// needs skips the test unless it may use these interfaces. An interface that is
// named and not there is a failure.
func needs(t *testing.T, names ...string) {
	t.Helper()
	may := os.Getenv(guestCAN)
	if may == "" { // a can0 that is merely there may be somebody's car
		t.Skipf("no CAN interface to play with: this runs in the guests of make qemu-test (%s)", guestCAN)
	}
	for _, name := range names {
		if !slices.Contains(strings.Fields(may), name) {
			t.Skipf("%s names %s, not %s", guestCAN, may, name)
		}
	}
}

func open(t *testing.T, name string, opts Options) *Bus {
	t.Helper()
	b, err := Open(t.Context(), name, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func send(t *testing.T, b *Bus, frames ...canbus.Frame) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, f := range frames {
		if err := b.Send(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
}

// collect receives until it has as many as wanted.
func collect(t *testing.T, b *Bus, want int) []canbus.Rx {
	t.Helper()
	var all []canbus.Rx
	for len(all) < want {
		all = append(all, receive(t, b, batchSize)...)
	}
	if len(all) != want {
		t.Fatalf("%d frames, want %d: %+v", len(all), want, all)
	}
	return all
}

// everyKind is one frame of each kind that a bus carries.
func everyKind(fd bool) []canbus.Frame {
	list := []canbus.Frame{
		frame(0x123, 0, 1, 2, 3, 4, 5, 6, 7, 8),
		frame(0x123, canbus.Extended, 9),
		frame(0x1FFF_FFFF, canbus.Extended),
		{ID: 0x7FF, Flags: canbus.Remote, Len: 4},
	}
	if !fd {
		return list
	}
	full := canbus.Frame{ID: 0x1733_0301, Flags: canbus.FD | canbus.Extended | canbus.BRS, Len: 64}
	for i := range full.Data {
		full.Data[i] = byte(i) + 1
	}
	return append(list, full, frame(5, canbus.FD|canbus.ESI, 1, 2, 3), frame(6, canbus.FD))
}

// exchange sends frames from one end, and looks at what both ends get.
func exchange(t *testing.T, from, to *Bus, sent []canbus.Frame) {
	t.Helper()
	start := time.Now().Add(-time.Second) // the kernel's clock is coarser than ours
	send(t, from, sent...)
	for _, end := range []*Bus{to, from} {
		for i, rx := range collect(t, end, len(sent)) {
			if rx.Frame != sent[i] || rx.Own != (end == from) {
				t.Errorf("frame %d of %s: %+v, want %+v", i, end.Name(), rx, sent[i])
			}
			if rx.At.Before(start) || time.Since(rx.At) < 0 {
				t.Errorf("frame %d: received at %v, now it is %v", i, rx.At, time.Now())
			}
		}
	}
	n := uint64(len(sent))
	if s := from.Stats(); s.Sent != n || s.Received != n || s.Errors != 0 || s.LostByUs != 0 || s.State != canbus.OK {
		t.Errorf("who sent: %+v", s)
	}
	if s := to.Stats(); s.Sent != 0 || s.Received != n || s.Errors != 0 || s.State != canbus.OK {
		t.Errorf("who received: %+v", s)
	}
}

func TestKernelCarriesEveryKindOfFrame(t *testing.T) {
	needs(t, "vcan0", "vxcan0", "vxcan1")
	from, to := open(t, "vcan0", Options{All: true, FD: true}), open(t, "vcan0", Options{All: true, FD: true})
	exchange(t, from, to, everyKind(true))
	from, to = open(t, "vxcan0", Options{All: true, FD: true}), open(t, "vxcan1", Options{All: true, FD: true})
	exchange(t, from, to, everyKind(true))
	if from.Origin() != canbus.Simulation || !from.FD() {
		t.Errorf("vxcan: origin %q, FD %v", from.Origin(), from.FD())
	}
	t.Logf("measured: receive buffer %d octets of %d asked", from.Buffer(), DefaultBuffer)
	if from.Buffer() < DefaultBuffer {
		t.Errorf("root was granted %d octets", from.Buffer())
	}
}

func TestKernelTimesFrames(t *testing.T) {
	needs(t, "vcan0")
	from, to := open(t, "vcan0", Options{}), open(t, "vcan0", Options{All: true})
	send(t, from, frame(1, 0), frame(2, 0))
	for wait := time.Now().Add(50 * time.Millisecond); time.Now().Before(wait); {
		pause(t.Context()) // they lie in the queue meanwhile
	}
	got := collect(t, to, 2)
	if age := time.Since(got[0].At); age < 50*time.Millisecond || got[1].At.Before(got[0].At) {
		t.Errorf("the first is %v old by its stamp, %v before the second", age, got[1].At.Sub(got[0].At))
	}
}

func TestKernelFilters(t *testing.T) {
	needs(t, "vcan0")
	from := open(t, "vcan0", Options{FD: true})
	many := func(n int) (list []Filter) {
		for i := range n {
			list = append(list, Filter{ID: uint32(0x1000 + i), Extended: true})
		}
		return list
	}
	sent := append(everyKind(true), frame(0x11FF, canbus.Extended))
	last := frame(0x100, 0) // tells that nothing more comes
	for name, c := range map[string]struct {
		opts Options
		want []int // of what was sent
	}{
		"none":                {Options{FD: true}, nil},
		"standard":            {Options{Filters: []Filter{{ID: 0x123}}}, []int{0}},
		"extended":            {Options{Filters: []Filter{{ID: 0x123, Extended: true}}}, []int{1}},
		"no remote frames":    {Options{Filters: []Filter{{ID: 0x7FF}}}, nil},
		"FD, not asked for":   {Options{Filters: []Filter{{ID: 5}}}, nil},
		"FD":                  {Options{Filters: []Filter{{ID: 5}}, FD: true}, []int{5}},
		"512":                 {Options{Filters: many(512)}, []int{7}},
		"more than there are": {Options{Filters: many(513), FD: true}, []int{0, 1, 2, 3, 4, 5, 6, 7}},
		"all classic":         {Options{All: true}, []int{0, 1, 2, 3, 7}},
	} {
		if c.opts.Filters != nil && len(c.opts.Filters) < MaxFilters {
			c.opts.Filters = append(c.opts.Filters, Filter{ID: last.ID})
		}
		to := open(t, "vcan0", c.opts)
		send(t, from, sent...)
		send(t, from, last)
		inject(t, "vcan0", errorFrame(0x200, 0, 0, 0)) // comes whatever the filters say
		var got []canbus.Frame
		for done := false; !done; {
			for _, rx := range receive(t, to, batchSize) {
				done = done || rx.Flags == canbus.Error
				if rx.Flags != canbus.Error && rx.Frame != last {
					got = append(got, rx.Frame)
				}
			}
		}
		var want []canbus.Frame
		for _, i := range c.want {
			want = append(want, sent[i])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d frames %+v, want %d", name, len(got), got, len(want))
		}
		_ = to.Close()
	}
}

// inject puts a frame on an interface that [Bus.Send] would not.
func inject(t *testing.T, name string, f *canbus.Frame) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_CAN, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.CAN_RAW)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	l, err := find(fd, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := bind(fd, l.index); err != nil {
		t.Fatal(err)
	}
	var b [sizeFD]byte
	if _, err := unix.Write(fd, b[:encode(&b, f)]); err != nil {
		t.Fatal(err)
	}
}

func TestKernelClassicInterface(t *testing.T) {
	needs(t, "vcan2", "vcan0")
	b := open(t, "vcan2", Options{All: true, FD: true})
	if b.FD() {
		t.Error("an interface of MTU 16 carries FD")
	}
	if err := b.Send(t.Context(), frame(1, canbus.FD)); !errors.Is(err, ErrClassicOnly) {
		t.Errorf("%v", err)
	}
	listens := open(t, "vcan0", Options{ListenOnly: true})
	if err := listens.Send(t.Context(), frame(1, 0)); !errors.Is(err, ErrListenOnly) {
		t.Errorf("%v", err)
	}
}

func TestKernelErrorFramesAreTheBusState(t *testing.T) {
	needs(t, "vxcan0", "vxcan1")
	b := open(t, "vxcan0", Options{Filters: []Filter{{ID: 1}}})
	for _, c := range []struct {
		f    *canbus.Frame
		want canbus.BusState
	}{
		{errorFrame(0x204, 0x08, 100, 2), canbus.Warning},
		{errorFrame(0x204, 0x20, 130, 2), canbus.Passive},
		{errorFrame(0x004, 0x01, 0, 0), canbus.Passive},
		{errorFrame(0x040, 0, 0, 0), canbus.Off},
		{errorFrame(0x100, 0, 0, 0), canbus.OK},
		{errorFrame(0x040, 0, 0, 0), canbus.Off},
	} {
		inject(t, "vxcan1", c.f)
		if got := collect(t, b, 1)[0]; got.Frame != *c.f {
			t.Errorf("%+v, want %+v", got, c.f)
		}
		if s := b.Stats(); s.State != c.want {
			t.Errorf("class %X: %+v", c.f.ID, s)
		}
	}
	if s := b.Stats(); s.Lost != 1 || s.Errors != 6 || s.TxErrors != 130 || s.RxErrors != 2 {
		t.Errorf("%+v", s)
	}
	// the bus is off: a second of others' frames brings it back, and nothing else
	start, sent := time.Now(), 0
	for b.Stats().State == canbus.Off && time.Since(start) < 10*time.Second {
		if err := b.Send(t.Context(), frame(1, 0)); !errors.Is(err, ErrBusOff) {
			t.Fatalf("%v after it was off: %v", time.Since(start), err)
		}
		one := frame(1, 0)
		inject(t, "vxcan1", &one)
		sent++
		collect(t, b, 1)
		pause(t.Context())
	}
	if took := time.Since(start); took < recovery || took > 5*recovery || sent < 10 {
		t.Errorf("back after %v and %d frames", took, sent)
	}
	send(t, b, frame(1, 0))
}

func TestKernelCountsWhatASlowReaderLost(t *testing.T) {
	needs(t, "vcan0")
	const many = 2000
	from, slow := open(t, "vcan0", Options{}), open(t, "vcan0", Options{All: true, Buffer: 32 << 10})
	for i := range many {
		send(t, from, frame(uint32(i)&0x7FF, 0, byte(i)))
	}
	var got []canbus.Rx
	for b := make([]canbus.Rx, batchSize); ; {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		n, err := slow.Receive(ctx, b)
		cancel()
		if err != nil {
			break
		}
		got = append(got, b[:n]...)
	}
	before := slow.Stats().LostByUs
	send(t, from, frame(0x7FF, 0)) // the count comes with it
	got = append(got, collect(t, slow, 1)...)
	s := slow.Stats()
	t.Logf("measured: buffer of %d octets holds %d frames; %d of %d received, %d lost by the kernel's count (%d known before the next frame)",
		slow.Buffer(), len(got)-1, len(got), many+1, s.LostByUs, before)
	if uint64(len(got))+s.LostByUs != many+1 || s.LostByUs == 0 || s.Received != uint64(len(got)) {
		t.Errorf("%d received, %+v of %d", len(got), s, many+1)
	}
}

func TestKernelSendQueueFull(t *testing.T) {
	needs(t, "vcan2")
	b := open(t, "vcan2", Options{All: true})
	full := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		return b.Send(ctx, frame(1, 0))
	}
	var err error
	sent := 0
	for ; err == nil && sent < 50; sent++ {
		err = full()
	}
	if !errors.Is(err, unix.ENOBUFS) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("after %d frames: %v", sent, err)
	}
	start := time.Now()
	send(t, b, frame(2, 0)) // waits for room
	t.Logf("measured: a queue of 4 frames was full, and had room after %v", time.Since(start).Round(time.Millisecond))
	if got := collect(t, b, sent); !got[sent-1].Own || got[sent-1].ID != 2 {
		t.Errorf("%+v", got)
	}
}

func setUp(t *testing.T, name string, up bool) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	r, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	if up {
		r.SetUint16(unix.IFF_UP)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r); err != nil {
		t.Fatal(err)
	}
}

func TestKernelInterfaceGoesDownAndComesBack(t *testing.T) {
	needs(t, "vcan1")
	b, sends := open(t, "vcan1", Options{All: true}), open(t, "vcan1", Options{})
	send(t, sends, frame(1, 0))
	collect(t, b, 1)
	done := make(chan error)
	go func() {
		_, err := b.Receive(context.Background(), make([]canbus.Rx, 1))
		done <- err
	}()
	setUp(t, "vcan1", false)
	if err := <-done; !errors.Is(err, canbus.ErrClosed) || !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("Receive: %v", err)
	}
	if err := b.Send(t.Context(), frame(1, 0)); !errors.Is(err, canbus.ErrClosed) {
		t.Errorf("Send on a bus that is gone: %v", err)
	}
	if err := sends.Send(t.Context(), frame(1, 0)); !errors.Is(err, canbus.ErrClosed) || !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("Send: %v", err)
	}
	// Send has taken the kernel's note; Receive must know all the same
	if _, err := sends.Receive(t.Context(), make([]canbus.Rx, 1)); !errors.Is(err, canbus.ErrClosed) {
		t.Errorf("Receive after Send: %v", err)
	}
	if s := b.Stats().State; s != canbus.Gone {
		t.Errorf("state %s", s)
	}
	if _, err := Open(t.Context(), "vcan1", Options{}); !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("Open while it is down: %v", err)
	}
	setUp(t, "vcan1", true)
	exchange(t, open(t, "vcan1", Options{All: true}), open(t, "vcan1", Options{All: true}), everyKind(false))
}

func TestKernelInterfaceGoesAway(t *testing.T) {
	needs(t, "vcan3")
	b := open(t, "vcan3", Options{All: true})
	done := make(chan error)
	go func() {
		_, err := b.Receive(context.Background(), make([]canbus.Rx, 1))
		done <- err
	}()
	remove(t, "vcan3")
	err := <-done // it goes down first, and both may be told
	if !errors.Is(err, canbus.ErrClosed) || !errors.Is(err, unix.ENETDOWN) && !errors.Is(err, unix.ENODEV) {
		t.Errorf("%v", err)
	}
	if _, err := Open(t.Context(), "vcan3", Options{}); !errors.Is(err, unix.ENODEV) {
		t.Errorf("Open: %v", err)
	}
}

// remove takes an interface away, by rtnetlink.
func remove(t *testing.T, name string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	body := append(make([]byte, unix.SizeofIfInfomsg), attribute(unix.IFLA_IFNAME, append([]byte(name), 0))...)
	head := words(4, uint64(unix.SizeofNlMsghdr+len(body)), unix.RTM_DELLINK|(unix.NLM_F_REQUEST|unix.NLM_F_ACK)<<16, 1, 0)
	if err := unix.Sendto(fd, append(head, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	if n, _, err := unix.Recvfrom(fd, answer, 0); err != nil || n < 20 || integer(answer[16:], 4) != 0 {
		t.Fatalf("% X, %v", answer[:max(n, 0)], err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	if _, err := Open(t.Context(), "nocan0", Options{}); errors.Is(err, ErrNoCAN) {
		if os.Getenv(guestCAN) != "" {
			t.Fatal(err)
		}
		t.Skipf("%v", err)
	}
	for name, want := range map[string]error{
		"nocan0": unix.ENODEV, "": unix.ENODEV, "a name too long for any interface": unix.ENODEV, "lo": unix.ENODEV,
	} {
		if _, err := Open(t.Context(), name, Options{}); !errors.Is(err, want) || !strings.HasPrefix(err.Error(), name+": ") {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Open(ended, "nocan0", Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	needs(t, "vcan0")
	if _, err := Open(t.Context(), "vcan0", Options{Filters: []Filter{{ID: 0x800}}}); !errors.Is(err, canbus.ErrFrame) {
		t.Errorf("a filter that cannot be: %v", err)
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		_, _ = Open(t.Context(), "lo", Options{})
	}
	if now, err := os.ReadDir("/proc/self/fd"); err != nil || len(now) > len(open) {
		t.Errorf("%d files are open, before %d: %v", len(now), len(open), err)
	}
}

// A rate is how fast a bus carried frames, for the log of the guest.
func rate(n int, took time.Duration) string {
	return fmt.Sprintf("%d frames in %v, %.0f a second", n, took.Round(time.Millisecond), float64(n)/took.Seconds())
}
