package command

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/headunit-agent/headunit/agent/wire"
)

// A Phase is where the one job is that the actuator may have.
type Phase string

// The phases of a job.
const (
	Idle       Phase = "idle"
	Waking     Phase = "waking"     // the bus sleeps, or what the guards read is not there yet
	Ready      Phase = "ready"      // guards hold; it waits for the journal
	Acting     Phase = "acting"     // frames are being sent
	Confirming Phase = "confirming" // no more frames; it waits for the bus to show it
	Resting    Phase = "resting"    // the outcome is known; the rest state is being sent
)

// A Job is what an authorized command asks of the car, with what its operation
// allows. It is comparable.
type Job struct {
	Kid   wire.Kid
	Seq   uint32
	ID    wire.ID
	Epoch wire.Epoch
	Hash  wire.Hash
	Goal  Goal

	Wakes    bool          // the bus may be woken for it
	WakeWait time.Duration // for what the guards read, at most
	Every    time.Duration // between two frames
	AtMost   time.Duration // frames are sent, at most; 0: only the first
	Within   time.Duration // of the first frame the bus has to show it
	Rests    int           // frames of the rest state afterwards
}

// A Goal is an operation of the profile with its argument.
type Goal struct {
	Operation string
	Minutes   int
}

// A JobState is all that is remembered of the job. The zero value is idle.
type JobState struct {
	Phase    Phase
	Job      Job
	First    time.Time // first frame; zero before
	Next     time.Time // next frame
	Until    time.Time // no frame after it
	Deadline time.Time // the phase is over
	Left     int       // frames of the rest state, or wake frames, still to be sent
	Outcome  wire.State
	Reason   wire.Reason // with Outcome, unless it succeeded; before, the guard that ended the frames
}

// Due is when something is to be done even if nothing happens; zero: never.
func (s JobState) Due() time.Time {
	d := s.Deadline
	for _, t := range []time.Time{s.Next, s.Until} {
		if !t.IsZero() && (d.IsZero() || t.Before(d)) {
			d = t
		}
	}
	return d
}

func (s JobState) String() string {
	if s.Phase == Idle || s.Phase == "" {
		return string(Idle)
	}
	t := fmt.Sprintf("%s %s", s.Phase, s.Job.Goal.Operation)
	if s.Phase == Resting {
		t += fmt.Sprintf(" %s %s", s.Outcome, s.Reason)
	}
	return t
}

// A View is what the newest state of the vehicle says of a job.
type View struct {
	Awake   bool        // the bus of the operation carries frames
	Mute    bool        // nothing may be written to it: the device or its error counters forbid it
	Guard   wire.Reason // the first guard that does not hold; empty: all do
	Refused wire.Reason // the car says no, and why
	RefAt   time.Time   // when it said so
	Goal    bool        // the car shows what is wanted
	GoalAt  time.Time   // when it was measured
}

// An Event is one of Begin, Look, Journaled, Unjournaled, Recover and Leave.
type Event interface{ event() }

// The events of a job. Look is also the tick of a timer; an early one changes
// nothing that the bus does not show.
type (
	Begin       struct{ Job Job }   // an authorized command took the slot
	Look        struct{ View View } // time has passed, or the bus shows something new
	Journaled   struct{ View View } // "begun" is on flash; View is the newest
	Unjournaled struct{}            // it is not, or may not be
	Recover     struct{ Job Job }   // a job that had begun when the process died
	Leave       struct{}            // the process ends in order
)

func (Begin) event()       {}
func (Look) event()        {}
func (Journaled) event()   {}
func (Unjournaled) event() {}
func (Recover) event()     {}
func (Leave) event()       {}

// An Action is what has to be done; what it is done with stands in JobState.
type Action string

// The actions of a job.
const (
	Wake     Action = "wake"     // send one wake frame
	Journal  Action = "journal"  // write "begun" and sync; answered by Journaled or Unjournaled
	Frame    Action = "frame"    // send the operation's frame
	Rest     Action = "rest"     // send the rest state
	Progress Action = "progress" // say that the car has begun
	End      Action = "end"      // sign Outcome and Reason, write them, send them
)

// wakeEvery is the pause between two wake frames, of which at most wakeFrames
// are sent.
const (
	wakeEvery  = time.Second
	wakeFrames = 3
)

// Step takes one event. Frames are sent only after the journal said that the
// command had begun; and nothing is sent again after a restart.
func Step(s JobState, now time.Time, e Event) (JobState, []Action) {
	switch e := e.(type) {
	case Begin:
		if s.Phase == Idle || s.Phase == "" {
			return JobState{Phase: Waking, Job: e.Job, Deadline: now.Add(e.Job.WakeWait), Left: wakeFrames}, nil
		}
	case Recover:
		if s.Phase == Idle || s.Phase == "" {
			return JobState{Phase: Confirming, Job: e.Job, First: now, Deadline: now.Add(e.Job.Within)}, nil
		}
	case Look:
		return look(s, now, e.View)
	case Journaled:
		if s.Phase == Ready {
			return begun(s, now, e.View)
		}
	case Unjournaled:
		if s.Phase == Ready {
			return end(s, wire.Refused, wire.SystemNotSaved)
		}
	case Leave:
		return leave(s)
	}
	return s, nil
}

