package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/internal/command"
	"github.com/headunit-agent/headunit/agent/internal/hmi"
	"github.com/headunit-agent/headunit/agent/internal/store"
	"github.com/headunit-agent/headunit/agent/pipe"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
	"github.com/headunit-agent/headunit/privacy"
)

const opLock, opUnlock = 1, 2

// TestCommand: the frame goes out, the bus shows it, and only then it succeeded.
func TestCommand(t *testing.T) {
	r := newRig(t)
	r.start()
	h := r.online()
	if !h.May.Has(opLock) || !h.May.Has(opUnlock) || h.Level != wire.LevelShareLocation {
		t.Errorf("hello %+v", h)
	}
	r.car.locks()
	c := r.command(h, opLock, nil)
	first, last := r.result(), r.result()
	if first.State != wire.InProgress || last.State != wire.Succeeded || last.ID != c.ID || len(last.Readings) != 1 {
		t.Errorf("%v %s, then %v %s", first.State, first.Reason, last.State, last.Reason)
	}
	payload, err := c.Encode()
	if err != nil || last.Hash != wire.HashOf(payload) {
		t.Errorf("the result is bound to something else, %v", err)
	}
	// Said again: the same answer, and nothing on the bus.
	n := r.car.requests()
	r.deliver(c)
	if again := r.result(); again.State != wire.Succeeded || again.Now != last.Now || r.car.requests() != n {
		t.Errorf("repeated: %+v, %d frames more", again.State, r.car.requests()-n)
	}
}

// TestSentIsNotDone: a car that takes the request and shows nothing makes no
// success.
func TestSentIsNotDone(t *testing.T) {
	r := newRig(t)
	r.start()
	h := r.online()
	r.car.mu.Lock()
	r.car.onAsk = func(canbus.Frame) {
		r.car.say("body/Blinkmodi_02", dbc.Raw("BM_Telematik_Abbruchgrund", 14))
	}
	r.car.mu.Unlock()
	r.command(h, opLock, nil)
	if s := r.result().State; s != wire.InProgress {
		t.Error(s)
	}
	if got := r.result(); got.State != wire.Failed || got.Reason != command.RefusedByCar {
		t.Errorf("%v %s", got.State, got.Reason)
	}
}

