package vehicle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

const (
	pathSpeed    = "Vehicle.Speed"
	pathIgnition = "Vehicle.LowVoltageSystemState"
	pathLock     = "Vehicle.Body.CentralLocking.State"
	pathDoor     = "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen"
)

func TestEveryQualityIsItself(t *testing.T) {
	r := newRig(t)
	r.wantQuality(pathSpeed, Never)
	r.wantQuality(pathDoor, Never)
	r.speed(50) // the first frame of a protected message proves nothing yet
	r.wantQuality(pathSpeed, Never)
	r.speed(50)
	r.want(pathSpeed, profile.Float(50))
	r.send("drive", "ESP_21", dbc.Raw("ESP_v_Signal", 65534))
	r.wantQuality(pathSpeed, Unavailable) // not 655.34 km/h
	r.send("drive", "ESP_21", dbc.Raw("ESP_v_Signal", 5000), dbc.Raw("ESP_QBit_v_Signal", 1))
	r.wantQuality(pathSpeed, Unavailable)
	r.send("drive", "ESP_21", dbc.Raw("ESP_v_Signal", 40001)) // 400.01 km/h
	r.wantQuality(pathSpeed, Range)
	r.speed(3)
	r.want(pathSpeed, profile.Float(3))
	r.wait(200 * time.Millisecond)
	r.wantQuality(pathSpeed, Stale)
}

func TestZeroReadingIsNever(t *testing.T) {
	if (Reading{}).Good() {
		t.Error("a reading that nobody filled is good")
	}
	if q := newRig(t).car.State().Get(60000, time.Now()).Quality; q != Never {
		t.Errorf("a path beyond the catalogue is %s", q)
	}
}

func TestShortFrameLacksOnlyWhatIsBeyondIt(t *testing.T) {
	r := newRig(t)
	f := r.frame("drive", "Gateway_73", dbc.Raw("GE_Fahrstufe", 5), dbc.Raw("EPB_Status", 1))
	f.Len, f.Data[6], f.Data[7] = 6, 0, 0
	r.put("drive", f)
	r.want("Vehicle.Powertrain.Transmission.SelectedGear", profile.Int(126))
	r.wantQuality("Vehicle.Chassis.ParkingBrake.IsEngaged", Unavailable)
}

func TestSourcesInOrder(t *testing.T) {
	r := newRig(t)
	r.send("drive", "Kombi_01", dbc.Raw("KBI_angez_Geschw", 100)) // 32 km/h
	r.want(pathSpeed, profile.Float(32))
	if s := r.get(pathSpeed).Source; s != 1 {
		t.Errorf("source %d, want the second", s)
	}
	r.speed(30)
	r.speed(30)
	at := r.get(pathSpeed).At
	r.want(pathSpeed, profile.Float(30))
	r.send("drive", "Kombi_01", dbc.Raw("KBI_angez_Geschw", 100))
	r.want(pathSpeed, profile.Float(30))
	if got := r.get(pathSpeed); got.Source != 0 || !got.At.Equal(at) {
		t.Errorf("source %d at %v, want the first at its own time %v", got.Source, got.At, at)
	}
	r.wait(181 * time.Millisecond) // the first source is over, the second is not: its cycle is 40 ms
	r.send("drive", "Kombi_01", dbc.Raw("KBI_angez_Geschw", 100))
	r.want(pathSpeed, profile.Float(32))
}

func TestRules(t *testing.T) {
	r := newRig(t)
	r.wantQuality(pathIgnition, Never)
	for range 2 {
		r.terminals(1, 1)
	}
	r.want(pathIgnition, profile.Word("ON"))
	r.terminals(1, 0)
	r.want(pathIgnition, profile.Word("ACC"))
	r.terminals(0, 0)
	r.want(pathIgnition, profile.Word("OFF"))
	r.send("body", "ZV_02", dbc.Raw("ZV_verriegelt_extern_ist", 1), dbc.Raw("ZV_ist_Zustand_verfuegbar", 1))
	r.want(pathLock, profile.Word("LOCKED"))
	r.send("body", "ZV_02", dbc.Raw("ZV_verriegelt_extern_ist", 1), dbc.Raw("ZV_gesafet_extern_ist", 1), dbc.Raw("ZV_ist_Zustand_verfuegbar", 1))
	r.want(pathLock, profile.Word("DEADLOCKED"))
	r.send("body", "ZV_02", dbc.Raw("ZV_verriegelt_extern_ist", 1)) // the door units do not answer
	r.wantQuality(pathLock, Unavailable)
	r.wantQuality(pathDoor, Unavailable)
}

