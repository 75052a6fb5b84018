package slcan

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.bug.st/serial"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/slcan"
	"github.com/headunit-agent/headunit/cmd/internal/sim/modem"
)

// A cable makes the two ends of a line: the adapter's and the driver's.
type cable func(t testing.TB) (adapter, host io.ReadWriteCloser)

func pipe(testing.TB) (adapter, host io.ReadWriteCloser) { return net.Pipe() }

func ptyFile(t testing.TB) (adapter, host io.ReadWriteCloser) {
	master, name := openPty(t)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, f
}

// serialPort is the pty as programs open it, with the library they use.
func serialPort(t testing.TB) (adapter, host io.ReadWriteCloser) {
	master, name := openPty(t)
	p, err := serial.Open(name, &serial.Mode{BaudRate: 115200, DataBits: 8})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.SetReadTimeout(200 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	return master, p
}

func openPty(t testing.TB) (master *os.File, name string) {
	t.Helper()
	master, name, err := modem.OpenPty()
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	return master, name
}

// A bench is a bus, an adapter on it, and a driver of that adapter.
type bench struct {
	testing.TB
	adapter *Adapter
	bus     *canbus.End // another one on that bus
	driver  *slcan.Bus
	served  chan error
}

func newBench(t testing.TB, dialect string, connect cable, o slcan.Options) *bench {
	t.Helper()
	b := &bench{TB: t, served: make(chan error, 1)}
	m := canbus.NewMemory()
	b.bus = m.Attach(1 << 16)
	var err error
	if b.adapter, err = New(Options{Dialect: dialect, Bitrate: 500_000, FIFO: 1000}, m.Attach(1<<16)); err != nil {
		t.Fatal(err)
	}
	b.plug(connect, o)
	return b
}

// plug connects a driver with the adapter.
func (b *bench) plug(connect cable, o slcan.Options) {
	b.Helper()
	near, far := connect(b)
	go func() { b.served <- b.adapter.Serve(b.Context(), near) }()
	o.Queue = 1 << 16
	d, err := slcan.Open(b.Context(), far, o)
	if err != nil {
		b.Fatal(err)
	}
	b.driver = d
	b.Cleanup(func() { _ = d.Close() })
}

// from takes n frames off a bus.
func (b *bench) from(bus canbus.Bus, n int) []canbus.Rx {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
	defer cancel()
	got := make([]canbus.Rx, n)
	for have := 0; have < n; {
		k, err := bus.Receive(ctx, got[have:])
		if err != nil {
			b.Fatalf("after %d of %d frames: %v", have, n, err)
		}
		have += k
	}
	return got
}

func (b *bench) send(bus canbus.Bus, frames ...canbus.Frame) {
	b.Helper()
	for _, f := range frames {
		if err := bus.Send(b.Context(), f); err != nil {
			b.Fatal(err)
		}
	}
}

func (b *bench) do(line string) {
	b.Helper()
	if err := b.adapter.Do(line); err != nil {
		b.Fatal(err)
	}
}

// until waits for what happens beside the frames.
func (b *bench) until(what string, ok func() bool) {
	b.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			b.Fatalf("%s does not happen: %+v %+v %+v", what, b.driver.Stats(), b.driver.Counts(), b.driver.Info())
		}
	}
}

func frame(id uint32, flags canbus.Flags, data ...byte) canbus.Frame {
	f := canbus.Frame{ID: id, Flags: flags, Len: uint8(len(data))}
	copy(f.Data[:], data)
	return f
}

var (
	classicFrames = []canbus.Frame{
		frame(0, 0), frame(0x7FF, 0, 0xDE, 0xAD), frame(0x123, 0, 1, 2, 3, 4, 5, 6, 7, 8),
		frame(0x123, canbus.Extended, 0xFF), frame(0x1FFFFFFF, canbus.Extended, 8, 7, 6, 5, 4, 3, 2, 1),
		{ID: 0x123, Flags: canbus.Remote, Len: 5},
		{ID: 0x1ABCDEF0, Flags: canbus.Remote | canbus.Extended},
	}
	fdFrames = []canbus.Frame{
		frame(0x100, canbus.FD), frame(0x101, canbus.FD, slices.Repeat([]byte{0xA5}, 12)...),
		frame(0x1ABCDEF0, canbus.FD|canbus.BRS|canbus.Extended, slices.Repeat([]byte{0x5A}, 64)...),
		frame(0x102, canbus.FD|canbus.BRS, slices.Repeat([]byte{0x0F}, 24)...),
	}
)

