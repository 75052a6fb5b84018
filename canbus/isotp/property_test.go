package isotp

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/headunit-agent/headunit/canbus"
)

func octets(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func anyLink(t *rapid.T, who string) Link {
	l := Link{Most: 5000, FD: rapid.Bool().Draw(t, who+" fd")}
	if l.FD {
		l.Length = rapid.SampledFrom([]int{8, 12, 16, 20, 24, 32, 48, 64}).Draw(t, who+" length")
	}
	l.Padding = rapid.SampledFrom([]Padding{{}, Short, Pad(0), Pad(0xAA)}).Draw(t, who+" padding")
	l.Block = rapid.SampledFrom([]uint8{0, 1, 2, 8, 255}).Draw(t, who+" block")
	l.STmin = rapid.Byte().Draw(t, who+" stmin")
	return l
}

var anyAddress = rapid.SampledFrom([]Address{
	Normal(0x7E0, 0x7E8), Normal29(0x17FC007B, 0x17FE007B), Fixed(0x10, 0xF1),
	Normal(0x6F1, 0x612).Extend(0x12, 0xF1), Normal29(1, 2).Extend(0x12, 0xF1),
	Normal(0x7E0, 0x7E8).Mix(0x99), Mixed29(0x10, 0xF1, 0x99),
})

// TestWhatIsSentArrives: every length, mode, block size and gap.
func TestWhatIsSentArrives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tx, rx := anyLink(rt, "sender"), anyLink(rt, "receiver")
		payload := octets(rapid.OneOf(rapid.IntRange(1, 80), rapid.IntRange(1, 5000)).Draw(rt, "n"), 7)
		w := wire{t: t, now: start}
		w.join(&tx, &rx, anyAddress.Draw(rt, "address"), payload)
		got := w.run()
		if w.sendErr != nil || w.s.Phase != Done || len(got) != 1 || !bytes.Equal(got[0].payload, payload) {
			rt.Fatalf("%s, %v, %d results", w.s.Phase, w.sendErr, len(got))
		}
		for i := 2; i < len(w.at); i++ {
			if rx.Block == 1 { // the gap is between frames of one block
				break
			}
			inBlock := rx.Block == 0 || (i-1)%int(rx.Block) != 0
			if gap := w.at[i].Sub(w.at[i-1]); inBlock && gap != Gap(rx.STmin) {
				rt.Fatalf("frame %d after %v, asked for %v", i, gap, Gap(rx.STmin))
			}
		}
	})
}

// TestEveryLength sends 0 to 5,000 octets in the shortest and the longest frames.
func TestEveryLength(t *testing.T) {
	for _, l := range []Link{{Most: 5000}, {Most: 5000, FD: true, Length: 64, Block: 3}} {
		if _, err := l.Sender(Normal(1, 2), nil); !errors.Is(err, ErrLength) {
			t.Errorf("nothing to send: %v", err)
		}
		all := octets(5000, 3)
		for n := 1; n <= len(all); n++ {
			w := wire{t: t, now: start}
			w.join(&l, &l, Normal(0x7E0, 0x7E8), all[:n])
			if got := w.run(); len(got) != 1 || !bytes.Equal(got[0].payload, all[:n]) {
				t.Fatalf("%d octets: %d results, %v", n, len(got), w.sendErr)
			}
			if single := len(w.there) == 1; single != l.Fits(Normal(1, 2), n) {
				t.Fatalf("%d octets took %d frames", n, len(w.there))
			}
		}
	}
}

