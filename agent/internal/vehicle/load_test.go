package vehicle

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
	"github.com/headunit-agent/headunit/canbus/socketcand"
)

var load = flag.Duration("load", 3*time.Second, "how long BenchmarkLoad loads the buses")

const (
	loadRate  = 20_000                      // frames/s, all buses together
	loadStep  = time.Millisecond            // adapters deliver in bursts
	loadBuses = 4                           // drive, body, fd, rear
	perStep   = loadRate / 1000 / loadBuses // frames of one bus in a step
	probeIn   = 20                          // every 20th frame of a bus says something new
)

// fourBuses is the reference car whose rear doors are on a bus of their own.
func fourBuses(tb testing.TB) *profile.Profile {
	tb.Helper()
	dir, from := tb.TempDir(), "../../../testdata/refcar"
	for _, name := range []string{"refcar_drive.dbc", "refcar_body.dbc", "refcar_fd.dbc", "refcar.yaml"} {
		src, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			tb.Fatal(err)
		}
		if name == "refcar.yaml" {
			src = []byte(strings.NewReplacer("body/TSG_H", "rear/TSG_H",
				"\n  fd: {", "\n  rear: {dbc: refcar_body.dbc, bitrate: 500k}\n  fd: {").Replace(string(src)))
		}
		if err := os.WriteFile(filepath.Join(dir, name), src, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	p, _, err := profile.Load(filepath.Join(dir, "refcar.yaml"))
	if err != nil {
		tb.Fatal(err)
	}
	if len(p.Buses) != loadBuses {
		tb.Fatalf("%d buses", len(p.Buses))
	}
	return p
}

// A probe is a signal whose every new value is waited for.
type probe struct {
	ref     profile.SignalRef
	next    func(f *canbus.Frame, n int) int64 // puts value n in, and says which raw value it is
	mu      sync.Mutex
	waiting []stamp
}

type stamp struct {
	raw int64
	at  time.Time
}

func (p *probe) sent(raw int64, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, stamp{raw, at})
}

// shown takes the values up to raw off the list. One that was overtaken counts
// until the one that is shown.
func (p *probe) shown(raw int64, now time.Time, delays []time.Duration) []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.waiting, func(s stamp) bool { return s.raw == raw })
	for _, s := range p.waiting[:i+1] {
		delays = append(delays, now.Sub(s.at))
	}
	p.waiting = append(p.waiting[:0], p.waiting[i+1:]...)
	return delays
}

// A stream is what one bus carries: messages of the profile that say the same
// again, with counters that move, as many that nobody wants, and the probe.
type stream struct {
	bus     string
	end     canbus.Bus // of the car
	probe   *probe
	changes []canbus.Frame // of the probe, by counter
	same    [][]canbus.Frame
	protect func(f *canbus.Frame, n int)
	n       int
}

func newStream(r *rig, bus, probed string, p *probe) *stream {
	s := &stream{bus: bus, probe: p, protect: func(*canbus.Frame, int) {}}
	for _, m := range r.profile.Messages {
		if m.Bus != bus || m.Send != nil {
			continue
		}
		var frames []canbus.Frame
		for range 16 {
			frames = append(frames, r.frame(bus, m.DBC.Name, atRest(m.DBC)...))
		}
		if m.DBC.Name != probed {
			s.same = append(s.same, frames)
			continue
		}
		s.changes = frames
		if m.E2E != nil {
			cfg := protection(m)
			s.protect = func(f *canbus.Frame, n int) { cfg.Protect(f.Data[:f.Len], uint8(n)) }
		}
	}
	return s
}

// atRest is what is said instead of all zero where that would be no good value.
func atRest(m *dbc.Message) []dbc.Set {
	if m.Name == "ZV_02" {
		return []dbc.Set{dbc.Raw("ZV_ist_Zustand_verfuegbar", 1)}
	}
	return nil
}

func (s *stream) send(ctx context.Context) error {
	n := s.n
	s.n++
	if n%probeIn == 0 {
		k := n / probeIn
		f := s.changes[k%16]
		raw := s.probe.next(&f, k)
		s.protect(&f, k)
		s.probe.sent(raw, time.Now())
		return s.end.Send(ctx, f)
	}
	if n%2 == 0 || len(s.same) == 0 {
		return s.end.Send(ctx, canbus.Frame{ID: 0x120 + uint32(n%64), Len: 8, Data: [64]byte{byte(n), byte(n >> 8), 3, 4, 5, 6, 7, 8}})
	}
	frames := s.same[n/2%len(s.same)]
	return s.end.Send(ctx, frames[n/2/len(s.same)%16])
}

