package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/canbus"
)

// A fakeDevice is a device whose opening and confirming is up to the test.
type fakeDevice struct {
	*canbus.End              // the link's side
	far         *canbus.End  // what the device shows
	sent        []canbus.Rx  // what the link gave it
	refuse      error        // to Send
	lost        canbus.Stats // added to those of the end
}

func newFake() *fakeDevice {
	m := canbus.NewMemory()
	return &fakeDevice{End: m.Attach(1 << 16), far: m.Attach(1)}
}

func (d *fakeDevice) Send(_ context.Context, f canbus.Frame) error {
	d.sent = append(d.sent, canbus.Rx{Frame: f})
	return d.refuse
}

func (d *fakeDevice) Receive(ctx context.Context, dst []canbus.Rx) (int, error) {
	n, err := d.End.Receive(ctx, dst)
	for i := range dst[:n] { // a frame with BRS stands for a confirmation
		if dst[i].Flags&canbus.BRS != 0 {
			dst[i].Flags &^= canbus.BRS | canbus.FD
			dst[i].Own = true
		}
	}
	return n, err
}

func (d *fakeDevice) Stats() canbus.Stats {
	s := d.End.Stats()
	s.Lost += d.lost.Lost
	return s
}

func (d *fakeDevice) shows(t *testing.T, ids ...uint32) {
	t.Helper()
	for _, id := range ids {
		if err := d.far.Relay(canbus.Rx{Frame: canbus.Frame{ID: id}}); err != nil {
			t.Fatal(err)
		}
	}
}

func (d *fakeDevice) confirms(t *testing.T, id uint32) {
	t.Helper()
	f := canbus.Frame{ID: id, Flags: canbus.FD | canbus.BRS}
	if err := d.far.Relay(canbus.Rx{Frame: f}); err != nil {
		t.Fatal(err)
	}
}

// A rig is a hub with a link, in a bubble. What open returns is sent to opens.
type rig struct {
	*testing.T
	hub    *hub
	live   *live
	opens  chan any // a *fakeDevice or an error
	tried  []time.Duration
	origin canbus.Origin // of the next device
	told   canbus.Origin // to clients
	log    bytes.Buffer
	ended  chan error
	stop   context.CancelFunc
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, hub: newHub(), opens: make(chan any, 64), origin: canbus.Adapter, ended: make(chan error, 1)}
	begun := time.Now()
	r.live = &live{name: "fake", open: func(ctx context.Context, _ bool) (opened, error) {
		r.tried = append(r.tried, time.Since(begun))
		select {
		case v := <-r.opens:
			if d, ok := v.(*fakeDevice); ok {
				return opened{d, r.origin}, nil
			}
			return opened{}, v.(error)
		case <-ctx.Done():
			return opened{}, ctx.Err()
		}
	}}
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	go func() {
		r.ended <- r.hub.share(ctx, r.live, zerolog.New(&r.log), func(o canbus.Origin) { r.told = o })
	}()
	synctest.Wait()
	return r
}

// finish ends the link, and reports its error.
func (r *rig) finish() error {
	r.stop()
	return <-r.ended
}

func (r *rig) plug() *fakeDevice {
	d := newFake()
	r.opens <- d
	time.Sleep(6 * time.Second) // longer than any pause
	synctest.Wait()
	return d
}

// got is what an end has queued, in short.
func got(t *testing.T, b canbus.Bus) string {
	t.Helper()
	synctest.Wait()
	var all []string
	for batch := make([]canbus.Rx, 1); ; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, err := b.Receive(ctx, batch)
		cancel()
		if err != nil {
			return strings.Join(all, " ")
		}
		text := fmt.Sprintf("%03X", batch[0].ID)
		if batch[0].Flags&canbus.Error != 0 {
			text = "error " + text
		}
		if batch[0].Own {
			text += " own"
		}
		all = append(all, text)
	}
}

