package msd

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

const shared = "../../../../../shared/data/vectors/msd_vectors.json"

// A vector is one entry of the shared reference values; see their README.
type vector struct {
	Name       string
	MsdVersion uint8
	Identifier uint8 `json:"messageIdentifier"`
	Control    struct {
		Automatic bool         `json:"automaticActivation"`
		Test      bool         `json:"testCall"`
		Trusted   bool         `json:"positionCanBeTrusted"`
		Type      *VehicleType `json:"vehicleType"`
	}
	VIN        string
	Propulsion map[string]bool
	Timestamp  uint32
	Location   struct {
		Latitude  int32 `json:"latitudeMas"`
		Longitude int32 `json:"longitudeMas"`
	} `json:"vehicleLocation"`
	Direction  uint8        `json:"vehicleDirection"`
	N1         *vectorDelta `json:"recentVehicleLocationN1"`
	N2         *vectorDelta `json:"recentVehicleLocationN2"`
	Occupants  *uint8
	Additional *struct{ OID, DataHex string } `json:"additionalData"`
	Notes      string
	Hex        string
	Octets     int

	SameValueAs, CanonicalHex, Why string
	TypeUnknown                    bool   `json:"vehicleTypeUnknown"`
	Impact                         string `json:"locationOfImpact"`
	Rollover                       *bool  `json:"rolloverDetected"`
	RangeLimit                     uint8
	DeltaVX, DeltaVY               int16
	DataHex                        string
}

type vectorDelta struct {
	Latitude  int16 `json:"latitudeDelta"`
	Longitude int16 `json:"longitudeDelta"`
}

func (d *vectorDelta) delta() Delta {
	if d == nil {
		return Delta{}
	}
	return Delta{true, d.Latitude, d.Longitude}
}

func (v *vector) msd(t *testing.T) MSD {
	t.Helper()
	m := MSD{
		Version: v.MsdVersion, ID: v.Identifier,
		Automatic: v.Control.Automatic, Test: v.Control.Test, Trusted: v.Control.Trusted,
		Timestamp: v.Timestamp, Position: Position{v.Location.Latitude, v.Location.Longitude},
		Direction: v.Direction, N1: v.N1.delta(), N2: v.N2.delta(),
	}
	copy(m.VIN[:], v.VIN)
	if v.Control.Type != nil {
		m.Type = *v.Control.Type
	}
	for name, s := range map[string]Storage{
		"gasolineTankPresent": Gasoline, "dieselTankPresent": Diesel, "compressedNaturalGas": CNG,
		"liquidPropaneGas": LPG, "electricEnergyStorage": Electric, "hydrogenStorage": Hydrogen, "otherStorage": OtherStorage,
	} {
		if v.Propulsion[name] {
			m.Storage |= s
		}
	}
	if v.Occupants != nil {
		m.Occupants = Occupants{true, *v.Occupants}
	}
	if v.Additional != nil {
		oid, err := ParseOID(v.Additional.OID)
		if err != nil || oid.String() != v.Additional.OID {
			t.Fatalf("%s: OID %s read as %s: %v", v.Name, v.Additional.OID, oid, err)
		}
		m.Additional = &Additional{oid, unhex(t, v.Additional.DataHex)}
	}
	return m
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func load(t testing.TB) map[string][]vector {
	t.Helper()
	b, err := os.ReadFile(shared)
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the shared reference values are not beside this repository:", shared)
	}
	if err != nil {
		t.Fatal(err)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b, &raw); err != nil {
		t.Fatal(err)
	}
	all := map[string][]vector{}
	for name, part := range raw {
		if name == "about" || name == "oracles" {
			continue
		}
		var vs []vector
		if err := json.Unmarshal(part, &vs); err != nil {
			t.Fatal(name, err)
		}
		all[name] = vs
	}
	return all
}

// count keeps a section that is empty or renamed from passing.
func count(t *testing.T, all map[string][]vector, section string, want int) []vector {
	t.Helper()
	if got := len(all[section]); got != want {
		t.Errorf("%s: %d vectors, want %d", section, got, want)
	}
	return all[section]
}

