package dbc

import (
	"math"
	"strconv"
)

// Octets is how long a frame must be to hold s, in octets.
func (s *Signal) Octets() int {
	if s.BigEndian {
		return (s.top()+s.Size-1)/8 + 1
	}
	return (s.Start+s.Size-1)/8 + 1
}

// top is the first bit of a big-endian signal, counted as such signals run: bit
// 0 is the highest of the first octet.
func (s *Signal) top() int { return s.Start&^7 + 7 - s.Start&7 }

// bit is where bit i of the raw value lies, i from the lowest.
func (s *Signal) bit(i int) (octet int, weight byte) {
	if s.BigEndian {
		q := s.top() + s.Size - 1 - i
		return q / 8, 0x80 >> (q % 8)
	}
	q := s.Start + i
	return q / 8, 1 << (q % 8)
}

// insert writes raw into data, bit for bit: encoding is rare. Bits beyond the
// 64th octet do not exist.
func (s *Signal) insert(data *[64]byte, raw uint64) {
	for i := range s.Size {
		octet, weight := s.bit(i)
		switch {
		case octet >= len(data):
		case raw>>i&1 == 1:
			data[octet] |= weight
		default:
			data[octet] &^= weight
		}
	}
}

// extract reads what insert wrote, in the form of [Value.Raw].
func (s *Signal) extract(data *[64]byte) uint64 {
	var raw uint64
	for i := range s.Size {
		if octet, weight := s.bit(i); octet < len(data) && data[octet]&weight != 0 {
			raw |= 1 << i
		}
	}
	return s.extend(raw)
}

// mask covers the Size lowest bits.
func (s *Signal) mask() uint64 { return math.MaxUint64 >> (64 - s.Size) }

// extend makes the form of [Value.Raw] of the bits in a frame.
func (s *Signal) extend(raw uint64) uint64 {
	if s.Signed {
		return uint64(int64(raw<<(64-s.Size)) >> (64 - s.Size))
	}
	return raw & s.mask()
}

// fits reports whether the signal can hold v. For an unsigned signal of 64 bits
// v stands for the same bits read as unsigned.
func (s *Signal) fits(v int64) bool { return s.extend(uint64(v)) == uint64(v) }

// physical is what raw means.
func (s *Signal) physical(raw uint64) float64 {
	switch {
	case s.Float && s.Size == 32:
		return float64(float64(math.Float32frombits(uint32(raw)))*s.Factor) + s.Offset
	case s.Float:
		return float64(math.Float64frombits(raw)*s.Factor) + s.Offset
	case s.Signed:
		return float64(float64(int64(raw))*s.Factor) + s.Offset
	}
	return float64(float64(raw)*s.Factor) + s.Offset
}

// parseRaw reads a raw value as a file writes it.
func (s *Signal) parseRaw(lit string) (uint64, bool) {
	if s.Float {
		f, err := strconv.ParseFloat(lit, s.Size)
		if s.Size == 32 {
			return uint64(math.Float32bits(float32(f))), err == nil
		}
		return math.Float64bits(f), err == nil
	}
	size, negative, ok := whole(lit)
	if ok && !negative {
		return s.unsigned(size)
	}
	if v := -int64(size); ok && size <= 1<<63 && (s.Signed || v == 0) && s.fits(v) {
		return uint64(v), true
	}
	return 0, false
}

// unsigned is v in the form of [Value.Raw], if s can hold it.
func (s *Signal) unsigned(v uint64) (uint64, bool) {
	if v > s.mask() || s.Signed && v > s.mask()>>1 {
		return 0, false
	}
	return v, true
}

// A bitset is those bits of a frame that signals occupy.
type bitset [64]byte

func (b *bitset) add(s *Signal) {
	for i := range s.Size {
		if octet, weight := s.bit(i); octet < len(b) {
			b[octet] |= weight
		}
	}
}

func (b *bitset) meet(o *bitset) bool {
	for i := range b {
		if b[i]&o[i] != 0 {
			return true
		}
	}
	return false
}

func (b *bitset) join(o *bitset) {
	for i := range b {
		b[i] |= o[i]
	}
}
