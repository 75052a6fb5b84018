package car

import (
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/canbus/dbc"
)

// TestVectors are frames of real cars and of the specification (can.md, section
// 3), filled in by the car's own table and protection.
func TestVectors(t *testing.T) {
	for _, v := range []struct {
		m       *message
		counter uint8
		set     map[string]float64
		want    string
	}{
		{klemmen, 0, nil, "66000000"},
		{klemmen, 5, map[string]float64{"ZAS_Kl_S": 1, "ZAS_Kl_15": 1}, "4B050300"},
		{esp21, 9, map[string]float64{"ESP_v_Signal": 50}, "9509000088130000"},
		{airbag01, 3, nil, "6B03000000000000"},
		{airbag01, 4, map[string]float64{"AB_Front_Crash": 1, "AB_Crash_Int": 7, "AB_EDR_Trigger": 3}, "2704E10000600000"},
	} {
		p := payload{m: v.m}
		for name, x := range v.set {
			p.set(name, x)
		}
		v.m.e2e.Protect(p.data[:v.m.len], v.counter)
		if got := strings.ToUpper(hex.EncodeToString(p.data[:v.m.len])); got != v.want {
			t.Errorf("%s: %s, want %s", v.m.name, got, v.want)
		}
	}
}

// TestConstants are the protected messages and what protects them (can.md,
// sections 3 and 12), by the constant of counter 0.
func TestConstants(t *testing.T) {
	want := map[*message]byte{
		airbag01: 0x40, esp21: 0xB4, klemmen: 0xC3, lichtAnf: 0xC5,
		auxReq: 0xF0, auxState: 0xF1, keysMessage: 0xF2, keyListen: 0xF3, sosMessage: 0xF4,
	}
	for _, m := range messages() {
		c, ok := want[m]
		if ok != (m.e2e != nil) {
			t.Errorf("%s: protected %v, want %v", m.name, !ok, ok)
		} else if ok && m.e2e.Constants[0] != c {
			t.Errorf("%s: constant %X, want %X", m.name, m.e2e.Constants[0], c)
		}
	}
}

func TestBits(t *testing.T) {
	for _, c := range []struct {
		s    signal
		v    float64
		want string
	}{
		{signal{start: 7, size: 16, big: true}, 0x1234, "1234000000000000"},
		{signal{start: 3, size: 12, big: true}, 0xABC, "0ABC000000000000"},
		{signal{start: 4, size: 12}, 0xABC, "C0AB000000000000"},
		{signal{start: 0, size: 16, factor: 0.01}, 133.30, "1234000000000000"},
		{signal{start: 8, size: 8, factor: 0.5, offset: -50}, -12, "004C000000000000"},
		{signal{start: 0, size: 16, factor: 0.1, signed: true}, -10, "9CFF000000000000"},
		{signal{start: 32, size: 32, float: true}, 1.5, "000000000000C03F"},
		{signal{start: 0, size: 4}, 99, "0F00000000000000"},
		{signal{start: 0, size: 4, signed: true}, -99, "0800000000000000"},
	} {
		c.s.name = "x"
		p := payload{m: &message{name: "m", len: 8, signals: []signal{c.s}}}
		p.set("x", c.v)
		if got := strings.ToUpper(hex.EncodeToString(p.data[:8])); got != c.want {
			t.Errorf("%+v: %v is %s, want %s", c.s, c.v, got, c.want)
		}
	}
}

// TestSignalsDoNotOverlap holds the table against itself.
func TestSignalsDoNotOverlap(t *testing.T) {
	ids := map[uint32]string{}
	for _, m := range messages() {
		if other, ok := ids[m.id]; ok {
			t.Errorf("%s and %s have one identifier", m.name, other)
		}
		ids[m.id] = m.name
		taken := map[[2]int]string{}
		for _, s := range m.signals {
			for i := range s.size {
				octet, mask := s.bit(i)
				if octet >= m.len || m.e2e != nil && (octet == 0 || octet == 1 && mask < 16) {
					t.Errorf("%s.%s reaches octet %d", m.name, s.name, octet)
				}
				if other, ok := taken[[2]int{octet, int(mask)}]; ok && m != vin01 {
					t.Errorf("%s: %s and %s share a bit", m.name, s.name, other)
				}
				taken[[2]int{octet, int(mask)}] = s.name
			}
		}
	}
}

// TestDBC compares the car's table with the DBC files of the reference car, both
// ways.
func TestDBC(t *testing.T) {
	found := map[string]bool{}
	for b, name := range busNames {
		file := filepath.Join("..", "..", "..", "..", "testdata", "refcar", "refcar_"+name+".dbc")
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, warnings, err := dbc.Parse(file, src)
		if err != nil || len(warnings) > 0 {
			t.Fatal(err, warnings)
		}
		for _, m := range f.Messages {
			i := slices.IndexFunc(messages(), func(o *message) bool { return o.name == m.Name })
			if i < 0 {
				t.Errorf("%s: the car does not have %s", name, m.Name)
				continue
			}
			found[m.Name] = true
			compareMessage(t, bus(b), messages()[i], m)
		}
	}
	for _, m := range messages() {
		if !found[m.name] {
			t.Errorf("no DBC file has %s", m.name)
		}
	}
}

