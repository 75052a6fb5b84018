package wire

import (
	"crypto"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// must unpacks what cannot fail in a test's own material.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// seeded are octets that are the same at every run.
func seeded(what string, n int) []byte {
	var out []byte
	for i := byte(0); len(out) < n; i++ {
		h := sha256.Sum256(append([]byte(what), i))
		out = append(out, h[:]...)
	}
	return out[:n]
}

func seededID(what string) ID { return ID(seeded(what, 16)) }

// steady signs as RFC 6979 says, so that the vectors stay what they are.
type steady struct{ *Key }

func (s steady) Sign(octets []byte) ([]byte, error) {
	h := sha256.Sum256(octets)
	der, err := s.private.Sign(nil, h[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		return nil, err
	}
	out := make([]byte, signatureLen)
	rs.R.FillBytes(out[:32])
	rs.S.FillBytes(out[32:])
	return out, nil
}

// The keys of the samples.
var (
	carSign   = steady{must(ParseKey(seeded("car sign", 32)))}
	phoneSign = steady{must(ParseKey(seeded("phone sign", 32)))}
	grantSign = steady{must(ParseKey(seeded("grant sign", 32)))}
	timeSign  = steady{must(ParseKey(seeded("time sign", 32)))}
	carSeal   = must(ParseBoxKey(seeded("car seal", 32)))
	otherSeal = must(ParseBoxKey(seeded("other seal", 32)))
	carName   = Name(seeded("car name", 16))
	carEpoch  = seededID("epoch")
)

// messageType is what every type here does.
type messageType interface {
	Encode() ([]byte, error)
}

// A decoder is one decoder under test.
type decoder struct {
	name   string
	kind   Kind // bare: not signed
	decode func([]byte) (messageType, error)
}

func decoderOf[M messageType](name string, kind Kind, d func([]byte) (M, error)) decoder {
	return decoder{name, kind, func(b []byte) (messageType, error) { return d(b) }}
}

var decoders = []decoder{
	decoderOf("command", KindCommand, DecodeCommand),
	decoderOf("grant", KindGrant, DecodeGrant),
	decoderOf("session-ask", KindSessionAsk, DecodeSessionAsk),
	decoderOf("time", KindTime, DecodeTime),
	decoderOf("hello", KindHello, DecodeHello),
	decoderOf("session", KindSession, DecodeSession),
	decoderOf("result", KindResult, DecodeResult),
	decoderOf("event", KindEvent, DecodeEvent),
	decoderOf("status", KindStatus, DecodeStatus),
	decoderOf("goodbye", KindGoodbye, DecodeGoodbye),
	decoderOf("delta", bare, DecodeDelta),
	decoderOf("minutes", bare, DecodeMinutes),
	decoderOf("climate", bare, DecodeClimate),
	decoderOf("horn", bare, DecodeHorn),
	decoderOf("level", bare, DecodeSetLevel),
}

func decoderNamed(t testing.TB, name string) decoder {
	t.Helper()
	for _, d := range decoders {
		if d.name == name {
			return d
		}
	}
	t.Fatalf("no decoder for %q", name)
	return decoder{}
}

// The samples: one message of each kind with every field that it can have.

func sampleCommand() Command {
	return Command{
		Car: carName, Epoch: carEpoch, Users: 3, Seq: 57, Expires: 40_030,
		ID: seededID("command"), Operation: 1,
	}
}

func fullCommand() Command {
	c := sampleCommand()
	c.Operation, c.Arguments = 3, must(Minutes{30}.Encode())
	c.Grant = must(Sign(grantSign, KindGrant, must(sampleGrant().Encode())))
	c.Challenge = seededID("challenge")
	c.Proof, c.NewPIN = seeded("proof", proofLen), seeded("new pin", proofLen)
	return c
}

func sampleGrant() Grant {
	return Grant{
		Car: carName, Epoch: carEpoch, Users: 3, Expires: 86_400,
		Key: phoneSign.Kid(), May: OpsOf(1, 2, 3, 4, 14),
	}
}

func sampleSession() Session {
	return Session{
		Car: carName, Epoch: carEpoch, Now: 40_000, Users: 3, Seq: 56, Command: seededID("command"),
		Challenge: seededID("challenge"), Nonce: seededID("nonce"), Key: phoneSign.Kid(),
	}
}

func sampleHello() Hello {
	return Hello{
		Car: carName, Epoch: carEpoch, Now: 12, Users: 3, Nonce: seededID("nonce"), Method: MethodKeys,
		Documents: []Version{{Name: "terms", Version: 4}, {Name: "privacy", Version: 7}}, Revision: 12,
		Version: "1.0.0", Storage: StorageSoftware, Level: 1, SwitchedOff: []string{"driving-data"},
		Wakes: 28, May: OpsOf(1, 2, 3, 4, 9, 14), LevelSince: new(uint32(5)), Connections: 2, HoldLeft: new(uint32(0)),
	}
}

func sampleResult() Result {
	return Result{
		Car: carName, Epoch: carEpoch, Now: 40_002, Seq: 57, ID: seededID("command"), State: Refused,
		Reason: PINWrong, Hash: HashOf(must(sampleCommand().Encode())), Key: phoneSign.Kid(),
		Readings:  []Reading{{Signal: 21, Value: Text("LOCKED"), Age: 1}},
		TriesLeft: new(uint8(3)), Wait: new(uint32(0)), Parts: []string{"driver-door"},
	}
}

func sampleStatus() Status {
	return Status{
		Car: carName, Epoch: carEpoch, Now: 40_003, Number: 18, Full: true,
		Readings: []Reading{
			{Signal: 1, Value: Bool(true)},
			{Signal: 20, Value: Int(-100), Source: Computed},
			{Signal: 21, Value: Text("LOCKED"), Age: 300, Quality: Stale},
			{Signal: 33, Value: Int(1234), Age: 2, Quality: Good, Source: FromDiagnostics},
		},
		Gaps: []Gap{{Signal: 5, Quality: Never}, {Signal: 50, Quality: Unavailable, Age: 70}},
		UTC:  new(uint64(1_790_000_000)), Level: new(uint8(0)), SwitchedOff: []string{}, Wakes: new(uint8(30)),
		Missing: []Missing{{Service: "remote-heater", Reason: LicenseExpired}}, LevelSince: new(uint32(9)),
	}
}

func sampleDelta() Delta {
	return Delta{
		Number: 19, Now: 40_010,
		Readings: []Reading{{Signal: 34, Value: Int(-11)}, {Signal: 31, Value: Bool(false)}},
		Gaps:     []Gap{{Signal: 44, Quality: BadRange}},
	}
}

func sampleEvent() Event {
	return Event{
		Car: carName, Epoch: carEpoch, Now: 40_011, ID: seededID("event"), Type: EventPrivacyChanged,
		Reason: PrivacyChangedBy, Readings: []Reading{{Signal: 31, Value: Bool(true)}},
		UTC: new(uint64(1_790_000_008)), Level: new(uint8(2)), SwitchedOff: []string{"driving-data"},
		Wakes: new(uint8(0)), Cause: "driver",
	}
}

func sampleGoodbye() Goodbye {
	return Goodbye{Car: carName, Epoch: carEpoch, Now: 40_012, Reason: SystemLost, Connections: 2}
}

// raw encodes anything, as a stranger would.
func raw(v any) []byte { return must(encMode.Marshal(v)) }

// A pair is one member of a map, as octets.
type pair struct {
	key   uint64
	value []byte
}

// pairsOf takes a payload apart, in the order of its keys.
func pairsOf(payload []byte) []pair {
	var m map[uint64]cbor.RawMessage
	if err := cbor.Unmarshal(payload, &m); err != nil {
		panic(err)
	}
	var ps []pair
	for key := range uint64(256) {
		if v, ok := m[key]; ok {
			ps = append(ps, pair{key, v})
		}
	}
	return ps
}

// joined writes pairs in the order given, right or wrong.
func joined(ps []pair) []byte {
	b := append([]byte(nil), 0xA0+byte(len(ps)))
	for _, p := range ps {
		b = append(append(b, raw(p.key)...), p.value...)
	}
	return b
}

// with returns a payload with one value changed or added.
func with(payload []byte, key uint64, value []byte) []byte {
	ps := pairsOf(payload)
	for i := range ps {
		if ps[i].key == key {
			ps[i].value = value
			return joined(ps)
		}
		if ps[i].key > key {
			return joined(append(ps[:i:i], append([]pair{{key, value}}, ps[i:]...)...))
		}
	}
	return joined(append(ps, pair{key, value}))
}

// without returns a payload with one member less.
func without(payload []byte, key uint64) []byte {
	var rest []pair
	for _, p := range pairsOf(payload) {
		if p.key != key {
			rest = append(rest, p)
		}
	}
	return joined(rest)
}

func elliptic256Order() *big.Int { return new(big.Int).Set(elliptic.P256().Params().N) }

func bigOf(b []byte) *big.Int { return new(big.Int).SetBytes(b) }
