package modem

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// Vectors of EN 15722 examples, of modems in the field, and our own.
const (
	en2011      = "015C0681D54970D65C3597CA0420C41464583ADE68AC52E9BB8413F149C07414FB414F6010180813E82181823230"
	explicit    = "015C0681D54970D65C3597CA0420C41467F103ADE68AC52E9BB8413F149C07414FB414F6010180813E821818232300"
	explicitV2  = "02251C0680E30A51439E2955D43800800437F80A3105669023F8A71166932185B004150043C040"
	canonicalV2 = "02241C0680E30A51439E2955D438008004340A8C4159A408FE29C459A4C8616C01054010F010"
	quectel     = "0104A981D54970D65C3597CA0420C414600BBE5F7EB14BA6EE104FC52703C180"
	tbox        = "022D5C0401441D38C08438C2945002001C17F0800000645FFFFFFFFFFFFFFFFFF00401004000604100208A434D7180"
	telitZeros  = "022418040400000000000000000000000007F0200000001FFFFFFFFFFFFFFFFFF0040100400000000000"
	v3          = "032D501A03AA92E1ACB86B2F9408418828C816553F1008A5D3770827E29380E829F6829EC020301027D04303046460"
	v3extremes  = "0324101A03AA92E1ACB86B2F9408418828C816553F1008A5D3770827E29380E003FFFFC00000"
	testCall    = "021F040581D54970D65C3597CA0420C414640B2A9F880452E9BB8413F149C07008"
	noPlace     = "021F040601D54970D65C3597CA0420C414640800000007FFFFFFFFFFFFFFFFFFF8"
	southWest   = "02241C0681D54970D65C3597CA0420C414640B2A9F8803C5F22283B14CD502D3389C3389C010"
	future      = "093BB01B0292221A51218A02AC8008E4084C24040601954FC4022974DDC209F8A4E03A0180A03810080E0577000C0AD0CAD8D8DE020E04100406020406"
	badTurn     = "0323001A03AA92E1ACB86B2F9408418828C816553F1008A5D3770827E2938C880200802000"
	tooNorth    = "021E000681D54970D65C3597CA0420C414640B2A9F88049A7EC80C13F149C070"
	badVIN      = "014C0780A64D29259760170A2CC34E3D051B184861EBA0C8FF737E6420D104013F8100"
	badLetter   = "022D5C0683F54970D65C3597CA0420C414640B2A9F880452E9BB8413F149C07414FB414F6010180813E82181823230"
	badType     = "022D5C06B5D54970D65C3597CA0420C414640B2A9F880452E9BB8413F149C07414FB414F6010180813E82181823230"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecodeReadsEveryVector(t *testing.T) {
	const car = "WM9VDSVDSYA123456"
	gas := []string{"gasoline"}
	example := MSD{
		Version: 1, ID: 1, Automatic: true, Trusted: true, Type: "M1", VIN: car, Storage: []string{"gasoline", "electric"}, Timestamp: 123456789,
		Known: true, Latitude: 173881200, Longitude: 41822520, Degrees: "48.300333,11.617367", Direction: 14,
		N1: &Delta{10, -10}, N2: &Delta{10, -20}, Occupants: 2, OID: "1.2.125", Additional: "30304646",
	}
	written := example
	written.Flags = []string{"storage: a default is written out"}
	legato := MSD{
		Version: 2, ID: 1, Automatic: true, Trusted: true, Type: "M1", VIN: "ECALLEXAMPLE02013", Storage: gas, Timestamp: 1367878452,
		Known: true, Latitude: 18859320, Longitude: 187996428, Degrees: "5.238700,52.221230", Direction: 45,
		N1: &Delta{0, 10}, N2: &Delta{0, 30}, Occupants: 2,
	}
	legatoWritten := legato
	legatoWritten.Flags = written.Flags
	third := example
	third.Version, third.Storage, third.Timestamp = 3, gas, 1700000000
	extreme := third
	extreme.N1, extreme.N2, extreme.Occupants, extreme.OID, extreme.Additional = &Delta{-512, 511}, &Delta{511, -512}, 0, "", ""
	tried := third
	tried.Version, tried.Automatic, tried.Test, tried.N1, tried.N2, tried.Occupants = 2, false, true, nil, nil, 1
	tried.OID, tried.Additional = "", ""
	nowhere := MSD{
		Version: 2, ID: 1, Automatic: true, Type: "M1", VIN: car, Storage: gas,
		Latitude: positionUnknown, Longitude: positionUnknown, Direction: 255, Occupants: 255,
	}
	for _, v := range []struct {
		name, text string
		want       MSD
	}{
		{"example", en2011, example},
		{"explicit defaults", explicit, written},
		{"explicit defaults, version 2", explicitV2, legatoWritten},
		{"version 2", canonicalV2, legato},
		{"version 3", v3, third},
		{"version 3, farthest deltas", v3extremes, extreme},
		{"test call", testCall, tried},
		{"no place", noPlace, nowhere},
	} {
		got, err := Decode(unhex(t, v.text))
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
		} else if !reflect.DeepEqual(*got, v.want) {
			t.Errorf("%s:\n got %+v\nwant %+v", v.name, asText(t, got), asText(t, &v.want))
		}
	}
}

