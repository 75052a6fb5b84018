package car

import (
	"testing"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

func TestSleepsTenSecondsAfterTheLastReason(t *testing.T) {
	live(t, func(r *rig) {
		r.do("ignition on")
		r.pass(time.Minute)
		r.do("wait awake 0s", "ignition off")
		off := r.mark()
		r.do("wait asleep 60s")
		if d := time.Since(off); d != 10*time.Second {
			t.Errorf("asleep after %v", d)
		}
		r.mark()
		r.pass(time.Hour)
		if r.hear(); len(r.heard) > 0 {
			t.Errorf("%d frames in its sleep", len(r.heard))
		}
	})
}

func TestWakes(t *testing.T) {
	wakeFrame := canbus.Frame{ID: 0x17330301, Flags: canbus.Extended, Len: 8, Data: [64]byte{0x40, 0, 1, 0x1F}}
	for name, wake := range map[string]func(r *rig){
		"any frame": func(r *rig) {
			if err := r.ends[body].Send(r.ctx, wakeFrame); err != nil {
				t.Fatal(err)
			}
		},
		"ignition": func(r *rig) { r.do("ignition on") },
		"door":     func(r *rig) { r.do("door rear_passenger open") },
		"boot":     func(r *rig) { r.do("boot open") },
		"key":      func(r *rig) { r.do("key 1 lock") },
		"verb":     func(r *rig) { r.do("wake") },
		"sos":      func(r *rig) { r.do("sos press") },
		"charging": func(r *rig) { r.do("plug 1") },
	} {
		t.Run(name, func(t *testing.T) {
			live(t, func(r *rig) {
				r.do("sleep", "wait asleep 0s")
				r.mark()
				wake(r)
				r.pass(time.Second)
				r.hear()
				for b := range buses {
					n := 0
					for _, h := range r.heard {
						if h.bus == b {
							n++
						}
					}
					if n == 0 {
						t.Errorf("%s stays asleep", b)
					}
				}
			})
		})
	}
}

func TestKeepAliveKeepsAwake(t *testing.T) {
	live(t, func(r *rig) {
		for range 60 {
			r.send(tm01, 1, time.Second, nil)
		}
		r.do("wait awake 0s")
		r.pass(10 * time.Second)
		r.do("wait asleep 0s")
	})
}

func TestFramesOnOtherBusesDoNotWake(t *testing.T) {
	live(t, func(r *rig) {
		r.do("sleep")
		for _, b := range []bus{drive, fd} {
			if err := r.ends[b].Send(r.ctx, canbus.Frame{ID: 0x123}); err != nil {
				t.Fatal(err)
			}
		}
		r.pass(time.Second)
		r.do("wait asleep 0s")
	})
}

func TestSleepsNotWhileItIsNeeded(t *testing.T) {
	live(t, func(r *rig) {
		r.do("ignition acc")
		if _, err := r.car.Do(r.ctx, "sleep"); err == nil {
			t.Error("sleeps with the ignition on")
		}
	})
}

// TestCycleTimes counts what is sent in ten seconds with the ignition on: every
// message of the table, each as often as it says.
func TestCycleTimes(t *testing.T) {
	live(t, func(r *rig) {
		r.do("ignition on")
		r.pass(time.Second)
		r.mark()
		r.pass(10 * time.Second)
		sent := map[uint32]int{}
		r.hear()
		for _, h := range r.heard {
			sent[h.ID]++
			if h.m == nil && h.ID&^0xFF != networkBase {
				t.Errorf("%X is sent and stands in no table", h.ID)
			}
			if h.m != nil && h.m.bus != h.bus {
				t.Errorf("%s is sent on %s", h.m.name, h.bus)
			}
		}
		for _, s := range newSenders() {
			if s.m == tm01 {
				continue
			}
			want := int(10 * time.Second / s.m.cycle)
			if got := sent[s.m.id]; got < want-1 || got > want+1 {
				t.Errorf("%s: %d frames in 10 s, want %d", s.m.name, got, want)
			}
		}
	})
}

func TestBlinkmodiIsFastWhileBlinking(t *testing.T) {
	live(t, func(r *rig) {
		r.do("key 1 panic")
		r.mark()
		r.pass(10 * time.Second)
		if n := len(r.of(blinkmodi)); n < 490 || n > 540 { // changes are sent besides
			t.Errorf("%d frames in 10 s", n)
		}
	})
}

func TestVINInThreeParts(t *testing.T) {
	live(t, func(r *rig) {
		r.do("ignition on")
		r.pass(3 * time.Second)
		vin := make([]byte, 17)
		for _, h := range r.of(vin01) {
			switch h.Data[0] & 3 {
			case 0:
				copy(vin, h.Data[5:8])
				if [4]byte(h.Data[1:5]) != secret {
					t.Errorf("secret is %X", h.Data[1:5])
				}
			case 1:
				copy(vin[3:], h.Data[1:8])
			case 2:
				copy(vin[10:], h.Data[1:8])
			}
		}
		if string(vin) != DefaultVIN {
			t.Errorf("VIN %q", vin)
		}
	})
}

func TestSOSButton(t *testing.T) {
	live(t, func(r *rig) {
		r.pass(time.Second)
		r.mark()
		r.do("sos press")
		if d := r.first(sosMessage, "REF_SOS_Pressed", 1); d != 0 {
			t.Errorf("pressed after %v", d)
		}
		r.pass(5 * time.Second)
		if n := len(r.of(sosMessage)); n != 11 {
			t.Errorf("%d frames in 5 s", n)
		}
		r.mark()
		r.do("sos release")
		if d := r.first(sosMessage, "REF_SOS_Pressed", 0); d != 0 {
			t.Errorf("released after %v", d)
		}
	})
}

func TestFactoryUnit(t *testing.T) {
	live(t, func(r *rig) {
		r.do("factory_unit 1")
		r.pass(200 * ms)
		r.mark()
		r.pass(10 * time.Second)
		frames := r.of(tm01)
		if n := len(frames); n < 9 || n > 11 {
			t.Errorf("%d frames in 10 s", n)
		}
		for _, h := range frames {
			if h.Data == ([64]byte{}) {
				t.Error("its frames are all zero: nobody can tell that it is there")
			}
		}
		r.do("factory_unit 0")
		r.pass(time.Second)
		r.mark()
		if r.pass(5 * time.Second); len(r.of(tm01)) > 0 {
			t.Error("goes on")
		}
	})
}