// TestNeverAWrongPayload: whatever is lost, doubled or overtaken, nothing but
// the payload is handed out, and a loss does not stay unnoticed.
func TestNeverAWrongPayload(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tx, rx := anyLink(rt, "sender"), anyLink(rt, "receiver")
		payload := octets(rapid.IntRange(1, 700).Draw(rt, "n"), 9)
		few := rapid.MapOfN(rapid.IntRange(0, 100), rapid.Just(true), 0, 5)
		w := wire{t: t, now: start, lose: few.Draw(rt, "lost"), double: few.Draw(rt, "doubled"), swap: few.Draw(rt, "overtaken")}
		w.join(&tx, &rx, anyAddress.Draw(rt, "address"), payload)
		good, bad := 0, w.sendErr != nil
		for _, r := range w.run() {
			if r.err != nil {
				bad = true
				continue
			}
			if good++; !bytes.Equal(r.payload, payload) {
				rt.Fatalf("handed out %x for %x", r.payload, payload)
			}
		}
		bad = bad || w.sendErr != nil
		if lost := w.lose[0] || w.lose[len(w.there)-1]; lost && good > 0 && !w.double[0] && !w.double[len(w.there)-1] {
			rt.Fatal("complete without its first or last frame")
		}
		if good == 0 && !bad && len(w.there) > 1 {
			rt.Fatal("lost, and nobody noticed")
		}
	})
}

// TestOneFault: each single fault at each place of a transfer.
func TestOneFault(t *testing.T) {
	payload := octets(200, 5)
	l := Link{Block: 4}
	for n := range 29 {
		for kind := range 3 {
			w := wire{t: t, now: start}
			*[]*map[int]bool{&w.lose, &w.double, &w.swap}[kind] = map[int]bool{n: true}
			w.join(&l, &l, Normal(0x7E0, 0x7E8), payload)
			var errs, good int
			for _, r := range w.run() {
				if r.err != nil {
					errs++
				} else if good++; !bytes.Equal(r.payload, payload) {
					t.Fatalf("fault %d at frame %d: wrong payload", kind, n)
				}
			}
			if w.sendErr != nil {
				errs++
			}
			last := n == 28
			if kind == 1 && last { // a doubled last frame is one too many, and harmless
				if good != 1 || errs != 0 {
					t.Errorf("last frame doubled: %d payloads, %d errors", good, errs)
				}
			} else if errs == 0 {
				t.Errorf("fault %d at frame %d: %d payloads, no error", kind, n, good)
			}
		}
	}
}

func frame(id uint32, data ...byte) *canbus.Frame {
	f := &canbus.Frame{ID: id, Len: uint8(len(data))}
	if len(data) > 8 {
		f.Flags = canbus.FD
	}
	copy(f.Data[:], data)
	return f
}

func heard(f *canbus.Frame) Event { return Event{Kind: Heard, Frame: f} }

func long(head ...byte) []byte { return append(head, make([]byte, 64-len(head))...) }

