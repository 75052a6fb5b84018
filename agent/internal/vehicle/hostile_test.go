package vehicle

import (
	"flag"
	"math/bits"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
	"github.com/headunit-agent/headunit/canbus/e2e"
)

var hostile = flag.Int("hostile", 200_000, "how many random frames TestHostileBus sends")

// A vandal makes frames that no car would send: biased to the identifiers that
// the profile knows, everything else by chance.
type vandal struct {
	*rand.Rand
	known   []canbus.Flags // by known identifier: Extended or not
	ids     []uint32
	counter uint8 // of the one message that is forged well, half of the time
	made    int
}

func newVandal(p *profile.Profile, bus string, seed uint64) *vandal {
	v := &vandal{Rand: rand.New(rand.NewPCG(seed, 0xCA5))}
	add := func(id uint32, extended bool) {
		f := canbus.Flags(0)
		if extended {
			f = canbus.Extended
		}
		v.ids, v.known = append(v.ids, id), append(v.known, f)
	}
	for _, m := range p.Messages {
		if m.Bus == bus {
			add(m.DBC.ID, m.DBC.Extended)
		}
	}
	for _, a := range p.Allowed() {
		if a.Bus == bus {
			add(a.ID, a.Extended)
		}
	}
	return v
}

// frame is one of them. One in a thousand is none that a device could give:
// longer than any frame, or with an identifier too large.
func (v *vandal) frame() (f canbus.Frame) {
	if i := v.IntN(2 * len(v.ids)); i < len(v.ids) {
		f.ID, f.Flags = v.ids[i], v.known[i]
	} else if f.ID = v.Uint32N(canbus.MaxStandardID + 1); v.IntN(4) == 0 {
		f.ID, f.Flags = v.Uint32N(canbus.MaxExtendedID+1), canbus.Extended
	}
	f.Len = 8
	switch v.IntN(20) {
	case 0:
		f.Len = uint8(v.IntN(canbus.MaxLen + 1))
	case 1:
		f.Flags, f.Len = f.Flags|canbus.FD, uint8(canbus.LenOf(uint8(v.IntN(16)), true))
	case 2:
		f.Flags |= canbus.Remote
	case 3:
		f.Flags = canbus.Error
	}
	if f.Flags&canbus.Remote == 0 {
		for i := range min(int(f.Len), len(f.Data)) {
			f.Data[i] = byte(v.Uint32())
		}
	}
	if v.made++; f.ID == 0x3C0 && v.made/10_000%2 == 0 && v.IntN(2) == 0 {
		v.counter += uint8(v.IntN(5))
		forged.Protect(f.Data[:min(int(f.Len), len(f.Data))], v.counter)
	}
	if v.IntN(1000) == 0 {
		f.Len, f.ID, f.Flags = byte(v.Uint32()), v.Uint32(), f.Flags^canbus.Flags(v.Uint32())
	}
	return f
}

// forged is how Klemmen_Status_01 is protected.
var forged = e2e.Constant(0xC3)

// pack makes a batch that arrives at once.
func (v *vandal) pack(batch []canbus.Rx, at time.Time) {
	for i := range batch {
		batch[i] = canbus.Rx{Frame: v.frame(), At: at, Own: v.IntN(20) == 0}
	}
}

// heardKey is an ignition lock as the profile describes it, with a checksum of
// its own: the model of the one value that protected frames alone give.
type heardKey struct {
	counter   byte
	seen      bool
	heard, at time.Time
	raw       byte
	good      bool // ever
}

// crc8 is the checksum of a protected frame, bit by bit.
func crc8(data []byte, constant byte) byte {
	crc := byte(0xFF)
	for _, b := range append(append([]byte(nil), data[1:]...), constant) {
		crc ^= b
		for range 8 {
			top := crc & 0x80
			if crc <<= 1; top != 0 {
				crc ^= 0x2F
			}
		}
	}
	return ^crc
}

