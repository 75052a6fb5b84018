package car

// The doors, in the order of their alarm sources.
const (
	doorDriver = iota
	doorPassenger
	doorRearDriver // behind the driver
	doorRearPassenger
	doors
)

var (
	doorNames  = [doors]string{"driver", "passenger", "rear_driver", "rear_passenger"}
	doorPrefix = [doors]string{"FT", "BT", "HFS", "HBFS"}
)

// A door is one door unit. An open door never reports that it is locked; if it
// is closed while it should be, its motor locks it then.
type door struct {
	open   bool
	wanted bool // locked, by the body controller's word
	locked bool
	window float64 // percent open
}

func (d *door) move(w *world, i int, locked bool) {
	d.wanted = locked
	w.after(doorMoves+timer(i), motorTime)
}

func (d *door) moved() { d.locked = d.wanted && !d.open }

// set opens or closes door i by hand.
func (d *door) set(w *world, i int, open bool) {
	if d.open == open {
		return
	}
	d.open = open
	w.touched()
	if !open {
		w.after(doorMoves+timer(i), motorTime)
		return
	}
	d.locked = false
	w.opened(alarmSource(1 + i))
}

func (d *door) fill(p *payload, prefix string) {
	p.flag(prefix+"_Tuer_geoeffnet", d.open)
	p.flag(prefix+"_verriegelt", d.locked)
	p.set(prefix+"_FH_Oeffnung", d.window)
}

// opened is what follows from a door, the boot or the bonnet being opened.
func (w *world) opened(by alarmSource) {
	w.stop(relock)
	w.alarm.trigger(w, by)
}
