package uds

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// fakeConn answers from a script: for each request in hex, answers in hex one
// after the other, each after a time. Requests are kept with their time.
type fakeConn struct {
	mu      sync.Mutex
	script  map[string][]string // "100ms 7F1921"; used up, but the last stays for good
	began   time.Time
	asked   []string
	at      []time.Duration
	answers []string
}

func newFake(script map[string][]string) *fakeConn {
	return &fakeConn{script: script, began: time.Now()}
}

func (f *fakeConn) Send(_ context.Context, b []byte) error {
	key := strings.ToUpper(hex.EncodeToString(b))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked, f.at = append(f.asked, key), append(f.at, time.Since(f.began))
	if lines := f.script[key]; len(lines) > 0 {
		f.answers = append(f.answers[:0], strings.Split(lines[0], ", ")...)
		if len(lines) > 1 {
			f.script[key] = lines[1:]
		}
	}
	return nil
}

func (f *fakeConn) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

func (f *fakeConn) Receive(ctx context.Context, within time.Duration) ([]byte, error) {
	wait, text := time.Hour, ""
	if len(f.answers) > 0 {
		after, rest, _ := strings.Cut(f.answers[0], " ")
		wait, _ = time.ParseDuration(after)
		text = rest
	}
	if within < wait {
		if err := sleep(ctx, within); err != nil {
			return nil, err
		}
		if len(f.answers) > 0 {
			f.answers = f.answers[1:]
		}
		return nil, os.ErrDeadlineExceeded
	}
	if err := sleep(ctx, wait); err != nil {
		return nil, err
	}
	f.answers = f.answers[1:]
	return hex.DecodeString(text)
}

var (
	codes = ReadDTCByMask{Faults}
	ask   = "19020D"
)

// TestAsk: how each kind of answer ends, and when.
func TestAsk(t *testing.T) {
	again := func(n int, line string) string { return strings.TrimSuffix(strings.Repeat(line+", ", n), ", ") }
	for name, c := range map[string]struct {
		script   []string
		payload  string
		not      NRC
		err      error
		took     time.Duration
		requests int
	}{
		"answer":             {[]string{"20ms 5902FF"}, "5902ff", 0, nil, 20 * time.Millisecond, 1},
		"at the last moment": {[]string{"100ms 5902FF"}, "5902ff", 0, nil, 100 * time.Millisecond, 1},
		"too late":           {[]string{"101ms 5902FF"}, "", 0, ErrSilent, 100 * time.Millisecond, 1},
		"silence":            {nil, "", 0, ErrSilent, 100 * time.Millisecond, 1},
		"not offered":        {[]string{"1ms 7F1911"}, "", 0x11, nil, time.Millisecond, 1},
		"refused":            {[]string{"1ms 7F1922"}, "", 0, ErrRefused, time.Millisecond, 1},
		"pending":            {[]string{"50ms 7F1978, 5s 7F1978, 4s 5902FF"}, "5902ff", 0, nil, 9050 * time.Millisecond, 1},
		"pending for ever":   {[]string{again(12, "1s 7F1978")}, "", 0, ErrSilent, 0, 1},
		"pending ten times":  {[]string{again(10, "10ms 7F1978") + ", 1ms 5902FF"}, "5902ff", 0, nil, 101 * time.Millisecond, 1},
		"pending too often":  {[]string{again(12, "10ms 7F1978")}, "", 0, ErrPending, 110 * time.Millisecond, 1},
		"then nothing":       {[]string{"10ms 7F1978"}, "", 0, ErrSilent, 10*time.Millisecond + 5050*time.Millisecond, 1},
		"busy once":          {[]string{"10ms 7F1921", "10ms 5902FF"}, "5902ff", 0, nil, 120 * time.Millisecond, 2},
		"busy":               {[]string{"10ms 7F1921"}, "", 0, Negative{ReadDTCSID, Busy}, 340 * time.Millisecond, 4},
		"late for another":   {[]string{"10ms 62F19041, 10ms 7F2231, 10ms 5906, 10ms 5902FF"}, "5902ff", 0, nil, 40 * time.Millisecond, 1},
		"only for others":    {[]string{again(9, "20ms 7F2231")}, "", 0, ErrSilent, 100 * time.Millisecond, 1},
	} {
		if name == "pending for ever" { // 1 s is more than P2: it is silence before
			c.took = 100 * time.Millisecond
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(map[string][]string{ask: c.script})
				a, err := NewClient(f, DefaultLimits, nil).Ask(t.Context(), codes)
				if got := hex.EncodeToString(a.Payload); !errors.Is(err, c.err) || got != c.payload || a.NotOffered != c.not {
					t.Errorf("%s, %v", a, err)
				}
				if took := time.Since(f.began); took != c.took || len(f.asked) != c.requests {
					t.Errorf("%d requests in %v", len(f.asked), took)
				}
			})
		})
	}
}