// What every adapter must do, whatever it answers.
func (b *bench) conforms(frames []canbus.Frame, confirms bool) {
	b.Helper()
	b.send(b.bus, frames...)
	for i, rx := range b.from(b.driver, len(frames)) {
		if rx.Frame != frames[i] || rx.Own {
			b.Errorf("received %+v, own %v, in place of %+v", rx.Frame, rx.Own, frames[i])
		}
		if age := time.Since(rx.At); age < 0 || age > 10*time.Second {
			b.Errorf("received %v ago", age)
		}
	}
	b.from(b.bus, len(frames))
	b.send(b.driver, frames...)
	for i, rx := range b.from(b.driver, len(frames)) {
		if rx.Frame != frames[i] || !rx.Own {
			b.Errorf("came back: %+v, own %v, in place of %+v", rx.Frame, rx.Own, frames[i])
		}
	}
	for i, rx := range b.from(b.bus, len(frames)) {
		if rx.Frame != frames[i] {
			b.Errorf("on the bus: %+v in place of %+v", rx.Frame, frames[i])
		}
	}
	n := uint64(len(frames))
	if s := b.driver.Stats(); s.Sent != n || s.Received != 2*n || s.Errors+s.Lost+s.LostByUs != 0 || s.State != canbus.OK {
		b.Errorf("%+v", s)
	}
	if i := b.driver.Info(); i.Confirms != confirms {
		b.Errorf("%+v", i)
	}
	for _, c := range b.adapter.Commands() {
		if c == "" || strings.Contains("QUWAEXP", c[:1]) {
			b.Errorf("%q was sent, which no adapter may be told", c)
		}
	}
	_ = b.driver.Close()
	b.until("the channel closes", func() bool { return !b.adapter.State().Open })
	b.do("unplug")                     // a pty does not end when its other side is closed
	if err := <-b.served; err == nil { // the pipe was closed, or the pty unplugged
		b.Error("the adapter does not notice that its host is gone")
	}
}

var kinds = []struct {
	dialect  string
	o        slcan.Options
	frames   []canbus.Frame
	confirms bool
}{
	{"canusb", slcan.Options{Bitrate: 500_000}, classicFrames, true},
	{"canusb", slcan.Options{BTR: "001C", Stamps: true}, classicFrames, true},
	{"canable", slcan.Options{Bitrate: 500_000}, classicFrames, false},
	{"arduino", slcan.Options{Bitrate: 500_000}, classicFrames, true},
	{"fd", slcan.Options{Bitrate: 500_000, Data: 2_000_000}, slices.Concat(classicFrames, fdFrames), true},
}

func TestConformance(t *testing.T) {
	for _, k := range kinds {
		t.Run("pipe/"+k.dialect, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newBench(t, k.dialect, pipe, k.o).conforms(k.frames, k.confirms) })
		})
		t.Run("pty/"+k.dialect, func(t *testing.T) {
			t.Parallel()
			newBench(t, k.dialect, ptyFile, k.o).conforms(k.frames, k.confirms)
		})
		t.Run("serial/"+k.dialect, func(t *testing.T) {
			t.Parallel()
			newBench(t, k.dialect, serialPort, k.o).conforms(k.frames, k.confirms)
		})
	}
}

// Who listens is not even seen on the bus.
func TestListening(t *testing.T) {
	for _, dialect := range []string{"canusb", "canable", "arduino", "fd"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, dialect, pipe, slcan.Options{Bitrate: 500_000, Listen: true})
			if s := b.adapter.State(); !s.Open || !s.Silent || s.Bitrate != 500_000 {
				t.Errorf("%s: %+v", dialect, s)
			}
			b.send(b.bus, classicFrames...)
			b.from(b.driver, len(classicFrames))
			if err := b.driver.Send(t.Context(), frame(1, 0)); !errors.Is(err, slcan.ErrListenOnly) {
				t.Error(err)
			}
		})
	}
}

// A driver that was killed leaves the channel open; the next one starts clean.
func TestLeftOpen(t *testing.T) {
	for _, dialect := range []string{"canusb", "canable", "fd"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, dialect, pipe, slcan.Options{Bitrate: 500_000, Listen: true})
			b.do("unplug")
			if err := <-b.served; !errors.Is(err, ErrUnplugged) {
				t.Errorf("%v", err)
			}
			if _, err := b.driver.Receive(t.Context(), make([]canbus.Rx, 1)); !errors.Is(err, canbus.ErrClosed) {
				t.Errorf("%v", err)
			}
			if !b.adapter.State().Open {
				t.Fatal("it is closed: nothing is tested")
			}
			for range 50 {
				b.send(b.bus, frame(0x666, 0))
			}
			b.plug(pipe, slcan.Options{Bitrate: 500_000})
			b.send(b.bus, frame(0x123, 0))
			if got := b.from(b.driver, 1); got[0].ID != 0x123 || b.adapter.State().Silent {
				t.Errorf("%s: %+v, %+v", dialect, got[0].Frame, b.adapter.State())
			}
		})
	}
}

