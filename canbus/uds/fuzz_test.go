package uds

import (
	"bytes"
	"testing"
)

// FuzzAnswers gives any octets to every decoder of answers.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		"", "7F1978", "7F19", "5902FF", "5902FFC1210008", "5902FFC12100", "590AFF", "590400012308FF", "5904", "62F19041", "62F190",
		"6222030102F19041", "5003003201F4", "5003", "500300", "4300", "43010301", "43020301", "4702030103", "490201414243", "490200", "4902024142",
		"410C1AF8", "41", "41008000000041", "4120", "410C1A",
	} {
		f.Add(unhex(f, seed))
	}
	pids, ids := []byte{0x00, 0x0C, 0x0D, 0x20, 0xFE}, []uint16{0x2203, IDVIN, 0xF18C}
	f.Fuzz(func(t *testing.T, b []byte) {
		same := func(what string, again []byte) {
			if !bytes.Equal(again, b) {
				t.Fatalf("%s: %x encodes to %x", what, b, again)
			}
		}
		if n, ok := DecodeNegative(b); ok {
			same("refusal", n.Encode())
			_ = n.Code.String()
		}
		if l, err := DecodeDTCList(b); err == nil {
			same("codes", l.Encode())
			for _, c := range l.Codes {
				if d, err := ParseDTC(c.DTC.String()); err != nil || d != c.DTC {
					t.Fatalf("%v: %v", c.DTC, err)
				}
			}
		}
		if r, err := DecodeDTCRecord(b); err == nil {
			same("record", r.Encode())
		}
		if s, err := DecodeSession(b); err == nil && (s.Timing.P2 <= 0 || s.Timing.P2Star <= 0) {
			t.Fatalf("%x: %+v", b, s)
		}
		if v, err := DecodeData(b, ids, func(id uint16) int { return map[uint16]int{0x2203: 2, IDVIN: 17}[id] }); err == nil {
			same("data", EncodeData(v...))
		}
		if v, err := DecodePIDs(b, pids); err == nil {
			out := []byte{0x41}
			for _, x := range v {
				out = append(append(out, x.PID), x.Data...)
			}
			same("values", out)
		}
		for _, which := range []Service{OBDStored, OBDPending, OBDPermanent} {
			if c, err := DecodeCodes(b, which); err == nil && len(b) != 2+2*len(c) {
				t.Fatalf("%x: %v", b, c)
			}
		}
		if texts, err := DecodeVehicle(b, ItemVIN); err == nil && len(texts) != int(b[2]) {
			t.Fatalf("%x: %d texts", b, len(texts))
		}
		for _, pid := range pids {
			PIDs[pid].Decode(b)
		}
		_, _ = DecodeVWSupply(b)
		_, _, _ = DecodeCallBattery(b)
		_, _ = DecodeVWOdometer(b, 12345)
	})
}

// FuzzRequests: what is accepted encodes to the same octets.
func FuzzRequests(f *testing.F) {
	for _, seed := range []string{
		"", "1003", "1083", "1102", "14FFFFFF", "14FFFF", "19020D", "1902", "1904123456FF", "1906123456FF", "190A", "190B", "22F190", "22F1902203", "22F1",
		"2703", "27021122", "2700", "2EF19041", "2E01", "2F010203", "3101020301", "3104020301", "3E80", "3E00", "3E01", "0100", "0101020304050607", "03", "0301", "07", "0A", "0902", "04",
	} {
		f.Add(unhex(f, seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := DecodeRequest(b); err == nil && !bytes.Equal(r.Encode(), b) {
			t.Fatalf("%x: %T encodes to %x", b, r, r.Encode())
		}
	})
}

func BenchmarkDTCList(b *testing.B) {
	in := unhex(b, "5902FFC1210008030100AF")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeDTCList(in); err != nil {
			b.Fatal(err)
		}
	}
}
