package car

import (
	"testing"
	"time"
)

func TestKeyWorksWithIgnitionOff(t *testing.T) {
	live(t, func(r *rig) {
		r.do("key 2 lock", "wait locked 1s", "wait armed 1s")
		r.want(zv02, "ZV_Schluessel_Zugang", 2)
		r.do("key 1 unlock weak", "wait unlocked 1s")
		r.want(zv02, "ZV_Schluessel_Zugang", 1)
		r.want(zv02, "FBS_Warn_Schluessel_Batt", 1)
		r.want(zv02, "DWA_aktiv", 0)
		r.want(keysMessage, "REF_Key_Id", 0)
		r.do("key 15 boot")
		r.want(zv02, "ZV_HD_offen", 1)
		r.do("key 1 panic")
		r.want(blinkmodi, "BM_Panik", 1)
		r.do("wait quiet 31s")
	})
}

func TestStrangeKeysDoNothing(t *testing.T) {
	for _, line := range []string{"key 9 lock", "key 3 lock", "key 1 lock replay", "key 1 lock fake"} {
		live(t, func(r *rig) {
			if said := r.do(line); said == "" {
				t.Errorf("%s: says nothing", line)
			}
			r.pass(time.Second)
			if s := r.state(); s.Locked {
				t.Errorf("%s: locked", line)
			}
		})
	}
}

func TestKeyIsIgnoredWithIgnitionOn(t *testing.T) {
	live(t, func(r *rig) {
		r.do("ignition on", "key 1 lock")
		r.pass(time.Second)
		if s := r.state(); s.Locked {
			t.Error("locked")
		}
		r.want(keysMessage, "REF_Key_Id", 0)
	})
}

// listen makes the car listen for keys, and goes on asking until the test ends.
func (r *rig) listen(d time.Duration) {
	r.Helper()
	r.send(keyListen, int(d/(200*ms)), 200*ms, map[string]float64{"REF_Listen_Req": 1})
}

func TestListeningShowsThePress(t *testing.T) {
	live(t, func(r *rig) {
		r.do("ignition on")
		r.listen(time.Second)
		r.want(keysMessage, "REF_Listen", 1)
		r.want(keysMessage, "REF_Keys_Learned", 2)
		count := r.now(keysMessage, "REF_Key_Press")
		for i, c := range []struct {
			line                    string
			key, valid, weak, count uint64
		}{
			{"key 1 unlock", 1, 1, 0, 1},
			{"key 2 unlock weak", 2, 1, 1, 2},
			{"key 2 unlock replay", 2, 1, 0, 2},
			{"key 2 unlock fake", 2, 0, 0, 3},
			{"key 9 unlock", 9, 0, 0, 4},
			{"key 15 unlock", 15, 1, 0, 5},
		} {
			r.mark()
			r.do(c.line)
			r.listen(time.Second)
			shown := 0
			for _, h := range r.of(keysMessage) {
				raw := func(name string) uint64 { return keysMessage.signal(name).raw(&h.Data) }
				if raw("REF_Key_Id") == 0 {
					continue
				}
				shown++
				if raw("REF_Key_Id") != c.key || raw("REF_Key_Valid") != c.valid || raw("REF_Key_BattLow") != c.weak ||
					raw("REF_Key_Press") != count+c.count || raw("REF_Key_Button") != 2 {
					t.Errorf("%d: %s is shown as %X", i, c.line, h.Payload())
				}
			}
			if shown != 3 {
				t.Errorf("%s: shown in %d frames, want 3", c.line, shown)
			}
		}
		if r.first(zv02, "ZV_verriegelt_extern_ist", 1) >= 0 {
			t.Error("the doors moved")
		}
	})
}

func TestListeningEnds(t *testing.T) {
	live(t, func(r *rig) { // nobody asks any more
		r.do("ignition on")
		r.listen(time.Second)
		r.do("wait listening 0s", "wait deaf 1100ms")
	})
	live(t, func(r *rig) { // it is told to
		r.do("ignition on")
		r.listen(time.Second)
		r.send(keyListen, 1, 0, nil)
		r.do("wait deaf 0s")
	})
	live(t, func(r *rig) { // ignition off
		r.do("ignition on")
		r.listen(time.Second)
		r.do("ignition off", "wait deaf 0s")
		r.listen(time.Second)
		r.do("wait deaf 0s")
	})
	live(t, func(r *rig) { // after 150 s, until it was asked anew
		r.do("ignition on")
		r.listen(150 * time.Second)
		r.do("wait listening 0s")
		r.listen(30 * time.Second)
		r.do("wait deaf 0s")
		r.send(keyListen, 2, 200*ms, nil)
		r.listen(time.Second)
		r.do("wait listening 0s")
	})
}

func TestAlarm(t *testing.T) {
	for line, source := range map[string]uint64{
		"door driver open": 1, "door passenger open": 2, "door rear_driver open": 3, "door rear_passenger open": 4,
		"bonnet open": 5, "boot open": 6, "alarm window": 7, "alarm interior": 8, "alarm tilt": 11,
	} {
		live(t, func(r *rig) {
			r.lock()
			r.do(line)
			r.want(blinkmodi, "BM_DWA_Alarm", 1)
			r.want(blinkmodi, "DWA_Alarmquelle", source)
			r.do("wait horn 0s", "key 1 unlock")
			r.want(blinkmodi, "BM_DWA_Alarm", 0)
			r.do("wait quiet 0s")
		})
	}
}

func TestAlarmSoundsThreeTimes(t *testing.T) {
	live(t, func(r *rig) {
		r.lock()
		r.do("door driver open")
		rounds, loud := 0, time.Duration(0)
		for was := false; r.state().Alarm; r.pass(100 * ms) {
			horn := r.state().Horn
			if horn && !was {
				rounds++
			}
			if was = horn; horn {
				loud += 100 * ms
			}
		}
		if rounds != 3 || loud != 90*time.Second {
			t.Errorf("%d times, %v in all", rounds, loud)
		}
		if s := r.state(); !s.Armed {
			t.Error("disarmed by time")
		}
	})
}

func TestUnlockedCarGivesNoAlarm(t *testing.T) {
	live(t, func(r *rig) {
		r.do("door driver open", "boot open", "bonnet open")
		r.pass(2 * time.Second)
		r.want(blinkmodi, "BM_DWA_Alarm", 0)
		if _, err := r.car.Do(r.ctx, "alarm tilt"); err == nil {
			t.Error("tilt alarm of an unlocked car")
		}
	})
	live(t, func(r *rig) { // an alarm keeps the telematics out
		r.lock()
		r.do("alarm tilt")
		r.ask(signed("TM_Door_Unlock"))
		r.want(blinkmodi, "BM_Telematik_Abbruchgrund", uint64(isBusy))
		r.do("wait locked 0s")
	})
}