// leave sends what is left of the rest state. What came of a job whose outcome
// is not known yet the next start finds out.
func leave(s JobState) (JobState, []Action) {
	var acts []Action
	switch s.Phase {
	case Acting, Confirming, Resting:
		acts = slices.Repeat([]Action{Rest}, s.Left)
	case Idle, Waking, Ready, "":
		return s, nil
	}
	if s.Phase == Resting {
		next, last := end(s, s.Outcome, s.Reason)
		return next, append(acts, last...)
	}
	s.Phase, s.Left, s.Next, s.Until = Confirming, 0, time.Time{}, time.Time{}
	return s, acts
}

func look(s JobState, now time.Time, v View) (JobState, []Action) {
	switch s.Phase {
	case Waking:
		return wake(s, now, v)
	case Acting:
		return act(s, now, v)
	case Confirming:
		if next, acts, over := shown(s, now, v); over {
			return next, acts
		}
		if !now.Before(s.Deadline) {
			return rest(s, now, wire.MayHaveHappened, cmp.Or(s.Reason, wire.CommandUnconfirmed))
		}
		if s.Left > 0 && !now.Before(s.Next) {
			return zero(s, now), []Action{Rest}
		}
	case Resting:
		if !now.Before(s.Next) {
			return rest(s, now, s.Outcome, s.Reason)
		}
	case Idle, Ready, "":
	}
	return s, nil
}

// wake waits for what the guards read, and wakes the bus for it if need be. It
// also waits until the car has stopped refusing an earlier request: that no must
// not be taken for the answer to this one.
func wake(s JobState, now time.Time, v View) (JobState, []Action) {
	if v.Awake || v.Mute {
		s.Next = time.Time{} // no wake frame is due: a time that has passed would be due for ever
	}
	switch {
	case v.Guard == "" && v.Refused == "" && (v.Awake || !s.Job.Wakes):
		s = JobState{Phase: Ready, Job: s.Job}
		return s, []Action{Journal}
	case v.Guard != "" && v.Guard != wire.CommandStateUnknown:
		return end(s, wire.Refused, v.Guard)
	case !now.Before(s.Deadline) && v.Refused != "": // it still says no to what came before
		return end(s, wire.Refused, wire.CommandBusy)
	case !now.Before(s.Deadline):
		return end(s, wire.Refused, wire.CommandStateUnknown)
	case s.Job.Wakes && !v.Awake && !v.Mute && s.Left > 0 && !now.Before(s.Next):
		s.Left--
		s.Next = now.Add(wakeEvery)
		if s.Left == 0 {
			s.Next = time.Time{}
		}
		return s, []Action{Wake}
	}
	return s, nil
}

// begun looks once more, now that the journal has it, and sends the first frame
// unless the car shows already what is wanted.
func begun(s JobState, now time.Time, v View) (JobState, []Action) {
	switch {
	case v.Guard != "":
		return end(s, wire.Refused, v.Guard)
	case v.Goal:
		return end(s, wire.Succeeded, "")
	}
	s.Phase, s.First, s.Left = Acting, now, s.Job.Rests
	s.Next, s.Until, s.Deadline = now.Add(s.Job.Every), now.Add(s.Job.AtMost), now.Add(s.Job.Within)
	return s, []Action{Frame, Progress}
}

func act(s JobState, now time.Time, v View) (JobState, []Action) {
	if next, acts, over := shown(s, now, v); over {
		return next, acts
	}
	switch {
	case !now.Before(s.Deadline):
		return rest(s, now, wire.MayHaveHappened, cmp.Or(v.Guard, wire.CommandUnconfirmed))
	case v.Guard != "", !now.Before(s.Until): // no more frames: the rest state ends them, and what came of it the bus shows
		s.Phase, s.Next, s.Until, s.Reason = Confirming, time.Time{}, time.Time{}, v.Guard
		if s.Left == 0 {
			return s, nil
		}
		return zero(s, now), []Action{Rest}
	case !now.Before(s.Next):
		s.Next = now.Add(s.Job.Every)
		return s, []Action{Frame}
	}
	return s, nil
}

// shown is what the bus says of the outcome: only what it said after the first
// frame counts, and a no counts before a yes.
func shown(s JobState, now time.Time, v View) (JobState, []Action, bool) {
	switch {
	case v.Refused != "" && v.RefAt.After(s.First):
		next, acts := rest(s, now, wire.Failed, v.Refused)
		return next, acts, true
	case v.Goal && v.GoalAt.After(s.First):
		next, acts := rest(s, now, wire.Succeeded, "")
		return next, acts, true
	}
	return s, nil, false
}

// rest ends the job, after what is left of the rest state. A job that sent
// nothing has nothing left.
func rest(s JobState, now time.Time, o wire.State, r wire.Reason) (JobState, []Action) {
	s.Outcome, s.Reason = o, r
	if s.Left == 0 {
		return end(s, o, r)
	}
	if s = zero(s, now); s.Left == 0 {
		next, acts := end(s, o, r)
		return next, append([]Action{Rest}, acts...)
	}
	s.Phase, s.Until, s.Deadline = Resting, time.Time{}, time.Time{}
	return s, []Action{Rest}
}

// zero counts one frame of the rest state that is sent now.
func zero(s JobState, now time.Time) JobState {
	if s.Left--; s.Left > 0 {
		s.Next = now.Add(s.Job.Every)
	} else {
		s.Next = time.Time{}
	}
	return s
}

// end is said with the job still in the state, so that Outcome and Reason can be
// read; the phase is idle again.
func end(s JobState, o wire.State, r wire.Reason) (JobState, []Action) {
	return JobState{Phase: Idle, Job: s.Job, First: s.First, Outcome: o, Reason: r}, []Action{End}
}
