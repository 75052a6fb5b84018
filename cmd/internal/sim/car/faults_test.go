package car

import (
	"slices"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/e2e"
)

func TestMessageFaults(t *testing.T) {
	run := func(fault string, m *message, check func(r *rig, frames []heard)) {
		t.Helper()
		live(t, func(r *rig) {
			r.do("ignition on", "speed 30")
			r.pass(5 * time.Second)
			r.spoilt = true
			r.mark()
			r.do(fault)
			r.pass(time.Second)
			check(r, r.of(m))
			r.do("fault clear")
			r.mark()
			r.spoilt = false
			clear(r.counter)
			r.pass(time.Second)
			if len(r.of(m)) == 0 {
				t.Errorf("%s: still there after fault clear", fault)
			}
		})
	}
	verdicts := func(m *message, frames []heard) (l []e2e.Verdict) {
		var s e2e.State
		for _, h := range frames {
			l = append(l, m.e2e.Check(&s, h.Data[:h.Len]))
		}
		return l
	}
	run("fault drop 0FD 10", esp21, func(r *rig, frames []heard) {
		if n := len(frames); n < 39 || n > 41 {
			t.Errorf("%d frames of 50, 10 dropped", n)
		}
	})
	run("fault crc ESP_21", esp21, func(r *rig, frames []heard) {
		for _, v := range verdicts(esp21, frames) {
			if v != e2e.CRC {
				t.Fatalf("verdict %s", v)
			}
		}
	})
	run("fault freeze_counter 3C0", klemmen, func(r *rig, frames []heard) {
		for _, v := range verdicts(klemmen, frames)[1:] {
			if v != e2e.Repeated {
				t.Fatalf("verdict %s", v)
			}
		}
	})
	run("fault sentinel 0FD", esp21, func(r *rig, frames []heard) {
		if slices.Contains(verdicts(esp21, frames), e2e.CRC) {
			t.Error("a sentinel with a wrong checksum")
		}
		r.want(esp21, "ESP_v_Signal", 65534)
	})
	run("fault stuck Kombi_01", kombi01, func(r *rig, frames []heard) {
		r.do("speed 0", "wait stopped 10s")
		r.want(kombi01, "KBI_angez_Geschw", 94)
	})
	run("fault silence drive", zv02, func(r *rig, _ []heard) {
		for _, h := range r.heard {
			if h.bus == drive {
				t.Fatalf("%X on a silent bus", h.ID)
			}
		}
	})
}

func TestFaultsThatCannotBe(t *testing.T) {
	live(t, func(r *rig) {
		for _, line := range []string{"fault crc 583", "fault freeze_counter ZV_02", "fault sentinel ZV_02"} {
			if _, err := r.car.Do(r.ctx, line); err == nil {
				t.Errorf("%s is taken", line)
			}
		}
	})
}

func TestBusOff(t *testing.T) {
	live(t, func(r *rig) {
		r.pass(time.Second)
		r.mark()
		r.do("fault busoff body")
		r.send(tm01, 2, 100*ms, signed("TM_Door_Lock"))
		r.pass(time.Second)
		r.hear()
		errors := 0
		for _, h := range r.heard {
			switch {
			case h.bus != body:
			case h.Flags&canbus.Error != 0 && h.ID == errBusOff:
				errors++
			default:
				t.Errorf("%X on a bus that is off", h.ID)
			}
		}
		if errors != 1 {
			t.Errorf("%d error frames", errors)
		}
		if s := r.state(); s.Locked || s.Refusal != noReason || !slices.Contains(s.Faults, "busoff body") {
			t.Errorf("heard a request on a bus that is off: %+v", s)
		}
		r.mark()
		r.spoilt = true // its counters went on
		r.do("fault busoff body off")
		r.pass(time.Second)
		if len(r.of(zv02)) == 0 || r.heard[0].ID != errRestarted {
			t.Error("does not come back")
		}
	})
}

// TestFloodIsCheap holds a flood to its rate, and to a number of turns that does
// not grow with it.
func TestFloodIsCheap(t *testing.T) {
	for _, rate := range []int{50, 4500, 8000} {
		w := newWorld(time.Unix(0, 0), Fixed{DefaultSignature, DefaultVIN})
		o, err := parse("fault flood can1 " + shortest(float64(rate)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.verb.run(w, o.args); err != nil {
			t.Fatal(err)
		}
		turns, frames := 0, 0
		for end := w.now.Add(10 * time.Second); w.now.Before(end); turns++ {
			at, _, _ := w.earliest()
			w.tick(at)
			for _, o := range w.out {
				if o.frame.ID == floodID && o.bus == body {
					frames++
				}
			}
			w.out = w.out[:0]
		}
		if frames < rate*10*95/100 || frames > rate*10*105/100 {
			t.Errorf("%d frames in 10 s at %d a second", frames, rate)
		}
		if turns > 10*600 {
			t.Errorf("%d turns in 10 s at %d a second", turns, rate)
		}
	}
}

// TestSuspended lets the machine sleep for a day: no burst follows.
func TestSuspended(t *testing.T) {
	w := newWorld(time.Unix(0, 0), Fixed{DefaultSignature, DefaultVIN})
	w.setIgnition(ignitionOn)
	w.faults.flooded, w.faults.rate = body, 4500
	w.after(floodNext, 0)
	w.tick(w.now.Add(time.Second))
	w.out = w.out[:0]
	w.tick(w.now.Add(24 * time.Hour))
	if n := len(w.out); n > 500 {
		t.Errorf("%d frames at once", n)
	}
	w.out = w.out[:0]
	for range 100 {
		w.tick(w.now.Add(10 * ms))
	}
	if n := len(w.out); n < 4500 || n > 5500 {
		t.Errorf("%d frames in the second after", n)
	}
}
