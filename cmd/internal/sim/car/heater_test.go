package car

import (
	"testing"
	"time"
)

func vent(minutes float64) map[string]float64 {
	return map[string]float64{"REF_Aux_Cmd": auxStart, "REF_Aux_Mode": float64(ventilating), "REF_Aux_Minutes": minutes}
}

func heat(minutes float64) map[string]float64 {
	return map[string]float64{"REF_Aux_Cmd": auxStart, "REF_Aux_Mode": float64(heating), "REF_Aux_Minutes": minutes}
}

func TestVentilates(t *testing.T) {
	live(t, func(r *rig) {
		r.send(auxReq, 3, 200*ms, vent(2))
		r.do("wait ventilating 1s")
		r.want(auxState, "REF_Aux_Active", uint64(ventilating))
		r.want(auxState, "REF_Aux_Remaining", 2)
		r.pass(time.Minute)
		r.want(auxState, "REF_Aux_Remaining", 1)
		r.do("wait aux_off 65s")
		r.want(auxState, "REF_Aux_Active", 0)
		r.want(auxState, "REF_Aux_RunOn", 0)
	})
}

func TestOneAuxFrameIsNoRequest(t *testing.T) {
	live(t, func(r *rig) {
		r.send(auxReq, 1, time.Second, vent(10))
		bad := r.request(auxReq, vent(10))
		bad.Data[0] ^= 1
		for range 5 {
			if err := r.ends[body].Send(r.ctx, bad); err != nil {
				t.Fatal(err)
			}
		}
		r.pass(3 * time.Second)
		if s := r.state(); s.Aux != "off" {
			t.Errorf("%s after one good frame and five bad ones", s.Aux)
		}
	})
}

func TestHeatsAndRunsOn(t *testing.T) {
	live(t, func(r *rig) {
		r.send(auxReq, 3, 200*ms, heat(60))
		r.do("wait heating 5s")
		r.pass(time.Minute)
		r.want(sth, "STH_Zusatzheizung", 1)
		if n := r.now(sth, "STH_Wassertemp"); n <= r.firstRaw(sth, "STH_Wassertemp") {
			t.Errorf("the water stays at raw %d", n)
		}
		r.send(auxReq, 2, 200*ms, map[string]float64{"REF_Aux_Cmd": auxStop})
		r.send(auxReq, 2, 200*ms, nil)
		r.want(auxState, "REF_Aux_Active", 0)
		r.want(auxState, "REF_Aux_RunOn", 1)
		r.pass(118 * time.Second)
		r.want(auxState, "REF_Aux_RunOn", 1)
		r.pass(2 * time.Second)
		r.want(auxState, "REF_Aux_RunOn", 0)
		r.send(auxReq, 3, 200*ms, heat(60)) // the same request anew
		r.do("wait heating 5s")
		r.do("ignition on", "wait aux_off 0s", "ignition off")
		r.pass(10 * time.Second)
		r.send(auxReq, 3, 200*ms, heat(60)) // and without a rest frame in between
		r.do("wait heating 5s")
	})
}

func (r *rig) firstRaw(m *message, signal string) uint64 {
	f := r.of(m)[0]
	return m.signal(signal).raw(&f.Data)
}

func TestAuxRequestIsRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup string
		ask   map[string]float64
		want  auxRefusal
	}{
		{"ignition", "ignition on", vent(10), auxIgnition},
		{"voltage", "volts 11.9", vent(10), auxLowVoltage},
		{"fuel", "fuel 7", heat(10), auxLowFuel},
		{"fault", "fault heater", vent(10), auxFault},
		{"crash", "crash rear 3", heat(10), auxFault},
		{"climate", "wake", map[string]float64{"REF_Aux_Cmd": auxStart, "REF_Aux_Mode": float64(climate), "REF_Aux_Minutes": 10}, auxNotFitted},
		{"no mode", "wake", map[string]float64{"REF_Aux_Cmd": auxStart, "REF_Aux_Minutes": 10}, auxNotFitted},
		{"no time", "wake", vent(0), auxFault},
		{"too long", "wake", vent(61), auxFault},
	} {
		t.Run(c.name, func(t *testing.T) {
			live(t, func(r *rig) {
				r.do(c.setup)
				r.send(auxReq, 1, 200*ms, c.ask)
				r.mark()
				r.send(auxReq, 3, 200*ms, c.ask)
				r.pass(3 * time.Second)
				if d := r.first(auxState, "REF_Aux_Refusal", uint64(c.want)); d != 0 {
					t.Errorf("refusal %d after %v, want at once", c.want, d)
				}
				r.want(auxState, "REF_Aux_Refusal", 0)
				if s := r.state(); s.Aux != "off" {
					t.Errorf("%s all the same", s.Aux)
				}
			})
		})
	}
}

func TestVentilationNeedsNoFuel(t *testing.T) {
	live(t, func(r *rig) {
		r.do("fuel 7")
		r.send(auxReq, 3, 200*ms, vent(10))
		r.do("wait ventilating 1s")
	})
}

func TestAuxEndsWhenItMayNotGoOn(t *testing.T) {
	for line, want := range map[string]auxRefusal{
		"ignition on": auxIgnition, "volts 11": auxLowVoltage, "fault heater": auxFault, "crash front 7": auxAccepted,
	} {
		live(t, func(r *rig) {
			r.send(auxReq, 3, 200*ms, vent(30))
			r.do("wait ventilating 1s", line)
			if s := r.state(); s.Aux != "off" || s.AuxRefuse != want {
				t.Errorf("%s: %s, refusal %d", line, s.Aux, s.AuxRefuse)
			}
		})
	}
}