func (k *heardKey) look(rx *canbus.Rx, now time.Time) {
	if rx.ID != 0x3C0 || rx.Own || rx.Flags&(canbus.Extended|canbus.Error|canbus.Remote) != 0 {
		return
	}
	if now.Sub(k.heard) > 1500*time.Millisecond { // 15 cycles of 100 ms
		k.seen = false
	}
	k.heard = now
	data := rx.Data[:min(int(rx.Len), len(rx.Data))]
	if len(data) < 2 || data[0] != crc8(data, 0xC3) {
		return
	}
	step := (data[1] - k.counter) & 15
	was := k.seen
	k.seen, k.counter = true, data[1]&15
	if was && 1 <= step && step <= 3 {
		k.good, k.at, k.raw = len(data) >= 3, now, rx.Data[2]
	}
}

// wants is what the ignition's reading must be.
func (k *heardKey) wants(now time.Time) (word string, good bool) {
	if !k.good || now.Sub(k.at) > 300*time.Millisecond {
		return "", false
	}
	switch {
	case k.raw&8 != 0:
		return "START", true
	case k.raw&2 != 0:
		return "ON", true
	case k.raw&1 != 0:
		return "ACC", true
	}
	return "OFF", true
}

// TestHostileBus: whatever a bus carries, the car falls over nothing, keeps
// nothing, believes no crash, and its answers fit together.
func TestHostileBus(t *testing.T) {
	r := newRig(t)
	type side struct {
		name string
		*vandal
	}
	var sides []side
	for i, b := range r.profile.Buses {
		sides = append(sides, side{b.Name, newVandal(r.profile, b.Name, uint64(i+1))})
	}
	numbers := make([]int, len(sides))
	for i := range sides {
		numbers[i], _ = r.car.layout.busNumber(sides[i].name)
	}
	batch := make([]canbus.Rx, 20)
	key, seen := heardKey{}, newSeen()
	paths := r.profile.Paths()
	var before int64
	var old remembered
	rounds := *hostile / len(batch)
	for round := range rounds {
		if round == rounds/4 { // every cell, and every last value, is there
			before = heapLive()
		}
		r.wait(time.Millisecond) // 20,000 frames/s
		i := round % len(sides)
		sides[i].pack(batch, r.clock)
		if sides[i].name == "drive" {
			for k := range batch {
				key.look(&batch[k], r.clock)
			}
		}
		r.car.fold(numbers[i], batch, r.clock)
		state := r.car.State()
		if state.Get(crashDetected, r.clock).Value.Bool() {
			t.Fatalf("round %d: a crash is believed", round)
		}
		word, good := key.wants(r.clock)
		if got := state.Get(ignition, r.clock); got.Good() != good || got.Value.Word() != word {
			t.Fatalf("round %d: the ignition is %v (%s), and the frames say %q", round, got.Value, got.Quality, word)
		}
		if round%64 == 0 {
			consistent(t, r, state, paths, seen)
			old.unchanged(t, paths)
			old = remember(state, paths, r.clock)
		}
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	if growth := heapLive() - before; rounds > 1000 && growth > 128<<10 {
		t.Errorf("the heap grew by %d octets in %d frames", growth, *hostile)
	}
	if *hostile >= 200_000 && (seen.moving == 0 || len(seen.good) < 40) {
		t.Errorf("%d times moving, %d paths good: too little got through to show anything", seen.moving, len(seen.good))
	}
}

// seen is how much of the state came alive.
type seen struct {
	good   map[profile.Path]bool
	moving int
}

func newSeen() *seen { return &seen{good: make(map[profile.Path]bool)} }

// consistent holds the answers of one state against each other and the catalogue.
func consistent(t *testing.T, r *rig, s *State, paths []profile.Path, is *seen) {
	t.Helper()
	for _, p := range paths {
		got, leaf := s.Get(p, r.clock), p.Leaf()
		if got != s.Get(p, r.clock) {
			t.Errorf("%s differs when asked again", p)
		}
		if got.At.After(r.clock) {
			t.Errorf("%s is of %v to come", p, got.At.Sub(r.clock))
		}
		if !got.Good() {
			if got.Value != (Value{}) {
				t.Errorf("%s is %s and has the value %v", p, got.Quality, got.Value)
			}
			continue
		}
		is.good[p] = true
		if got.At.IsZero() || got.Value.Kind() == profile.NoValue {
			t.Errorf("%s is good, of %v, with %v", p, got.At, got.Value)
		}
		if x := got.Value.Float(); leaf.Type.Number() && (x < leaf.Min || x > leaf.Max || x != x) {
			t.Errorf("%s is %v, outside %g to %g", p, got.Value, leaf.Min, leaf.Max)
		}
		// A crash is no source of that list.
		if last := s.Last(p); p != crashDetected && (!last.Good() || last.At.Before(got.At)) {
			t.Errorf("%s is good at %v, and the last good one is %s at %v", p, got.At, last.Quality, last.At)
		}
	}
	answers(t, s, r.clock, is)
	for ref, n := range r.car.layout.byRef {
		got, d := s.Signal(ref, r.clock), r.profile.Signal(ref)
		if got.Good() && !d.Signed && d.Size < 64 && bits.Len64(uint64(got.Value.Int())) > d.Size {
			t.Errorf("%s (%d) is %v in %d bits", ref, n, got.Value, d.Size)
		}
	}
	if next := s.NextStale(r.clock); !next.IsZero() && !next.After(r.clock) {
		t.Errorf("the next change was %v ago", r.clock.Sub(next))
	}
	for _, a := range r.profile.Allowed() {
		if at := s.LastForeign(a.Bus, a.ID, a.Extended); at.After(r.clock) {
			t.Errorf("somebody else commands at %v", at)
		}
	}
}

func answers(t *testing.T, s *State, now time.Time, is *seen) {
	t.Helper()
	v, lock, crash := s.Get(speed, now), s.Get(ignition, now), s.Get(crashDetected, now)
	switch s.Stationary(now) {
	case Yes:
		if !v.Good() || v.Value.Float() >= 0.5 {
			t.Errorf("stationary, at %v (%s)", v.Value, v.Quality)
		}
	case No:
		is.moving++
		if !v.Good() || v.Value.Float() < 0.5 {
			t.Errorf("moving, at %v (%s)", v.Value, v.Quality)
		}
	case Unknown:
	}
	if off := s.IgnitionOff(now); off != Unknown && (!lock.Good() || (off == Yes) != (lock.Value.Word() == "OFF")) {
		t.Errorf("ignition off: %s, with %v (%s)", off, lock.Value, lock.Quality)
	}
	if none := s.NoCrash(now); none != Unknown && (!crash.Good() || (none == Yes) == crash.Value.Bool()) {
		t.Errorf("no crash: %s, with %v (%s)", none, crash.Value, crash.Quality)
	}
}

// remembered is what a state said of a moment.
type remembered struct {
	state *State
	at    time.Time
	said  []Reading
}

func remember(s *State, paths []profile.Path, now time.Time) remembered {
	m := remembered{state: s, at: now}
	for _, p := range paths {
		m.said = append(m.said, s.Get(p, now), s.Last(p))
	}
	return m
}

// unchanged: it still says the same, whatever came since. Only the time up to
// which it was true may have run on.
func (m *remembered) unchanged(t *testing.T, paths []profile.Path) {
	t.Helper()
	if m.state == nil {
		return
	}
	for i, now := range remember(m.state, paths, m.at).said {
		was := m.said[i]
		if i%2 == 1 && now.Source != was.Source && now.At.After(was.At) { // of Last: another source was true for longer
			continue
		}
		if now.Value != was.Value || now.Quality != was.Quality || now.At.Before(was.At) {
			t.Errorf("%s of one state was %v (%s), and now is %v (%s)", paths[i/2], was.Value, was.Quality, now.Value, now.Quality)
		}
	}
}

// TestHostileCrash: frames that are whole, and yet lack one thing of what makes a
// crash, whatever else they say.
func TestHostileCrash(t *testing.T) {
	airbag := e2e.Constant(0x40)
	const crashes, active, terminal15 = 0x1F, 0x30, 2 // octets 2, 3 of Airbag_01; octet 2 of Klemmen_Status_01
	for name, edit := range map[string]struct {
		airbag func(v *vandal, n int, f *canbus.Frame) (counter int)
		off    bool // the ignition
		every  time.Duration
		want   bool
	}{
		"nothing is missing":    {airbag: func(_ *vandal, n int, f *canbus.Frame) int { f.Data[2], f.Data[3] = 1, 0; return n }, want: true},
		"the counter stands":    {airbag: func(_ *vandal, _ int, f *canbus.Frame) int { f.Data[3] &^= active; return 7 }},
		"the counter skips":     {airbag: func(_ *vandal, n int, f *canbus.Frame) int { f.Data[3] &^= active; return 5 * n }},
		"the counter runs back": {airbag: func(_ *vandal, n int, f *canbus.Frame) int { f.Data[3] &^= active; return -n }},
		"never twice the same": {airbag: func(_ *vandal, n int, f *canbus.Frame) int {
			f.Data[2] = f.Data[2]&^crashes | 1<<(n%5)
			return n
		}},
		"no bit": {airbag: func(_ *vandal, n int, f *canbus.Frame) int { f.Data[2] &^= crashes; return n }},
		"actuator test or diagnosis": {airbag: func(v *vandal, n int, f *canbus.Frame) int {
			f.Data[3] = f.Data[3]&^active | byte(v.IntN(3)+1)<<4
			return n
		}},
		"the ignition was off": {airbag: func(_ *vandal, n int, f *canbus.Frame) int { f.Data[3] &^= active; return n }, off: true},
		"too far apart": {
			airbag: func(_ *vandal, n int, f *canbus.Frame) int { f.Data[3] &^= active; return n },
			every:  201 * time.Millisecond,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, v := newRig(t), rand.New(rand.NewPCG(7, 7))
			drive := &vandal{Rand: v}
			for n := range 2000 {
				r.wait(max(edit.every, 20*time.Millisecond))
				lock := canbus.Frame{ID: 0x3C0, Len: 4, Data: [64]byte{2: terminal15}}
				if edit.off {
					lock.Data[2] = byte(v.Uint32()) &^ terminal15
				}
				forged.Protect(lock.Data[:lock.Len], uint8(n))
				f := canbus.Frame{ID: 0x40, Len: 8}
				for i := range f.Len {
					f.Data[i] = byte(v.Uint32())
				}
				airbag.Protect(f.Data[:f.Len], uint8(edit.airbag(drive, n, &f)))
				r.put("drive", lock, f)
				if r.get(profile.CrashDetected).Value.Bool() {
					if !edit.want {
						t.Fatalf("frame %d: a crash is believed", n)
					}
					return
				}
			}
			if edit.want {
				t.Error("a crash is not believed")
			}
		})
	}
}

