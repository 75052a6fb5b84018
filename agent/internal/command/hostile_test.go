package command

import (
	"context"
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/agent/internal/vehicle"
	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/e2e"
)

var hostile = flag.Int("hostile", 200_000, "how many random frames TestGuardsAmongGarbage sends")

// A feed is a bus whose frames are given batch by batch.
type feed struct {
	canbus.Bus                  // nothing else is asked of it but what stands below
	in         chan []canbus.Rx // closed: the end
	idle       chan struct{}    // taken once the batch before was folded
}

func (b *feed) Receive(_ context.Context, dst []canbus.Rx) (int, error) {
	b.idle <- struct{}{}
	if batch, ok := <-b.in; ok {
		return copy(dst, batch), nil
	}
	return 0, canbus.ErrClosed
}

func (*feed) Stats() canbus.Stats { return canbus.Stats{State: canbus.OK} }

func (b *feed) put(batch []canbus.Rx) {
	for part := range slices.Chunk(batch, 64) {
		b.in <- part
		<-b.idle
	}
}

// A whole is the receiver's side of one protected message, with a checksum of
// its own.
type whole struct {
	constants [16]byte
	gap       byte
	wraps     time.Duration
	seen      bool
	counter   byte
	heard     time.Time
}

func (w *whole) take(data []byte, now time.Time) bool {
	if now.Sub(w.heard) > w.wraps {
		w.seen = false
	}
	w.heard = now
	if len(data) < 2 {
		return false
	}
	crc := byte(0xFF)
	for _, b := range append(slices.Clone(data[1:]), w.constants[data[1]&15]) {
		crc ^= b
		for range 8 {
			crc = crc<<1 ^ crc>>7*0x2F
		}
	}
	if data[0] != ^crc {
		return false
	}
	was, step := w.seen, (data[1]-w.counter)&15
	w.seen, w.counter = true, data[1]&15
	return was && 1 <= step && step <= w.gap
}

// A said is the last valid frame of a message.
type said struct {
	data  uint64 // octets 0 to 7, the first in the lowest bits
	len   int
	at    time.Time
	fresh time.Duration
	check *whole // nil: not protected
}

func (s *said) bits(from, n int) uint64 { return s.data >> from & (1<<n - 1) }

// knows reports whether the bits up to end were heard, and not too long ago to
// act on.
func (s *said) knows(end int, now time.Time) bool {
	age := now.Sub(s.at)
	return !s.at.IsZero() && s.len*8 >= end && age <= s.fresh && age <= 2*time.Second
}

// A model is what the frames of the reference car say, read by hand.
type model struct {
	airbag, brakes, cluster, key, fuel, blink, locks, heater *said
	byID                                                     map[string]map[uint32]*said
	slow                                                     [2]time.Time // by source of the speed: since when it stands; zero: it does not
	impact                                                   uint64       // crash bits of the last airbag frame, if it counts
	impactAt, keyOn, crashed, foreign                        time.Time
}

func newModel() *model {
	protected := func(id uint32, fresh, wraps time.Duration, gap byte) *said {
		cfg, ok := e2e.VW(id, 8)
		if !ok {
			cfg = e2e.Constant(0xF1)
		}
		return &said{fresh: fresh, check: &whole{constants: cfg.Constants, gap: gap, wraps: wraps}}
	}
	const ms = time.Millisecond
	m := &model{
		airbag:  protected(0x040, 120*ms, 600*ms, 3),
		brakes:  protected(0x0FD, 200*ms, 300*ms, 5),
		key:     protected(0x3C0, 300*ms, 1500*ms, 3),
		heater:  protected(0x6F1, 1500*ms, 7500*ms, 3),
		cluster: &said{fresh: 120 * ms}, fuel: &said{fresh: 3000 * ms},
		blink: &said{fresh: 3000 * ms}, locks: &said{fresh: 600 * ms},
	}
	m.byID = map[string]map[uint32]*said{
		"drive": {0x040: m.airbag, 0x0FD: m.brakes, 0x30B: m.cluster, 0x3C0: m.key, 0x6B8: m.fuel},
		"body":  {0x366: m.blink, 0x583: m.locks, 0x6F1: m.heater},
	}
	return m
}

