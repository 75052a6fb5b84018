package agent

import (
	"context"
	"errors"
	"time"

	"golang.org/x/time/rate"

	"github.com/headunit-agent/headunit/agent/internal/command"
	"github.com/headunit-agent/headunit/agent/internal/vehicle"
	"github.com/headunit-agent/headunit/agent/pipe"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/privacy"
)

// sendWait is how long a frame may take to reach its device.
const sendWait = 50 * time.Millisecond

// message takes what came down. Until a signature by an enrolled key was
// verified, nothing shows that it came.
func (l *loop) message(now time.Time, m pipe.Message) {
	if !l.bucket.AllowN(now, 1) {
		l.dropped++
		return
	}
	s, err := command.Receive(m.Topic, m.QoS, m.Retained, m.Payload)
	if err == nil {
		door := command.Door{Car: l.id.name, Opener: l.id.seal, Users: l.users}
		if s.Topic() == wire.DownSession {
			err = l.sessionAsk(now, door, s)
		} else {
			err = l.command(now, door, s)
		}
	}
	if err != nil {
		l.dropped++
		l.log.Debug().Err(err).Uint64("dropped", l.dropped).Msg("message")
	}
}

func (l *loop) sessionAsk(now time.Time, d command.Door, s command.Sealed) error {
	ask, err := d.VerifyAsk(s)
	if err == nil {
		l.session(now, wire.Session{Nonce: ask.Nonce, Key: ask.Key})
	}
	return err
}

// session tells one key what it needs for its next command, at most twice in ten
// seconds.
func (l *loop) session(now time.Time, s wire.Session) {
	r := l.sessions[s.Key]
	if r == nil {
		r = rate.NewLimiter(rate.Every(5*time.Second), 2)
		l.sessions[s.Key] = r
	}
	if !r.AllowN(now, 1) {
		return
	}
	s.Car, s.Epoch, s.Now, s.Users, s.Seq = l.id.name, l.epoch, l.seconds(now), l.users.Version, l.book.Highest(s.Key)
	b, err := s.Encode()
	l.say(now, privacy.Session, wire.UpSession, wire.KindSession, b, err)
}

func (l *loop) command(now time.Time, d command.Door, s command.Sealed) error {
	v, err := d.Verify(s)
	if err != nil {
		return err
	}
	c := v.Command()
	a, answer := l.book.Authorize(v, command.World{
		Epoch: l.epoch, Now: l.seconds(now), Users: l.users, Policy: l.privacy.Policy(),
		Offered: l.actuator.Offered(), Calling: l.call.call.live(), Busy: l.busy(),
	})
	log := l.log.Info().Stringer("key", v.Kid()).Uint32("seq", c.Seq).Uint64("operation", c.Operation)
	if answer.Repeat {
		log.Msg("command.repeat")
		if answer.Again != nil {
			l.put(now, privacy.Record{Class: privacy.Result, Topic: string(wire.UpResult), QoS: 1, Payload: answer.Again})
		}
		return nil
	}
	job, why := l.jobOf(a, answer.Refusal)
	if why != "" {
		log.Str("reason", string(why)).Msg("refused")
		l.refuse(now, v, why)
		return nil
	}
	log.Msg("authorized")
	l.takeJob(now, command.Begin{Job: job})
	l.takeJob(now, command.Look{View: l.view(now)})
	return nil
}

// jobOf is what an authorized command asks of this car, or why it cannot.
func (l *loop) jobOf(a command.Authorized, no *command.Refusal) (command.Job, wire.Reason) {
	if no != nil {
		return command.Job{}, no.Reason
	}
	job, err := l.actuator.Job(a)
	if r, ok := errors.AsType[*command.Refusal](err); ok {
		return job, r.Reason
	}
	if err != nil {
		return job, wire.CommandInvalid
	}
	return job, ""
}

func (l *loop) busy() bool { return l.job.Phase != command.Idle && l.job.Phase != "" }

// refuse answers a command that did nothing. One that was refused for its number
// does not take the place of the result that the number has.
func (l *loop) refuse(now time.Time, v command.Verified, why wire.Reason) {
	c := v.Command()
	signed := l.result(now, wire.Result{
		Epoch: c.Epoch, Seq: c.Seq, ID: c.ID, State: wire.Refused, Reason: why, Hash: v.Hash(), Key: v.Kid(),
	})
	switch why {
	case wire.CommandEpoch:
		l.session(now, wire.Session{Command: c.ID, Key: v.Kid()})
	case wire.CommandReplayed:
	default:
		l.book.Note(v.Kid(), c.Seq, signed)
	}
	l.putResult(now, signed)
}

