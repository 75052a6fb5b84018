package dbc

import (
	"fmt"

	"github.com/headunit-agent/headunit/canbus"
)

// A Set gives a signal a value in [Message.Encode]. It is made by [Physical],
// [Raw], [Bits] or [Text].
type Set struct {
	signal string
	raw    func(*Signal) (uint64, error)
}

// Physical sets a signal to a value in its unit. The raw value is rounded half
// away from zero, and is one that decodes to v where there is one.
func Physical(signal string, v float64) Set {
	return Set{signal, func(s *Signal) (uint64, error) { return s.fromPhysical(v) }}
}

// Raw sets a signal to a raw value. A float is set to the number v, which it must
// be able to hold.
func Raw(signal string, v int64) Set {
	return Set{signal, func(s *Signal) (uint64, error) { return s.fromRaw(v) }}
}

// Bits sets a signal to a value in the form of [Value.Raw]: two's complement,
// sign-extended to 64 bits; of a float, its bits.
func Bits(signal string, v uint64) Set {
	return Set{signal, func(s *Signal) (uint64, error) {
		if s.extend(v) != v {
			return 0, fmt.Errorf("bits %#x: %w into %d bits", v, ErrRange, s.Size)
		}
		return v, nil
	}}
}

// Text sets a signal to the raw value that has this text in the file.
func Text(signal, text string) Set {
	return Set{signal, func(s *Signal) (uint64, error) { return s.fromText(text) }}
}

// Encode makes a frame. What no Set speaks of has its start value from the file
// (0 where there is none); signals of a multiplexer only if the switch has their
// value. FD frames are filled with zeros to the next length that exists, and
// have no BRS: who sends them knows the bus.
//
// It refuses what would not arrive as it was meant: a signal or text that is
// unknown ([ErrUnknown]), a value or a signal that does not fit ([ErrRange]), a
// signal whose switch was not set to one of its values ([ErrAbsent]), a signal
// set twice, and overlapping signals whose values differ in the bits they share
// ([ErrTwice]).
func (m *Message) Encode(sets ...Set) (canbus.Frame, error) {
	f := canbus.Frame{ID: m.ID}
	if m.Len > canbus.MaxLenFD {
		return f, fmt.Errorf("message %s of %d octets: %w into a frame", m.Name, m.Len, ErrRange)
	}
	if m.Extended {
		f.Flags |= canbus.Extended
	}
	if m.FD {
		f.Flags |= canbus.FD
	}
	f.Len = uint8(canbus.LenOf(canbus.DLC(m.Len), m.FD))
	chosen, err := m.choose(sets)
	if err != nil {
		return canbus.Frame{}, err
	}
	m.insertStart(&f.Data, chosen)
	for _, s := range m.Signals {
		if raw, ok := chosen[s]; ok {
			s.insert(&f.Data, raw)
		}
	}
	for _, s := range m.Signals {
		if raw, ok := chosen[s]; ok && s.extract(&f.Data) != raw {
			return canbus.Frame{}, fmt.Errorf("signal %s.%s: %w", m.Name, s.Name, ErrTwice)
		}
	}
	return f, nil
}

// choose checks the sets, each for itself and all against the multiplexers.
func (m *Message) choose(sets []Set) (map[*Signal]uint64, error) {
	chosen := make(map[*Signal]uint64, len(sets))
	for _, set := range sets {
		s, err := m.holds(set.signal)
		if err != nil {
			return nil, err
		}
		if _, again := chosen[s]; again {
			return nil, fmt.Errorf("signal %s.%s: %w", m.Name, s.Name, ErrTwice)
		}
		if chosen[s], err = set.raw(s); err != nil {
			return nil, fmt.Errorf("signal %s.%s: %w", m.Name, s.Name, err)
		}
	}
	for s := range chosen {
		if !s.present(func(sw *Signal) (uint64, bool) { v, ok := chosen[sw]; return v, ok }) {
			return nil, fmt.Errorf("signal %s.%s: %w", m.Name, s.Name, ErrAbsent)
		}
	}
	return chosen, nil
}

// holds is the signal of that name, if frames of m are long enough for it.
func (m *Message) holds(name string) (*Signal, error) {
	s := m.Signal(name)
	switch {
	case s == nil:
		return nil, fmt.Errorf("signal %s.%s: %w", m.Name, name, ErrUnknown)
	case s.Octets() > min(m.Len, canbus.MaxLenFD):
		return nil, fmt.Errorf("signal %s.%s: %w into the %d octets of the message", m.Name, name, ErrRange, m.Len)
	}
	return s, nil
}

// insertStart writes the start values of what was not chosen and is present.
func (m *Message) insertStart(data *[64]byte, chosen map[*Signal]uint64) {
	value := func(s *Signal) (uint64, bool) {
		if v, ok := chosen[s]; ok {
			return v, true
		}
		return s.InitialRaw, true
	}
	for _, s := range m.Signals {
		_, set := chosen[s]
		if !set && s.InitialRaw != 0 && s.Octets() <= m.Len && s.present(value) {
			s.insert(data, s.InitialRaw)
		}
	}
}

// Mask is the bits of a frame's data that the signals occupy. It refuses unknown
// signals and those that reach beyond the message.
func (m *Message) Mask(signals ...string) ([64]byte, error) {
	var mask bitset
	for _, name := range signals {
		s, err := m.holds(name)
		if err != nil {
			return [64]byte{}, err
		}
		mask.add(s)
	}
	return mask, nil
}
