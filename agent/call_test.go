package agent

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// TestCallFileGoesSilent: a status file that is not written any more is no call,
// whatever the wall clock does: here the file seems to come from the future.
func TestCallFileGoesSilent(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ecall")
	if err := os.WriteFile(file, []byte(`{"v":1,"phase":"voice"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		events := make(chan event)
		over := make(chan error, 1)
		go func() { over <- watchCall(ctx, file, events) }()
		if first := (<-events).(callChanged); !first.running || !first.call.live() {
			t.Errorf("%+v", first)
		}
		began := time.Now()
		var next callChanged
		select {
		case e := <-events:
			next = e.(callChanged)
		case <-time.After(2 * callSilent):
			next.running = true
		}
		if after := time.Since(began); next.running || next.call.live() || after < callSilent || after > callSilent+time.Second {
			t.Errorf("%+v after %v", next, after)
		}
		end()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

// TestCallThroughAJumpOfTheClock: a call that was seen stays seen when the wall
// clock is set, and what a program long gone left is none.
func TestCallThroughAJumpOfTheClock(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ecall")
	if err := os.WriteFile(file, []byte(`{"v":1,"phase":"voice"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	seen := callFile{path: file}
	if s, running := seen.read(now); !running || !s.live() {
		t.Errorf("%+v %v", s, running)
	}
	if err := os.Chtimes(file, time.Time{}, now.AddDate(-50, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if s, running := seen.read(now.Add(time.Second)); !running || !s.live() {
		t.Errorf("written before the clock was set: %+v %v", s, running)
	}
	left := callFile{path: file}
	if s, running := left.read(now); running || s.live() {
		t.Errorf("left long ago: %+v %v", s, running)
	}
}
