package modem

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// statusLimit bounds [Modem.Status] as a whole.
const statusLimit = 4 * time.Second

// Status implements [Modem].
func (t *telit) Status(ctx context.Context) (Status, error) {
	var s Status
	p := t.second()
	if p == nil {
		return s, wrap("status", ErrLost)
	}
	ctx, cancel := context.WithTimeout(ctx, statusLimit)
	defer cancel()
	var errs []error
	queries := []struct {
		cmd, want string
		take      func(lines []string, err error)
	}{
		{"AT+CPIN?", "+CPIN:", s.takeSIM},
		{"AT+CREG?", "+CREG:", func(lines []string, _ error) {
			for _, line := range lines {
				s.Net = registration(line)
			}
		}},
		{"AT+CSQ", "+CSQ:", func(lines []string, _ error) {
			for _, line := range lines {
				s.Signal = signal(line)
			}
		}},
	}
	for _, q := range queries {
		lines, err := p.do(ctx, &request{cmd: q.cmd, want: q.want})
		if err != nil && !errors.Is(err, ErrRefused) {
			errs = append(errs, fmt.Errorf("%s: %w", q.cmd, err))
			break
		}
		s.Answers = true
		q.take(lines, err)
	}
	if len(errs) == 0 {
		var err error
		s.Call, err = t.list(ctx, p)
		if s.CallsKnown = err == nil; err != nil && !errors.Is(err, ErrRefused) {
			errs = append(errs, fmt.Errorf("calls: %w", err))
		}
	}
	t.mu.Lock()
	t.register(s.Net)
	live := t.live
	t.mu.Unlock()
	if f := t.first(); f != p && f != nil && !live {
		_, _ = f.do(ctx, &request{cmd: "AT"}) // a port that hears nothing must not be found out by a call
	}
	return s, wrap("status", errors.Join(errs...))
}

func (s *Status) takeSIM(lines []string, err error) {
	if r, ok := errors.AsType[*refusal](err); ok && noSIM(r.text) {
		s.SIM = "absent"
	}
	for _, line := range lines {
		s.SIM = holder(line)
	}
}

// A setting is one command of [Modem.Prepare]; if ask is there, it is sent only
// where the answer differs from is.
type setting struct {
	cmd, ask, want, is string
	limit              time.Duration
}

// settings of the family. A search for a network (+COPS) and what needs a restart
// (#PORTCFG) are made only where needed. The timers are T6, T3, T5, T7 in ms and
// the hang-up after at least 60 min; then 12 h registered after a call.
var settings = []setting{
	{cmd: "AT#PORTCFG=0", ask: "AT#PORTCFG?", want: "#PORTCFG:", is: "0"},
	{cmd: "AT#CALLDISA=0,0"},
	{cmd: "AT+CALM=0"},
	{cmd: "AT#SIMDET=1"},
	{cmd: "AT#ECALLTMR=5000,2000,5000,20000,60", ask: "AT#ECALLTMR?", want: "#ECALLTMR:", is: "5000,2000,5000,20000,60"},
	{cmd: "AT#ECALLNWTMR=720,720", ask: "AT#ECALLNWTMR?", want: "#ECALLNWTMR:", is: "720,720"},
	{cmd: "AT+COPS=0", ask: "AT+COPS?", want: "+COPS:", is: "0", limit: searchLimit},
}

// prepareLimit bounds [Modem.Prepare] as a whole.
const prepareLimit = 60 * time.Second

// Prepare implements [Modem].
func (t *telit) Prepare(ctx context.Context) error {
	p := t.first()
	if p == nil {
		return wrap("prepare", ErrLost)
	}
	ctx, cancel := context.WithTimeout(ctx, prepareLimit)
	defer cancel()
	_, _ = t.list(ctx, p) // one may have been placed before this program started
	var errs []error
	for _, s := range settings {
		t.mu.Lock()
		live := t.live
		t.mu.Unlock()
		if live {
			return wrap("prepare", errors.Join(append(errs, ErrCall)...))
		}
		if err := s.apply(ctx, p); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.cmd, err))
		}
		if ctx.Err() != nil || !p.there.Load() {
			break
		}
	}
	return wrap("prepare", errors.Join(errs...))
}

// errNotKept: the modem took a setting and has another.
var errNotKept = errors.New("modem did not keep the setting")

func (s *setting) apply(ctx context.Context, p *port) error {
	kept, known, err := s.kept(ctx, p)
	if err != nil || kept {
		return err
	}
	if _, err := p.do(ctx, &request{cmd: s.cmd, limit: s.limit}); err != nil || !known {
		return err
	}
	kept, _, err = s.kept(ctx, p)
	if err == nil && !kept {
		err = errNotKept
	}
	return err
}

// kept asks whether the modem has the setting. Not every firmware can be asked
// everything: then it is not known.
func (s *setting) kept(ctx context.Context, p *port) (kept, known bool, err error) {
	if s.ask == "" {
		return false, false, nil
	}
	lines, err := p.do(ctx, &request{cmd: s.ask, want: s.want})
	if errors.Is(err, ErrRefused) {
		return false, false, nil
	}
	for _, line := range lines {
		is := strings.ReplaceAll(after(line), " ", "")
		kept = is == s.is || strings.HasPrefix(is, s.is+",")
		known = true
	}
	return kept, known, err
}
