package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/headunit-agent/headunit/agent/wire"
)

// A middle stands between the simulated car's drive bus and the daemons, and can
// say something else than the car.
type middle struct {
	b   *bench
	lie atomic.Pointer[lie] // nil: every word is passed on
	mix atomic.Bool         // the car's words as well
}

// A lie is said again and again, and counts how often it was.
type lie struct {
	words string
	told  atomic.Int64
}

func (m *middle) say(words string) (told func() int64) {
	l := &lie{words: words + " "}
	m.lie.Store(l)
	return l.told.Load
}

// start is a step of a bench, between the car and the daemons.
func (m *middle) start(ctx context.Context) error {
	shown, real := m.b.path("car/can0"), m.b.path("car/real/can0")
	if err := errors.Join(os.Mkdir(m.b.path("car/real"), 0o700), os.Rename(shown, real)); err != nil {
		return err
	}
	l, err := net.Listen("unix", shown)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { l.Close() })
	m.b.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			m.b.done.Go(func() { m.serve(ctx, conn, real) })
		}
	})
	return nil
}

func (m *middle) serve(ctx context.Context, daemon net.Conn, real string) {
	defer daemon.Close()
	car, err := (&net.Dialer{}).DialContext(ctx, "unix", real)
	if err != nil {
		return
	}
	defer car.Close()
	stop := context.AfterFunc(ctx, func() { daemon.Close(); car.Close() })
	defer stop()
	go func() {
		_, _ = io.Copy(car, daemon) // its end ends the other way too
		car.Close()
	}()
	buf := make([]byte, 4096)
	for {
		n, err := car.Read(buf)
		if err != nil {
			return
		}
		words := buf[:n]
		if lie := m.lie.Load(); lie != nil && bytes.Contains(words, []byte("frame ")) { // a handshake is passed on
			if !m.mix.Load() {
				words = nil
			}
			words = append(slices.Clip(words), lie.words...)
			lie.told.Add(1)
		}
		if _, err := daemon.Write(words); err != nil {
			return
		}
	}
}

// nonsense is what no server says; the last two have the form of ESP_21, which
// carries the speed, with a checksum that is none.
var nonsense = []string{
	"< >", "<>", "< frame >", "< fdframe >", "< fdframe 0FD >", "< frame 0FD 1.0 0011223344556677 >", "< fdframe 0FD 1.000000 00 8 00112233445566 >",
	"< fdframe 0FD 1.000000 00 9 001122334455667788 >", "< fdframe 8FD 1.000000 00 8 0011223344556677 >", "< fdframe 0FD 1.000000 FF 8 0011223344556677 >",
	"< fdframe 0FD 1.000000 00 8 00112233445566GG >", "< fdframe 0FD -1.000000 00 8 0011223344556677 >", "< fdlost -1 >", "< fdlost 99999999999999999999 >",
	"< error 12345678 1.000000 >", "< error >", "< hi >", "< \x00\xff\xfe >", "fdframe 0FD 1.000000 00 8 0011223344556677", "> < > <",
	"< fdframe 0FD 1.000000 00 8 0000000000000000 >", "< fdframe 0FD 1.000000 00 8 00FFFFFFFFFFFF01 >",
}

// badFrames: malformed words on a bus end no daemon, and what the bus carried
// becomes stale and never wrong.
func badFrames(t *testing.T, b *bench, m *middle) {
	ctx := t.Context()
	before := b.counts()
	must(t, "drive", b.car.all(ctx, "ignition on", "gear D", "speed 50"))
	eventually(t, "50 km/h", func() error { return b.driving(ctx, "good") })
	right := func(qualities ...string) {
		t.Helper()
		eventually(t, "the speed", func() error {
			err := b.driving(ctx, qualities...)
			if errors.Is(err, errWrong) {
				t.Fatal(err)
			}
			return err
		})
	}
	all := strings.Join(nonsense, " ")
	m.mix.Store(true)
	for _, lie := range append(nonsense, all) { // right and wrong words in turn
		told := m.say(lie)
		for told() < 5 {
			right("good", "stale")
		}
	}
	m.mix.Store(false)
	for _, lie := range []string{all, "< fdframe 0FD " + strings.Repeat("0", 1<<16)} { // and nothing right for long
		told := m.say(lie)
		for told() < 5 {
			right("good", "stale")
		}
	}
	right("stale")
	short, cancel := context.WithTimeout(ctx, steady)
	defer cancel()
	if _, _, err := b.ask(short, "lock", nil, wire.Refused, wire.CommandStateUnknown, idRequest); err != nil {
		t.Errorf("a command while nobody knows the speed: %v", err)
	}
	m.lie.Store(nil)
	right("good")
	must(t, "stop", b.car.all(ctx, "speed 0", "wait stopped 20s", "gear P", "ignition off"))
	must(t, "off", b.seen(ctx, "Vehicle.LowVoltageSystemState", "OFF"))
	survived(t, b, before, "headunitd", "ecalld", "uplinkd")
}

// errWrong is a value that the car does not have.
var errWrong = errors.New("a wrong value")

// driving fails unless the agent shows 50 km/h with one of the qualities. Another
// speed is never right, whatever its quality.
func (b *bench) driving(ctx context.Context, qualities ...string) error {
	s, err := b.show(ctx)
	if err != nil {
		return err
	}
	v := s.Signal("Vehicle.Speed")
	if kmh, ok := v.Value.(float64); !ok || math.Abs(kmh-50) > 0.5 {
		return fmt.Errorf("%w: speed is %v, %s", errWrong, v.Value, v.Quality)
	}
	if !slices.Contains(qualities, v.Quality) {
		return fmt.Errorf("speed is %v, %s", v.Value, v.Quality)
	}
	return nil
}