// chatter always has something to say, and never to us.
type chatter struct{}

func (chatter) Send(context.Context, []byte) error { return nil }

func (chatter) Receive(ctx context.Context, within time.Duration) ([]byte, error) {
	return []byte{0x62, 0xF1, 0x90, 0x41}, sleep(ctx, min(within, time.Millisecond))
}

func TestChatterIsSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := NewClient(chatter{}, DefaultLimits, nil).Ask(ctx, codes)
		if took := time.Since(began); !errors.Is(err, ErrSilent) || took != 100*time.Millisecond {
			t.Errorf("%v after %v", err, took)
		}
	})
}

// TestOnlyReads: what changes a control unit is not sent.
func TestOnlyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, r := range []Request{
			Clear{0xFFFFFF},
			Reset{1},
			SessionControl{2},
			SessionControl{0x60},
			Seed{1},
			Key{1, []byte{1}},
			WriteData{IDVIN, []byte{1}},
			Control{1, 3, nil},
			Routine{1, 2, nil},
			ReadData{},
			ReadPIDs{},
			ReadCodes{0x04},
			ReadCodes{OBDVehicle},
			ReadData{make([]uint16, 33)},
		} {
			f := newFake(nil)
			if _, err := NewClient(f, DefaultLimits, nil).Ask(t.Context(), r); !errors.Is(err, ErrForbidden) || len(f.asked) != 0 {
				t.Errorf("%T: %v, %v", r, f.asked, err)
			}
			if _, err := AskAll(t.Context(), &fakeGroup{}, DefaultLimits, nil, r); !errors.Is(err, ErrForbidden) {
				t.Errorf("%T to all: %v", r, err)
			}
		}
		for _, r := range []Request{
			SessionControl{1},
			SessionControl{3},
			codes,
			ReadDTCSupported{},
			ReadDTCSnapshot{1, 255},
			ReadDTCExtended{1, 255},
			ReadData{[]uint16{IDVIN}},
			TesterPresent{},
			ReadPIDs{[]byte{0}},
			ReadCodes{OBDStored},
			ReadCodes{OBDPending},
			ReadCodes{OBDPermanent},
			ReadVehicle{ItemVIN},
		} {
			f := newFake(nil)
			if _, err := NewClient(f, DefaultLimits, nil).Ask(t.Context(), r); !errors.Is(err, ErrSilent) || len(f.asked) != 1 {
				t.Errorf("%T: %v, %v", r, f.asked, err)
			}
		}
	})
}

