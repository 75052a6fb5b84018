package dbc

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/headunit-agent/headunit/canbus"
)

// shared is a folder of files and reference values of others, which are not ours
// to keep here.
const shared = "../../../shared/data"

func sharedFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(shared, name))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s is not there: the reference files lie beside the project, not in it", name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFilesOfOthersParse(t *testing.T) {
	want := map[string]struct{ messages, little, big, extended, fd int }{ // as their README counts
		"opendbc/vw_mqb.dbc":                                           {113, 1345, 3, 12, 0},
		"opendbc/vw_mqbevo.dbc":                                        {136, 1198, 0, 22, 16},
		"opendbc/vw_meb_generated.dbc":                                 {132, 1771, 78, 24, 23},
		"opendbc/vw_mlb.dbc":                                           {145, 1436, 6, 7, 0},
		"opendbc/vw_pq.dbc":                                            {86, 1330, 1, 0, 0},
		"opendbc/hyundai_can_generated.dbc":                            {146, 1284, 41, 0, 0},
		"opendbc/hyundai_canfd_generated.dbc":                          {88, 643, 118, 0, 75},
		"opendbc/tesla_can.dbc":                                        {44, 420, 152, 0, 0},
		"opendbc/toyota_2017_ref_pt.dbc":                               {143, 0, 1315, 32, 0},
		"opendbc/gm_global_a_powertrain_generated.dbc":                 {49, 3, 119, 0, 0},
		"opendbc/ford_fusion_2018_pt.dbc":                              {14, 0, 67, 0, 0},
		"opendbc/psa_aee2010_r3.dbc":                                   {107, 199, 231, 0, 0}, // without 106 signals of no message
		"cantools/floating_point.dbc":                                  {2, 3, 0, 0, 0},
		"cantools/floating_point_use_float.dbc":                        {3, 4, 0, 0, 0},
		"cantools/signed.dbc":                                          {11, 9, 9, 0, 0},
		"cantools/multiplex.dbc":                                       {1, 12, 0, 1, 0},
		"cantools/multiplex_2.dbc":                                     {4, 19, 0, 4, 0},
		"own/renault_zoe_ph1.dbc":                                      {60, 0, 372, 0, 0},
		"cantools/issue_184_extended_mux_cascaded.dbc":                 {1, 5, 0, 1, 0},
		"cantools/issue_184_extended_mux_independent_multiplexors.dbc": {1, 6, 0, 1, 0},
		"cantools/issue_184_extended_mux_multiple_values.dbc":          {1, 4, 0, 1, 0},
	}
	sharedFile(t, "dbc/README.md")
	files, err := filepath.Glob(filepath.Join(shared, "dbc", "*", "*.dbc"))
	if err != nil || len(files) != len(want) {
		t.Fatalf("%d files, %v: want %d", len(files), err, len(want))
	}
	for name, w := range want {
		f, _, err := Parse(name, sharedFile(t, "dbc/"+name))
		if err != nil {
			t.Error(err)
			continue
		}
		got := w
		got.messages, got.little, got.big, got.extended, got.fd = len(f.Messages), 0, 0, 0, 0
		for _, m := range f.Messages {
			if m.Extended {
				got.extended++
			}
			if m.FD {
				got.fd++
			}
			for _, s := range m.Signals {
				if s.BigEndian {
					got.big++
				} else {
					got.little++
				}
			}
		}
		if got != w {
			t.Errorf("%s: %+v, want %+v", name, got, w)
		}
		if _, err := Compile(f, everything(f)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// everything names all signals of a file.
func everything(f *File) []Ref {
	var all []Ref
	for _, m := range f.Messages {
		for _, s := range m.Signals {
			all = append(all, Ref{m.Name, s.Name})
		}
	}
	return all
}

// A vector is one line of the reference values.
type vector struct {
	DBC, Message string
	ID           uint32
	Extended     bool
	Length       int
	Data         string
	Signals, Raw map[string]any
}

// vectors calls f for each line, with the file and the data it speaks of.
func vectors(t *testing.T, name string, f func(*testing.T, *File, vector, [64]byte)) {
	files := map[string]*File{}
	lines := bufio.NewScanner(bytes.NewReader(sharedFile(t, "vectors/"+name)))
	lines.Buffer(nil, 1<<20)
	n := 0
	for ; lines.Scan(); n++ {
		var v vector
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		if files[v.DBC] == nil {
			var err error
			if files[v.DBC], _, err = Parse(v.DBC, sharedFile(t, "dbc/"+v.DBC)); err != nil {
				t.Fatal(err)
			}
		}
		var data [64]byte
		if _, err := hex.Decode(data[:], []byte(v.Data)); err != nil {
			t.Fatal(err)
		}
		f(t, files[v.DBC], v, data)
	}
	if lines.Err() != nil || n == 0 {
		t.Fatalf("%d lines, %v", n, lines.Err())
	}
}

func TestDecodeVectors(t *testing.T) {
	frames, values := 0, 0
	vectors(t, "decode_vectors.jsonl", func(t *testing.T, f *File, v vector, data [64]byte) {
		m := f.Message(v.Message)
		if m == nil || m.ID != v.ID || m.Extended != v.Extended || m.Len != v.Length {
			t.Fatalf("%s: %s is %+v", v.DBC, v.Message, m)
		}
		wanted := everything(f)
		p, err := Compile(f, wanted)
		if err != nil {
			t.Fatal(err)
		}
		frame := canbus.Frame{ID: v.ID, Len: uint8(v.Length), Data: data}
		if v.Extended {
			frame.Flags = canbus.Extended
		}
		got := make([]Value, p.Most())
		got = got[:p.Decode(&frame, got)]
		if len(got) != len(v.Signals) {
			t.Errorf("%s %s %s: %d values, want %d", v.DBC, v.Message, v.Data, len(got), len(v.Signals))
		}
		for _, g := range got {
			s := m.Signal(wanted[g.Index].Signal)
			physical, raw := number(t, v.Signals[s.Name]), v.Raw[s.Name]
			if g.Short || g.Physical != physical && !(math.IsNaN(physical) && math.IsNaN(g.Physical)) {
				t.Errorf("%s %s.%s of %s: %v, want %v", v.DBC, v.Message, s.Name, v.Data, g, physical)
			}
			if !s.Float && integer(t, raw) != g.Raw {
				t.Errorf("%s %s.%s of %s: raw %d, want %v", v.DBC, v.Message, s.Name, v.Data, g.Raw, raw)
			}
			values++
		}
		frames++
	})
	if frames != 623 || values != 7275 {
		t.Errorf("%d frames and %d values, want 623 and 7275", frames, values)
	}
}

func TestEncodeVectors(t *testing.T) {
	frames := 0
	vectors(t, "encode_vectors.jsonl", func(t *testing.T, f *File, v vector, data [64]byte) {
		m := f.Message(v.Message)
		var sets []Set
		for name, x := range v.Signals {
			s := m.Signal(name)
			if n := x.(json.Number); s.Size > 53 && !s.Float {
				sets = append(sets, Bits(name, integer(t, n)))
			} else {
				sets = append(sets, Physical(name, number(t, n)))
			}
		}
		frame, err := m.Encode(sets...)
		if err != nil {
			t.Errorf("%s %s: %v", v.DBC, v.Message, err)
		}
		if frame.Data != data || frame.ID != v.ID || int(frame.Len) < v.Length || frame.Check() != nil {
			t.Errorf("%s %s: %X, want %s (%v)", v.DBC, v.Message, frame.Data, v.Data, frame.Check())
		}
		frames++
	})
	if frames != 622 {
		t.Errorf("%d frames, want 622", frames)
	}
}

func number(t *testing.T, x any) float64 {
	t.Helper()
	var s string
	switch x := x.(type) {
	case json.Number:
		s = x.String()
	case string:
		s = x // NaN, Infinity
	default:
		t.Fatalf("%v is no number", x)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// integer is a number of up to 64 bits as two's complement.
func integer(t *testing.T, x any) uint64 {
	t.Helper()
	n := x.(json.Number).String()
	if i, err := strconv.ParseInt(n, 10, 64); err == nil {
		return uint64(i)
	}
	u, err := strconv.ParseUint(n, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
