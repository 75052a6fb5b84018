package ecall

import "time"

// A deadline names one of the clocks of a [State].
type deadline uint8

const (
	none deadline = iota
	timer
	hold
	jammed
	t2
	t10
	until
	reload
	deadlines
)

// clocks are the deadlines of s that count in its phase.
func (s *State) clocks() [deadlines]time.Time {
	c := [deadlines]time.Time{timer: s.Timer, hold: s.Hold, jammed: s.Jammed}
	//exhaustive:ignore
	switch s.Phase {
	case Connected, Sending, Acking:
		c[t2] = s.T2
	case Voice:
		c[t2], c[reload] = s.T2, s.Reload
	case Redial:
		c[until] = s.Until
	case Callback:
		c[t10] = s.T10
	}
	return c
}

// Due is the next deadline of s; zero: only an event moves it.
func (s State) Due() time.Time {
	_, at := s.next()
	return at
}

func (s *State) next() (d deadline, at time.Time) {
	for i, t := range s.clocks() {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			d, at = deadline(i), t
		}
	}
	return d, at
}

// passed is the deadline that passed first, or none.
func (s *State) passed(now time.Time) deadline {
	if d, at := s.next(); d != none && !now.Before(at) {
		return d
	}
	return none
}

// expire is what a deadline does that has passed.
func (l Limits) expire(s State, now time.Time, d deadline) (State, []Action) {
	//exhaustive:ignore
	switch d {
	case timer:
		s.Timer = time.Time{}
		return l.timer(s, now)
	case hold:
		s.Hold = time.Time{}
		return l.held(s, now)
	case jammed:
		s.Jammed, s.Stuck = time.Time{}, true
	case t2:
		acts := s.hangUp(now)
		return l.cleared(s, now), acts
	case t10:
		return l.over(s, now), nil
	case until:
		return l.giveUp(s, now), nil
	case reload:
		s.Reload = now.Add(l.Reload)
		return s, s.load()
	}
	return s, nil
}

// timer is the deadline of the phase itself.
func (l Limits) timer(s State, now time.Time) (State, []Action) {
	//exhaustive:ignore
	switch s.Phase {
	case Dialling:
		if s.Bench {
			return l.over(s, now), nil
		}
		acts := s.hangUp(now)
		if !s.Heard && !s.Lost { // there was a modem, and the command went nowhere
			acts = append(acts, s.lower()...)
		}
		s, then := l.redial(s, now)
		return s, append(acts, then...)
	case Connected, Sending, Acking: // the modem's own timer was not heard; never a reason to hang up
		return l.speak(s, now)
	case Redial:
		return l.dial(s, now)
	case Assist:
		acts := s.hangUp(now)
		return l.over(s, now), acts
	}
	return s, nil
}

// held is the SOS key held long enough.
func (l Limits) held(s State, now time.Time) (State, []Action) {
	switch {
	case !s.Phase.Live() || s.Kind == Test:
		return l.trigger(s, now, Manual)
	case l.Refuse(s, now, Cancel{}) == "":
		acts := s.hangUp(now)
		return l.over(s, now), acts
	}
	return s, nil
}

// hangUp remembers when: the end of that call is not the end of the next one.
func (s *State) hangUp(now time.Time) []Action {
	s.Gone = now
	return []Action{Hangup}
}

// dial places the call, again or for the first time.
func (l Limits) dial(s State, now time.Time) (State, []Action) {
	s.Phase, s.Heard, s.Timer = Dialling, false, now.Add(l.NoSign)
	s.T2, s.Reload = time.Time{}, time.Time{}
	s.Serial++
	if s.Rung != WithMSD {
		return s, []Action{Dial}
	}
	return s, append([]Action{Dial}, s.load()...)
}

// load numbers the next MSD. An identifier is used again until its MSD went out.
func (s *State) load() []Action {
	if s.Sent {
		if s.ID++; s.ID == 0 {
			s.ID = 1
		}
		s.Sent = false
	}
	return []Action{Load}
}

func (l Limits) connected(s State, now time.Time) State {
	s.Phase, s.Heard, s.T2, s.Timer = Connected, true, now.Add(l.T2), now.Add(l.T5)
	s.Redials, s.Dropped, s.Until = 0, false, time.Time{}
	return s
}

// speak leaves the data and goes on with the people. A fresh MSD lies ready,
// should the PSAP ask for one.
func (l Limits) speak(s State, now time.Time) (State, []Action) {
	if s.MSD != Delivered {
		s.MSD = NotDelivered
	}
	s.Phase, s.Timer, s.Reload = Voice, time.Time{}, now.Add(l.Reload)
	return s, s.load()
}