func (m *model) look(bus string, rx *canbus.Rx, now time.Time) {
	if rx.Own || rx.Flags&(canbus.Error|canbus.Remote|canbus.Extended) != 0 {
		return
	}
	if bus == "body" && rx.ID == 0x5A7 && rx.Data != [64]byte{} {
		m.foreign = now
	}
	s := m.byID[bus][rx.ID]
	if s == nil || s.check != nil && !s.check.take(rx.Data[:rx.Len], now) {
		return
	}
	was := s.at
	s.data, s.len, s.at = binary.LittleEndian.Uint64(rx.Data[:8]), int(rx.Len), now
	switch s {
	case m.brakes:
		m.slowed(0, was, now)
	case m.cluster:
		m.slowed(1, was, now)
	case m.key:
		if m.key.len >= 3 && m.key.bits(17, 1) == 1 {
			m.keyOn = now
		}
	case m.airbag:
		m.hit(now)
	}
}

// slowed keeps since when a source of the speed says that the car stands.
func (m *model) slowed(source int, was, now time.Time) {
	fresh := []*said{m.brakes, m.cluster}[source].fresh
	switch v, good := m.speedOf(source); {
	case !good || v >= 0.5:
		m.slow[source] = time.Time{}
	case now.Sub(was) > fresh || m.slow[source].IsZero():
		m.slow[source] = now
	}
}

// hit follows the crash bits: the same one in two frames within 200 ms, nothing
// being tested, and the ignition on at most 10 s ago unless it crashed already.
func (m *model) hit(now time.Time) {
	is := uint64(0)
	if m.airbag.len >= 4 && m.airbag.bits(28, 2) == 0 {
		is = m.airbag.bits(16, 5)
	}
	again := is&m.impact != 0 && now.Sub(m.impactAt) <= 200*time.Millisecond
	on := !m.keyOn.IsZero() && now.Sub(m.keyOn) <= 10*time.Second
	if again && (on || !m.crashed.IsZero() && now.Sub(m.crashed) < time.Minute) {
		m.crashed = now
	}
	m.impact, m.impactAt = is, now
}

// speedOf is the speed by source 0, the brakes, or 1, the instruments.
func (m *model) speedOf(source int) (kmh float64, good bool) {
	if source == 0 {
		raw := m.brakes.bits(32, 16)
		return float64(raw) / 100, m.brakes.len >= 7 && raw <= 40000 && m.brakes.bits(55, 1) == 0
	}
	raw := m.cluster.bits(48, 10)
	return float64(raw) * 0.32, m.cluster.len >= 8 && raw < 1022
}

// stands reports whether the better of the two has said so for 2 s.
func (m *model) stands(now time.Time) bool {
	for i, s := range []*said{m.brakes, m.cluster} {
		if _, good := m.speedOf(i); good && s.knows(56, now) {
			return !m.slow[i].IsZero() && now.Sub(m.slow[i]) >= 2*time.Second
		}
	}
	return false
}

// good are the operations that the frames permit.
func (m *model) good(operation string, now time.Time) bool {
	free := m.foreign.IsZero() || now.Sub(m.foreign) >= 10*time.Second
	base := m.stands(now) &&
		m.key.knows(20, now) && m.key.bits(19, 1) == 0 && m.key.bits(17, 1) == 0 && m.key.bits(16, 1) == 0 &&
		(now.Sub(m.airbag.at) <= m.airbag.fresh || now.Sub(m.blink.at) <= m.blink.fresh) &&
		(m.crashed.IsZero() || now.Sub(m.crashed) >= time.Minute)
	volts := m.heater.knows(40, now) && m.heater.bits(32, 8) >= 122 && m.heater.bits(32, 8) < 254
	switch operation {
	case "lock":
		return base && free && m.locks.knows(55, now) && m.locks.bits(54, 1) == 1 && m.locks.bits(24, 1) == 0
	case "unlock":
		return base && free && m.blink.knows(16, now) && m.blink.bits(15, 1) == 0
	case "vent_start":
		return base && volts
	case "heat_start":
		percent := m.fuel.bits(18, 7)
		return base && volts && m.fuel.knows(25, now) && percent >= 10 && percent <= 100
	case "horn_lights":
		return base && free
	}
	return operation == "aux_stop" // it asks for nothing
}

