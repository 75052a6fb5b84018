package msd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"pgregory.net/rapid"
)

func draw(t *rapid.T) MSD {
	version := rapid.Uint8Range(1, 3).Draw(t, "version")
	flag := rapid.Bool()
	delta := func(name string) Delta {
		d := Delta{Present: version == 3 || flag.Draw(t, name)}
		if d.Present {
			d.Latitude = rapid.Int16Range(-512, 511).Draw(t, name)
			d.Longitude = rapid.Int16Range(-512, 511).Draw(t, name)
		}
		return d
	}
	mas := func(most int32) int32 {
		return rapid.OneOf(rapid.Just[int32](UnknownMas), rapid.Int32Range(-most, most)).Draw(t, "position")
	}
	m := MSD{
		Version: version, ID: rapid.Byte().Draw(t, "id"),
		Automatic: flag.Draw(t, "automatic"), Test: flag.Draw(t, "test"), Trusted: flag.Draw(t, "trusted"),
		Type:      VehicleType(rapid.Uint8Range(1, uint8(types(version))).Draw(t, "type")),
		Storage:   Storage(rapid.Uint8Range(0, 1<<storages(version)-1).Draw(t, "storage")),
		Timestamp: rapid.Uint32().Draw(t, "ts"),
		Position:  Position{mas(MaxLatitude), mas(MaxLongitude)},
		Direction: rapid.OneOf(rapid.Just[uint8](255), rapid.Uint8Range(0, 179)).Draw(t, "direction"),
		N1:        delta("n1"), N2: delta("n2"),
	}
	for i := range m.VIN {
		m.VIN[i] = letters[rapid.IntRange(0, len(letters)-1).Draw(t, "letter")]
	}
	if flag.Draw(t, "occupants") {
		m.Occupants = Occupants{true, rapid.Byte().Draw(t, "count")}
	}
	if flag.Draw(t, "additional") {
		m.Additional = &Additional{
			OID(rapid.SliceOfN(rapid.Byte(), 1, 12).Draw(t, "oid")),
			rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data"),
		}
	}
	return m
}

// TestRoundTrip: what is encoded decodes to the same, is canonical, survives
// padding, and no shorter piece of it passes for a message.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := draw(t)
		b, err := EncodeIMS(nil, &m)
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		if short, err := Encode(nil, &m); (err == nil) != (len(b) <= MaxInBand) || err == nil && !bytes.Equal(short, b) {
			t.Fatalf("%d octets in-band: %v", len(b), err)
		}
		is, flags, err := Decode(b)
		if err != nil || flags != 0 || !reflect.DeepEqual(is, m) {
			t.Fatalf("%X decoded to %s (%b, %v)\nwant %s", b, text(is, flags, err), flags, err, text(m, 0, nil))
		}
		if is, flags, err := Decode(append(bytes.Clone(b), make([]byte, 20)...)); err != nil || flags != 0 || !reflect.DeepEqual(is, m) {
			t.Fatalf("padded: %s", text(is, flags, err))
		}
		for n := range b {
			if is, _, err := Decode(b[:n]); err == nil {
				t.Fatalf("%d of %d octets pass as %s", n, len(b), text(is, 0, nil))
			}
		}
	})
}