// A device that is away is tried ever more seldom, the error is logged once, and
// the clients hear of the loss and of the return.
func TestTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for range 8 {
			r.opens <- errors.New("no such adapter")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		want := "[0s 100ms 300ms 700ms 1.5s 3.1s 6.3s 11.3s 16.3s]"
		if s := fmt.Sprint(r.tried); s != want {
			t.Errorf("tried at %s, not %s", s, want)
		}
		if r.told != "" {
			t.Error("served before anything was opened")
		}
		d := r.plug()
		a, b := r.hub.attach(10), r.hub.attach(10)
		d.shows(t, 1)
		synctest.Wait()
		_ = d.End.Close()
		synctest.Wait()
		late := r.hub.attach(10)
		d = r.plug()
		d.shows(t, 2)
		synctest.Wait()
		new := r.hub.attach(10)
		for bus, want := range map[canbus.Bus]string{
			a: "001 error 040 error 100 002", b: "001 error 040 error 100 002", late: "error 040 error 100 002", new: "",
		} {
			if s := got(t, bus); s != want {
				t.Errorf("%q, not %q", s, want)
			}
		}
		if err := r.finish(); err != nil || r.told != canbus.Adapter {
			t.Errorf("%v, %q", err, r.told)
		}
		if n := strings.Count(r.log.String(), "no such adapter"); n != 1 {
			t.Errorf("logged %d times: %s", n, r.log.String())
		}
		if s := got(t, a); s != "" {
			t.Errorf("the end of canhub is told as %q", s)
		}
	})
}

// What a client sends is on the bus when the device says so, and not before.
func TestOwnIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		d := r.plug()
		a, b := r.hub.attach(10), r.hub.attach(10)
		send := func(c canbus.Bus, id uint32) error { return c.Send(t.Context(), canbus.Frame{ID: id}) }
		check := func(what, wantA, wantB string) {
			t.Helper()
			if gotA, gotB := got(t, a), got(t, b); gotA != wantA || gotB != wantB {
				t.Errorf("%s: %q and %q, not %q and %q", what, gotA, gotB, wantA, wantB)
			}
		}
		if err := errors.Join(send(a, 1), send(b, 2), send(b, 1)); err != nil || len(d.sent) != 3 {
			t.Errorf("%v, %v", err, d.sent)
		}
		check("before it is confirmed", "", "")
		d.confirms(t, 2)
		check("of b", "002", "002 own")
		d.confirms(t, 1)
		d.confirms(t, 1)
		check("the same of both", "001 own 001", "001 001 own")
		d.refuse = errors.New("refused")
		if err := send(a, 3); !errors.Is(err, d.refuse) {
			t.Error(err)
		}
		d.refuse = nil
		_ = send(b, 3)
		d.confirms(t, 3)
		check("refused to a", "003", "003 own")
		_ = send(a, 4)
		time.Sleep(oweLimit + time.Second)
		_ = send(b, 4)
		d.confirms(t, 4)
		check("too late for a", "004", "004 own")
		_ = send(a, 5)
		_ = a.Close()
		d.confirms(t, 5)
		if s := got(t, b); s != "005" {
			t.Errorf("of a client that is gone: %q", s)
		}
		c := r.hub.attach(10)
		_ = send(c, 7)
		_ = d.End.Close()
		synctest.Wait()
		if err := send(b, 6); !errors.Is(err, canbus.ErrClosed) {
			t.Error(err)
		}
		d = r.plug()
		if len(d.sent) != 0 {
			t.Error("a frame was kept for the next device")
		}
		_ = send(b, 7)
		d.confirms(t, 7)
		if s := got(t, c); s != "error 040 error 100 007" {
			t.Errorf("sent before the loss, and never confirmed: %q", s)
		}
		_ = r.finish()
	})
}

// A serial adapter that refuses a frame in silence confirms the next one to its
// sender, and not to who sent the same before.
func TestConfirmsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.live.ordered = true
		d := r.plug()
		a, b := r.hub.attach(10), r.hub.attach(10)
		_ = a.Send(t.Context(), canbus.Frame{ID: 7})
		_ = b.Send(t.Context(), canbus.Frame{ID: 8})
		d.confirms(t, 8) // 7 was refused
		_ = b.Send(t.Context(), canbus.Frame{ID: 7})
		d.confirms(t, 7)
		if gotA, gotB := got(t, a), got(t, b); gotA != "008 007" || gotB != "008 own 007 own" {
			t.Errorf("%q and %q", gotA, gotB)
		}
		_ = r.finish()
	})
}

// A device that takes nothing holds up its sender for a while, and nobody else
// hears of it.
func TestStuckDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stuck := &stuckDevice{newFake()}
		r.live.open = func(context.Context, bool) (opened, error) { return opened{stuck, canbus.Adapter}, nil }
		r.opens <- errors.New("not yet")
		time.Sleep(time.Second)
		a, b := r.hub.attach(10), r.hub.attach(10)
		begun := time.Now()
		if err := a.Send(t.Context(), canbus.Frame{ID: 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if d := time.Since(begun); d != sendLimit {
			t.Errorf("after %v", d)
		}
		stuck.shows(t, 9)
		stuck.confirms(t, 1) // it went out nevertheless
		if gotA, gotB := got(t, a), got(t, b); gotA != "009 001 own" || gotB != "009 001" {
			t.Errorf("%q and %q", gotA, gotB)
		}
		_ = r.finish()
	})
}

