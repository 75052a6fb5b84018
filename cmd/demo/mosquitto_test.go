package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/agent/wire"
)

// A mosquitto is Debian's broker as a child, and the log by which it tells what
// it hears.
type mosquitto struct {
	b       *bench
	program string
	address string
}

// newMosquitto finds the program, or skips the test.
func newMosquitto(t *testing.T, b *bench) *mosquitto {
	t.Helper()
	for _, name := range []string{"mosquitto", "/usr/sbin/mosquitto"} { // Debian keeps it out of a user's path
		if p, err := exec.LookPath(name); err == nil {
			return &mosquitto{b: b, program: p}
		}
	}
	const why = "mosquitto is not installed (Debian's package of this name)"
	if *all {
		t.Fatal(why)
	}
	t.Skip(why)
	return nil
}

// start is a step of a bench. The port was free a moment ago; where somebody
// was faster, another one is tried.
func (m *mosquitto) start(ctx context.Context) error {
	for range 10 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		m.address = l.Addr().String()
		if err := l.Close(); err != nil {
			return err
		}
		if err := m.serve(ctx); err == nil {
			return m.b.startBackend(ctx, m.address)
		}
	}
	return errors.New("mosquitto finds no free port")
}

// serve starts the program on the address, and waits until it says that it has it.
func (m *mosquitto) serve(ctx context.Context) (err error) {
	_, port, err := net.SplitHostPort(m.address)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("listener %s 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\n"+
		"log_dest file %s\nlog_type all\n", port, m.log())
	if os.Geteuid() == 0 { // it would change its user, and not reach its log
		text += "user root\n"
	}
	conf := m.b.path("mosquitto.conf")
	if err := errors.Join(os.WriteFile(conf, []byte(text), 0o600), os.WriteFile(m.log(), nil, 0o600)); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	c := m.b.child("mosquitto", "-c", conf)
	c.path = m.program
	m.b.run(ctx, newSpawner(), c)
	defer func() {
		if err != nil {
			stop()
			<-c.done
		}
	}()
	return until(ctx, 10*time.Second, func() error {
		said, err := os.ReadFile(m.log())
		if err == nil && (!bytes.Contains(said, []byte(" running\n")) || bytes.Contains(said, []byte(" Error: "))) {
			err = fmt.Errorf("mosquitto says %q", said)
		}
		return err
	})
}

func (m *mosquitto) log() string { return filepath.Join(m.b.dir, "mosquitto.said.log") }

// heard is what the broker told of the car so far.
func (m *mosquitto) heard() ([]string, error) {
	text, err := os.ReadFile(m.log())
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range bytes.Lines(text) {
		if bytes.Contains(line, []byte(m.b.identity.Name.String())) {
			lines = append(lines, strings.TrimSpace(string(line)))
		}
	}
	return lines, nil
}

// TestMosquitto: the contract holds on a broker that is not ours.
func TestMosquitto(t *testing.T) {
	t.Parallel()
	b := newTestBench(t)
	m := newMosquitto(t, b)
	begin(t, b, b.startCar, m.start, b.startPhone, b.startDaemons, b.ready)
	if lines, err := m.heard(); err != nil || len(lines) > 0 {
		t.Errorf("before the driver chose, the broker heard %q: %v", lines, err)
	}
	do(t, b, "hello and status", b.statusArrives)
	do(t, b, "door edge", b.doorEdge)
	do(t, b, "lock", b.lock)
	do(t, b, "uplinkd killed", b.uplinkKilled)
	do(t, b, "unlock", b.unlock)
	do(t, b, "Maximum", m.maximum)
}

// doorEdge: a door opens in a parked car, and the car says so by itself, signed,
// and nothing else.
func (b *bench) doorEdge(ctx context.Context) (string, error) {
	from, stop := b.backend.Watch(b.identity.Name)
	defer stop()
	for _, open := range []bool{true, false} {
		order := map[bool]string{true: "door passenger open", false: "door passenger closed"}[open]
		if err := b.car.all(ctx, order); err != nil {
			return "", err
		}
		s, err := nextStatus(ctx, from)
		if err != nil {
			return "", err
		}
		v, quality := said(s, "Vehicle.Cabin.Door.Row1.PassengerSide.IsOpen")
		if s.Full || len(s.Readings) != 1 || v != open || quality != "good" {
			return "", fmt.Errorf("after %q it says %v, %s: %+v", order, v, quality, s)
		}
	}
	return "told open and closed, each in a signed status of one reading", nil
}

// maximum: the goodbye is the last that the broker hears.
func (m *mosquitto) maximum(ctx context.Context) (string, error) {
	b := m.b
	from, stop := b.backend.Watch(b.identity.Name)
	defer stop()
	if err := b.choose(ctx, "maximum"); err != nil {
		return "", err
	}
	for {
		u, err := next(ctx, from)
		if err != nil {
			return "", err
		}
		if u.Kind == wire.KindGoodbye {
			break
		}
	}
	var before []string
	if err := until(ctx, 3*time.Second, func() (err error) {
		if before, err = m.heard(); err == nil && !strings.Contains(before[len(before)-1], " disconnected") {
			err = fmt.Errorf("the broker's last word is %q", before[len(before)-1])
		}
		return err
	}); err != nil {
		return "", err
	}
	n := len(before)
	if n < 3 || !strings.Contains(before[n-2], "Received DISCONNECT from ") {
		return "", fmt.Errorf("it did not leave in order: %q", before[max(0, n-4):])
	}
	select {
	case <-time.After(3 * time.Second):
	case <-ctx.Done():
		return "", ctx.Err()
	}
	after, err := m.heard()
	if err != nil || len(after) != n {
		return "", fmt.Errorf("after the goodbye the broker heard %q: %w", after[n:], err)
	}
	s, err := b.show(ctx)
	if err != nil || s.Waiting != 0 || s.Uplink.Up || s.Uplink.Wanted {
		return "", fmt.Errorf("the agent says %+v, %d wait: %w", s.Uplink, s.Waiting, err)
	}
	return fmt.Sprintf("goodbye, %q, and nothing for 3 s", before[n-1]), nil
}
