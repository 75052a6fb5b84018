package car

import "time"

// brakes is the unit that measures speed.
type brakes struct {
	since time.Time // awake since
}

// undecided is how long after waking the speed is not known yet.
const (
	undecided     = 300 * ms
	speedStarting = 655.34 // raw 65534
)

func fillESP21(w *world, p *payload) {
	if w.now.Sub(w.brakes.since) < undecided {
		p.set("ESP_v_Signal", speedStarting)
		p.flag("ESP_QBit_v_Signal", true)
		return
	}
	p.set("ESP_v_Signal", w.speed)
}

// The gateway.

func fillKlemmen(w *world, p *payload) {
	p.flag("ZAS_Kl_S", w.klS())
	p.flag("ZAS_Kl_15", w.kl15())
	p.flag("ZAS_Kl_X", w.ignition == ignitionOn)
	p.flag("ZAS_Kl_50", w.ignition == ignitionStart)
}

// gears are the values of GE_Fahrstufe.
var gears = map[string]float64{"P": 5, "R": 6, "N": 7, "D": 8, "S": 9}

func fillGateway73(w *world, p *payload) {
	p.set("GE_Fahrstufe", gears[w.gear])
	p.flag("EPB_Status", w.parkBrake)
}

func fillLichtAnf(w *world, p *payload) {
	p.flag("Tagfahrlicht", w.kl15())
	p.flag("Rueckfahrlicht", w.kl15() && w.gear == "R")
}

const reserve = 10 // percent of the tank

func fillKombi01(w *world, p *payload) {
	p.flag("KBI_Tankwarnung", w.fuel < reserve)
	p.set("KBI_angez_Geschw", w.speed)
}

func fillSysteminfo(w *world, p *payload) { p.flag("SI_Diagnose_Aktiv", w.tester) }

func fillDiagnose(w *world, p *payload) {
	t := w.now.UTC()
	p.set("KBI_Kilometerstand", float64(int(w.odometer)/1000))
	p.set("UH_Jahr", float64(t.Year()))
	p.set("UH_Monat", float64(t.Month()))
	p.set("UH_Tag", float64(t.Day()))
	p.set("UH_Stunde", float64(t.Hour()))
	p.set("UH_Minute", float64(t.Minute()))
	p.set("UH_Sekunde", float64(t.Second()))
}

// secret stands where a real car sends the secret of its component protection,
// so that whoever shows or keeps these octets can be found out.
var secret = [4]byte{0x5E, 0xC4, 0xE7, 0x00}

func fillVIN(w *world, p *payload) {
	part := w.bcm.vinPart
	p.set("VIN_01_MUX", float64(part))
	copyTo := func(octet int, s string) { copy(p.data[octet:8], s) }
	switch vin := w.fixed.VIN; part {
	case 0:
		copy(p.data[1:5], secret[:])
		copyTo(5, vin[:3])
	case 1:
		copyTo(1, vin[3:10])
	case 2:
		copyTo(1, vin[10:])
	}
}

// The instruments.

func fillKombi02(w *world, p *payload) {
	p.set("KBI_Kilometerstand", float64(int(w.odometer)/1000))
	p.set("KBI_Inhalt_Tank", w.fuel/100*perTank)
	p.set("KBI_Aussen_Temp_gef", w.ambient)
}

func fillKombi03(w *world, p *payload) {
	p.set("KBI_Tankfuellstand_Prozent", w.fuel)
	p.set("KBI_Tankinhalt_hochaufl", w.fuel/100*perTank)
}

func fillWIV(_ *world, p *payload) {
	p.set("WIV_t_min", 6)
	p.set("WIV_t_max", 24)
	p.set("WIV_W_min", 5000)
	p.set("WIV_W_max", 25000)
}

// The traction battery.

const (
	cellVolts    = 3.7
	pack         = 96   // cells in series; only the first 32 are shown
	perPercent   = 0.6  // km of range
	packEnergy   = 13.0 // kWh
	chargingAmps = -10.0
)

func fillHV(w *world, p *payload) {
	cell := cellVolts + (w.soc-50)*0.004
	p.set("REF_SoC", w.soc)
	p.set("REF_HV_V", cell*pack)
	switch {
	case w.airbag.crash != "":
		p.set("REF_HV_A", 0) // the contactors are open
	case w.plugged && w.soc < 100:
		p.set("REF_HV_A", chargingAmps)
	default:
		p.set("REF_HV_A", w.speed*0.5)
	}
	p.set("REF_Range", w.soc*perPercent)
	for i := range cells {
		p.set(hv01.signals[4+i].name, cell+float64(i%4)*0.001)
	}
	p.set("REF_Float", w.soc/100*packEnergy)
	p.set("REF_SoC_BE", w.soc)
}
