package modem

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// A port owns one AT port: it opens it, keeps it open, sends one command at a
// time and tells its listener what else is said. Everything below the channels
// belongs to the goroutine run.
type port struct {
	open   opener
	log    zerolog.Logger
	greet  func() []*request // what is sent whenever the device was opened
	listen func(*port, string)
	turned func() // ready changed
	reset  func() // the modem has started anew, and forgotten its settings

	ready     atomic.Bool // opened, and it answered to greet
	there     atomic.Bool // opened
	simulator atomic.Bool // identified as our simulator, on a pty

	urgent, ordinary chan *request
	kick             chan struct{} // reopen the device
	again            chan struct{} // greet anew
	opened           chan opening
	ended            chan struct{} // closed when run returns

	is       *session // nil: closed
	last     *session // the one before
	opening  bool     // an opener is at work; it cannot be interrupted
	kicked   bool     // the device being opened is to be opened again
	script   []*request
	flight   *request
	next     *request // urgent, waiting for flight to end
	split    splitter
	echoes   bool // echo cannot be switched off
	escaped  bool // a prompt nobody asked for was left, since the last command
	silent   int
	stale    int // answers given up that may still come
	staleEnd time.Time
	backoff  time.Duration
	retry    *time.Timer
	deadline *time.Timer
	quiet    *time.Timer
}

type opening struct {
	dev device
	err error
}

func newPort(open opener, log zerolog.Logger) *port {
	p := &port{
		open: open, log: log,
		urgent: make(chan *request), ordinary: make(chan *request),
		kick: make(chan struct{}, 1), again: make(chan struct{}, 1), opened: make(chan opening, 1), ended: make(chan struct{}),
		// A timer that is due when it is made crashes tests: golang/go#78156.
		retry: time.NewTimer(time.Hour), deadline: time.NewTimer(time.Hour), quiet: time.NewTimer(time.Hour),
	}
	for _, t := range []*time.Timer{p.retry, p.deadline, p.quiet} {
		t.Stop()
	}
	return p
}

// run is the port's only owner, until ctx ends.
func (p *port) run(ctx context.Context) {
	defer close(p.ended)
	defer func() {
		p.close(ErrClosed)
		p.last.wait() // whoever opens the device next is not to share it with us
	}()
	p.reopen()
	for ctx.Err() == nil {
		urgent, ordinary := p.urgent, p.ordinary
		if p.is != nil && p.next != nil {
			urgent = nil
		}
		if p.is != nil && (p.flight != nil || len(p.script) > 0) {
			ordinary = nil
		}
		var abandoned <-chan struct{}
		if p.flight != nil {
			abandoned = p.flight.ctx.Done()
		}
		select {
		case <-ctx.Done():
		case <-p.retry.C:
			p.reopen()
		case o := <-p.opened:
			p.start(o)
		case b, ok := <-p.input():
			p.receive(b, ok)
		case err := <-p.failures():
			p.lose(fmt.Errorf("write: %w", err))
		case <-p.kick:
			p.backoff = 0
			p.kicked = p.opening
			p.lose(ErrLost)
		case <-p.again:
			if p.is != nil {
				p.script = p.greet()
			}
		case r := <-urgent:
			p.accept(r)
		case r := <-ordinary:
			p.accept(r)
		case <-abandoned:
			p.finish(p.flight.ctx.Err())
		case <-p.deadline.C:
			p.expired()
		case <-p.quiet.C:
			p.hearPending()
		}
		p.proceed(ctx)
	}
}

// reopen opens the device beside the loop, for a device may keep its opener.
// Two readers would each get half of what the modem says, so the old one goes
// first, unless it is stuck.
func (p *port) reopen() {
	if p.is != nil || p.opening {
		return
	}
	p.opening = true
	last := p.last
	go func() {
		last.wait()
		dev, err := p.open()
		p.opened <- opening{dev, err}
	}()
}