// TestRefusals: what does not hold is said, and not one frame goes out.
func TestRefusals(t *testing.T) {
	r := newRig(t)
	r.start()
	h := r.online()
	r.car.say("drive/Klemmen_Status_01", dbc.Raw("ZAS_Kl_15", 1), dbc.Raw("ZAS_Kl_S", 1))
	r.until("ignition on", func() bool { return r.value("Vehicle.LowVoltageSystemState") == "ON" })
	r.command(h, opUnlock, nil)
	if got := r.result(); got.State != wire.Refused || got.Reason != wire.CommandIgnitionOn {
		t.Errorf("%v %s", got.State, got.Reason)
	}
	r.command(h, opUnlock, func(c *wire.Command) { c.Epoch = wire.NewID() })
	if got := r.result(); got.Reason != wire.CommandEpoch {
		t.Errorf("%v %s", got.State, got.Reason)
	}
	write := func(phase string) {
		if err := os.WriteFile(r.cfg.CallStatus, []byte(`{"v":1,"phase":"`+phase+`"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		r.until(phase, func() bool { return r.api.Show().Call.Phase == phase })
	}
	write("voice")
	r.command(h, opUnlock, nil)
	if got := r.result(); got.Reason != wire.CommandECallActive {
		t.Errorf("%v %s", got.State, got.Reason)
	}
	if n := r.car.requests(); n != 0 {
		t.Errorf("%d frames", n)
	}
}

// TestNotSavedNotDone: without a journal nothing is done, and it is said so.
func TestNotSavedNotDone(t *testing.T) {
	r := newRig(t)
	other, err := store.Open(r.cfg.State) // holds the journal's file
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r.start()
	r.command(r.online(), opLock, nil)
	if got := r.result(); got.State != wire.Refused || got.Reason != wire.SystemNotSaved {
		t.Errorf("%v %s", got.State, got.Reason)
	}
	if n := r.car.requests(); n != 0 {
		t.Errorf("%d frames", n)
	}
}

// TestTheTruthAfterARestart: a command that had begun when the process died
// ends with what the bus shows, and nothing is sent for it.
func TestTheTruthAfterARestart(t *testing.T) {
	for _, locked := range []bool{true, false} {
		r := newRig(t)
		if locked {
			r.car.say("body/ZV_02", dbc.Raw("ZV_ist_Zustand_verfuegbar", 1), dbc.Raw("ZV_verriegelt_extern_ist", 1))
		}
		s, err := store.Open(r.cfg.State)
		if err != nil {
			t.Fatal(err)
		}
		job := command.Job{Kid: r.phone.Kid(), Seq: 4, ID: wire.NewID(), Epoch: wire.NewID(), Goal: command.Goal{Operation: "lock"}, Within: time.Second, Rests: 2}
		l := &loop{store: s}
		err = errors.Join(l.journal(entry{Phase: phaseBegun, Job: job}),
			s.Save(store.Privacy, keptChoice{Level: privacy.ShareLocation}), s.Close())
		if err != nil {
			t.Fatal(err)
		}
		r.start()
		got := r.result()
		want, why := wire.MayHaveHappened, wire.CommandUnconfirmed
		if locked {
			want, why = wire.Succeeded, ""
		}
		if got.State != want || got.Reason != why || got.ID != job.ID || got.Epoch != job.Epoch {
			t.Errorf("locked %v: %v %s", locked, got.State, got.Reason)
		}
		if n := r.car.requests(); n != 0 {
			t.Errorf("locked %v: %d frames", locked, n)
		}
		r.stop()
	}
}

// TestResultUntilAcknowledged: a result that nobody acknowledged is said again
// after a restart, the same octets; one that was is not.
func TestResultUntilAcknowledged(t *testing.T) {
	r := newRig(t)
	r.up.mute = true
	r.start()
	h := r.online()
	r.car.locks()
	c := r.command(h, opLock, nil)
	r.result()
	first := r.next(wire.KindResult)
	r.stop()
	r.start()
	if again := r.next(wire.KindResult); string(again) != string(first) {
		t.Errorf("other octets for %v", c.ID)
	}
	r.stop()
	r.up.mute = false
	r.start()
	r.next(wire.KindResult)
	r.until("the journal is empty", func() bool { return r.api.Show().Waiting == 0 })
	r.stop()
	s, err := store.Open(r.cfg.State)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := 0
	if _, err := s.Each(store.Journal, func(_, _ []byte) { n++ }); err != nil || n != 0 {
		t.Errorf("%d entries are left, %v", n, err)
	}
}

// TestMaximum: the goodbye, and then nothing, also after a restart; what waited
// is destroyed.
func TestMaximum(t *testing.T) {
	r := newRig(t)
	r.up.mute = true
	r.start()
	h := r.online()
	r.car.locks()
	r.command(h, opLock, nil)
	r.result()
	r.result()
	if err := r.api.Choose(t.Context(), privacy.Choice{Level: privacy.Maximum}); err != nil {
		t.Fatal(err)
	}
	var bye pipe.Close
	for bye.Last == nil {
		if f, ok := (<-r.up.said).(pipe.Close); ok {
			bye = f
		}
	}
	s, err := wire.ParseSigned(bye.Last)
	if err != nil {
		t.Fatal(err)
	}
	if g, err := wire.DecodeGoodbye(s.Payload()); err != nil || g.Reason != wire.PrivacyMaximum || s.Verify(r.id.Sign, wire.KindGoodbye) != nil {
		t.Errorf("%+v %v", g, err)
	}
	r.until("Maximum", func() bool { s := r.api.Show(); return !s.Privacy.Closing && !s.Uplink.Wanted && s.Waiting == 0 })
	r.command(h, opUnlock, nil) // whoever still can send is not answered
	r.stop()
	r.start()
	if s := r.api.Show(); s.Privacy.Level != privacy.Maximum || s.Uplink.Wanted || s.Waiting != 0 {
		t.Errorf("after a restart: %+v %+v, %d wait", s.Privacy, s.Uplink, s.Waiting)
	}
	r.stop()
	for len(r.up.said) > 0 {
		if f, ok := (<-r.up.said).(pipe.Close); !ok || len(f.Last) > 0 {
			t.Errorf("after the goodbye: %T", f)
		}
	}
	if n := r.car.requests(); n > 40 {
		t.Errorf("%d frames", n)
	}
}

// TestLoweringWhileMoving is refused by the agent, not by a screen.
func TestLoweringWhileMoving(t *testing.T) {
	r := newRig(t)
	r.car.say("drive/ESP_21", dbc.Physical("ESP_v_Signal", 50))
	r.start()
	r.until("it moves", func() bool { return r.value("Vehicle.IsMoving") == "true" })
	err := r.api.Choose(t.Context(), privacy.Choice{Level: privacy.NoLocation})
	if no, ok := errors.AsType[*hmi.Refused](err); !ok || !no.Driving {
		t.Error(err)
	}
	if s := r.api.Show(); s.Privacy.Level != privacy.Maximum || s.Uplink.Wanted {
		t.Errorf("%+v", s.Privacy)
	}
}

// TestEdgesAreSigned: a door that opens while the car is parked is told, signed,
// when it has stayed open.
func TestEdgesAreSigned(t *testing.T) {
	r := newRig(t)
	r.start()
	r.online()
	full, err := wire.DecodeStatus(r.next(wire.KindStatus))
	if err != nil || !full.Full {
		t.Fatalf("%+v %v", full, err)
	}
	r.car.say("body/ZV_02", dbc.Raw("ZV_ist_Zustand_verfuegbar", 1), dbc.Raw("ZV_FT_offen", 1))
	edge, err := wire.DecodeStatus(r.next(wire.KindStatus))
	if err != nil || edge.Full || edge.Number != full.Number+1 || len(edge.Readings) != 1 {
		t.Fatalf("%+v %v", edge, err)
	}
	if open, _ := edge.Readings[0].Value.Bool(); edge.Readings[0].Signal != 5 || !open {
		t.Errorf("%+v", edge.Readings[0])
	}
}

// TestUnreadableRecords: every record that cannot be read is its safest value.
func TestUnreadableRecords(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"users.0", "users.1", "privacy.0", "bulk.db"} {
		if err := os.WriteFile(filepath.Join(r.cfg.State, name), []byte("rubbish that nobody wrote"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r.start()
	if s := r.api.Show(); s.Users != 0 || s.Privacy.Level != privacy.Maximum || s.Uplink.Wanted {
		t.Errorf("%d users, %+v", s.Users, s.Privacy)
	}
	r.command(r.online(), opLock, nil)
	r.until("it was judged", func() bool { return r.api.Show().Uplink.Up })
	if n := r.car.requests(); n != 0 {
		t.Errorf("%d frames for a key that nobody knows", n)
	}
}

func TestConfigErrors(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"no such file":           func(c *Config) { c.Profile = "nowhere.yaml" },
		"the profile has no bus": func(c *Config) { c.Buses["gear"] = "socketcand:unix:x" },
		"cannot open":            func(c *Config) { c.Buses["body"] = "can0" },
		"is no cell":             func(c *Config) { c.Cell = "c/1" },
	} {
		r := newRig(t)
		edit(&r.cfg)
		err := Run(t.Context(), r.cfg, zerolog.Nop())
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestIdentityIsNotDrawnAgain: a car whose identity cannot be read does not
// become another car without a word.
func TestIdentityIsNotDrawnAgain(t *testing.T) {
	r := newRig(t)
	for _, slot := range []string{"identity.0", "identity.1"} {
		if err := os.WriteFile(filepath.Join(r.cfg.State, slot), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := Run(t.Context(), r.cfg, zerolog.Nop()); !errors.Is(err, store.ErrDamaged) {
		t.Error(err)
	}
}
