package ecall

import "time"

// Step is what e does to s at now, on the boot-time clock. It is total and pure.
// The actions are to be done in their order, and none of them waits for a disk.
// A deadline that has passed is judged before e, whatever e is.
func (l Limits) Step(s State, now time.Time, e Event) (State, []Action) {
	if s.Phase == "" {
		s.Phase, s.Since = Idle, now
	}
	var acts []Action
	do := func(next State, a []Action) {
		if next.Phase != s.Phase || next.Since.IsZero() {
			next.Since = now
		}
		s, acts = next, append(acts, a...)
	}
	for range deadlines { // each once: what is set anew lies ahead
		d := s.passed(now)
		if d == none {
			break
		}
		do(l.expire(s, now, d))
	}
	if e != (Tick{}) && l.Refuse(s, now, e) == "" {
		do(l.step(s, now, e))
	}
	return s, acts
}

// Refuse says why a request of the people in the car is not
// followed in s, or nothing. Events that are no requests are never refused.
func (l Limits) Refuse(s State, now time.Time, e Event) string {
	live := s.Phase.Live()
	switch e := e.(type) {
	case Trigger:
		switch {
		case e.Kind == Test && s.Phase != Idle, e.Screen && live && s.Kind != Test:
			return "busy"
		case e.Screen && !s.Ended.IsZero() && now.Before(s.Ended.Add(l.Quiet)):
			return "too soon"
		}
	case Aid:
		switch {
		case s.Phase != Idle:
			return "busy"
		case s.Lost:
			return "modem"
		}
	case Cancel:
		switch {
		case !live:
			return "call"
		case s.Automatic:
			return "automatic"
		case s.Phase != Dialling && s.Phase != Redial:
			return "connected"
		}
	case HangUp:
		if s.Phase != Assist && (!live || s.Kind != Test) {
			return "call"
		}
	case TakeUp:
		if !s.Ringing {
			return "call"
		}
	}
	return ""
}

// step is Step without deadlines and refusals: first what is alike in all phases.
func (l Limits) step(s State, now time.Time, e Event) (State, []Action) {
	switch e := e.(type) {
	case Trigger:
		return l.trigger(s, now, e.Kind)
	case Down:
		return l.down(s, now)
	case Up:
		s.Down, s.Stuck, s.Hold, s.Jammed = false, false, time.Time{}, time.Time{}
		if s.Phase == Pressed {
			s.Phase = Idle
		}
		return s, nil
	case IgnitedOn:
		s.Failed = false
		return s, nil
	case Cancel, HangUp:
		acts := s.hangUp(now)
		return l.over(s, now), acts
	case Lost:
		s.Lost, s.Network = true, false
		return s, nil
	case Ready:
		s.Lost = false
		return l.ready(s, now, e)
	case Network:
		fresh := e.Registered && !s.Network
		s.Network = e.Registered
		if fresh && s.Phase == Redial && !s.Lost { // lost: Ready comes, and says whether a call lives
			return l.dial(s, now)
		}
		return s, nil
	}
	//exhaustive:enforce
	switch s.Phase {
	case Idle, Pressed:
		return l.idle(s, now, e)
	case Dialling, Redial:
		return l.dialling(s, now, e)
	case Connected, Sending, Acking:
		return l.transfer(s, now, e)
	case Voice:
		return l.voice(s, now, e)
	case Callback:
		return l.callback(s, now, e)
	case Assist:
		return l.assist(s, now, e)
	}
	return s, nil
}

// trigger starts a call, or marks the one that lives. A second trigger never
// replaces an emergency call; a test call has to give way to one (choice).
func (l Limits) trigger(s State, now time.Time, k Kind) (State, []Action) {
	if !s.Phase.Live() || s.Kind == Test {
		var first []Action
		if s.Phase == Assist || s.Phase.Live() || s.Ringing {
			first = s.hangUp(now)
		}
		s.Kind, s.Incident, s.Automatic = k, now, k == Automatic
		s.Bench, s.ID, s.Sent, s.MSD, s.Rung, s.Refusals, s.Redials = false, 1, false, "", WithMSD, 0, 0
		s.Dropped, s.Failed, s.Ringing = false, false, false
		s.Until, s.T9, s.T10 = time.Time{}, time.Time{}, time.Time{}
		s.Hold, s.First, s.Presses = time.Time{}, time.Time{}, 0
		s, then := l.dial(s, now)
		return s, append(first, then...)
	}
	if k != Automatic || s.Automatic {
		return s, nil
	}
	s.Automatic = true
	switch s.Phase {
	case Redial: // there is no call to keep, and a reason to try afresh
		s.Redials, s.Until = 0, time.Time{}
		return l.dial(s, now)
	case Dialling, Voice:
		return s, s.load()
	}
	return s, nil
}

// down is the SOS key, in every phase: held or pressed often it is a trigger,
// and held while a manual call is not connected it cancels.
func (l Limits) down(s State, now time.Time) (State, []Action) {
	if s.Down {
		return s, nil
	}
	s.Down, s.Jammed = true, now.Add(l.Jam)
	if s.Phase.Live() && s.Kind != Test {
		s.Hold = now.Add(l.Unhold)
		return s, nil
	}
	s.Hold = now.Add(l.Hold)
	if s.First.IsZero() || now.After(s.First.Add(l.Within)) {
		s.First, s.Presses = now, 0
	}
	if s.Presses++; s.Presses >= l.Presses {
		return l.trigger(s, now, Manual)
	}
	if s.Phase == Idle {
		s.Phase = Pressed
	}
	return s, nil
}

