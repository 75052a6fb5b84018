package uds

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

const secret = "TMBJJ7NE8L0123456" // made up

func vin(t testing.TB, s string) VIN {
	t.Helper()
	v, err := ParseVIN(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestVINHides in every form that something ends in a log.
func TestVINHides(t *testing.T) {
	v := vin(t, secret)
	answer := Answer{Payload: append([]byte{0x62, 0xF1, 0x90}, secret...)}
	value := Value{IDVIN, []byte(secret)}
	state := ReportState{count: 1}
	state.seen[0] = Sighting{"x", v}
	for _, x := range []any{
		v, &v,
		[]VIN{v},
		struct{ v VIN }{v},
		Sighting{"x", v},
		answer, &answer, value,
		[]Value{value},
		state,
		Judge(answer, nil),
		Findings{VIN: v, Other: []OtherFinding{{Value: value}}},
		Reply{Answer: answer},
	} {
		b, err := json.Marshal(x)
		if err != nil {
			t.Errorf("%T: %v", x, err)
		}
		seen := string(b)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			seen += " " + fmt.Sprintf(verb, x)
		}
		for _, leak := range []string{secret, fmt.Sprintf("%x", secret), strings.Trim(fmt.Sprint([]byte(secret)), "[]"), "VE1CSko3TkU4TDAxMjM0NTY"} {
			if strings.Contains(seen, leak) {
				t.Errorf("%T shows itself: %s", x, seen)
			}
		}
	}
	if v.Reveal() != secret || (VIN{}).Reveal() != "" {
		t.Error("it cannot be had where it is needed")
	}
	for _, bad := range []string{"", secret[1:], secret + "0", strings.ToLower(secret), "I" + secret[1:], "O" + secret[1:], "Q" + secret[1:], " " + secret[1:], "OSEV__ BMS  0000 "} {
		_, err := ParseVIN(bad)
		if !errors.Is(err, ErrVIN) || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestAgree(t *testing.T) {
	a, b := vin(t, secret), vin(t, "WVWZZZ1KZAW000001")
	for name, c := range map[string]struct {
		seen []Sighting
		want VIN
	}{
		"nothing":             {nil, VIN{}},
		"once":                {[]Sighting{{"x", a}}, VIN{}},
		"two sources":         {[]Sighting{{"x", a}, {"y", a}}, a},
		"one source twice":    {[]Sighting{{"x", a}, {"x", a}}, a},
		"two that differ":     {[]Sighting{{"x", a}, {"y", b}}, VIN{}},
		"two against one":     {[]Sighting{{"x", a}, {"y", b}, {"z", a}}, a},
		"two against two":     {[]Sighting{{"x", a}, {"y", b}, {"z", a}, {"x", b}}, VIN{}},
		"two and twice none":  {[]Sighting{{"x", a}, {"y", a}, {"x", VIN{}}, {"y", VIN{}}}, a},
		"none is no sighting": {[]Sighting{{"x", VIN{}}, {"y", VIN{}}}, VIN{}},
	} {
		if got, ok := Agree(c.seen); got != c.want || ok != (c.want != VIN{}) {
			t.Errorf("%s: %q", name, got.Reveal())
		}
	}
}

func TestDTCText(t *testing.T) {
	for text, want := range map[string]DTC{"U0121-00": 0xC12100, "P0301-00": 0x030100, "C3EB0-AD": 0x7EB0AD, "B100A-13": 0x900A13} {
		if got := want.String(); got != text {
			t.Errorf("%06X: %s", uint32(want), got)
		}
		if got, err := ParseDTC(text); err != nil || got != want {
			t.Errorf("%s: %06X, %v", text, uint32(got), err)
		}
	}
	for _, bad := range []string{"", "U0121", "U0121-0", "u0121-00", "U4121-00", "X0121-00", "U0121_00", "U01g1-00", "U012a-00", "U+121-00", "U0121-00 "} {
		if d, err := ParseDTC(bad); !errors.Is(err, ErrDTC) {
			t.Errorf("%q: %v", bad, d)
		}
	}
	if got := OBDCode(0x0301).String(); got != "P0301" {
		t.Error(got)
	}
	for d := DTC(0); d < 1<<24; d += 7919 {
		if got, err := ParseDTC(d.String()); err != nil || got != d {
			t.Fatalf("%06X: %v %v", uint32(d), got, err)
		}
	}
}

func TestNotOffered(t *testing.T) {
	want := []NRC{0x11, 0x12, 0x31, 0x33, 0x7F}
	for n := range 256 {
		if got := NRC(n).NotOffered(); got != slices.Contains(want, NRC(n)) {
			t.Errorf("%v: %t", NRC(n), got)
		}
	}
}

// TestSeveralIdentifiers: an answer to more than one question.
func TestSeveralIdentifiers(t *testing.T) {
	ids := []uint16{0xF187, 0x2203, 0xF190}
	length := func(id uint16) int { return map[uint16]int{0xF187: 2, 0x2203: 3}[id] }
	all := unhex(t, "62F18722032203F190F1F190414243")
	got, err := DecodeData(all, ids, length)
	if err != nil || len(got) != 3 || !bytes.Equal(got[1].Data, []byte{0xF1, 0x90, 0xF1}) || string(got[2].Data) != "ABC" {
		t.Errorf("%x, %v", got, err)
	}
	if got, err = DecodeData(unhex(t, "62F1872203F190414243"), ids, length); err != nil || len(got) != 2 {
		t.Errorf("one left out: %v, %v", got, err)
	}
	for name, bad := range map[string]string{
		"nothing": "62", "no value": "62F187", "not asked for": "62F18900", "too short": "62F18701", "another service": "6EF1870102",
		"out of order": "622203010203F1870102", "twice": "62F1870102F1870102", "followed by more": "62220301020304",
	} {
		if got, err := DecodeData(unhex(t, bad), ids, length); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, got)
		}
	}
	if got, err := DecodeData(unhex(t, "62F18701020304"), ids, nil); !errors.Is(err, ErrFormat) {
		t.Errorf("of unknown length: %v", got)
	}
}

func TestSession(t *testing.T) {
	for text, want := range map[string]Session{
		"5003003201F4": {3, Timing{50 * time.Millisecond, 5 * time.Second}},
		"500300190BB8": {3, Timing{25 * time.Millisecond, 30 * time.Second}},
		"500100000000": {1, DefaultTiming},
		"5003":         {3, DefaultTiming},
	} {
		if got, err := DecodeSession(unhex(t, text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	if got := (Session{3, DefaultTiming}).Encode(); !bytes.Equal(got, unhex(t, "5003003201F4")) {
		t.Errorf("%x", got)
	}
	for _, bad := range []string{"", "50", "500300", "50030032", "510300320000"} {
		if got, err := DecodeSession(unhex(t, bad)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %+v", bad, got)
		}
	}
}

func TestOBD(t *testing.T) {
	var s PIDSet
	if more, err := s.Add(0, unhex(t, "80000001")); err != nil || !more || !s.Has(1) || !s.Has(0x20) || s.Has(2) || s.Has(0x21) {
		t.Errorf("bitmap: %v, %v", more, err)
	}
	if more, err := s.Add(0x20, unhex(t, "80018000")); err != nil || more || !s.Has(0x21) || !s.Has(0x30) || !s.Has(0x31) {
		t.Errorf("second bitmap: %v, %v", more, err)
	}
	if more, err := s.Add(0xE0, unhex(t, "FFFFFFFF")); err != nil || more || !s.Has(0xFF) || s.Has(0) {
		t.Errorf("last bitmap: %v, %v", more, err)
	}
	if _, err := s.Add(1, unhex(t, "80000001")); err == nil {
		t.Error("01 is no bitmap")
	}
	for pid, c := range map[byte]struct {
		data string
		want float64
	}{
		0x05: {"7B", 83}, 0x0C: {"1AF8", 1726}, 0x0D: {"FF", 255}, 0x0F: {"00", -40}, 0x1F: {"0100", 256}, 0x21: {"0001", 1},
		0x2F: {"FF", 100}, 0x31: {"FFFF", 65535}, 0x42: {"3039", 12.345}, 0x46: {"28", 0}, 0x51: {"08", 8}, 0x5B: {"80", 12800. / 255},
		0x5C: {"64", 60}, 0xA6: {"FFFFFFFF", 429496729.5},
	} {
		if got, ok := PIDs[pid].Decode(unhex(t, c.data)); !ok || math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%02X: %v", pid, got)
		}
		if _, ok := PIDs[pid].Decode(unhex(t, c.data+"00")); ok {
			t.Errorf("%02X: an octet too many", pid)
		}
	}
	if _, ok := PIDs[0x99].Decode(nil); ok {
		t.Error("an unknown value has no meaning")
	}
	if lamp, codes, err := DecodeStatus(unhex(t, "83000000")); err != nil || !lamp || codes != 3 {
		t.Errorf("status: %v %d %v", lamp, codes, err)
	}
	pids := []byte{0x0C, 0x0D, 0xFE}
	if got, err := DecodePIDs(unhex(t, "410C1AF80D40FE010203"), pids); err != nil || len(got) != 3 || got[1].Data[0] != 0x40 || len(got[2].Data) != 3 {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"41", "410C", "410C1A", "410540", "420C1AF8"} {
		if got, err := DecodePIDs(unhex(t, bad), pids); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", bad, got)
		}
	}
	if got, err := DecodeCodes(unhex(t, "43020301C121"), OBDStored); err != nil || len(got) != 2 || got[0].String() != "P0301" || got[1].String() != "U0121" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"43", "4301", "430303010102", "43000000", "430103", "4700"} {
		if got, err := DecodeCodes(unhex(t, bad), OBDStored); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", bad, got)
		}
	}
	if got, err := DecodeVehicle(append(unhex(t, "490201"), secret...), ItemVIN); err != nil || len(got) != 1 || got[0] != secret {
		t.Errorf("%d texts, %v", len(got), err)
	}
	for _, bad := range []string{"49", "4902", "490200FF", "490201", "490202010203", "490401FF"} {
		if got, err := DecodeVehicle(unhex(t, bad), ItemVIN); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %q", bad, got)
		}
	}
}