func asText(t *testing.T, m *MSD) string {
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What only some members of are known, or published.
func TestDecodeReadsWhatModemsSend(t *testing.T) {
	for _, v := range []struct {
		name, text string
		holds      func(m *MSD) bool
	}{
		{"quectel", quectel, func(m *MSD) bool {
			return m.ID == 42 && m.Test && m.Trusted && len(m.Storage) == 0 && m.Timestamp == 1576205301 && m.Direction == 30 && m.Occupants == 12
		}},
		{"t-box", tbox, func(m *MSD) bool {
			return !m.Automatic && m.VIN == "LGWEC24ECALL08071" && m.Timestamp == 802 && !m.Known && m.OID == "8.1" && m.Additional == "521A6B8C"
		}},
		{"telit", telitZeros, func(m *MSD) bool {
			return m.Type == "M2" && m.VIN == strings.Repeat("0", 17) && slices.Equal(m.Storage, []string{"other"}) && !m.Known
		}},
		{"south-west", southWest, func(m *MSD) bool {
			return m.Latitude == -121748400 && m.Longitude == -165045600 && m.Direction == 90 && *m.N1 == Delta{-100, -200} && *m.N2 == Delta{-100, -200}
		}},
		{"a later edition", future, func(m *MSD) bool { return m.Type == "unknown" && m.VIN == "JH4DA9350MS017849" && len(m.Flags) == 4 }},
		{"turn", badTurn, func(m *MSD) bool { return slices.Equal(m.Flags, []string{"direction 200"}) }},
		{"north of the pole", tooNorth, func(m *MSD) bool { return slices.Equal(m.Flags, []string{"position is not on the Earth"}) }},
	} {
		if m, err := Decode(unhex(t, v.text)); err != nil || !v.holds(m) {
			t.Errorf("%s: %v %+v", v.name, err, m)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, v := range []struct {
		text string
		want error
	}{
		{"", ErrShort},
		{"02", ErrShort},
		{"020101", ErrShort},
		{"00" + en2011[2:], ErrVersion},
		{"02C1" + canonicalV2[4:], ErrFragment},
		{badVIN, ErrShort},
		{badLetter, ErrVIN},
		{badType, ErrType},
	} {
		if _, err := Decode(unhex(t, v.text)); !errors.Is(err, v.want) {
			t.Errorf("%s: %v, want %v", v.text, err, v.want)
		}
	}
}

func TestPaddingIsNoPartOfTheMSD(t *testing.T) {
	for _, s := range []string{en2011, canonicalV2, v3} {
		short, err := Decode(unhex(t, s))
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, sizeMSD)
		copy(b, unhex(t, s))
		long, err := Decode(b)
		if err != nil || !reflect.DeepEqual(short, long) {
			t.Errorf("%s: %v %+v", s, err, long)
		}
		b[sizeMSD-1] = 1
		if odd, err := Decode(b); err != nil || len(odd.Flags) != 1 {
			t.Errorf("%s: an octet behind the padding: %v %+v", s, err, odd)
		}
	}
}

func TestEveryPrefixFails(t *testing.T) {
	for _, s := range []string{en2011, canonicalV2, v3, future, testCall} {
		b := unhex(t, s)
		for n := range b {
			if m, err := Decode(b[:n:n]); err == nil {
				t.Errorf("%d octets of %s gave %+v", n, s, m)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		en2011, explicit, explicitV2, canonicalV2, quectel, tbox, telitZeros, v3, v3extremes, testCall, noPlace, southWest,
		future, badTurn, tooNorth, badVIN, badLetter, badType, "", "02", "020101", "02C1",
	} {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		switch {
		case err != nil:
			return
		case len(m.VIN) != 17 || m.Type == "" || m.Direction > 255 || m.Occupants > 255 || m.ID > 255:
			t.Fatalf("%x: %+v", b, m)
		case len(m.Additional) > 2*len(b):
			t.Fatalf("%x: more than was there: %+v", b, m)
		}
	})
}
