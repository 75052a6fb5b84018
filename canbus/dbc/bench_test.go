package dbc

import (
	"fmt"
	"strings"
	"testing"

	"github.com/headunit-agent/headunit/canbus"
)

// BenchmarkDecode decodes a frame like those of the MQB platform, all 13 signals
// of it.
func BenchmarkDecode(b *testing.B) {
	f, _, err := Parse("esp.dbc", []byte(esp))
	if err != nil {
		b.Fatal(err)
	}
	p, err := Compile(f, everything(f))
	if err != nil {
		b.Fatal(err)
	}
	fr := canbus.Frame{ID: 253, Len: 8, Data: [64]byte{0x95, 9, 0, 0, 0x88, 0x13, 0xFF, 0x81}}
	dst := make([]Value, p.Most())
	b.ReportAllocs()
	for b.Loop() {
		p.Decode(&fr, dst)
	}
}

// BenchmarkDecodeMQB decodes frames of each message of a real file in turn; the
// figure is for one frame with all its signals, 12 on average.
func BenchmarkDecodeMQB(b *testing.B) {
	f, _, err := Parse("vw_mqb.dbc", sharedFile(b, "dbc/opendbc/vw_mqb.dbc"))
	if err != nil {
		b.Fatal(err)
	}
	p, err := Compile(f, everything(f))
	if err != nil {
		b.Fatal(err)
	}
	var frames []canbus.Frame
	for _, m := range f.Messages {
		fr := canbus.Frame{ID: m.ID, Len: uint8(m.Len), Data: [64]byte{0x95, 9, 0x55, 0xAA, 0x88, 0x13, 0xFF, 0x81}}
		if m.Extended {
			fr.Flags = canbus.Extended
		}
		frames = append(frames, fr)
	}
	dst, i, values := make([]Value, p.Most()), 0, 0
	b.ReportAllocs()
	for b.Loop() {
		values += p.Decode(&frames[i], dst)
		if i++; i == len(frames) {
			i = 0
		}
	}
	b.ReportMetric(float64(values)/float64(b.N), "signals/op")
}

// BenchmarkParse parses 127 kB.
func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	for i := 0; text.Len() < 127_000; i++ {
		text.WriteString(strings.Replace(esp, "BO_ 253 Esp", fmt.Sprintf("BO_ %d Esp_%d", i, i), 1))
		fmt.Fprintf(&text, "CM_ SG_ %d Speed \"as the wheels tell\";\nVAL_ %d Shift 0 \"none\" 1 \"up\" 2 \"down\" 3 \"init\" ;\n", i, i)
	}
	src := []byte(text.String())
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, w, err := Parse("t.dbc", src); err != nil || len(w) > 0 {
			b.Fatal(w, err)
		}
	}
}

// BenchmarkEncode makes a command frame.
func BenchmarkEncode(b *testing.B) {
	f, _, err := Parse("lock.dbc", []byte(lock))
	if err != nil {
		b.Fatal(err)
	}
	m := f.Message("Lock")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Encode(Raw("Kind", 1), Physical("Minutes", 30), Text("Order", "open")); err != nil {
			b.Fatal(err)
		}
	}
}