// TestIgnored are frames that a receiver lets pass as if they had not been.
func TestIgnored(t *testing.T) {
	l := Link{}
	other := frame(0x7E8, 1, 2)
	other.Flags = canbus.Extended
	remote := &canbus.Frame{ID: 0x7E8, Len: 8, Flags: canbus.Remote}
	for name, f := range map[string]*canbus.Frame{
		"single of length 0":            frame(0x7E8, 0),
		"single beyond the frame":       frame(0x7E8, 3, 1, 2),
		"single of 8":                   frame(0x7E8, 8, 1, 2, 3, 4, 5, 6, 7),
		"long single in the short form": frame(0x7E8, append([]byte{7}, make([]byte, 11)...)...),
		"long single that is short":     frame(0x7E8, append([]byte{0, 7}, make([]byte, 10)...)...),
		"long single beyond the frame":  frame(0x7E8, append([]byte{0, 11}, make([]byte, 10)...)...),
		"first of 7":                    frame(0x7E8, 0x10, 7, 1, 2, 3, 4, 5, 6),
		"first that is not full":        frame(0x7E8, 0x10, 20, 1, 2, 3, 4, 5),
		"long first that is short":      frame(0x7E8, long(0x10, 62)...),
		"wide length that is not":       frame(0x7E8, 0x10, 0, 0, 0, 0x0F, 0xFF, 1, 2),
		"consecutive without a first":   frame(0x7E8, 0x21, 1, 2),
		"flow control":                  frame(0x7E8, 0x30, 0, 0),
		"unknown kind":                  frame(0x7E8, 0x40, 1, 2),
		"empty":                         frame(0x7E8),
		"another identifier":            frame(0x7E9, 1, 2),
		"another format":                other,
		"remote":                        remote,
	} {
		r, err := l.Receiver(Normal(0x7E0, 0x7E8))
		if err != nil {
			t.Fatal(err)
		}
		next, o := r.Step(start, heard(f))
		if next.Receiving() || o.Send || o.Done || o.Err != nil {
			t.Errorf("%s: %+v", name, o)
		}
		// and in the middle of a reception
		r, _ = r.Step(start, heard(frame(0x7E8, 0x10, 20, 1, 2, 3, 4, 5, 6)))
		if f.Len > 0 && f.Data[0] == 0x21 {
			continue
		}
		if next, o = r.Step(start, heard(f)); next.Phase != r.Phase || o.Send || o.Done || o.Err != nil {
			t.Errorf("%s in a reception: %+v", name, o)
		}
	}
	r, _ := l.Receiver(Normal(0x7E0, 0x7E8))
	r, _ = r.Step(start, heard(frame(0x7E8, 0x10, 20, 1, 2, 3, 4, 5, 6)))
	for name, f := range map[string]*canbus.Frame{
		"shorter than it can be": frame(0x7E8, 0x21, 1, 2, 3),
		"longer than the first":  frame(0x7E8, append([]byte{0x21}, make([]byte, 11)...)...),
	} {
		if next, o := r.Step(start, heard(f)); next.Phase != r.Phase || len(next.got) != len(r.got) || o.Err != nil {
			t.Errorf("consecutive %s: %+v", name, o)
		}
	}
	r, _ = l.Receiver(Normal(0x7E0, 0x7E8).Extend(0x12, 0xF1))
	for f, want := range map[*canbus.Frame]bool{frame(0x7E8, 0xF1, 1, 2): true, frame(0x7E8, 0xF2, 1, 2): false, frame(0x7E8, 0xF1): false} {
		if _, o := r.Step(start, heard(f)); o.Done != want {
			t.Errorf("to %X: %+v", f.Payload(), o)
		}
	}
	var zero Receiver
	if _, o := zero.Step(start, heard(frame(0, 1, 2))); o.Done {
		t.Error("a zero Receiver received")
	}
}

func TestReplaced(t *testing.T) {
	l := Link{}
	r, _ := l.Receiver(Normal(0x7E0, 0x7E8))
	r, _ = r.Step(start, heard(frame(0x7E8, 0x10, 20, 1, 2, 3, 4, 5, 6)))
	again, o := r.Step(start, heard(frame(0x7E8, 0x10, 9, 7, 8, 9, 1, 2, 3)))
	if !errors.Is(o.Err, ErrReplaced) || !o.Send || !again.Receiving() {
		t.Errorf("by a first frame: %+v", o)
	}
	if again, o = again.Step(start, heard(frame(0x7E8, 2, 0xAB, 0xCD))); !errors.Is(o.Err, ErrReplaced) || !bytes.Equal(o.Payload, []byte{0xAB, 0xCD}) || again.Receiving() {
		t.Errorf("by a single frame: %+v", o)
	}
}

// TestBounds: too long, too many, and memory that grows with what arrives.
func TestBounds(t *testing.T) {
	l := Link{}
	r, _ := l.Receiver(Normal(0x7E0, 0x7E8))
	wide := frame(0x7E8, 0x10, 0, 0, 0, 0x10, 0, 1, 2)
	next, o := r.Step(start, heard(wide))
	if next.Receiving() || !errors.Is(o.Err, ErrOverflow) || o.Frame.Data != frame(0, 0x32, 0, 0, 0x55, 0x55, 0x55, 0x55, 0x55).Data {
		t.Errorf("4,096 octets: %+v", o)
	}
	next, o = r.Step(start, Event{Kind: Heard, Frame: frame(0x7E8, 0x10, 20, 1, 2, 3, 4, 5, 6), Full: true})
	if next.Receiving() || !errors.Is(o.Err, ErrFull) || o.Frame.Data[0] != 0x32 {
		t.Errorf("one too many: %+v", o)
	}
	big := Link{Most: 1 << 30}
	r, _ = big.Receiver(Normal(0x7E0, 0x7E8))
	if next, o = r.Step(start, heard(frame(0x7E8, 0x10, 0, 0x3F, 0xFF, 0xFF, 0xFF, 1, 2))); !next.Receiving() || cap(next.got) > 64 {
		t.Errorf("announced a gigabyte: %d octets taken, %+v", cap(next.got), o)
	}
}

