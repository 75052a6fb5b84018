package slcan

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

func TestReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := openFake(t, plain, lawicel)
		now := time.Now()
		f.say("t1232AAbb\rT000001231FF\n\r\nr1238\r")
		got := receive(t, b)
		want := []canbus.Frame{frame(0x123, 0, 0xAA, 0xBB), frame(0x123, x, 0xFF), {ID: 0x123, Flags: canbus.Remote, Len: 8}}
		if len(got) != len(want) {
			t.Fatal(got)
		}
		for i := range got {
			if got[i] != (canbus.Rx{Frame: want[i], At: now}) {
				t.Errorf("%+v", got[i])
			}
		}
		if s := b.Stats(); s.Received != 3 || s.Errors != 0 || s.State != canbus.OK {
			t.Errorf("%+v", s)
		}
	})
}

// Each piece of nonsense costs what it says, and the frame behind it is whole.
func TestNonsenseCostsItselfOnly(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want Counts
	}{
		"noise":          {"\xff\x00t12\x80\r", Counts{Malformed: 1}},
		"noise and BEL":  {"\xfft1\a", Counts{Malformed: 1, Refused: 1}},
		"missing CR":     {"t1232AABBt1232AABB\r", Counts{Malformed: 1}},
		"too long":       {strings.Repeat("t123", 1000) + "\r", Counts{Malformed: 1, TooLong: 1}},
		"cut off":        {"t1238112233\r", Counts{Malformed: 1}},
		"empty lines":    {"\r\r\n\r", Counts{Stray: 3}},
		"z for nothing":  {"z\rZ\r", Counts{Stray: 2}},
		"late version":   {"V1013\rNA123\rhello\r", Counts{Stray: 3}},
		"BEL":            {"\a\a", Counts{Refused: 2}},
		"errors":         {"e1a\re3bcO\r", Counts{Faults: 2}},
		"no such error":  {"e1x\r", Counts{Malformed: 1}},
		"no such state":  {"sq000000\r", Counts{Malformed: 1}},
		"lost CR, BEL":   {"z\a", Counts{Stray: 1, Refused: 1}},
		"nothing at all": {"", Counts{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, f := openFake(t, plain, lawicel)
				f.say(c.text + "t5550\r")
				if got := receive(t, b); len(got) != 1 || got[0].ID != 0x555 {
					t.Errorf("%v", got)
				}
				if got := b.Counts(); got != c.want {
					t.Errorf("%+v", got)
				}
				if got := b.Stats().Errors; (got > 0) != (c.want.Malformed+c.want.Refused+c.want.Faults > 0) {
					t.Errorf("%d errors", got)
				}
			})
		})
	}
}

func TestSlowReaderLosesTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := plain
		o.Queue = 100
		b, f := openFake(t, o, lawicel)
		for i := range 150 {
			text, _ := Append(nil, &canbus.Frame{ID: uint32(i)})
			f.say(string(text))
		}
		got := receive(t, b)
		if len(got) != 100 || got[0].ID != 50 || got[99].ID != 149 {
			t.Errorf("%d frames from %X", len(got), got[0].ID)
		}
		if s := b.Stats(); s.LostByUs != 50 || s.Received != 100 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTimeStamps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := plain
		o.Stamps = true
		b, f := openFake(t, o, lawicel)
		f.say("t1230EA5D\r") // 59997
		begun := time.Now()
		time.Sleep(100 * time.Millisecond)
		f.say("t12300002\rt1230000C\rt1230\rt1230EA60\r")
		got := receive(t, b)
		if len(got) != 4 {
			t.Fatal(got)
		}
		for i, want := range []time.Duration{0, 5 * time.Millisecond, 15 * time.Millisecond, 100 * time.Millisecond} {
			if d := got[i].At.Sub(begun) - want; d < 0 || d > 50*time.Microsecond {
				t.Errorf("frame %d came after %v", i, got[i].At.Sub(begun))
			}
		}
		if c := b.Counts(); c.Malformed != 1 {
			t.Errorf("%+v", c)
		}
	})
	synctest.Test(t, func(t *testing.T) { // stamps nobody asked for are passed over
		b, f := openFake(t, plain, lawicel)
		f.say("t12300000\r")
		time.Sleep(time.Second)
		f.say("t12300005\r")
		now := time.Now()
		if got := receive(t, b); len(got) != 2 || got[1].At != now {
			t.Errorf("%v", got)
		}
	})
}

