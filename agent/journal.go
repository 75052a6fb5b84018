package agent

import (
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/headunit-agent/headunit/agent/internal/command"
	"github.com/headunit-agent/headunit/agent/internal/store"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/privacy"
)

// The phases of a journal entry. An entry whose result was acknowledged is taken
// out.
const (
	phaseBegun = "begun" // frames may have been sent
	phaseEnded = "ended" // the result is known
)

// An entry is what the journal knows of one command.
type entry struct {
	Phase  string
	Job    command.Job
	Result []byte // signed; with phaseEnded
}

// journal writes an entry and waits for the disk.
func (l *loop) journal(e entry) error {
	b, err := cbor.Marshal(e)
	if err != nil {
		return err
	}
	return l.write(e.Job.ID, b)
}

const (
	writeAgain    = time.Second // between two tries
	mostUnwritten = 256         // writes that are tried again
)

// write puts b under id in the journal, and takes id out if b is nil. A write
// that failed may have been done in part, and what it should have covered may
// still be there: it is tried again until it succeeds, or the next start would
// say what was refused, or was destroyed.
func (l *loop) write(id wire.ID, b []byte) error {
	do := func() error { return l.store.Put(store.Journal, id[:], b) }
	if b == nil {
		do = func() error { return l.store.Delete(store.Journal, id[:]) }
	}
	err := do()
	switch {
	case err == nil:
		delete(l.unwritten, id)
	case l.store.Fault() == nil && len(l.unwritten) < mostUnwritten:
		l.unwritten[id] = b
		l.again = l.now().Add(writeAgain)
	}
	return err
}

// rewrite tries again what failed.
func (l *loop) rewrite(now time.Time) {
	if len(l.unwritten) == 0 || now.Before(l.again) {
		return
	}
	for id, b := range l.unwritten {
		if err := l.write(id, b); err != nil {
			l.log.Warn().Err(err).Int("owed", len(l.unwritten)).Msg("journal")
			return // the disk is as it was
		}
	}
}

// owe sends a result until it is acknowledged, and then forgets it.
func (l *loop) owe(now time.Time, id wire.ID, signed []byte) {
	n := l.putResult(now, signed)
	if n == 0 { // it may not leave: it is destroyed like the rest of the queue
		l.forget(id)
		return
	}
	l.proofs[n] = id
}

// delivered says that the broker has message n.
func (l *loop) delivered(n uint64) {
	if id, ok := l.proofs[n]; ok {
		delete(l.proofs, n)
		l.forget(id)
	}
}

func (l *loop) forget(id wire.ID) {
	if err := l.write(id, nil); err != nil {
		l.log.Warn().Err(err).Msg("journal")
	}
}

// forgetForbidden takes results out of the journal that the level in force has
// just destroyed in the queue, so that a restart does not bring them back.
func (l *loop) forgetForbidden() {
	if _, ok := l.privacy.Policy().Clear(privacy.Record{Class: privacy.Result, Topic: string(wire.UpResult)}); ok {
		return
	}
	for n, id := range l.proofs {
		delete(l.proofs, n)
		l.forget(id)
	}
}

// recover goes on with what the process before left: a result that was not
// acknowledged is said again, and a command that had begun ends with what the
// bus shows. Nothing is sent to the car for it.
func (l *loop) recover() {
	now := l.now()
	var begun []command.Job
	owed := map[wire.ID][]byte{}
	damaged, err := l.store.Each(store.Journal, func(key, value []byte) {
		var e entry
		switch err := cbor.Unmarshal(value, &e); {
		case err != nil || len(key) != len(e.Job.ID):
			l.log.Error().Err(err).Msg("a journal entry cannot be read")
		case e.Phase == phaseBegun:
			begun = append(begun, e.Job)
		default:
			owed[e.Job.ID] = e.Result
		}
	})
	if err != nil || damaged > 0 {
		l.log.Error().Err(err).Int("damaged", damaged).Msg("journal")
	}
	for id, signed := range owed {
		l.owe(now, id, signed)
	}
	for i, j := range begun {
		if i == 0 { // there is one actuator; more than one has begun only if a disk failed
			l.takeJob(now, command.Recover{Job: j})
			continue
		}
		l.job.Outcome, l.job.Reason = wire.MayHaveHappened, wire.CommandUnconfirmed
		l.end(now, j)
	}
}
