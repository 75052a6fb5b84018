package watch

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
)

// The frames were worked out by hand from the reference car's layout.
func TestWhatIsSaidIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, err := profile.Load("../../testdata/refcar/refcar.yaml")
		if err != nil {
			t.Fatal(err)
		}
		bus := canbus.NewMemory()
		ctx, cancel := context.WithCancel(t.Context())
		car, end, over := New(p, time.Now), bus.Attach(0), make(chan error, 1)
		go func() { over <- car.Follow(ctx, "body", end) }()
		synctest.Wait()
		send := func(f canbus.Frame) {
			if err := bus.Attach(1).Send(ctx, f); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		send(canbus.Frame{ID: 0x65A, Len: 8, Data: [64]byte{3: 0x80}})               // 31|1: the bonnet is open
		send(canbus.Frame{ID: 0x3D0, Len: 8, Data: [64]byte{3: 81}})                 // 24|8 (0.5): 40.5 %
		send(canbus.Frame{ID: 0x6F1, Len: 8, Data: [64]byte{0: 0x11, 1: 1, 4: 126}}) // a wrong checksum
		want := func(path string, v profile.Value, quality string, age time.Duration) {
			t.Helper()
			for _, r := range car.Readings() {
				if r.Path.String() == path && (r.Value != v || r.Quality != quality || r.Age != age) {
					t.Errorf("%s is %v (%s) of %v, want %v (%s) of %v", path, r.Value, r.Quality, r.Age, v, quality, age)
				}
			}
		}
		time.Sleep(100 * time.Millisecond)
		want("Vehicle.Body.Hood.IsOpen", profile.Bool(true), "good", 100*time.Millisecond)
		want("Vehicle.Cabin.Door.Row1.DriverSide.Window.Position", profile.Int(41), "good", 100*time.Millisecond)
		want("Vehicle.LowVoltageBattery.CurrentVoltage", profile.Value{}, "never", -1)
		want("Vehicle.Speed", profile.Value{}, "never", -1)
		time.Sleep(2 * time.Second)
		want("Vehicle.Body.Hood.IsOpen", profile.Bool(true), "stale", 2100*time.Millisecond)
		for _, p := range car.Protections() {
			if p.Message == "REF_Aux_State" && (p.Wrong != 1 || !p.Failed()) {
				t.Errorf("%+v, want one wrong checksum", p)
			}
		}
		if state, _ := car.Health("body"); state != canbus.OK {
			t.Errorf("the body bus is %s", state)
		}
		if state, _ := car.Health("drive"); state != canbus.Gone {
			t.Errorf("the drive bus, which nobody follows, is %s", state)
		}
		cancel()
		if err := <-over; !errors.Is(err, context.Canceled) {
			t.Errorf("following ended with %v", err)
		}
	})
}
