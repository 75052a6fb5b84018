package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/cmd/internal/sim/backend"
)

// The recordings, and what happens in them (seconds after 1670630000).
const (
	// P-CAN (can0) and C-CAN (can1) of a standing car: off at 1953.6, start at
	// 1955.7, on at 1956.6, off from 1962.4 to 1964.4.
	kona2019 = "logs/hyundai_kona/230112-7-2019-pcan-ccan-power-off-on-ready-off.log"
	// P-CAN (can0) and body bus (can1) of a car that is off from 303.0 to 330.7;
	// the driver's door closes at 314.3 and opens at 329.3. No bus here tells a
	// speed, an odometer or a voltage.
	kona2021 = "logs/hyundai_kona/221217-1-2021-pcan-bcan-no-key.log"
	konaDBC  = "dbc/opendbc/hyundai_can_generated.dbc"
)

const (
	pathIgnition = "Vehicle.LowVoltageSystemState"
	pathMoving   = "Vehicle.IsMoving"
	pathOdometer = "Vehicle.TraveledDistance"
	pathVolts    = "Vehicle.LowVoltageBattery.CurrentVoltage"
	pathDoor     = "Vehicle.Cabin.Door."
	pathDriver   = pathDoor + "Row1.DriverSide.IsOpen"
	pathWheel    = "Vehicle.Chassis.Axle."
)

// A want is what a status must say of a path, worked out by hand: from the line
// of the recording, in its octets counted from 0 and their bits from 0, with the
// start bits of the DBC file. A value of nil is a gap, and the quality says why.
type want struct {
	path    string
	value   any
	quality string
	because string
}

// konaWants2019 are the values that are the same in all of the recording, but
// for ignition and voltage.
var konaWants2019 = []want{
	{pathMoving, false, "good", "every 386 of can1: octets 4, 5 are 00 40, of 4000h the lower 14 bits are 0 km/h"},
	{pathOdometer, 26_716_500.0, "good", "line 13703, can1 5B0#9D130400: 04139Dh = 267165, times 0.1 km"},
	{"Vehicle.Chassis.ParkingBrake.IsEngaged", false, "good", "line 9118, can0 541#030040080000000C: octet 7 0C, bits 4 and 5 are 0"},
	{"Vehicle.Body.Lights.Beam.Low.IsOn", false, "good", "the same: octet 3 08, bit 7 is 0"},
	{pathDriver, false, "good", "the same: octet 1 00, bits 0 and 1"},
	{pathDoor + "Row1.PassengerSide.IsOpen", false, "good", "the same: octet 4 00, bit 3"},
	{"Vehicle.Body.Trunk.Rear.IsOpen", false, "good", "the same: octet 1 00, bits 4 and 5"},
	{"Vehicle.Body.Hood.IsOpen", false, "good", "the same: octet 2 40, bits 1 and 2 are 0"},
	{pathDoor + "Row2.DriverSide.IsOpen", false, "good", "line 414, can0 553#0400000000008000: octet 2 00, bit 7"},
	{pathDoor + "Row2.PassengerSide.IsOpen", false, "good", "the same: octet 3 00, bit 0"},
	{pathDoor + "Row1.DriverSide.Window.IsOpen", false, "good", "line 11966, can1 559#0000040020000000: octet 1 00, bit 0"},
	{pathDoor + "Row2.PassengerSide.Window.IsOpen", false, "good", "the same, bit 1"},
	{pathDoor + "Row2.DriverSide.Window.IsOpen", false, "good", "the same, bit 2"},
	{pathDoor + "Row1.PassengerSide.Window.IsOpen", false, "good", "the same, bit 3"},
	{pathWheel + "Row1.Wheel.Left.Tire.Pressure", nil, "unavailable", "line 5283, can0 593#2408FFFFFFFF: octet 2 FF is no pressure"},
	{pathWheel + "Row1.Wheel.Right.Tire.Pressure", nil, "unavailable", "the same, octet 3"},
	{pathWheel + "Row2.Wheel.Left.Tire.Pressure", nil, "unavailable", "the same, octet 4"},
	{pathWheel + "Row2.Wheel.Right.Tire.Pressure", nil, "unavailable", "the same, octet 5"},
}

