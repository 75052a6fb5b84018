package command

import (
	"time"

	"github.com/headunit-agent/headunit/agent/internal/vehicle"
	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/canbus"
)

const (
	oldest = 2 * time.Second // input of a guard
	quiet  = time.Second     // a bus that carries nothing for so long is not awake
)

// View is what the newest state of the vehicle says of a job. Only good
// readings count; what is not known holds nothing.
func (a *Actuator) View(j Job, s *vehicle.State, now time.Time, calling bool) View {
	op := a.p.Operations[j.Goal.Operation]
	if op == nil {
		return View{Guard: wire.CommandNoEquipment}
	}
	bus := s.Bus(op.Send.Bus, now)
	v := View{Awake: !bus.LastFrame.IsZero() && now.Sub(bus.LastFrame) < quiet}
	v.Mute = mute(bus.State)
	v.Guard = a.guards(op, s, now, v.Mute, calling)
	if r := s.Signal(op.Refused.Signal, now); r.Quality == vehicle.Good {
		if word, ok := op.Refused.Codes[r.Value.Int()]; ok {
			v.Refused, v.RefAt = ReasonOf(word), r.At
		}
	}
	shown := s.Get(op.Confirm.Path, now)
	if op.Confirm.Path == 0 {
		shown = s.Signal(op.Confirm.Signal, now)
	}
	if shown.Quality == vehicle.Good && shown.Value == op.Confirm.Is {
		v.Goal, v.GoalAt = true, shown.At
	}
	return v
}

// guards returns the first reason against the operation: a call before
// everything, then what is not known, a crash, and the rest in the order of the
// profile.
func (a *Actuator) guards(op *profile.Operation, s *vehicle.State, now time.Time, mute, calling bool) wire.Reason {
	switch {
	case calling:
		return wire.CommandECallActive
	case mute:
		return wire.CommandStateUnknown
	}
	var first wire.Reason
	for _, r := range op.Require {
		reason, known := judge(r, s, now)
		switch {
		case !known:
			return wire.CommandStateUnknown
		case reason == wire.CommandCrash, reason != "" && first == "":
			first = reason
		}
	}
	if m := a.p.Message(op.Send.Bus, op.Send.Message.Name); first == "" && m != nil && m.Send != nil && m.Send.AbsentFor > 0 {
		last := s.LastForeign(op.Send.Bus, m.DBC.ID, m.DBC.Extended)
		if !last.IsZero() && now.Sub(last) < m.Send.AbsentFor {
			return wire.CommandBusy // somebody else commands this car
		}
	}
	return first
}

// mute reports whether nothing may be written to a bus.
func mute(bus canbus.BusState) bool {
	switch bus {
	case canbus.Off, canbus.Passive, canbus.Gone:
		return true
	case canbus.OK, canbus.Warning, canbus.Silent, "":
	}
	return false
}

// judge says whether a requirement's input is known, and the reason if it does
// not hold.
func judge(r profile.Requirement, s *vehicle.State, now time.Time) (wire.Reason, bool) {
	answer := func(a vehicle.Answer) (wire.Reason, bool) {
		if a == vehicle.Yes {
			return "", true
		}
		return ReasonOf(r.Name), a == vehicle.No
	}
	path, is := r.Path, true
	switch r.Name {
	case "no_crash":
		return answer(s.NoCrash(now))
	case "stationary":
		return answer(recent(s.Stationary(now), s.Get(speed, now), now))
	case "ignition_off":
		return answer(recent(s.IgnitionOff(now), s.Get(ignition, now), now))
	case "no_alarm":
		path, is = alarmTriggered, false
	}
	got := s.Get(path, now)
	if got.Quality != vehicle.Good || now.Sub(got.At) > oldest {
		return wire.CommandStateUnknown, false
	}
	if r.Name != "" {
		if got.Value.Bool() == is {
			return "", true
		}
		return ReasonOf(r.Name), true
	}
	if r.Holds(got.Value) {
		return "", true
	}
	return ReasonOf(r.Code), true
}

// recent takes back an answer that stands on an old reading: a profile may call
// fresh what is too old to act on. Without a reading the answer is that of a car
// which fell asleep in order.
func recent(a vehicle.Answer, r vehicle.Reading, now time.Time) vehicle.Answer {
	if r.Good() && now.Sub(r.At) > oldest {
		return vehicle.Unknown
	}
	return a
}

var (
	alarmTriggered = path("Vehicle.Body.TheftAlarm.IsTriggered")
	speed          = path("Vehicle.Speed")
	ignition       = path("Vehicle.LowVoltageSystemState")
)

// path is a leaf that the catalogue certainly has; a test holds it.
func path(name string) profile.Path {
	p, _ := profile.Find(name)
	return p
}
