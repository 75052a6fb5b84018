package modem

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Errors of control lines.
var (
	ErrLine   = errors.New("unknown control line")
	errInCall = errors.New("a call is alive")
	errNoCall = errors.New("no call is in that state")
	errNoWay  = errors.New("the car is not registered")
	errNoMSD  = errors.New("no MSD has arrived in this call")
)

// A script is what the PSAP does with a call.
type script struct {
	answer   string // "", busy or never
	answerIn time.Duration
	start    bool
	llack    bool
	alack    string // positive, clear, or "" for none
}

// Do carries out one control line and returns what there is to say. Unknown
// lines fail with [ErrLine].
//
//	net registered|limited|none     sim in|out        power on|off
//	answer 1s|busy|never            start | nostart   llack | nollack
//	alack positive|clear|none       request           hangup [16]
//	drop | callback | msd | calls | commands | wait STATE [5s] | fault …
//
// start, llack and alack set what the PSAP does from now on, and also do it
// if a call is waiting for just that.
func (m *Modem) Do(ctx context.Context, line string) (string, error) {
	words := strings.Fields(line)
	if len(words) == 0 {
		return "", fmt.Errorf("%w: empty", ErrLine)
	}
	if words[0] == "wait" {
		return m.wait(ctx, words[1:])
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	arg := strings.Join(words[1:], " ")
	var text string
	var err error
	switch words[0] {
	case "net", "sim", "power":
		err = m.surroundings(words[0], arg)
	case "answer", "start", "nostart", "llack", "nollack", "alack":
		err = m.direct(words[0], arg)
	case "request", "hangup", "drop", "callback":
		err = m.act(words[0], arg)
	case "msd":
		text, err = m.lastMSD()
	case "calls":
		all := make([]Call, 0, len(m.calls))
		for _, c := range m.calls {
			all = append(all, c.report())
		}
		text, err = asJSON(all)
	case "commands":
		text, err = asJSON(m.commands)
	case "fault":
		err = m.fault(words[1:])
	default:
		err = ErrLine
	}
	if err != nil {
		return "", fmt.Errorf("%q: %w", line, err)
	}
	m.notify()
	return text, nil
}

func (m *Modem) surroundings(what, arg string) error {
	before := m.service()
	switch what + " " + arg {
	case "net registered", "net limited", "net none":
		m.net = arg
	case "sim in", "sim out":
		m.sim = arg == "in"
	case "power off":
		if m.call != nil {
			m.end(m.call, "Phone is offline", "")
		}
		m.off = true
	case "power on":
		if m.off {
			m.off = false
			m.reset()
		}
	default:
		return ErrLine
	}
	if m.call != nil && m.service() == "none" {
		m.end(m.call, "Implicitly detached", m.lost(m.call))
	}
	m.serviceChanged(before)
	return nil
}

// direct tells the PSAP what to do.
func (m *Modem) direct(what, arg string) error {
	c, s := m.call, &m.script
	in := func(state string) bool { return c != nil && c.State == state }
	switch what {
	case "answer":
		d, err := time.ParseDuration(arg)
		switch {
		case arg == "busy" || arg == "never":
			s.answer, s.answerIn = arg, 0
		case err == nil && d >= 0:
			s.answer, s.answerIn = "", d
		default:
			return ErrLine
		}
	case "start":
		if s.start = true; in(connected) {
			m.request(c)
		}
	case "nostart":
		s.start = false
	case "llack":
		if s.llack = true; in(start) && m.msd != nil {
			m.received(c, m.msd)
		}
	case "nollack":
		s.llack = false
	case "alack":
		if !slices.Contains([]string{"positive", "clear", "none"}, arg) {
			return ErrLine
		}
		if s.alack = arg; arg == "none" {
			s.alack = ""
		} else if in(llack) {
			m.acknowledge(c)
		}
	}
	return nil
}

// act is the PSAP or the network doing something to the call of now.
func (m *Modem) act(what, arg string) error {
	c := m.call
	if what == "callback" {
		return m.callback()
	}
	if c == nil {
		return errNoCall
	}
	switch what {
	case "request":
		if c.State != voice || !c.inBand() {
			return fmt.Errorf("%w: voice", errNoCall)
		}
		m.request(c)
	case "hangup":
		n := 16
		if arg != "" {
			var err error
			if n, err = strconv.Atoi(arg); err != nil {
				return ErrLine
			}
		}
		m.hangup(c, n)
	case "drop":
		m.end(c, "Interworking, unspecified", m.lost(c))
	}
	return nil
}

func (m *Modem) lastMSD() (string, error) {
	for _, v := range slices.Backward(m.calls) {
		if v.last != nil {
			return asJSON(v.last)
		}
		if v.MSDs > 0 {
			return "", fmt.Errorf("%w: %s", errNoMSD, strings.Join(v.Problems, "; "))
		}
	}
	return "", errNoMSD
}

// wait returns when the newest call has passed the state or event: dialing
// ringing incoming connected start msd llack alack voice sync t5 t6 t7 while
// it lives, ended when it is over, idle when there is none alive. Upper case
// is taken too.
func (m *Modem) wait(ctx context.Context, words []string) (string, error) {
	limit := 5 * time.Second
	if len(words) == 2 {
		d, err := time.ParseDuration(words[1])
		if err != nil || d < 0 {
			return "", fmt.Errorf("wait: %q is not a duration: %w", words[1], ErrLine)
		}
		limit = d
	}
	if len(words) == 0 || len(words) > 2 {
		return "", fmt.Errorf("wait STATE 5s: %w", ErrLine)
	}
	word := strings.ToLower(words[0])
	if !slices.Contains(strings.Fields("idle dialing ringing incoming connected start msd llack alack voice ended sync t5 t6 t7"), word) {
		return "", fmt.Errorf("wait: no state %q: %w", word, ErrLine)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		m.mu.Lock()
		is, changed := m.passed(word), m.changed
		now := m.nowIn()
		m.mu.Unlock()
		if is {
			return word, nil
		}
		select {
		case <-changed:
		case <-timer.C:
			return "", fmt.Errorf("wait %s: %s after %v", word, now, limit)
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func (m *Modem) passed(word string) bool {
	if word == "idle" {
		return m.call == nil
	}
	if len(m.calls) == 0 {
		return false
	}
	c := m.calls[len(m.calls)-1]
	if word == ended || c.State == ended {
		return c.State == word
	}
	return slices.Contains(c.Passed, word)
}

func (m *Modem) nowIn() string {
	if m.call == nil {
		return "idle"
	}
	return m.call.State
}

func asJSON(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