// TestFlowControl is what a sender makes of it.
func TestFlowControl(t *testing.T) {
	l := Link{}
	begin := func() Sender {
		s, err := l.Sender(Normal(0x7E0, 0x7E8), octets(20, 1))
		if err != nil {
			t.Fatal(err)
		}
		s, _ = s.Step(start, Event{Kind: Begin})
		s, _ = s.Step(start, Event{Kind: Sent})
		return s
	}
	for status, want := range map[byte]error{0x32: ErrOverflow, 0x33: ErrFlow, 0x3F: ErrFlow} {
		if s, o := begin().Step(start, heard(frame(0x7E8, status, 0, 0))); !o.Done || !errors.Is(o.Err, want) || s.Phase != Failed {
			t.Errorf("%02X: %+v", status, o)
		}
	}
	if _, o := begin().Step(start, heard(frame(0x7E8, 0x30, 0))); o.Done || o.Send {
		t.Errorf("flow control of two octets: %+v", o)
	}
	s, now := begin(), start
	for i := range MaxWaits {
		now = now.Add(900 * time.Millisecond)
		var o Output
		if s, o = s.Step(now, heard(frame(0x7E8, 0x31, 0, 0))); o.Done {
			t.Fatalf("wait %d: %v", i+1, o.Err)
		}
	}
	if _, o := s.Step(now, heard(frame(0x7E8, 0x31, 0, 0))); !errors.Is(o.Err, ErrWaits) {
		t.Errorf("one wait too many: %v", o.Err)
	}
	if s, o := s.Step(now, heard(frame(0x7E8, 0x30, 0, 0))); !o.Send || s.waits != 0 {
		t.Errorf("go after waits: %+v", o)
	}
	for b, want := range map[byte]time.Duration{
		0: 0, 1: time.Millisecond, 0x7F: 127 * time.Millisecond, 0x80: 127 * time.Millisecond, 0xF0: 127 * time.Millisecond,
		0xF1: 100 * time.Microsecond, 0xF9: 900 * time.Microsecond, 0xFA: 127 * time.Millisecond, 0xFF: 127 * time.Millisecond,
	} {
		if got := Gap(b); got != want {
			t.Errorf("STmin %02X: %v", b, got)
		}
	}
}

// TestTimers: each one runs out at its second, not before, and not after it
// was served.
func TestTimers(t *testing.T) {
	l := Link{}
	s, _ := l.Sender(Normal(0x7E0, 0x7E8), octets(20, 1))
	s, _ = s.Step(start, Event{Kind: Begin})
	r, _ := l.Receiver(Normal(0x7E0, 0x7E8))
	r, _ = r.Step(start, heard(frame(0x7E8, 0x10, 20, 1, 2, 3, 4, 5, 6)))
	flowing, _ := s.Step(start, Event{Kind: Sent})
	moving, _ := r.Step(start, Event{Kind: Sent})
	early, late := start.Add(Timeout-1), start.Add(Timeout)
	for want, s := range map[error]Sender{ErrAs: s, ErrBs: flowing} {
		if _, o := s.Step(early, Event{}); o.Done {
			t.Errorf("%v: too early", want)
		}
		if _, o := s.Step(late, heard(frame(0x7E8, 0x30, 0, 0))); !errors.Is(o.Err, want) || o.Send {
			t.Errorf("%v: %+v", want, o)
		}
	}
	for want, r := range map[error]Receiver{ErrAr: r, ErrCr: moving} {
		if _, o := r.Step(early, Event{}); o.Err != nil {
			t.Errorf("%v: too early", want)
		}
		if next, o := r.Step(late, heard(frame(0x7E8, 0x21, 7, 8, 9, 1, 2, 3, 4))); !errors.Is(o.Err, want) || next.Receiving() {
			t.Errorf("%v: %+v", want, o)
		}
	}
}
