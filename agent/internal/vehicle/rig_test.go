package vehicle

import (
	"testing"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

// A rig is the reference car's profile, a car, and a clock that the test moves.
type rig struct {
	t        testing.TB
	profile  *profile.Profile
	car      *Car
	clock    time.Time
	counters map[string]uint8
}

func newRig(t testing.TB) *rig {
	t.Helper()
	p, _, err := profile.Load("../../../testdata/refcar/refcar.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return rigOf(t, p)
}

func rigOf(t testing.TB, p *profile.Profile) *rig {
	r := &rig{t: t, profile: p, clock: time.Unix(1_700_000_000, 0), counters: make(map[string]uint8)}
	r.car = New(p, func() time.Time { return r.clock })
	for i := range r.car.layout.buses {
		r.car.layout.buses[i].live.attach(canbus.NewMemory().Attach(1))
	}
	return r
}

func (r *rig) wait(d time.Duration) { r.clock = r.clock.Add(d) }

// frame is what the car would send: encoded, counted, protected.
func (r *rig) frame(bus, message string, sets ...dbc.Set) canbus.Frame {
	r.t.Helper()
	b, _ := r.profile.Bus(bus)
	m := b.DBC.Message(message)
	if m == nil {
		r.t.Fatalf("no message %s/%s", bus, message)
	}
	f, err := m.Encode(sets...)
	if err != nil {
		r.t.Fatal(err)
	}
	if of := r.profile.Message(bus, message); of != nil && of.E2E != nil {
		r.counters[message]++
		protection(of).Protect(f.Data[:f.Len], r.counters[message])
	}
	return f
}

func (r *rig) put(bus string, frames ...canbus.Frame) {
	r.t.Helper()
	i, ok := r.car.layout.busNumber(bus)
	if !ok {
		r.t.Fatalf("no bus %s", bus)
	}
	batch := make([]canbus.Rx, len(frames))
	for k, f := range frames {
		batch[k] = canbus.Rx{Frame: f, At: r.clock}
	}
	r.car.fold(i, batch, r.clock)
}

func (r *rig) send(bus, message string, sets ...dbc.Set) {
	r.t.Helper()
	r.put(bus, r.frame(bus, message, sets...))
}

// speed sends one good speed frame, in km/h, and lets its cycle pass.
func (r *rig) speed(kmh float64) {
	r.t.Helper()
	r.send("drive", "ESP_21", dbc.Physical("ESP_v_Signal", kmh))
	r.wait(20 * time.Millisecond)
}

// terminals sends one good frame of the ignition lock and lets its cycle pass.
func (r *rig) terminals(s, on int64) {
	r.t.Helper()
	r.send("drive", "Klemmen_Status_01", dbc.Raw("ZAS_Kl_S", s), dbc.Raw("ZAS_Kl_15", on))
	r.wait(20 * time.Millisecond)
}

func (r *rig) get(path string) Reading {
	r.t.Helper()
	return r.car.State().Get(profile.Must(path), r.clock)
}

func (r *rig) want(path string, v Value) {
	r.t.Helper()
	if got := r.get(path); got.Quality != Good || got.Value != v {
		r.t.Errorf("%s is %v (%s), want %v", path, got.Value, got.Quality, v)
	}
}

func (r *rig) wantQuality(path string, q Quality) {
	r.t.Helper()
	if got := r.get(path); got.Quality != q || q != Good && got.Value != (Value{}) {
		r.t.Errorf("%s is %v (%s), want %s and no value", path, got.Value, got.Quality, q)
	}
}
