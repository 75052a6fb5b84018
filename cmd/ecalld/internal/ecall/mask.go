package ecall

import "github.com/headunit-agent/headunit/canbus"

// A Mask is a set of bits of a frame; bit i is Data[i/8]>>(i%8)&1.
type Mask [canbus.MaxLenFD]byte

// Set adds bit i, of 0 to 511.
func (m *Mask) Set(i int) { m[i/8] |= 1 << (i % 8) }

// of is what of m is set in f.
func (m *Mask) of(f *canbus.Frame) Mask {
	n := *m
	for i := range n {
		n[i] &= f.Data[i]
	}
	return n
}

func (m Mask) and(o *Mask) Mask {
	for i := range m {
		m[i] &= o[i]
	}
	return m
}

func (m Mask) empty() bool { return m == Mask{} }
