package ecall

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/e2e"
)

// mqb is the installation of the reference car: airbag and ignition protected on
// one bus, the body computer's crash bit on another.
const mqb = `{"v":1,"vin":"WM9VDSVDSYA123456","type":"M1","storage":["gasoline","electric"],"msd":{"cs":2,"ims":3},
 "modem":{"driver":"telit","ports":["a","b"],"baud":115200},"numbers":{"test":"+46700000001","breakdown":"+46700000002","service":""},
 "crash":[{"bus":"drive","id":64,"len":8,"e2e":{"kind":"vw","const":"40"},"any":[16,17,18,19,20],"zero":[28,29],"frames":2,"within_ms":200},
          {"bus":"body","id":870,"len":8,"any":[16],"frames":2,"within_ms":500,"alone":false},
          {"bus":"body","id":871,"len":8,"any":[3],"frames":1,"alone":false}],
 "ignition":{"bus":"drive","id":960,"len":4,"e2e":{"kind":"vw","const":"C3"},"any":[17],"recent_ms":10000},
 "sos":{"bus":"body","id":1000,"len":1,"any":[0],"hold_ms":3000,"presses":5,"presses_ms":10000,"cancel_ms":2000,"screen":true},
 "gnss":"gpsd:127.0.0.1:2947"}
`

const (
	airbag  = 64
	terms   = 960
	blink   = 870
	other   = 871
	sos     = 1000
	drive   = 0
	body    = 1
	front   = 16 // AB_Front_Crash
	rear    = 17
	diag    = 28 // AB_Diagnose
	crc     = -1 // spoil the checksum
	replay  = -2 // the counter stands still
	skip2   = -3 // a frame before it was lost
	skip9   = -4 // many were
	tooLong = -5
)

// A bench sends frames with the right protection.
type bench struct {
	d       *Detector
	now     time.Time
	counter map[uint32]uint8
}

func newBench(t testing.TB, config string) *bench {
	c, _, wrong := Parse(sealed(config))
	if len(wrong) > 0 {
		t.Fatalf("configuration: %v", wrong)
	}
	return &bench{NewDetector(&c), start, map[uint32]uint8{}}
}

func (b *bench) frame(id uint32, bits ...int) (bus int, f canbus.Frame) {
	f = canbus.Frame{ID: id, Len: 8}
	bus = body
	var protect e2e.Config
	switch id {
	case airbag:
		bus, protect = drive, e2e.Constant(0x40)
	case terms:
		bus, protect, f.Len = drive, e2e.Constant(0xC3), 4
	case sos:
		f.Len = 1
	}
	step, spoil := uint8(1), byte(0)
	for _, i := range bits {
		switch i {
		case crc:
			spoil = 1
		case replay:
			step = 0
		case skip2:
			step = 2
		case skip9:
			step = 9
		case tooLong:
			f.Len = 7
		default:
			f.Data[i/8] |= 1 << (i % 8)
		}
	}
	if bus == drive {
		b.counter[id] += step
		protect.Protect(f.Data[:f.Len], b.counter[id])
		f.Data[0] ^= spoil
	}
	return bus, f
}

func (b *bench) send(id uint32, bits ...int) []Event {
	bus, f := b.frame(id, bits...)
	return b.d.Feed(nil, bus, &f, b.now)
}

