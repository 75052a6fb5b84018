package car

import (
	"slices"
	"testing"
	"time"
)

func TestLockRequestIsCarriedOut(t *testing.T) {
	live(t, func(r *rig) {
		r.ask(signed("TM_Door_Lock"))
		r.send(tm01, 2, 100*ms, nil)
		r.pass(2 * time.Second)
		if d := r.first(zv02, "ZV_verriegelt_extern_ist", 1); d != 350*ms {
			t.Errorf("locked after %v, want 350 ms", d)
		}
		if d := r.first(zv02, "DWA_aktiv", 1); d != 500*ms {
			t.Errorf("armed after %v, want 500 ms", d)
		}
		for i, m := range doorMessages {
			d := r.first(m, doorPrefix[i]+"_verriegelt", 1)
			if d < 120*ms || d > 320*ms {
				t.Errorf("%s locked after %v", m.name, d)
			}
		}
		if n := r.blinks(); n != 2 {
			t.Errorf("%d blinks, want 2", n)
		}
		if r.first(blinkmodi, "BM_ZV_zu", 1) != 0 || r.first(blinkmodi, "BM_ZV_auf", 1) != -1 {
			t.Error("the lamps do not say that it locks")
		}
		r.want(blinkmodi, "BM_Telematik_Abbruchgrund", 0)
		if s := r.state(); !s.Locked || !s.Reported || !s.Armed {
			t.Errorf("%+v", s)
		}
	})
}

// blinks counts how often the lamps went on since the mark.
func (r *rig) blinks() (n int) {
	on := false
	for _, h := range r.of(blinkmodi) {
		lamp := blinkmodi.signal("Blinken_li_Fzg_Takt").raw(&h.Data) == 1
		if lamp && !on {
			n++
		}
		on = lamp
	}
	return n
}

func TestLockRequestIsRefused(t *testing.T) {
	lock, unlock := signed("TM_Door_Lock"), signed("TM_Door_Unlock")
	for _, c := range []struct {
		name  string
		setup []string
		ask   map[string]float64
		want  abort
	}{
		{"wrong signature", nil, map[string]float64{"TM_Door_Lock": 1, "TM_ZV_Signatur": 1235}, notCoded},
		{"no signature", nil, map[string]float64{"TM_Door_Lock": 1}, notCoded},
		{"no signature, unlock", nil, map[string]float64{"TM_Door_Unlock": 1}, notCoded},
		{"moving", []string{"speed 50"}, lock, tooFast},
		{"moving with ignition on", []string{"ignition on", "speed 50"}, unlock, tooFast},
		{"defect", []string{"fault defect"}, lock, defect},
		{"terminal S", []string{"ignition acc"}, lock, terminalS},
		{"terminal 15", []string{"ignition on"}, lock, terminal15},
		{"terminal 15, unlock", []string{"ignition on"}, unlock, terminal15},
		{"driver's door open", []string{"door driver open"}, lock, doorOpen},
		{"crash", []string{"crash front 7"}, lock, isBusy},
		{"panic", []string{"key 1 panic"}, lock, isBusy},
		{"signature before all else", []string{"speed 50", "ignition on"}, map[string]float64{"TM_Door_Lock": 1}, notCoded},
		{"lock and unlock", nil, map[string]float64{"TM_Door_Lock": 1, "TM_Door_Unlock": 1, "TM_ZV_Signatur": DefaultSignature}, contradicts},
	} {
		t.Run(c.name, func(t *testing.T) {
			live(t, func(r *rig) {
				r.do(c.setup...)
				r.pass(time.Second)
				before := r.state().Locked
				r.ask(c.ask)
				r.pass(reasonTime + 100*ms)
				if d := r.first(blinkmodi, "BM_Telematik_Abbruchgrund", uint64(c.want)); d != 0 {
					t.Errorf("reason %d after %v, want at once", c.want, d)
				}
				r.want(blinkmodi, "BM_Telematik_Abbruchgrund", 0)
				if r.first(blinkmodi, "BM_ZV_zu", 1) >= 0 || r.first(blinkmodi, "BM_ZV_auf", 1) >= 0 {
					t.Error("the lamps say that it did it")
				}
				if s := r.state(); s.Locked != before || s.Reported != before {
					t.Errorf("the locks moved: %+v", s)
				}
			})
		})
	}
}

