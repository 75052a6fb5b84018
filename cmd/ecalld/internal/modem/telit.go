package modem

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// The octets of an MSD in the modem, padded with zeros, and the limits of the
// commands that are not plain.
const (
	msdOctets   = 140
	msdLimit    = 2 * time.Second
	dialLimit   = 5 * time.Second
	shortLimit  = 2 * time.Second        // hang up, answer, reset
	answerLimit = 300 * time.Millisecond // most say nothing
	hangupLimit = time.Second            // for the end of a call to be told
	searchLimit = 30 * time.Second       // AT+COPS=0
	sameLimit   = time.Second            // the same event over the other port
	skewLimit   = 20 * time.Millisecond  // and if a call was placed in between
	lateLimit   = 50 * time.Millisecond
	againLimit  = 2 * time.Second // another word for the end of the same call
)

// simulatorName is what our simulator answers to AT+CGMI; on a pty only.
const simulatorName = "HEADUNIT-SIMULATOR"

// A telit drives the Telit LE910 family.
type telit struct {
	ports  []*port
	log    zerolog.Logger
	stop   context.CancelFunc
	ctx    context.Context
	run    sync.WaitGroup
	events chan Event

	mu        sync.Mutex // guards what follows, and sending to events
	closed    bool
	up        bool   // Ready was told, and not Lost since
	live      bool   // a call lives, as far as is known
	heardOf   uint64 // how often something was done or heard of a call
	endedAt   time.Time
	dials     int
	simulator bool // the last modem identified was the simulator
	net       NetState
	recent    map[Event]firstHeard // by an Event without time
	late      []late
	hung      chan struct{} // closed when the call that is being hung up ended
}

type firstHeard struct {
	over  *port
	at    time.Time
	dials int // calls placed before
}

// A late event came over the second port. It waits a moment for what the first
// has to say before it, such as that the call was answered.
type late struct {
	over *port
	said
}

// startTelit runs the driver until Close or the end of ctx.
func startTelit(ctx context.Context, lines []opener, log zerolog.Logger) *telit {
	t := &telit{log: log, events: make(chan Event, 256), recent: map[Event]firstHeard{}}
	t.ctx, t.stop = context.WithCancel(ctx)
	for i, open := range lines {
		p := newPort(open, log.With().Int("port", i).Logger())
		p.greet, p.listen, p.turned, p.reset = func() []*request { return t.greeting(p) }, t.hear, t.turned, t.restarted
		t.ports = append(t.ports, p)
	}
	for _, p := range t.ports {
		t.run.Go(func() { p.run(t.ctx) })
	}
	go func() {
		<-t.ctx.Done()
		_ = t.Close()
	}()
	return t
}

// Close ends every port and then the events.
func (t *telit) Close() error {
	t.stop()
	t.run.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		close(t.events)
	}
	return nil
}

func (t *telit) Events() <-chan Event { return t.events }

// greeting makes a port usable and its events heard; it says who is there. AT&D0
// keeps a call when a program dies and its port closes.
func (t *telit) greeting(p *port) []*request {
	plain := func([]string, error) {}
	script := []*request{
		{cmd: noEcho, then: plain},
		{cmd: "AT+CMEE=2", then: plain},
		{cmd: "AT&D0", then: plain},
		{cmd: "AT+CGMI", want: anyLine, then: func(info []string, err error) { t.identified(p, info, err) }},
		{cmd: "AT#ECALLURC=2", then: plain},
		{cmd: "AT#DIALMODE=2", then: plain},
		{cmd: "AT+CREG=1", then: plain},
		{cmd: "ATX1", then: plain},
		{cmd: "AT+CREG?", want: "+CREG:", then: func(info []string, _ error) {
			t.mu.Lock()
			defer t.mu.Unlock()
			for _, line := range info {
				t.register(registration(line))
			}
		}},
	}
	for _, r := range script {
		r.limit = plainLimit
	}
	return script
}

// identified takes the answer to AT+CGMI. Whoever answers is used: a wrong name
// is no reason not to call.
func (t *telit) identified(p *port, info []string, err error) {
	if err != nil && !errors.Is(err, ErrRefused) {
		p.script = p.greet()
		return
	}
	simulator := p.pty() && slices.ContainsFunc(info, func(s string) bool { return strings.EqualFold(s, simulatorName) })
	p.simulator.Store(simulator)
	p.ready.Store(true)
	p.backoff = 0
	if !simulator && !slices.ContainsFunc(info, func(s string) bool { return hasPrefix(s, "Telit") }) {
		t.log.Warn().Msg("modem is of another make than its driver")
	}
	t.mu.Lock()
	t.simulator = simulator
	t.mu.Unlock()
	t.turned()
}

