package dbc

import (
	"errors"
	"slices"
	"testing"

	"github.com/headunit-agent/headunit/canbus"
)

// carried is the names of the signals that a frame with this data carries, in
// the order of the file.
func carried(t *testing.T, f *File, message string, data ...byte) []string {
	t.Helper()
	m := f.Message(message)
	wanted := make([]Ref, len(m.Signals))
	for i, s := range m.Signals {
		wanted[i] = Ref{message, s.Name}
	}
	p, err := Compile(f, wanted)
	if err != nil {
		t.Fatal(err)
	}
	frame := canbus.Frame{ID: m.ID, Len: uint8(len(data))}
	copy(frame.Data[:], data)
	got := make([]Value, p.Most())
	got = got[:p.Decode(&frame, got)]
	slices.SortFunc(got, func(a, b Value) int { return a.Index - b.Index })
	var names []string
	for _, v := range got {
		if !v.Short {
			names = append(names, wanted[v.Index].Signal)
		}
	}
	return names
}

const muxed = `
BO_ 1 Simple: 4 X
 SG_ A m0 : 8|8@1+ (1,0) [0|0] "" X
 SG_ B m1 : 8|8@1+ (1,0) [0|0] "" X
 SG_ Always : 16|8@1+ (1,0) [0|0] "" X
 SG_ Sw M : 0|4@1- (1,0) [0|0] "" X
 SG_ C m15 : 24|8@1+ (1,0) [0|0] "" X
BO_ 2 Nested: 4 X
 SG_ Sw M : 0|8@1+ (1,0) [0|0] "" X
 SG_ Inner m1M : 8|8@1+ (1,0) [0|0] "" X
 SG_ Deep m2 : 16|8@1+ (1,0) [0|0] "" X
 SG_ Wide m3 : 16|8@1+ (1,0) [0|0] "" X
BO_ 3 Late: 2 X
 SG_ A m0 : 0|8@1+ (1,0) [0|0] "" X
 SG_ Sw M : 8|8@1+ (1,0) [0|0] "" X
SG_MUL_VAL_ 2 Inner Sw 1-1;
SG_MUL_VAL_ 2 Deep Inner 2-3, 7-7;
SG_MUL_VAL_ 2 Wide Sw 3-4;
SG_MUL_VAL_ 2 Wide Sw 9-9;
`

func TestMultiplexing(t *testing.T) {
	f := parse(t, muxed)
	for _, c := range []struct {
		message string
		data    []byte
		want    []string
	}{
		{"Simple", []byte{0, 0, 0, 0}, []string{"A", "Always", "Sw"}},
		{"Simple", []byte{0xF1, 0, 0, 0}, []string{"B", "Always", "Sw"}},
		{"Simple", []byte{2, 0, 0, 0}, []string{"Always", "Sw"}},
		{"Simple", []byte{0x0F, 0, 0, 0}, []string{"Always", "Sw", "C"}}, // a signed switch counts as its bits
		{"Simple", []byte{0x0F, 0, 0}, []string{"Always", "Sw"}},
		{"Simple", nil, nil},
		{"Nested", []byte{0, 2, 0, 0}, []string{"Sw"}},
		{"Nested", []byte{1, 0, 0, 0}, []string{"Sw", "Inner"}},
		{"Nested", []byte{1, 2, 0, 0}, []string{"Sw", "Inner", "Deep"}},
		{"Nested", []byte{1, 3, 0, 0}, []string{"Sw", "Inner", "Deep"}},
		{"Nested", []byte{1, 7, 0, 0}, []string{"Sw", "Inner", "Deep"}},
		{"Nested", []byte{1, 6, 0, 0}, []string{"Sw", "Inner"}},
		{"Nested", []byte{3, 2, 0, 0}, []string{"Sw", "Wide"}},
		{"Nested", []byte{4, 2, 0, 0}, []string{"Sw", "Wide"}},
		{"Nested", []byte{9, 2, 0, 0}, []string{"Sw", "Wide"}},
		{"Nested", []byte{5, 2, 0, 0}, []string{"Sw"}},
		{"Late", []byte{7, 0}, []string{"A", "Sw"}},
		{"Late", []byte{7}, nil}, // who knows what the switch would say
	} {
		if got := carried(t, f, c.message, c.data...); !slices.Equal(got, c.want) {
			t.Errorf("%s %X: %v, want %v", c.message, c.data, got, c.want)
		}
	}
}

