// Package modem is a cellular modem that exists only in memory, with an
// emergency answering point (PSAP) behind it that reads every set of data with
// a decoder of its own.
//
// It speaks the AT dialect of a Telit LE910 on up to two ports that share one
// state, answers AT+CGMI with HEADUNIT-SIMULATOR, and can say no: it refuses
// what a real modem refuses, and [Modem.Do] makes it misbehave on demand.
// Nothing real can be reached through it.
package modem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Manufacturer is the answer to AT+CGMI, by which a driver knows that nothing
// real stands behind the port.
const Manufacturer = "HEADUNIT-SIMULATOR"

// Ports is how many AT ports a modem has.
const Ports = 2

// Errors of [New] and [Modem.Serve].
var (
	ErrDialect = errors.New("unknown modem dialect")
	ErrPorts   = errors.New("all AT ports are taken")
)

// Options are the dialect and the delays of a [Modem]. A zero delay takes the
// default given beside it; [Fast] is a set for tests in real time.
type Options struct {
	Dialect string // "telit", also if empty

	Dialing   time.Duration // +CECALL to DIALING, 50 ms
	Ringing   time.Duration // DIALING to RINGING, 500 ms
	Answer    time.Duration // RINGING to CONNECTED, 950 ms
	Start     time.Duration // CONNECTED to START, 800 ms
	Transfer  time.Duration // START to LL-ACK, 1.2 s
	ALAck     time.Duration // LL-ACK to AL-ACK, 500 ms
	Voice     time.Duration // the PSAP clears after this much voice, 20 s
	Clear     time.Duration // the PSAP clears this long after AL-ACK clear-down, 5 s
	NoCarrier time.Duration // a call without network ends, 1 s
	GiveUp    time.Duration // the network ends a call nobody answers, 2 min
	Ring      time.Duration // between two RINGs of a call-back, 5 s
	Rings     int           // RINGs until a caller gives up, 12
	Boot      time.Duration // silence after a reset, 5 s
	T5        time.Duration // CONNECTED without START, 5 s
	T6        time.Duration // LL-ACK without AL-ACK, 5 s
	T7        time.Duration // START without LL-ACK, 20 s
	Glue      time.Duration // how long a glued event waits for company, 50 ms
}

// Fast returns delays with which a whole call takes less than half a second,
// voice not included. T5, T6 and T7 stay long against the delays they watch.
func Fast() Options {
	const ms = time.Millisecond
	return Options{
		Dialing: 2 * ms, Ringing: 10 * ms, Answer: 20 * ms, Start: 20 * ms, Transfer: 30 * ms, ALAck: 10 * ms,
		Voice: 2 * time.Second, Clear: 100 * ms, NoCarrier: 50 * ms, GiveUp: 5 * time.Second,
		Ring: 100 * ms, Boot: 200 * ms, T5: 300 * ms, T6: 300 * ms, T7: 500 * ms, Glue: 20 * ms,
	}
}

func (o Options) withDefaults() Options {
	const ms = time.Millisecond
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.Dialing, 50 * ms},
		{&o.Ringing, 500 * ms},
		{&o.Answer, 950 * ms},
		{&o.Start, 800 * ms},
		{&o.Transfer, 1200 * ms},
		{&o.ALAck, 500 * ms},
		{&o.Voice, 20 * time.Second},
		{&o.Clear, 5 * time.Second},
		{&o.NoCarrier, time.Second},
		{&o.GiveUp, 2 * time.Minute},
		{&o.Ring, 5 * time.Second},
		{&o.Boot, 5 * time.Second},
		{&o.T5, 5 * time.Second},
		{&o.T6, 5 * time.Second},
		{&o.T7, 20 * time.Second},
		{&o.Glue, 50 * ms},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if o.Rings == 0 {
		o.Rings = 12
	}
	return o
}

// A Modem is one simulated modem with its SIM, its network and the PSAP at the
// other end. Make it with [New].
type Modem struct {
	mu      sync.Mutex
	opts    Options
	ports   [Ports]*port // nil where nobody serves
	changed chan struct{}

	values   map[string]string // settings of the whole modem
	msd      []byte            // what AT#MSDSEND left, nil if nothing
	push     bool              // AT#MSDPUSH: the next call begins with the car
	cause    string            // text of AT+CEER
	net      string            // registered, limited or none
	sim      bool              // a SIM is in the holder
	detached bool              // AT+COPS=2
	deaf     time.Time         // resetting until then
	off      bool              // no supply
	nasUntil time.Time         // the 12 h timer after an eCall in eCall-only mode

	script script // what the PSAP does
	faults faults

	call     *call // the live one, nil if none
	calls    []*call
	commands []Command
}