func TestClock(t *testing.T) {
	const ms = time.Millisecond
	base := time.Unix(1747900000, 0)
	type step struct {
		stamp   uint16
		arrived time.Duration
		want    time.Duration
	}
	for name, steps := range map[string][]step{
		"even":              {{0, 0, 0}, {10, 10 * ms, 10 * ms}, {20, 20 * ms, 20 * ms}},
		"held up":           {{0, 0, 0}, {10, 500 * ms, 10 * ms}, {20, 500 * ms, 20 * ms}, {505, 510 * ms, 505 * ms}},
		"first one held up": {{0, 0, 0}, {400, 10 * ms, 10 * ms}, {410, 20 * ms, 20 * ms}},
		"wrap":              {{59_990, 0, 0}, {5, 15 * ms, 15 * ms}},
		"silence of minutes": {
			{100, 0, 0},
			{100, 180 * time.Second, 180 * time.Second},
			{59_900, 10 * time.Minute, 10*time.Minute - 200*ms},
		},
	} {
		var c clock
		for i, s := range steps {
			got := c.time(s.stamp, base.Add(s.arrived))
			// It creeps forward by 1 in 1024, and never into the future.
			if d := got.Sub(base) - s.want; d < 0 && s.want != s.arrived || d > s.arrived>>creep+ms || got.After(base.Add(s.arrived)) {
				t.Errorf("%s, %d: %v, not %v", name, i, got.Sub(base), s.want)
			}
		}
	}
}

// An adapter whose clock runs 0.05 % fast or slow stays within 2 ms for an hour,
// on a line that is held up now and then, and time never runs backwards.
func TestClockFollows(t *testing.T) {
	for _, drift := range []int{-500, 0, 500} {
		var c clock
		last, base := time.Time{}, time.Unix(1747900000, 0)
		for i := range 360_000 { // 10 ms each
			real := time.Duration(i) * 10 * time.Millisecond
			stamp := uint16((real.Milliseconds() + real.Milliseconds()*int64(drift)/1_000_000) % Minute)
			now := base.Add(real)
			if i%50 < 10 {
				now = now.Add(time.Duration(100-10*(i%50)) * time.Millisecond)
			}
			at := c.time(stamp, now)
			if off := at.Sub(base.Add(real)); off < -2*time.Millisecond || i > 100 && off > 2*time.Millisecond || at.Before(last) {
				t.Fatalf("drift %d: frame %d is off by %v", drift, i, off)
			}
			last = at
		}
	}
}

// A line that is gone in one of the ways a line can be gone.
type deadLine struct {
	io.ReadWriteCloser
	empty atomic.Bool // reads give (0, nil), at once or after wait
	wait  time.Duration
	reads atomic.Int64
	stuck atomic.Bool // writes never return
	shut  chan struct{}
	once  sync.Once
}

func (d *deadLine) Read(p []byte) (int, error) {
	d.reads.Add(1)
	if d.empty.Load() {
		time.Sleep(d.wait)
		return 0, nil
	}
	return d.ReadWriteCloser.Read(p)
}

func (d *deadLine) Write(p []byte) (int, error) {
	if d.stuck.Load() {
		<-d.shut
		return 0, io.ErrClosedPipe
	}
	return d.ReadWriteCloser.Write(p)
}

func (d *deadLine) Close() error {
	d.once.Do(func() { close(d.shut) })
	return d.ReadWriteCloser.Close()
}

// A device that is gone gives an error, and the same again.
func expectGone(t *testing.T, b *Bus, why error) {
	t.Helper()
	dst := make([]canbus.Rx, 8)
	for range 2 {
		if n, err := b.Receive(t.Context(), dst); n != 0 || !errors.Is(err, why) || !errors.Is(err, canbus.ErrClosed) {
			t.Errorf("%d frames, %v", n, err)
		}
		if err := b.Send(t.Context(), canbus.Frame{}); !errors.Is(err, canbus.ErrClosed) {
			t.Errorf("sent: %v", err)
		}
	}
	if s := b.Stats().State; s != canbus.Gone {
		t.Errorf("the bus is %s", s)
	}
}

func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := openFake(t, plain, lawicel)
		f.say("t1230\rt124")
		_ = f.conn.Close()
		synctest.Wait()
		dst := make([]canbus.Rx, 8)
		if n, err := b.Receive(t.Context(), dst); n != 1 || err != nil {
			t.Errorf("what had arrived: %d, %v", n, err)
		}
		expectGone(t, b, io.EOF)
	})
}

