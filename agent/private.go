package agent

import (
	"time"

	"github.com/headunit-agent/headunit/agent/internal/hmi"
	"github.com/headunit-agent/headunit/agent/internal/store"
	"github.com/headunit-agent/headunit/agent/pipe"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/privacy"
)

// keptChoice is the record of the driver's choice: words, so that no number can
// come to mean something else.
type keptChoice struct {
	Level privacy.Level
	Off   []privacy.Service
}

// choice is Maximum for whatever is not understood.
func (k keptChoice) choice() privacy.Choice {
	off, err := privacy.NewSwitches(k.Off...)
	if err != nil {
		return privacy.Choice{Level: privacy.Maximum}
	}
	level, _ := privacy.ParseLevel(string(k.Level)) // Maximum if it is none
	return privacy.Choice{Level: level, Off: off}
}

// takePrivacy gives the machine an event, and does what it says.
func (l *loop) takePrivacy(now time.Time, e privacy.Event) {
	was := l.privacy
	next, acts := l.limits.Step(was, now, e)
	l.privacy = next
	if next.Phase != was.Phase {
		l.since = now
		l.log.Info().Str("from", string(was.Phase)).Str("to", string(next.Phase)).Msg("privacy")
	}
	for _, a := range acts {
		l.doPrivacy(now, a)
	}
}

func (l *loop) doPrivacy(now time.Time, a privacy.Action) {
	switch a {
	case privacy.Apply:
		l.box.Purge(l.privacy.Policy())
		l.forgetForbidden()
	case privacy.Save:
		c := l.privacy.Kept()
		if err := l.store.Save(store.Privacy, keptChoice{c.Level, c.Off.Services()}); err != nil {
			l.log.Error().Err(err).Msg("privacy is not saved")
			l.takePrivacy(now, privacy.Unsaved{})
			return
		}
		l.takePrivacy(now, privacy.Saved{Choice: c})
	case privacy.SayGoodbye:
		l.line.wanted = false // an uplinkd that starts anew meanwhile must not connect for this
		l.goodbye(now, wire.PrivacyMaximum)
		if !l.line.up {
			l.takePrivacy(now, privacy.Parted{})
		}
	case privacy.Disconnect:
		l.line.wanted = false
		l.close(nil) // whatever uplinkd made of the goodbye
		l.lost("privacy.maximum")
	case privacy.Connect:
		l.line.wanted = true
		if l.line.piped {
			l.open(now)
		}
	case privacy.Tell:
		l.privacyChanged(now)
	case privacy.RefuseDriving:
		l.choosing = &hmi.Refused{Reason: "privacy.stationary-only", Driving: true}
	case privacy.RefuseUnsaved:
		l.choosing = &hmi.Refused{Reason: string(wire.SystemNotSaved)}
	}
}

// open asks uplinkd for a connection, with the goodbye that the broker says if
// the car is lost.
func (l *loop) open(now time.Time) {
	will, err := l.farewellPayload(now, wire.SystemLost, l.line.connections+1)
	if err != nil {
		l.log.Error().Err(err).Msg("no connection without a will")
		return
	}
	l.up.send(pipe.Open{Broker: l.cfg.Broker, Cell: l.cfg.Cell, Name: l.id.name, Will: will})
}

func (l *loop) farewellPayload(now time.Time, why wire.Reason, connection uint32) ([]byte, error) {
	b, err := wire.Goodbye{Car: l.id.name, Epoch: l.epoch, Now: l.seconds(now), Reason: why, Connections: connection}.Encode()
	if err != nil {
		return nil, err
	}
	return wire.Sign(l.id.sign, wire.KindGoodbye, b)
}

// goodbye closes the connection with the last that is heard of the car. It
// passes the gate like everything else.
func (l *loop) goodbye(now time.Time, why wire.Reason) {
	if !l.line.up {
		l.close(nil)
		return
	}
	b, err := l.farewellPayload(now, why, l.line.connections)
	if err != nil {
		l.log.Error().Err(err).Msg("no goodbye")
	}
	c, _ := l.privacy.Policy().Clear(privacy.Record{Class: privacy.Session, Topic: privacy.TopicGoodbye, QoS: 1, Payload: b})
	l.close(c.Payload())
}

// close ends the connection with one last message, or the pipe where uplinkd
// takes not even that: then it drops the connection by itself.
func (l *loop) close(last []byte) {
	if !l.up.send(pipe.Close{Last: last}) {
		l.log.Error().Msg("uplinkd takes nothing: the pipe is closed")
		l.up.cut()
	}
}

// farewell ends a run of the agent: the backend is told, if there is a way and
// the level allows it, within a second.
func (l *loop) farewell() {
	if !l.line.up {
		return
	}
	l.goodbye(l.now(), wire.SystemStopping)
	over := time.After(time.Second)
	for l.line.up {
		select {
		case e := <-l.events:
			switch e := e.(type) {
			case fromUplink:
				if s, ok := e.frame.(pipe.State); ok && !s.Up {
					return
				}
			case pipeBroken:
				return
			}
		case <-over:
			return
		}
	}
}

// privacyChanged tells the phones which level is in force now.
func (l *loop) privacyChanged(now time.Time) {
	level := l.level()
	b, err := wire.Event{
		Car: l.id.name, Epoch: l.epoch, Now: l.seconds(now), ID: wire.NewID(), Type: wire.EventPrivacyChanged,
		Reason: wire.PrivacyChangedBy, Level: &level, SwitchedOff: l.switchedOff(), Cause: "driver",
	}.Encode()
	l.say(now, privacy.Session, wire.UpEvent, wire.KindEvent, b, err)
}

// level is the number of the level in force, as it is sent.
func (l *loop) level() uint8 {
	for i, known := range privacy.Levels {
		if l.privacy.Policy().Level == known {
			return wire.LevelMaximum - uint8(i)
		}
	}
	return wire.LevelMaximum
}

func (l *loop) switchedOff() []string {
	off := []string{}
	for _, s := range l.privacy.Policy().Off.Services() {
		off = append(off, string(s))
	}
	return off
}
