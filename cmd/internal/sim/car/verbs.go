package car

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A verb is one order that the car takes. Its optional words come all or not at
// all; at most three of the kind more may follow.
type verb struct {
	name     string
	kinds    []kind
	optional []kind
	more     kind
	run      func(w *world, a []arg) (string, error) // nil: [Car.Do] does it
}

// does is a verb that always succeeds and has nothing to say.
func does(f func(w *world, a []arg)) func(*world, []arg) (string, error) {
	return func(w *world, a []arg) (string, error) {
		f(w, a)
		return "", nil
	}
}

var (
	openOrClosed = toggle("open", "closed")
	oneOrZero    = toggle("1", "0")
	percent      = number(0, 100)
	aDoor        = word(doorNames[:]...)
	verbs        = slices.Concat(carVerbs, otherVerbs, faultVerbs)
)

func doorNamed(a arg) int { return slices.Index(doorNames[:], a.text) }

var carVerbs = []verb{
	{name: "door", kinds: []kind{aDoor, openOrClosed}, run: does(func(w *world, a []arg) {
		i := doorNamed(a[0])
		w.doors[i].set(w, i, a[1].n == 1)
	})},
	{name: "window", kinds: []kind{aDoor, percent}, run: does(func(w *world, a []arg) { w.doors[doorNamed(a[0])].window = a[1].n })},
	{name: "boot", kinds: []kind{openOrClosed}, run: does(func(w *world, a []arg) { w.openBoot(a[0].n == 1) })},
	{name: "bonnet", kinds: []kind{openOrClosed}, run: does(func(w *world, a []arg) { w.openBonnet(a[0].n == 1) })},
	{name: "ignition", kinds: []kind{word("off", "acc", "on", "start")}, run: does(func(w *world, a []arg) { w.setIgnition(ignition(a[0].text)) })},
	{name: "speed", kinds: []kind{number(0, 300)}, run: does(func(w *world, a []arg) { w.setSpeed(a[0].n) })},
	{name: "gear", kinds: []kind{word("P", "R", "N", "D", "S")}, run: setGear},
	{name: "park_brake", kinds: []kind{oneOrZero}, run: does(func(w *world, a []arg) { w.parkBrake = a[0].n == 1 })},
	{name: "belt", kinds: []kind{oneOrZero}, run: does(func(w *world, a []arg) { w.airbag.belt = a[0].n == 1 })},
	{name: "fuel", kinds: []kind{percent}, run: does(func(w *world, a []arg) { w.fuel = a[0].n })},
	{name: "soc", kinds: []kind{percent}, run: does(func(w *world, a []arg) { w.soc = a[0].n })},
	{name: "volts", kinds: []kind{number(0, 16)}, run: does(func(w *world, a []arg) { w.volts = a[0].n })},
	{name: "temp", kinds: []kind{number(-50, 70)}, run: does(func(w *world, a []arg) { w.ambient = a[0].n })},
	{name: "plug", kinds: []kind{oneOrZero}, run: does(func(w *world, a []arg) { w.plugged = a[0].n == 1 })},
	{name: "key", kinds: []kind{keyNumber(), word("lock", "unlock", "boot", "panic")}, more: word("weak", "replay", "fake"), run: pressKey},
	{name: "keys", kinds: []kind{whole(0, 8)}, run: does(func(w *world, a []arg) { w.keys.learned = int(a[0].n) })},
	{
		name: "crash", kinds: []kind{word("front", "rear", "driver", "passenger", "rollover"), whole(0, 7)},
		optional: []kind{word("bus_dies_after"), duration(time.Hour)}, run: crash,
	},
	{name: "reset", run: does(func(w *world, _ []arg) { w.airbag.reset(w) })},
	{name: "alarm", kinds: []kind{word("tilt", "interior", "window")}, run: triggerAlarm},
	{name: "sos", kinds: []kind{toggle("press", "release")}, run: does(func(w *world, a []arg) { w.sos = a[0].n == 1 })},
	{name: "gnss lost", run: does(func(w *world, _ []arg) { w.position.valid = false })},
	{name: "gnss", kinds: []kind{place()}, optional: []kind{number(0, 360)}, run: does(func(w *world, a []arg) {
		w.position.lat, w.position.lon, w.position.valid = a[0].n, a[0].m, true
		if len(a) > 1 {
			w.position.track = a[1].n
		}
	})},
	{name: "sleep", run: goToSleep},
	{name: "wake", run: does(func(w *world, _ []arg) { w.touched() })},
	{name: "factory_unit", kinds: []kind{oneOrZero}, run: does(func(w *world, a []arg) { w.factory = a[0].n == 1 })},
	{name: "tester", kinds: []kind{oneOrZero}, run: does(func(w *world, a []arg) { w.tester = a[0].n == 1 })},
}

var otherVerbs = []verb{
	{name: "state", run: func(w *world, _ []arg) (string, error) { return w.json() }},
	{name: "wait", kinds: []kind{condition(), duration(time.Hour)}},
	{name: "help"},
}

var offOrNothing = []kind{word("off")}

// onMessage is a fault of one message, that ends with the word off.
func onMessage(name string, set func(w *world, id uint32, on bool) error) verb {
	return verb{name: "fault " + name, kinds: []kind{sentMessage()}, optional: offOrNothing, run: func(w *world, a []arg) (string, error) {
		return "", set(w, uint32(a[0].n), len(a) == 1)
	}}
}

