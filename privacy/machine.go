package privacy

import (
	"fmt"
	"time"
)

// A Phase is one of the four levels, or [Closing] on the way to the strictest.
type Phase string

// Closing: [Maximum] is in force but for the goodbye.
const Closing Phase = "closing"

// A Choice is what lies on flash: a level and the services switched off.
type Choice struct {
	Level Level
	Off   Switches
}

// stricter reports whether c lets out nothing that d does not. Maximum lets out
// nothing at all, whatever is switched off beside it.
func (c Choice) stricter(d Choice) bool {
	open := c.Level.openness()
	return open == 0 || open <= d.Level.openness() && d.Off&^c.Off == 0
}

// A State is all that the machine remembers. It is comparable; the zero value is
// Maximum.
type State struct {
	Phase    Phase
	Off      Switches
	Wanted   Choice    // a lowering that waits for the disk; the zero value is none
	Owed     bool      // what is in force is not on flash yet
	Saving   bool      // a Save has not been answered yet; there is never a second one
	Deadline time.Time // closing is over, or the save is tried again
}

// Start is the state that a choice read from flash begins with.
func Start(kept Choice) State {
	return State{Phase: Phase(State{Phase: Phase(kept.Level)}.level()), Off: kept.Off}
}

func (s State) level() Level {
	if l := Level(s.Phase); l.openness() > 0 {
		return l
	}
	return Maximum
}

func (s State) force() Choice { return Choice{s.level(), s.Off} }

// Policy is what the gate goes by in s.
func (s State) Policy() Policy {
	return Policy{Level: s.level(), Off: s.Off, Closing: s.Phase == Closing}
}

// Kept is what belongs on flash: the lowering that waits for it, else what is in
// force.
func (s State) Kept() Choice {
	if s.Wanted != (Choice{}) {
		return s.Wanted
	}
	return s.force()
}

// Due is when s ends by itself; zero: never.
func (s State) Due() time.Time { return s.Deadline }

func (s State) String() string {
	t := fmt.Sprintf("%s [%s]", s.Phase, s.Off)
	if s.Wanted != (Choice{}) {
		t += fmt.Sprintf(" wants %s [%s]", s.Wanted.Level, s.Wanted.Off)
	}
	if s.Owed {
		t += " owed"
	}
	if s.Saving {
		t += " saving"
	}
	return t
}

// An Event is one of Boot, Chosen, Saved, Unsaved, Parted and Tick.
type Event interface{ event() }

// The events.
type (
	Boot   struct{} // the program started with what lay on flash
	Chosen struct { // somebody in the car chose
		Choice
		Stationary bool // the car surely stands still
	}
	Saved   struct{ Choice Choice } // Choice lies on flash
	Unsaved struct{}                // the last Save failed, and may have been written all the same
	Parted  struct{}                // the goodbye was delivered
	Tick    struct{}                // a timer; early and stale ones change nothing
)

func (Boot) event()    {}
func (Chosen) event()  {}
func (Saved) event()   {}
func (Unsaved) event() {}
func (Parted) event()  {}
func (Tick) event()    {}

// An Action is what has to be done, in the order given.
type Action string

// The actions.
const (
	Apply         Action = "apply"         // the gate goes by State.Policy, and what it forbids is destroyed where it waits
	Save          Action = "save"          // put State.Kept on flash; answered by Saved or Unsaved
	SayGoodbye    Action = "say-goodbye"   // send the goodbye; answered by Parted
	Disconnect    Action = "disconnect"    // not one packet from here on
	Connect       Action = "connect"       // go online
	Tell          Action = "tell"          // tell the phones that the choice changed
	RefuseDriving Action = "refuse-moving" // lowering is for a car that stands still
	RefuseUnsaved Action = "refuse-unsaved"
)

// Limits are the machine's durations.
type Limits struct {
	CloseWait time.Duration // for the goodbye, at most
	SaveAgain time.Duration // between two tries to save
}

// DefaultLimits are those of the product.
var DefaultLimits = Limits{CloseWait: 3 * time.Second, SaveAgain: time.Second}

