package slcan

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

var (
	f1 = frame(0x123, 0, 1)
	f2 = frame(0x123, x, 2)
	f3 = frame(0x123, fdf|brs, 3)
)

var withFD = Options{Bitrate: 500_000, Data: 2_000_000, Poll: -1}

func TestOwn(t *testing.T) {
	for name, c := range map[string]struct {
		answer   func(string) string
		wait     time.Duration // until the first of each kind comes back
		confirms bool
	}{
		"z":                   {lawicel, 0, true},
		"CR":                  {canable2, 0, true},
		"no acknowledgement":  {canable, 0, false},
		"not to frames":       {silentTo("tTrRbBdD", lawicel), 200 * time.Millisecond, false},
		"CANable 2, unlearnt": {silentTo("tTrRbBdD", canable2), 200 * time.Millisecond, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, f := openFake(t, withFD, c.answer)
				for _, fr := range []canbus.Frame{f1, f3} {
					send(t, b, fr)
					if c.wait > 0 {
						expectOwn(t, b)
						time.Sleep(c.wait)
					}
					expectOwn(t, b, fr)
				}
				if i := b.Info(); i.Confirms != c.confirms || i.ConfirmsFD != c.confirms {
					t.Errorf("%+v", i)
				}
				send(t, b, f2) // known by now
				send(t, b, f3)
				expectOwn(t, b, f2, f3)
				if s := b.Stats(); s.Sent != 4 || s.Received != 4 || s.Errors != 0 {
					t.Errorf("%+v", s)
				}
				if got := f.said(); !strings.Contains(got, " t123101,") || !strings.Contains(got, " b123103,") || !strings.Contains(got, " T00000123102,") {
					t.Errorf("%s", got)
				}
			})
		})
	}
}

func silentTo(letters string, other func(string) string) func(string) string {
	return func(line string) string {
		if strings.Contains(letters, line[:1]) {
			return ""
		}
		return other(line)
	}
}

// Classic frames are confirmed and FD frames are not: what is learnt of one is
// not taken for the other, even when both are sent at once.
func TestFDIsLearntByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := openFake(t, withFD, silentTo("bBdD", canable2))
		sent := make(chan error, 2)
		go func() { sent <- b.Send(t.Context(), f3) }()
		synctest.Wait()
		go func() { sent <- b.Send(t.Context(), f1) }()
		expectOwn(t, b)
		time.Sleep(answerLimit)
		expectOwn(t, b, f3, f1)
		if i := b.Info(); !i.Confirms || i.ConfirmsFD {
			t.Errorf("%+v", i)
		}
		for range 2 {
			if err := <-sent; err != nil {
				t.Error(err)
			}
		}
	})
}

// An adapter that confirms says nothing once, or BEL: that frame did not go out.
func TestWhatIsNotConfirmedIsNotOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := openFake(t, plain, lawicel)
		send(t, b, f1)
		expectOwn(t, b, f1)
		f.now(mute)
		send(t, b, f1)
		time.Sleep(answerLimit - 1)
		synctest.Wait()
		if b.Counts().Unanswered != 0 {
			t.Error("given up too early")
		}
		time.Sleep(time.Nanosecond)
		expectOwn(t, b)
		if c, s := b.Counts(), b.Stats(); c.Unanswered != 1 || s.Errors != 1 || s.Sent != 1 {
			t.Errorf("%+v %+v", c, s)
		}
		f.now(func(string) string { return "\a" })
		send(t, b, f1)
		expectOwn(t, b)
		f.now(lawicel)
		send(t, b, f2)
		expectOwn(t, b, f2)
		if c, s := b.Counts(), b.Stats(); c.Refused != 1 || s.Errors != 2 || s.Sent != 2 {
			t.Errorf("%+v %+v", c, s)
		}
		if !b.Info().Confirms {
			t.Error("one silence is no reason to believe anything")
		}
	})
}

// Once z was seen, an empty line confirms nothing.
func TestEmptyLineIsNoZ(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := openFake(t, plain, lawicel)
		send(t, b, f1)
		expectOwn(t, b, f1)
		f.now(func(string) string { return "\r" })
		send(t, b, f1)
		time.Sleep(answerLimit)
		expectOwn(t, b)
		if c := b.Counts(); c.Stray != 1 || c.Unanswered != 1 {
			t.Errorf("%+v", c)
		}
	})
}