// TestSessions: a session brings its own times, and TesterPresent every 2 s
// until it ends.
func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(map[string][]string{
			"1003": {"1ms 500300C803E8"}, "1001": {"1ms 5001003201F4"}, ask: {"249ms 7F1978, 10049ms 5902FF"},
		})
		c := NewClient(f, DefaultLimits, nil)
		ctx, cancel := context.WithCancel(t.Context())
		alive := make(chan error)
		go func() { alive <- c.KeepAlive(ctx) }()
		time.Sleep(10 * time.Second)
		if got := f.seen(); len(got) != 0 {
			t.Errorf("in the default session: %v", got)
		}
		for _, r := range []Request{SessionControl{3}, codes} {
			if _, err := c.Ask(ctx, r); err != nil {
				t.Fatal(err)
			}
		}
		if want := (Timing{200 * time.Millisecond, 10 * time.Second}); c.Timing() != want || c.Session() != 3 {
			t.Errorf("%+v", c.Timing())
		}
		time.Sleep(10 * time.Second)
		alives := len(f.seen()) - 2
		if alives < 5 || alives > 6 { // not amid a request
			t.Errorf("%d times in 10 s: %v", alives, f.seen())
		}
		if _, err := c.Ask(ctx, SessionControl{1}); err != nil || c.Timing() != DefaultTiming {
			t.Errorf("%v, %+v", err, c.Timing())
		}
		time.Sleep(10 * time.Second)
		if got := f.seen(); got[len(got)-1] != "1001" {
			t.Errorf("back in the default session: %v", got)
		}
		cancel()
		if err := <-alive; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// TestPace: never more than five requests in any second, repeats included.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(map[string][]string{ask: {"1ms 7F1921"}, "22F190": {"1ms 7F2231"}})
		p := &Pace{Gap: 200 * time.Millisecond}
		c, d := NewClient(f, DefaultLimits, p), NewClient(f, DefaultLimits, p)
		for range 5 {
			if _, err := c.Ask(t.Context(), codes); !errors.Is(err, ErrRefused) {
				t.Error(err)
			}
			if _, err := d.Ask(t.Context(), ReadData{[]uint16{IDVIN}}); err != nil {
				t.Error(err)
			}
		}
		for i := range f.at[5:] {
			if f.at[i+5]-f.at[i] < time.Second {
				t.Errorf("six requests from %v to %v", f.at[i], f.at[i+5])
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Ask(ctx, codes); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// fakeGroup hands out letters in order.
type fakeGroup struct {
	letters []letter
	asked   int
}

type letter struct {
	after time.Duration
	peer  int
	text  string
	err   error
}

func (g *fakeGroup) Send(context.Context, []byte) error { g.asked++; return nil }

func (g *fakeGroup) Receive(ctx context.Context, within time.Duration) (int, []byte, error) {
	if len(g.letters) == 0 || g.letters[0].after > within {
		if err := sleep(ctx, within); err != nil {
			return -1, nil, err
		}
		return -1, nil, os.ErrDeadlineExceeded
	}
	l := g.letters[0]
	g.letters = g.letters[1:]
	if err := sleep(ctx, l.after); err != nil {
		return -1, nil, err
	}
	b, err := hex.DecodeString(l.text)
	if err == nil {
		err = l.err
	}
	return l.peer, b, err
}

func TestAskAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		g := &fakeGroup{letters: []letter{
			{10 * time.Millisecond, 4, "4300", nil},
			{0, 2, "7F0378", nil},
			{0, 5, "", broken},
			{0, 6, "7F0311", nil},
			{0, 7, "4700", nil},
			{0, 4, "43010301", nil},
			{4 * time.Second, 2, "43010301", nil},
			{0, 3, "7F0322", nil},
		}}
		got, err := AskAll(t.Context(), g, DefaultLimits, nil, ReadCodes{OBDStored})
		if err != nil || g.asked != 1 {
			t.Fatal(err)
		}
		peers := []int{}
		for _, r := range got {
			peers = append(peers, r.Peer)
		}
		if !slices.Equal(peers, []int{4, 5, 6, 2, 3}) {
			t.Errorf("%v", got)
		}
		if !errors.Is(got[1].Err, broken) || got[2].Answer.NotOffered != 0x11 || len(got[3].Answer.Payload) != 4 || !errors.Is(got[4].Err, ErrRefused) {
			t.Errorf("%v", got)
		}
	})
}
