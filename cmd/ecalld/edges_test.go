package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/ecall"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/modem"
)

// TestBusComesBack: 100 ms, then twice as long each time, up to 5 s, and from
// the beginning after it was there.
func TestBusComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var opened []time.Duration
		start, mem := time.Now(), canbus.NewMemory()
		ends := make(chan *canbus.End, 1)
		c, _, _ := ecall.Parse([]byte(testConfig))
		told := make(chan any, 64)
		l := &listener{log: zerolog.Nop(), now: time.Now, wants: ecall.NewDetector(&c), tell: func(v any) { told <- v }}
		l.open = func(context.Context, string) (canbus.Bus, modem.Trigger, error) {
			opened = append(opened, time.Since(start))
			if len(opened) == 9 {
				e := mem.Attach(0)
				ends <- e
				return e, modem.Trigger{}, nil
			}
			return nil, modem.Trigger{}, errors.New("no such device")
		}
		done := make(chan struct{})
		go func() { defer close(done); l.run(ctx) }()
		end := <-ends
		f := canbus.Frame{ID: 64, Len: 8}
		if err := end.Send(ctx, f); err != nil { // our own: no crash
			t.Fatal(err)
		}
		if err := mem.Attach(0).Send(ctx, f); err != nil {
			t.Fatal(err)
		}
		if err := mem.Attach(0).Send(ctx, canbus.Frame{ID: 65, Len: 8}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := end.Close(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		cancel()
		<-done
		if got := fmt.Sprint(opened); got != "[0s 100ms 300ms 700ms 1.5s 3.1s 6.3s 11.3s 16.3s 16.4s 16.6s]" {
			t.Errorf("opened at %s", got)
		}
		close(told)
		var list []string
		for v := range told {
			if fr, ok := v.(frames); ok && (len(fr.list) != 1 || fr.list[0].ID != 64) {
				t.Errorf("frames that nobody wants: %v", fr.list)
			}
			list = append(list, fmt.Sprintf("%T", v))
		}
		if got := strings.Join(list, " "); got != "main.busUp main.frames main.busDown" {
			t.Errorf("told %s", got)
		}
	})
}

// TestDesk: who sits there, how often one may ask, and how much one may say.
func TestDesk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ask")
	if err := os.WriteFile(path, nil, 0o600); err != nil { // what a killed process left
		t.Fatal(err)
	}
	var mu sync.Mutex
	now := time.Unix(1000, 0)
	d := &desk{path: path, log: zerolog.Nop(), tell: func(v any) { v.(asked).answer <- "ok" }, now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); d.run(ctx) }()
	defer func() { cancel(); <-done }()
	dial := func() (net.Conn, func(string) string) {
		var conn net.Conn
		for deadline := time.Now().Add(10 * time.Second); conn == nil; {
			var err error
			if conn, err = net.Dial("unix", path); err != nil && time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		r := bufio.NewReader(conn)
		return conn, func(line string) string {
			_, _ = fmt.Fprint(conn, line)
			answer, err := r.ReadString('\n')
			if err != nil {
				return "closed"
			}
			return strings.TrimSpace(answer)
		}
	}
	first, say := dial()
	for i, c := range []struct {
		pass time.Duration
		line string
		want string
	}{
		{0, "ping\n", "ok"},
		{0, "ping\n", "ok"},
		{0, "ping\n", "ok"},
		{0, "ping\n", "no rate"},
		{0, "sos\n", "ok"},
		{999 * time.Millisecond, "ping\n", "no rate"},
		{time.Millisecond, "ping\n", "ok"},
		{0, "ping\n", "no rate"},
		{time.Hour, "ping\n", "ok"},
		{0, "ping\n", "ok"},
		{0, "ping\n", "ok"},
		{0, "ping\n", "no rate"},
		{0, "SOS\n", "no such request"},
	} {
		mu.Lock()
		now = now.Add(c.pass)
		mu.Unlock()
		if got := say(c.line); got != c.want {
			t.Errorf("%d: %q: %s, want %s", i, c.line, got, c.want)
		}
	}
	var more []net.Conn
	for range maxClients - 1 {
		conn, say := dial()
		if got := say("sos\n"); got != "ok" {
			t.Errorf("client %d: %s", len(more)+2, got)
		}
		more = append(more, conn)
	}
	if _, say := dial(); say("sos\n") != "closed" {
		t.Error("one client too many")
	}
	if got := say(strings.Repeat("s", 64)); got != "no too long" {
		t.Errorf("a long line: %s", got)
	}
	_ = first.Close()
	for _, c := range more {
		_ = c.Close()
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// TestLoopbackOnly: where the car is comes from this machine and no other.
func TestLoopbackOnly(t *testing.T) {
	for _, a := range []string{"10.0.0.1:2947", "example.org:2947", "0.0.0.0:2947", "", "127.0.0.1"} {
		if _, err := dialLoopback(t.Context(), a); err == nil {
			t.Errorf("%s was dialled", a)
		}
	}
	if _, err := dialLoopback(t.Context(), "192.0.2.1:2947"); !errors.Is(err, errLoopback) {
		t.Errorf("%v", err)
	}
	if _, _, err := openBus(t.Context(), "slcan:/dev/null", nil); err == nil {
		t.Error("a device that is not known")
	}
}

// TestDropper: a log that nobody reads costs lines, and no time.
func TestDropper(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		slow := &slowWriter{free: make(chan struct{})}
		d, done := newDropper(ctx, slow)
		for range 1000 {
			if n, err := d.Write([]byte("line\n")); n != 5 || err != nil {
				t.Fatal(n, err)
			}
		}
		close(slow.free)
		synctest.Wait()
		_, _ = d.Write([]byte("after\n"))
		cancel()
		<-done
		if got := slow.String(); !strings.Contains(got, `"dropped":`) || !strings.Contains(got, "after") || strings.Count(got, "line\n") > 260 {
			t.Errorf("%d octets written", len(got))
		}
	})
}

type slowWriter struct {
	free chan struct{}
	bytes.Buffer
}

func (w *slowWriter) Write(b []byte) (int, error) {
	<-w.free
	return w.Buffer.Write(b)
}
