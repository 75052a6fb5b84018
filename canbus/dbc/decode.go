package dbc

import (
	"encoding/binary"
	"math"

	"github.com/headunit-agent/headunit/canbus"
)

// A Value is one signal of one frame.
type Value struct {
	Index    int     // into the wanted signals of [Compile]
	Raw      uint64  // two's complement, sign-extended; of a float, its bits
	Physical float64 // raw × factor + offset, each rounded on its own
	// Short is set if the frame was too short for the signal: it is not
	// available, and Raw and Physical are 0.
	Short bool
}

// Decode writes the wanted values of f to dst and returns how many there are. A
// message that is not wanted, a remote frame and an error frame have none. Of a
// multiplexed message the signals that this frame does not carry are left out.
// See [Plan.Most] for the length of dst; what has no room there is left out too.
func (p *Plan) Decode(f *canbus.Frame, dst []Value) int {
	return p.DecodeMessage(p.Lookup(f.ID, f.Flags&canbus.Extended != 0), f, dst)
}

// DecodeMessage is [Plan.Decode] for who knows the number of the message from
// [Plan.Lookup] already. It does not look at the identifier of f.
func (p *Plan) DecodeMessage(n int, f *canbus.Frame, dst []Value) int {
	if n < 0 || n >= len(p.programs) || f.Flags&(canbus.Remote|canbus.Error) != 0 {
		return 0
	}
	g := &p.programs[n]
	if len(g.gates) > 0 || min(int(f.Len), len(f.Data)) < g.octets || len(dst) < len(g.steps) {
		return g.careful(f, dst)
	}
	if g.word {
		g.inWord(&f.Data, dst)
	} else {
		g.whole(&f.Data, dst)
	}
	return len(g.steps)
}

// inWord decodes what classic CAN mostly carries. Like whole, it writes as many
// values as there are steps.
func (g *program) inWord(data *[64]byte, dst []Value) {
	le, be := binary.LittleEndian.Uint64(data[:]), binary.BigEndian.Uint64(data[:])
	dst = dst[:len(g.steps)]
	for i := range g.steps {
		s := &g.steps[i]
		raw := le
		if s.kind == big {
			raw = be
		}
		raw = raw >> (s.shift & 63) & s.mask
		number := float64(int64(raw)) // cheaper than from uint64, and the same below 64 bits
		dst[i] = Value{Index: int(s.index), Raw: raw, Physical: float64(number*s.factor) + s.offset}
	}
}

// whole decodes a frame that is long enough for all signals.
func (g *program) whole(data *[64]byte, dst []Value) {
	dst = dst[:len(g.steps)]
	for i := range g.steps {
		s := &g.steps[i]
		raw, number := uint64(0), 0.0
		switch at := data[s.load:]; s.kind {
		case little:
			raw = binary.LittleEndian.Uint64(at) >> (s.shift & 63) & s.mask
			number = float64(int64(raw))
		case big:
			raw = binary.BigEndian.Uint64(at) >> (s.shift & 63) & s.mask
			number = float64(int64(raw))
		default:
			raw, number = s.read(data)
		}
		dst[i] = Value{Index: int(s.index), Raw: raw, Physical: float64(number*s.factor) + s.offset}
	}
}

// careful is for frames that are short, or multiplexed, or claim more than 64
// octets.
func (g *program) careful(f *canbus.Frame, dst []Value) int {
	length, n := min(int(f.Len), len(f.Data)), 0
	for i := 0; i < len(g.steps) && n < len(dst); i++ {
		s := &g.steps[i]
		short := int(s.octets) > length
		switch {
		case s.gate:
			if gate := &g.gates[s.index]; short || !gate.open(s, &f.Data) {
				i = gate.next - 1
			}
			continue
		case short:
			dst[n] = Value{Index: int(s.index), Short: true}
		default:
			raw, number := s.read(&f.Data)
			dst[n] = Value{Index: int(s.index), Raw: raw, Physical: float64(number*s.factor) + s.offset}
		}
		n++
	}
	return n
}

func (g *gate) open(s *step, data *[64]byte) bool {
	return within(g.when, s.bits(data))
}

// read returns the raw value, and the number it stands for before scaling.
func (s *step) read(data *[64]byte) (raw uint64, number float64) {
	raw = s.bits(data)
	switch {
	case s.signal.Signed:
		raw = s.signal.extend(raw)
		return raw, float64(int64(raw))
	case s.signal.Float && s.signal.Size == 32:
		return raw, float64(math.Float32frombits(uint32(raw)))
	case s.signal.Float:
		return raw, math.Float64frombits(raw)
	}
	return raw, float64(raw)
}

// bits are those of the signal, its lowest the lowest.
func (s *step) bits(data *[64]byte) uint64 {
	at, shift := data[s.load:], s.shift&63
	var x uint64
	switch {
	case s.nine && s.signal.BigEndian:
		x = binary.BigEndian.Uint64(at)<<(8-shift) | uint64(at[8])>>shift
	case s.nine:
		x = binary.LittleEndian.Uint64(at)>>shift | uint64(at[8])<<(64-shift)
	case s.signal.BigEndian:
		x = binary.BigEndian.Uint64(at) >> shift
	default:
		x = binary.LittleEndian.Uint64(at) >> shift
	}
	return x & s.mask
}
