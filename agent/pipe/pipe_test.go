package pipe

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

var name16 = [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

// One of each, with the octets it has on the socket.
var downs = []struct {
	frame Down
	hex   string
}{
	{
		Open{"tcp://127.0.0.1:1883", "c1", name16, []byte("bye"), 1700000000},
		"8601747463703a2f2f3132372e302e302e313a3138383362633150000102030405060708090a0b0c0d0e0f436279651a6553f100",
	},
	{Publish{7, "up/sta", 0, []byte{1}}, "8502076675702f737461004101"},
	{Publish{math.MaxUint64, "up/hello", 1, []byte{1, 2}}, "85021bffffffffffffffff6875702f68656c6c6f01420102"},
	{Close{[]byte("x")}, "82034178"},
	{Close{[]byte{}}, "820340"},
	{NewKey{}, "8104"},
	{Install{[][]byte{{1}, {2, 3}}}, "820582410142" + "0203"},
	{Wipe{}, "8106"},
}

var ups = []struct {
	frame Up
	hex   string
}{
	{State{true, "", "lte"}, "8401f560636c7465"},
	{State{false, "uplink.lost", ""}, "8401f46b75706c696e6b2e6c6f737460"},
	{Message{"dn/cmd", 1, true, []byte{9}}, "85026664" + "6e2f636d6401f54109"},
	{Message{"dn/time", 0, false, []byte{}}, "850267646e2f74696d6500f440"},
	{Published{1}, "820301"},
	{Request{[]byte{4}}, "82044104"},
}

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEveryFrameHasItsOctets(t *testing.T) {
	for _, c := range downs {
		b, err := EncodeDown(c.frame)
		if err != nil || hex.EncodeToString(b) != c.hex {
			t.Errorf("%T: %v\n got %x\nwant %s", c.frame, err, b, c.hex)
		}
		f, err := DecodeDown(unhex(t, c.hex))
		if err != nil || !reflect.DeepEqual(f, c.frame) {
			t.Errorf("%s: %v %+v, want %+v", c.hex, err, f, c.frame)
		}
	}
	for _, c := range ups {
		b, err := EncodeUp(c.frame)
		if err != nil || hex.EncodeToString(b) != c.hex {
			t.Errorf("%T: %v\n got %x\nwant %s", c.frame, err, b, c.hex)
		}
		f, err := DecodeUp(unhex(t, c.hex))
		if err != nil || !reflect.DeepEqual(f, c.frame) {
			t.Errorf("%s: %v %+v, want %+v", c.hex, err, f, c.frame)
		}
	}
}

// One for each way not to be a frame. The text says which rule it breaks.
var refusedDown = []struct{ rule, hex string }{
	{"empty", ""},
	{"no array", "01"},
	{"a map", "a10101"},
	{"an empty array", "80"},
	{"no such number", "8107"},
	{"number zero", "8100"},
	{"a number of the other side", "8401f56060"},
	{"number not shortest", "811804"},
	{"field not shortest", "850218076675702f737461004101"},
	{"array length not shortest", "980104"},
	{"indefinite array", "9f04ff"},
	{"indefinite octets", "82035f4178ff"},
	{"a tag", "8203c24178"},
	{"tag around the array", "d98104"},
	{"a field too few", "8402076675702f73746100"},
	{"a field too many", "810400"},
	{"a field too many in a longer array", "82040" + "0"},
	{"octets after the frame", "810400"},
	{"half a frame", "8203"},
	{"null for octets", "8203f6"},
	{"undefined for octets", "8203f7"},
	{"text for octets", "82036178"},
	{"numbers for octets", "82038101"},
	{"octets for text", "8502074675702f737461004101"},
	{"float for a number", "8502f947006675702f737461004101"},
	{"negative number", "8502206675702f737461004101"},
	{"text that is not UTF-8", "850207ff75702f737461004101"},
	{"QoS 2", "8502076675702f737461024101"},
	{"QoS 256", "8502076675702f7374611901004101"},
	{"topic of the other direction", "85020766646e2f636d64004101"},
	{"topic with a wildcard", "8502076475702f23004101"},
	{"empty payload", "8502076675702f7374610040"},
	{"empty chain", "820580"},
	{"empty certificate", "82058140"},
	{"five certificates", "82058541014101410141014101"},
	{"name too short", "86016174626331410043627965" + "00"},
	{"nested too deep", "8205818181818101"},
	{"duplicate key in a map", "8203a2010101" + "02"},
	{"claim of 2^32 elements", "9b0000000100000000"},
	{"claim of 2^31 octets", "82035a7fffffff"},
}

func TestNothingElseIsAFrame(t *testing.T) {
	for _, c := range refusedDown {
		if f, err := DecodeDown(unhex(t, c.hex)); !errors.Is(err, ErrFrame) || f != nil {
			t.Errorf("%s: %v %+v", c.rule, err, f)
		}
	}
	if f, err := DecodeUp(unhex(t, "8104")); !errors.Is(err, ErrFrame) || f != nil {
		t.Errorf("new-key from uplinkd: %v %+v", err, f)
	}
	if f, err := DecodeDown(make([]byte, MaxFrame+1)); !errors.Is(err, ErrFrame) || f != nil {
		t.Errorf("too large: %v %+v", err, f)
	}
}

func TestLimitsHoldBothWays(t *testing.T) {
	long := strings.Repeat("x", 300)
	big := func(n int) []byte { return bytes.Repeat([]byte{1}, n) }
	o := func(change func(*Open)) Open {
		v := Open{"tcp://127.0.0.1:1", "c1", name16, []byte("w"), 0}
		change(&v)
		return v
	}
	for i, f := range []Down{
		nil,
		o(func(v *Open) { v.Broker = "" }), o(func(v *Open) { v.Broker = long }), o(func(v *Open) { v.Broker = "a\nb" }),
		o(func(v *Open) { v.Cell = "" }), o(func(v *Open) { v.Cell = "C1" }), o(func(v *Open) { v.Cell = "a/b" }), o(func(v *Open) { v.Cell = long[:17] }),
		o(func(v *Open) { v.Will = nil }), o(func(v *Open) { v.Will = big(MaxWill + 1) }),
		o(func(v *Open) { v.Floor = -1 }), o(func(v *Open) { v.Floor = math.MaxInt64 }),
		Publish{1, "up/sta", 0, nil},
		Publish{1, "up/sta", 2, big(1)},
		Publish{1, "up/sta", 0, big(MaxPublish + 1)},
		Publish{1, "dn/cmd", 0, big(1)},
		Close{big(MaxWill + 1)},
		Install{},
		Install{make([][]byte, MaxChain+1)},
		Install{[][]byte{big(MaxCert + 1)}},
	} {
		if b, err := EncodeDown(f); !errors.Is(err, ErrFrame) {
			t.Errorf("%d: %T passes: %x", i, f, b)
		}
	}
	for i, f := range []Up{
		nil,
		State{true, "but", ""},
		State{false, long, ""},
		State{false, "", long},
		State{false, "a\nb", ""},
		Message{"up/sta", 0, false, nil},
		Message{"dn/cmd", 2, false, nil},
		Message{"dn/cmd", 0, false, big(MaxMessage + 1)},
		Request{},
		Request{big(MaxCSR + 1)},
	} {
		if b, err := EncodeUp(f); !errors.Is(err, ErrFrame) {
			t.Errorf("%d: %T passes: %x", i, f, b)
		}
	}
	for _, f := range []Down{
		Publish{1, "up/sta", 1, big(MaxPublish)}, Close{big(MaxWill)}, Install{[][]byte{big(MaxCert), big(MaxCert), big(MaxCert), big(MaxCert)}},
	} {
		b, err := EncodeDown(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := DecodeDown(b); err != nil {
			t.Errorf("the largest %T: %v", f, err)
		}
	}
}

func TestNamesAndTopics(t *testing.T) {
	o := Open{Cell: "c1", Name: name16}
	if got := o.Prefix(); got != "hu/v1/c1/aaaqeayeaudaocajbifqydiob4/" {
		t.Error(got)
	}
	if fmt.Sprint(DownTopics()) != "[dn/cmd dn/enr dn/lic dn/time dn/sess]" || len(UpTopics()) != 7 {
		t.Error(DownTopics(), UpTopics())
	}
}

func FuzzDecodeDown(f *testing.F) {
	for _, c := range downs {
		f.Add(unhex(f, c.hex))
	}
	for _, c := range refusedDown {
		f.Add(unhex(f, c.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := DecodeDown(b)
		if err != nil {
			if !errors.Is(err, ErrFrame) || frame != nil {
				t.Fatalf("%x: %v %+v", b, err, frame)
			}
			return
		}
		again, err := EncodeDown(frame)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x: %v %x", b, err, again)
		}
	})
}

func FuzzDecodeUp(f *testing.F) {
	for _, c := range ups {
		f.Add(unhex(f, c.hex))
	}
	for _, c := range refusedDown {
		f.Add(unhex(f, c.hex))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := DecodeUp(b)
		if err != nil {
			if !errors.Is(err, ErrFrame) || frame != nil {
				t.Fatalf("%x: %v %+v", b, err, frame)
			}
			return
		}
		again, err := EncodeUp(frame)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x: %v %x", b, err, again)
		}
	})
}