// A Command is one AT command line as it arrived.
type Command struct {
	At   time.Time `json:"at"` // when its carriage return was read
	Port int       `json:"port"`
	Line string    `json:"line"`
}

const (
	keptCommands = 4096
	keptCalls    = 1024
)

// New makes a modem that is registered, has a SIM, and whose PSAP answers.
// It fails only for a dialect it does not speak, with [ErrDialect].
func New(opts Options) (*Modem, error) {
	if opts.Dialect != "" && opts.Dialect != "telit" {
		return nil, fmt.Errorf("%w: %q, only telit is built", ErrDialect, opts.Dialect)
	}
	m := &Modem{
		opts:    opts.withDefaults(),
		changed: make(chan struct{}),
		net:     "registered",
		sim:     true,
		cause:   causes[16],
	}
	m.script = script{start: true, llack: true, alack: "positive"}
	m.forget()
	return m, nil
}

// Serve answers on the first free AT port until ctx ends or the port fails,
// and closes the port. A port that went away may be served again.
func (m *Modem) Serve(ctx context.Context, rw io.ReadWriteCloser) error {
	return m.serve(ctx, -1, rw)
}

// ServePort is [Modem.Serve] for the AT port of that number, 0 or 1.
func (m *Modem) ServePort(ctx context.Context, number int, rw io.ReadWriteCloser) error {
	if number < 0 || number >= Ports {
		return fmt.Errorf("%w: no port %d", ErrPorts, number)
	}
	return m.serve(ctx, number, rw)
}

func (m *Modem) serve(ctx context.Context, number int, rw io.ReadWriteCloser) error {
	p, err := m.attach(number, rw)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { // ends the reader: it can only be woken by closing
		<-ctx.Done()
		_ = rw.Close()
	})
	done.Go(func() {
		p.write(ctx)
		cancel()
	})
	err = p.read(ctx)
	stopped := ctx.Err() != nil
	cancel()
	done.Wait()
	m.detach(p)
	if stopped {
		return nil //nolint:nilerr // that ctx has ended is no error
	}
	return err
}

func (m *Modem) attach(number int, rw io.ReadWriteCloser) (*port, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.ports {
		if m.ports[i] == nil && (number < 0 || number == i) {
			m.ports[i] = newPort(m, i, rw)
			return m.ports[i], nil
		}
	}
	return nil, ErrPorts
}

func (m *Modem) detach(p *port) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ports[p.number] = nil
}

// Commands returns the newest command lines, oldest first, 4096 at most.
func (m *Modem) Commands() []Command {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Command(nil), m.commands...)
}

// Calls returns what became of the newest calls, oldest first, 1024 at most.
func (m *Modem) Calls() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Call, 0, len(m.calls))
	for _, c := range m.calls {
		all = append(all, c.report())
	}
	return all
}

// forget puts every setting to what it is after power-on.
func (m *Modem) forget() {
	m.values = make(map[string]string)
	m.msd, m.push, m.detached = nil, false, false
	for _, p := range m.ports {
		if p != nil {
			p.forget()
		}
	}
}

// reset is AT+CFUN=1,1 and the supply coming back: a live call is lost, and
// nothing is heard for a while.
func (m *Modem) reset() {
	if m.call != nil {
		m.end(m.call, "Phone is offline", "")
	}
	m.forget()
	m.deaf = time.Now().Add(m.opts.Boot)
}

// awake reports whether the modem answers at all.
func (m *Modem) awake() bool { return !m.off && !time.Now().Before(m.deaf) }

// service is what the radio can do now: registered, limited (emergency calls
// only) or none.
func (m *Modem) service() string {
	switch {
	case m.off || m.net == "none":
		return "none"
	case m.detached || !m.hasSIM():
		return "limited"
	}
	return m.net
}

func (m *Modem) hasSIM() bool { return m.sim && m.value("#SIMDET") != "0" }

func (m *Modem) record(port int, line string) {
	if len(m.commands) == keptCommands {
		m.commands = append(m.commands[:0], m.commands[keptCommands/4:]...)
	}
	m.commands = append(m.commands, Command{time.Now(), port, line})
	m.notify()
}

// notify wakes everybody who waits for a change.
func (m *Modem) notify() {
	close(m.changed)
	m.changed = make(chan struct{})
}
