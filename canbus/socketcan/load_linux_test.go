package socketcan

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/canbus"
)

// flood sends so many numbered frames as fast as they are received: a few are on
// their way at any time, as on a bus. What is lost then, is lost by a mistake.
func flood(t *testing.T, from, to *Bus, many int) {
	t.Helper()
	const window = 512
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var got atomic.Int64
	done := make(chan error, 1)
	start := time.Now()
	go func() {
		var f canbus.Frame
		for i := range many {
			for int64(i)-got.Load() >= window {
				pause(ctx)
				if ctx.Err() != nil {
					break
				}
			}
			f.ID, f.Len = uint32(i)&0x7FF, 8
			binary.BigEndian.PutUint64(f.Data[:], uint64(i))
			if err := from.Send(ctx, f); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	var worst time.Duration
	calls := 0
	dst := make([]canbus.Rx, batchSize)
	for next := uint64(0); next < uint64(many); calls++ {
		n, err := to.Receive(ctx, dst)
		if err != nil {
			t.Fatalf("after %d frames: %v, %+v", next, err, to.Stats())
		}
		worst = max(worst, time.Since(dst[0].At))
		for _, rx := range dst[:n] {
			if i := binary.BigEndian.Uint64(rx.Data[:]); i != next || rx.ID != uint32(i)&0x7FF {
				t.Fatalf("frame %d came where %d was due: %+v in %+v", i, next, to.Stats(), dst[:n])
			}
			next++
		}
		got.Add(int64(n))
	}
	took := time.Since(start)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s := to.Stats()
	t.Logf("measured: %s to %s: %s, %.1f a call, oldest of a batch %v; %d lost by the kernel's count",
		from.Name(), to.Name(), rate(many, took), float64(many)/float64(calls), worst.Round(100*time.Microsecond), s.LostByUs)
	if s.Received != uint64(many) || s.LostByUs != 0 || s.Lost != 0 || s.Errors != 0 {
		t.Errorf("%+v", s)
	}
}

func TestKernelLosesNothing(t *testing.T) {
	needs(t, "vcan0", "vxcan0", "vxcan1")
	flood(t, open(t, "vcan0", Options{}), open(t, "vcan0", Options{All: true, FD: true}), 20_000)
	flood(t, open(t, "vxcan0", Options{}), open(t, "vxcan1", Options{All: true}), 10_000)
}

// Two controllers that QEMU emulates: a driver, interrupts, confirmation by the
// controller; classic frames only.
func TestKernelControllers(t *testing.T) {
	needs(t, "can0", "can1")
	one, two := open(t, "can0", Options{All: true, FD: true}), open(t, "can1", Options{All: true, FD: true})
	for _, b := range []*Bus{one, two} {
		if b.Origin() != canbus.Kernel || b.FD() || b.Stats().State != canbus.OK {
			t.Errorf("%s: origin %q, FD %v, %+v", b.Name(), b.Origin(), b.FD(), b.Stats())
		}
	}
	// QEMU's controller puts the length of a remote frame into its queue as data,
	// and what follows is garbled: only one without length can be tried
	frames := append(everyKind(false)[:3], frame(0x7FF, canbus.Remote))
	exchange(t, one, two, frames)
	exchange(t, open(t, "can1", Options{All: true}), open(t, "can0", Options{All: true}), frames)
	flood(t, open(t, "can0", Options{}), open(t, "can1", Options{All: true}), 3000)

	l, err := find(socket(t), "can0")
	if err != nil {
		t.Fatal(err)
	}
	if l.ask(); l.kind != "can" || l.state != canbus.OK || l.listenOnly {
		t.Errorf("netlink says %+v", l)
	}
}

func socket(t *testing.T) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_CAN, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.CAN_RAW)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// slcan makes an interface of the kernel's line discipline on a pty, and returns
// its name and the adapter's end of the line.
func slcan(t *testing.T) (name string, adapter int) {
	t.Helper()
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(master) })
	number, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	line, err := unix.Open("/dev/pts/"+string(rune('0'+number)), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(line) })
	termios, err := unix.IoctlGetTermios(line, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	termios.Iflag, termios.Oflag, termios.Lflag, termios.Cflag = 0, 0, 0, unix.CS8|unix.CREAD|unix.CLOCAL
	const lineDisciplineSLCAN = 17
	r, err := unix.NewIfreq("unknown")
	err = errors.Join(err, unix.IoctlSetTermios(line, unix.TCSETS, termios), unix.IoctlSetPointerInt(line, unix.TIOCSETD, lineDisciplineSLCAN))
	if err == nil {
		err = unix.IoctlIfreq(line, unix.SIOCGIFNAME, r)
	}
	if err != nil {
		t.Fatal(err)
	}
	name = r.Name()
	setUp(t, name, true)
	return name, master
}