func TestRefused(t *testing.T) {
	good := sample()
	for name, change := range map[string]func(*MSD){
		"no version":        func(m *MSD) { m.Version = 0 },
		"newer version":     func(m *MSD) { m.Version = 4 },
		"no type":           func(m *MSD) { m.Type = 0 },
		"type 14 in v2":     func(m *MSD) { m.Type = 14 },
		"type 24 in v3":     func(m *MSD) { m.Version, m.Type = 3, 24 },
		"I in the VIN":      func(m *MSD) { m.VIN[3] = 'I' },
		"lower case VIN":    func(m *MSD) { m.VIN[3] = 'a' },
		"one zero octet":    func(m *MSD) { m.VIN[3] = 0 },
		"storage 8":         func(m *MSD) { m.Storage = 128 },
		"other in v1":       func(m *MSD) { m.Version, m.Storage = 1, OtherStorage },
		"too far north":     func(m *MSD) { m.Position.Latitude = MaxLatitude + 1 },
		"too far south":     func(m *MSD) { m.Position.Latitude = -MaxLatitude - 1 },
		"too far east":      func(m *MSD) { m.Position.Longitude = MaxLongitude + 1 },
		"too far west":      func(m *MSD) { m.Position.Longitude = -MaxLongitude - 1 },
		"no N2 in v3":       func(m *MSD) { m.Version, m.N2.Present = 3, false },
		"no N1 in v3":       func(m *MSD) { m.Version, m.N1.Present = 3, false },
		"direction in v3":   func(m *MSD) { m.Version, m.Direction = 3, 180 },
		"N1 too far":        func(m *MSD) { m.N1.Latitude = 512 },
		"N2 too far":        func(m *MSD) { m.N2.Longitude = -513 },
		"no OID":            func(m *MSD) { m.Additional = &Additional{} },
		"too long for band": func(m *MSD) { m.Additional = &Additional{EuroNCAP, make([]byte, 120)} },
		"by one octet":      func(m *MSD) { m.Additional = &Additional{EuroNCAP, make([]byte, 98)} },
	} {
		m := good
		change(&m)
		if b, err := Encode([]byte("x"), &m); !errors.Is(err, ErrRefused) || string(b) != "x" {
			t.Errorf("%s: %X, %v", name, b, err)
		}
	}
	most := good
	most.Additional = &Additional{EuroNCAP, make([]byte, 97)}
	if b, err := Encode(nil, &most); err != nil || len(b) != MaxInBand {
		t.Errorf("the longest: %d octets, %v", len(b), err)
	}
	huge := good
	huge.Additional = &Additional{EuroNCAP, make([]byte, MaxOctets+1)}
	if _, err := EncodeIMS(nil, &huge); !errors.Is(err, ErrRefused) {
		t.Error("data over the limit:", err)
	}
	huge.Additional.Data = huge.Additional.Data[:MaxOctets] // fits itself, not the whole
	if _, err := EncodeIMS(nil, &huge); !errors.Is(err, ErrRefused) {
		t.Error("message over the limit:", err)
	}
}

func sample() MSD {
	vin, _ := ParseVIN("WM9VDSVDSYA123456")
	return MSD{
		Version: 2, ID: 1, Automatic: true, Trusted: true, Type: M1, VIN: vin, Storage: Gasoline | Electric,
		Timestamp: 1700000000, Position: Position{173881200, 41822520}, Direction: 14,
		N1: Delta{true, 10, -10}, N2: Delta{true, 10, -20}, Occupants: Occupants{true, 2},
		Additional: &Additional{EuroNCAP, []byte{0x08, 0, 0xC7, 0x81, 0}},
	}
}

func TestUnknownVINIsZeros(t *testing.T) {
	m := sample()
	m.VIN = VIN{}
	b, err := Encode(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	if is, _, err := Decode(b); err != nil || string(is.VIN[:]) != strings.Repeat("0", 17) {
		t.Errorf("%v, %v", string(is.VIN[:]), err)
	}
	for _, s := range []string{"", "WM9VDSVDSYA12345", "WM9VDSVDSYA1234567", "WM9VDSVDSYA12345O", "wm9vdsvdsya123456", "WM9VDSVDSYA12345 "} {
		if v, err := ParseVIN(s); !errors.Is(err, ErrVIN) || v != (VIN{}) {
			t.Errorf("ParseVIN(%q): %v", s, err)
		}
	}
}

// TestNothingShows: no way of printing or logging shows VIN, place or data.
func TestNothingShows(t *testing.T) {
	m := sample()
	secrets := []string{"WM9", "173881200", "41822520", "1700000000", "0800c781", "0800C781", "[8 0 199", "10,-10", "10 -10", fmt.Sprintf("%x", "WM9"), fmt.Sprint([]byte("WM9"))[1:8]}
	var shown []string
	for _, v := range []any{m, &m, m.VIN, &m.VIN, m.Position, m.N1, *m.Additional, m.Additional, []VIN{m.VIN}, struct{ X Position }{m.Position}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			shown = append(shown, fmt.Sprintf(verb, v))
		}
		j, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, string(j))
		var buf bytes.Buffer
		log := zerolog.New(&buf)
		log.Info().Interface("v", v).Any("w", v).Msg("")
		if o, ok := v.(zerolog.LogObjectMarshaler); ok {
			log.Info().Object("v", o).EmbedObject(o).Msg("")
		}
		shown = append(shown, buf.String())
	}
	for _, s := range shown {
		for _, secret := range secrets {
			if strings.Contains(s, secret) {
				t.Errorf("%q shows %q", s, secret)
			}
		}
	}
}

