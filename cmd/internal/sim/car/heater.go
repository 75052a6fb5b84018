package car

import (
	"math"
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/e2e"
)

// aux is a value of REF_Aux_Active and REF_Aux_Mode.
type aux uint8

const (
	auxOff      aux = 0
	ventilating aux = 1
	heating     aux = 2
	climate     aux = 3
)

// An auxRefusal is a value of REF_Aux_Refusal.
type auxRefusal uint8

const (
	auxAccepted   auxRefusal = 0
	auxIgnition   auxRefusal = 1
	auxLowVoltage auxRefusal = 2
	auxLowFuel    auxRefusal = 3
	auxFault      auxRefusal = 4
	auxNotFitted  auxRefusal = 5
)

const (
	auxStart = 1 // REF_Aux_Cmd
	auxStop  = 2

	ventStarts  = 500 * ms
	heatStarts  = 2 * time.Second
	runOnTime   = 120 * time.Second
	leastVolts  = 12.0
	mostMinutes = 60
)

// heater is the fuel-fired auxiliary heater, which can also just ventilate.
type heater struct {
	active   aux
	starting aux
	ends     time.Time
	refusal  auxRefusal
	runOn    bool
	water    float64 // °C
	asked    uint64  // the request that was acted on last: it counts once
	check    e2e.State
}

// receive takes one frame of REF_Aux_Req.
func (h *heater) receive(w *world, f *canbus.Frame) {
	if !proven(auxReq, &h.check, f) {
		return
	}
	cmd := auxReq.signal("REF_Aux_Cmd").raw(&f.Data)
	mode := aux(auxReq.signal("REF_Aux_Mode").raw(&f.Data))
	minutes := auxReq.signal("REF_Aux_Minutes").raw(&f.Data)
	asked := cmd | uint64(mode)<<2 | minutes<<4
	if w.after(heaterGone, requestSilence); asked == h.asked {
		return
	}
	switch h.asked = asked; cmd {
	case auxStart:
		h.start(w, mode, minutes)
	case auxStop:
		h.stop(w)
	}
}

func (h *heater) start(w *world, mode aux, minutes uint64) {
	if why := h.cannot(w, mode, minutes); why != auxAccepted {
		h.refuse(w, why)
		return
	}
	h.starting, h.ends = mode, w.now.Add(time.Duration(minutes)*time.Minute)
	takes := ventStarts
	if mode == heating {
		takes = heatStarts
	}
	w.after(heaterStart, takes)
	w.timers[heaterEnd] = h.ends
}

func (h *heater) cannot(w *world, mode aux, minutes uint64) auxRefusal {
	switch {
	case w.kl15():
		return auxIgnition
	case w.faults.heater, w.airbag.fuelCut:
		return auxFault
	case mode == climate, mode == auxOff:
		return auxNotFitted
	case w.volts < leastVolts:
		return auxLowVoltage
	case mode == heating && w.fuel < reserve:
		return auxLowFuel
	case minutes == 0 || minutes > mostMinutes:
		return auxFault
	}
	return auxAccepted
}

func (h *heater) refuse(w *world, why auxRefusal) {
	h.refusal = why
	w.after(heaterRefusalOver, reasonTime)
}

// stop ends heating or ventilation; after heating the fan runs on.
func (h *heater) stop(w *world) {
	if h.active == heating {
		h.runOn = true
		w.after(heaterRunOn, runOnTime)
	}
	h.active, h.starting = auxOff, auxOff
	w.stop(heaterStart, heaterEnd)
}

// off ends everything at once, without running on: the fuel is cut.
func (h *heater) off(w *world) {
	h.active, h.starting, h.runOn = auxOff, auxOff, false
	w.stop(heaterStart, heaterEnd, heaterRunOn)
}

func (h *heater) fire(w *world, t timer) {
	switch t {
	case heaterStart:
		h.active, h.starting = h.starting, auxOff
		if h.runOn = h.runOn && h.active != heating; !h.runOn {
			w.stop(heaterRunOn)
		}
	case heaterEnd:
		h.stop(w)
	case heaterRunOn:
		h.runOn = false
	case heaterGone:
		h.asked = 0
	case heaterRefusalOver:
		h.refusal = auxAccepted
	}
}

// lost ends what runs when its reason to run is gone.
func (h *heater) lost(w *world) {
	if h.active == auxOff && h.starting == auxOff {
		return
	}
	switch {
	case w.kl15():
		h.stop(w)
		h.refuse(w, auxIgnition)
	case w.volts < leastVolts:
		h.stop(w)
		h.refuse(w, auxLowVoltage)
	case w.faults.heater:
		h.stop(w)
		h.refuse(w, auxFault)
	}
}

// minutes is what is left, rounded up.
func (h *heater) minutes(now time.Time) float64 {
	if h.active == auxOff {
		return 0
	}
	return max(0, math.Ceil(h.ends.Sub(now).Minutes()))
}

func fillAuxState(w *world, p *payload) {
	h := &w.heater
	p.set("REF_Aux_Active", float64(h.active))
	p.set("REF_Aux_Refusal", float64(h.refusal))
	p.set("REF_Aux_Remaining", h.minutes(w.now))
	p.flag("REF_Aux_RunOn", h.runOn)
	p.set("REF_Batt_V", w.volts)
}

func fillSTH(w *world, p *payload) {
	h := &w.heater
	p.flag("STH_Zusatzheizung", h.active == heating)
	p.flag("STH_Geblaese", h.active != auxOff || h.runOn)
	if w.faults.heater {
		p.set("STH_Fehlerstatus", 1)
	}
	p.set("STH_Wassertemp", h.water)
}
