package agent

import (
	"context"
	"errors"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"github.com/headunit-agent/headunit/agent/internal/command"
	"github.com/headunit-agent/headunit/agent/internal/outbox"
	"github.com/headunit-agent/headunit/agent/internal/store"
	"github.com/headunit-agent/headunit/agent/internal/vehicle"
	"github.com/headunit-agent/headunit/agent/pipe"
	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/enroll/user"
	"github.com/headunit-agent/headunit/privacy"
)

// version is what hello says of the program.
const version = "0.1.0"

// loop owns every state machine. Nothing outside its goroutine reads or writes
// what is in it.
type loop struct {
	cfg    Config
	log    zerolog.Logger
	now    func() time.Time // boot time
	events chan event

	profile *profile.Profile
	car     *vehicle.Car
	store   *store.Store
	id      identity
	up      *uplink

	epoch wire.Epoch
	began time.Time // of the epoch
	users user.List

	limits   privacy.Limits
	privacy  privacy.State
	since    time.Time // the level is in force
	choosing error     // what came of the driver's choice in this turn

	box  *outbox.Box
	line line
	call callChanged
	tell report

	bucket    *rate.Limiter
	dropped   uint64 // messages that were not answered, for the operator
	book      command.Book
	actuator  *command.Actuator
	job       command.JobState
	proofs    map[uint64]wire.ID // results under way to their journal entry
	sessions  map[wire.Kid]*rate.Limiter
	unwritten map[wire.ID][]byte // of the journal: writes that failed
	again     time.Time          // they are tried

	stop context.CancelFunc // the buses and the pipe
}

// line is what the loop knows of the way out.
type line struct {
	piped, wanted, up bool
	reason            string
	connections       uint32
}

func newLoop(cfg Config, p *profile.Profile, car *vehicle.Car, kept *store.Store, id identity, a *command.Actuator, events chan event, log zerolog.Logger) *loop {
	l := &loop{
		cfg: cfg, log: log, now: bootTime, events: events, profile: p, car: car, store: kept, id: id,
		up: newUplink(cfg.Uplink, events, log), epoch: wire.NewID(), limits: privacy.DefaultLimits,
		box: outbox.New(outbox.DefaultLimits), bucket: rate.NewLimiter(20, 40), actuator: a,
		proofs: map[uint64]wire.ID{}, sessions: map[wire.Kid]*rate.Limiter{},
		unwritten: map[wire.ID][]byte{}, stop: func() {},
	}
	l.began = l.now()
	l.since = l.began
	l.tell = newReport(p)
	return l
}

// run is the loop. The watchdog is fed after a turn of work, and only then.
func (l *loop) run(ctx context.Context) error {
	defer l.stop()
	l.load()
	l.takePrivacy(l.now(), privacy.Boot{})
	l.recover()
	timer := time.NewTimer(0)
	for {
		select {
		case <-ctx.Done():
			l.takeJob(l.now(), command.Leave{})
			l.farewell()
			return nil
		case e := <-l.events:
			l.take(e)
		case <-l.car.Changed():
			l.tell.changed(l.now())
		case <-timer.C:
		}
		l.settle()
		timer.Reset(l.wait())
		if _, err := daemon.SdNotify(false, daemon.SdNotifyWatchdog); err != nil {
			l.log.Debug().Err(err).Msg("watchdog")
		}
	}
}

// load reads the records. What cannot be read is its safest value.
func (l *loop) load() {
	if err := l.store.Load(store.Users, &l.users); err != nil && !errors.Is(err, store.ErrMissing) {
		l.log.Error().Err(err).Msg("nobody is known, nothing is possible from outside")
	}
	if err := l.users.Check(); err != nil {
		l.log.Error().Err(err).Msg("the user list is impossible")
		l.users = user.List{}
	}
	var c keptChoice
	if err := l.store.Load(store.Privacy, &c); err != nil && !errors.Is(err, store.ErrMissing) {
		l.log.Error().Err(err).Msg("privacy is Maximum")
	}
	l.privacy = privacy.Start(c.choice())
	if err := l.store.Fault(); err != nil {
		l.log.Error().Err(err).Msg("no command will be carried out")
	}
}

