package vehicle

import (
	"testing"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

// A sent is one signal of one message, set to a raw value; beside it others that
// it needs.
type sent struct {
	bus, message, signal string
	raw                  int64
	with                 []dbc.Set
}

// statusTable is what the reference car says of itself beyond what the other
// tests look at, both ways for truths.
func statusTable() []struct {
	sent
	path string
	want Value
} {
	yes, no := profile.Bool(true), profile.Bool(false)
	answers := []dbc.Set{dbc.Raw("ZV_ist_Zustand_verfuegbar", 1)}
	const doors, lights, tank, pack = "Vehicle.Cabin.Door.", "Vehicle.Body.Lights.", "Vehicle.Powertrain.FuelSystem.", "Vehicle.Powertrain.TractionBattery."
	type row = struct {
		sent
		path string
		want Value
	}
	var rows []row
	add := func(bus, message, signal string, raw int64, path string, want Value, with ...dbc.Set) {
		rows = append(rows, row{sent{bus, message, signal, raw, with}, path, want})
	}
	bit := func(bus, message, signal, path string, with ...dbc.Set) {
		add(bus, message, signal, 1, path, yes, with...)
		add(bus, message, signal, 0, path, no, with...)
	}
	for _, d := range [][2]string{{"FT", "Row1.DriverSide"}, {"BT", "Row1.PassengerSide"}, {"HFS", "Row2.DriverSide"}, {"HBFS", "Row2.PassengerSide"}} {
		unit, at := "TSG_"+d[0]+"_01", doors+d[1]
		bit("body", "ZV_02", "ZV_"+d[0]+"_offen", at+".IsOpen", answers...)
		bit("body", unit, d[0]+"_verriegelt", at+".IsLocked")
		add("body", unit, d[0]+"_FH_Oeffnung", 80, at+".Window.Position", profile.Int(40))
		add("body", unit, d[0]+"_FH_Oeffnung", 1, at+".Window.IsOpen", yes)
		add("body", unit, d[0]+"_FH_Oeffnung", 0, at+".Window.IsOpen", no)
	}
	for signal, name := range map[string]string{
		"Standlicht": "Parking.IsOn", "Abblendlicht": "Beam.Low.IsOn", "Fernlicht": "Beam.High.IsOn", "Nebellicht": "Fog.Front.IsOn",
		"Nebelschluss_Fzg": "Fog.Rear.IsOn", "Rueckfahrlicht": "Backup.IsOn", "Tagfahrlicht": "Running.IsOn",
	} {
		bit("drive", "Licht_Anf_01", signal, lights+name)
	}
	bit("body", "Blinkmodi_02", "BM_Warnblinken", lights+"Hazard.IsSignaling")
	bit("body", "Blinkmodi_02", "BM_links", lights+"DirectionIndicator.Left.IsSignaling")
	bit("body", "Blinkmodi_02", "BM_rechts", lights+"DirectionIndicator.Right.IsSignaling")
	bit("body", "ZV_02", "ZV_HD_offen", "Vehicle.Body.Trunk.Rear.IsOpen", answers...)
	bit("body", "ZV_02", "DWA_aktiv", "Vehicle.Body.TheftAlarm.IsArmed", answers...)
	bit("body", "ZV_02", "ZV_Tankklappe_offen", tank+"IsFuelPortFlapOpen", answers...)
	bit("body", "BCM_01", "BCM1_MH_Schalter", "Vehicle.Body.Hood.IsOpen")
	add("body", "WFS_01", "WFS_Schluessel_Fahrberecht", 0, "Vehicle.Body.Immobilizer.IsActive", yes)
	add("body", "WFS_01", "WFS_Schluessel_Fahrberecht", 15, "Vehicle.Body.Immobilizer.IsActive", no)
	bit("drive", "Kombi_01", "KBI_Tankwarnung", tank+"IsFuelLevelLow")
	add("drive", "Kombi_03", "KBI_Tankinhalt_hochaufl", 2475, tank+"AbsoluteLevel", profile.Float(24.75))
	add("drive", "Kombi_03", "KBI_Tankfuellstand_Prozent", 55, tank+"RelativeLevel", profile.Int(55))
	add("body", "Diagnose_01", "KBI_Kilometerstand", 12345, "Vehicle.TraveledDistance", profile.Int(12_345_000))
	add("drive", "Airbag_02", "AB_Gurtschloss_FA", 3, "Vehicle.Cabin.Seat.Row1.DriverSide.IsBelted", yes)
	add("drive", "Airbag_02", "AB_Gurtschloss_BF", 2, "Vehicle.Cabin.Seat.Row1.PassengerSide.IsBelted", no)
	add("fd", "REF_HV_01", "REF_HV_V", 1440, pack+"CurrentVoltage", profile.Float(360))
	add("fd", "REF_HV_01", "REF_Range", 369, pack+"Range", profile.Int(36_900))
	add("fd", "REF_HV_01", "REF_HV_A", -100, pack+"Charging.IsCharging", yes)
	add("fd", "REF_HV_01", "REF_HV_A", 0, pack+"Charging.IsCharging", no)
	add("fd", "REF_HV_01", "REF_Float", 8, pack+"StateOfCharge.CurrentEnergy", profile.Float(8))
	add("drive", "Airbag_01", "AB_Deaktivierung_HV", 1, pack+"IsShutOff", yes)
	add("drive", "Airbag_01", "AB_Deaktivierung_HV", 0, pack+"IsShutOff", no)
	add("drive", "WIV_01", "WIV_W_min", 5, "Vehicle.Service.DistanceToService", profile.Float(5000))
	add("drive", "WIV_01", "WIV_t_min", 6, "Vehicle.Service.TimeToService", profile.Int(6*2_629_800))
	add("drive", "WIV_01", "WIV_t_min", 6, "Vehicle.Service.IsServiceDue", no, dbc.Raw("WIV_W_min", 5))
	add("drive", "WIV_01", "WIV_t_min", 0, "Vehicle.Service.IsServiceDue", yes, dbc.Raw("WIV_W_min", 5))
	return rows
}

func TestStatusTable(t *testing.T) {
	for _, c := range statusTable() {
		r := newRig(t)
		r.wantQuality(c.path, Never)
		for range 2 { // a protected message needs two
			r.send(c.bus, c.message, append([]dbc.Set{dbc.Raw(c.signal, c.raw)}, c.with...)...)
			r.wait(20 * time.Millisecond)
		}
		if got := r.get(c.path); got.Quality != Good || got.Value != c.want {
			t.Errorf("%s/%s.%s raw %d: %s is %v (%s), want %v", c.bus, c.message, c.signal, c.raw, c.path, got.Value, got.Quality, c.want)
		}
	}
}

// What the car does not know is not a value: each is raw, and none of them false.
func TestStatusUnknown(t *testing.T) {
	for _, c := range []struct {
		sent
		path string
	}{
		{sent{"drive", "Airbag_02", "AB_Gurtschloss_FA", 0, nil}, "Vehicle.Cabin.Seat.Row1.DriverSide.IsBelted"},
		{sent{"drive", "Airbag_02", "AB_Gurtschloss_FA", 1, nil}, "Vehicle.Cabin.Seat.Row1.DriverSide.IsBelted"},
		{sent{"drive", "Kombi_03", "KBI_Tankinhalt_hochaufl", 16382, nil}, "Vehicle.Powertrain.FuelSystem.AbsoluteLevel"},
		{sent{"body", "Diagnose_01", "Kombi_02_alt", 1, []dbc.Set{dbc.Raw("KBI_Kilometerstand", 7)}}, "Vehicle.TraveledDistance"},
		{sent{"body", "ZV_02", "ZV_Tankklappe_offen", 1, nil}, "Vehicle.Powertrain.FuelSystem.IsFuelPortFlapOpen"},
		{sent{"drive", "Airbag_01", "AB_Deaktivierung_HV", 5, nil}, "Vehicle.Powertrain.TractionBattery.IsShutOff"},
	} {
		r := newRig(t)
		for range 2 {
			r.send(c.bus, c.message, append([]dbc.Set{dbc.Raw(c.signal, c.raw)}, c.with...)...)
		}
		r.wantQuality(c.path, Unavailable)
	}
}

// The instruments' copy of the odometer is taken while the gateway's is missing.
func TestOdometerFromEitherBus(t *testing.T) {
	r := newRig(t)
	r.send("body", "Diagnose_01", dbc.Raw("KBI_Kilometerstand", 100))
	r.want("Vehicle.TraveledDistance", profile.Int(100_000))
	r.send("drive", "Kombi_02", dbc.Raw("KBI_Kilometerstand", 101))
	r.want("Vehicle.TraveledDistance", profile.Int(101_000))
}

// A lamp that fails its checksum is shown, and is no good reading.
func TestLampsAreShown(t *testing.T) {
	const path = "Vehicle.Body.Lights.Beam.Low.IsOn"
	r := newRig(t)
	f := canbus.Frame{ID: 0x3D5, Len: 8, Data: [64]byte{0, 0x80}} // octet 1 bit 7: 15|1; the checksum is not 0
	r.put("drive", f)
	r.wantQuality(path, Stale)
	if v := r.last(path); v != profile.Bool(true) {
		t.Errorf("the lamp is shown as %v", v)
	}
}
