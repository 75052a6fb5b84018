package wire

import (
	"bytes"
	"slices"
	"strings"
)

// A vector is one line of testdata/wire: octets, what they should be read as, and
// the fault that should be found, or none.
type vector struct {
	Name    string `json:"name"`
	Message string `json:"message"`         // which decoder
	Octets  string `json:"octets"`          // hexadecimal
	Means   string `json:"means,omitempty"` // CBOR diagnostic notation, if it is valid
	Fault   Fault  `json:"fault,omitempty"`

	octets []byte
}

func good(message, name string, m messageType) vector {
	return vector{Name: name, Message: message, octets: must(m.Encode())}
}

func badly(message, name string, f Fault, b []byte) vector {
	return vector{Name: name, Message: message, Fault: f, octets: b}
}

// messageVectors lists every payload vector: what is valid, then one for each
// rule that can be broken.
func messageVectors() []vector {
	var vs []vector
	vs = append(vs, validVectors()...)
	vs = append(vs, formVectors()...)
	vs = append(vs, commandVectors()...)
	vs = append(vs, answerVectors()...)
	vs = append(vs, reportVectors()...)
	return append(vs, argumentVectors()...)
}

func validVectors() []vector {
	short := sampleResult()
	short.State, short.Reason, short.Readings = Succeeded, "", nil
	short.TriesLeft, short.Wait, short.Parts = nil, nil, nil
	part := sampleStatus()
	part.Full, part.Readings, part.Gaps = false, part.Readings[:1], nil
	part.UTC, part.Level, part.SwitchedOff, part.Wakes, part.Missing, part.LevelSince = nil, nil, nil, nil, nil, nil
	last := sampleCommand()
	last.Seq, last.Operation = MaxSeq, 1<<63
	asked := sampleSession()
	asked.Command, asked.Challenge = ID{}, ID{}
	one := Delta{Number: 1, Now: 0, Readings: []Reading{{Signal: 255, Value: Bool(true)}}}
	return []vector{
		good("command", "command, shortest", sampleCommand()),
		good("command", "command with every field", fullCommand()),
		good("command", "command, highest number, unknown operation", last),
		good("grant", "grant", sampleGrant()),
		good("session-ask", "session-ask", SessionAsk{Car: carName, Nonce: seededID("nonce")}),
		good("time", "time", Time{Car: carName, Nonce: seededID("nonce"), UTC: 1_790_000_000}),
		good("hello", "hello with every field", sampleHello()),
		good("session", "session with every field", sampleSession()),
		good("session", "session that answers a session-ask", asked),
		good("result", "result with every field", sampleResult()),
		good("result", "result, shortest", short),
		good("event", "event", sampleEvent()),
		good("event", "event, shortest", Event{Car: carName, ID: seededID("event"), Type: EventPower}),
		good("status", "status, full", sampleStatus()),
		good("status", "status of one changed lock", part),
		good("goodbye", "goodbye as the will", sampleGoodbye()),
		good("delta", "delta with a gap", sampleDelta()),
		good("delta", "delta of one switch", one),
		good("minutes", "minutes", Minutes{60}),
		good("climate", "climate with temperature", Climate{10, 295}),
		good("climate", "climate without temperature", Climate{20, 0}),
		good("horn", "horn", Horn{2, 30}),
		good("level", "level", SetLevel{3}),
	}
}