// At most 16 answers are owed; who sends more waits, and no longer than it wants.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := openFake(t, plain, lawicel)
		send(t, b, f1)
		expectOwn(t, b, f1)
		f.now(mute)
		f.said()
		var done atomic.Int64
		for range 20 {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if b.Send(ctx, f2) == nil {
					done.Add(1)
				}
			}()
		}
		time.Sleep(150 * time.Millisecond)
		if n := strings.Count(f.said(), "T"); n != window || done.Load() != window {
			t.Errorf("%d lines, %d sent", n, done.Load())
		}
		f.say(strings.Repeat("Z\r", 3))
		expectOwn(t, b, f2, f2, f2)
		for range 3 {
			send(t, b, f1)
		}
		if n := strings.Count(f.said(), "t"); n != 3 {
			t.Errorf("%d lines", n)
		}
		time.Sleep(time.Second)
		if c := b.Counts(); c.Unanswered != window {
			t.Errorf("%+v", c)
		}
	})
}

func TestSendRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := plain
		o.Listen = true
		listening, f := openFake(t, o, lawicel)
		if err := listening.Send(t.Context(), f1); !errors.Is(err, ErrListenOnly) {
			t.Errorf("listen-only: %v", err)
		}
		b, g := openFake(t, plain, lawicel)
		for _, fr := range []canbus.Frame{{Flags: canbus.Error}, {ID: 0x800}, {Len: 9}, {Len: 1, Data: [64]byte{1: 1}}, {Flags: fdf | canbus.ESI}} {
			if err := b.Send(t.Context(), fr); !errors.Is(err, canbus.ErrFrame) {
				t.Errorf("%+v: %v", fr, err)
			}
		}
		if err := b.Send(t.Context(), f3); !errors.Is(err, ErrClassicOnly) {
			t.Errorf("FD: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Send(ctx, f1); !errors.Is(err, context.Canceled) {
			t.Errorf("too late: %v", err)
		}
		time.Sleep(time.Second)
		if f.said()+g.said() != "" {
			t.Error("it was sent")
		}
	})
}

func TestStatusBecomesState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Bitrate: 500_000}
		b, f := openFake(t, o, lawicel)
		time.Sleep(pollEvery / 2) // between two questions
		flags := func(text string) []canbus.Rx {
			f.now(func(line string) string {
				if line == cmdStatus {
					return text + "\r"
				}
				return lawicel(line)
			})
			time.Sleep(pollEvery)
			return receive(t, b)
		}
		states := []struct {
			text  string
			state canbus.BusState
			lost  uint64
			want  canbus.Frame
		}{
			{"F00", canbus.OK, 0, canbus.Frame{}},
			{"F04", canbus.Warning, 0, canbus.Frame{ID: 4, Flags: canbus.Error, Len: 8, Data: [64]byte{1: 0x0C}}},
			{"F24", canbus.Passive, 0, canbus.Frame{ID: 4, Flags: canbus.Error, Len: 8, Data: [64]byte{1: 0x30}}},
			{"F29", canbus.Passive, 1, canbus.Frame{}},
			{"F21", canbus.Passive, 2, canbus.Frame{}},
			{"F40", canbus.OK, 2, canbus.Frame{ID: 4, Flags: canbus.Error, Len: 8, Data: [64]byte{1: 0x40}}},
			{"F08", canbus.OK, 3, canbus.Frame{}},
		}
		for _, c := range states {
			got := flags(c.text)
			s := b.Stats()
			if s.State != c.state || s.Lost != c.lost {
				t.Errorf("%s: %+v", c.text, s)
			}
			if c.want.Flags == 0 && len(got) != 0 || c.want.Flags != 0 && (len(got) != 1 || got[0].Frame != c.want || got[0].Own) {
				t.Errorf("%s: %v", c.text, got)
			}
		}
		before := b.Stats().Errors
		flags("F80")
		if n := b.Stats().Errors - before; n != 1 || !b.Info().Status {
			t.Errorf("%d errors", n)
		}
		if got, n := f.said(), len(states)+1; strings.Count(got, "F") != n {
			t.Errorf("not one question a second: %s", got)
		}
	})
}

