package msd

import "fmt"

// A Side is where a crash hit the vehicle (Euro NCAP TB 040).
type Side uint8

// The sides. The zero value is unknown.
const (
	SideUnknown Side = iota
	NoImpact
	Front
	Rear
	DriverSide
	PassengerSide
	OtherSide
)

// A Rollover says whether the vehicle rolled over. The zero value is not known.
type Rollover uint8

// What is known about a rollover.
const (
	RolloverUnknown Rollover = iota
	NotRolled
	Rolled
)

// An Impact is the additional data of Euro NCAP TB 040, identifier [EuroNCAP].
type Impact struct {
	Side     Side
	Rollover Rollover
	Range    uint8 // what the sensor can measure, 100 to 255 km/h
	X, Y     int16 // change of speed along and across the vehicle, -255 to 255 km/h
}

// Additional returns i in the form that [MSD.Additional] takes.
func (i Impact) Additional() (*Additional, error) {
	in := func(v int16) bool { return -255 <= v && v <= 255 }
	if i.Side > OtherSide || i.Rollover > Rolled || i.Range < 100 || !in(i.X) || !in(i.Y) {
		return nil, fmt.Errorf("%w: impact out of range", ErrRefused)
	}
	var w writer
	w.bit(false)
	w.bit(i.Rollover != RolloverUnknown)
	w.bit(false)
	w.put(uint32(i.Side), 3)
	if i.Rollover != RolloverUnknown {
		w.bit(i.Rollover == Rolled)
	}
	w.bit(false)
	w.put(uint32(i.Range-100), 8)
	w.put(uint32(i.X+255), 9)
	w.put(uint32(i.Y+255), 9)
	w.fill()
	return &Additional{OID: EuroNCAP, Data: w.dst}, nil
}

// Impact reads a as an impact. Content of another kind, which exists in the
// field under the same identifier, is ok false and no error.
func (a *Additional) Impact() (i Impact, ok bool) {
	if a == nil || a.OID != EuroNCAP {
		return Impact{}, false
	}
	r := reader{src: a.Data}
	more, known := r.bit(), r.bit()
	if r.bit() {
		return Impact{}, false // a side newer than this program
	}
	i.Side = Side(r.get(3))
	if known {
		i.Rollover = NotRolled
		if r.bit() {
			i.Rollover = Rolled
		}
	}
	moreSpeed := r.bit()
	limit := r.get(8)
	i.Range = uint8(limit + 100)
	i.X, i.Y = int16(r.get(9))-255, int16(r.get(9))-255
	if r.short || i.Side > OtherSide || limit > 155 || i.X > 255 || i.Y > 255 {
		return Impact{}, false
	}
	if !more && !moreSpeed && !r.zeros() {
		return Impact{}, false
	}
	return i, true
}