// formVectors break the rules that hold for every message, on commands.
func formVectors() []vector {
	ok := must(sampleCommand().Encode())
	ps := pairsOf(ok)
	swapped := append([]pair(nil), ps...)
	swapped[4], swapped[5] = swapped[5], swapped[4]
	twice := joined(append(ps[:3:3], append([]pair{ps[2]}, ps[3:]...)...))
	long := bytes.Replace(ok, append([]byte{6}, raw(57)...), []byte{6, 0x19, 0, 57}, 1)
	open := append(append([]byte{0xBF}, ok[1:]...), 0xFF)
	names := append([]byte(nil), ok...)
	names[0]++
	deep := raw(map[int]any{1: [][][]int{{{1}}}})
	wide := raw(map[int]any{1: make([]int, 33)})
	many := map[int]int{}
	for i := range 17 {
		many[i] = 0
	}
	form := func(name string, f Fault, b []byte) vector { return badly("command", name, f, b) }
	return []vector{
		form("nothing", Malformed, nil),
		form("cut short", Malformed, ok[:len(ok)-1]),
		form("octets after the end", Malformed, append(slices.Clip(ok), 0)),
		form("an array", Malformed, raw([]int{1, 2})),
		form("another kind", Other, must(sampleGrant().Encode())),
		form("no such kind", Other, with(ok, 1, raw(99))),
		form("a kind beyond an octet", Malformed, with(ok, 1, raw(300))),
		form("no kind", Unlike, without(ok, 1)),
		form("keys not in order", Unlike, joined(swapped)),
		form("a key twice", Malformed, twice),
		form("an unknown key", Malformed, with(ok, 77, raw(1))),
		form("a key that is text", Malformed, append(append(names, raw("x")...), 1)),
		form("an integer longer than needed", Unlike, long),
		form("indefinite length", Malformed, open),
		form("a tag", Malformed, with(ok, 6, []byte{0xC1, 57})),
		form("a float", Malformed, with(ok, 6, []byte{0xF9, 0x51, 0x20})),
		form("null for an optional field", Malformed, with(ok, 11, []byte{0xF6})),
		form("undefined for an optional field", Malformed, with(ok, 11, []byte{0xF7})),
		form("a negative number", Malformed, with(ok, 6, raw(-1))),
		form("a number beyond 32 bits", Malformed, with(ok, 7, raw(uint64(1)<<32))),
		form("text for octets", Malformed, with(ok, 8, raw("0123456789abcdef"))),
		form("an array for octets", Unlike, with(ok, 8, raw(make([]int, 16)))),
		form("an id of 15 octets", Unlike, with(ok, 8, raw(make([]byte, 15)))),
		form("an id of 17 octets", Unlike, with(ok, 8, raw(make([]byte, 17)))),
		form("an id of zeros where there may be none", Unlike, with(ok, 13, raw(make([]byte, 16)))),
		form("nested too deep", Malformed, with(ok, 10, deep)),
		form("an array too long", Malformed, with(ok, 10, wide)),
		form("a map too large", Malformed, with(ok, 10, raw(many))),
		form("a tag in arguments that are unread yet", Malformed, with(ok, 10, []byte{0xA1, 1, 0xC1, 10})),
		form("indefinite length in arguments that are unread yet", Malformed, with(ok, 10, []byte{0xBF, 1, 10, 0xFF})),
		form("a key twice in arguments that are unread yet", "", with(ok, 10, []byte{0xA2, 1, 10, 1, 10})),
		form("longer than its topic", TooLong, with(ok, 10, raw(map[int][]byte{1: make([]byte, 4096)}))),
	}
}

func commandVectors() []vector {
	ok, grant := must(sampleCommand().Encode()), must(sampleGrant().Encode())
	bad := func(name string, f Fault, key uint64, v any) vector {
		return badly("command", name, f, with(ok, key, raw(v)))
	}
	vs := []vector{
		bad("sequence number 0", OutOfRange, 6, 0),
		bad("sequence number 2^32-1", OutOfRange, 6, uint32(1<<32-1)),
		bad("arguments that are no map", OutOfRange, 10, []int{10}),
		bad("an S-PIN proof of 84 octets", OutOfRange, 11, make([]byte, 84)),
		bad("an S-PIN proof of 86 octets", OutOfRange, 11, make([]byte, 86)),
		bad("a grant of 99 octets", OutOfRange, 12, make([]byte, 99)),
		bad("a grant of 257 octets", OutOfRange, 12, make([]byte, 257)),
		bad("a challenge of 15 octets", Unlike, 13, make([]byte, 15)),
		bad("a new S-PIN of no octets", OutOfRange, 52, []byte{}),
		badly("grant", "grant with operations below zero", Malformed, with(grant, 48, raw(-1))),
		badly("grant", "grant with a kid of 7 octets", Unlike, with(grant, 22, raw(make([]byte, 7)))),
		badly("grant", "grant without expiry", Unlike, without(grant, 7)),
	}
	for _, key := range []uint64{2, 3, 5, 6, 7, 8, 9} {
		vs = append(vs, badly("command", "command without field "+string(rune('0'+key)), Unlike, without(ok, key)))
	}
	ask := must(SessionAsk{Car: carName, Nonce: seededID("nonce")}.Encode())
	clock := must(Time{Car: carName, Nonce: seededID("nonce"), UTC: 1}.Encode())
	return append(vs,
		badly("session-ask", "session-ask without nonce", Unlike, without(ask, 14)),
		badly("session-ask", "session-ask with an epoch", Malformed, with(ask, 3, raw(carEpoch))),
		badly("time", "time before 1970", Malformed, with(clock, 40, raw(-1))),
		badly("time", "time without UTC", Unlike, without(clock, 40)),
	)
}

