package agent

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/internal/command"
	"github.com/headunit-agent/headunit/agent/internal/store"
	"github.com/headunit-agent/headunit/agent/pipe"
	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
	"github.com/headunit-agent/headunit/canbus/socketcan"
	"github.com/headunit-agent/headunit/privacy"
)

const opLock, opUnlock = 1, 2

// TestCommand: the frame goes out, the bus shows it, and only then it succeeded.
func TestCommand(t *testing.T) {
	t.Parallel()
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
	// The number with another content: refused, and the answer it has stays.
	other := c
	other.ID = wire.NewID()
	r.deliver(other)
	if got := r.result(); got.Reason != wire.CommandReplayed {
		t.Errorf("%v %s", got.State, got.Reason)
	}
	r.deliver(c)
	if again := r.result(); again.State != wire.Succeeded || again.ID != c.ID {
		t.Errorf("after a replay: %v %s", again.State, again.Reason)
	}
}

// TestSentIsNotDone: a car that takes the request and shows nothing makes no
// success.
func TestSentIsNotDone(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
		l := &loop{store: s, unwritten: map[wire.ID][]byte{}}
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
	t.Parallel()
	r := newRig(t)
	r.up.mute = true
	r.start()
	h := r.online()
	r.car.locks()
	c := r.command(h, opLock, nil)
	r.result()
	first := r.next(wire.KindResult)
	r.stop()
	for len(r.up.said) > 0 {
		<-r.up.said
	}
	r.start()
	for began := false; !began; {
		var p pipe.Publish
		if p, began = (<-r.up.said).(pipe.Publish); began && p.Topic != string(wire.UpHello) {
			t.Errorf("%s was said before hello", p.Topic)
		}
	}
	if again := r.next(wire.KindResult); string(again) != string(first) {
		t.Errorf("other octets for %v", c.ID)
	}
	r.stop()
	r.up.mute = false
	r.start()
	r.next(wire.KindResult)
	r.until("the journal is empty", func() bool { return r.api.Show().Waiting == 0 })
	r.stop()
	if n := r.journaled(); n != 0 {
		t.Errorf("%d entries are left", n)
	}
}

// TestRestStateAtTheEnd: an agent that is stopped while it acts leaves the rest
// state on the bus, and the next one says what came of it.
func TestRestStateAtTheEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	h := r.online()
	c := r.command(h, opLock, nil)
	if s := r.result().State; s != wire.InProgress {
		t.Error(s)
	}
	r.command(h, opUnlock, nil)
	if got := r.result(); got.State != wire.Refused || got.Reason != wire.CommandBusy {
		t.Errorf("a second one: %v %s", got.State, got.Reason)
	}
	r.stop()
	r.until("the rest state", func() bool {
		r.car.mu.Lock()
		defer r.car.mu.Unlock()
		return len(r.car.asked) > 0 && r.car.rests == r.car.p.Operations["lock"].Send.ThenZero
	})
	r.car.say("body/ZV_02", dbc.Raw("ZV_ist_Zustand_verfuegbar", 1), dbc.Raw("ZV_verriegelt_extern_ist", 1))
	n := r.car.requests()
	r.start()
	if got := r.result(); got.State != wire.Succeeded || got.ID != c.ID || r.car.requests() != n {
		t.Errorf("%v %s, %d frames more", got.State, got.Reason, r.car.requests()-n)
	}
}

// TestEdgesAreSigned: a door that opens while the car is parked is told, signed,
// when it has stayed open.
func TestEdgesAreSigned(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.online()
	full, err := wire.DecodeStatus(r.next(wire.KindStatus))
	if err != nil || !full.Full {
		t.Fatalf("%+v %v", full, err)
	}
	opened := time.Now()
	r.car.say("body/ZV_02", dbc.Raw("ZV_ist_Zustand_verfuegbar", 1), dbc.Raw("ZV_FT_offen", 1))
	edge, err := wire.DecodeStatus(r.next(wire.KindStatus))
	if after := time.Since(opened); after < debounce {
		t.Errorf("told after %v", after)
	}
	if err != nil || edge.Full || edge.Number != full.Number+1 || len(edge.Readings) != 1 {
		t.Fatalf("%+v %v", edge, err)
	}
	if open, _ := edge.Readings[0].Value.Bool(); edge.Readings[0].Signal != 5 || !open {
		t.Errorf("%+v", edge.Readings[0])
	}
}

// TestWhileDriving nothing is streamed; when the ignition goes off everything is
// told once.
func TestWhileDriving(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.online()
	r.next(wire.KindStatus)
	r.car.say("drive/Klemmen_Status_01", dbc.Raw("ZAS_Kl_15", 1))
	r.until("ignition on", func() bool { return r.value("Vehicle.LowVoltageSystemState") == "ON" })
	r.car.say("body/ZV_02", dbc.Raw("ZV_ist_Zustand_verfuegbar", 1), dbc.Raw("ZV_FT_offen", 1))
	end := time.Now().Add(debounce + 4*lookEvery)
	r.until("a driver who gets out", func() bool { return time.Now().After(end) })
	if n := len(r.up.said); n != 0 {
		t.Errorf("%d frames to uplinkd while driving", n)
	}
	r.car.say("drive/Klemmen_Status_01")
	if s, err := wire.DecodeStatus(r.next(wire.KindStatus)); err != nil || !s.Full {
		t.Errorf("%+v %v", s, err)
	}
}

// TestListenOnly: a reference profile without the word that the car is simulated
// sends nothing, and says so beforehand.
func TestListenOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.Simulated, r.cfg.Send = false, true
	r.start()
	h := r.online()
	r.command(h, opLock, nil)
	if got := r.result(); h.May != 0 || got.Reason != wire.CommandNoEquipment || r.car.requests() != 0 {
		t.Errorf("may %v, %s, %d frames", h.May, got.Reason, r.car.requests())
	}
}

// TestUnreadableRecords: every record that cannot be read is its safest value.
func TestUnreadableRecords(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
	for name, edit := range map[string]func(*Config){
		"no such file":           func(c *Config) { c.Profile = "nowhere.yaml" },
		"the profile has no bus": func(c *Config) { c.Buses["gear"] = "socketcand:unix:x" },
		"cannot open":            func(c *Config) { c.Buses["body"] = "vector:can0" },
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
	t.Parallel()
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

// TestFilters: the kernel lets through what the agent reads, what it may send,
// and other people's testers, on that bus and no other.
func TestFilters(t *testing.T) {
	t.Parallel()
	p, _, err := profile.Load(refcar)
	if err != nil {
		t.Fatal(err)
	}
	b := &buses{profile: p}
	for _, c := range []struct {
		bus      string
		id       uint32
		extended bool
		want     bool
	}{
		{"drive", 0x0FD, false, true},
		{"drive", 0x5A7, false, false},
		{"body", 0x5A7, false, true},
		{"body", 0x0FD, false, false},
		{"body", 0x17330301, true, true},
		{"drive", 0x714, false, true},
		{"drive", 0x7DF, false, true},
		{"drive", 0x7A0, false, false},
	} {
		got := slices.Contains(b.filters(c.bus), socketcan.Filter{ID: c.id, Extended: c.extended})
		if got != c.want {
			t.Errorf("%s %X: %v", c.bus, c.id, got)
		}
	}
}