// TestCrash is a table of what a crash is, and what is none.
func TestCrash(t *testing.T) {
	type step struct {
		after time.Duration
		id    uint32
		bits  []int
	}
	ms := time.Millisecond
	on := step{0, terms, []int{17}}
	ab := func(after time.Duration, bits ...int) step { return step{after, airbag, bits} }
	bm := func(after time.Duration, bits ...int) step { return step{after, blink, bits} }
	for _, c := range []struct {
		name  string
		steps []step
		calls int
	}{
		{"two frames", []step{on, ab(0), ab(40*ms, front), ab(5*ms, front)}, 1},
		{"first frames ever", []step{on, ab(0, front), ab(5*ms, front)}, 1},
		{"one frame", []step{on, ab(0), ab(40*ms, front), ab(40 * ms)}, 0},
		{"two sides, one frame each", []step{on, ab(0), ab(40*ms, front), ab(5*ms, rear)}, 0},
		{"two sides, then one again", []step{on, ab(0), ab(40*ms, front), ab(5*ms, front, rear)}, 1},
		{"too far apart", []step{on, ab(0), ab(40*ms, front), ab(201*ms, front)}, 0},
		{"just in time", []step{on, ab(0), ab(40*ms, front), ab(200*ms, front)}, 1},
		{"actuator test", []step{on, ab(0), ab(40*ms, front, 29), ab(5*ms, front, 29), ab(5*ms, front, 29)}, 0},
		{"diagnosis in between", []step{on, ab(0), ab(40*ms, front), ab(5*ms, front, diag), ab(5*ms, front)}, 0},
		{"bad checksum", []step{on, ab(0), ab(40*ms, front, crc), ab(5*ms, front, crc), ab(5*ms, front, crc)}, 0},
		{"bad checksum in between", []step{on, ab(0), ab(40*ms, front), ab(5*ms, front, crc), ab(5*ms, front)}, 0},
		{"the same frame again and again", []step{on, ab(0), ab(40*ms, front), ab(5*ms, front, replay), ab(5*ms, front, replay)}, 0},
		{"a repeated frame in between", []step{on, ab(0), ab(40*ms, front), ab(5*ms, front, replay), ab(5*ms, front)}, 1},
		{"a lost frame", []step{on, ab(0), ab(40*ms, front), ab(80*ms, front, skip2)}, 1},
		{"counter starts anew", []step{on, ab(0), ab(40*ms, front), ab(40*ms, front, skip9)}, 0},
		{"counter starts anew, and goes on", []step{on, ab(0), ab(40*ms, front), ab(40*ms, front, skip9), ab(5*ms, front)}, 1},
		{"wrong length", []step{on, ab(0), ab(40*ms, front, tooLong), ab(5*ms, front, tooLong), ab(5*ms, front, tooLong)}, 0},
		{"ignition off", []step{{0, terms, nil}, ab(0), ab(40*ms, front), ab(5*ms, front), ab(5*ms, front)}, 0},
		{"ignition never seen", []step{ab(0), ab(40*ms, front), ab(5*ms, front)}, 0},
		{"ignition 10 s ago", []step{on, ab(9900 * ms), ab(60*ms, front), ab(40*ms, front)}, 1},
		{"ignition longer ago", []step{on, ab(9900 * ms), ab(60*ms, front), ab(41*ms, front)}, 0},
		{"ignition with a bad checksum", []step{{0, terms, []int{17, crc}}, ab(0), ab(40*ms, front), ab(5*ms, front)}, 0},
		{"latched", []step{on, ab(0, front), ab(5*ms, front), ab(5*ms, front), ab(40*ms, front), ab(40*ms, front)}, 1},
		{"again after it was over", []step{on, ab(0, front), ab(5*ms, front), ab(40 * ms), ab(40*ms, front), ab(5*ms, front)}, 2},
		{"body alone", []step{on, bm(0, 16), bm(100*ms, 16), bm(100*ms, 16)}, 0},
		{"body and another", []step{on, bm(0, 16), bm(100*ms, 16), {100 * ms, other, []int{3}}}, 1},
		{"body and another, too late", []step{on, bm(0, 16), bm(100*ms, 16), {2001 * ms, other, []int{3}}}, 0},
		{"body after the airbag", []step{on, ab(0, front), ab(5*ms, front), bm(20*ms, 16), bm(20*ms, 16)}, 2},
	} {
		b, calls := newBench(t, mqb), 0
		for _, s := range c.steps {
			b.now = b.now.Add(s.after)
			for _, e := range b.send(s.id, s.bits...) {
				if e == (Trigger{Kind: Automatic}) {
					calls++
				}
			}
		}
		if calls != c.calls {
			t.Errorf("%s: %d triggers, want %d", c.name, calls, c.calls)
		}
	}
}

// TestOneFrame: a rule of one frame still wants a counter that moves.
func TestOneFrame(t *testing.T) {
	b := newBench(t, strings.Replace(mqb, `"frames":2,"within_ms":200`, `"frames":1`, 1))
	b.send(terms, 17)
	if got := b.send(airbag, front); len(got) != 0 {
		t.Errorf("the very first frame: %v", got)
	}
	if got := fmt.Sprint(b.send(airbag, front)); got != "[{automatic false}]" {
		t.Errorf("the second: %v", got)
	}
}

// TestNotThatFrame: other formats of the same number are other messages.
func TestNotThatFrame(t *testing.T) {
	b := newBench(t, mqb)
	b.send(terms, 17)
	for _, flags := range []canbus.Flags{canbus.Extended, canbus.Remote, canbus.Error} {
		for range 3 {
			bus, f := b.frame(airbag, front)
			f.Flags = flags
			if got := b.d.Feed(nil, bus, &f, b.now); len(got) != 0 {
				t.Errorf("flags %v: %v", flags, got)
			}
		}
	}
	_, f := b.frame(airbag, front)
	if b.d.Wants(body, &f) || !b.d.Wants(drive, &f) {
		t.Error("the same number on another bus is the same message")
	}
}