func TestOddMultiplexing(t *testing.T) {
	f := parse(t, `
BO_ 1 Bare: 2 X
 SG_ Sw m : 0|8@1+ (1,0) [0|0] "" X
 SG_ A m1 : 8|8@1+ (1,0) [0|0] "" X
BO_ 2 Two: 4 X
 SG_ Before m1 : 24|8@1+ (1,0) [0|0] "" X
 SG_ Sw1 M : 0|8@1+ (1,0) [0|0] "" X
 SG_ A m1 : 16|8@1+ (1,0) [0|0] "" X
 SG_ Sw2 M : 8|8@1+ (1,0) [0|0] "" X
 SG_ B m1 : 16|8@1+ (1,0) [0|0] "" X
 SG_ Told m1 : 24|8@1+ (1,0) [0|0] "" X
BO_ 3 None: 2 X
 SG_ A m1 : 0|8@1+ (1,0) [0|0] "" X
BO_ 4 NoMark: 2 X
 SG_ Sw : 0|8@1+ (1,0) [0|0] "" X
 SG_ A : 8|8@1+ (1,0) [0|0] "" X
BO_ 5 Nested: 3 X
 SG_ Sw M : 0|8@1+ (1,0) [0|0] "" X
 SG_ In1 m1M : 8|8@1+ (1,0) [0|0] "" X
 SG_ In2 m2M : 8|8@1+ (1,0) [0|0] "" X
 SG_ A m7 : 16|8@1+ (1,0) [0|0] "" X
SG_MUL_VAL_ 2 Told Sw1 2-2;
SG_MUL_VAL_ 2 Told Sw2 2-2;
SG_MUL_VAL_ 4 A Sw 1-1;
`, "3:9 taken as the switch", "5:1 has 2 switches", "6:2 Sw1 is taken", "8:2 Sw1 is taken", "10:2 Sw2 is taken", "10:2 B overlaps A",
		"13:2 cannot be read", "19:2 Sw is taken", "20:2 Sw is taken", "21:2 In2 is taken", "23:1 hangs on Sw1 already", "24:1 not marked as a switch")
	for _, c := range []struct {
		message string
		data    []byte
		want    []string
	}{
		{"Bare", []byte{1, 0}, []string{"Sw", "A"}},
		{"Bare", []byte{0, 0}, []string{"Sw"}},
		{"Two", []byte{1, 0, 0, 0}, []string{"Before", "Sw1", "A", "Sw2"}},
		{"Two", []byte{0, 1, 0, 0}, []string{"Sw1", "Sw2", "B"}},
		{"Two", []byte{2, 0, 0, 0}, []string{"Sw1", "Sw2", "Told"}},
		{"NoMark", []byte{1, 0}, []string{"Sw", "A"}},
		{"NoMark", []byte{0, 0}, []string{"Sw"}},
		{"Nested", []byte{1, 7, 0}, []string{"Sw", "In1"}},
		{"Nested", []byte{2, 7, 0}, []string{"Sw", "In2", "A"}},
	} {
		if got := carried(t, f, c.message, c.data...); !slices.Equal(got, c.want) {
			t.Errorf("%s %X: %v, want %v", c.message, c.data, got, c.want)
		}
	}
	if _, err := Compile(f, []Ref{{"None", "A"}}); !errors.Is(err, ErrAbsent) {
		t.Errorf("a signal whose switch does not exist is compiled: %v", err)
	}
}
