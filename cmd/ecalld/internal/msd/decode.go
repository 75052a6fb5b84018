package msd

import "fmt"

// Decode reads a message as it was received, padding included. It is tolerant
// where devices in the field are known to differ, and says so in the flags; an
// error is always [ErrMalformed]. Versions above 3 are read as 3.
func Decode(b []byte) (MSD, Flags, error) {
	if len(b) == 0 || b[0] == 0 {
		return MSD{}, 0, fmt.Errorf("%w: no version", ErrMalformed)
	}
	r := reader{src: b, at: 8}
	if b[0] >= 2 {
		n := r.length()
		if r.short || r.at+8*n > 8*len(b) {
			return MSD{}, 0, fmt.Errorf("%w: length beyond the end", ErrMalformed)
		}
		end := r.at/8 + n
		after := reader{src: b, at: 8 * end}
		r = reader{src: b[:end], at: r.at, odd: r.odd || !after.zeros()}
	}
	m := MSD{Version: b[0]}
	flags, err := r.message(&m)
	if err == nil && r.short {
		err = fmt.Errorf("%w: too short", ErrMalformed)
	}
	if err != nil {
		return MSD{}, 0, err
	}
	// The octets of version 2 and 3 end with the message; version 1 has no
	// length, and the in-band modem fills it with zeros.
	whole := m.Version == 1 || (r.at+7)/8 == len(r.src)
	if !r.zeros() || r.odd || !whole {
		flags |= NotCanonical
	}
	return m, flags, nil
}

func (r *reader) message(m *MSD) (flags Flags, err error) {
	more := r.bit()
	data := r.bit()
	moreStructure := r.bit()
	m.N1.Present, m.N2.Present = true, true
	if m.Version < 3 {
		m.N1.Present, m.N2.Present = r.bit(), r.bit()
	}
	m.Occupants.Present = r.bit()
	m.ID = uint8(r.get(8))
	m.Automatic, m.Test, m.Trusted = r.bit(), r.bit(), r.bit()
	odd, err := r.vehicle(m)
	if err != nil {
		return 0, err
	}
	flags |= odd | r.storage(m)
	m.Timestamp = r.get(32)
	m.Position.Latitude = int32(r.get(32) ^ 1<<31)
	m.Position.Longitude = int32(r.get(32) ^ 1<<31)
	m.Direction = uint8(r.get(8))
	r.delta(&m.N1)
	r.delta(&m.N2)
	if m.Occupants.Present {
		m.Occupants.Count = uint8(r.get(8))
	}
	if moreStructure {
		r.additions()
	}
	if data {
		m.Additional = &Additional{OID: OID(r.octets()), Data: r.octets()}
		if len(m.Additional.OID) == 0 && !r.short {
			return 0, fmt.Errorf("%w: empty object identifier", ErrMalformed)
		}
	}
	if more {
		r.additions()
	}
	if more || moreStructure {
		flags |= Additions
	}
	if !m.Position.legal() {
		flags |= BadPosition
	}
	if m.Version >= 3 && oddDirection(m.Direction) {
		flags |= BadDirection
	}
	return flags, nil
}

func (r *reader) vehicle(m *MSD) (flags Flags, err error) {
	if r.bit() { // X.691, 14.3: a normally small number
		flags = UnknownType
		if !r.bit() {
			r.get(6)
		} else {
			r.skip()
		}
	} else {
		m.Type = VehicleType(r.get(typeBits(m.Version))) + 1
		if m.Type > types(m.Version) {
			return 0, fmt.Errorf("%w: vehicle type %d in version %d", ErrMalformed, m.Type, m.Version)
		}
	}
	for i := range m.VIN {
		c := r.get(6)
		if c >= uint32(len(letters)) {
			return 0, fmt.Errorf("%w: letter %d in the VIN", ErrMalformed, c)
		}
		m.VIN[i] = letters[c]
	}
	return flags, nil
}

func (r *reader) storage(m *MSD) (flags Flags) {
	more := r.bit()
	n := storages(m.Version)
	present := r.get(n) // the first member is the highest bit
	for i := range n {
		switch {
		case present>>(n-1-i)&1 == 0:
		case r.bit():
			m.Storage |= 1 << i
		default: // its default, written out
			flags |= NotCanonical
		}
	}
	if more {
		r.additions()
		flags |= Additions
	}
	return flags
}

func (r *reader) delta(d *Delta) {
	if d.Present {
		d.Latitude = int16(r.get(10)) - 512
		d.Longitude = int16(r.get(10)) - 512
	}
}