// ready takes a modem that came or came back. What the modem lists decides
// whether the call survived.
func (l Limits) ready(s State, now time.Time, e Ready) (State, []Action) {
	switch s.Phase {
	case Dialling:
		switch {
		case s.Bench:
		case !e.InCall:
			return l.dial(s, now)
		default: // it has as long to be answered as any call that is under way
			s.Heard, s.Timer = true, now.Add(l.NoAnswer)
		}
	case Redial:
		if !e.InCall {
			return l.dial(s, now)
		}
		if s.MSD == Delivered {
			return l.speak(l.connected(s, now), now)
		}
		return l.connected(s, now), nil
	case Connected, Sending, Acking, Voice:
		if !e.InCall {
			return l.drop(s, now)
		}
	case Assist:
		if !e.InCall {
			return l.over(s, now), nil
		}
	}
	return s, nil
}

// idle is also pressed. A call that is answered here was canceled too late, or
// is not ours to end: it was placed before this program started. One that comes
// in has nobody to answer it.
func (l Limits) idle(s State, now time.Time, e Event) (State, []Action) {
	switch e := e.(type) {
	case Aid:
		s.Phase, s.Kind, s.Heard, s.Timer = Assist, e.Kind, false, now.Add(l.NoSign)
		s.Serial++
		return s, []Action{Dial}
	case Answered:
		if !s.Gone.IsZero() {
			acts := s.hangUp(now)
			return s, acts
		}
	case Incoming:
		acts := s.hangUp(now)
		return s, acts
	}
	return s, nil
}

// dialling is also redial: there a sign of life means that the modem went on
// with what it had seemed to refuse.
func (l Limits) dialling(s State, now time.Time, e Event) (State, []Action) {
	if s.Bench {
		return s, nil
	}
	switch e := e.(type) {
	case Unarmed:
		if s.Phase == Dialling && e.Test && s.Kind != Test {
			s.Kind = Test
			return l.dial(s, now)
		}
		s.Bench = s.Phase == Dialling
	case Sign:
		if !s.Heard {
			s.Phase, s.Heard, s.Timer = Dialling, true, now.Add(l.NoAnswer)
		}
	case Answered:
		return l.connected(s, now), nil
	case Start, LLAck, ALAck: // the answer was not heard
		return l.transfer(l.connected(s, now), now, e)
	case Incoming:
		if s.Phase == Redial { // the PSAP was faster
			s, then := l.speak(l.connected(s, now), now)
			return s, append([]Action{TakeIt}, then...)
		}
	case Failed:
		if s.Phase == Dialling && e.Serial == s.Serial {
			return l.refused(s, now, e.Refused)
		}
	case Ended:
		if s.Phase == Dialling && (s.Heard || s.Gone.IsZero() || now.After(s.Gone.Add(l.Echo))) {
			s.Gone = now
			return l.redial(s, now)
		}
	}
	return s, nil
}

// own is the timer that the modem runs in a phase.
var own = map[Phase]string{Connected: "T5", Sending: "T7", Acking: "T6"}

// transfer is connected, sending and acking. The order in which the modem tells
// what happened is not relied upon: the later event wins.
func (l Limits) transfer(s State, now time.Time, e Event) (State, []Action) {
	switch e := e.(type) {
	case Start:
		s.Phase, s.Sent, s.Timer = Sending, true, now.Add(l.T7)
	case LLAck:
		s.Phase, s.Sent, s.Timer = Acking, true, now.Add(l.T6)
	case ALAck:
		return l.acked(s, now, e)
	case Expired:
		if e.Timer == own[s.Phase] {
			return l.speak(s, now)
		}
	case SyncLost:
		if s.Phase != Connected {
			s.Phase, s.Timer = Connected, now.Add(l.T5)
		}
	case Ended:
		s.Gone = now
		if e.Cause == Normal {
			return l.cleared(s, now), nil
		}
		return l.drop(s, now)
	}
	return s, nil
}

func (l Limits) voice(s State, now time.Time, e Event) (State, []Action) {
	switch e := e.(type) {
	case Start:
		s.Phase, s.Sent, s.Timer, s.Reload = Sending, true, now.Add(l.T7), time.Time{}
	case ALAck:
		return l.acked(s, now, e)
	case Ended:
		s.Gone = now
		if e.Cause == Normal || e.Cause == "" && s.MSD == Delivered {
			return l.cleared(s, now), nil
		}
		return l.drop(s, now)
	}
	return s, nil
}

func (l Limits) callback(s State, now time.Time, e Event) (State, []Action) {
	switch e.(type) {
	case Incoming:
		if now.Before(s.T9) {
			return l.taken(s, now)
		}
		s.Ringing = true
	case TakeUp:
		return l.taken(s, now)
	case Ended:
		s.Ringing = false
	}
	return s, nil
}

func (l Limits) assist(s State, now time.Time, e Event) (State, []Action) {
	switch e := e.(type) {
	case Sign:
		if !s.Heard {
			s.Heard, s.Timer = true, now.Add(l.NoAnswer)
		}
	case Answered:
		s.Heard, s.Timer = true, time.Time{}
	case Failed:
		if e.Serial == s.Serial {
			return l.over(s, now), nil
		}
	case Ended:
		s.Gone = now
		return l.over(s, now), nil
	}
	return s, nil
}
