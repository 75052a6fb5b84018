package uds

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"testing"
)

type vector struct {
	Kind, Name, Bytes string
	SID, NRC          uint8
	Args              struct {
		Session, Type, Level, Mask, Record, Control uint8
		Key, Data, State                            string
		DIDs                                        []uint16
		Group, DTC                                  uint32
		RID, DID                                    uint16
	}
	Availability uint8
	DTCs         []struct {
		ID                 uint32
		Code               string
		Status             uint8
		Failed             bool `json:"test_failed"`
		Pending, Confirmed bool
		Lamp               bool `json:"warning_indicator"`
	}
	Values map[string]string
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (v *vector) request(t *testing.T) Request {
	t.Helper()
	a := v.Args
	switch v.Name {
	case "DiagnosticSessionControl":
		return SessionControl{a.Session}
	case "ECUReset":
		return Reset{a.Type}
	case "SecurityAccess.requestSeed":
		return Seed{a.Level}
	case "SecurityAccess.sendKey":
		return Key{a.Level, unhex(t, a.Key)}
	case "TesterPresent.suppress":
		return TesterPresent{Quiet: true}
	case "ReadDataByIdentifier":
		return ReadData{a.DIDs}
	case "ClearDiagnosticInformation":
		return Clear{a.Group}
	case "ReadDTC.byStatusMask":
		return ReadDTCByMask{Status(a.Mask)}
	case "ReadDTC.supported":
		return ReadDTCSupported{}
	case "ReadDTC.snapshotByDTC":
		return ReadDTCSnapshot{DTC(a.DTC), a.Record}
	case "RoutineControl.start":
		return Routine{1, a.RID, unhex(t, a.Data)}
	case "IOControl":
		return Control{a.DID, a.Control, unhex(t, a.State)}
	case "WriteDataByIdentifier":
		return WriteData{a.DID, unhex(t, a.Data)}
	}
	t.Fatalf("request %q", v.Name)
	return nil
}

// TestVectors compares with messages that another implementation made.
func TestVectors(t *testing.T) {
	file, err := os.Open("../../../shared/data/vectors/uds_vectors.jsonl")
	if err != nil {
		t.Skipf("no reference values: %v", err)
	}
	defer file.Close()
	count := 0
	for s := bufio.NewScanner(file); s.Scan(); count++ {
		var v vector
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		want := unhex(t, v.Bytes)
		switch v.Kind + " " + v.Name {
		case "response ReadDTC.byStatusMask":
			v.dtcs(t, want)
		case "response ReadDataByIdentifier":
			v.values(t, want)
		default:
			if v.Kind == "negative" {
				n, ok := DecodeNegative(want)
				if !ok || n != (Negative{Service(v.SID), NRC(v.NRC)}) || !bytes.Equal(n.Encode(), want) {
					t.Errorf("%s: %v", v.Bytes, n)
				}
				continue
			}
			r := v.request(t)
			if got := r.Encode(); !bytes.Equal(got, want) {
				t.Errorf("%s: encoded %x, want %x", v.Name, got, want)
			}
			if got, err := DecodeRequest(want); err != nil || !reflect.DeepEqual(got, r) {
				t.Errorf("%s: decoded %+v, %v", v.Name, got, err)
			}
		}
	}
	if count != 76 {
		t.Errorf("%d messages", count)
	}
}

func (v *vector) dtcs(t *testing.T, b []byte) {
	t.Helper()
	l, err := DecodeDTCList(b)
	if err != nil || l.Sub != 2 || l.Availability != Status(v.Availability) || len(l.Codes) != len(v.DTCs) || !bytes.Equal(l.Encode(), b) {
		t.Fatalf("%s: %+v, %v", v.Bytes, l, err)
	}
	for i, want := range v.DTCs {
		c := l.Codes[i]
		has := func(s Status) bool { return c.Status&s != 0 }
		if c.DTC != DTC(want.ID) || c.DTC.String() != want.Code || c.Status != Status(want.Status) ||
			has(FailedNow) != want.Failed || has(IsPending) != want.Pending || has(Confirmed) != want.Confirmed || has(Lamp) != want.Lamp {
			t.Errorf("%s: %v %02X, want %+v", v.Bytes, c.DTC, c.Status, want)
		}
		if d, err := ParseDTC(want.Code); err != nil || d != c.DTC {
			t.Errorf("%s: %v, %v", want.Code, d, err)
		}
	}
}

func (v *vector) values(t *testing.T, b []byte) {
	t.Helper()
	for id, text := range v.Values {
		var n uint16
		if _, err := fmt.Sscanf(id, "%X", &n); err != nil {
			t.Fatal(err)
		}
		got, err := DecodeData(b, []uint16{n}, nil)
		if err != nil || len(got) != 1 || string(got[0].Data) != text || !bytes.Equal(EncodeData(got...), b) {
			t.Errorf("%s: %v, %v", v.Bytes, got, err)
		}
	}
}