func (p *port) start(o opening) {
	p.opening = false
	switch {
	case o.err != nil:
		p.later()
		p.log.Debug().Err(o.err).Dur("again", p.backoff).Msg("modem port does not open")
		return
	case p.kicked:
		p.kicked = false
		_ = o.dev.Close()
		p.later()
		return
	}
	p.is = newSession(o.dev)
	p.split, p.silent, p.stale, p.echoes = splitter{}, 0, 0, false
	p.there.Store(true)
	// Whoever had the port before may have died in the middle of an MSD: until
	// this, everything is data to the modem. To others it is noise, answered or not.
	p.write(escape)
	p.stale, p.staleEnd = 1, time.Now().Add(staleLimit)
	p.script = p.greet()
}

// later plans the next opening.
func (p *port) later() {
	p.backoff = min(max(2*p.backoff, retryLeast), retryMost)
	p.retry.Reset(p.backoff)
}

// lose gives the device up and plans to open it anew.
func (p *port) lose(why error) {
	if p.is == nil {
		if !p.opening {
			p.later()
		}
		return
	}
	p.log.Warn().AnErr("why", why).Msg("modem port lost")
	p.close(ErrLost)
	p.later()
}

func (p *port) close(err error) {
	if p.is != nil {
		p.is.close()
		p.last, p.is = p.is, nil
	}
	p.script = nil
	p.there.Store(false)
	p.quiet.Stop()
	if p.flight != nil { // it was sent, and nobody knows what came of it
		p.flight.done <- answer{p.flight.info, fmt.Errorf("%w: %w", ErrSilent, err)}
	}
	if p.next != nil {
		p.next.done <- answer{nil, err}
	}
	p.flight, p.next = nil, nil
	p.deadline.Stop()
	p.simulator.Store(false)
	if p.ready.Swap(false) {
		p.turned()
	}
}

// accept takes a request from a caller: only an urgent one while another is in
// flight.
func (p *port) accept(r *request) {
	switch {
	case p.is == nil:
		r.done <- answer{nil, ErrLost}
	case p.flight == nil:
		p.send(r)
	default:
		p.next = r
		p.cut()
	}
}

// cut leaves the command in flight the time an urgent one can wait.
func (p *port) cut() {
	if p.flight != nil && p.next != nil {
		p.deadline.Reset(min(p.flight.limit, yieldLimit))
	}
}

// proceed sends what waits, when nothing is in flight.
func (p *port) proceed(ctx context.Context) {
	if p.is == nil || p.flight != nil {
		return
	}
	switch {
	case p.next != nil:
		r := p.next
		p.next = nil
		p.send(r)
	case len(p.script) > 0:
		r := p.script[0]
		p.script = p.script[1:]
		r.ctx, r.done = ctx, make(chan answer, 1)
		p.send(r)
	}
}

func (p *port) send(r *request) {
	if err := r.ctx.Err(); err != nil {
		r.done <- answer{nil, err}
		return
	}
	p.flight, p.escaped = r, false
	p.deadline.Reset(r.limit)
	p.write(r.cmd + lineEnd)
}

// write hands s to the writer. One that has not taken what was before is stuck.
func (p *port) write(s string) {
	if p.is == nil {
		return
	}
	select {
	case p.is.out <- []byte(s):
	default:
		p.lose(fmt.Errorf("%w: it takes nothing", ErrSilent))
	}
}

// finish ends the command in flight. Whether it was answered is told by err:
// nil or a refusal.
func (p *port) finish(err error) {
	r := p.flight
	p.flight = nil
	p.deadline.Stop()
	r.done <- answer{r.info, err}
	_, refused := errors.AsType[*refusal](err)
	switch {
	case err != nil && !refused:
		p.stale++
		p.staleEnd = time.Now().Add(staleLimit)
		if r.octets != "" && !r.prompted {
			p.write(escape)
		}
	case r.want != "" && err == nil:
		p.stale = 0 // answers come in order
	}
	if r.then != nil && p.is != nil {
		r.then(r.info, err)
	}
}

