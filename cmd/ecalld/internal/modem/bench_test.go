package modem

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	sim "github.com/headunit-agent/headunit/cmd/internal/sim/modem"
)

var errNoDevice = errors.New("no such device")

// A bench is a driver with our simulator at the other end of its ports, in fake
// time.
type bench struct {
	*testing.T
	*telit
	sim   *sim.Modem
	lines []*line
	heard []Event
}

// A line is one port that the test can unplug.
type line struct {
	mu    sync.Mutex
	sim   *sim.Modem
	ctx   context.Context
	n     int
	away  bool
	plain bool // not a pty
	far   net.Conn
	opens []time.Time
}

func (l *line) open() (device, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.opens = append(l.opens, time.Now())
	if l.away {
		return device{}, errNoDevice
	}
	near, far := net.Pipe()
	l.far = far
	go func() { _ = l.sim.ServePort(l.ctx, l.n, far) }()
	return device{near, !l.plain}, nil
}

func (l *line) unplug() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = true
	_ = l.far.Close()
}

func (l *line) plug() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = false
}

// onBench runs f with a modem of so many ports that has told Ready.
func onBench(t *testing.T, ports int, opts sim.Options, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, err := sim.New(opts)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{T: t, sim: m}
		b.start(ports)
		b.await(Ready)
		synctest.Wait() // both ports
		f(b)
		b.end()
	})
}

func (b *bench) start(ports int, change ...func(*line)) {
	ctx, cancel := context.WithCancel(b.Context())
	b.Cleanup(cancel)
	var open []opener
	b.lines = nil
	for n := range ports {
		l := &line{sim: b.sim, ctx: ctx, n: n}
		for _, c := range change {
			c(l)
		}
		b.lines = append(b.lines, l)
		open = append(open, l.open)
	}
	b.telit = startTelit(ctx, open, zerolog.New(b.Output()).Level(zerolog.InfoLevel))
}

func (b *bench) end() {
	if err := b.Close(); err != nil {
		b.Error(err)
	}
	for range b.Events() { // closed, or this hangs
	}
	for _, l := range b.lines {
		l.mu.Lock()
		if l.far != nil {
			_ = l.far.Close()
		}
		l.mu.Unlock()
	}
}

// await reads events until one of this kind.
func (b *bench) await(k EventKind) Event {
	b.Helper()
	limit := time.After(2 * time.Minute)
	for {
		select {
		case e := <-b.Events():
			b.heard = append(b.heard, e)
			if e.Kind == k {
				return e
			}
		case <-limit:
			b.Fatalf("no %s after %v", k, b.heard)
		}
	}
}

// none waits d and fails if an event of the kind comes.
func (b *bench) none(k EventKind, d time.Duration) {
	b.Helper()
	limit := time.After(d)
	for {
		select {
		case e := <-b.Events():
			if b.heard = append(b.heard, e); e.Kind == k {
				b.Errorf("unwanted %s", e)
			}
		case <-limit:
			return
		}
	}
}

func (b *bench) do(line string) string {
	b.Helper()
	s, err := b.sim.Do(b.Context(), line)
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func (b *bench) armed() Armed {
	b.Helper()
	a, err := Arm(b.telit, Trigger{})
	if err != nil {
		b.Fatal(err)
	}
	return a
}

func (b *bench) manual() Call { return Call{Kind: Manual, Armed: b.armed()} }

// within fails if f takes longer, in fake time.
func (b *bench) within(limit time.Duration, what string, f func() error) error {
	b.Helper()
	start := time.Now()
	err := f()
	if d := time.Since(start); d > limit {
		b.Errorf("%s took %v, more than %v", what, d, limit)
	}
	return err
}

// commands are what the modem was sent, oldest first, without the greeting.
func (b *bench) commands() (all []string) {
	b.Helper()
	for _, c := range b.sim.Commands() {
		all = append(all, c.Line)
	}
	return all
}

func (b *bench) calls() (all []sim.Call) {
	b.Helper()
	if err := json.Unmarshal([]byte(b.do("calls")), &all); err != nil {
		b.Fatal(err)
	}
	return all
}

// A scripted is a modem that answers each line as a function says.
type scripted struct {
	answer func(line string) string
	far    io.ReadWriteCloser
	mu     sync.Mutex
	got    []string
}

func (s *scripted) open() (device, error) {
	near, far := net.Pipe()
	s.mu.Lock()
	s.far = far
	s.mu.Unlock()
	go func() {
		var line strings.Builder
		buf := make([]byte, 512)
		for {
			n, err := far.Read(buf)
			for _, c := range buf[:n] {
				if c != '\r' && c != 0x1A {
					line.WriteByte(c)
					continue
				}
				s.mu.Lock()
				s.got = append(s.got, line.String())
				s.mu.Unlock()
				if a := s.answer(line.String()); a != "" {
					_, _ = far.Write([]byte(a))
				}
				line.Reset()
			}
			if err != nil {
				return
			}
		}
	}()
	return device{near, true}, nil
}

func (s *scripted) say(text string) {
	s.mu.Lock()
	far := s.far
	s.mu.Unlock()
	_, _ = far.Write([]byte(text))
}

func (s *scripted) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// withScripted runs f with a driver on modems that answer as the functions say.
func withScripted(t *testing.T, f func(b *bench, s *scripted), answer func(line string) string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b, s := &bench{T: t}, &scripted{answer: answer}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		b.telit = startTelit(ctx, []opener{s.open}, zerolog.Nop())
		f(b, s)
		b.end()
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = s.far.Close()
	})
}