// A street is the reference car, with somebody who writes garbage on its buses.
type street struct {
	*rand.Rand
	p        *profile.Profile
	car      *vehicle.Car
	model    *model
	now      time.Time
	feeds    map[string]*feed
	batches  map[string][]canbus.Rx
	counters map[uint32]uint8
	mean     map[string][]uint32 // identifiers that garbage takes now
	sent     int
	state    truth
}

// A truth is how the car really is.
type truth struct {
	speed, volts, fuel         byte
	key, alarm, open, unproven bool
	crash                      bool
	mute                       map[uint32]bool // messages that are missing
}

// turn makes another truth: mostly good, and seldom all bad.
func (s *street) turn() {
	odd := func(n int) bool { return s.IntN(n) == 0 }
	is := truth{volts: 128, fuel: 50, mute: map[uint32]bool{}}
	for _, b := range []*byte{&is.speed, &is.volts, &is.fuel} {
		if odd(5) {
			*b = byte(s.Uint32())
		}
	}
	is.key, is.alarm, is.open, is.unproven, is.crash = odd(5), odd(5), odd(5), odd(8), odd(25)
	s.state = is
	for i, ids := range [][]uint32{{0x040, 0x0FD, 0x30B, 0x3C0, 0x6B8}, {0x366, 0x583, 0x6F1, 0x5A7, 0x6F0}} {
		for _, id := range ids {
			is.mute[id] = odd(20)
		}
		s.mean[streetBuses[i]] = slices.DeleteFunc(ids, func(uint32) bool { return !odd(6) })
	}
}

// say queues one frame of the car itself.
func (s *street) say(bus string, id uint32, n int, data uint64) {
	if s.state.mute[id] {
		return
	}
	f := canbus.Frame{ID: id, Len: uint8(n)}
	binary.LittleEndian.PutUint64(f.Data[:8], data)
	if of := s.model.byID[bus][id].check; of != nil {
		s.counters[id]++
		cfg := e2e.Config{Constants: of.constants}
		cfg.Protect(f.Data[:f.Len], s.counters[id])
	}
	s.batches[bus] = append(s.batches[bus], canbus.Rx{Frame: f, At: s.now})
}

// honest is what the car says in the 20 ms that end with step.
func (s *street) honest(step int) {
	is := &s.state
	s.say("drive", 0x0FD, 8, uint64(is.speed)<<32)
	if step%2 == 0 {
		s.say("drive", 0x30B, 8, uint64(is.speed/32)<<48)
		s.say("drive", 0x040, 8, one[is.crash]<<16)
	}
	if step%5 == 0 {
		s.say("drive", 0x3C0, 4, one[is.key || is.crash]<<17)
	}
	if step%10 == 0 {
		s.say("body", 0x583, 8, one[is.open]<<24|one[!is.unproven]<<54)
	}
	if step%25 == 0 {
		s.say("body", 0x366, 8, one[is.alarm]<<15)
		s.say("body", 0x6F1, 8, uint64(is.volts)<<32)
		s.say("drive", 0x6B8, 8, uint64(is.fuel&127)<<18)
	}
}

