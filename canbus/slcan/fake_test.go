package slcan

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// A fakeAdapter answers each line as the test says, at the other end of a pipe.
type fakeAdapter struct {
	t      *testing.T
	conn   net.Conn
	begun  time.Time
	answer func(line string) string

	mu    sync.Mutex
	lines []string // with the ms since the start before them
}

func newFake(t *testing.T, answer func(string) string) (*fakeAdapter, net.Conn) {
	near, far := net.Pipe()
	f := &fakeAdapter{t: t, conn: far, begun: time.Now(), answer: answer}
	go f.read()
	t.Cleanup(func() { _ = far.Close() })
	return f, near
}

func (f *fakeAdapter) read() {
	for in := bufio.NewReader(f.conn); ; {
		line, err := in.ReadString(cr)
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r")
		if line == "" || strings.Contains("QUWAEXP", line[:1]) {
			f.t.Errorf("%q was sent, which no adapter may be told", line)
		}
		f.mu.Lock()
		f.lines = append(f.lines, fmt.Sprintf("%d %s", time.Since(f.begun).Milliseconds(), line))
		answer := f.answer
		f.mu.Unlock()
		f.say(answer(line))
	}
}

// say is answered lines and all else the adapter sends.
func (f *fakeAdapter) say(text string) {
	if text != "" {
		_, _ = f.conn.Write([]byte(text))
	}
}

func (f *fakeAdapter) now(answer func(string) string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// said are the lines the adapter got since the last call.
func (f *fakeAdapter) said() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := strings.Join(f.lines, ", ")
	f.lines = nil
	return all
}

// The adapters of these tests, as functions of a line.
func lawicel(line string) string {
	switch line[0] {
	case 'V':
		return "V1013\r"
	case 'F':
		return "F00\r"
	case 't', 'r', 'b', 'd':
		return "z\r"
	case 'T', 'R', 'B', 'D':
		return "Z\r"
	}
	return "\r"
}

func canable(line string) string { // CANable 1
	if line == "V" {
		return "b158aa7 github.com/somebody\r"
	}
	return ""
}

func canable2(line string) string {
	switch {
	case line == "V":
		return "a CANable 2\r"
	case strings.Contains("OCSYMtTrRdDbB", line[:1]):
		return "\r"
	}
	return "\a"
}

func mute(string) string { return "" }

var plain = Options{Bitrate: 500_000, Poll: -1}

// openFake opens a bus on a fake that behaves well enough for that.
func openFake(t *testing.T, o Options, answer func(string) string) (*Bus, *fakeAdapter) {
	t.Helper()
	f, line := newFake(t, answer)
	b, err := Open(t.Context(), line, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	f.said()
	return b, f
}

// receive takes what is there.
func receive(t *testing.T, b *Bus) []canbus.Rx {
	t.Helper()
	synctest.Wait()
	var all []canbus.Rx
	for dst := make([]canbus.Rx, 8); ; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		n, err := b.Receive(ctx, dst)
		cancel()
		all = append(all, dst[:n]...)
		if errors.Is(err, context.DeadlineExceeded) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func send(t *testing.T, b *Bus, f canbus.Frame) {
	t.Helper()
	if err := b.Send(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// expectOwn wants exactly these frames back.
func expectOwn(t *testing.T, b *Bus, want ...canbus.Frame) {
	t.Helper()
	got := receive(t, b)
	if len(got) != len(want) {
		t.Fatalf("%d frames came back, not %d: %v", len(got), len(want), got)
	}
	for i := range got {
		if got[i].Frame != want[i] || !got[i].Own {
			t.Errorf("%v came back, own %v, and not %v", got[i].Frame, got[i].Own, want[i])
		}
	}
}