// Lines s tell more than F, and F does not overrule them.
func TestStateLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := openFake(t, Options{Bitrate: 500_000}, lawicel)
		for _, c := range []struct {
			text     string
			want     canbus.Frame
			state    canbus.BusState
			tec, rec uint8
		}{
			{"sw097003", canbus.Frame{ID: 0x204, Flags: canbus.Error, Len: 8, Data: [64]byte{1: 0x0C, 6: 3, 7: 97}}, canbus.Warning, 3, 97},
			{"sb256256", canbus.Frame{ID: 0x240, Flags: canbus.Error, Len: 8, Data: [64]byte{6: 255, 7: 255}}, canbus.Off, 255, 255},
			{"sa000000", canbus.Frame{ID: 0x300, Flags: canbus.Error, Len: 8}, canbus.OK, 0, 0},
			{"sp000128", canbus.Frame{ID: 0x204, Flags: canbus.Error, Len: 8, Data: [64]byte{1: 0x30, 6: 128}}, canbus.Passive, 128, 0},
		} {
			f.say(c.text + "\r")
			got := receive(t, b)
			s := b.Stats()
			if len(got) != 1 || got[0].Frame != c.want || s.State != c.state || s.TxErrors != c.tec || s.RxErrors != c.rec {
				t.Errorf("%s: %v %+v", c.text, got, s)
			}
		}
		time.Sleep(3 * pollEvery) // F00
		if s := b.Stats(); s.State != canbus.Passive || s.Errors != 4 {
			t.Errorf("%+v", s)
		}
		f.say("sb256256\rt1230\r") // who receives is on the bus
		if got := receive(t, b); len(got) != 3 || got[1].ID != 0x300 || b.Stats().State != canbus.OK {
			t.Errorf("%v", got)
		}
	})
}

func TestFaultLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := openFake(t, plain, lawicel)
		f.say("e1a\re3bcO\re2oo\r")
		if got, s := receive(t, b), b.Stats(); len(got) != 0 || s.Errors != 4 || s.Lost != 2 {
			t.Errorf("%v %+v", got, s)
		}
	})
}

// Who does not know F is not asked for ever: once after BEL, three times in
// silence. Who knows it may be silent for a while.
func TestStatusIsNotAskedInVain(t *testing.T) {
	for answer, most := range map[string]int{"\a": 1, "": statusTries} {
		synctest.Test(t, func(t *testing.T) {
			b, f := openFake(t, Options{Bitrate: 500_000}, func(line string) string {
				if line == cmdStatus {
					return answer
				}
				return lawicel(line)
			})
			time.Sleep(time.Minute)
			if n := strings.Count(f.said(), "F"); n != most || b.Info().Status {
				t.Errorf("%q: asked %d times", answer, n)
			}
			send(t, b, f1)
			expectOwn(t, b, f1)
			if c, s := b.Counts(), b.Stats(); c.Refused != 0 || s.Errors != 0 || s.State != canbus.OK {
				t.Errorf("%+v %+v", c, s)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b, f := openFake(t, Options{Bitrate: 500_000}, lawicel)
		time.Sleep(2*time.Second + pollEvery/2) // between two questions
		f.now(mute)
		time.Sleep(time.Minute)
		f.said()
		f.now(lawicel)
		time.Sleep(2 * time.Second)
		if n := strings.Count(f.said(), "F"); n != 2 || !b.Info().Status {
			t.Errorf("asked %d times", n)
		}
	})
}

// A BEL while both a frame and F wait belongs to the frame, once F is known.
func TestRefusalFindsItsFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := openFake(t, Options{Bitrate: 500_000}, lawicel)
		time.Sleep(pollEvery + answerLimit/2)
		send(t, b, f1)
		expectOwn(t, b, f1)
		f.now(mute)
		time.Sleep(pollEvery) // F is owed
		send(t, b, f2)
		f.say("\aF00\r")
		time.Sleep(time.Second)
		expectOwn(t, b)
		if c := b.Counts(); c.Refused != 1 || c.Unanswered != 0 || !b.Info().Status {
			t.Errorf("%+v", c)
		}
	})
}

// Sent and received at once, the order of what was sent is kept.
func TestManySend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, f := openFake(t, Options{Bitrate: 500_000}, lawicel)
		const n = 500
		go func() {
			for i := range n {
				f.say(fmt.Sprintf("t7FF2%04X\r", i))
			}
		}()
		sent := make(chan error, 1)
		go func() {
			for i := range n {
				if err := b.Send(t.Context(), frame(0x100, 0, byte(i), byte(i>>8))); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		own, others := 0, 0
		for own+others < 2*n {
			for _, rx := range receive(t, b) {
				switch i := int(rx.Data[0]) | int(rx.Data[1])<<8; {
				case !rx.Own:
					others++
				case i != own:
					t.Fatalf("%d came back in place of %d", i, own)
				default:
					own++
				}
			}
		}
		if err := <-sent; err != nil || own != n || others != n {
			t.Errorf("%v: %d own, %d others", err, own, others)
		}
	})
}