// window opens a window by whole percents.
func window(f *canbus.Frame, n int) int64 {
	f.Data[3] = byte(n % 101 * 2)
	return int64(f.Data[3])
}

func loadStreams(r *rig) []*stream {
	of := func(bus, message, signal string) profile.SignalRef {
		return profile.SignalRef{Bus: bus, Message: message, Signal: signal}
	}
	speeds := func(f *canbus.Frame, n int) int64 {
		v := n % 20000
		f.Data[4], f.Data[5] = byte(v), byte(v>>8)
		return int64(v)
	}
	volts := func(f *canbus.Frame, n int) int64 {
		v := n % 4000
		f.Data[1], f.Data[2] = byte(v), f.Data[2]&0xF0|byte(v>>8)
		return int64(v)
	}
	return []*stream{
		newStream(r, "drive", "ESP_21", &probe{ref: of("drive", "ESP_21", "ESP_v_Signal"), next: speeds}),
		newStream(r, "body", "TSG_FT_01", &probe{ref: of("body", "TSG_FT_01", "FT_FH_Oeffnung"), next: window}),
		newStream(r, "rear", "TSG_HFS_01", &probe{ref: of("rear", "TSG_HFS_01", "HFS_FH_Oeffnung"), next: window}),
		newStream(r, "fd", "REF_HV_01", &probe{ref: of("fd", "REF_HV_01", "REF_HV_V"), next: volts}),
	}
}

// A loaded car has a device on each bus: an end of the bus itself, or a client
// of its server.
type loaded struct {
	b       *testing.B
	car     *Car
	streams []*stream
	devices []canbus.Bus // of the agent
	servers []*socketcand.Server
	delays  []time.Duration
	running sync.WaitGroup
}

func newLoaded(b *testing.B, ctx context.Context, sockets bool) *loaded {
	r := rigOf(b, fourBuses(b))
	l := &loaded{b: b, car: New(r.profile, time.Now), streams: loadStreams(r)}
	for _, s := range l.streams {
		m := canbus.NewMemory()
		s.end = m.Attach(0)
		l.running.Go(func() { drainEchoes(ctx, s.end) })
		var device canbus.Bus
		if sockets {
			device = l.serve(ctx, s.bus, m)
		} else {
			device = m.Attach(0)
		}
		l.devices = append(l.devices, device)
		l.running.Go(func() {
			if err := l.car.Follow(ctx, s.bus, device); !errors.Is(err, context.Canceled) {
				b.Errorf("%s: %v", s.bus, err)
			}
			_ = device.Close()
		})
	}
	return l
}

func drainEchoes(ctx context.Context, end canbus.Bus) {
	var own [256]canbus.Rx
	for {
		if _, err := end.Receive(ctx, own[:]); err != nil {
			return
		}
	}
}

// serve puts a server on the bus, and is a client's end of it.
func (l *loaded) serve(ctx context.Context, bus string, m *canbus.Memory) canbus.Bus {
	l.b.Helper()
	addr := "unix:" + filepath.Join(l.b.TempDir(), bus)
	listener, err := socketcand.Listen(addr)
	if err != nil {
		l.b.Fatal(err)
	}
	s := &socketcand.Server{
		Name: bus, Origin: canbus.Simulation, Log: zerolog.Nop(),
		Attach: func(queue int) canbus.Bus { return m.Attach(queue) },
	}
	l.servers = append(l.servers, s)
	l.running.Go(func() { _ = s.Serve(ctx, listener) })
	c, err := socketcand.Dial(ctx, addr)
	if err != nil {
		l.b.Fatal(err)
	}
	return c
}

// watch waits for states, and looks which values they show.
func (l *loaded) watch(done <-chan struct{}) {
	for {
		select {
		case <-l.car.Changed():
		case <-done:
			return
		}
		state, now := l.car.State(), time.Now()
		for _, s := range l.streams {
			if r := state.Signal(s.probe.ref, now); r.Good() {
				l.delays = s.probe.shown(r.Value.Int(), now, l.delays)
			}
		}
	}
}