func (l *loop) putResult(now time.Time, signed []byte) uint64 {
	if signed == nil {
		return 0
	}
	return l.put(now, privacy.Record{Class: privacy.Result, Topic: string(wire.UpResult), QoS: 1, Payload: signed})
}

// result signs one.
func (l *loop) result(now time.Time, r wire.Result) []byte {
	r.Car, r.Now = l.id.name, l.seconds(now)
	b, err := r.Encode()
	if err == nil {
		b, err = wire.Sign(l.id.sign, wire.KindResult, b)
	}
	if err != nil {
		l.log.Error().Err(err).Msg("no result")
		return nil
	}
	return b
}

func (l *loop) view(now time.Time) command.View {
	return l.actuator.View(l.job.Job, l.car.State(), now, l.call.call.live())
}

// takeJob gives the job an event, and does what it says.
func (l *loop) takeJob(now time.Time, e command.Event) {
	was := l.job
	next, acts := command.Step(was, now, e)
	l.job = next
	if next.Phase != was.Phase {
		l.log.Info().Str("from", was.String()).Str("to", next.String()).Msg("job")
	}
	for _, a := range acts {
		l.doJob(now, a)
	}
}

func (l *loop) doJob(now time.Time, a command.Action) {
	j := l.job.Job
	switch a {
	case command.Journal:
		if err := l.journal(entry{Phase: phaseBegun, Job: j}); err != nil {
			l.log.Error().Err(err).Msg("not in the journal, not done")
			l.takeJob(now, command.Unjournaled{})
			return
		}
		now = l.now() // the disk took its time
		l.takeJob(now, command.Journaled{View: l.view(now)})
	case command.Wake, command.Frame, command.Rest:
		do := map[command.Action]func(context.Context, command.Job, time.Time) error{
			command.Wake: l.actuator.Wake, command.Frame: l.actuator.Frame, command.Rest: l.actuator.Rest,
		}[a]
		ctx, cancel := context.WithTimeout(context.Background(), sendWait)
		defer cancel()
		if err := do(ctx, j, now); err != nil {
			l.log.Error().Err(err).Str("frame", string(a)).Msg("not sent")
		}
	case command.Progress:
		l.putResult(now, l.result(now, l.outcome(j, wire.InProgress, "")))
	case command.End:
		l.end(now, j)
	}
}

func (l *loop) outcome(j command.Job, s wire.State, why wire.Reason) wire.Result {
	return wire.Result{Epoch: j.Epoch, Seq: j.Seq, ID: j.ID, State: s, Reason: why, Hash: j.Hash, Key: j.Kid}
}

// end signs what came of a job, writes it, and lets it wait until it is
// acknowledged. The octets never change.
func (l *loop) end(now time.Time, j command.Job) {
	r := l.outcome(j, l.job.Outcome, l.job.Reason)
	r.Readings = l.proof(now, j)
	signed := l.result(now, r)
	l.log.Info().Str("operation", j.Goal.Operation).Stringer("outcome", r.State).Str("reason", string(r.Reason)).Msg("command")
	if j.Epoch == l.epoch {
		l.book.Note(j.Kid, j.Seq, signed)
	}
	if err := l.journal(entry{Phase: phaseEnded, Job: j, Result: signed}); err != nil {
		l.log.Error().Err(err).Msg("the result is not in the journal")
	}
	l.owe(now, j.ID, signed)
}

// proof are the readings that show what came of a job.
func (l *loop) proof(now time.Time, j command.Job) []wire.Reading {
	op := l.profile.Operations[j.Goal.Operation]
	if op == nil || op.Confirm.Path == 0 {
		return nil
	}
	s, ok := wire.SignalAt(op.Confirm.Path.String())
	if !ok {
		return nil
	}
	v := l.car.State()
	if v.Get(op.Confirm.Path, now).Quality != vehicle.Good {
		return nil
	}
	r, _ := reported{s, op.Confirm.Path}.encode(v, now)
	if r == nil {
		return nil
	}
	return []wire.Reading{*r}
}