// A bus of garbage does not hide the crash of a car that goes on talking.
func TestCrashAmongGarbage(t *testing.T) {
	r := newRig(t)
	v := newVandal(r.profile, "body", 3)
	batch := make([]canbus.Rx, 20)
	body, _ := r.car.layout.busNumber("body")
	for range 5 {
		r.terminals(1, 1)
		v.pack(batch, r.clock)
		r.car.fold(body, batch, r.clock)
	}
	for range 3 {
		r.send("drive", "Airbag_01", dbc.Raw("AB_Front_Crash", 1))
		v.pack(batch, r.clock)
		r.car.fold(body, batch, r.clock)
		r.wait(20 * time.Millisecond)
	}
	r.want(profile.CrashDetected, profile.Bool(true))
}

// TestFloodOfChance: random frames with the identifiers of airbag and ignition
// are right by chance now and then, one in 256. That is no crash: it would take two
// that follow each other, with bits that fit.
func TestFloodOfChance(t *testing.T) {
	t.Parallel()
	pairs := 300_000
	if testing.Short() {
		pairs = 30_000
	}
	for seed := range uint64(4) {
		r := newRig(t)
		random := rand.New(rand.NewPCG(seed, 0))
		for range pairs {
			for _, f := range []canbus.Frame{{ID: 0x040, Len: 8}, {ID: 0x3C0, Len: 4}} {
				for i := range f.Len {
					f.Data[i] = byte(random.Uint32())
				}
				r.clock = r.clock.Add(250 * time.Microsecond)
				r.car.fold(0, []canbus.Rx{{Frame: f}}, r.clock)
			}
			if r.car.State().Get(crashDetected, r.clock).Value.Bool() {
				t.Fatalf("seed %d: a crash was believed", seed)
			}
		}
	}
}