// A volts is a voltage between two.
type volts struct{ least, most float64 }

var (
	konaOn = append([]want{
		{pathIgnition, "ON", "good", "line 9118, can0 541#030040080000000C: octet 0 03, bits 0 to 2 are 3"},
		{pathVolts, volts{12.163, 13.414}, "good", "lines 10352 to 32828, can0 549#657AFF1318A77F7F to 549#9E85FFF61CA77F7F: " +
			"octets 4, 3 are 1813h = 6163 to 1CF6h = 7414, each in mV above 6 V"},
	}, konaWants2019...)
	konaOff = append([]want{
		{pathIgnition, "OFF", "good", "line 33282, can0 541#0000400800000000: octet 0 00"},
		{pathVolts, volts{13.435, 13.435}, "good", "line 33222, can0 549#B185FF0B1DA77F7F, and all after it: 1D0Bh = 7435"},
	}, konaWants2019...)
	konaDoors = []want{
		{pathIgnition, "OFF", "good", "line 35, can0 541#00012200C8080000: octet 0 00"},
		{pathDoor + "Row1.PassengerSide.IsOpen", true, "good", "the same: octet 4 C8 = 11001000b, bit 3 is 1"},
		{"Vehicle.Body.Hood.IsOpen", true, "good", "the same: octet 2 22 = 00100010b, bits 1 and 2 are 1"},
		{"Vehicle.Body.Trunk.Rear.IsOpen", false, "good", "the same: octet 1 01, bits 4 and 5 are 0"},
		{"Vehicle.Chassis.ParkingBrake.IsEngaged", false, "good", "the same: octet 7 00"},
		{"Vehicle.Body.Lights.Beam.Low.IsOn", false, "good", "the same: octet 3 00, bit 7"},
		{pathDoor + "Row2.DriverSide.IsOpen", true, "good", "line 99, can0 553#0400800000008000: octet 2 80, bit 7 is 1"},
		{pathDoor + "Row2.PassengerSide.IsOpen", false, "good", "the same: octet 3 00, bit 0"},
		{pathDoor + "Row1.DriverSide.Window.IsOpen", false, "good", "line 77, can0 559#0040000000000000: octet 1 40, bit 0 is 0"},
		{pathDoor + "Row2.PassengerSide.Window.IsOpen", false, "good", "the same, bit 1"},
		{pathDoor + "Row2.DriverSide.Window.IsOpen", false, "good", "the same, bit 2"},
		{pathDoor + "Row1.PassengerSide.Window.IsOpen", false, "good", "the same, bit 3"},
		{pathWheel + "Row1.Wheel.Left.Tire.Pressure", nil, "unavailable", "line 12, can0 593#0100FFFFFFFF: octet 2 FF"},
		{pathWheel + "Row1.Wheel.Right.Tire.Pressure", nil, "unavailable", "the same, octet 3"},
		{pathWheel + "Row2.Wheel.Left.Tire.Pressure", nil, "unavailable", "the same, octet 4"},
		{pathWheel + "Row2.Wheel.Right.Tire.Pressure", nil, "unavailable", "the same, octet 5"},
		{pathMoving, nil, "never", "no 386 on either bus"},
		{pathOdometer, nil, "never", "no 5B0 on either bus"},
		{pathVolts, nil, "never", "no 549 on either bus"},
	}
)

// TestKona: recordings of two real cars come through canhub, the agent and
// uplinkd to the backend with the values that they hold, and what they do not
// hold arrives as a gap.
func TestKona(t *testing.T) {
	t.Parallel()
	b := newTestBench(t)
	k := &kona{t: t, b: b, data: recordings(t)}
	k.profile = k.prepare()
	begin(t, b, b.startBroker, b.startPhone, func(ctx context.Context) error {
		b.run(ctx, newSpawner(), b.child("uplinkd", "--socket", b.path("uplink"), "--backoff-min", "50ms"))
		return nil
	})
	from, stop := b.backend.Watch(b.identity.Name)
	defer stop()
	k.from = from
	k.offOnOff()
	k.doors()
}

