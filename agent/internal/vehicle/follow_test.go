package vehicle

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

// A frame whose payload is the same costs no memory, nor does one with a counter
// that moves and the same content.
func TestUnchangedFramesAllocateNothing(t *testing.T) {
	r := newRig(t)
	plain := r.frame("body", "ZV_02", dbc.Raw("ZV_ist_Zustand_verfuegbar", 1))
	var protected [16]canbus.Frame
	for i := range protected {
		protected[i] = r.frame("drive", "ESP_21", dbc.Physical("ESP_v_Signal", 50))
	}
	r.put("drive", protected[:]...)
	r.put("body", plain)
	drive, _ := r.car.layout.busNumber("drive")
	body, _ := r.car.layout.busNumber("body")
	var batch [16]canbus.Rx
	for i := range batch {
		batch[i].Frame = protected[i]
	}
	one := []canbus.Rx{{Frame: plain}}
	if n := testing.AllocsPerRun(100, func() {
		r.car.fold(drive, batch[:], r.clock)
		r.car.fold(body, one, r.clock)
	}); n != 0 {
		t.Errorf("%v allocations in 17 frames that say nothing new", n)
	}
	if r.car.State().Counts("drive", "ESP_21").OK.Load() < 1600 {
		t.Error("the protected frames were dropped: nothing was measured")
	}
}

// Whatever the raw value, the reading is the value that was meant, or none.
func TestNothingIsClamped(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leaf := profile.Must(rapid.SampledFrom([]string{
			"Vehicle.Cabin.Sunroof.Position", "Vehicle.TraveledDistance", pathSpeed,
			"Vehicle.Powertrain.FuelSystem.RelativeLevel", "Vehicle.Service.TimeToService",
		}).Draw(t, "path")).Leaf()
		x := rapid.Float64().Draw(t, "x")
		v, q := convert(x, &leaf)
		switch {
		case q == Good && (x < leaf.Min || x > leaf.Max):
			t.Fatalf("%g is good, beyond [%g, %g]", x, leaf.Min, leaf.Max)
		case q == Good && math.Abs(v.Float()-x) > 1e-6*max(1, math.Abs(x)):
			t.Fatalf("%g became %v", x, v)
		case q != Good && v != (Value{}):
			t.Fatalf("%s has the value %v", q, v)
		}
	})
}

// However frames and time run, a good reading was heard within its time.
func TestGoodIsFresh(t *testing.T) {
	base := newRig(t)
	rapid.Check(t, func(t *rapid.T) {
		r := &rig{t: base.t, profile: base.profile, clock: base.clock, counters: map[string]uint8{}}
		r.car = New(r.profile, func() time.Time { return r.clock })
		var heard time.Time
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "frame") {
				r.send("body", "ZV_02", dbc.Raw("ZV_FT_offen", rapid.Int64Range(0, 1).Draw(t, "door")), dbc.Raw("ZV_ist_Zustand_verfuegbar", 1))
				heard = r.clock
			}
			r.wait(time.Duration(rapid.IntRange(0, 900).Draw(t, "ms")) * time.Millisecond)
			got := r.get(pathDoor)
			switch {
			case got.Good() != (!heard.IsZero() && r.clock.Sub(heard) <= 600*time.Millisecond):
				t.Fatalf("%s, last heard %v ago", got.Quality, r.clock.Sub(heard))
			case got.Good() && !got.At.Equal(heard):
				t.Fatalf("measured at %v, heard at %v", got.At, heard)
			case got.Good():
				next := r.car.State().NextStale(r.clock)
				if r.car.State().Get(profile.Must(pathDoor), next).Good() && next.After(heard.Add(600*time.Millisecond)) {
					t.Fatalf("still good at %v, when it should go stale", next.Sub(heard))
				}
			}
		}
	})
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		car := New(r.profile, time.Now)
		mem := canbus.NewMemory()
		end, other := mem.Attach(0), mem.Attach(0)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- car.Follow(ctx, "body", end) }()
		synctest.Wait()
		if s := car.State().Bus("body", time.Now()).State; s != canbus.Silent {
			t.Errorf("bus is %s before the first frame", s)
		}
		if err := other.Send(ctx, r.frame("body", "ZV_02", dbc.Raw("ZV_FT_offen", 1), dbc.Raw("ZV_ist_Zustand_verfuegbar", 1))); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := car.State().Get(profile.Must(pathDoor), time.Now()); got.Value != profile.Bool(true) {
			t.Errorf("door is %v (%s)", got.Value, got.Quality)
		}
		if h := car.State().Bus("body", time.Now()); h.State != canbus.OK || !h.LastFrame.Equal(time.Now()) || h.Stats.Received != 1 {
			t.Errorf("bus health is %+v", h)
		}
		next := car.State().NextStale(time.Now())
		time.Sleep(time.Until(next))
		if q := car.State().Get(profile.Must(pathDoor), time.Now()).Quality; q != Stale {
			t.Errorf("door is %s at the moment NextStale named", q)
		}
		time.Sleep(5 * time.Second)
		if s := car.State().Bus("body", time.Now()).State; s != canbus.Silent {
			t.Errorf("bus is %s after 5 s without a frame", s)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Follow ended with %v", err)
		}
		if s := car.State().Bus("body", time.Now()).State; s != canbus.Gone {
			t.Errorf("bus is %s without a reader", s)
		}
	})
}

func TestFollowWantsAKnownBus(t *testing.T) {
	r := newRig(t)
	if err := r.car.Follow(t.Context(), "boot", canbus.NewMemory().Attach(1)); err == nil {
		t.Error("a bus that the profile lacks was followed")
	}
}

// BenchmarkFold is the reference car at full rate: one batch of 64 frames, most
// with a counter that moves, one with news.
func BenchmarkFold(b *testing.B) {
	r := newRig(b)
	var batch [1024]canbus.Rx
	for i := range batch {
		switch i % 4 {
		case 0:
			batch[i].Frame = r.frame("drive", "ESP_21", dbc.Raw("ESP_v_Signal", int64(5000+i/64)))
		case 1:
			batch[i].Frame = r.frame("drive", "Airbag_01")
		case 2:
			batch[i].Frame = r.frame("drive", "Kombi_01", dbc.Raw("KBI_angez_Geschw", 100))
		case 3:
			batch[i].Frame = canbus.Frame{ID: 0x100 + uint32(i), Len: 8}
		}
	}
	drive, _ := r.car.layout.busNumber("drive")
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		r.car.fold(drive, batch[n:n+64], r.clock)
		n = (n + 64) % len(batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*64), "ns/frame")
}

func BenchmarkUnchanged(b *testing.B) {
	r := newRig(b)
	one := []canbus.Rx{{Frame: r.frame("body", "ZV_02", dbc.Raw("ZV_ist_Zustand_verfuegbar", 1))}}
	body, _ := r.car.layout.busNumber("body")
	b.ReportAllocs()
	for b.Loop() {
		r.car.fold(body, one, r.clock)
	}
}
