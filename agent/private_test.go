package agent

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/internal/command"
	"github.com/headunit-agent/headunit/agent/internal/hmi"
	"github.com/headunit-agent/headunit/agent/internal/outbox"
	"github.com/headunit-agent/headunit/agent/internal/store"
	"github.com/headunit-agent/headunit/agent/pipe"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/canbus/dbc"
	"github.com/headunit-agent/headunit/privacy"
)

// TestMaximum: the goodbye, and then nothing, also after a restart; what waited
// is destroyed.
func TestMaximum(t *testing.T) {
	t.Parallel()
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
	if n := r.journaled(); n != 0 { // a lower level would say them
		t.Errorf("%d results are still in the journal", n)
	}
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

// TestMaximumWhileActing: the car goes on by itself, and what came of it is
// destroyed everywhere.
func TestMaximumWhileActing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	r.command(r.online(), opLock, nil)
	if s := r.result().State; s != wire.InProgress {
		t.Error(s)
	}
	if err := r.api.Choose(t.Context(), privacy.Choice{Level: privacy.Maximum}); err != nil {
		t.Fatal(err)
	}
	r.until("Maximum", func() bool { return !r.api.Show().Privacy.Closing })
	for len(r.up.said) > 0 {
		<-r.up.said
	}
	r.car.say("body/ZV_02", dbc.Raw("ZV_ist_Zustand_verfuegbar", 1), dbc.Raw("ZV_verriegelt_extern_ist", 1))
	r.until("the job is over", func() bool { return r.api.Show().Job == string(command.Idle) })
	r.stop()
	for len(r.up.said) > 0 {
		if f, ok := (<-r.up.said).(pipe.Close); !ok || len(f.Last) > 0 {
			t.Errorf("at Maximum: %T", f)
		}
	}
	if n := r.journaled(); n != 0 {
		t.Errorf("%d results are still in the journal", n)
	}
}

// TestLoweringWhileMoving is refused by the agent, not by a screen.
func TestLoweringWhileMoving(t *testing.T) {
	t.Parallel()
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

// newChooser is a loop with a disk and a pipe, at a level, and nothing else.
func newChooser(t *testing.T, dir string, level privacy.Level) (l *loop, now *time.Time) {
	t.Helper()
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	id, err := loadIdentity(s)
	if err != nil {
		t.Fatal(err)
	}
	clock := noon
	l = &loop{
		log: zerolog.Nop(), now: func() time.Time { return clock }, store: s, id: id, began: noon,
		up: newUplink("", nil, zerolog.Nop()), box: outbox.New(outbox.DefaultLimits), limits: privacy.DefaultLimits,
		cfg:     Config{Broker: "tcp://127.0.0.1:1883", Cell: "c1"},
		privacy: privacy.Start(privacy.Choice{Level: level}),
	}
	return l, &clock
}

// handed is what the loop gave to the pipe, nil for nothing.
func handed(l *loop) pipe.Down {
	select {
	case f := <-l.up.down:
		return f
	default:
		return nil
	}
}

var noon = time.Unix(1_800_000_000, 0)

// TestNoConnectionForAGoodbye: an uplinkd that starts anew while the way out is
// being closed is not told to connect, and is told once more to be silent.
func TestNoConnectionForAGoodbye(t *testing.T) {
	l, now := newChooser(t, t.TempDir(), privacy.UseLocation)
	l.line = line{piped: true, wanted: true, up: true, connections: 1}
	l.takePrivacy(*now, privacy.Chosen{Choice: privacy.Choice{Level: privacy.Maximum}})
	if bye, ok := handed(l).(pipe.Close); !ok || len(bye.Last) == 0 {
		t.Fatal("no goodbye")
	}
	l.take(pipeBroken{})
	l.take(pipeOpened{})
	l.take(fromUplink{pipe.State{Up: true}})
	if len(l.up.down) != 0 || l.line.up {
		t.Errorf("%T, up %v", handed(l), l.line.up)
	}
	*now = now.Add(3 * time.Second)
	l.takePrivacy(*now, privacy.Tick{})
	if l.privacy.Phase != privacy.Phase(privacy.Maximum) {
		t.Error(l.privacy)
	}
	if f, ok := handed(l).(pipe.Close); !ok || len(f.Last) != 0 {
		t.Error("it was not told to be silent")
	}
	l.takePrivacy(*now, privacy.Chosen{Choice: privacy.Choice{Level: privacy.NoLocation}, Stationary: true})
	if _, ok := handed(l).(pipe.Open); !ok {
		t.Error("it does not come back")
	}
}

// TestMaximumThoughNothingIsTaken: where uplinkd does not even take the word to be
// silent, the pipe is cut, and it drops the connection by itself.
func TestMaximumThoughNothingIsTaken(t *testing.T) {
	l, now := newChooser(t, t.TempDir(), privacy.UseLocation)
	l.line = line{piped: true, wanted: true, up: true, connections: 1}
	for l.up.send(pipe.Close{}) {
	}
	l.takePrivacy(*now, privacy.Chosen{Choice: privacy.Choice{Level: privacy.Maximum}})
	if len(l.up.ends) != 1 {
		t.Error("the pipe stays")
	}
}

// TestLoweringWaitsForTheDisk: what cannot be saved does not come into force, and
// is said so; what is in force goes over whatever the disk made of it.
func TestLoweringWaitsForTheDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	l, now := newChooser(t, dir, privacy.NoLocation)
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	l.takePrivacy(*now, privacy.Chosen{Choice: privacy.Choice{Level: privacy.ShareLocation}, Stationary: true})
	no, refused := errors.AsType[*hmi.Refused](l.choosing)
	if !refused || no.Reason != string(wire.SystemNotSaved) || l.privacy.Policy().Level != privacy.NoLocation {
		t.Errorf("%v, %s in force", l.choosing, l.privacy)
	}
	if err := os.Rename(dir+".gone", dir); err != nil {
		t.Fatal(err)
	}
	*now = now.Add(time.Second)
	l.takePrivacy(*now, privacy.Tick{})
	var kept keptChoice
	if err := l.store.Load(store.Privacy, &kept); err != nil || kept.Level != privacy.NoLocation {
		t.Errorf("%v on flash, %v", kept, err)
	}
}

// TestTheWillIsOfTheNextConnection: uplinkd connects again by itself, and what
// the broker says if that is lost names that connection and no older one.
func TestTheWillIsOfTheNextConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	first := r.online()
	r.up.send(pipe.State{Reason: "uplink.lost"})
	for {
		f, ok := (<-r.up.said).(pipe.Open)
		if !ok {
			continue
		}
		s, err := wire.ParseSigned(f.Will)
		if err != nil {
			t.Fatal(err)
		}
		g, err := wire.DecodeGoodbye(s.Payload())
		if err != nil || g.Connections != first.Connections+1 {
			t.Errorf("connection %d, %v", g.Connections, err)
		}
		return
	}
}