func answerVectors() []vector {
	res, ses := must(sampleResult().Encode()), must(sampleSession().Encode())
	bye, hel := must(sampleGoodbye().Encode()), must(sampleHello().Encode())
	result := func(name string, f Fault, key uint64, v any) vector {
		return badly("result", name, f, with(res, key, raw(v)))
	}
	hello := func(name string, f Fault, key uint64, v any) vector {
		return badly("hello", name, f, with(hel, key, raw(v)))
	}
	doc := func(n int) (ds []any) {
		for range n {
			ds = append(ds, []any{"terms", 1})
		}
		return ds
	}
	return []vector{
		result("state 6", OutOfRange, 15, 6),
		result("a reason without a dot", OutOfRange, 16, "commandepoch"),
		result("a reason with a capital", OutOfRange, 16, "Command.epoch"),
		result("a reason with too short a domain", OutOfRange, 16, "c.epoch"),
		result("a reason with too long a domain", OutOfRange, 16, strings.Repeat("c", 13)+".epoch"),
		result("a reason with too short a name", OutOfRange, 16, "command.e"),
		result("a reason with too long a name", OutOfRange, 16, "command."+strings.Repeat("e", 21)),
		result("a reason with two dots", OutOfRange, 16, "command.ep.och"),
		result("an empty reason", Unlike, 16, ""),
		badly("result", "a reason that is not UTF-8", Malformed, with(res, 16, []byte{0x63, 'a', '.', 0xFF})),
		result("a hash of 31 octets", Unlike, 17, make([]byte, 31)),
		result("nine readings", OutOfRange, 18, readings(9)),
		result("eleven tries", OutOfRange, 37, 11),
		result("a part that is no word", OutOfRange, 39, []string{"Driver door"}),
		result("a part of one letter", OutOfRange, 39, []string{"d"}),
		result("a part that begins with a digit", OutOfRange, 39, []string{"1door"}),
		result("a part of 25 octets", OutOfRange, 39, []string{strings.Repeat("d", 25)}),
		result("17 parts", OutOfRange, 39, strings.Split(strings.Repeat("ab,", 16)+"ab", ",")),
		badly("session", "session without kid", Unlike, without(ses, 22)),
		badly("session", "session with a state", Malformed, with(ses, 15, raw(1))),
		badly("goodbye", "goodbye for another reason", OutOfRange, with(bye, 16, raw("command.busy"))),
		badly("goodbye", "goodbye without reason", Unlike, without(bye, 16)),
		hello("no such method", OutOfRange, 33, "face"),
		hello("nine documents", OutOfRange, 36, doc(9)),
		hello("a document that is no word", OutOfRange, 36, []any{[]any{"T", 1}}),
		hello("a document with a hash", Malformed, 36, []any{[]any{"terms", 1, make([]byte, 32)}}),
		hello("an empty version", OutOfRange, 43, ""),
		hello("a version of 25 octets", OutOfRange, 43, strings.Repeat("1", 25)),
		hello("key storage 3", OutOfRange, 44, 3),
		hello("level 4", OutOfRange, 45, 4),
		hello("19 services switched off", OutOfRange, 46, strings.Split(strings.Repeat("ab,", 18)+"ab", ",")),
		hello("31 wake-ups", OutOfRange, 47, 31),
		badly("hello", "hello without the list of switches", Unlike, without(hel, 46)),
	}
}

// readings returns n readings as a stranger would write them.
func readings(n int) (rs []any) {
	for i := range n {
		rs = append(rs, []any{30 + i%2, true})
	}
	return rs
}

func gaps(n int) (gs []any) {
	for range n {
		gs = append(gs, []any{31, 2})
	}
	return gs
}