// hear reads what the kernel tells the adapter, up to a CR.
func hear(t *testing.T, adapter int) string {
	t.Helper()
	var line []byte
	for one := make([]byte, 1); len(line) == 0 || line[len(line)-1] != '\r'; {
		n, err := unix.Read(adapter, one)
		if errors.Is(err, unix.EAGAIN) {
			pause(t.Context())
			continue
		}
		if n != 1 || err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
		line = append(line, one[0])
	}
	return string(line)
}

// The kernel's own driver for serial adapters, with an adapter that is the test:
// what it says becomes frames and error frames that the kernel makes.
func TestKernelSlcan(t *testing.T) {
	needs(t, "vcan0")
	name, adapter := slcan(t)
	b := open(t, name, Options{All: true})
	if b.Origin() != "" || b.FD() {
		t.Errorf("%s: origin %q, FD %v", name, b.Origin(), b.FD())
	}
	say := func(text string) canbus.Rx {
		t.Helper()
		if _, err := unix.Write(adapter, []byte(text+"\r")); err != nil {
			t.Fatal(err)
		}
		return collect(t, b, 1)[0]
	}
	if got := say("t1232BEEF"); got.Frame != frame(0x123, 0, 0xBE, 0xEF) || got.Own {
		t.Errorf("%+v", got)
	}
	if got := say("T173303011A5"); got.Frame != frame(0x1733_0301, canbus.Extended, 0xA5) {
		t.Errorf("%+v", got)
	}
	send(t, b, frame(0x456, 0, 1, 2))
	if got := hear(t, adapter); got != "t45620102\r" {
		t.Errorf("on the line: %q", got)
	}
	if got := collect(t, b, 1)[0]; !got.Own || got.ID != 0x456 {
		t.Errorf("%+v", got)
	}
	for _, c := range []struct {
		said     string
		want     canbus.BusState
		tec, rec uint8
	}{
		{"sw020100", canbus.Warning, 100, 20}, {"sp020130", canbus.Passive, 130, 20}, // REC before TEC
		{"sa002001", canbus.OK, 1, 2}, {"sb000000", canbus.Off, 1, 2},
	} {
		f := say(c.said)
		s := b.Stats()
		t.Logf("adapter %s: kernel class %03X % X: %s, TEC %d, REC %d", c.said, f.ID, f.Data[:8], s.State, s.TxErrors, s.RxErrors)
		if f.Flags != canbus.Error || s.State != c.want || s.TxErrors != c.tec || s.RxErrors != c.rec {
			t.Errorf("the adapter says %s: %+v", c.said, s)
		}
	}
	if err := b.Send(t.Context(), frame(1, 0)); !errors.Is(err, ErrBusOff) {
		t.Errorf("%v", err)
	}
	late := open(t, name, Options{All: true}) // it was off before anybody listened
	if err := late.Send(t.Context(), frame(1, 0)); !errors.Is(err, ErrBusOff) {
		t.Errorf("opened after it went off: %v, %+v", err, late.Stats())
	}
}