func (l *loop) take(e event) {
	now := l.now()
	switch e := e.(type) {
	case pipeOpened:
		l.line.piped = true
		if l.line.wanted {
			l.open(now)
		}
	case pipeBroken:
		l.lost("uplinkd")
		l.line.piped = false
	case fromUplink:
		l.fromUplink(now, e.frame)
	case callChanged:
		if e.call.live() != l.call.call.live() {
			l.log.Info().Str("from", l.call.call.Phase).Str("to", e.call.Phase).Msg("emergency call")
		}
		l.call = e
	case chosen:
		still := l.car.State().Stationary(now) == vehicle.Yes
		l.choosing = nil
		l.takePrivacy(now, privacy.Chosen{Choice: e.choice, Stationary: still})
		e.done <- l.choosing
	case shown:
		e.to <- l.show(now)
	}
}

// settle does what time and the newest state of the vehicle ask for.
func (l *loop) settle() {
	now := l.now()
	l.takePrivacy(now, privacy.Tick{})
	if l.job.Phase != command.Idle && l.job.Phase != "" {
		l.takeJob(now, command.Look{View: l.view(now)})
	}
	l.report(now)
	l.pump(now)
	l.rewrite(now)
}

// wait is how long nothing has to be done, if nothing happens.
func (l *loop) wait() time.Duration {
	wait, now := 10*time.Second, l.now() // a turn now and then, for the watchdog
	for _, due := range []time.Time{l.privacy.Due(), l.job.Due(), l.tell.due} {
		if !due.IsZero() {
			wait = min(wait, max(0, due.Sub(now)))
		}
	}
	if len(l.unwritten) > 0 {
		wait = min(wait, max(0, l.again.Sub(now)))
	}
	if l.job.Phase == command.Waking { // a bus that repeats what it said before has no news
		wait = min(wait, 20*time.Millisecond)
	}
	return wait
}

func (l *loop) fromUplink(now time.Time, f pipe.Up) {
	switch f := f.(type) {
	case pipe.State:
		switch {
		case f.Up && l.line.wanted && !l.line.up:
			l.line.up, l.line.reason = true, ""
			l.line.connections++
			l.log.Info().Uint32("connection", l.line.connections).Msg("online")
			l.hello(now)
		case !f.Up:
			l.lost(f.Reason)
			l.takePrivacy(now, privacy.Parted{})
			if l.line.wanted { // uplinkd tries again by itself; the will has to name the connection that it will end
				l.open(now)
			}
		}
	case pipe.Message:
		l.message(now, f)
	case pipe.Published:
		l.box.Done(f.N)
		l.delivered(f.N)
	case pipe.Request:
		l.log.Debug().Msg("a certificate request nobody asked for")
	}
}

// lost says that the connection is gone.
func (l *loop) lost(reason string) {
	if l.line.up {
		l.log.Info().Str("reason", reason).Msg("offline")
	}
	l.line.up, l.line.reason = false, reason
	l.box.Lost()
}

// pump sends what waits.
func (l *loop) pump(now time.Time) {
	for l.line.up {
		it, ok := l.box.Next(l.privacy.Policy(), now)
		if !ok {
			return
		}
		if !l.up.send(pipe.Publish{N: it.N, Topic: it.Topic(), QoS: it.QoS(), Payload: it.Payload()}) {
			l.log.Error().Msg("uplinkd takes nothing: the pipe is closed")
			l.up.cut()
			l.lost("uplinkd")
			return
		}
	}
}

// put clears r and lets it wait. The number is 0 if it may not leave.
func (l *loop) put(now time.Time, r privacy.Record) uint64 {
	c, ok := l.privacy.Policy().Clear(r)
	if !ok {
		return 0
	}
	return l.box.Put(c, now)
}

// say signs a message of the car and puts it.
func (l *loop) say(now time.Time, class privacy.Class, topic wire.Suffix, kind wire.Kind, payload []byte, err error) uint64 {
	if err == nil {
		payload, err = wire.Sign(l.id.sign, kind, payload)
	}
	if err != nil {
		l.log.Error().Err(err).Stringer("kind", kind).Msg("cannot be said")
		return 0
	}
	return l.put(now, privacy.Record{Class: class, Topic: string(topic), QoS: 1, Payload: payload})
}

// seconds are those of the vehicle since the epoch began.
func (l *loop) seconds(now time.Time) uint32 { return seconds(now, l.began) }
