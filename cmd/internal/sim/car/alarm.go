package car

import "time"

// An alarmSource is a value of DWA_Alarmquelle. 1 to 4 are the doors.
type alarmSource uint8

const (
	byBonnet   alarmSource = 5
	byBoot     alarmSource = 6
	byWindow   alarmSource = 7
	byInterior alarmSource = 8
	byTilt     alarmSource = 11
)

var alarmSources = map[string]alarmSource{"window": byWindow, "interior": byInterior, "tilt": byTilt}

const (
	hornTime  = 30 * time.Second
	hornPause = 10 * time.Second
	hornTimes = 3
)

// alarm is the theft alarm.
type alarm struct {
	armed  bool
	source alarmSource // of the last alarm since it was armed
	round  int         // 1 to 3; 0: it is quiet
	horn   bool
}

func (a *alarm) sounding() bool { return a.round > 0 }

func (a *alarm) trigger(w *world, by alarmSource) {
	if !a.armed || a.sounding() {
		return
	}
	a.source, a.round, a.horn = by, 1, true
	w.after(alarmPhase, hornTime)
}

// next is the end of a horn's time or of the pause after it.
func (a *alarm) next(w *world) {
	switch {
	case a.horn && a.round == hornTimes:
		a.round, a.horn = 0, false
	case a.horn:
		a.horn = false
		w.after(alarmPhase, hornPause)
	default:
		a.round, a.horn = a.round+1, true
		w.after(alarmPhase, hornTime)
	}
}

func (a *alarm) silence(w *world) {
	a.round, a.horn, a.source = 0, false, 0
	w.stop(alarmPhase)
}

func (a *alarm) disarm(w *world) {
	a.armed = false
	a.silence(w)
}