func (s *street) garbage(bus string) {
	f := canbus.Frame{ID: s.Uint32N(0x800), Len: 8}
	if ids := s.mean[bus]; len(ids) > 0 && s.IntN(3) == 0 {
		f.ID = ids[s.IntN(len(ids))]
	}
	if (s.model.byID[bus][f.ID] != nil || f.ID == 0x5A7) && !slices.Contains(s.mean[bus], f.ID) {
		f.ID = 0x555
	}
	switch s.IntN(16) {
	case 0:
		f.Len = uint8(s.IntN(9))
	case 1:
		f.Flags = canbus.Remote
	case 2:
		f.Flags = canbus.Error
	case 3:
		f.Flags, f.Len = canbus.FD, 12
	}
	for i := 0; i < int(f.Len) && f.Flags != canbus.Remote; i++ {
		f.Data[i] = byte(s.Uint32())
	}
	s.batches[bus] = append(s.batches[bus], canbus.Rx{Frame: f, At: s.now, Own: s.IntN(16) == 0})
	s.sent++
}

// pass lets 20 ms pass, in which frames arrive in any order.
func (s *street) pass(step int) {
	s.now = s.now.Add(20 * time.Millisecond)
	s.honest(step)
	for _, bus := range streetBuses {
		for range 10 {
			s.garbage(bus)
		}
		batch := s.batches[bus]
		s.Shuffle(len(batch), func(i, j int) { batch[i], batch[j] = batch[j], batch[i] })
		for i := range batch {
			s.model.look(bus, &batch[i], s.now)
		}
		s.feeds[bus].put(batch)
		s.batches[bus] = batch[:0]
	}
}

var (
	streetBuses = []string{"drive", "body"}
	one         = map[bool]uint64{true: 1}
)

func newStreet(t *testing.T) *street {
	s := &street{
		Rand: rand.New(rand.NewPCG(11, 13)), p: refcar(t), model: newModel(), now: noon,
		feeds: map[string]*feed{}, batches: map[string][]canbus.Rx{}, counters: map[uint32]uint8{},
		mean: map[string][]uint32{},
	}
	s.car = vehicle.New(s.p, func() time.Time { return s.now })
	for _, bus := range streetBuses {
		f := &feed{in: make(chan []canbus.Rx), idle: make(chan struct{})}
		s.feeds[bus], s.batches[bus] = f, nil
		var running sync.WaitGroup
		running.Go(func() { _ = s.car.Follow(t.Context(), bus, f) })
		t.Cleanup(func() {
			close(f.in)
			running.Wait()
		})
		<-f.idle
	}
	return s
}

// TestGuardsAmongGarbage: an operation is permitted when the last valid frames
// permit it, and never otherwise.
func TestGuardsAmongGarbage(t *testing.T) {
	s := newStreet(t)
	a := NewActuator(s.p, nil, nil)
	operations := []string{"lock", "unlock", "vent_start", "heat_start", "aux_stop", "horn_lights"}
	permitted, refused := map[string]int{}, map[string]int{}
	for step := 0; s.sent < *hostile; step++ {
		if step%150 == 0 { // each 3 s
			s.turn()
		}
		s.pass(step)
		state := s.car.State()
		for _, name := range operations {
			v, good := a.View(Job{Goal: Goal{Operation: name}}, state, s.now, false), s.model.good(name, s.now)
			switch {
			case v.Guard == "" && !good:
				t.Fatalf("step %d: %s is permitted, with %+v", step, name, s.state)
			case v.Guard == "":
				permitted[name]++
			case good && (v.Guard != wire.CommandCrash || s.model.crashed.IsZero()):
				// (a crash is remembered for longer where the other source goes on)
				t.Fatalf("step %d: %s is refused for %s, with %+v", step, name, v.Guard, s.state)
			default:
				refused[name]++
			}
		}
	}
	t.Logf("permitted %v, refused %v", permitted, refused)
	if *hostile >= 100_000 && (len(permitted) < len(operations) || len(refused) < len(operations)-1) { // aux_stop asks for nothing
		t.Error("an operation was never permitted, or never refused: nothing was shown")
	}
}