func TestTransformations(t *testing.T) {
	r := newRig(t)
	r.send("drive", "Kombi_02", dbc.Raw("KBI_Kilometerstand", 123456), dbc.Raw("KBI_Aussen_Temp_gef", 80))
	r.want("Vehicle.TraveledDistance", profile.Int(123456000))
	r.want("Vehicle.Exterior.AirTemperature", profile.Float(-10))
	r.send("body", "TSG_FT_01", dbc.Raw("FT_FH_Oeffnung", 81)) // 40.5 %
	r.want("Vehicle.Cabin.Door.Row1.DriverSide.Window.Position", profile.Int(41))
	r.send("body", "TSG_FT_01", dbc.Raw("FT_FH_Oeffnung", 201)) // 100.5 %: not 100
	r.wantQuality("Vehicle.Cabin.Door.Row1.DriverSide.Window.Position", Range)
	r.send("drive", "Gateway_73", dbc.Raw("GE_Fahrstufe", 6), dbc.Raw("EPB_Status", 0))
	r.want("Vehicle.Powertrain.Transmission.SelectedGear", profile.Int(-1))
	r.want("Vehicle.Chassis.ParkingBrake.IsEngaged", profile.Bool(false)) // other
	r.send("drive", "Gateway_73", dbc.Raw("GE_Fahrstufe", 4), dbc.Raw("EPB_Status", 7))
	r.wantQuality("Vehicle.Powertrain.Transmission.SelectedGear", Unavailable) // not in the map
	r.wantQuality("Vehicle.Chassis.ParkingBrake.IsEngaged", Unavailable)
	r.send("body", "Blinkmodi_02", dbc.Raw("DWA_Alarmquelle", 11))
	r.want("Vehicle.Body.TheftAlarm.Source", profile.Word("TILT"))
	r.send("body", "Blinkmodi_02", dbc.Raw("DWA_Alarmquelle", 29)) // no text
	r.wantQuality("Vehicle.Body.TheftAlarm.Source", Unavailable)
	r.send("fd", "REF_HV_01", dbc.Raw("REF_SoC", 111))
	r.want("Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed", profile.Float(55.5))
}

func TestDroppedFramesChangeNothing(t *testing.T) {
	r := newRig(t)
	r.speed(10)
	r.speed(10)
	bad := r.frame("drive", "ESP_21", dbc.Physical("ESP_v_Signal", 99))
	r.counters["ESP_21"]--
	bad.Data[0] ^= 1
	r.put("drive", bad)
	r.want(pathSpeed, profile.Float(10))
	good := r.frame("drive", "ESP_21", dbc.Physical("ESP_v_Signal", 11))
	r.put("drive", good)
	at := r.get(pathSpeed).At
	r.wait(50 * time.Millisecond)
	r.put("drive", good) // a frozen counter does not refresh
	if got := r.get(pathSpeed); !got.At.Equal(at) {
		t.Errorf("a repeated counter moved the time by %v", got.At.Sub(at))
	}
	r.wait(151 * time.Millisecond)
	r.put("drive", good)
	r.wantQuality(pathSpeed, Stale)
	n := r.car.State().Counts("drive", "ESP_21")
	if n.CRC.Load() != 1 || n.Repeated.Load() != 2 || n.First.Load() != 1 || n.OK.Load() != 2 {
		t.Errorf("counted %d bad, %d repeated, %d first, %d good", n.CRC.Load(), n.Repeated.Load(), n.First.Load(), n.OK.Load())
	}
	r.wait(-120 * time.Millisecond)
	r.counters["ESP_21"] += 7 // a gap: two good frames in order are needed again
	r.speed(77)
	r.want(pathSpeed, profile.Float(11))
	r.speed(77)
	r.want(pathSpeed, profile.Float(77))
	r.wait(301 * time.Millisecond) // the counter may have gone round
	r.speed(5)
	r.wantQuality(pathSpeed, Stale)
	r.speed(5)
	r.want(pathSpeed, profile.Float(5))
}