func TestVW(t *testing.T) {
	got, err := DecodeVWSupply(unhex(t, "2134FFFFFE0C005F3C"))
	if want := (VWSupply{12.5, -0.5, 95, 20}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := DecodeVWSupply(make([]byte, 8)); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	for _, c := range []struct {
		data  string
		known uint32
		want  uint32
	}{
		{"303B", 12345, 12347}, {"04D2", 12345, 12345}, {"303B", 0, 0}, {"303B", 20000, 0}, {"FFFF", 65535, 0}, {"30", 48, 0}, {"0000000000", 0, 0},
	} {
		if km, ok := DecodeVWOdometer(unhex(t, c.data), c.known); km != c.want || ok != (c.want > 0) {
			t.Errorf("%s beside %d: %d %t", c.data, c.known, km, ok)
		}
	}
	if critical, charge, err := DecodeCallBattery([]byte{1, 40}); err != nil || !critical || charge != 40 {
		t.Errorf("%t %d %v", critical, charge, err)
	}
	if _, _, err := DecodeCallBattery([]byte{3, 40}); err == nil {
		t.Error("3 is no state")
	}
	for _, u := range VWUnits {
		if a, ok := VW(u.Address.Request); ok && a != u.Address {
			t.Errorf("%s: %+v", u.Name, u.Address)
		}
	}
	if a, ok := VW(0x77F); !ok || a.Answer != 0x7E9 {
		t.Errorf("%+v", a)
	}
	if _, ok := VW(0x780); ok {
		t.Error("780 is not theirs")
	}
}

func TestIsRequest(t *testing.T) {
	for _, c := range []struct {
		id       uint32
		extended bool
		want     bool
	}{
		{0x7DF, false, true},
		{0x700, false, true},
		{0x710, false, true},
		{0x77F, false, false},
		{0x77A, false, false},
		{0x770, false, true},
		{0x7E0, false, true},
		{0x7E7, false, true},
		{0x7E8, false, false},
		{0x6FF, false, false},
		{0x780, false, false},
		{0x18DA10F1, true, true},
		{0x18DAF110, true, false},
		{0x18DB33F1, true, true},
		{0x17FC007B, true, true},
		{0x17FE007B, true, false},
		{0x710, true, false},
		{0x77A, true, false},
	} {
		if got := IsRequest(c.id, c.extended, VWUnits); got != c.want {
			t.Errorf("%X: %t", c.id, got)
		}
	}
	if a := OBD29(0x10); a.Request != 0x18DA10F1 || a.Answer != 0x18DAF110 {
		t.Errorf("%+v", a)
	}
	if a := MEBPower(0x7B); a.Request != 0x17FC007B || a.Answer != 0x17FE007B {
		t.Errorf("%+v", a)
	}
}