func compareMessage(t *testing.T, b bus, m *message, d *dbc.Message) {
	if m.bus != b || m.id != d.ID || m.extended != d.Extended || m.fd != d.FD || m.len != d.Len {
		t.Errorf("%s: %s %X extended %v FD %v length %d, in DBC %s %X %v %v %d",
			m.name, m.bus, m.id, m.extended, m.fd, m.len, b, d.ID, d.Extended, d.FD, d.Len)
	}
	if m.cycle != 0 && d.Cycle != 0 && m.cycle != d.Cycle {
		t.Errorf("%s: sent every %v, in DBC %v", m.name, m.cycle, d.Cycle)
	}
	want := map[string]bool{}
	for i := range m.signals {
		s := &m.signals[i]
		want[s.name] = true
		if g := d.Signal(s.name); g == nil {
			t.Errorf("%s.%s is in no DBC file", m.name, s.name)
		} else {
			compareSignal(t, m, s, g)
		}
	}
	if m.e2e != nil {
		for name, at := range map[string][2]int{"CHECKSUM": {0, 8}, "COUNTER": {8, 4}} {
			want[name] = true
			if g := d.Signal(name); g == nil || g.Start != at[0] || g.Size != at[1] {
				t.Errorf("%s: %s is not at %v", m.name, name, at)
			}
		}
	}
	for _, g := range d.Signals {
		if !want[g.Name] {
			t.Errorf("%s.%s: the car does not have it", m.name, g.Name)
		}
	}
}

func compareSignal(t *testing.T, m *message, s *signal, g *dbc.Signal) {
	factor := s.factor
	if factor == 0 {
		factor = 1
	}
	if s.start != g.Start || s.size != g.Size || s.big != g.BigEndian || s.float != g.Float ||
		!s.float && s.signed != g.Signed || factor != g.Factor || s.offset != g.Offset {
		t.Errorf("%s.%s: %+v, in DBC %d|%d big %v signed %v float %v (%v,%v)",
			m.name, s.name, *s, g.Start, g.Size, g.BigEndian, g.Signed, g.Float, g.Factor, g.Offset)
	}
}

// TestSeenThroughDBC lets the car drive and reads its frames as the agent does.
func TestSeenThroughDBC(t *testing.T) {
	live(t, func(r *rig) {
		r.do("ignition on", "speed 72", "fuel 55", "soc 61.5", "temp -12", "window driver 40.5", "volts 12.4")
		r.pass(20 * time.Second)
		r.hear()
		for _, c := range []struct {
			m      *message
			signal string
			want   float64
		}{
			{esp21, "ESP_v_Signal", 72},
			{kombi01, "KBI_angez_Geschw", 72},
			{kombi03, "KBI_Tankfuellstand_Prozent", 55},
			{kombi02, "KBI_Aussen_Temp_gef", -12},
			{klimaSensor, "BCM1_Aussen_Temp_ungef", -12},
			{doorMessages[doorDriver], "FT_FH_Oeffnung", 40.5},
			{auxState, "REF_Batt_V", 12.4},
			{hv01, "REF_SoC", 61.5},
			{hv01, "REF_SoC_BE", 61.5},
			{hv01, "REF_HV_A", 36},
			{hv01, "REF_Range", 36.9},
			{hv01, "REF_Cell_32", 3.749},
			{hv01, "REF_Float", 7.995},
			{diagnose, "UH_Jahr", 2000},
		} {
			if got := r.seen(c.m, c.signal); math.Abs(got-c.want) > 1e-3 {
				t.Errorf("%s.%s is seen as %v, want %v", c.m.name, c.signal, got, c.want)
			}
		}
	})
}

// seen is the newest value of a signal, decoded with the DBC file.
func (r *rig) seen(m *message, name string) float64 {
	r.Helper()
	file := filepath.Join("..", "..", "..", "..", "testdata", "refcar", "refcar_"+m.bus.String()+".dbc")
	src, err := os.ReadFile(file)
	if err != nil {
		r.Fatal(err)
	}
	f, _, err := dbc.Parse(file, src)
	if err != nil {
		r.Fatal(err)
	}
	plan, err := dbc.Compile(f, []dbc.Ref{{Message: m.name, Signal: name}})
	if err != nil {
		r.Fatal(err)
	}
	for _, h := range slices.Backward(r.heard) {
		if h.m == m {
			var v [1]dbc.Value
			if plan.Decode(&h.Frame, v[:]) != 1 {
				r.Fatalf("%s.%s is not decoded", m.name, name)
			}
			return v[0].Physical
		}
	}
	r.Fatalf("%s was never sent", m.name)
	return 0
}
