package vehicle

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
)

// What the reference car has no example of: a plain signal beside multiplexed
// ones, a secret in a message without parts.
const smallDBC = `VERSION ""
BU_: A
BO_ 256 Parts: 8 A
 SG_ Part M : 0|8@1+ (1,0) [0|0] "" A
 SG_ Always : 8|8@1+ (1,0) [0|0] "" A
 SG_ First m0 : 16|8@1+ (1,0) [0|0] "" A
 SG_ Second m1 : 16|8@1+ (1,0) [0|0] "" A
BO_ 257 Secret: 8 A
 SG_ Open : 0|1@1+ (1,0) [0|0] "" A
 SG_ Code : 32|32@1+ (1,0) [0|0] "" A
BA_DEF_ BO_ "GenMsgCycleTime" INT 0 60000;
BA_ "GenMsgCycleTime" BO_ 256 100;
`

const smallProfile = `profile: 1
id: small
title: small
proven: read
buses:
  a: {dbc: a.dbc, bitrate: 500k}
messages:
  a/Secret: {mask: [Code]}
signals:
  Vehicle.Speed: {from: a/Parts.Always}
  Vehicle.Powertrain.FuelSystem.AbsoluteLevel: {from: a/Parts.First}
  Vehicle.LowVoltageBattery.CurrentVoltage: {from: a/Parts.Second}
  Vehicle.Body.Hood.IsOpen: {from: a/Secret.Open}
`

func smallRig(t *testing.T) *rig {
	t.Helper()
	p, _, err := profile.Parse("small.yaml", []byte(smallProfile), func(name string) ([]byte, error) {
		if name != "a.dbc" {
			return nil, errors.New("no such file")
		}
		return []byte(smallDBC), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, profile: p, clock: time.Unix(1_700_000_000, 0), counters: map[string]uint8{}}
	r.car = New(p, func() time.Time { return r.clock })
	return r
}

// A part that no longer comes goes stale, though its message still comes and
// does not change.
func TestPartsHaveTheirOwnAge(t *testing.T) {
	r := smallRig(t)
	part := func(n, always, value byte) {
		r.put("a", canbus.Frame{ID: 256, Len: 8, Data: [64]byte{n, always, value}})
		r.wait(100 * time.Millisecond)
	}
	const fuel, volts = "Vehicle.Powertrain.FuelSystem.AbsoluteLevel", "Vehicle.LowVoltageBattery.CurrentVoltage"
	part(0, 5, 40)
	part(1, 5, 12)
	r.want(pathSpeed, profile.Float(5))
	r.want(fuel, profile.Float(40))
	r.want(volts, profile.Float(12))
	for range 8 { // three cycles of two parts
		part(1, 5, 12)
	}
	r.want(pathSpeed, profile.Float(5))
	r.want(volts, profile.Float(12))
	r.wantQuality(fuel, Stale)
}

func TestSecretsAreNotKept(t *testing.T) {
	r := smallRig(t)
	secret := []byte{0xDE, 0xAD, 0xBE, 0xEF}
	f := canbus.Frame{ID: 257, Len: 8, Data: [64]byte{1}}
	copy(f.Data[4:], secret)
	r.put("a", f)
	r.want("Vehicle.Body.Hood.IsOpen", profile.Bool(true))
	for _, p := range r.car.last {
		if bytes.Contains(p.data[:], secret) {
			t.Error("the masked octets were kept")
		}
	}
}