// What goes wrong on the way costs what it must, and is counted.
func TestFaults(t *testing.T) {
	const all = 100
	for fault, c := range map[string]struct{ lost, malformed uint64 }{
		"none":       {0, 0},
		"lower on":   {0, 0},
		"lf on":      {0, 0},
		"garbage 3":  {3, 3},
		"nocr 1":     {2, 1}, // two lines became one
		"overflow 7": {7, 0},
		"long":       {0, 1},
		"say e1a":    {0, 0},
		"say \x07":   {0, 0},
	} {
		t.Run(fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "canusb", pipe, slcan.Options{Bitrate: 500_000})
				b.do(fault)
				for i := range all {
					b.send(b.bus, frame(uint32(i), 0, byte(i)))
				}
				got := b.from(b.driver, all-int(c.lost))
				if last := got[len(got)-1]; last.ID != all-1 {
					t.Errorf("the last one is %X", last.ID)
				}
				time.Sleep(2500 * time.Millisecond) // F
				s, counts := b.driver.Stats(), b.driver.Counts()
				if counts.Malformed != c.malformed || s.Received != all-c.lost {
					t.Errorf("%+v %+v", s, counts)
				}
				if want := fault == "overflow 7"; (s.Lost > 0) != want {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

func TestFaultsOfSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "canusb", pipe, slcan.Options{Bitrate: 500_000, Poll: -1})
		b.send(b.driver, frame(1, 0))
		b.from(b.driver, 1)
		b.do("refuse")
		b.do("swallow 0")
		b.send(b.driver, frame(2, 0))
		synctest.Wait()
		b.do("swallow")
		b.send(b.driver, frame(3, 0))
		time.Sleep(time.Second)
		b.send(b.driver, frame(4, 0))
		if got := b.from(b.driver, 1); got[0].ID != 4 {
			t.Errorf("%+v came back", got[0].Frame)
		}
		if c := b.driver.Counts(); c.Refused != 1 || c.Unanswered != 1 {
			t.Errorf("%+v", c)
		}
		if got := b.from(b.bus, 2); got[0].ID != 1 || got[1].ID != 4 {
			t.Errorf("on the bus: %+v", got)
		}
	})
}

func TestWrongBitrate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "canusb", pipe, slcan.Options{Bitrate: 250_000})
		b.send(b.bus, classicFrames...)
		b.until("a bus error", func() bool { return b.driver.Stats().Errors > 0 })
		if s := b.driver.Stats(); s.Received != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestNeverAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := New(Options{}, canbus.NewMemory().Attach(0))
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Do("mute on"); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe()
		go func() { _ = a.Serve(t.Context(), near) }()
		if _, err := slcan.Open(t.Context(), far, slcan.Options{Bitrate: 500_000}); !errors.Is(err, slcan.ErrMute) {
			t.Errorf("%v", err)
		}
		if a.State().Open {
			t.Error("the channel is open")
		}
	})
}

// A stream over a real terminal, in bursts that the adapter has just room for,
// and nothing lost.
func TestNothingIsLostOnTheWay(t *testing.T) {
	const bursts, each = 40, 500
	b := newBench(t, "fd", ptyFile, slcan.Options{Bitrate: 500_000})
	for n := range bursts {
		for i := range each {
			b.send(b.bus, frame(0x123, 0, byte(i), byte(i>>8), byte(n), 0, 0, 0, 0, 0))
		}
		for i, rx := range b.from(b.driver, each) {
			if got := int(rx.Data[0]) | int(rx.Data[1])<<8; got != i || int(rx.Data[2]) != n {
				t.Fatalf("frame %d of burst %d is number %d of %d", i, n, got, rx.Data[2])
			}
		}
	}
	if s := b.driver.Stats(); s.Errors+s.Lost+s.LostByUs != 0 {
		t.Errorf("%+v", s)
	}
}

// How late a frame is that is read over a terminal.
func BenchmarkLatency(b *testing.B) {
	w := newBench(b, "fd", ptyFile, slcan.Options{Bitrate: 500_000})
	dst, f := make([]canbus.Rx, 64), frame(0x123, 0, 1, 2, 3, 4, 5, 6, 7, 8)
	var late []time.Duration
	for b.Loop() {
		begun := time.Now()
		w.send(w.bus, f)
		if _, err := w.driver.Receive(b.Context(), dst); err != nil {
			b.Fatal(err)
		}
		late = append(late, time.Since(begun))
	}
	slices.Sort(late)
	b.ReportMetric(float64(late[len(late)*99/100].Microseconds()), "p99-µs")
}