// expired ends a command that was not answered in time. Information without OK
// is an answer.
func (p *port) expired() {
	r := p.flight
	switch {
	case r == nil:
		return
	case r.doubt != nil:
		p.finish(r.doubt)
		return
	case len(r.info) > 0:
		p.silent = 0
		p.finish(nil)
		return
	case r.prompted:
		p.silent = 0
	case p.next == nil && !r.dials:
		p.silent++
	}
	if p.silent >= silences {
		p.lose(ErrSilent)
	} else {
		p.finish(ErrSilent)
	}
}

// receive cuts what came into tokens. A closed channel is a lost device.
func (p *port) receive(b []byte, ok bool) {
	if !ok {
		p.lose(p.is.err)
		return
	}
	is := p.is
	p.split.feed(b, func(token string) {
		if p.is == is { // a token may have cost the device
			p.hear(token)
		}
	})
	if p.split.pending() != "" {
		p.quiet.Reset(quietLimit)
	} else {
		p.quiet.Stop()
	}
}

// hearPending takes a line whose end is missing, if it is whole.
func (p *port) hearPending() {
	line := p.split.pending()
	if r := p.flight; complete(line) || r != nil && r.answeredBy(line) {
		p.split.flush(p.hear)
	}
}

// hear takes one token: part of the answer to what is in flight, or an event.
func (p *port) hear(token string) {
	r, f := p.flight, finalOf(token)
	switch {
	case isAT(token):
		p.echoed(token)
	case token == prompt:
		p.prompt()
	case f != notFinal && (r == nil || p.foreign(r, f)):
		p.stale = max(p.stale-1, 0)
	case f != notFinal:
		p.silent = 0
		var err error
		if f == failed {
			err = &refusal{token}
		}
		p.finish(err)
	case r != nil && r.answeredBy(token):
		if len(r.info) < maxInfo {
			r.info = append(r.info, token)
		}
	default:
		p.listen(p, token)
		if r != nil && r.dials && understand(token).sign() {
			p.silent = 0
			p.finish(nil)
		}
	}
}

// echoed takes an echo. Echo is switched off first of all; where it is back, the
// modem has started anew without the port noticing.
func (p *port) echoed(token string) {
	r := p.flight
	if r == nil || !strings.EqualFold(token, r.cmd) || r.cmd == noEcho {
		return
	}
	if r.then != nil { // part of the greeting: this modem echoes always
		p.echoes = true
	} else if p.ready.Load() && !p.echoes {
		p.reset()
	}
}

// foreign reports whether a final is not taken for the answer to r, because it
// comes too early and a command was given up whose answer it may be.
func (p *port) foreign(r *request, f final) bool {
	if p.stale > 0 && time.Now().After(p.staleEnd) {
		p.stale = 0
	}
	early := r.octets != "" && !r.prompted
	switch {
	case early && f == succeeded: // whatever it is, the octets are not there yet
		return true
	case p.stale == 0:
		return false
	case r.dials && f == failed: // better to wait a moment than to dial twice
		r.doubt = &refusal{"late"}
		p.deadline.Reset(plainLimit)
		return true
	}
	return early || r.want != "" && !r.empty && len(r.info) == 0
}

func (p *port) prompt() {
	switch r := p.flight; {
	case r == nil: // it came too late; once, or nonsense would go to and fro
		if !p.escaped {
			p.escaped = true
			p.write(escape)
		}
	case r.octets != "" && !r.prompted:
		r.prompted = true
		p.write(r.octets + sendNow)
	}
}

func (p *port) input() <-chan []byte {
	if p.is == nil {
		return nil
	}
	return p.is.in
}

func (p *port) failures() <-chan error {
	if p.is == nil {
		return nil
	}
	return p.is.failed
}

// pty reports whether the device is a pseudo terminal; for the owner.
func (p *port) pty() bool { return p.is != nil && p.is.dev.pty }