func TestKeyAndIgnition(t *testing.T) {
	b := newBench(t, mqb)
	for i, c := range []struct {
		id   uint32
		bits []int
		want string
	}{
		{sos, nil, "[]"},
		{sos, []int{0}, "[{}]"},
		{sos, []int{0}, "[]"},
		{sos, nil, "[{}]"},
		{terms, nil, "[]"},
		{terms, []int{17}, "[{}]"},
		{terms, []int{17}, "[]"},
	} {
		if got := fmt.Sprint(b.send(c.id, c.bits...)); got != c.want {
			t.Errorf("step %d: %s, want %s", i, got, c.want)
		}
	}
	b.send(sos, 0)
	if got := b.d.Gone(nil, body); len(got) != 1 || got[0] != (Up{}) {
		t.Errorf("a key that cannot be seen is %v", got)
	}
}

func TestSilent(t *testing.T) {
	b := newBench(t, mqb)
	tick := func(id uint32, bits ...int) bool {
		b.now = b.now.Add(100 * time.Millisecond)
		b.send(terms, bits...)
		if id != 0 {
			b.send(id)
			b.send(blink)
			b.send(other)
		}
		return b.d.Silent(b.now)
	}
	for range 50 {
		if tick(0) {
			t.Fatal("silent with the ignition off")
		}
	}
	silent := 0
	for range 50 {
		if tick(0, 17) {
			silent++
		}
	}
	if silent != 20 {
		t.Errorf("the fault came after %d of 50 tenths of a second", 50-silent)
	}
	if tick(airbag, 17) {
		t.Error("silent though everything talks")
	}
	b = newBench(t, mqb)
	for i := range 50 { // the airbag talks, and nothing tells of the ignition: no crash would count
		b.now = b.now.Add(100 * time.Millisecond)
		b.send(airbag)
		if got := b.d.Silent(b.now); got != (i > 30) {
			t.Fatalf("without ignition: %v after %d tenths of a second", got, i)
		}
	}
	var none Config
	if !NewDetector(&none).Silent(start) {
		t.Error("without a source a crash cannot be seen")
	}
}

func FuzzFrames(f *testing.F) {
	b := newBench(f, mqb)
	for _, id := range []uint32{terms, airbag, airbag, airbag, blink, sos} {
		bus, fr := b.frame(id, 16, 17)
		f.Add(append(binary.BigEndian.AppendUint32([]byte{byte(bus), fr.Len}, fr.ID), fr.Data[:fr.Len]...))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		b := newBench(t, mqb)
		for len(in) >= 6 {
			fr := canbus.Frame{ID: binary.BigEndian.Uint32(in[2:6]) & canbus.MaxExtendedID, Len: in[1] % 65}
			bus := int(in[0] & 1)
			fr.Flags = canbus.Flags(in[0] >> 1 & 15)
			in = in[6:]
			n := copy(fr.Data[:fr.Len], in)
			in = in[n:]
			b.now = b.now.Add(7 * time.Millisecond)
			for _, e := range b.d.Feed(nil, bus, &fr, b.now) {
				if e == (Trigger{Kind: Automatic}) && b.d.onLast.IsZero() {
					t.Fatal("a crash without ignition")
				}
			}
		}
	})
}

func BenchmarkFeed(b *testing.B) {
	bench := newBench(b, mqb)
	bus, f := bench.frame(airbag)
	var dst [4]Event
	b.ReportAllocs()
	for b.Loop() {
		_ = bench.d.Feed(dst[:0], bus, &f, bench.now)
	}
}

// TestMessages: a device that is asked for these sends everything that counts.
func TestMessages(t *testing.T) {
	c := Config{
		Crash: []Source{{Watch: Watch{Bus: "a", ID: 0x40}}, {Watch: Watch{Bus: "b", ID: 0x366}}},
		SOS:   SOS{Key: &Watch{Bus: "b", ID: 0x6F4, Extended: true}},
	}
	d := NewDetector(&c)
	for bus, want := range map[int]map[Address]bool{
		0: {{0x40, false}: true}, 1: {{0x366, false}: true, {0x6F4, true}: true}, 2: {},
	} {
		got := d.Messages(bus)
		if len(got) != len(want) {
			t.Errorf("bus %d: %v", bus, got)
		}
		for _, a := range got {
			f := canbus.Frame{ID: a.ID}
			if a.Extended {
				f.Flags = canbus.Extended
			}
			if !want[a] || !d.Wants(bus, &f) {
				t.Errorf("bus %d: %v", bus, a)
			}
		}
	}
}
