package vehicle

import (
	"encoding/hex"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
)

func zoeProfile(t *testing.T) *profile.Profile {
	t.Helper()
	p, warnings := foreignProfile(t, "zoe_ph1.yaml", "own/renault_zoe_ph1.dbc")
	if len(warnings) > 0 {
		t.Fatal(warnings)
	}
	return p
}

// Each frame was put together by hand from the published positions (can.md,
// section 9.3), octet by octet, bits counted from 7 down in each.
func TestZoeFrames(t *testing.T) {
	const doors, pack, wheels = "Vehicle.Cabin.Door.", "Vehicle.Powertrain.TractionBattery.", "Vehicle.Chassis.Axle."
	yes, no := profile.Bool(true), profile.Bool(false)
	nothing := Value{}
	for _, c := range []struct {
		id   uint32
		data string
		why  string
		want map[string]Value
	}{
		{0x354, "1388000000000000", "octets 0, 1: 1388 = 5000, 50 km/h", map[string]Value{pathSpeed: profile.Float(50), "Vehicle.IsMoving": yes}},
		{0x354, "FFFF000000000000", "all ones", map[string]Value{pathSpeed: nothing, "Vehicle.IsMoving": nothing}},
		{0x5D7, "0BB807270E000000", "speed 0BB8 = 3000, 30 km/h; odometer 28 bits 07270E0 = 7500000, 75000 km", map[string]Value{
			pathSpeed: profile.Float(30), "Vehicle.TraveledDistance": profile.Int(75_000_000),
		}},
		{0x29C, "0000000000000FA0", "octets 6, 7: 0FA0 = 4000, 40 km/h", map[string]Value{pathSpeed: profile.Float(40)}},
		{
			0x5DE, "4209900000000000", "octet 0 01000010: bits 6 and 1; octet 1 00001001: bits 12, 11 are 01, bits 10, 9 are 00; octet 2 10010000: bits 23, 22 are 10, bits 21, 20 are 01",
			map[string]Value{
				doors + "Row1.DriverSide.IsOpen": yes, doors + "Row1.PassengerSide.IsOpen": nothing,
				doors + "Row2.DriverSide.IsOpen": no, doors + "Row2.PassengerSide.IsOpen": yes,
				"Vehicle.Body.Lights.Beam.Low.IsOn": yes, "Vehicle.Body.Lights.Parking.IsOn": no,
				"Vehicle.Body.Lights.DirectionIndicator.Right.IsSignaling": yes, "Vehicle.Body.Lights.DirectionIndicator.Left.IsSignaling": no,
				"Vehicle.Body.Trunk.Rear.IsOpen": nothing,
			},
		},
		{
			0x5DE, "2014600000000010", "octet 0 bit 5; octet 1 00010100: FL 10, FR 10; octet 2 01100000: RL 01, RR 10; octet 7 00010000: bits 61, 60 are 01",
			map[string]Value{
				doors + "Row1.DriverSide.IsOpen": no, doors + "Row1.PassengerSide.IsOpen": no,
				doors + "Row2.DriverSide.IsOpen": yes, doors + "Row2.PassengerSide.IsOpen": no,
				"Vehicle.Body.Lights.DirectionIndicator.Left.IsSignaling": yes, "Vehicle.Body.Trunk.Rear.IsOpen": yes,
			},
		},
		{0x35C, "0000000000000100", "octet 6 bit 0 is bit 48: locked", map[string]Value{pathLock: profile.Word("LOCKED")}},
		{0x35C, "0000000000000000", "bit 48 is 0", map[string]Value{pathLock: profile.Word("UNLOCKED")}},
		{
			0x42E, "7D00005D80078000", "13 bits 0111110100000 = 4000, 80 %; 10 bits from bit 6 of octet 3, 1011101 100 = 748, 374 V; 7 bits from bit 3 of octet 5, 0111 100 = 60, 20 °C",
			map[string]Value{
				pack + "StateOfCharge.Displayed": profile.Float(80), pack + "CurrentVoltage": profile.Float(374),
				pack + "Temperature.Average": profile.Float(20),
			},
		},
		{
			0x654, "200000320F0A4000", "octet 0 bit 5: plug; octet 3 0110010: 50 %; octets 4, 5 00001111 00: 60 min; 10 bits from bit 5 of octet 5, 001010 0100 = 164 km",
			map[string]Value{
				pack + "Charging.ChargingPort.AnyPosition.IsChargingCableConnected": yes, pack + "StateOfCharge.Displayed": profile.Float(50),
				pack + "Charging.TimeToComplete": profile.Int(3600), pack + "Range": profile.Int(164_000),
			},
		},
		{0x658, "0000000063200000", "octet 4 1100011: 99 %; octet 5 bit 5", map[string]Value{
			pack + "StateOfHealth": profile.Float(99), pack + "Charging.IsCharging": yes,
		}},
		{0x6F8, "0000CC0000000000", "octet 2: CC = 204, 12.75 V", map[string]Value{"Vehicle.LowVoltageBattery.CurrentVoltage": profile.Float(12.75)}},
		{0x656, "0000000000003700", "octet 6: 37 = 55, 15 °C", map[string]Value{"Vehicle.Exterior.AirTemperature": profile.Float(15)}},
		{0x673, "0000A0A1A2FF0000", "13.725 hPa a step: A0 = 160, 2196 hPa; A1 2209.7; A2 2223.5; FF is none", map[string]Value{
			wheels + "Row2.Wheel.Right.Tire.Pressure": profile.Int(220), wheels + "Row2.Wheel.Left.Tire.Pressure": profile.Int(221),
			wheels + "Row1.Wheel.Right.Tire.Pressure": profile.Int(222), wheels + "Row1.Wheel.Left.Tire.Pressure": nothing,
		}},
		{0x6FB, "0000000028000000", "octet 4: 28 = 40, 10000 km", map[string]Value{"Vehicle.Service.DistanceToService": profile.Float(10_000)}},
	} {
		at := time.Unix(1_700_000_000, 0)
		car := New(zoeProfile(t), func() time.Time { return at })
		f := canbus.Frame{ID: c.id, Len: 8}
		octets, err := hex.DecodeString(c.data)
		if err != nil || len(octets) != 8 {
			t.Fatal(c.data, err)
		}
		copy(f.Data[:], octets)
		car.fold(0, []canbus.Rx{{Frame: f, At: at}}, at)
		for path, want := range c.want {
			got := car.State().Get(profile.Must(path), at)
			if got.Value != want || want == nothing && got.Quality != Unavailable {
				t.Errorf("%03X#%s: %s is %v (%s), want %v: %s", c.id, c.data, path, got.Value, got.Quality, want, c.why)
			}
		}
	}
}

func TestZoeIsReadOnly(t *testing.T) {
	p := zoeProfile(t)
	if p.Proven != profile.ProvenRead || len(p.Allowed()) != 0 || len(p.Operations) != 0 {
		t.Errorf("proven %s, %d frames may be sent, %d operations", p.Proven, len(p.Allowed()), len(p.Operations))
	}
}