// A kona is the world of the test, without a simulated car.
type kona struct {
	t             *testing.T
	b             *bench
	data, profile string
	from          <-chan backend.Up
}

// recordings is the folder of what others recorded.
func recordings(t *testing.T) string {
	root, err := module()
	must(t, "module", err)
	data := filepath.Join(root, "..", "shared", "data")
	for _, name := range []string{kona2019, kona2021, konaDBC} {
		if _, err := os.Stat(filepath.Join(data, name)); err != nil {
			t.Skipf("the recordings and DBC files of others are not here: %v", err)
		}
	}
	return data
}

// prepare puts profile and DBC file side by side.
func (k *kona) prepare() string {
	root, err := module()
	must(k.t, "module", err)
	dir := k.b.path("profile")
	must(k.t, "profile", os.Mkdir(dir, 0o700))
	for to, from := range map[string]string{
		"kona.yaml":            filepath.Join(root, "testdata/profiles/kona.yaml"),
		filepath.Base(konaDBC): filepath.Join(k.data, konaDBC),
	} {
		text, err := os.ReadFile(from)
		must(k.t, "profile", err)
		must(k.t, "profile", os.WriteFile(filepath.Join(dir, to), text, 0o600))
	}
	return filepath.Join(dir, "kona.yaml")
}

// play lets the agent listen to a recording, again and again, at a multiple of
// its own pace. buses maps those of the profile to those of the recording.
func (k *kona) play(file string, speed int, buses map[string]string) (stop func()) {
	k.t.Helper()
	ctx, end := context.WithCancel(k.t.Context())
	var running []*child
	run := func(name string, args ...string) {
		c := k.b.child(name, args...)
		running = append(running, c)
		k.b.run(ctx, newSpawner(), c)
	}
	dir, err := os.MkdirTemp(k.b.dir, "")
	must(k.t, "buses", err)
	agent := []string{
		"--profile", k.profile, "--state", k.b.path("state"), "--uplink", k.b.path("uplink"), "--api", k.b.path("api"),
		"--ecall-status", k.b.path("none"), "--ecall-request", k.b.path("none"), "--broker", "tcp://" + k.b.at, "--cell", cell,
	}
	for bus, recorded := range buses {
		socket := filepath.Join(dir, recorded)
		run("canhub", "--device", fmt.Sprintf("replay:%s?loop=1&speed=%d", filepath.Join(k.data, file), speed),
			"--interface", recorded, "--name", recorded, "--listen", "unix:"+socket)
		eventually(k.t, "canhub", func() error {
			_, err := os.Stat(socket)
			return err
		})
		agent = append(agent, "--bus", bus+"=socketcand:unix:"+socket)
	}
	run("headunitd", agent...)
	return func() {
		end()
		for _, c := range running {
			<-c.done
		}
	}
}

// offOnOff: the driver of 2019 chose a level while the car was on. The status
// that follows is compared, and the one that the car says by itself when the
// ignition goes off.
func (k *kona) offOnOff() {
	defer k.play(kona2019, 1, map[string]string{"pcan": "can0", "ccan": "can1"})()
	t, b := k.t, k.b
	on := k.fresh(func() {
		eventually(t, "silence", func() error { return k.choose("maximum") })
		eventually(t, "the car is on", func() error {
			s, err := b.show(t.Context())
			if err == nil && (s.Signal(pathIgnition).Value != "ON" || s.Signal(pathOdometer).Quality != "good") {
				err = fmt.Errorf("ignition %v, odometer %s", s.Signal(pathIgnition), s.Signal(pathOdometer).Quality)
			}
			return err
		})
		s, err := b.show(t.Context())
		must(t, "local API", err)
		if v := s.Signal("Vehicle.Speed"); v.Value != 0.0 || v.Unit != "km/h" || v.Quality != "good" && v.Quality != "stale" {
			t.Errorf("the local API shows speed %+v", v)
		}
		eventually(t, "a level is chosen", func() error { return k.choose("no-location") })
	}, func(s wire.Status) bool {
		state, _ := said(s, pathIgnition)
		return s.Full && state == "ON"
	})
	k.compare("on", on, konaOn)
	off := k.fresh(nil, func(s wire.Status) bool { return s.Full })
	k.compare("off", off, konaOff)
	c, _ := b.backend.Car(b.identity.Name)
	if c.Hello == nil || c.Hello.May.Len() != 0 || c.Hello.Level != wire.LevelMaximum-1 {
		t.Errorf("a car that is only listened to says %+v", c.Hello)
	}
}