// An old state must not say that an old value holds later than it did: that
// would confirm an operation that did not happen.
func TestOldStateKeepsItsTime(t *testing.T) {
	r := newRig(t)
	lock := func(v int64) {
		r.send("body", "ZV_02", dbc.Raw("ZV_verriegelt_extern_ist", v), dbc.Raw("ZV_ist_Zustand_verfuegbar", 1))
	}
	lock(1)
	old := r.car.State()
	r.wait(100 * time.Millisecond)
	lock(1)
	if r.car.State() != old {
		t.Fatal("a payload that did not change made a new state")
	}
	if got := old.Get(profile.Must(pathLock), r.clock); !got.At.Equal(r.clock) {
		t.Errorf("an unchanged payload did not refresh: %v old", r.clock.Sub(got.At))
	}
	held := r.clock
	for range 3 {
		r.wait(100 * time.Millisecond)
		lock(0)
	}
	if got := old.Get(profile.Must(pathLock), r.clock); !got.At.Equal(held) {
		t.Errorf("the old state says LOCKED as of %v after it ended", got.At.Sub(held))
	}
	r.want(pathLock, profile.Word("UNLOCKED"))
}

func TestComingBackIsNews(t *testing.T) {
	r := newRig(t)
	send := func() { r.send("body", "ZV_02", dbc.Raw("ZV_FT_offen", 1), dbc.Raw("ZV_ist_Zustand_verfuegbar", 1)) }
	send()
	<-r.car.Changed()
	r.wait(601 * time.Millisecond)
	r.wantQuality(pathDoor, Stale)
	send()
	select {
	case <-r.car.Changed():
	default:
		t.Error("nobody was told that the door is good again")
	}
	r.want(pathDoor, profile.Bool(true))
}

func TestLastGoodValueHasItsAge(t *testing.T) {
	r := newRig(t)
	if q := r.car.State().Last(profile.Must(pathSpeed)).Quality; q != Never {
		t.Errorf("last is %s before the first", q)
	}
	r.speed(10)
	for range 9 {
		r.speed(10)
	}
	seen := r.clock.Add(-20 * time.Millisecond)
	r.wait(time.Hour)
	r.wantQuality(pathSpeed, Stale)
	if l := r.car.State().Last(profile.Must(pathSpeed)); l.Value != profile.Float(10) || !l.At.Equal(seen) {
		t.Errorf("last is %v at %v, want 10 at %v", l.Value, l.At, seen)
	}
	for range 2 {
		r.send("drive", "ESP_21", dbc.Raw("ESP_v_Signal", 65535))
	}
	r.wantQuality(pathSpeed, Unavailable)
	if l := r.car.State().Last(profile.Must(pathSpeed)); l.Value != profile.Float(10) || !l.At.Equal(seen) {
		t.Errorf("last is %v at %v after an error value, want 10 at %v", l.Value, l.At, seen)
	}
}

func TestStationary(t *testing.T) {
	r := newRig(t)
	stands := func(want Answer) {
		t.Helper()
		if got := r.car.State().Stationary(r.clock); got != want {
			t.Errorf("stationary %q, want %q", got, want)
		}
	}
	stands(Unknown)
	r.speed(0.49)
	r.speed(0.49)
	stands(Unknown) // not for 2 s
	for i := range 100 {
		r.speed(0.3 + float64(i%2)/10) // it may tremble
	}
	stands(Yes)
	r.speed(0.5)
	stands(No)
	for range 99 {
		r.speed(0)
	}
	stands(Unknown)
	r.speed(0)
	r.speed(0)
	stands(Yes)
	r.wait(300 * time.Millisecond) // a gap: nobody knows what it did meanwhile
	r.speed(0)
	r.speed(0)
	r.speed(0)
	stands(Unknown)
}