func TestUnplugged(t *testing.T) {
	for name, wait := range map[string]time.Duration{"serial library": 200 * time.Millisecond, "spinning": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var absent atomic.Bool
				o := plain
				o.Present = func() bool { return !absent.Load() }
				f, line := newFake(t, lawicel)
				d := &deadLine{ReadWriteCloser: line, wait: wait, shut: make(chan struct{})}
				b, err := Open(t.Context(), d, o)
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				d.empty.Store(true)
				f.say("t1230\r") // ends the read that waits
				if got := receive(t, b); len(got) != 1 {
					t.Fatal(got)
				}
				before := d.reads.Load()
				time.Sleep(10 * time.Second)
				if n := d.reads.Load() - before; n > 600 || b.Stats().State != canbus.OK {
					t.Errorf("%d reads in 10 s of silence, %s", n, b.Stats().State)
				}
				absent.Store(true)
				begun := time.Now()
				expectGone(t, b, ErrUnplugged)
				if took := time.Since(begun); took > time.Second {
					t.Errorf("noticed after %v", took)
				}
			})
		})
	}
}

// A read that hangs tells nothing: the node is looked at anyway.
func TestUnpluggedWhileReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var absent atomic.Bool
		o := plain
		o.Present = func() bool { return !absent.Load() }
		b, _ := openFake(t, o, lawicel)
		absent.Store(true)
		begun := time.Now()
		expectGone(t, b, ErrUnplugged)
		if took := time.Since(begun); took > time.Second {
			t.Errorf("noticed after %v", took)
		}
	})
}

func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, line := newFake(t, lawicel)
		d := &deadLine{ReadWriteCloser: line, shut: make(chan struct{})}
		b, err := Open(t.Context(), d, plain)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		d.stuck.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		begun := time.Now()
		if err := b.Send(ctx, canbus.Frame{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 300*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if err := b.Send(t.Context(), canbus.Frame{}); !errors.Is(err, ErrStuck) || time.Since(begun) != stuckLimit {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		expectGone(t, b, ErrStuck)
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := openFake(t, plain, lawicel)
		waiting := make(chan error)
		go func() {
			_, err := b.Receive(t.Context(), make([]canbus.Rx, 1))
			waiting <- err
		}()
		synctest.Wait()
		_, _ = b.Close(), b.Close() // twice does no harm
		if err := <-waiting; !errors.Is(err, canbus.ErrClosed) {
			t.Errorf("%v", err)
		}
		synctest.Wait()
		if got := f.said(); !strings.HasSuffix(got, " C") || strings.Contains(got, ",") {
			t.Errorf("at the end: %q", got)
		}
		expectGone(t, b, canbus.ErrClosed)
	})
	synctest.Test(t, func(t *testing.T) { // what had arrived is not received any more
		b, f := openFake(t, plain, lawicel)
		f.say("t1230\r")
		synctest.Wait()
		_ = b.Close()
		expectGone(t, b, canbus.ErrClosed)
	})
}

func TestCloseDoesNotHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, line := newFake(t, lawicel)
		d := &deadLine{ReadWriteCloser: line, shut: make(chan struct{})}
		b, err := Open(t.Context(), d, plain)
		if err != nil {
			t.Fatal(err)
		}
		d.stuck.Store(true)
		begun := time.Now()
		_ = b.Close()
		if took := time.Since(begun); took > answerLimit {
			t.Errorf("took %v", took)
		}
	})
}

func TestReceiveEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := openFake(t, plain, lawicel)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		if _, err := b.Receive(ctx, make([]canbus.Rx, 1)); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if n, err := b.Receive(t.Context(), nil); n != 0 || err != nil {
			t.Errorf("no room: %d, %v", n, err)
		}
	})
}

func TestSupervise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var pauses []time.Duration
		none, tries := errors.New("no device"), 0
		m := canbus.NewMemory()
		Supervise(ctx, func(context.Context) (canbus.Bus, error) {
			if tries++; tries == 9 || tries == 10 {
				return m.Attach(0), nil
			}
			return nil, none
		}, func(ctx context.Context, b canbus.Bus) error {
			time.Sleep(map[int]time.Duration{9: time.Minute, 10: time.Second}[tries])
			return none
		}, func(err error, pause time.Duration) {
			if pauses = append(pauses, pause/time.Millisecond); len(pauses) == 11 {
				cancel()
			}
			if !errors.Is(err, none) {
				t.Error(err)
			}
		})
		want := []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000, 100, 200, 400}
		for i := range want {
			if pauses[i] != want[i] {
				t.Fatalf("%d, not %d", pauses, want)
			}
		}
	})
}
