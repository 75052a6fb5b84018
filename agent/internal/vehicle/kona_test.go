package vehicle

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
)

const recordings = "../../../../shared/data"

// foreignProfile loads one of our profiles with the DBC file of others that
// belongs beside it. Only the file of others may be missing.
func foreignProfile(t *testing.T, name, dbc string) (*profile.Profile, []profile.Problem) {
	t.Helper()
	dir := t.TempDir()
	beside, err := os.ReadFile(filepath.Join(recordings, "dbc", dbc))
	if err != nil {
		t.Skipf("the DBC files of others are not here: %v", err)
	}
	own, err := os.ReadFile(filepath.Join("../../../testdata/profiles", name))
	if err != nil {
		t.Fatal(err)
	}
	for to, src := range map[string][]byte{name: own, filepath.Base(dbc): beside} {
		if err := os.WriteFile(filepath.Join(dir, to), src, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, warnings, err := profile.Load(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return p, warnings
}

func konaProfile(t *testing.T) *profile.Profile {
	t.Helper()
	p, _ := foreignProfile(t, "kona.yaml", "opendbc/hyundai_can_generated.dbc")
	return p
}

// replay folds a recording into the car, each frame at its own time, up to and
// including those of the time until (seconds of the recording).
func replay(t *testing.T, car *Car, file string, buses map[string]string, until time.Time) {
	t.Helper()
	f, err := os.Open(filepath.Join(recordings, "logs/hyundai_kona", file))
	if err != nil {
		t.Skipf("the recordings of others are not here: %v", err)
	}
	defer f.Close()
	lines := canbus.NewReader(file, f)
	for {
		l, err := lines.Next()
		if errors.Is(err, io.EOF) || err == nil && l.At.After(until.Add(50*time.Millisecond)) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if l.At.After(until) {
			continue // the two buses are not in one order
		}
		i, ok := car.layout.busNumber(buses[l.Interface])
		if !ok {
			t.Fatalf("no bus for %s", l.Interface)
		}
		car.fold(i, []canbus.Rx{{Frame: l.Frame, At: l.At}}, l.At)
	}
}

type expect struct {
	path string
	want Value
	raw  string
}

// moment is what a car said at one moment of a recording.
type moment struct {
	file   string
	buses  map[string]string
	until  float64 // seconds after 1670630000
	values []expect
	not    map[string]Quality
}

// The values were worked out by hand from the octets in the comment: the last
// frame of that identifier before the moment.
func konaMoments() []moment {
	off, on := profile.Bool(false), profile.Bool(true)
	const door, window = "Vehicle.Cabin.Door.", ".Window.IsOpen"
	y2021, y2019 := "221217-1-2021-pcan-bcan-no-key.log", "230112-7-2019-pcan-ccan-power-off-on-ready-off.log"
	buses2021 := map[string]string{"can0": "pcan", "can1": "body"}
	buses2019 := map[string]string{"can0": "pcan", "can1": "ccan"}
	always2019 := []expect{
		{pathSpeed, profile.Float(0), "386 octets 4, 5 00 40: 14 bits are 0; with ignition 4F1 00006460: octet 1 and bit 16 are 0"},
		{"Vehicle.IsMoving", off, "386 octets 4, 5 00 40"},
		{"Vehicle.Powertrain.Transmission.SelectedGear", profile.Int(126), "372 octet 2 00 or 20: low nibble 0 is P"},
		{"Vehicle.Chassis.ParkingBrake.IsEngaged", off, "541 octet 7 00 or 0C: bits 4, 5 are 0"},
		{pathDoor, off, "541 octet 1 00: bits 0, 1"},
		{door + "Row1.PassengerSide.IsOpen", off, "541 octet 4 00: bit 3"},
		{door + "Row2.DriverSide.IsOpen", off, "553 octet 2 00: bit 7"},
		{door + "Row2.PassengerSide.IsOpen", off, "553 octet 3 00: bit 0"},
		{"Vehicle.Body.Trunk.Rear.IsOpen", off, "541 octet 1 00: bits 4, 5"},
		{"Vehicle.Body.Hood.IsOpen", off, "541 octet 2 40: bits 1, 2 are 0"},
		{door + "Row1.DriverSide" + window, off, "559 (C-CAN) octet 1 00: bit 0"},
		{door + "Row1.PassengerSide" + window, off, "559 octet 1 00: bit 3"},
		{"Vehicle.Cabin.Seat.Row1.DriverSide.IsBelted", off, "541 octet 1 00: bits 2, 3"},
		{"Vehicle.Body.Lights.Beam.Low.IsOn", off, "541 octet 3 08: bit 7 is 0"},
	}
	return []moment{
		{y2021, buses2021, 310, []expect{
			{pathIgnition, profile.Word("OFF"), "541 00012200C8080000: octet 0 bits 0..2 are 0"},
			{pathDoor, on, "541 octet 1 01: bits 0, 1 are 1"},
			{door + "Row1.PassengerSide.IsOpen", on, "541 octet 4 C8 = 1100 1000: bit 3 is 1"},
			{door + "Row2.DriverSide.IsOpen", on, "553 0400800000008000: octet 2 80, bit 7 is 1"},
			{door + "Row2.PassengerSide.IsOpen", off, "553 octet 3 00: bit 0"},
			{"Vehicle.Body.Hood.IsOpen", on, "541 octet 2 22 = 0010 0010: bits 1, 2 are 1"},
			{"Vehicle.Body.Trunk.Rear.IsOpen", off, "541 octet 1 01: bits 4, 5 are 0"},
			{"Vehicle.Chassis.ParkingBrake.IsEngaged", off, "541 octet 7 00"},
			{door + "Row1.DriverSide" + window, off, "559 0040000000000000: octet 1 40, bit 0 is 0"},
			{door + "Row2.PassengerSide" + window, off, "559 octet 1 40, bit 1 is 0"},
			{"Vehicle.Cabin.Seat.Row1.DriverSide.IsBelted", off, "541 octet 1 01: bits 2, 3 are 0"},
			{"Vehicle.Body.Lights.Beam.High.IsOn", off, "541 octet 4 C8: bit 0 is 0"},
		}, map[string]Quality{
			pathSpeed: Never, "Vehicle.TraveledDistance": Never, "Vehicle.LowVoltageBattery.CurrentVoltage": Never,
			"Vehicle.Chassis.Axle.Row1.Wheel.Left.Tire.Pressure": Unavailable, // 593 0100FFFFFFFF: octet 2 is FF
		}},
		{y2021, buses2021, 320, []expect{{pathDoor, off, "541 00002200C8080000: octet 1 00"}}, nil},
		{y2021, buses2021, 330.5, []expect{{pathDoor, on, "541 00012200C8080000: octet 1 01"}}, nil},
		{y2019, buses2019, 1955.5, append([]expect{
			{pathIgnition, profile.Word("OFF"), "541 0000400800000000: octet 0 00"},
			{"Vehicle.LowVoltageBattery.CurrentVoltage", profile.Float(13.301), "549 8D81FF851CA77F7F: octets 3, 4 are 1C85 = 7301, 7.301 + 6"},
		}, always2019...), map[string]Quality{"Vehicle.TraveledDistance": Never}},
		{y2019, buses2019, 1956, []expect{
			{pathIgnition, profile.Word("START"), "541 0400400800000004: octet 0 04"},
		}, nil},
		{y2019, buses2019, 1957, append([]expect{
			{pathIgnition, profile.Word("ON"), "541 030040080000000C: octet 0 03"},
			{"Vehicle.TraveledDistance", profile.Int(26_716_500), "5B0 9D130400: 04139D = 267165, 26716.5 km"},
			{"Vehicle.LowVoltageBattery.CurrentVoltage", profile.Float(12.163), "549 657AFF1318A77F7F: octets 3, 4 are 1813 = 6163, 6.163 + 6"},
		}, always2019...), map[string]Quality{
			"Vehicle.Chassis.Axle.Row2.Wheel.Right.Tire.Pressure": Unavailable, // 593 2408FFFFFFFF: octet 5 is FF, UNIT 1
		}},
		{y2019, buses2019, 1964, append([]expect{
			{pathIgnition, profile.Word("OFF"), "541 0000400800000000: octet 0 00"},
			{"Vehicle.TraveledDistance", profile.Int(26_716_500), "5B0 9D130400"},
			{"Vehicle.LowVoltageBattery.CurrentVoltage", profile.Float(13.435), "549 B185FF0B1DA77F7F: octets 3, 4 are 1D0B = 7435, 7.435 + 6"},
		}, always2019...), nil},
	}
}

func TestKonaRecordings(t *testing.T) {
	for _, c := range konaMoments() {
		until := time.UnixMicro(1_670_630_000_000_000 + int64(c.until*1e6))
		car := New(konaProfile(t), func() time.Time { return time.Unix(1_670_630_000, 0) })
		replay(t, car, c.file, c.buses, until)
		for _, e := range c.values {
			if got := car.State().Get(profile.Must(e.path), until); got.Value != e.want {
				t.Errorf("%s at %v: %s is %v (%s), want %v: %s", c.file[:6], c.until, e.path, got.Value, got.Quality, e.want, e.raw)
			}
		}
		for path, q := range c.not {
			if got := car.State().Get(profile.Must(path), until); got.Quality != q {
				t.Errorf("%s at %v: %s is %v (%s), want %s", c.file[:6], c.until, path, got.Value, got.Quality, q)
			}
		}
	}
}