// onBus is a fault of one bus, that ends with the word off.
func onBus(name string, set func(w *world, b bus, on bool)) verb {
	return verb{name: "fault " + name, kinds: []kind{aBus()}, optional: offOrNothing, run: does(func(w *world, a []arg) {
		set(w, bus(a[0].n), len(a) == 1)
	})}
}

// onECU is a fault of an ECU, that ends with the word off.
func onECU(name string, set func(w *world, on bool)) verb {
	return verb{name: "fault " + name, optional: offOrNothing, run: does(func(w *world, a []arg) { set(w, len(a) == 0) })}
}

var faultVerbs = []verb{
	{name: "fault drop", kinds: []kind{sentMessage(), whole(0, 1_000_000)}, run: does(func(w *world, a []arg) {
		w.faults.at(uint32(a[0].n)).drop = int(a[1].n)
	})},
	onMessage("crc", func(w *world, id uint32, on bool) error {
		return w.protected(id, func(f *fault) { f.crc = on })
	}),
	onMessage("freeze_counter", func(w *world, id uint32, on bool) error {
		return w.protected(id, func(f *fault) { f.frozen = on })
	}),
	onMessage("stuck", func(w *world, id uint32, on bool) error {
		f := w.faults.at(id)
		f.stuck, f.held = on, w.sender(id).last
		return nil
	}),
	onMessage("sentinel", (*world).setSentinel),
	onBus("silence", func(w *world, b bus, on bool) { w.faults.silent[b] = on }),
	onBus("busoff", (*world).setBusOff),
	onBus("passive", (*world).setPassive),
	{name: "fault flood", kinds: []kind{aBus(), whole(0, 8000)}, run: does(func(w *world, a []arg) {
		w.faults.flooded, w.faults.rate = bus(a[0].n), int(a[1].n)
		w.after(floodNext, 0)
	})},
	{name: "fault lie", kinds: []kind{word("lock")}, optional: offOrNothing, run: does(func(w *world, a []arg) { w.faults.lie = len(a) == 1 })},
	{name: "fault slow_bcm", kinds: []kind{duration(time.Minute)}, run: does(func(w *world, a []arg) { w.faults.slow = a[0].d })},
	onECU("no_answer", func(w *world, on bool) { w.faults.deaf = on }),
	onECU("defect", func(w *world, on bool) { w.faults.defect = on }),
	onECU("heater", func(w *world, on bool) { w.faults.heater = on }),
	{name: "fault clear", run: does(func(w *world, _ []arg) { w.clearFaults() })},
}

// keyNumber is a learned key, or 9 for an unknown one, or 15 for a digital one.
func keyNumber() kind {
	k := whole(1, digitalKey)
	k.want = "1..9|15"
	all := k.parse
	k.parse = func(w string) (arg, bool) {
		a, ok := all(w)
		return a, ok && (a.n <= unknownKey || a.n == digitalKey)
	}
	return k
}

func pressKey(w *world, a []arg) (string, error) {
	p := press{key: int(a[0].n), button: a[1].text}
	for _, o := range a[2:] {
		switch o.text {
		case "weak":
			p.weak = true
		case "replay":
			p.replay = true
		case "fake":
			p.fake = true
		}
	}
	return w.keys.press(w, p), nil
}

func setGear(w *world, a []arg) (string, error) {
	if a[0].text == "P" && w.speed > 0 {
		return "", errors.New("the car moves: stop it before gear P")
	}
	w.gear = a[0].text
	return "", nil
}

func crash(w *world, a []arg) (string, error) {
	dies := time.Duration(-1)
	if len(a) > 2 {
		dies = a[3].d
	}
	w.airbag.hit(w, direction(a[0].text), int(a[1].n), dies)
	return "", nil
}

func triggerAlarm(w *world, a []arg) (string, error) {
	if !w.alarm.armed {
		return "", errors.New("the alarm is not armed: lock the car first")
	}
	w.alarm.trigger(w, alarmSources[a[0].text])
	return "", nil
}

func goToSleep(w *world, _ []arg) (string, error) {
	if why := w.reason(); why != "" {
		return "", fmt.Errorf("the car cannot sleep: %s", why)
	}
	w.sleep()
	return "", nil
}

func (w *world) sender(id uint32) *sender {
	for i := range w.senders {
		if w.senders[i].m.id == id {
			return &w.senders[i]
		}
	}
	return nil
}

func (w *world) protected(id uint32, set func(*fault)) error {
	if m := w.sender(id).m; m.e2e == nil {
		return fmt.Errorf("%s has neither checksum nor counter", m.name)
	}
	set(w.faults.at(id))
	return nil
}

func (w *world) setSentinel(id uint32, on bool) error {
	m := w.sender(id).m
	if !slices.ContainsFunc(m.signals, func(s signal) bool { return s.na != 0 }) {
		return fmt.Errorf("no signal of %s has a value for not available", m.name)
	}
	w.faults.at(id).sentinel = on
	return nil
}

// help names every verb, in one line.
func help() string {
	l := make([]string, 0, len(verbs))
	for i := range verbs {
		l = append(l, verbs[i].usage())
	}
	return strings.Join(l, " · ")
}
