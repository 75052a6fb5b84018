package car

import (
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/e2e"
)

// Key identifiers that are no numbers of learned keys.
const (
	unknownKey = 9
	digitalKey = 15
)

const (
	listenSilence = time.Second // without REF_KeyListen the receiver stops listening
	listenLongest = 150 * time.Second
	pressFrames   = 3 // that show one press
)

// A press is a button pressed on a key.
type press struct {
	key    int
	button string // lock, unlock, boot, panic
	weak   bool   // the key's battery is
	replay bool   // somebody sends an old press again
	fake   bool   // it carries a key's number and cannot prove it
	count  uint16
	valid  bool
}

var buttons = map[string]float64{"lock": 1, "unlock": 2, "boot": 3, "panic": 4}

// receiver is the part of the body controller that hears the radio keys.
type receiver struct {
	learned   int // keys 1 to learned
	count     uint16
	listening bool
	worn      bool // listened as long as it may; wants the request to end first
	show      press
	frames    int // that are still to show it
	check     e2e.State
}

// press is a key pressed near the car; it says what came of it.
func (r *receiver) press(w *world, p press) string {
	p.valid = !p.fake && (p.key <= r.learned || p.key == digitalKey)
	if p.count = r.count; !p.replay {
		r.count++
		p.count = r.count
	}
	w.touched()
	switch {
	case r.listening:
		r.show, r.frames = p, pressFrames
		return "shown"
	case w.kl15():
		return "ignored: the ignition is on"
	case !p.valid || p.replay:
		return "ignored: not a key of this car"
	}
	return w.bcm.obey(w, p)
}

// obey does what a genuine key asks.
func (b *bcm) obey(w *world, p press) string {
	b.key, b.weakKey = p.key, p.weak
	w.alarm.silence(w)
	switch p.button {
	case "lock":
		if w.doors[doorDriver].open {
			return "ignored: the driver's door is open"
		}
		b.lock(w)
	case "unlock":
		b.unlock(w)
	case "boot":
		b.unlock(w)
		w.openBoot(true)
	case "panic":
		b.panicking = true
		w.after(panicOver, panicTime)
	}
	return ""
}

// receive takes one frame of REF_KeyListen.
func (r *receiver) receive(w *world, f *canbus.Frame) {
	if !proven(keyListen, &r.check, f) {
		return
	}
	if keyListen.signal("REF_Listen_Req").raw(&f.Data) == 0 {
		r.deafen(w)
		return
	}
	w.after(listenGone, listenSilence)
	if !r.listening && !r.worn && w.kl15() {
		r.listening = true
		w.after(listenMax, listenLongest)
	}
}

// deafen ends listening.
func (r *receiver) deafen(w *world) {
	r.listening, r.frames, r.worn = false, 0, false
	w.stop(listenMax, listenGone)
}

// shown is told that REF_Keys was sent.
func (r *receiver) shown() {
	if r.frames > 0 {
		r.frames--
	}
}

func fillKeys(w *world, p *payload) {
	r := &w.keys
	p.flag("REF_Listen", r.listening)
	p.set("REF_Keys_Learned", float64(r.learned))
	p.set("REF_Key_Press", float64(r.count))
	if r.frames == 0 {
		return
	}
	p.set("REF_Key_Id", float64(r.show.key))
	p.set("REF_Key_Button", buttons[r.show.button])
	p.flag("REF_Key_Valid", r.show.valid)
	p.flag("REF_Key_BattLow", r.show.weak)
	p.set("REF_Key_Press", float64(r.show.count))
}
