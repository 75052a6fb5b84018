package command

import (
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/enroll/user"
	"github.com/headunit-agent/headunit/privacy"
)

// A World is what the checks after the signature look at.
type World struct {
	Epoch   wire.Epoch
	Now     uint32 // vehicle seconds of this epoch
	Users   user.List
	Policy  privacy.Policy
	Offered wire.Ops // what this car is equipped for
	Calling bool     // an emergency call is live
	Busy    bool     // another job has the actuator
}

// An Authorized is a verified command that everything but the vehicle itself
// agrees to.
type Authorized struct {
	command   wire.Command
	hash      wire.Hash
	key       wire.Kid
	operation wire.Operation
	minutes   int
}

// Command is what was signed.
func (a Authorized) Command() wire.Command { return a.command }

// An Answer is what a verified command gets before the vehicle is asked: a
// refusal, the result it had before, or neither when it goes on.
type Answer struct {
	Refusal *Refusal
	Again   []byte // the stored result
	Repeat  bool   // seen before; Again may be empty while the job runs
}

// Authorize is steps 7 to 24. From step 8 on the number is used up, whatever
// follows.
func (b *Book) Authorize(v Verified, w World) (Authorized, Answer) {
	c := v.command
	if v.key.Kid == (wire.Kid{}) {
		return Authorized{}, Answer{Refusal: refuse(wire.CommandInvalid)}
	}
	if c.Epoch != w.Epoch {
		return Authorized{}, Answer{Refusal: refuse(wire.CommandEpoch)}
	}
	op, known := wire.OperationOf(c.Operation)
	switch b.judge(v.key.Kid, c.Seq, c.ID, v.hash, known && op.Class == wire.ClassA) {
	case repeat:
		return Authorized{}, Answer{Again: b.noted(v.key.Kid, c.Seq), Repeat: true}
	case replayed:
		return Authorized{}, Answer{Refusal: refuse(wire.CommandReplayed)}
	case fresh:
	}
	a := Authorized{command: c, hash: v.hash, key: v.key.Kid, operation: op}
	for _, check := range []func(*Authorized, Verified, World) wire.Reason{asked, inTime, byWhom, permitted, possible} {
		if r := check(&a, v, w); r != "" {
			return Authorized{}, Answer{Refusal: refuse(r)}
		}
	}
	return a, Answer{}
}

// asked is step 10: what it asks for exists, and is complete. Proofs that nobody
// here can judge yet must not pass for judged ones. There is no step 9: an agent
// that stops takes no messages.
func asked(a *Authorized, _ Verified, _ World) wire.Reason {
	c := a.command
	switch {
	case a.operation.Number == 0, c.Proof != nil, c.Grant != nil, c.NewPIN != nil, c.Challenge != wire.ID{}:
		return wire.CommandInvalid
	}
	switch a.operation.Name {
	case "ventilation-start", "heater-start":
		m, err := wire.DecodeMinutes(c.Arguments)
		if err != nil {
			return minutesReason(c.Arguments)
		}
		a.minutes = int(m.Minutes)
	case "lock", "unlock", "ventilation-stop", "heater-stop":
		if c.Arguments != nil {
			return wire.CommandInvalid
		}
	}
	return ""
}

// minutesReason tells a wrong run time from arguments that are none.
func minutesReason(arguments []byte) wire.Reason {
	if len(arguments) > 0 {
		return wire.CommandRunTime
	}
	return wire.CommandInvalid
}

// inTime is step 11.
func inTime(a *Authorized, _ Verified, w World) wire.Reason {
	switch c := a.command; {
	case w.Now > c.Expires:
		return wire.CommandExpired
	case c.Expires-w.Now > a.operation.TTL:
		return wire.CommandTTL
	}
	return ""
}

// byWhom is steps 12 to 15.
func byWhom(a *Authorized, v Verified, w World) wire.Reason {
	switch {
	case v.key.Suspended:
		return wire.UserSuspended
	case a.command.Users != w.Users.Version:
		return wire.CommandUsersChanged
	}
	role := map[user.Role]wire.Roles{user.Primary: wire.Primary, user.Secondary: wire.Secondary, user.Former: wire.Former}[v.user.Role]
	if a.operation.Roles&role == 0 {
		return wire.UserPrimaryOnly
	}
	for _, s := range a.operation.Services {
		switch {
		case v.user.May(s):
		case user.PrimaryOnly(s):
			return wire.UserPrimaryOnly
		default:
			return wire.UserNoRight
		}
	}
	return ""
}

// permitted is steps 17 and 19.
func permitted(a *Authorized, _ Verified, w World) wire.Reason {
	switch {
	case a.operation.Name == "privacy-set":
		return wire.PrivacyCarOnly
	case w.Policy.Closing, !w.Policy.Level.Open(privacy.NoLocation):
		return wire.PrivacyMaximum
	case a.operation.Name == "horn-lights" && !w.Policy.Level.Open(privacy.ShareLocation):
		return wire.PrivacyLocation
	}
	if a.operation.Licensed { // what needs no license needs no switch
		for _, s := range a.operation.Services {
			if w.Policy.Off.Has(privacy.Service(s)) {
				return wire.PrivacyServiceOff
			}
		}
	}
	return ""
}

// possible is steps 20, 21 and 23.
func possible(a *Authorized, _ Verified, w World) wire.Reason {
	switch {
	case !w.Offered.Has(a.operation.Number):
		return wire.CommandNoEquipment
	case w.Calling:
		return wire.CommandECallActive
	case w.Busy:
		return wire.CommandBusy
	}
	return ""
}
