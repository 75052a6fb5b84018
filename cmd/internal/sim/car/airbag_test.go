package car

import (
	"testing"
	"time"
)

func TestCrash(t *testing.T) {
	for dir, name := range crashSignal {
		live(t, func(r *rig) {
			r.do("ignition on")
			r.pass(3 * time.Second)
			r.mark()
			r.do("crash " + string(dir) + " 7")
			r.pass(time.Second)
			var at []time.Duration
			for _, h := range r.of(airbag01) {
				at = append(at, h.at.Sub(r.from))
				for other, s := range crashSignal {
					if got := airbag01.signal(s).raw(&h.Data) == 1; got != (other == dir) {
						t.Errorf("%s: %s is %v", name, s, got)
					}
				}
			}
			for i, want := range []time.Duration{0, 5 * ms, 10 * ms, 50 * ms, 90 * ms} {
				if at[i] != want {
					t.Errorf("%s: frame %d after %v, want %v", dir, i, at[i], want)
				}
			}
			r.want(airbag01, "AB_Crash_Int", 7)
			r.want(airbag01, "AB_EDR_Trigger", deployment)
			r.want(airbag01, "AB_Deaktivierung_HV", 1)
			r.want(airbag01, "AB_Stellgliedtest", 0)
			if d := r.first(blinkmodi, "BM_Crash", 1); d != crashNoticed {
				t.Errorf("BM_Crash after %v", d)
			}
			r.want(blinkmodi, "BM_Warnblinken", 1)
			r.do("reset")
			r.pass(200 * ms)
			r.want(airbag01, name, 0)
			r.want(blinkmodi, "BM_Crash", 0)
		})
	}
}

func TestCrashUnlocks(t *testing.T) {
	live(t, func(r *rig) {
		r.lock()
		r.pass(20 * time.Second) // asleep
		r.do("wait asleep 0s")
		r.mark()
		r.do("crash front 7")
		if d := r.first(airbag01, "AB_Front_Crash", 1); d != 0 {
			t.Errorf("said after %v", d)
		}
		r.do("wait unlocked 1s")
		if d := time.Since(r.from); d != 200*ms {
			t.Errorf("unlocked after %v", d)
		}
		r.pass(time.Minute)
		s := r.state()
		if s.Locked || s.Armed || !s.FuelCut || !s.Blinking {
			t.Errorf("%+v", s)
		}
	})
}

func TestLightCrashFiresNothing(t *testing.T) {
	live(t, func(r *rig) {
		r.do("ignition on", "crash rear 2")
		r.want(airbag01, "AB_Heck_Crash", 1)
		r.want(airbag01, "AB_EDR_Trigger", nonDeployment)
		r.want(airbag01, "AB_Deaktivierung_HV", 0)
	})
}

func TestBusesDieAfterACrash(t *testing.T) {
	live(t, func(r *rig) {
		r.do("ignition on")
		r.pass(time.Second)
		r.mark()
		r.do("crash front 7 bus_dies_after 15ms")
		r.pass(5 * time.Second)
		if n := len(r.of(airbag01)); n != 3 {
			t.Errorf("%d frames of the airbag, want 3", n)
		}
		for _, h := range r.heard {
			if d := h.at.Sub(r.from); d > 15*ms {
				t.Errorf("%s sends %v after the crash", h.bus, d)
			}
		}
		r.ask(signed("TM_Door_Lock"))
		r.do("wait dead 0s", "reset", "wait awake 0s")
		r.pass(time.Second)
		if len(r.of(esp21)) == 0 {
			t.Error("dead after reset")
		}
	})
}

func TestSpeed(t *testing.T) {
	live(t, func(r *rig) {
		r.pass(280 * ms)
		r.want(esp21, "ESP_v_Signal", 65534)
		r.want(esp21, "ESP_QBit_v_Signal", 1)
		r.pass(40 * ms)
		r.want(esp21, "ESP_v_Signal", 0)
		r.want(esp21, "ESP_QBit_v_Signal", 0)
		before := r.state()
		r.do("ignition on", "speed 54")
		last := 0.0
		for range 100 {
			r.pass(100 * ms)
			v := float64(r.now(esp21, "ESP_v_Signal")) / 100
			if a := (v - last) / 3.6 / 0.1; a > 3.7 { // 3 m/s², and one cycle of uncertainty
				t.Fatalf("%.1f m/s² at %.0f km/h", a, v)
			}
			last = v
		}
		if last != 54 {
			t.Errorf("%.1f km/h", last)
		}
		r.want(kombi01, "KBI_angez_Geschw", 169) // 54/0.32, rounded
		r.want(gateway73, "GE_Fahrstufe", 8)
		r.pass(60 * time.Second)
		after := r.state()
		if km := after.Odometer - before.Odometer; km < 0.9 || km > 1.1 {
			t.Errorf("%.2f km in 70 s", km)
		}
		if after.Lat <= before.Lat || after.Lon <= before.Lon {
			t.Errorf("from %v,%v to %v,%v on the way north-east", before.Lat, before.Lon, after.Lat, after.Lon)
		}
		r.do("speed 0", "wait stopped 10s")
	})
}

func TestIgnition(t *testing.T) {
	for position, want := range map[string][4]uint64{ // S 15 X 50
		"off": {0, 0, 0, 0}, "acc": {1, 0, 0, 0}, "on": {1, 1, 1, 0}, "start": {1, 1, 0, 1},
	} {
		live(t, func(r *rig) {
			r.do("ignition " + position)
			r.pass(200 * ms)
			for i, name := range []string{"ZAS_Kl_S", "ZAS_Kl_15", "ZAS_Kl_X", "ZAS_Kl_50"} {
				r.want(klemmen, name, want[i])
			}
			if r.pass(time.Second); position == "start" {
				r.want(klemmen, "ZAS_Kl_50", 0)
				r.want(klemmen, "ZAS_Kl_15", 1)
			}
		})
	}
}