func TestSharedValues(t *testing.T) {
	all := load(t)
	value := map[string]MSD{}
	for _, v := range count(t, all, "encode_decode", 27) {
		m := v.msd(t)
		value[v.Name] = m
		b := unhex(t, v.Hex)
		got, err := Encode(nil, &m)
		switch {
		case v.Name == "v2_int32_extremes":
			if !errors.Is(err, ErrRefused) {
				t.Errorf("%s: encoded", v.Name)
			}
		case v.Octets > MaxInBand:
			if !errors.Is(err, ErrRefused) {
				t.Errorf("%s: encoded for in-band", v.Name)
			}
			if got, err = EncodeIMS(nil, &m); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%s: EncodeIMS = %X, %v", v.Name, got, err)
			}
		case err != nil || !bytes.Equal(got, b):
			t.Errorf("%s:\n got %X, %v\nwant %X", v.Name, got, err, b)
		}
		is, flags, err := Decode(b)
		if err != nil || !reflect.DeepEqual(is, m) || flags&^BadPosition != 0 {
			t.Errorf("%s: decoded %#v, flags %b, %v", v.Name, is, flags, err)
		}
	}
	for _, v := range count(t, all, "decode_only_noncanonical", 6) {
		is, flags, err := Decode(unhex(t, v.Hex))
		if err != nil || !reflect.DeepEqual(is, value[v.SameValueAs]) {
			t.Errorf("%s: %v %v", v.Name, is, err)
		}
		if defaults := strings.Contains(v.Name, "defaults"); defaults != (flags == NotCanonical) {
			t.Errorf("%s: flags %b", v.Name, flags)
		}
		canonical(t, v.Name, is, v.CanonicalHex)
	}
	for _, v := range append(count(t, all, "published", 6), count(t, all, "published_prefix_only", 1)...) {
		is, _, err := Decode(unhex(t, v.Hex))
		if err != nil || !reflect.DeepEqual(is, v.msd(t)) {
			t.Errorf("%s: %v %v", v.Name, is, err)
		}
		if v.CanonicalHex == "" {
			v.CanonicalHex = v.Hex
		}
		canonical(t, v.Name, is, v.CanonicalHex)
	}
	for _, v := range count(t, all, "future_decode_only", 3) {
		is, flags, err := Decode(unhex(t, v.Hex))
		if err != nil || !reflect.DeepEqual(is, v.msd(t)) || flags&Additions == 0 || (flags&UnknownType != 0) != v.TypeUnknown {
			t.Errorf("%s: flags %b, %v", v.Name, flags, err)
		}
	}
	for _, v := range count(t, all, "must_fail", 6) {
		if is, _, err := Decode(unhex(t, v.Hex)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s (%s): %v, %v", v.Name, v.Why, is, err)
		}
	}
	for i, v := range count(t, all, "decode_flag_out_of_range", 2) {
		if _, flags, err := Decode(unhex(t, v.Hex)); err != nil || flags != []Flags{BadDirection, BadPosition}[i] {
			t.Errorf("%s: flags %b, %v", v.Name, flags, err)
		}
	}
	sides := []string{"unknown", "none", "front", "rear", "driverSide", "nonDriverSide", "other"}
	for _, v := range count(t, all, "euroncap_tb040_oad", 3) {
		i := Impact{Range: v.RangeLimit, X: v.DeltaVX, Y: v.DeltaVY}
		for n, s := range sides {
			if s == v.Impact {
				i.Side = Side(n)
			}
		}
		if v.Rollover != nil {
			i.Rollover = NotRolled
			if *v.Rollover {
				i.Rollover = Rolled
			}
		}
		impact(t, v.Name, i, v.DataHex)
	}
}

func canonical(t *testing.T, name string, m MSD, want string) {
	t.Helper()
	got, err := Encode(nil, &m)
	if err != nil || !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("%s: canonical form %X, %v; want %s", name, got, err, want)
	}
}

func impact(t *testing.T, name string, i Impact, want string) {
	t.Helper()
	a, err := i.Additional()
	if err != nil || !bytes.Equal(a.Data, unhex(t, want)) {
		t.Errorf("%s: %+v, %v; want %s", name, a.Data, err, want)
		return
	}
	if is, ok := a.Impact(); !ok || is != i {
		t.Errorf("%s: read back as %+v, %v", name, is, ok)
	}
}

// TestOwnTable walks testdata/vectors.txt: what each message decodes to, and
// what encoding that gives.
func TestOwnTable(t *testing.T) {
	n := 0
	for _, row := range table(t) {
		n++
		if row.kind == "impact" {
			a := &Additional{EuroNCAP, unhex(t, row.in)}
			got := "opaque"
			if i, ok := a.Impact(); ok {
				got = impactText(i)
				impact(t, row.name, i, row.in)
			}
			if got != row.value {
				t.Errorf("%s: %s, want %s", row.name, got, row.value)
			}
			continue
		}
		m, flags, err := Decode(unhex(t, row.in))
		if got := text(m, flags, err); got != row.value {
			t.Errorf("%s:\n got %s\nwant %s", row.name, got, row.value)
		}
		if row.out != "-" {
			canonical(t, row.name, m, row.out)
		}
	}
	if n < 20 {
		t.Errorf("only %d rows", n)
	}
}

type row struct{ name, kind, in, out, value string }

func table(t testing.TB) (rows []row) {
	t.Helper()
	f, err := os.Open("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Four lines a vector: name and kind, octets, canonical octets, value.
	var block []string
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		s := strings.TrimSpace(lines.Text())
		if s == "" || s[0] == ';' {
			continue
		}
		if block = append(block, s); len(block) < 4 {
			continue
		}
		name, kind, _ := strings.Cut(block[0], ": ")
		r := row{name, kind, block[1], block[2], block[3]}
		if r.in == "empty" {
			r.in = ""
		}
		if r.out == "same" {
			r.out = r.in
		}
		rows, block = append(rows, r), nil
	}
	if err := lines.Err(); err != nil || len(block) > 0 {
		t.Fatal("incomplete vector", block, err)
	}
	return rows
}
