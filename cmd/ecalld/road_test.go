//go:build production

package main

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/modem"
)

// TestRoad is the build that is sold: a real crash and a real key dial, before
// the modem has said who it is, and a crash in a simulation or a recording goes
// to the test number.
func TestRoad(t *testing.T) {
	for _, c := range []struct {
		origin canbus.Origin
		want   string
	}{
		{canbus.Adapter, "dial automatic  armed=unit number=false"},
		{canbus.Simulation, "dial test  armed=bench number=true"},
		{canbus.Recording, "dial test  armed=bench number=true"},
		{"", "dial test  armed=bench number=true"},
	} {
		for _, ready := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, t.Context(), testConfig, &fakeModem{caps: modem.Caps{LateMSD: true}})
				r.in <- busUp{0, modem.CANTrigger(c.origin, "can0")}
				if ready {
					r.says(modem.Ready)
				}
				r.did()
				r.crash()
				if got := r.did(); (ready || c.origin == canbus.Adapter) && !strings.HasPrefix(got, c.want) || strings.Contains(got, "armed=unit") != (c.origin == canbus.Adapter) {
					t.Errorf("%q, ready %v: %s, want %s", c.origin, ready, got, c.want)
				}
				r.stop()
			})
		}
	}
}