// acked is the PSAP's application acknowledging the MSD.
func (l Limits) acked(s State, now time.Time, e ALAck) (State, []Action) {
	s.MSD, s.Sent = Delivered, true
	if e.Clear {
		acts := s.hangUp(now)
		return l.cleared(s, now), acts
	}
	return l.speak(s, now)
}

// taken is a call-back that is answered: no initiation, the PSAP asks if it wants data.
func (l Limits) taken(s State, now time.Time) (State, []Action) {
	s.Ringing = false
	s, then := l.speak(l.connected(s, now), now)
	return s, append([]Action{TakeIt}, then...)
}

// cleared is the end of a call that reached the PSAP, or could not: from here it
// may call back. Nobody calls back a test, and the next should not wait for T10.
func (l Limits) cleared(s State, now time.Time) State {
	if s.Kind == Test {
		return l.over(s, now)
	}
	s.Phase, s.Ended, s.T9, s.T10 = Callback, now, now.Add(l.T9), now.Add(l.T10)
	s.Heard, s.Ringing, s.Bench = false, false, false
	s.Timer, s.T2, s.Until, s.Reload, s.Hold = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return s
}

// over is the end. Nothing of the call is left but what the lamp shows.
func (l Limits) over(s State, now time.Time) State {
	n := State{
		Phase: Idle, Since: s.Since, Serial: s.Serial, Failed: s.Failed, Lost: s.Lost, Network: s.Network,
		Ended: s.Ended, Gone: s.Gone, Down: s.Down, Stuck: s.Stuck, Jammed: s.Jammed,
	}
	if !s.Phase.Live() { // a key that was meant to cancel must not trigger
		n.Hold, n.First, n.Presses = s.Hold, s.First, s.Presses
	} else if s.Kind != Test {
		n.Ended = now
	}
	return n
}

// giveUp is the end of redialling. Whoever missed us may still call.
func (l Limits) giveUp(s State, now time.Time) State {
	s.Failed = true
	return l.cleared(s, now)
}

// drop is the end of a call that was connected, for no good reason.
func (l Limits) drop(s State, now time.Time) (State, []Action) {
	s.Dropped, s.Redials, s.Until, s.T2, s.Reload = true, 0, now.Add(l.DropEnd), time.Time{}, time.Time{}
	if s.MSD != Delivered {
		s.MSD = NotDelivered
	}
	return l.redial(s, now)
}

// lower goes down one rung. Under the last, the modem is reset and the call
// begins anew at the first.
func (s *State) lower() []Action {
	if s.Rung++; s.Rung <= Plain {
		return nil
	}
	s.Rung, s.Refusals = WithMSD, 0
	return []Action{Restart}
}

// refused is a Dial whose command failed. The first rung is left after two
// refusals; a modem that could not be asked has refused nothing.
func (l Limits) refused(s State, now time.Time, byModem bool) (State, []Action) {
	var acts []Action
	if byModem {
		if s.Refusals++; s.Rung != WithMSD || s.Refusals > 1 {
			acts = s.lower()
		}
	}
	s, then := l.redial(s, now)
	return s, append(acts, then...)
}

// redial waits for the next attempt, or makes it when there is nothing to wait
// for. A test call is not tried again.
func (l Limits) redial(s State, now time.Time) (State, []Action) {
	s.Phase, s.Heard, s.Timer = Redial, false, time.Time{}
	gaps := l.Gaps
	if s.Dropped {
		gaps = l.Again
	}
	var gap time.Duration
	switch n := int(s.Redials); {
	case s.Kind == Test:
		return l.giveUp(s, now), nil
	case n < len(gaps):
		gap = gaps[n]
	case s.Dropped:
		gap = gaps[len(gaps)-1]
	case s.Automatic:
		gap = l.Every
		if s.Until.IsZero() {
			s.Until = s.Incident.Add(l.T10)
		}
	default: // only a registration, and not for long
		if s.Until.IsZero() {
			s.Until = now.Add(l.GiveUp)
		}
	}
	s.Redials = min(s.Redials+1, 250)
	switch {
	case !s.Until.IsZero() && !now.Before(s.Until):
		return l.giveUp(s, now), nil
	case gap > 0:
		s.Timer = now.Add(gap)
	case s.Redials <= uint8(len(gaps)):
		return l.dial(s, now)
	}
	return s, nil
}
