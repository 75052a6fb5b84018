package vehicle

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

const refcarDir = "../../../testdata/refcar"

// newRigWith is a rig whose profile differs from the reference car's in one text.
func newRigWith(t testing.TB, old, new string) *rig {
	t.Helper()
	src, err := os.ReadFile(filepath.Join(refcarDir, "refcar.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(src), old) != 1 {
		t.Fatalf("the profile has %d times %q, want once", strings.Count(string(src), old), old)
	}
	p, _, err := profile.Parse("refcar.yaml", []byte(strings.Replace(string(src), old, new, 1)), func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(refcarDir, name))
	})
	if err != nil {
		t.Fatal(err)
	}
	return rigOf(t, p)
}

func withPolicy(t testing.TB, policy string) *rig {
	t.Helper()
	const as = "drive/ESP_21: {fresh: 200ms, e2e: {kind: vw, max_gap: 5"
	return newRigWith(t, as+"}}", as+", policy: "+policy+"}}")
}

// broken is a speed frame whose checksum is wrong.
func (r *rig) broken(kmh float64) {
	r.t.Helper()
	f := r.frame("drive", "ESP_21", dbc.Physical("ESP_v_Signal", kmh))
	f.Data[0] ^= 1
	r.put("drive", f)
	r.wait(20 * time.Millisecond)
}

func (r *rig) last(path string) Value { return r.car.State().Last(profile.Must(path)).Value }

func (r *rig) wantCounts(ok, first, crc, repeated, taken uint64) {
	r.t.Helper()
	n := r.car.State().Counts("drive", "ESP_21")
	got := [5]uint64{n.OK.Load(), n.First.Load(), n.CRC.Load(), n.Repeated.Load(), n.Taken.Load()}
	if want := [5]uint64{ok, first, crc, repeated, taken}; got != want {
		r.t.Errorf("counted ok, first, crc, repeated, taken %v, want %v", got, want)
	}
}

func TestPolicyReject(t *testing.T) {
	r := withPolicy(t, "reject")
	r.broken(10)
	r.broken(10)
	r.wantQuality(pathSpeed, Never)
	if v := r.last(pathSpeed); v != (Value{}) {
		t.Errorf("the last speed is %v", v)
	}
	r.wantCounts(0, 0, 2, 0, 0)
}

func TestPolicyCount(t *testing.T) {
	r := withPolicy(t, "count")
	r.broken(10)
	r.want(pathSpeed, profile.Float(10))
	r.speed(20) // the first whole one, which would have to wait for another
	r.want(pathSpeed, profile.Float(20))
	r.speed(30)
	again := r.frame("drive", "ESP_21", dbc.Physical("ESP_v_Signal", 30))
	r.put("drive", again)
	r.wait(190 * time.Millisecond)
	r.put("drive", again) // a counter that stands still keeps the value fresh
	r.wait(190 * time.Millisecond)
	r.want(pathSpeed, profile.Float(30))
	r.wantCounts(2, 1, 1, 1, 3)
}

func TestPolicyShow(t *testing.T) {
	r := withPolicy(t, "show")
	r.broken(10)
	r.wantQuality(pathSpeed, Stale)
	if v := r.last(pathSpeed); v != profile.Float(10) {
		t.Errorf("the last speed is %v, want what was shown", v)
	}
	for range 110 { // 2.2 s of standing that nobody proved
		r.broken(0)
	}
	if s := r.car.State(); s.Stationary(r.clock) != Unknown || s.Last(profile.Must(pathSpeed)).Value != profile.Float(0) {
		t.Errorf("stationary %q on unproven frames, last %v", s.Stationary(r.clock), r.last(pathSpeed))
	}
	r.speed(50)
	r.speed(50)
	r.want(pathSpeed, profile.Float(50))
	at := r.get(pathSpeed).At
	r.broken(60)
	r.want(pathSpeed, profile.Float(50)) // untouched, and not refreshed
	if got := r.get(pathSpeed).At; !got.Equal(at) {
		t.Errorf("an unproven frame moved the time by %v", got.Sub(at))
	}
	r.wait(190 * time.Millisecond)
	r.wantQuality(pathSpeed, Stale)
	if l := r.car.State().Last(profile.Must(pathSpeed)); l.Value != profile.Float(60) || !l.At.After(at) {
		t.Errorf("last is %v at %v, want the unproven one, which is newer", l.Value, l.At)
	}
	r.broken(655.35) // not available: nothing to show
	if v := r.last(pathSpeed); v != profile.Float(60) {
		t.Errorf("last is %v after an error value", v)
	}
	r.wantCounts(1, 1, 113, 0, 114)
}

// What is shown must not work its way into what is decided through a rule list
// or a second source.
func TestShownLeavesNoTrace(t *testing.T) {
	r := newRig(t)
	r.profile.Message("drive", "Klemmen_Status_01").E2E.Policy = profile.Show
	bad := func(on int64) canbus.Frame {
		f := r.frame("drive", "Klemmen_Status_01", dbc.Raw("ZAS_Kl_15", on))
		f.Data[0] ^= 1
		return f
	}
	r.put("drive", bad(1))
	r.wantQuality(pathIgnition, Stale)
	r.terminals(0, 0)
	r.terminals(0, 0)
	r.want(pathIgnition, profile.Word("OFF"))
	r.put("drive", bad(1))
	r.want(pathIgnition, profile.Word("OFF"))
	r.terminals(0, 0)
	r.want(pathIgnition, profile.Word("OFF"))
	if v := r.last(pathIgnition); v != profile.Word("OFF") {
		t.Errorf("last is %v, want the proven one, which is newer", v)
	}
}