// TestWakesStanding: a car that slept in order stands when it wakes, unless it
// moves first, or does not know for too long.
func TestWakesStanding(t *testing.T) {
	for _, c := range []struct {
		name string
		kmh  float64 // before it slept
		then func(r *rig)
		want Answer
	}{
		{"says so at once", 0, func(*rig) {}, Yes},
		{"after the sensor has started", 0, func(r *rig) {
			for range 15 {
				r.send("drive", "ESP_21", dbc.Raw("ESP_v_Signal", 65534))
				r.wait(20 * time.Millisecond)
			}
		}, Yes},
		{"moved first", 0, func(r *rig) { r.speed(3); r.speed(3); r.speed(3) }, Unknown},
		{"did not know for too long", 0, func(r *rig) {
			for range 110 {
				r.send("drive", "ESP_21", dbc.Raw("ESP_v_Signal", 65534))
				r.wait(20 * time.Millisecond)
			}
		}, Unknown},
		{"fell asleep in motion", 20, func(*rig) {}, Unknown},
		{"device gone meanwhile", 0, func(r *rig) {
			r.live("drive").detach(r.since())
			r.live("drive").attach(canbus.NewMemory().Attach(1))
		}, Unknown},
	} {
		r := newRig(t)
		for range 3 {
			r.speed(c.kmh)
			r.terminals(0, 0)
		}
		r.wait(6 * time.Second)
		if strings.HasPrefix(c.name, "device") {
			c.then(r)
			r.speed(0)
		} else {
			r.send("drive", "Systeminfo_01") // wakes
			c.then(r)
		}
		r.speed(0)
		r.speed(0)
		r.speed(0)
		if got := r.car.State().Stationary(r.clock); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAsleepInOrder(t *testing.T) {
	park := func(r *rig, kmh float64, on int64) {
		for range 3 {
			r.speed(kmh)
			r.terminals(on, on)
		}
	}
	answers := func(r *rig) string {
		s := r.car.State()
		return fmt.Sprintf("%q %q", s.Stationary(r.clock), s.IgnitionOff(r.clock))
	}
	for _, c := range []struct {
		name string
		kmh  float64
		on   int64
		then func(r *rig)
		want string
	}{
		{"in order", 0, 0, func(*rig) {}, `"yes" "yes"`},
		{"ignition on last", 0, 1, func(*rig) {}, `"" ""`},
		{"moving last", 20, 0, func(*rig) {}, `"" ""`},
		{"bus still awake", 0, 0, func(r *rig) { r.send("drive", "Systeminfo_01") }, `"" ""`},
		{"device gone", 0, 0, func(r *rig) { r.live("drive").detach(r.since()) }, `"" ""`},
		{"device gone and back", 0, 0, func(r *rig) {
			r.live("drive").detach(r.since())
			r.live("drive").attach(canbus.NewMemory().Attach(1))
		}, `"" ""`},
		{"bus-off since", 0, 0, func(r *rig) { r.live("drive").disturb(r.since()) }, `"" ""`},
		{"speed failed last", 0, 0, func(r *rig) {
			for range 2 {
				r.send("drive", "ESP_21", dbc.Raw("ESP_v_Signal", 65533))
			}
			r.wait(6 * time.Second)
		}, `"" ""`},
	} {
		r := newRig(t)
		park(r, c.kmh, c.on)
		r.wait(6 * time.Second)
		c.then(r)
		if got := answers(r); got != c.want {
			t.Errorf("%s: stationary, off = %s, want %s", c.name, got, c.want)
		}
	}
}

func (r *rig) live(bus string) *live {
	i, _ := r.car.layout.busNumber(bus)
	return r.car.layout.buses[i].live
}

func (r *rig) since() int64 { return r.car.layout.since(r.clock) }

func TestVINHidesItself(t *testing.T) {
	const vin = "WM9VDSVDSYA123456"
	r := newRig(t)
	secret := []byte{0xDE, 0xAD, 0xBE, 0xEF}
	parts := [][]byte{append(secret, vin[:3]...), []byte(vin[3:10]), []byte(vin[10:])}
	for i, p := range parts {
		f := canbus.Frame{ID: 0x6B4, Len: 8}
		f.Data[0] = byte(i)
		copy(f.Data[1:], p)
		r.put("body", f)
		if i < 2 {
			r.wantQuality(profile.VIN, Never)
		}
	}
	got := r.get(profile.VIN)
	if got.Value.Reveal() != vin {
		t.Fatalf("VIN is %q (%s)", got.Value.Reveal(), got.Quality)
	}
	var log strings.Builder
	l := zerolog.New(&log)
	l.Info().Object("v", got.Value).Interface("r", got).Msg("")
	json, _ := got.Value.MarshalJSON()
	shown := fmt.Sprintf("%v %+v %#v %s %s %s", got, got, got.Value, got.Value, json, log.String())
	if strings.Contains(shown, vin[:8]) {
		t.Errorf("the VIN is readable in %s", shown)
	}
	for _, p := range r.car.last {
		if strings.Contains(string(p.data[:]), string(secret)) {
			t.Error("the secret octets of VIN_01 were kept")
		}
	}
	bad := canbus.Frame{ID: 0x6B4, Len: 8, Data: [64]byte{1, 'I', 'O', 'Q', 'A', 'B', 'C', 'D'}}
	r.put("body", bad)
	r.wantQuality(profile.VIN, Unavailable)
}

func TestForeignRequestsAreSeen(t *testing.T) {
	r := newRig(t)
	seen := func() time.Time { return r.car.State().LastForeign("body", 0x5A7, false) }
	rest := canbus.Frame{ID: 0x5A7, Len: 8}
	r.put("body", rest)
	if !seen().IsZero() {
		t.Error("a frame that asks for nothing counts as a foreign request")
	}
	ask := rest
	ask.Data[6] = 2
	i, _ := r.car.layout.busNumber("body")
	r.car.fold(i, []canbus.Rx{{Frame: ask, Own: true}}, r.clock)
	if !seen().IsZero() {
		t.Error("our own frame counts as foreign")
	}
	r.put("body", ask)
	if !seen().Equal(r.clock) {
		t.Errorf("the foreign request was seen at %v", seen())
	}
	aux := r.frame("body", "REF_Aux_Req") // checksum and counter only
	r.put("body", aux)
	if at := r.car.State().LastForeign("body", 0x6F0, false); !at.IsZero() {
		t.Error("checksum and counter count as a request")
	}
	r.put("drive", canbus.Frame{ID: 0x710, Len: 8})
	if !r.car.State().LastTester().Equal(r.clock) {
		t.Error("a diagnostic request was not seen")
	}
}

func TestWatchedSignals(t *testing.T) {
	r := newRig(t)
	ref := r.profile.Operations["lock"].Refused.Signal
	if q := r.car.State().Signal(ref, r.clock).Quality; q != Never {
		t.Errorf("quality %s before the first frame", q)
	}
	r.send("body", "Blinkmodi_02", dbc.Raw("BM_Telematik_Abbruchgrund", 14))
	if s := r.car.State().Signal(ref, r.clock); s.Value != profile.Int(14) || !s.At.Equal(r.clock) {
		t.Errorf("signal is %v (%s) at %v", s.Value, s.Quality, s.At)
	}
	r.wait(3001 * time.Millisecond)
	if s := r.car.State().Signal(ref, r.clock); s.Quality != Stale || s.Value != (Value{}) {
		t.Errorf("signal is %v (%s) after three cycles", s.Value, s.Quality)
	}
}

func TestOwnFramesProveNothing(t *testing.T) {
	r := newRig(t)
	f := r.frame("body", "ZV_02", dbc.Raw("ZV_ist_Zustand_verfuegbar", 1))
	i, _ := r.car.layout.busNumber("body")
	r.car.fold(i, []canbus.Rx{{Frame: f, Own: true}}, r.clock)
	r.wantQuality(pathDoor, Never)
	if !r.car.State().Bus("body", r.clock).LastFrame.IsZero() {
		t.Error("our own frame counts as the bus's")
	}
}
