package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/e2e"
	"github.com/headunit-agent/headunit/canbus/socketcand"
	sim "github.com/headunit-agent/headunit/cmd/internal/sim/modem"
)

// BenchmarkCrashToModem is the whole program, from the frame that completes the
// crash rule being given to a socketcand server until the modem behind a pty has
// read the line end of AT+CECALL. Beside the mean of all triggers it reports
// p50, p99 and the worst; the bar is 20 ms at p99. With flood the bus carries
// 4,500 other frames a second, all of them wanted; with blocked nobody reads the
// log, and the status has no folder.
func BenchmarkCrashToModem(b *testing.B) {
	for _, c := range []struct {
		name           string
		ports          int
		flood, blocked bool
	}{{"two ports", 2, false, false}, {"one port", 1, false, false}, {"flood", 2, true, false}, {"blocked", 2, false, true}} {
		b.Run(c.name, func(b *testing.B) {
			s := newStand(b, c.ports, c.blocked)
			if c.flood {
				s.open.Go(s.flood)
			}
			s.calls(1) // the first call finds everything cold, and is not what is measured
			var took []time.Duration
			for b.Loop() {
				took = append(took, s.calls(1)...)
			}
			slices.Sort(took)
			var sum time.Duration
			for _, d := range took {
				sum += d
			}
			ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
			b.ReportMetric(float64(sum)/float64(len(took)), "ns/op")
			b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
			b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
			b.ReportMetric(ms(took[len(took)-1]), "worst-ms")
		})
	}
}

// A stand is the program in this process, with a bus and a modem behind ptys.
type stand struct {
	b       *testing.B
	ctx     context.Context
	open    sync.WaitGroup
	modem   *sim.Modem
	car     *canbus.End
	counter uint8
	placed  int
}

func newStand(b *testing.B, ports int, blocked bool) *stand {
	opts := sim.Fast()
	opts.Voice = time.Millisecond
	m, err := sim.New(opts)
	if err != nil {
		b.Fatal(err)
	}
	s := &stand{b: b, modem: m}
	ctx, cancel := context.WithCancel(b.Context())
	s.ctx = ctx
	b.Cleanup(func() { cancel(); s.open.Wait() })
	var names []string
	for i := range ports {
		master, name, err := sim.OpenPty()
		if err != nil {
			b.Skip("no pty: ", err)
		}
		s.open.Go(func() { _ = m.ServePort(ctx, i, master) }) // ends with ctx
		names = append(names, name)
	}
	dir := b.TempDir()
	path, bus := filepath.Join(dir, "can0"), canbus.NewMemory()
	l, err := socketcand.Listen("unix:" + path)
	if err != nil {
		b.Fatal(err)
	}
	server := &socketcand.Server{
		Name: "can0", Origin: canbus.Simulation, Attach: func(queue int) canbus.Bus { return bus.Attach(queue) }, Log: zerolog.Nop(),
	}
	s.open.Go(func() { _ = server.Serve(ctx, l) }) // ends with ctx
	s.car = bus.Attach(0)
	text := fmt.Sprintf(`{"modem":{"ports":%s},"gnss":"",
 "crash":[{"bus":"socketcand:unix:%[2]s","id":64,"len":8,"e2e":{"kind":"vw","const":"40"},"any":[16],"within_ms":60000}],
 "ignition":{"bus":"socketcand:unix:%[2]s","id":960,"len":4,"any":[17],"recent_ms":3600000}}`, quoted(names), path)
	o := options{config: filepath.Join(dir, "ecall.json"), status: filepath.Join(dir, "status"), socket: filepath.Join(dir, "ask")}
	if err := os.WriteFile(o.config, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	log := zerolog.Nop()
	if blocked {
		r, w, err := os.Pipe()
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _, _ = r.Close(), w.Close() })
		out, _ := newDropper(ctx, w)
		log = zerolog.New(out)
		o.status = filepath.Join(o.config, "status")
	}
	s.open.Go(func() { run(ctx, o, log) })
	s.until("greeting", func() bool {
		return slices.ContainsFunc(m.Commands(), func(c sim.Command) bool { return c.Line == "AT+CLCC" })
	})
	return s
}

func quoted(names []string) string {
	text := fmt.Sprintf("%q", names[0])
	for _, n := range names[1:] {
		text += fmt.Sprintf(",%q", n)
	}
	return "[" + text + "]"
}

// until waits for what has to be before the next trigger; it is not measured.
func (s *stand) until(what string, is func() bool) {
	s.b.Helper()
	for limit := time.Now().Add(10 * time.Second); !is(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(limit) {
			s.b.Fatalf("%s does not come", what)
		}
	}
}

func (s *stand) crash(bits byte) {
	f := canbus.Frame{ID: 64, Len: 8}
	f.Data[2] = bits
	s.counter++
	guard := e2e.Constant(0x40)
	guard.Protect(f.Data[:8], s.counter)
	if err := s.car.Send(s.ctx, f); err != nil {
		s.b.Fatal(err)
	}
}

// calls triggers so many calls, one after the other, and lets the PSAP end them.
func (s *stand) calls(n int) (took []time.Duration) {
	for range n {
		if err := s.car.Send(s.ctx, canbus.Frame{ID: 960, Len: 4, Data: [64]byte{2: 2}}); err != nil {
			s.b.Fatal(err)
		}
		s.crash(0)
		s.crash(1)
		time.Sleep(5 * time.Millisecond) // all that is read
		start := time.Now()
		s.crash(1)
		var list []sim.Call
		s.until("call", func() bool { list = s.modem.Calls(); return len(list) > s.placed })
		took = append(took, list[len(list)-1].At.Sub(start))
		s.until("end of the call", func() bool { list = s.modem.Calls(); return !list[len(list)-1].Ended.IsZero() })
		s.until("question for the cause", func() bool {
			c := s.modem.Commands()
			return slices.ContainsFunc(c, func(c sim.Command) bool { return c.Line == "AT+CEER" && c.At.After(start) })
		})
		time.Sleep(5 * time.Millisecond) // the cause is heard
		if s.placed = len(s.modem.Calls()); s.placed >= 1000 {
			s.b.Fatal("the modem keeps no more calls than this: use a shorter -benchtime")
		}
	}
	return took
}

// flood is 45 frames each 10 ms.
func (s *stand) flood() {
	own := time.NewTicker(10 * time.Millisecond)
	defer own.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-own.C:
		}
		for range 45 {
			_ = s.car.Send(s.ctx, canbus.Frame{ID: 960, Len: 4, Data: [64]byte{2: 2}}) // no more than a flood
		}
	}
}