// Step takes one event. Raising is in force when Step returns and is saved until
// it succeeds; lowering waits for the disk, so what lies on flash is never more
// open than what the driver last chose.
func (l Limits) Step(s State, now time.Time, e Event) (State, []Action) {
	due := !s.Deadline.IsZero() && !now.Before(s.Deadline)
	var first []Action
	switch {
	case e == Tick{} && !due:
		return s, nil
	case e != Tick{} && due:
		s, first = l.tick(s, now)
	}
	s, then := l.step(s, now, e)
	return s, append(first, then...)
}

// save adds a Save to acts, unless one is under way: its answer will show that
// it has been overtaken.
func save(s State, acts ...Action) (State, []Action) {
	if s.Saving {
		return s, acts
	}
	s.Saving = true
	return s, append(acts, Save)
}

func (l Limits) step(s State, now time.Time, e Event) (State, []Action) {
	switch e := e.(type) {
	case Boot:
		if s.level() == Maximum {
			return s, []Action{Apply}
		}
		return s, []Action{Apply, Connect}
	case Chosen:
		return l.chosen(s, now, e)
	case Saved:
		return l.saved(s, e)
	case Unsaved:
		var acts []Action
		if s.Wanted != (Choice{}) {
			acts = []Action{RefuseUnsaved}
		}
		// It may have been written: what is in force has to go over it.
		s.Wanted, s.Owed, s.Saving = Choice{}, true, false
		return l.retry(s, now), acts
	case Parted:
		if s.Phase == Closing {
			return l.close(s, now)
		}
	case Tick:
		return l.tick(s, now)
	}
	return s, nil
}

func (l Limits) chosen(s State, now time.Time, c Chosen) (State, []Action) {
	if c.Level.openness() == 0 {
		c.Level = Maximum
	}
	switch {
	case c.Choice == s.force() && s.Wanted == (Choice{}):
		return s, nil
	case c.Choice.stricter(s.force()):
		was := s
		s.Off, s.Wanted, s.Owed = c.Off, Choice{}, true
		if c.Level != Maximum {
			s.Phase = Phase(c.Level)
			return save(l.retry(s, now), Apply, Tell)
		}
		if was.level() == Maximum { // at Maximum already: only the switches change
			if s.Phase != Closing {
				s = l.retry(s, now)
			}
			return save(s, Apply)
		}
		s.Phase, s.Deadline = Closing, now.Add(l.CloseWait)
		return save(s, Apply, SayGoodbye)
	case !c.Stationary:
		return s, []Action{RefuseDriving}
	}
	s.Wanted = c.Choice
	return save(s)
}

func (l Limits) saved(s State, e Saved) (State, []Action) {
	s.Saving = false
	if e.Choice != s.Kept() {
		return save(s) // it has been overtaken
	}
	was := s
	s.Owed = false
	if s.Phase != Closing {
		s.Deadline = time.Time{}
	}
	if s.Wanted == (Choice{}) {
		return s, nil
	}
	s = State{Phase: Phase(s.Wanted.Level), Off: s.Wanted.Off} // never Maximum: that is no lowering
	switch {
	case was.Phase == Closing:
		return s, []Action{Disconnect, Apply, Connect}
	case was.level() == Maximum:
		return s, []Action{Apply, Connect}
	}
	return s, []Action{Apply, Tell}
}

func (l Limits) tick(s State, now time.Time) (State, []Action) {
	if s.Phase == Closing {
		return l.close(s, now)
	}
	if s.Owed {
		return save(l.retry(s, now))
	}
	s.Deadline = time.Time{}
	return s, nil
}

func (l Limits) close(s State, now time.Time) (State, []Action) {
	s.Phase, s.Deadline = Phase(Maximum), time.Time{}
	if s.Owed {
		s = l.retry(s, now)
	}
	return s, []Action{Disconnect}
}

func (l Limits) retry(s State, now time.Time) State {
	if s.Phase != Closing {
		s.Deadline = now.Add(l.SaveAgain)
	}
	return s
}