// drive sends for d at times that do not move when one step comes late.
func (l *loaded) drive(ctx context.Context, d time.Duration) {
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for step := time.Duration(0); step < d; step += loadStep {
		timer.Reset(time.Until(start.Add(step)))
		<-timer.C
		for range perStep {
			for _, s := range l.streams {
				if err := s.send(ctx); err != nil {
					l.b.Fatal(err)
				}
			}
		}
	}
}

// settle waits until everything sent has arrived, and everything shown.
func (l *loaded) settle() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 5000 {
		<-tick.C
		open := 0
		for i, s := range l.streams {
			s.probe.mu.Lock()
			open += len(s.probe.waiting)
			s.probe.mu.Unlock()
			open += s.n - int(l.devices[i].Stats().Received)
		}
		if open == 0 {
			return
		}
	}
	l.b.Error("frames or values are missing after 5 s")
}

// lost asks every end on the way.
func (l *loaded) lost() (n uint64) {
	for i, s := range l.streams {
		here, there := s.end.Stats(), l.devices[i].Stats()
		n += here.Lost + here.LostByUs + here.Errors + there.Lost + there.LostByUs + there.Errors
		if there.Received != uint64(s.n) || here.Sent != uint64(s.n) {
			l.b.Errorf("%s: %d frames, %d sent, %d received", s.bus, s.n, here.Sent, there.Received)
		}
	}
	for _, s := range l.servers {
		c := s.Counts()
		n += c.Lost + c.Dropped + c.Untold
	}
	return n
}

// BenchmarkLoad is the bar of 20,000 frames/s over four buses: from Send to the
// state that shows a value, in this process and over sockets. The figures are of
// the whole process: sender, servers, clients and the car.
func BenchmarkLoad(b *testing.B) {
	for _, way := range []string{"memory", "socketcand"} {
		b.Run(way, func(b *testing.B) {
			for b.Loop() {
				loadOnce(b, way == "socketcand")
			}
		})
	}
}

func loadOnce(b *testing.B, sockets bool) {
	ctx, cancel := context.WithCancel(b.Context())
	l := newLoaded(b, ctx, sockets)
	l.delays = make([]time.Duration, 0, int((*load+2*time.Second)/loadStep)*perStep*loadBuses/probeIn)
	done, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		l.watch(done)
	}()
	l.drive(ctx, 500*time.Millisecond) // queues and maps have grown
	l.settle()
	warm := len(l.delays)
	heap, cpu, start := heapLive(), cpuTime(b), time.Now()
	l.drive(ctx, *load)
	spent, took, sent := cpuTime(b)-cpu, time.Since(start), (*load+loadStep-1)/loadStep*perStep*loadBuses
	l.settle()
	growth := heapLive() - heap
	close(done)
	<-watched
	lost := l.lost()
	cancel()
	l.running.Wait()
	if lost > 0 {
		b.Fatalf("%d frames lost", lost)
	}
	if growth > 1<<20 {
		b.Errorf("the heap grew by %d octets in %v", growth, took)
	}
	delays := l.delays[warm:]
	if len(delays) == 0 {
		b.Fatal("nothing was measured")
	}
	slices.Sort(delays)
	b.ReportMetric(float64(delays[len(delays)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(delays[len(delays)*99/100].Microseconds()), "µs-p99")
	b.ReportMetric(float64(delays[len(delays)-1].Microseconds()), "µs-max")
	b.ReportMetric(float64(lost), "lost")
	b.ReportMetric(float64(growth), "heap-growth-B")
	b.ReportMetric(100*spent.Seconds()/took.Seconds(), "cpu-%")
	b.ReportMetric(float64(sent)/took.Seconds(), "frames/s")
}

// heapLive is what is reachable now.
func heapLive() int64 {
	runtime.GC()
	s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(s)
	return int64(s[0].Value.Uint64())
}

// cpuTime is what the process has used (proc_pid_stat(5): utime and stime, in
// ticks of 10 ms).
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		b.Skip("no /proc: CPU time cannot be measured")
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // the name of the program may hold blanks
	fields := strings.Fields(rest)
	var ticks int64
	for _, f := range fields[11:13] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
