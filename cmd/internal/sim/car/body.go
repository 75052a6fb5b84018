package car

import "time"

// bcm is the body controller: locks, lamps and what it says about them.
type bcm struct {
	locked    bool // the locks are, or are on their way
	reported  bool // ZV_verriegelt_extern_ist
	moving    bool // between a request and its lockDone
	key       int  // that opened or locked last; 0: none
	weakKey   bool
	feedback  int // half periods of the lamps still to come, for opening and locking
	opening   bool
	lamps     bool
	crash     bool
	panicking bool
	vinPart   int
}

const (
	motorTime   = 120 * ms // of a door lock
	lockedAfter = 350 * ms
	armedAfter  = 500 * ms
	relockAfter = 45 * time.Second
	halfBlink   = 375 * ms
	panicTime   = 30 * time.Second
)

// lock locks every door that is closed, and arms the alarm.
func (b *bcm) lock(w *world) {
	b.moving, b.feedback, b.opening = true, 4, false // two blinks
	w.stop(relock)
	w.after(lockDone, lockedAfter)
	if w.faults.lie {
		return
	}
	b.locked = true
	for d := range doors {
		w.doors[d].move(w, d, true)
	}
	w.after(alarmArmed, armedAfter)
}

// unlock opens every lock; the car locks itself again unless a door is opened.
func (b *bcm) unlock(w *world) {
	b.open(w)
	b.moving, b.feedback, b.opening = true, 2, true // one blink
	w.after(lockDone, lockedAfter)
	w.after(relock, relockAfter)
	for d := range doors {
		w.doors[d].move(w, d, false)
	}
}

// release opens everything at once after a crash, and for good.
func (b *bcm) release(w *world) {
	b.open(w)
	b.moving, b.reported = false, false
	w.stop(lockDone, relock)
	for d := range doors {
		w.stop(doorMoves + timer(d))
		w.doors[d].wanted, w.doors[d].locked = false, false
	}
}

func (b *bcm) open(w *world) {
	b.locked = false
	w.stop(alarmArmed)
	w.alarm.disarm(w)
}

// moved is the end of the motors' way.
func (b *bcm) moved(w *world) {
	b.moving = false
	b.reported = b.locked || w.faults.lie && !b.opening
}

// busy reports whether something more important is going on.
func (b *bcm) busy(w *world) bool {
	return b.moving || b.crash || b.panicking || w.airbag.crash != "" || w.alarm.sounding()
}

func (b *bcm) blinking(w *world) bool {
	return b.feedback > 0 || b.crash || b.panicking || w.alarm.sounding() || w.telemat.blinking()
}

func (b *bcm) startBlinking(w *world) {
	b.lamps = true
	w.after(blinkPhase, halfBlink)
}

func (b *bcm) blink(w *world) {
	if b.feedback > 0 {
		b.feedback--
	}
	if b.lamps = !b.lamps && b.blinking(w); b.blinking(w) {
		w.after(blinkPhase, halfBlink)
	}
}

// horn reports whether it can be heard; no message says so.
func (w *world) horn() bool {
	return w.alarm.horn || w.bcm.panicking || w.telemat.horn()
}

func blinkCycle(w *world) time.Duration {
	if w.bcm.blinking(w) {
		return 20 * ms
	}
	return blinkmodi.cycle
}

func fillBlinkmodi(w *world, p *payload) {
	b := &w.bcm
	p.flag("BM_ZV_auf", b.feedback > 0 && b.opening)
	p.flag("BM_ZV_zu", b.feedback > 0 && !b.opening)
	p.flag("BM_DWA_ein", w.alarm.armed)
	p.flag("BM_DWA_Alarm", w.alarm.sounding())
	p.flag("BM_Crash", b.crash)
	p.flag("BM_Panik", b.panicking || w.telemat.doing(tmPanic))
	p.flag("BM_Warnblinken", b.crash)
	p.flag("BM_Telematik", w.telemat.noise != 0)
	p.flag("Blinken_li_Fzg_Takt", b.lamps)
	p.flag("Blinken_re_Fzg_Takt", b.lamps)
	p.set("BM_Telematik_Abbruchgrund", float64(w.telemat.reason))
	p.set("DWA_Alarmquelle", float64(w.alarm.source))
}

func fillZV02(w *world, p *payload) {
	b := &w.bcm
	p.flag("ZV_verriegelt_extern_ist", b.reported)
	p.flag("ZV_verriegelt_extern_soll", b.locked || b.reported)
	p.flag("ZV_FT_offen", w.doors[doorDriver].open)
	p.flag("ZV_BT_offen", w.doors[doorPassenger].open)
	p.flag("ZV_HFS_offen", w.doors[doorRearDriver].open)
	p.flag("ZV_HBFS_offen", w.doors[doorRearPassenger].open)
	p.flag("ZV_HD_offen", w.boot)
	p.flag("HD_Hauptraste", !w.boot)
	p.flag("DWA_aktiv", w.alarm.armed)
	p.set("ZV_Schluessel_Zugang", float64(b.key))
	p.flag("FBS_Warn_Schluessel_Batt", b.weakKey)
	p.flag("ZV_ist_Zustand_verfuegbar", true)
}

func fillBCM01(w *world, p *payload) { p.flag("BCM1_MH_Schalter", w.bonnet) }

func fillKlimaSensor(w *world, p *payload) { p.set("BCM1_Aussen_Temp_ungef", w.ambient) }

func fillWFS(w *world, p *payload) {
	if w.kl15() {
		p.set("WFS_Schluessel_Fahrberecht", float64(max(w.bcm.key, 1)))
	}
}

func fillSOS(w *world, p *payload) { p.flag("REF_SOS_Pressed", w.sos) }
