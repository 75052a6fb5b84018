package msd

import "fmt"

// Lengths that depend on the version.
func typeBits(version uint8) uint {
	if version >= 3 {
		return 5
	}
	return 4
}

// types is the number of vehicle types a version knows.
func types(version uint8) VehicleType {
	if version >= 3 {
		return 23
	}
	return 13
}

func storages(version uint8) uint {
	if version == 1 {
		return 6
	}
	return 7
}

func encode(dst []byte, m *MSD, most int) ([]byte, error) {
	if err := check(m); err != nil {
		return dst, err
	}
	n := (size(m) + 7) / 8
	total := 1 + n
	if m.Version >= 2 {
		total += lengthOctets(n)
	}
	if n > MaxOctets || most > 0 && total > most {
		return dst, fmt.Errorf("%w: %d octets", ErrRefused, total)
	}
	w := writer{dst: append(dst, m.Version)}
	if m.Version >= 2 {
		w.octets(n)
	}
	w.message(m)
	w.fill()
	return w.dst, nil
}

// check finds what the standard does not allow in m.
func check(m *MSD) error {
	switch {
	case m.Version < 1 || m.Version > 3:
		return fmt.Errorf("%w: version %d", ErrRefused, m.Version)
	case m.Type < 1 || m.Type > types(m.Version):
		return fmt.Errorf("%w: vehicle type %d in version %d", ErrRefused, m.Type, m.Version)
	case m.Storage>>storages(m.Version) != 0:
		return fmt.Errorf("%w: storage %#x in version %d", ErrRefused, uint8(m.Storage), m.Version)
	case !m.Position.legal():
		return fmt.Errorf("%w: position out of range", ErrRefused)
	case m.Version == 3 && !(m.N1.Present && m.N2.Present):
		return fmt.Errorf("%w: version 3 without earlier positions", ErrRefused)
	case m.Version == 3 && oddDirection(m.Direction):
		return fmt.Errorf("%w: direction %d", ErrRefused, m.Direction)
	case !m.N1.fits() || !m.N2.fits():
		return fmt.Errorf("%w: earlier position too far away", ErrRefused)
	}
	if m.VIN != (VIN{}) {
		for _, c := range m.VIN {
			if codes[c] == 0 {
				return fmt.Errorf("%w: %w", ErrRefused, ErrVIN)
			}
		}
	}
	if a := m.Additional; a != nil && (len(a.OID) == 0 || len(a.OID) > MaxOctets || len(a.Data) > MaxOctets) {
		return fmt.Errorf("%w: additional data of %d octets, identifier of %d", ErrRefused, len(a.Data), len(a.OID))
	}
	return nil
}

func oddDirection(d uint8) bool { return d >= 180 && d != UnknownDirection }

func (p Position) legal() bool {
	in := func(v, most int32) bool { return v == UnknownMas || -most <= v && v <= most }
	return in(p.Latitude, MaxLatitude) && in(p.Longitude, MaxLongitude)
}

func (d Delta) fits() bool {
	in := func(v int16) bool { return -512 <= v && v <= 511 }
	return !d.Present || in(d.Latitude) && in(d.Longitude)
}

func lengthOctets(n int) int {
	if n < 128 {
		return 1
	}
	return 2
}

// size is the number of bits of the message, for its length stands before it.
func size(m *MSD) int {
	n := 2 + 2 + 8 + 3 + 1 + int(typeBits(m.Version)) + 17*6 + 1 + int(storages(m.Version)) + 32 + 64 + 8
	if m.Version < 3 {
		n += 2
	}
	for s := m.Storage; s != 0; s &= s - 1 {
		n++
	}
	if m.N1.Present {
		n += 20
	}
	if m.N2.Present {
		n += 20
	}
	if m.Occupants.Present {
		n += 8
	}
	if a := m.Additional; a != nil {
		n += 8 * (lengthOctets(len(a.OID)) + len(a.OID) + lengthOctets(len(a.Data)) + len(a.Data))
	}
	return n
}

func (w *writer) message(m *MSD) {
	w.bit(false) // no additions to the message
	w.bit(m.Additional != nil)
	w.bit(false) // nor to the structure
	if m.Version < 3 {
		w.bit(m.N1.Present)
		w.bit(m.N2.Present)
	}
	w.bit(m.Occupants.Present)
	w.put(uint32(m.ID), 8)
	w.bit(m.Automatic)
	w.bit(m.Test)
	w.bit(m.Trusted)
	w.bit(false) // a vehicle type of this version
	w.put(uint32(m.Type)-1, typeBits(m.Version))
	for _, c := range m.VIN {
		w.put(max(uint32(codes[c]), 1)-1, 6) // the zero VIN becomes zeros
	}
	w.bit(false)
	// A member that is false is its default, and a default is not written: the
	// bits of presence and the bits of value are all ones.
	for i := range storages(m.Version) {
		w.bit(m.Storage>>i&1 == 1)
	}
	for s := m.Storage; s != 0; s &= s - 1 {
		w.bit(true)
	}
	w.put(m.Timestamp, 32)
	w.put(uint32(m.Position.Latitude)^1<<31, 32)
	w.put(uint32(m.Position.Longitude)^1<<31, 32)
	w.put(uint32(m.Direction), 8)
	w.delta(m.N1)
	w.delta(m.N2)
	if m.Occupants.Present {
		w.put(uint32(m.Occupants.Count), 8)
	}
	if a := m.Additional; a != nil {
		w.octets(len(a.OID))
		for i := range len(a.OID) {
			w.put(uint32(a.OID[i]), 8)
		}
		w.octets(len(a.Data))
		for _, b := range a.Data {
			w.put(uint32(b), 8)
		}
	}
}

func (w *writer) delta(d Delta) {
	if d.Present {
		w.put(uint32(d.Latitude+512), 10)
		w.put(uint32(d.Longitude+512), 10)
	}
}