// doors: the driver of 2021, in a car whose doors open and close while it is off.
func (k *kona) doors() {
	defer k.play(kona2021, 4, map[string]string{"pcan": "can0", "body": "can1"})()
	t, b := k.t, k.b
	full := k.fresh(func() { // the level was kept; a new connection brings a full status
		eventually(t, "the agent hears the car", func() error {
			s, err := b.show(t.Context())
			for _, w := range konaDoors {
				if q := s.Signal(w.path).Quality; err == nil && q != w.quality {
					err = fmt.Errorf("%s is %s", w.path, q)
				}
			}
			if err == nil && !s.Uplink.Up {
				err = errors.New("not online")
			}
			return err
		})
		b.children["uplinkd"].kill()
	}, func(s wire.Status) bool {
		_, heard := said(s, pathIgnition)
		return s.Full && heard == "good"
	})
	was, quality := said(full, pathDriver)
	k.compare("doors", full, append(konaDoors, want{pathDriver, was, "good", "it opens and closes"}))
	if _, ok := was.(bool); !ok {
		t.Fatalf("the driver's door is %v, %s", was, quality)
	}
	for range 2 { // lines 5714 and 13447: 541#00002200C8080000 and 541#00012200C8080000, octet 1 00 and 01
		s := k.fresh(nil, func(s wire.Status) bool { return !s.Full })
		is, quality := said(s, pathDriver)
		if is == was || quality != "good" || len(s.Readings)+len(s.Gaps) != 1 {
			t.Errorf("after %v the driver's door is %v, %s: %+v", was, is, quality, s)
		}
		was = is
	}
	must(t, "silence", k.choose("maximum"))
	if err := k.choose("no-location"); err == nil || !strings.Contains(err.Error(), "423") {
		t.Errorf("a car whose speed nobody knows counts as standing: %v", err)
	}
}

func (k *kona) choose(level string) error { return k.b.choose(k.t.Context(), level) }

// fresh is the next status that fits, after whatever makes the car say one. One
// with a stale value is no mistake, where two cores have much to do: then it is
// made to say another.
func (k *kona) fresh(ask func(), fits func(wire.Status) bool) wire.Status {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), steady)
	defer cancel()
	for again := true; ; {
		if again && ask != nil {
			ask()
		}
		s, err := nextStatus(ctx, k.from)
		must(k.t, "a fresh status that fits", err)
		stale := false
		for _, r := range s.Readings {
			stale = stale || r.Quality == wire.Stale
		}
		if again = stale || !fits(s); !again {
			return s
		}
		k.t.Logf("not this one: full %v, stale %v, %d readings", s.Full, stale, len(s.Readings))
	}
}

func (k *kona) compare(moment string, s wire.Status, wants []want) {
	k.t.Helper()
	for _, w := range wants {
		got, quality := said(s, w.path)
		v, isVolts := w.value.(volts)
		f, isFloat := got.(float64)
		const half = 0.005 + 1e-9 // of the step on the wire
		same := got == w.value || isVolts && isFloat && f > v.least-half && f < v.most+half
		if !same || quality != w.quality {
			k.t.Errorf("%s: %s is %v, %s; want %v, %s: %s", moment, w.path, got, quality, w.value, w.quality, w.because)
		}
	}
	if n := len(s.Readings) + len(s.Gaps); n != len(wants) {
		k.t.Errorf("%s: %d signals are told, want %d", moment, n, len(wants))
	}
	k.t.Logf("%s: %d readings, %d gaps compared", moment, len(s.Readings), len(s.Gaps))
}