func TestReasonStaysTwoSeconds(t *testing.T) {
	live(t, func(r *rig) {
		r.do("ignition acc")
		r.ask(signed("TM_Door_Lock"))
		r.pass(3 * time.Second)
		r.from = r.from.Add(ms) // past the first frame that says why
		if d := r.first(blinkmodi, "BM_Telematik_Abbruchgrund", 0); d != 2*time.Second-ms {
			t.Errorf("the reason was gone after %v", d+ms)
		}
	})
}

func TestBusyWhileTheLocksMove(t *testing.T) {
	live(t, func(r *rig) {
		r.ask(signed("TM_Door_Lock"))
		r.send(tm01, 1, 0, nil)
		r.send(tm01, 2, 10*ms, signed("TM_Door_Unlock"))
		r.want(blinkmodi, "BM_Telematik_Abbruchgrund", uint64(isBusy))
		r.do("wait locked 1s")
	})
}

func TestOneFrameIsNoRequest(t *testing.T) {
	live(t, func(r *rig) {
		r.send(tm01, 1, 100*ms, signed("TM_Door_Lock"))
		r.send(tm01, 1, 100*ms, nil)
		r.send(tm01, 1, 100*ms, signed("TM_Door_Lock"))
		r.send(tm01, 1, 600*ms, map[string]float64{"TM_Door_Lock": 1, "TM_ZV_Signatur": 7}) // then silence
		r.send(tm01, 1, 600*ms, signed("TM_Door_Lock"))
		r.pass(time.Second)
		if s := r.state(); s.Locked || s.Reported || s.Refusal != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestHeldRequestCountsOnce(t *testing.T) {
	live(t, func(r *rig) {
		r.ask(signed("TM_Door_Lock"))
		r.send(tm01, 60, 100*ms, signed("TM_Door_Lock"))
		r.do("wait locked 0s", "key 1 unlock")
		r.send(tm01, 60, 100*ms, signed("TM_Door_Lock"))
		r.do("wait unlocked 0s")
		r.send(tm01, 1, 100*ms, nil)
		r.ask(signed("TM_Door_Lock"))
		r.do("wait locked 1s")
	})
}

func TestDoorMotorsTake120ms(t *testing.T) {
	live(t, func(r *rig) {
		r.do("key 1 lock")
		r.pass(119 * ms)
		if s := r.state(); s.Doors["driver"].Locked {
			t.Error("locked too early")
		}
		r.pass(ms)
		if s := r.state(); !s.Doors["driver"].Locked || s.Locked {
			t.Errorf("%+v", s)
		}
	})
}

func TestLockWithOtherDoorsOpen(t *testing.T) {
	live(t, func(r *rig) {
		r.do("door passenger open", "boot open")
		r.ask(signed("TM_Door_Lock"))
		r.do("wait locked 1s")
		r.pass(time.Second)
		r.want(doorMessages[doorPassenger], "BT_verriegelt", 0)
		r.want(doorMessages[doorDriver], "FT_verriegelt", 1)
		r.want(zv02, "ZV_verriegelt_extern_ist", 1)
		r.do("door passenger closed")
		r.pass(motorTime + 200*ms)
		r.want(doorMessages[doorPassenger], "BT_verriegelt", 1)
		if s := r.state(); s.Alarm {
			t.Error("a door that was open already gives the alarm")
		}
	})
}

func TestUnlockRequest(t *testing.T) {
	live(t, func(r *rig) {
		r.lock()
		r.ask(signed("TM_Door_Unlock"))
		r.send(tm01, 2, 100*ms, nil)
		r.do("wait unlocked 1s")
		r.pass(time.Second)
		r.want(zv02, "ZV_verriegelt_extern_ist", 0)
		r.want(zv02, "DWA_aktiv", 0)
		if n := r.blinks(); n != 1 {
			t.Errorf("%d blinks, want 1", n)
		}
		for i, m := range doorMessages {
			r.want(m, doorPrefix[i]+"_verriegelt", 0)
		}
	})
}

func TestUnlockTakes350ms(t *testing.T) {
	live(t, func(r *rig) {
		r.lock()
		r.ask(signed("TM_Door_Unlock"))
		r.pass(time.Second)
		frames := r.of(zv02)
		i := slices.IndexFunc(frames, func(h heard) bool { return zv02.signal("ZV_verriegelt_extern_ist").raw(&h.Data) == 0 })
		if i < 0 || frames[i].at.Sub(r.from) != 350*ms {
			t.Errorf("unlocked at frame %d of %d", i, len(frames))
		}
	})
}

func TestRelocksUnlessADoorOpens(t *testing.T) {
	for _, open := range []bool{false, true} {
		live(t, func(r *rig) {
			r.lock()
			r.ask(signed("TM_Door_Unlock"))
			start := r.from
			r.send(tm01, 2, 100*ms, nil)
			r.pass(10 * time.Second)
			if open {
				r.do("door rear_driver open", "door rear_driver closed")
			}
			_, err := r.car.Do(r.ctx, "wait locked 60s")
			took := time.Since(start)
			switch {
			case open && err == nil:
				t.Errorf("relocked after %v, although a door was opened", took)
			case !open && (err != nil || took != 45*time.Second+350*ms):
				t.Errorf("relocked after %v: %v", took, err)
			}
		})
	}
}

func TestHornAndLights(t *testing.T) {
	both := map[string]float64{"TM_Warnblinken": 1, "TM_Nur_Hupen": 1}
	live(t, func(r *rig) {
		r.ask(both)
		r.send(tm01, 50, 100*ms, both)
		r.want(blinkmodi, "BM_Telematik", 1)
		if s := r.state(); !s.Horn || !s.Blinking {
			t.Errorf("%+v", s)
		}
		r.send(tm01, 1, 0, nil)
		if s := r.state(); s.Horn || s.Refusal != noReason {
			t.Errorf("goes on after the rest frame: %+v", s)
		}
		r.want(blinkmodi, "BM_Telematik", 0)
	})
	live(t, func(r *rig) { // horn alone
		r.ask(map[string]float64{"TM_Nur_Hupen": 1})
		r.want(blinkmodi, "BM_Telematik", 1)
		if s := r.state(); !s.Horn || s.Blinking {
			t.Errorf("%+v", s)
		}
	})
	live(t, func(r *rig) { // lights alone
		r.ask(map[string]float64{"TM_Warnblinken": 1})
		if s := r.state(); s.Horn || !s.Blinking {
			t.Errorf("%+v", s)
		}
	})
	live(t, func(r *rig) { // the sender dies
		r.ask(both)
		r.pass(500 * ms)
		r.want(blinkmodi, "BM_Telematik_Abbruchgrund", uint64(dropped))
		if s := r.state(); s.Horn {
			t.Error("sounds without a sender")
		}
	})
	live(t, func(r *rig) { // the sender is stuck
		r.ask(both)
		r.send(tm01, 299, 100*ms, both)
		if s := r.state(); !s.Horn {
			t.Error("quiet before 30 s")
		}
		r.send(tm01, 10, 100*ms, both)
		if s := r.state(); s.Horn || s.Refusal != timeOver {
			t.Errorf("sounds after 30 s: %+v", s)
		}
	})
}

func TestHornAndLightsNeedIgnitionOff(t *testing.T) {
	lights := map[string]float64{"TM_Warnblinken": 1}
	live(t, func(r *rig) {
		r.do("ignition on")
		r.ask(lights)
		r.want(blinkmodi, "BM_Telematik", 0)
		r.want(blinkmodi, "BM_Telematik_Abbruchgrund", uint64(terminal15))
	})
	live(t, func(r *rig) {
		r.do("ignition acc") // terminal S does not matter
		r.ask(lights)
		r.want(blinkmodi, "BM_Telematik", 1)
		r.do("ignition on")
		r.want(blinkmodi, "BM_Telematik", 0)
		r.want(blinkmodi, "BM_Telematik_Abbruchgrund", uint64(terminal15))
	})
}

func TestBodyControllerFaults(t *testing.T) {
	live(t, func(r *rig) {
		r.do("fault lie lock")
		r.ask(signed("TM_Door_Lock"))
		r.pass(time.Second)
		r.want(zv02, "ZV_verriegelt_extern_ist", 1)
		r.want(doorMessages[doorDriver], "FT_verriegelt", 0)
		if s := r.state(); s.Locked || !s.Reported {
			t.Errorf("%+v", s)
		}
	})
	live(t, func(r *rig) {
		r.do("fault slow_bcm 4s")
		r.ask(signed("TM_Door_Lock"))
		r.pass(10 * time.Second)
		if d := r.first(zv02, "ZV_verriegelt_extern_ist", 1); d != 4350*ms {
			t.Errorf("locked after %v", d)
		}
	})
	live(t, func(r *rig) {
		r.do("fault no_answer")
		r.ask(signed("TM_Door_Lock"))
		r.pass(time.Second)
		if s := r.state(); s.Locked || s.Refusal != noReason {
			t.Errorf("%+v", s)
		}
		r.do("fault no_answer off")
		r.send(tm01, 1, 0, nil)
		r.ask(signed("TM_Door_Lock"))
		r.do("wait locked 1s")
	})
}
