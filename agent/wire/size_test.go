package wire

import (
	"strings"
	"testing"
)

// TestSizes holds the targets of protocol 4.7, in octets of MQTT payload, on
// typical contents, and says where they stand (go test -v).
func TestSizes(t *testing.T) {
	up := func(k Kind, m messageType) int { return len(must(Sign(carSign, k, must(m.Encode())))) }
	down := func(k Kind, m messageType) int {
		signed := must(Sign(phoneSign, k, must(m.Encode())))
		return len(must(Seal(carSeal.SealPublic(), carName, signed)))
	}
	command := sampleCommand()
	command.Grant = must(Sign(grantSign, KindGrant, must(sampleGrant().Encode())))
	withPIN := command
	withPIN.Proof = must(SealPIN(carSeal.SealPublic(), command, "1234"))
	report := func(n int) Status {
		s := Status{Car: carName, Epoch: carEpoch, Now: 40_000, Number: 300, Readings: []Reading{}}
		for i := range n {
			g := Signals[i]
			r := Reading{Signal: g.Number, Value: Bool(true)}
			switch {
			case g.Step != 0:
				r.Value, r.Age = Int(int64(1000+i)), 12
			case strings.HasSuffix(g.Path, "State"):
				r.Value = Text("LOCKED")
			}
			s.Readings = append(s.Readings, r)
		}
		return s
	}
	full := report(48)
	full.Full, full.UTC, full.Level, full.SwitchedOff = true, new(uint64(1_790_000_000)), new(uint8(1)), []string{"driving-data"}
	full.Wakes, full.Missing = new(uint8(28)), []Missing{{Service: "remote-heater", Reason: LicenseExpired}}
	ended := sampleResult()
	ended.State, ended.Reason, ended.TriesLeft, ended.Wait, ended.Parts = Succeeded, "", nil, nil, nil
	event := sampleEvent()
	event.Readings = nil
	session := sampleSession()
	session.Command, session.Challenge = ID{}, ID{}
	worst := Delta{Number: 1<<32 - 1, Now: 1<<32 - 1, Readings: []Reading{{
		Signal: 255, Value: Text(strings.Repeat("W", maxText)), Age: 1<<32 - 1, Quality: Stale, Source: FromSetting,
	}}}
	plug := Delta{Number: 300, Now: 40_000, Readings: []Reading{{Signal: 31, Value: Bool(true)}}}
	for _, s := range []struct {
		name           string
		octets, target int
	}{
		{"delta, a switch", len(must(plug.Encode())), 16},
		{"delta, one signal at the worst", len(must(worst.Encode())), 64},
		{"status, one signal", up(KindStatus, report(1)), 160},
		{"status, 48 signals", up(KindStatus, full), 800},
		{"hello", up(KindHello, sampleHello()), 320},
		{"result", up(KindResult, ended), 288},
		{"result, refused with everything", up(KindResult, sampleResult()), 288},
		{"event without position", up(KindEvent, event), 256},
		{"command without S-PIN", down(KindCommand, command), 432},
		{"command with S-PIN", down(KindCommand, withPIN), 528},
		{"grant", len(command.Grant), 176},
		{"session-ask", down(KindSessionAsk, SessionAsk{Car: carName, Nonce: carEpoch}), 256},
		{"session", up(KindSession, session), 256},
		{"session with everything", up(KindSession, sampleSession()), 256},
	} {
		t.Logf("%-32s %4d of %4d", s.name, s.octets, s.target)
		if s.octets > s.target {
			t.Errorf("%s: %d octets, %d at most", s.name, s.octets, s.target)
		}
	}
}

func BenchmarkVerifyCommand(b *testing.B) {
	c := fullCommand()
	sealed := must(Seal(carSeal.SealPublic(), carName, must(Sign(phoneSign, KindCommand, must(c.Encode())))))
	for b.Loop() {
		inside, err := Open(carSeal, carName, sealed)
		if err != nil {
			b.Fatal(err)
		}
		s, err := ParseSigned(inside)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := DecodeCommand(s.Payload()); err != nil {
			b.Fatal(err)
		}
		if err := s.Verify(phoneSign.Public(), KindCommand); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncodeDelta(b *testing.B) {
	d := sampleDelta()
	for b.Loop() {
		if _, err := d.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
