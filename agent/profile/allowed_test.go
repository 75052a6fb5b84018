package profile

import (
	"testing"

	"github.com/headunit-agent/headunit/canbus"
)

func TestAdmitsOnlyItsBits(t *testing.T) {
	a := Allowed{ID: 0x5A7, Len: 4, Base: [64]byte{0, 0x10}, Mask: [64]byte{0, 0x03, 0, 0xFF}}
	good := canbus.Frame{ID: 0x5A7, Len: 4, Data: [64]byte{0, 0x12, 0, 0x77}}
	for _, c := range []struct {
		name   string
		change func(f *canbus.Frame)
		want   bool
	}{
		{"as it is", func(*canbus.Frame) {}, true},
		{"another identifier", func(f *canbus.Frame) { f.ID++ }, false},
		{"29 bits", func(f *canbus.Frame) { f.Flags = canbus.Extended }, false},
		{"FD", func(f *canbus.Frame) { f.Flags = canbus.FD }, false},
		{"shorter", func(f *canbus.Frame) { f.Len, f.Data[3] = 3, 0 }, false},
		{"longer", func(f *canbus.Frame) { f.Len = 5 }, false},
		{"a bit beside the mask", func(f *canbus.Frame) { f.Data[1] |= 4 }, false},
		{"a bit of the base missing", func(f *canbus.Frame) { f.Data[1] = 2 }, false},
		{"data beyond the length", func(f *canbus.Frame) { f.Data[4] = 1 }, false},
		{"remote", func(f *canbus.Frame) { f.Flags, f.Data = canbus.Remote, [64]byte{} }, false},
		{"error", func(f *canbus.Frame) { f.Flags = canbus.Error }, false},
	} {
		f := good
		c.change(&f)
		if got := a.Admits(&f); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
	for _, line := range refcar(t).Allowed() { // the rest state is always among what may be sent
		f := canbus.Frame{ID: line.ID, Len: uint8(line.Len), Data: line.Base}
		if line.Extended {
			f.Flags = canbus.Extended
		}
		if !line.Admits(&f) {
			t.Errorf("%s %X does not admit its own base", line.Bus, line.ID)
		}
	}
}
