package car

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

type doorState struct {
	Open   bool    `json:"open"`
	Locked bool    `json:"locked"`
	Window float64 `json:"window"`
}

// state is what the verb state says: what is so, whatever the buses say.
type state struct {
	Time      time.Time            `json:"time"`
	Awake     string               `json:"awake"` // why; "" when asleep, "ending" without a reason
	Ignition  ignition             `json:"ignition"`
	Speed     float64              `json:"speed"` // km/h
	Gear      string               `json:"gear"`
	ParkBrake bool                 `json:"park_brake"`
	Doors     map[string]doorState `json:"doors"`
	Boot      bool                 `json:"boot"`
	Bonnet    bool                 `json:"bonnet"`
	Locked    bool                 `json:"locked"`
	Reported  bool                 `json:"reported_locked"`
	Armed     bool                 `json:"armed"`
	Alarm     bool                 `json:"alarm"`
	Source    alarmSource          `json:"alarm_source"`
	Horn      bool                 `json:"horn"`
	Blinking  bool                 `json:"blinking"`
	Refusal   abort                `json:"refusal"`
	Aux       string               `json:"aux"`
	Minutes   float64              `json:"aux_minutes"`
	RunOn     bool                 `json:"aux_run_on"`
	AuxRefuse auxRefusal           `json:"aux_refusal"`
	Listening bool                 `json:"listening"`
	Learned   int                  `json:"keys_learned"`
	Crash     direction            `json:"crash"`
	FuelCut   bool                 `json:"fuel_cut"`
	Dead      bool                 `json:"dead"`
	SOS       bool                 `json:"sos"`
	Fuel      float64              `json:"fuel"`
	SoC       float64              `json:"soc"`
	Volts     float64              `json:"volts"`
	Temp      float64              `json:"temp"`
	Plug      bool                 `json:"plug"`
	Odometer  float64              `json:"odometer_km"`
	Lat       float64              `json:"lat"`
	Lon       float64              `json:"lon"`
	Fix       bool                 `json:"fix"`
	Faults    []string             `json:"faults"`
	Frames    map[string]uint64    `json:"frames"`
}

var auxNames = map[aux]string{auxOff: "off", ventilating: "ventilating", heating: "heating", climate: "climate"}

func (w *world) state() state {
	s := state{
		Time: w.now, Ignition: w.ignition, Speed: w.speed, Gear: w.gear, ParkBrake: w.parkBrake,
		Doors: make(map[string]doorState, doors), Boot: w.boot, Bonnet: w.bonnet,
		Locked: w.locked(), Reported: w.bcm.reported, Armed: w.alarm.armed, Alarm: w.alarm.sounding(), Source: w.alarm.source,
		Horn: w.horn(), Blinking: w.bcm.blinking(w), Refusal: w.telemat.reason,
		Aux: auxNames[w.heater.active], Minutes: w.heater.minutes(w.now), RunOn: w.heater.runOn, AuxRefuse: w.heater.refusal,
		Listening: w.keys.listening, Learned: w.keys.learned,
		Crash: w.airbag.crash, FuelCut: w.airbag.fuelCut, Dead: w.dead, SOS: w.sos,
		Fuel: w.fuel, SoC: w.soc, Volts: w.volts, Temp: w.ambient, Plug: w.plugged, Odometer: w.odometer / 1000,
		Lat: w.position.lat, Lon: w.position.lon, Fix: w.position.valid,
		Faults: w.faults.list(), Frames: make(map[string]uint64, buses),
	}
	if !w.asleep {
		if s.Awake = w.reason(); s.Awake == "" {
			s.Awake = "ending"
		}
	}
	for i, d := range w.doors {
		s.Doors[doorNames[i]] = doorState{d.open, d.locked, d.window}
	}
	for b, n := range w.sentCount {
		s.Frames[busNames[b]] = n
	}
	return s
}

func (w *world) json() (string, error) {
	b, err := json.Marshal(w.state())
	return string(b), err
}

// locked is true when the locks have moved and every closed door is locked,
// whatever is reported.
func (w *world) locked() bool {
	closed := func(d door) bool { return d.open || d.locked }
	return w.bcm.locked && !w.bcm.moving && !slices.ContainsFunc(w.doors[:], func(d door) bool { return !closed(d) })
}

// conditions are what the verb wait can wait for.
var conditions = map[string]func(w *world) bool{
	"locked":      (*world).locked,
	"unlocked":    func(w *world) bool { return !w.bcm.locked && !w.bcm.moving },
	"armed":       func(w *world) bool { return w.alarm.armed },
	"disarmed":    func(w *world) bool { return !w.alarm.armed },
	"alarm":       func(w *world) bool { return w.alarm.sounding() },
	"quiet":       func(w *world) bool { return !w.alarm.sounding() && !w.horn() },
	"horn":        (*world).horn,
	"blinking":    func(w *world) bool { return w.bcm.blinking(w) },
	"dark":        func(w *world) bool { return !w.bcm.blinking(w) },
	"refused":     func(w *world) bool { return w.telemat.reason != noReason || w.heater.refusal != auxAccepted },
	"ventilating": func(w *world) bool { return w.heater.active == ventilating },
	"heating":     func(w *world) bool { return w.heater.active == heating },
	"aux_off":     func(w *world) bool { return w.heater.active == auxOff && w.heater.starting == auxOff },
	"listening":   func(w *world) bool { return w.keys.listening },
	"deaf":        func(w *world) bool { return !w.keys.listening },
	"moving":      func(w *world) bool { return w.speed > 0 },
	"stopped":     func(w *world) bool { return w.speed == 0 },
	"crashed":     func(w *world) bool { return w.bcm.crash },
	"dead":        func(w *world) bool { return w.dead },
	"awake":       func(w *world) bool { return !w.asleep },
	"asleep":      func(w *world) bool { return w.asleep },
}

func condition() kind {
	names := make([]string, 0, len(conditions))
	for n := range conditions {
		names = append(names, n)
	}
	slices.Sort(names)
	k := word(names...)
	k.want = strings.Join(names, "|")
	return k
}