func reportVectors() []vector {
	sta, evt := must(sampleStatus().Encode()), must(sampleEvent().Encode())
	status := func(name string, f Fault, key uint64, v any) vector {
		return badly("status", name, f, with(sta, key, raw(v)))
	}
	reading := func(name string, f Fault, r ...any) vector { return status(name, f, 18, []any{r}) }
	gap := func(name string, f Fault, g ...any) vector { return status(name, f, 19, []any{g}) }
	event := func(name string, f Fault, key uint64, v any) vector {
		return badly("event", name, f, with(evt, key, raw(v)))
	}
	delta := func(name string, f Fault, d ...any) vector { return badly("delta", name, f, raw(d)) }
	long := strings.Repeat("W", 25)
	return []vector{
		reading("a reading of signal 0", OutOfRange, 0, true),
		reading("a reading of signal 256", Malformed, 256, true),
		reading("a reading without a value", Malformed, 1),
		reading("a reading with zeros at its end", Unlike, 1, true, 0),
		reading("a reading with six members", Malformed, 1, true, 1, 1, 1, 1),
		reading("an empty word", OutOfRange, 21, ""),
		reading("a word of 25 octets", OutOfRange, 21, long),
		reading("a value that is null", Malformed, 1, nil),
		reading("a value that is a float", Malformed, 33, 12.5),
		reading("a value that is octets", Malformed, 33, []byte{1}),
		reading("a value beyond 64 bits", Malformed, 33, uint64(1)<<63),
		reading("a reading that is unavailable", OutOfRange, 1, true, 0, 3),
		reading("a reading from source 5", OutOfRange, 1, true, 0, 0, 5),
		gap("a gap of signal 0", OutOfRange, 0, 2),
		gap("a gap that is good", OutOfRange, 5, 0, 1),
		gap("a gap of quality 5", OutOfRange, 5, 5),
		gap("a gap with zeros at its end", Unlike, 5, 2, 0),
		status("97 readings", OutOfRange, 18, readings(97)),
		status("129 readings", Malformed, 18, readings(129)),
		status("97 gaps", OutOfRange, 19, gaps(97)),
		status("a status at level 4", OutOfRange, 45, 4),
		status("a switched-off service that is no word", OutOfRange, 46, []string{"_"}),
		status("a status with 31 wake-ups", OutOfRange, 47, 31),
		status("a missing service without reason", OutOfRange, 49, []any{[]any{"charging", ""}}),
		status("19 missing services", OutOfRange, 49, missing(19)),
		status("full that is a number", Malformed, 69, 1),
		badly("status", "status without full", Unlike, without(sta, 69)),
		event("no such type", OutOfRange, 50, "party"),
		event("17 readings", OutOfRange, 18, readings(17)),
		event("an event at level 4", OutOfRange, 45, 4),
		event("an event with 31 wake-ups", OutOfRange, 47, 31),
		event("an event that switched off no word", OutOfRange, 46, []string{""}),
		event("a cause that is no word", OutOfRange, 64, "9"),
		event("an event for no reason", OutOfRange, 16, "because"),
		delta("a delta of a lock", OutOfRange, 1, 2, []any{[]any{1, true}}),
		delta("a gap of a lock in a delta", OutOfRange, 1, 2, readings(1), []any{[]any{1, 2}}),
		delta("a delta of nothing", OutOfRange, 1, 2, []any{}),
		delta("a delta with no gaps in its list", OutOfRange, 1, 2, readings(1), []any{}),
		delta("a delta of 17", OutOfRange, 1, 2, readings(17)),
		delta("a delta with 17 gaps", OutOfRange, 1, 2, readings(1), gaps(17)),
		delta("a delta of two members", Malformed, 1, 2),
		delta("a delta of five members", Malformed, 1, 2, readings(1), gaps(1), 5),
		delta("a delta with a negative number", Malformed, -1, 2, readings(1)),
	}
}

func missing(n int) (ms []any) {
	for range n {
		ms = append(ms, []any{"charging", "license.none"})
	}
	return ms
}

func argumentVectors() []vector {
	args := func(kind, name string, f Fault, v any) vector { return badly(kind, name, f, raw(v)) }
	return []vector{
		args("minutes", "0 minutes", OutOfRange, map[int]int{1: 0}),
		args("minutes", "15 minutes", OutOfRange, map[int]int{1: 15}),
		args("minutes", "70 minutes", OutOfRange, map[int]int{1: 70}),
		args("minutes", "300 minutes", Malformed, map[int]int{1: 300}),
		args("minutes", "minutes with a temperature", Malformed, map[int]int{1: 10, 2: 200}),
		args("minutes", "no minutes", Unlike, map[int]int{}),
		args("minutes", "minutes without a map", Malformed, 10),
		badly("minutes", "minutes twice", Malformed, []byte{0xA2, 1, 10, 1, 10}),
		badly("minutes", "minutes in two octets", Unlike, []byte{0xA1, 1, 0x18, 10}),
		badly("minutes", "minutes as a float", Malformed, []byte{0xA1, 1, 0xF9, 0x49, 0}),
		badly("minutes", "minutes as null", Malformed, []byte{0xA1, 1, 0xF6}),
		badly("minutes", "no arguments", Malformed, nil),
		args("climate", "15.9 degrees", OutOfRange, map[int]int{1: 10, 2: 159}),
		args("climate", "29.6 degrees", OutOfRange, map[int]int{1: 10, 2: 296}),
		args("climate", "climate for 61 minutes", OutOfRange, map[int]int{1: 61}),
		args("horn", "horn without lights", OutOfRange, map[int]int{3: 3, 4: 10}),
		args("horn", "horn for 40 seconds", OutOfRange, map[int]int{3: 1, 4: 40}),
		args("horn", "horn without end", Unlike, map[int]int{3: 1}),
		args("level", "set level 4", OutOfRange, map[int]int{14: 4}),
	}
}
