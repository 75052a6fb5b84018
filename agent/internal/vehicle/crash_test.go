package vehicle

import (
	"testing"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

// driving brings the car to where a crash counts: ignition on, airbag unit heard.
func driving(r *rig) {
	for range 2 {
		r.terminals(1, 1)
		r.airbag()
	}
}

func (r *rig) airbag(sets ...dbc.Set) {
	r.t.Helper()
	r.send("drive", "Airbag_01", sets...)
	r.wait(40 * time.Millisecond)
}

func TestCrashNeedsTwoFrames(t *testing.T) {
	r := newRig(t)
	r.wantQuality(profile.CrashDetected, Never)
	driving(r)
	r.want(profile.CrashDetected, profile.Bool(false))
	r.wantQuality(profile.CrashDirection, Unavailable)
	front := []dbc.Set{dbc.Raw("AB_Front_Crash", 1), dbc.Raw("AB_Crash_Int", 5)}
	r.airbag(front...)
	r.want(profile.CrashDetected, profile.Bool(false))
	r.airbag() // not in a row
	r.airbag(front...)
	r.want(profile.CrashDetected, profile.Bool(false))
	r.airbag(front...)
	r.want(profile.CrashDetected, profile.Bool(true))
	r.want(profile.CrashDirection, profile.Word("FRONT"))
	r.want(profile.CrashSeverity, profile.Int(5))
	if a := r.car.State().NoCrash(r.clock); a != No {
		t.Errorf("no crash: %q", a)
	}
	r.wait(24 * time.Hour) // the bus died
	r.want(profile.CrashDetected, profile.Bool(true))
}

func TestCrashIsNotBelieved(t *testing.T) {
	rear := dbc.Raw("AB_Heck_Crash", 1)
	for _, c := range []struct {
		name string
		do   func(r *rig)
	}{
		{"actuator test", func(r *rig) {
			for range 5 {
				r.airbag(rear, dbc.Raw("AB_Stellgliedtest", 1))
			}
		}},
		{"diagnosis", func(r *rig) {
			for range 5 {
				r.airbag(rear, dbc.Raw("AB_Diagnose", 1))
			}
		}},
		{"two bits, each once", func(r *rig) {
			r.airbag(rear)
			r.airbag(dbc.Raw("AB_Front_Crash", 1))
		}},
		{"frames too far apart", func(r *rig) {
			for range 5 {
				r.airbag(rear)
				r.wait(170 * time.Millisecond)
			}
		}},
		{"bad checksum", func(r *rig) {
			for range 5 {
				f := r.frame("drive", "Airbag_01", rear)
				f.Data[0]++
				r.put("drive", f)
			}
		}},
		{"same frame again", func(r *rig) {
			f := r.frame("drive", "Airbag_01", rear)
			for range 5 {
				r.put("drive", f)
			}
		}},
		{"ignition off for long", func(r *rig) {
			r.terminals(0, 0)
			r.wait(11 * time.Second)
			for range 5 {
				r.airbag(rear)
			}
		}},
		{"hazard message alone", func(r *rig) {
			for range 5 {
				r.send("body", "Blinkmodi_02", dbc.Raw("BM_Crash", 1))
				r.wait(20 * time.Millisecond)
			}
		}},
	} {
		r := newRig(t)
		driving(r)
		c.do(r)
		if got := r.get(profile.CrashDetected); got.Value == profile.Bool(true) {
			t.Errorf("%s: taken for a crash", c.name)
		}
	}
}

func TestCrashIsForgottenSlowly(t *testing.T) {
	r := newRig(t)
	driving(r)
	r.airbag(dbc.Raw("AB_SB_Crash", 1))
	r.airbag(dbc.Raw("AB_SB_Crash", 1))
	for range 59 * 25 {
		r.airbag()
	}
	r.want(profile.CrashDetected, profile.Bool(true))
	r.want(profile.CrashDirection, profile.Word("PASSENGER"))
	for range 2 * 25 {
		r.airbag()
	}
	r.want(profile.CrashDetected, profile.Bool(false))
	r.wantQuality(profile.CrashDirection, Unavailable)
}

// A body bus that was woken alone says enough about a car that was parked.
func TestNoCrashWhileTheDriveBusSleeps(t *testing.T) {
	r := newRig(t)
	driving(r)
	for range 3 {
		r.speed(0)
		r.terminals(0, 0)
	}
	r.wait(time.Minute)
	r.wantQuality(profile.CrashDetected, Stale)
	if a := r.car.State().NoCrash(r.clock); a != Yes {
		t.Errorf("no crash: %q of a car that fell asleep in order", a)
	}
	r.send("body", "Blinkmodi_02")
	r.want(profile.CrashDetected, profile.Bool(false))
}
