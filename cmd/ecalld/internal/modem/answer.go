package modem

import (
	"fmt"
	"strconv"
	"strings"
)

// A final says how a command ended.
type final int

const (
	notFinal final = iota
	succeeded
	failed
)

// finalOf judges a token. The words that end a call are events, not finals.
func finalOf(line string) final {
	switch {
	case strings.EqualFold(line, "OK"):
		return succeeded
	case strings.EqualFold(line, "ERROR"), hasPrefix(line, "+CME ERROR:"), hasPrefix(line, "+CMS ERROR:"),
		strings.EqualFold(line, "COMMAND NOT SUPPORT"):
		return failed
	}
	return notFinal
}

// A refusal is [ErrRefused] with what the modem said, for the driver to read.
type refusal struct{ text string }

func (r *refusal) Error() string { return fmt.Sprintf("%v: %.40s", ErrRefused, r.text) }
func (r *refusal) Unwrap() error { return ErrRefused }

// complete reports whether a line whose end is missing is whole all the same:
// its last token is a final or an event.
func complete(line string) bool {
	for {
		n := segment(line)
		if n == len(line) {
			return finalOf(line) != notFinal && !strings.HasSuffix(line, ":") || understand(line).ok
		}
		line = strings.TrimSpace(line[n:])
	}
}

// A said is a token understood as an event.
type said struct {
	Event
	ok    bool // it is one
	ends  bool // it ends a call; the cause may be worth asking for
	ecall bool // it is of the in-band modem
}

// sign reports whether s shows that a call is being placed.
func (s said) sign() bool { return s.ok && s.Kind != Net && s.Kind != Incoming }

// understand reads what a modem of the reference family says of its own accord.
func understand(line string) said {
	is := func(k EventKind) said { return said{Event: Event{Kind: k}, ok: true} }
	end := func(c Cause) said { return said{Event: Event{Kind: Ended, Cause: c}, ok: true, ends: true} }
	switch strings.ToUpper(line) {
	case "DIALING":
		return is(Dialling)
	case "RINGING":
		return is(Ringing)
	case "CONNECTED":
		return is(Answered)
	case "RING":
		return is(Incoming)
	case "DISCONNECTED", "RELEASED", "NO CARRIER", "NO DIALTONE":
		return end(Unknown)
	case "BUSY":
		return end(Busy)
	case "NO ANSWER":
		return end(NoAnswer)
	}
	if hasPrefix(line, ecallEvent) {
		return ecall(numbers(line[len(ecallEvent):]))
	}
	if hasPrefix(line, "+CREG:") {
		if n := registration(line); n != "" {
			return said{Event: Event{Kind: Net, Net: n}, ok: true}
		}
	}
	return said{}
}

// ecall reads the numbers of #ECALLEV.
func ecall(n []int) said {
	kinds := map[int]EventKind{
		0: Start, 1: LLAck, 2: ALAck, 5: T5, 6: T6, 7: T7, 11: Codec, 12: Codec, 16: Sync,
	}
	if len(n) == 0 || kinds[n[0]] == "" {
		return said{}
	}
	e := Event{Kind: kinds[n[0]]}
	switch {
	case n[0] == 11:
		e.Detail = 1
	case e.Kind == ALAck && len(n) > 1:
		e.Detail = n[1]
	}
	return said{Event: e, ok: true, ecall: true}
}

// numbers reads what stands between commas; what is no number is -1.
func numbers(s string) (n []int) {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	for part := range strings.SplitSeq(s, ",") {
		v, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil {
			v = -1
		}
		n = append(n, v)
	}
	return n
}

// after is what follows the colon of an answer.
func after(line string) string {
	_, s, _ := strings.Cut(line, ":")
	return strings.TrimSpace(s)
}

// registration reads +CREG (27.007, 7.2), both the answer "n,stat" and the
// event "stat" with or without a quoted place behind it.
func registration(line string) NetState {
	fields := strings.Split(after(line), ",")
	stat := fields[0]
	if len(fields) > 1 && !strings.HasPrefix(strings.TrimSpace(fields[1]), `"`) {
		stat = fields[1]
	}
	switch strings.TrimSpace(stat) {
	case "1", "5":
		return Registered
	case "3", "6", "7", "8", "9", "10": // denied, SMS only, emergency only: 112 is let through
		return Limited
	case "0", "2", "4":
		return None
	}
	return ""
}

// signal turns +CSQ (27.007, 8.5) into dBm.
func signal(line string) int {
	n := numbers(after(line))
	if len(n) == 0 || n[0] < 0 || n[0] > 31 {
		return 0
	}
	return -113 + 2*n[0]
}

// holder reads +CPIN (27.007, 8.3).
func holder(line string) string {
	switch s := strings.ToUpper(after(line)); {
	case s == "READY":
		return "ready"
	case strings.Contains(s, "PIN"), strings.Contains(s, "PUK"):
		return "locked"
	}
	return ""
}

// noSIM reports whether an error to +CPIN means that there is none: code 10, or
// in words.
func noSIM(text string) bool {
	s := strings.ToLower(after(text))
	return s == "10" || strings.Contains(s, "not inserted")
}

// calls picks the most alive call out of the lines of +CLCC (27.007, 7.18).
func calls(lines []string) CallState {
	order := []CallState{Active, Placing, Alerting, Calling, Held}
	best := len(order)
	for _, line := range lines {
		n := numbers(after(line))
		// The fourth field is the mode: 0 voice. Data calls are none of ours.
		if len(n) < 4 || n[3] != 0 && n[3] != 9 {
			continue
		}
		switch n[2] {
		case 0:
			best = 0
		case 1:
			best = min(best, 4)
		case 2, 3:
			best = min(best, n[2]-1)
		case 4, 5:
			best = min(best, 3)
		}
	}
	if best == len(order) {
		return NoCall
	}
	return order[best]
}

// cause reads the text of +CEER. Either end may be missing, so the middles are
// compared: of normal call clearing; normal, unspecified; interworking,
// unspecified; invalid/incomplete number; MM no service; implicitly detached;
// phone is offline.
func cause(line string) Cause {
	s := strings.ToLower(line)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(s, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("al call clear", "al, unspeci"):
		return Normal
	case has("rworking", "lid/inc", "o servi", "citly det", "e is offl"):
		return Dropped
	case has("user busy"):
		return Busy
	case has("no answer", "user alerting"):
		return NoAnswer
	}
	for _, n := range numbers(after(line)) {
		switch n { // 24.008, 10.5.4.11
		case 16, 31:
			return Normal
		case 17:
			return Busy
		case 18, 19:
			return NoAnswer
		case 27, 34, 38, 41, 42, 44, 47, 102, 111, 127:
			return Dropped
		}
	}
	return Unknown
}
