package main

import (
	"bytes"
	"context"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

func TestFilters(t *testing.T) {
	std := func(id uint32) canbus.Frame { return canbus.Frame{ID: id} }
	ext := func(id uint32) canbus.Frame { return canbus.Frame{ID: id, Flags: canbus.Extended} }
	for _, c := range []struct {
		text     string
		has, not []canbus.Frame
	}{
		{"5A7", []canbus.Frame{std(0x5A7)}, []canbus.Frame{std(0x5A6), ext(0x5A7)}},
		{"0", []canbus.Frame{std(0)}, []canbus.Frame{std(1), ext(0)}},
		{"000005A7", []canbus.Frame{ext(0x5A7)}, []canbus.Frame{std(0x5A7)}},
		{"700:7F0", []canbus.Frame{std(0x700), std(0x70F)}, []canbus.Frame{std(0x710), std(0x6FF)}},
		{"3CE-3D1", []canbus.Frame{std(0x3CE), std(0x3D1)}, []canbus.Frame{std(0x3CD), std(0x3D2), ext(0x3CE)}},
		{"123-123", []canbus.Frame{std(0x123)}, []canbus.Frame{std(0x122), std(0x124)}},
		{"17330000:1FFF0000", []canbus.Frame{ext(0x17330301)}, []canbus.Frame{ext(0x17340301)}},
		{"123:000", []canbus.Frame{std(0), std(0x7FF)}, []canbus.Frame{ext(0), {ID: 4, Flags: canbus.Error}}},
	} {
		var f filter
		if err := f.UnmarshalText([]byte(c.text)); err != nil {
			t.Error(err)
			continue
		}
		for _, x := range c.has {
			if !f.has(&x) {
				t.Errorf("%s leaves %X out", c.text, x.ID)
			}
		}
		for _, x := range c.not {
			if f.has(&x) {
				t.Errorf("%s takes %X (flags %d)", c.text, x.ID, x.Flags)
			}
		}
	}
	for _, text := range []string{"", "800", "1234", "20000000", "x", "123:00000123", "123-122", "123:", "-1", "1-", "123456789"} {
		if err := new(filter).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

// TestOnBus are the frame rates of the specification (can.md, section 1).
func TestOnBus(t *testing.T) {
	for _, c := range []struct {
		flags         canbus.Flags
		n             uint8
		rate, data    int
		fewest, least float64 // frames/s with and without stuffing
	}{
		{0, 8, 500_000, 0, 3704, 4505},
		{canbus.Extended, 8, 500_000, 0, 3125, 3817},
		{canbus.FD | canbus.BRS, 64, 500_000, 2_000_000, 2990, 2990},
		{canbus.FD | canbus.BRS, 64, 1_000_000, 5_000_000, 7153, 7153},
	} {
		least, worst := onBus(&canbus.Frame{Flags: c.flags, Len: c.n}, c.rate, c.data)
		if math.Round(1/least) != c.least || math.Round(1/worst) != c.fewest {
			t.Errorf("%d octets, flags %d: %.1f to %.1f frames/s, want %v to %v", c.n, c.flags, 1/worst, 1/least, c.fewest, c.least)
		}
	}
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := canbus.NewMemory()
		listen, talk := bus.Attach(0), bus.Attach(1)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		go func() {
			for i := range 100 {
				time.Sleep(15 * time.Millisecond)
				_ = talk.Send(ctx, canbus.Frame{ID: 0x100 + uint32(i%2), Len: 8, Data: [64]byte{byte(i)}})
			}
			_ = talk.Send(ctx, canbus.Frame{ID: 0x6B4, Len: 8, Data: [64]byte{0, 1, 2, 3, 4, 5}})
			_ = talk.Relay(canbus.Rx{Frame: canbus.Frame{ID: 4, Len: 8, Flags: canbus.Error}})
		}()
		var out bytes.Buffer
		c := statsCmd{Bitrate: 500_000, DataBitrate: 2_000_000, Every: time.Second, IDs: true}
		if err := c.count(ctx, listen, &out); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			`(?m)^66 frames/s, 2 identifiers, load 1\.5 to 1\.8 %, 0 lost, 0 error frames, ok$`, // 66 × 222 µs, 270 µs
			`(?m)^frames +101 in 2\.0 s, 50\.5/s$`, `(?m)^identifiers +3$`, `(?m)^error frames +1$`, `(?m)^load +1\.1 to 1\.4 %`,
			`(?m)^100 +50 +30ms +8 +6200000000000000$`, `(?m)^6B4 +1 +- +8 +0000000000050000$`,
		} {
			if !regexp.MustCompile(want).MatchString(out.String()) {
				t.Errorf("no %s in\n%s", want, &out)
			}
		}
	})
}

// A bus that ends is an error; a listener who has enough is not.
func TestDumpEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := canbus.NewMemory()
		listen, talk := bus.Attach(0), bus.Attach(1)
		var out bytes.Buffer
		over := make(chan error, 1)
		go func() { over <- (&dumpCmd{Errors: true}).dump(t.Context(), listen, "can0", &out) }()
		_ = talk.Send(t.Context(), canbus.Frame{ID: 0x6B4, Len: 8, Data: [64]byte{4, 1, 2, 3, 4, 5}})
		_ = talk.Send(t.Context(), canbus.Frame{ID: 0x6B4, Len: 8, Data: [64]byte{5, 1, 2, 3, 4, 5}})
		_ = talk.Send(t.Context(), canbus.Frame{ID: 0x6B4, Flags: canbus.Extended, Len: 8, Data: [64]byte{4, 1, 2, 3, 4, 5}})
		synctest.Wait()
		_ = bus.Close()
		if err := <-over; err == nil {
			t.Error("a bus that ended is no error")
		}
		var got []string
		for line := range strings.Lines(out.String()) {
			got = append(got, line[strings.Index(line, ") ")+2:])
		}
		want := []string{"can0 6B4#0400000000050000\n", "can0 6B4#0501020304050000\n", "can0 000006B4#0401020304050000\n"}
		if !slices.Equal(got, want) {
			t.Errorf("shown %q, want %q", got, want)
		}
	})
}

func TestLabels(t *testing.T) {
	f, _, err := dbc.Parse("x.dbc", []byte(small64))
	if err != nil {
		t.Fatal(err)
	}
	table := newTable(true)
	if _, err := table.add(f); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"any 006#01FF00000000E040": `"A":{"value":-3.5,"raw":-1,"unit":"\"V\u0009","label":"minus","quality":"good"}`,
		"any 006#020000000000E040": `"C":{"value":7,"raw":7,"unit":"","label":"seven","quality":"good"}`,
		"any 006#0102":             `"A":{"value":-2,"raw":2,"unit":"\"V\u0009","label":"two\u000alines \"q\" \\x","quality":"good"}`,
		"any 006#0103":             `"A":{"value":-1.5,"raw":3,"unit":"\"V\u0009","quality":"good"}`,
	} {
		l, _, err := canbus.ParseLine(text)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // as worked out, and as kept
			if got := string(table.append(nil, &l, table.find(&l.Frame))); !strings.Contains(got, want) {
				t.Errorf("%s is %s, want %s", text, got, want)
			}
		}
	}
}

func TestInterfaceName(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:29536/can0": "can0", "unix:/run/headunit/can1": "can1", "unix:can2": "can2", "unix:/x/a b#c(d": "abcd",
		"unix:/x/0123456789abcdefgh": "0123456789abcdef",
	} {
		if got := interfaceName(addr); got != want {
			t.Errorf("%s is called %q, want %q", addr, got, want)
		}
	}
}