type stuckDevice struct{ *fakeDevice }

func (*stuckDevice) Send(ctx context.Context, _ canbus.Frame) error {
	<-ctx.Done()
	return ctx.Err()
}

// What one client does not read it alone loses; what the device loses is told to all.
func TestSlowClientLosesItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		d := r.plug()
		const frames, queue = 10_000, 4096
		slow, quick := r.hub.attach(queue), r.hub.attach(queue)
		n := 0
		for i := range frames {
			d.shows(t, uint32(i%0x700))
			if i%1000 == 999 {
				n += strings.Count(got(t, quick), " ") + 1
			}
		}
		if s := quick.Stats(); n != frames || s.Lost+s.LostByUs != 0 {
			t.Errorf("the quick one got %d, %+v", n, s)
		}
		if s := slow.Stats(); s.LostByUs != frames-queue || s.Lost != 0 {
			t.Errorf("the slow one: %+v", s)
		}
		d.lost.Lost = 5
		d.shows(t, 1)
		synctest.Wait()
		if s := quick.Stats(); s.Lost != 5 {
			t.Errorf("the device lost 5: %+v", s)
		}
		if s := r.hub.attach(1).Stats(); s.Lost != 0 {
			t.Errorf("before this one came: %+v", s)
		}
		_ = d.End.Close()
		r.plug().shows(t, 2)
		synctest.Wait()
		if s := quick.Stats(); s.Lost != 5 {
			t.Errorf("with the next device: %+v", s)
		}
		_ = r.finish()
		if s := r.hub.link.totals(); s.Received != frames+2 || s.Lost != 5 {
			t.Errorf("in all: %+v", s)
		}
	})
}

// An adapter in place of a simulation, or the other way round, is not passed off
// as what it is not.
func TestAnotherOrigin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		d := r.plug()
		a := r.hub.attach(10)
		r.origin = canbus.Simulation
		_ = d.End.Close()
		next := newFake()
		next.shows(t, 0x123)
		r.opens <- next
		if err := <-r.ended; !errors.Is(err, errOther) {
			t.Error(err)
		}
		if s := got(t, a); s != "error 040" {
			t.Errorf("%q", s)
		}
	})
}

func TestMasked(t *testing.T) {
	for in, want := range map[string]string{
		"6B4#0011223344414243":           "6B4#0000000000414243",
		"6B4#FC11223344414243":           "6B4#FC00000000414243", // only two bits switch
		"6B4#001122":                     "6B4#000000",
		"6B4#":                           "6B4#",
		"6B4##30011223344414243":         "6B4##30000000000414243",
		"6B4#0111223344414243":           "6B4#0111223344414243",
		"6B4#0211223344414243":           "6B4#0211223344414243",
		"6B4#R5":                         "6B4#R5",
		"000006B4#0011223344414243":      "000006B4#0011223344414243",
		"6B5#0011223344414243":           "6B5#0011223344414243",
		"200006B4#0011223344414243":      "200006B4#0011223344414243",
		"6B4##0001122334441424300000000": "6B4##0000000000041424300000000",
	} {
		l, _, err := canbus.ParseLine("can0 " + in)
		if err != nil {
			t.Fatal(err)
		}
		l.Frame = masked(l.Frame)
		if s := strings.TrimPrefix(l.String(), "can0 "); s != want || l.Frame.Check() != nil {
			t.Errorf("%s is masked as %s, not %s", in, s, want)
		}
	}
}

// What is wrong with a device is said with what to do about it.
func TestAdvice(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"slcan:" + folder + "/none?bitrate=500000": "no such file or directory: plug the adapter in, or find its name with ls /dev/serial/by-id",
		"slcan:" + file + "?bitrate=500000":        "it is no serial device",
		"slcan:/dev/null?bitrate=500000":           "it is no serial device",
		"socketcan:nosuchcan":                      "nosuchcan: ",
		"socketcand:unix:" + folder + "/can0":      "no such file or directory",
	} {
		d, err := parseDevice(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = d.live.open(t.Context(), true); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := advised(unix.EBUSY); !strings.Contains(err.Error(), "end the other program") {
		t.Error(err)
	}
	if err := advised(unix.EACCES); !strings.Contains(err.Error(), "dialout") {
		t.Error(err)
	}
}

// Only what has a name is handed on as an origin.
func TestUnknownOrigin(t *testing.T) {
	if known("Adapter") != "" || known("") != "" || known(canbus.Adapter) != canbus.Adapter {
		t.Error("an origin is what it is not")
	}
}
