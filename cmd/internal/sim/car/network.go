package car

import "time"

// sleepAfter is how long the buses stay awake without a reason.
const sleepAfter = 10 * time.Second

// nodes are the ECUs that take part in network management, with the last octet
// of their message's identifier.
var nodes = []struct {
	name string
	bus  bus
	id   uint32
}{
	{"gateway", drive, 0x10},
	{"brakes", drive, 0x03},
	{"airbag", drive, 0x15},
	{"instruments", drive, 0x17},
	{"gateway", body, 0x11},
	{"body", body, 0x20},
	{"door_driver", body, 0x42},
	{"door_passenger", body, 0x43},
	{"door_rear_driver", body, 0x44},
	{"door_rear_passenger", body, 0x45},
	{"heater", body, 0x18},
	{"gateway", fd, 0x12},
	{"battery", fd, 0x8C},
}

const networkBase = 0x1B000000

func networkSenders() []sender {
	s := make([]sender, 0, len(nodes))
	for _, n := range nodes {
		m := &message{name: "NM_" + n.name, id: networkBase | n.id, extended: true, bus: n.bus, len: 8, cycle: time.Second}
		s = append(s, sender{m: m, fill: func(_ *world, p *payload) { p.data[0], p.data[1] = byte(n.id), 0x10 }})
	}
	return s
}

// reason is why the car is awake and stays so; "": it has none.
func (w *world) reason() string {
	switch {
	case w.klS():
		return "ignition"
	case w.speed > 0 || w.target > 0:
		return "moving"
	case w.airbag.crash != "":
		return "crash"
	case w.bcm.moving, w.running(relock), w.running(alarmArmed), w.telemat.reason != noReason, w.running(bcmAct):
		return "locks"
	case w.bcm.blinking(w), w.horn():
		return "lights"
	case w.heater.active != auxOff, w.heater.starting != auxOff, w.heater.runOn, w.heater.refusal != auxAccepted:
		return "heater"
	case w.plugged && w.soc < 100:
		return "charging"
	case w.sos:
		return "sos"
	case w.factory:
		return "telematics"
	case w.tester:
		return "diagnostics"
	case w.faults.rate > 0:
		return "flood"
	}
	return ""
}

// touched is a reason to wake that is over at once: a door, a key.
func (w *world) touched() {
	if w.dead {
		return
	}
	if w.asleep {
		w.awaken()
	}
	w.after(busSleep, sleepAfter)
}

func (w *world) sleep() {
	w.asleep = true
	w.stop(busSleep)
}
