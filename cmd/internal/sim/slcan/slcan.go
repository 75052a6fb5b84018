// Package slcan is a serial CAN adapter that exists only in memory: it speaks
// the LAWICEL text protocol on one side, with a codec of its own, and has a real
// [canbus.Memory] on the other.
//
// It comes in dialects that differ as real adapters do, refuses what they
// refuse, and [Adapter.Do] makes it misbehave on demand.
package slcan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// Errors of [New] and [Adapter.Serve].
var (
	ErrDialect   = errors.New("no such dialect of SLCAN adapters")
	ErrUnplugged = errors.New("the adapter was unplugged")
	ErrServed    = errors.New("somebody is at the adapter already")
)

// Options say what kind of adapter it is.
type Options struct {
	Dialect string // canusb (also if empty), canable, arduino or fd
	Bitrate int    // of the bus; at another one nothing is received or sent; 0: any
	FIFO    int    // frames that may wait for the host, 0: 64
}

// Traits are what tells dialects apart.
type traits struct {
	version string
	acks    bool          // CR and BEL
	z       bool          // z and Z after a frame, not CR alone
	listen  bool          // L; else M0 and M1
	stamps  bool          // Z0 and Z1
	status  bool          // F
	serial  string        // answer to N; "" for none
	fd      bool          // d D b B, Y
	rates   []int         // S0 and on
	boot    time.Duration // deaf after it was opened
}

var (
	lawicelRates = []int{10000, 20000, 50000, 100000, 125000, 250000, 500000, 800000, 1000000}
	canableRates = []int{10000, 20000, 50000, 100000, 125000, 250000, 500000, 750000, 1000000, 83300}
)

var dialects = map[string]traits{
	"canusb": {version: "V1013", acks: true, z: true, listen: true, stamps: true, status: true, serial: "NS1MU", rates: lawicelRates},
	// Its version is a hash, and begins like an FD frame.
	"canable": {version: "b158aa7 a simulated CANable", rates: canableRates},
	"arduino": {version: "V0202", acks: true, listen: true, rates: lawicelRates, boot: time.Second},
	"fd":      {version: "a simulated CANable 2", acks: true, fd: true, rates: canableRates},
}

// An Adapter is one simulated adapter. What it was told stays when the host goes
// away, an open channel too.
type Adapter struct {
	bus  *canbus.End
	fifo int
	rate int // of the bus
	traits

	mu       sync.Mutex
	served   *session // nil: nobody is there
	open     bool
	silent   bool // L or M1: it neither sends nor acknowledges
	bitrate  int  // chosen with S; 0: none
	data     int  // chosen with Y
	stamping bool
	begun    time.Time // of the clock of the stamps
	deaf     time.Time // starting until then
	flags    uint8     // what F will say
	faults   faults
	commands []string
}

// New makes an adapter at an end of a bus, with its channel closed. The end is
// the adapter's alone.
func New(o Options, bus *canbus.End) (*Adapter, error) {
	if o.Dialect == "" {
		o.Dialect = "canusb"
	}
	t, ok := dialects[o.Dialect]
	if !ok {
		return nil, fmt.Errorf("%w: %q; there are canusb, canable, arduino and fd", ErrDialect, o.Dialect)
	}
	if o.FIFO <= 0 {
		o.FIFO = 64
	}
	return &Adapter{bus: bus, fifo: o.FIFO, rate: o.Bitrate, traits: t, begun: time.Now()}, nil
}

// Serve is a host at the serial side, until ctx ends, which is no error, or the
// stream does. It closes the stream. To be opened resets an arduino.
func (a *Adapter) Serve(ctx context.Context, line io.ReadWriteCloser) error {
	s := &session{a: a, line: line, more: make(chan struct{}, 1), over: make(chan struct{})}
	a.mu.Lock()
	if a.served != nil {
		a.mu.Unlock()
		_ = line.Close()
		return ErrServed
	}
	a.served = s
	if a.boot > 0 {
		a.reset()
	}
	a.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { s.end(nil) })
	defer stop()
	inner, cancel := context.WithCancel(ctx)
	var jobs sync.WaitGroup
	jobs.Go(func() { s.listen(inner) })
	jobs.Go(s.write)
	s.read()
	cancel()
	jobs.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.served = nil
	return s.err
}

// reset is the supply coming back.
func (a *Adapter) reset() {
	a.open, a.silent, a.bitrate, a.data, a.flags = false, false, 0, 0, 0
	a.deaf = time.Now().Add(a.boot)
}

// Commands are the newest lines the host has sent, oldest first, 4096 at most.
func (a *Adapter) Commands() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.commands...)
}

const keptCommands = 4096

// A State is what the adapter is told to be.
type State struct {
	Open, Silent, Stamps bool
	Bitrate, Data        int
}

// State is how the adapter stands.
func (a *Adapter) State() State {
	a.mu.Lock()
	defer a.mu.Unlock()
	return State{a.open, a.silent, a.stamping, a.bitrate, a.data}
}

// A session is one host.
type session struct {
	a    *Adapter
	line io.ReadWriteCloser
	more chan struct{} // holds a token while out may hold something
	over chan struct{}
	once sync.Once
	err  error

	// guarded by a.mu
	out    []byte
	frames int // in out
}

func (s *session) end(err error) {
	s.once.Do(func() {
		s.err = err
		close(s.over)
		_ = s.line.Close()
	})
}

// read takes what the host sends until the stream ends.
func (s *session) read() {
	chunk, line := make([]byte, 1024), make([]byte, 0, maxCommand)
	for {
		n, err := s.line.Read(chunk)
		for _, c := range chunk[:n] {
			switch {
			case c == '\n':
			case c == '\r':
				s.a.heard(string(line))
				line = line[:0]
			case len(line) < maxCommand:
				line = append(line, c)
			}
		}
		if err != nil {
			s.end(err)
			return
		}
	}
}

// maxCommand is the longest line an adapter has room for.
const maxCommand = 150

// listen hands on what is on the bus.
func (s *session) listen(ctx context.Context) {
	batch := make([]canbus.Rx, 256)
	for {
		n, err := s.a.bus.Receive(ctx, batch)
		if err != nil {
			if ctx.Err() == nil {
				s.end(err)
			}
			return
		}
		s.a.mu.Lock()
		for i := range batch[:n] {
			s.a.saw(s, &batch[i])
		}
		s.a.mu.Unlock()
	}
}

// write sends what is queued, as much at a time as has come together.
func (s *session) write() {
	for {
		select {
		case <-s.more:
		case <-s.over:
			return
		}
		s.a.mu.Lock()
		out := s.out
		s.out, s.frames = nil, 0
		s.a.mu.Unlock()
		if len(out) == 0 {
			continue
		}
		if _, err := s.line.Write(out); err != nil {
			s.end(err)
			return
		}
	}
}

// maxOut bounds what waits for a host that does not read.
const maxOut = 1 << 16

func (s *session) send(text string) {
	if len(s.out)+len(text) > maxOut {
		return
	}
	s.out = append(s.out, text...)
	select {
	case s.more <- struct{}{}:
	default:
	}
}