// allowedByHand is the allow-list of the reference car as its documents say it:
// identifier, length, the bits that may be set, and frames/s.
var allowedByHand = []struct {
	id         uint32 // extended if it is too large to be anything else
	len        int
	base, free uint64 // octet 0 in the lowest bits
	rate       int
}{
	{0x5A7, 8, 0, 0xF<<48 | 0x7FF<<53, 20},                // TM_01: horn, lock, unlock, hazard, signature
	{0x6F0, 8, 0, 0xFF | 0xF<<8 | 0xF<<12 | 0x3F<<16, 10}, // REF_Aux_Req: checksum, counter, command, mode, minutes
	{0x6F3, 4, 0, 0xFF | 0xF<<8 | 1<<16, 10},              // REF_KeyListen: checksum, counter, request
	{0x17330301, 8, 0x1F010040, 0, 3},                     // wakes the body bus
	{0x1B000067, 8, 0x1484411067, 0, 2},                   // keeps it awake
}

// admits is the line that a frame fits, -1 for none.
func admits(bus string, f *canbus.Frame) int {
	if bus != "body" || f.Flags&^canbus.Extended != 0 {
		return -1
	}
	first, rest := binary.LittleEndian.Uint64(f.Data[:8]), [56]byte(f.Data[8:])
	for i, l := range allowedByHand { // what lies beyond a length is not free either
		if l.id == f.ID && (l.id > canbus.MaxStandardID) == (f.Flags == canbus.Extended) && l.len == int(f.Len) && (first^l.base)&^l.free == 0 && rest == [56]byte{} {
			return i
		}
	}
	return -1
}

// nearlyAllowed is a frame of the list, and one time in two something about it is
// different; or just any frame.
func nearlyAllowed(r *rand.Rand) (string, canbus.Frame) {
	bus, l := "body", allowedByHand[r.IntN(len(allowedByHand))]
	f := canbus.Frame{ID: l.id, Len: uint8(l.len)}
	if l.id > canbus.MaxStandardID {
		f.Flags = canbus.Extended
	}
	binary.LittleEndian.PutUint64(f.Data[:8], l.base|r.Uint64()&l.free)
	switch r.IntN(24) {
	case 0:
		bus = []string{"drive", "fd", "", "Body"}[r.IntN(4)]
	case 1:
		f.ID ^= 1 << r.IntN(32)
	case 2, 3:
		f.Flags ^= canbus.Flags(1 << r.IntN(8))
	case 4, 5:
		f.Len = byte(r.Uint32())
	case 6, 7, 8, 9:
		f.Data[r.IntN(8)] ^= 1 << r.IntN(8)
	case 10:
		f.Data[r.IntN(64)] = byte(r.Uint32())
	case 11:
		f.ID, f.Flags, f.Data[0] = r.Uint32(), canbus.Flags(r.IntN(64)), byte(r.Uint32())
	}
	return bus, f
}

// TestGuardAgainstModel: of a million frames, the allow-list lets those through
// that are on it by hand, and of these no more than a bucket of its rate holds.
func TestGuardAgainstModel(t *testing.T) {
	r, g := rand.New(rand.NewPCG(17, 19)), NewGuard(refcar(t).Allowed())
	now := noon
	tokens := make([]float64, len(allowedByHand))
	for i, l := range allowedByHand {
		tokens[i] = float64(l.rate)
	}
	passed, late := make([]int, len(allowedByHand)), 0
	for n := range 1_000_000 {
		step := time.Duration(r.IntN(40)) * time.Millisecond
		now = now.Add(step)
		for i, l := range allowedByHand {
			tokens[i] = min(float64(l.rate), tokens[i]+step.Seconds()*float64(l.rate))
		}
		bus, f := nearlyAllowed(r)
		line, err := admits(bus, &f), g.Check(bus, f, now)
		const doubt = 1e-6 // of two ways to add fractions up
		switch {
		case err != nil && line >= 0 && tokens[line] >= 1+doubt:
			t.Fatalf("frame %d: %s %+v is refused: %v", n, bus, f, err)
		case err == nil && (line < 0 || tokens[line] < 1-doubt):
			t.Fatalf("frame %d: %s %+v may be sent", n, bus, f)
		case err == nil:
			tokens[line]--
			passed[line]++
		case line >= 0:
			late++
		}
	}
	if slices.Min(passed) < 1000 || late < 1000 {
		t.Errorf("passed %v, %d came too soon: nothing was shown", passed, late)
	}
}