// restarted greets every port anew. Lost and Ready tell that what lived in the
// modem is gone.
func (t *telit) restarted() {
	t.log.Warn().Msg("modem has restarted by itself")
	for _, p := range t.ports {
		p.ready.Store(false)
	}
	t.turned()
	for _, p := range t.ports {
		select {
		case p.again <- struct{}{}:
		default:
		}
	}
}

// turned tells Ready and Lost when the first port came or the last one went.
func (t *telit) turned() {
	up := slices.ContainsFunc(t.ports, func(p *port) bool { return p.ready.Load() })
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case up == t.up:
		return
	case up:
		t.tell(Event{Kind: Ready})
	default:
		t.net = ""
		t.tell(Event{Kind: Lost})
	}
	t.up = up
}

// tell hands e over. It never waits: the oldest event goes if nobody reads. The
// caller holds mu.
func (t *telit) tell(e Event) {
	if t.closed {
		return
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	for {
		select {
		case t.events <- e:
			return
		default:
		}
		select {
		case <-t.events:
			t.log.Warn().Msg("nobody reads the modem's events; the oldest is lost")
		default:
		}
	}
}

// hear takes what a port's modem said of its own accord, on the port's
// goroutine.
func (t *telit) hear(p *port, token string) {
	s := understand(token)
	if !s.ok {
		t.log.Debug().Int("octets", len(token)).Msg("modem said something else")
		return
	}
	first := t.first()
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.ecall && p != first {
		t.late = append(t.late, late{p, s})
		time.AfterFunc(lateLimit, t.hearLate)
		return
	}
	t.heard(p, s)
}

// hearLate takes the oldest event that waited.
func (t *telit) hearLate() {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.late[0]
	t.late = t.late[1:]
	t.heard(l.over, l.said)
}

// heard takes an event. The caller holds mu.
func (t *telit) heard(p *port, s said) {
	now := time.Now()
	// With two ports an event may come over both. Each port tells in order, so
	// only the first to tell is heard. That may be another one for the next call:
	// a port that is being opened misses some.
	limit, h := sameLimit, t.recent[s.Event]
	if h.dials != t.dials {
		limit = skewLimit
	}
	if h.over != nil && h.over != p && now.Sub(h.at) < limit {
		return
	}
	t.recent[s.Event] = firstHeard{p, now, t.dials}
	switch {
	case s.ends:
		t.end(p, s.Cause, now)
		return
	case s.Kind == Net:
		t.register(s.Net)
		return
	case s.sign() || s.Kind == Incoming:
		t.live = true
		t.heardOf++
	}
	t.tell(s.Event)
}

// register takes a state of registration. The caller holds mu.
func (t *telit) register(n NetState) {
	if n != "" && n != t.net {
		t.net = n
		t.tell(Event{Kind: Net, Net: n})
	}
}

// list asks p which calls live. An answer that something overtook, such as a call
// placed meanwhile, is not taken for what is known: the end of that call would
// pass for another word about the one before.
func (t *telit) list(ctx context.Context, p *port) (CallState, error) {
	t.mu.Lock()
	before := t.heardOf
	t.mu.Unlock()
	lines, err := p.do(ctx, &request{cmd: "AT+CLCC", want: "+CLCC:", empty: true})
	state := calls(lines)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && t.heardOf == before {
		t.live = state != NoCall
	}
	return state, err
}

// end takes one of the words that end a call; several may come for one end. The
// cause is asked for beside the port's goroutine. The caller holds mu.
func (t *telit) end(p *port, c Cause, now time.Time) {
	again := !t.live && now.Sub(t.endedAt) < againLimit
	t.live, t.endedAt = false, now
	t.heardOf++
	if t.hung != nil { // whoever hung up knows
		close(t.hung)
		t.hung = nil
		return
	}
	if again {
		return
	}
	dials := t.dials
	t.run.Go(func() {
		if c == Unknown {
			c = t.askCause(p)
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.dials == dials { // nobody wants to hear of the call before this one
			t.tell(Event{Kind: Ended, Cause: c, At: now})
		}
	})
}

func (t *telit) askCause(p *port) Cause {
	info, _ := p.do(t.ctx, &request{cmd: "AT+CEER", want: "+CEER:", urgent: true})
	for _, line := range info {
		if c := cause(line); c != Unknown {
			return c
		}
	}
	return Unknown
}

// first is the port that dials: the first that answers, else one that is open.
func (t *telit) first() *port { return t.pick(t.ports) }

// second is the port for everything that must not hold up a call: another than
// the first, if one answers.
func (t *telit) second() *port {
	first := t.first()
	for _, p := range slices.Backward(t.ports) {
		if p != first && p.ready.Load() {
			return p
		}
	}
	return first
}

func (t *telit) pick(ports []*port) *port {
	for _, p := range ports {
		if p.ready.Load() {
			return p
		}
	}
	for _, p := range ports {
		if p.there.Load() {
			return p
		}
	}
	return nil
}

// Caps implements [Modem]. Simulator stays while the modem is away.
func (t *telit) Caps() Caps {
	n := 0
	for _, p := range t.ports {
		if p.ready.Load() {
			n++
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return Caps{
		MSD: true, LateMSD: n > 1, Category: true, Progress: true, Callback: true, EcallOnly: true, Simulator: t.simulator,
	}
}

// LoadMSD implements [Modem].
func (t *telit) LoadMSD(ctx context.Context, msd []byte) error {
	if len(msd) > msdOctets {
		return fmt.Errorf("%w: MSD of %d octets", ErrUnsupported, len(msd))
	}
	p := t.second()
	if p == nil {
		return ErrLost
	}
	octets := make([]byte, msdOctets)
	copy(octets, msd)
	return wrap("load MSD", within(ctx, p, msdLimit, &request{
		cmd: "AT#MSDSEND", octets: strings.ToUpper(hex.EncodeToString(octets)), limit: msdLimit,
	}))
}

// within sends r and returns within limit, all waiting included. A limit that
// passed is silence, whosever it was.
func within(ctx context.Context, p *port, limit time.Duration, r *request) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := p.do(ctx, r)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: %w", ErrSilent, err)
	}
	return err
}

// Hangup implements [Modem]. It waits a moment for the end of the call to be
// told, so that it is not taken for the end of a call placed next.
func (t *telit) Hangup(ctx context.Context) error {
	p := t.first()
	if p == nil {
		return wrap("hang up", ErrLost)
	}
	t.mu.Lock()
	ended := t.hung
	if t.live && ended == nil {
		ended = make(chan struct{})
		t.hung = ended
	}
	t.mu.Unlock()
	start := time.Now()
	if err := within(ctx, p, shortLimit, &request{cmd: "ATH", urgent: true}); err != nil || ended == nil {
		return wrap("hang up", err)
	}
	wait := time.NewTimer(hangupLimit - time.Since(start))
	defer wait.Stop()
	select {
	case <-ended:
	case <-wait.C:
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hung == ended {
		t.hung = nil
	}
	return nil
}

// Answer implements [Modem]. This family may say nothing to ATA, so the list of
// calls is asked, and Answered told if it shows the call.
func (t *telit) Answer(ctx context.Context) error {
	p := t.first()
	if p == nil {
		return wrap("answer", ErrLost)
	}
	ctx, cancel := context.WithTimeout(ctx, shortLimit)
	defer cancel()
	err := within(ctx, p, shortLimit, &request{cmd: "ATA", urgent: true, dials: true, limit: answerLimit})
	if !errors.Is(err, ErrSilent) || errors.Is(err, ErrLost) {
		return wrap("answer", err)
	}
	lines, err := p.do(ctx, &request{cmd: "AT+CLCC", want: "+CLCC:", empty: true, urgent: true})
	if err == nil && calls(lines) == Active {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.tell(Event{Kind: Answered})
		return nil
	}
	return wrap("answer", errors.Join(ErrSilent, err))
}

// Reset implements [Modem].
func (t *telit) Reset(ctx context.Context, depth Depth) error {
	var err error
	switch depth {
	case ResetPort:
	case ResetFunctionality:
		if p := t.first(); p != nil {
			err = within(ctx, p, shortLimit, &request{cmd: "AT+CFUN=1,1", urgent: true})
		}
	default:
		return fmt.Errorf("%w: reset of %q", ErrUnsupported, depth)
	}
	for _, p := range t.ports {
		select {
		case p.kick <- struct{}{}:
		default:
		}
	}
	return wrap("reset", err)
}

// wrap says what was being done.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