func TestEncodeAllocatesNothing(t *testing.T) {
	m, buf := sample(), make([]byte, 0, MaxInBand)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Encode(buf, &m); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	m, buf := sample(), make([]byte, 0, MaxInBand)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(buf, &m); err != nil {
			b.Fatal(err)
		}
	}
}

// TestOtherLengths reads the longer forms of lengths and counts, which nobody is
// known to send.
func TestOtherLengths(t *testing.T) {
	m := sample()
	b, err := Encode(nil, &m)
	if err != nil {
		t.Fatal(err)
	}
	long := append([]byte{2, 0x80, b[1]}, b[2:]...)
	if is, flags, err := Decode(long); err != nil || flags != NotCanonical || !reflect.DeepEqual(is, m) {
		t.Errorf("long length: %s", text(is, flags, err))
	}
	if _, _, err := Decode(append([]byte{2, 0xC1, b[1]}, b[2:]...)); !errors.Is(err, ErrMalformed) {
		t.Error("a fragment passes:", err)
	}
	if is, flags, err := Decode(append(bytes.Clone(b), 1)); err != nil || flags != NotCanonical || !reflect.DeepEqual(is, m) {
		t.Errorf("octets behind: %s", text(is, flags, err))
	}
	inside := append([]byte{2, b[1] + 1}, b[2:]...)
	if is, flags, err := Decode(append(inside, 0)); err != nil || flags != NotCanonical || !reflect.DeepEqual(is, m) {
		t.Errorf("a zero octet inside: %s", text(is, flags, err))
	}
	letter := bytes.Clone(b) // the first letter of the VIN: bits 22 to 27 of the message
	letter[4], letter[5] = letter[4]&^3|33>>4, letter[5]&^0xF0|33&15<<4
	if is, _, err := Decode(letter); !errors.Is(err, ErrMalformed) {
		t.Errorf("letter 33: %s", text(is, 0, err))
	}
	beyond := reader{src: []byte{0b0_0000001, 0b0_0000011, 1}} // two additions, one of them longer than what is there
	if beyond.additions(); !beyond.short {
		t.Error("an addition beyond the end passes")
	}
	if i, ok := (&Additional{EuroNCAP, []byte{0x09, 0x38, 0xC7, 0x81, 0}}).Impact(); ok {
		t.Errorf("a range of 256: %+v", i)
	}
	var w writer // 70 additions, the last present, two octets
	w.bit(true)
	w.octets(70)
	for range 69 {
		w.bit(false)
	}
	w.bit(true)
	w.octets(2)
	w.put(0xFFFF, 16)
	w.fill()
	r := reader{src: w.dst}
	if r.additions(); r.short || r.at != 1+8+70+8+16 {
		t.Errorf("70 additions end at bit %d, short %v", r.at, r.short)
	}
}

func FuzzDecode(f *testing.F) {
	for _, r := range table(f) {
		f.Add(unhex(f, r.in))
	}
	f.Add([]byte{2, 0xC1, 0x20})
	f.Add([]byte{1, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, flags, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) || !reflect.DeepEqual(m, MSD{}) || flags != 0 {
				t.Fatalf("%v with %v, %b", err, m, flags)
			}
			return
		}
		if a := m.Additional; a != nil && len(a.OID)+len(a.Data) > len(b) {
			t.Fatal("made octets out of nothing")
		}
		m.Additional.Impact()
		once, err := EncodeIMS(nil, &m)
		if refused := m.Version > 3 || flags&(BadDirection|BadPosition|UnknownType) != 0; refused != (err != nil) {
			t.Fatalf("flags %b, version %d, encoding: %v", flags, m.Version, err)
		}
		if err != nil {
			return
		}
		again, more, err := Decode(once)
		if err != nil || more != 0 || !reflect.DeepEqual(again, m) {
			t.Fatalf("%X became %X: %s", b, once, text(again, more, err))
		}
		if same := bytes.Equal(once, bytes.TrimRight(b, "\x00")) || bytes.Equal(bytes.TrimRight(once, "\x00"), bytes.TrimRight(b, "\x00")); same != (flags&(NotCanonical|Additions) == 0) {
			t.Fatalf("flags %b\n got %X\n was %X", flags, once, b)
		}
	})
}
