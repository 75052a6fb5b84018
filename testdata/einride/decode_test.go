package einride

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"testing"

	"go.einride.tech/can"
	einridedbc "go.einride.tech/can/pkg/dbc"
	"go.einride.tech/can/pkg/descriptor"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

const file = "../../../shared/data/dbc/opendbc/vw_mqb.dbc"

func source(t testing.TB) []byte {
	t.Helper()
	src, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the DBC files of others are not there: they lie beside the project, not in it")
	}
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// A pair is one message as both decoders know it, and one frame of it.
type pair struct {
	theirs *descriptor.Message
	data   can.Data
	frame  canbus.Frame
	plan   *dbc.Plan
	number int
}

// pairs are the messages that both can decode: classic, and not multiplexed,
// since a descriptor does not decide what is present. Descriptors are made from
// what our parser read. Their range is left out: they clamp to it.
func pairs(t testing.TB) (all []pair, most, signals int) {
	t.Helper()
	f, _, err := dbc.Parse(file, source(t))
	if err != nil {
		t.Fatal(err)
	}
	var wanted []dbc.Ref
	var kept []*dbc.Message
	for _, m := range f.Messages {
		if !classic(m) {
			continue
		}
		kept = append(kept, m)
		for _, s := range m.Signals {
			wanted = append(wanted, dbc.Ref{Message: m.Name, Signal: s.Name})
		}
	}
	plan, err := dbc.Compile(f, wanted)
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(1)
	for _, m := range kept {
		p := pair{theirs: describe(m), plan: plan, number: plan.Lookup(m.ID, m.Extended)}
		p.frame = canbus.Frame{ID: m.ID, Len: uint8(m.Len)}
		if m.Extended {
			p.frame.Flags = canbus.Extended
		}
		for i := range m.Len {
			seed = seed*6364136223846793005 + 1442695040888963407
			p.frame.Data[i] = byte(seed >> 56)
		}
		copy(p.data[:], p.frame.Data[:8])
		all = append(all, p)
		signals += len(m.Signals)
	}
	return all, plan.Most(), signals
}

func classic(m *dbc.Message) bool {
	if m.FD || m.Len > 8 || len(m.Signals) == 0 {
		return false
	}
	for _, s := range m.Signals {
		end := s.Start + s.Size
		if s.BigEndian {
			end = s.Start&^7 + 7 - s.Start&7 + s.Size
		}
		if s.Switch || s.Under != nil || s.Float || end > 8*m.Len {
			return false
		}
	}
	return true
}

func describe(m *dbc.Message) *descriptor.Message {
	d := &descriptor.Message{Name: m.Name, ID: m.ID, IsExtended: m.Extended, Length: uint8(m.Len)}
	for _, s := range m.Signals {
		d.Signals = append(d.Signals, &descriptor.Signal{
			Name: s.Name, Start: uint8(s.Start), Length: uint8(s.Size), IsBigEndian: s.BigEndian, IsSigned: s.Signed,
			Offset: s.Offset, Scale: s.Factor,
		})
	}
	return d
}

// TestSameValues holds the comparison fair: both decode the same numbers. For
// one bit the descriptors forget factor and offset.
func TestSameValues(t *testing.T) {
	all, most, signals := pairs(t)
	if len(all) < 90 || signals < 1000 {
		t.Fatalf("%d messages with %d signals: too few to compare", len(all), signals)
	}
	dst := make([]dbc.Value, most)
	for _, p := range all {
		n := p.plan.DecodeMessage(p.number, &p.frame, dst)
		if n != len(p.theirs.Signals) {
			t.Errorf("%s: %d values for %d signals", p.theirs.Name, n, len(p.theirs.Signals))
			continue
		}
		for i, s := range p.theirs.Signals {
			theirs := s.UnmarshalPhysical(p.data)
			if s.Length == 1 {
				theirs = float64(theirs*s.Scale) + s.Offset
			}
			if ours := dst[i].Physical; math.Abs(ours-theirs) > 1e-9*math.Max(1, math.Abs(ours)) {
				t.Errorf("%s.%s: %v, and there %v", p.theirs.Name, s.Name, ours, theirs)
			}
		}
	}
}

// TestTheirParser records how far their own parser gets with the file; the
// comparison does not depend on it.
func TestTheirParser(t *testing.T) {
	p := einridedbc.NewParser(file, source(t))
	if err := p.Parse(); err != nil {
		t.Logf("go.einride.tech/can cannot read the file: %v", err)
		return
	}
	messages := 0
	for _, d := range p.File().Defs {
		if _, ok := d.(*einridedbc.MessageDef); ok {
			messages++
		}
	}
	t.Logf("go.einride.tech/can reads %d messages", messages)
}

var sink float64

// BenchmarkDecode decodes one frame of each message in turn; an operation is a
// frame with all its signals, 13 on average.
func BenchmarkDecode(b *testing.B) {
	all, most, signals := pairs(b)
	perFrame := float64(signals) / float64(len(all))
	b.Run("einride", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			p := &all[i]
			for _, s := range p.theirs.Signals {
				sink = s.UnmarshalPhysical(p.data)
			}
			if i++; i == len(all) {
				i = 0
			}
		}
		b.ReportMetric(perFrame, "signals/frame")
	})
	b.Run("headunit", func(b *testing.B) {
		dst := make([]dbc.Value, most)
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			p := &all[i]
			n := p.plan.Decode(&p.frame, dst) // with the look-up by identifier
			sink = dst[n-1].Physical
			if i++; i == len(all) {
				i = 0
			}
		}
		b.ReportMetric(perFrame, "signals/frame")
	})
}
