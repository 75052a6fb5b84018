// Package backend is the reference backend: it carries what phones and cars say
// to each other, believes nothing of a car that the car did not sign, and can
// neither read nor make a command.
//
// It is what the demo, the tests and the guests in QEMU talk to, and shows how
// little a backend needs to know. Accounts and enrolment are not in it yet.
package backend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/cmd/internal/sim/mqtt"
)

// What a phone can be told.
var (
	ErrUnknownCar = errors.New("backend: no such car")
	ErrTooMany    = errors.New("backend: too much waits for this car")
	ErrNotAllowed = errors.New("backend: phones do not send this")
)

// Config of a backend. Cell, Time and a broker are needed.
type Config struct {
	Cell string
	Time wire.Signer // the key that answers hello
	// Broker is an address on loopback, Dial the same for who has no address.
	Broker string
	Dial   func(context.Context) (net.Conn, error)
	Now    func() time.Time // time.Now if nil
	Log    zerolog.Logger
}

const (
	keep        = 2 * time.Minute // longer than any command lives
	maxWaiting  = 32              // envelopes for one car
	maxBackoff  = 5 * time.Second
	publishTime = 10 * time.Second
	clientID    = "backend-"
)

// A Backend serves the cars of one cell.
type Backend struct {
	cfg Config

	mu     sync.Mutex
	cars   map[wire.Name]*car
	link   *mqtt.Client // nil while there is none
	heard  map[*listener]struct{}
	counts Counts
}

// Counts are what an operator would watch.
type Counts struct {
	Messages  int // taken and believed, deltas included
	Unknown   int // of cars that nobody registered, or on no topic of ours
	Forged    int // not signed by the car
	Malformed int // signed, or bare, and not of this protocol
	Stale     int // of another epoch or an older connection, or retained
	Repeated  int // seen before
	Unheard   int // a listener was too slow
}

// New makes a backend that knows no car.
func New(cfg Config) (*Backend, error) {
	if err := wire.CheckCell(cfg.Cell); err != nil {
		return nil, err
	}
	if cfg.Time == nil {
		return nil, errors.New("backend: no time key")
	}
	if cfg.Dial == nil && cfg.Broker == "" {
		return nil, errors.New("backend: no broker")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Backend{cfg: cfg, cars: map[wire.Name]*car{}, heard: map[*listener]struct{}{}}, nil
}

// AddCar registers a car by its name and the public halves of its two keys, or
// replaces them after a reset; what was known of a car of this name is forgotten.
func (b *Backend) AddCar(name wire.Name, sign, seal []byte) error {
	kid, err := wire.KidOf(sign)
	if err != nil {
		return err
	}
	to, err := wire.ParseSealPublic(seal)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cars[name] = &car{name: name, sign: sign, kid: kid, seal: to}
	return nil
}

// RemoveCar forgets a car. It says nothing to the car.
func (b *Backend) RemoveCar(name wire.Name) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.cars, name)
}

// Counts returns what was counted so far.
func (b *Backend) Counts() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts
}

// Car returns what is known of a car.
func (b *Backend) Car(name wire.Name) (Car, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.cars[name]
	if !ok {
		return Car{}, false
	}
	return c.shown(), true
}

// Connected reports whether the backend hears cars now. What a car says before,
// a clean broker has forgotten.
func (b *Backend) Connected() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.link != nil
}

// Run serves until ctx ends, connecting again whenever the broker goes away. It
// returns nil when ctx has ended.
func (b *Backend) Run(ctx context.Context) error {
	wait := 50 * time.Millisecond
	for {
		served, err := b.serve(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that ctx has ended is no error
		}
		if served {
			wait = 50 * time.Millisecond
		}
		b.cfg.Log.Warn().Err(err).Dur("wait", wait).Msg("no broker")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, maxBackoff)
	}
}

// serve holds one connection, and reports whether there was one.
func (b *Backend) serve(ctx context.Context) (bool, error) {
	link, err := b.connect(ctx)
	if err != nil {
		return false, err
	}
	defer b.setLink(nil)
	defer link.Close()
	if err := link.Subscribe(ctx, "hu/v1/"+b.cfg.Cell+"/+/up/#", 1); err != nil {
		return false, err
	}
	b.setLink(link)
	b.cfg.Log.Info().Str("cell", b.cfg.Cell).Msg("serving")
	b.resend(ctx) // what phones sent while there was no broker
	for {
		select {
		case <-ctx.Done():
			return true, ctx.Err()
		case m, ok := <-link.Messages():
			if !ok {
				return true, link.Err()
			}
			b.take(ctx, m)
		}
	}
}

func (b *Backend) connect(ctx context.Context) (*mqtt.Client, error) {
	o := mqtt.Options{ClientID: clientID + b.cfg.Cell, Durable: true}
	if b.cfg.Dial == nil {
		return mqtt.Dial(ctx, b.cfg.Broker, o)
	}
	conn, err := b.cfg.Dial(ctx)
	if err != nil {
		return nil, err
	}
	return mqtt.Connect(ctx, conn, o)
}

func (b *Backend) setLink(l *mqtt.Client) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.link = l
}

// Send takes a sealed envelope from a phone and carries it to the car: now, or
// after the car's next hello if it is away. Without looking inside it cannot know
// what it carries; id is what the answer will bear, so that it can stop trying:
// the id of a command, the nonce of a session-ask.
func (b *Backend) Send(ctx context.Context, name wire.Name, s wire.Suffix, id wire.ID, envelope []byte) error {
	if s != wire.DownCommand && s != wire.DownSession || len(envelope) > s.Max() {
		return ErrNotAllowed
	}
	b.mu.Lock()
	c, ok := b.cars[name]
	if !ok {
		b.mu.Unlock()
		return ErrUnknownCar
	}
	now := b.cfg.Now()
	kept := c.await(waiting{suffix: s, id: id, envelope: envelope, epoch: c.epoch(), until: now.Add(keep)}, now)
	there := c.online || c.hello == nil // never heard of it: trying costs nothing
	b.mu.Unlock()
	switch {
	case !kept:
		return ErrTooMany
	case !there:
		b.cfg.Log.Info().Stringer("car", name).Str("topic", string(s)).Msg("kept until the car is back")
		return nil
	}
	b.deliver(ctx, name)
	return nil
}

// publish sends a message down. What did not arrive waits for the next hello, so
// an error is a line in the log and no more.
func (b *Backend) publish(ctx context.Context, name wire.Name, s wire.Suffix, payload []byte) {
	b.mu.Lock()
	link := b.link
	b.mu.Unlock()
	if link == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, publishTime)
	defer cancel()
	if err := link.Publish(ctx, s.Of(b.cfg.Cell, name), 1, payload); err != nil {
		b.cfg.Log.Warn().Err(err).Stringer("car", name).Str("topic", string(s)).Msg("not published")
	}
}

// resend publishes all that still waits for cars that are there.
func (b *Backend) resend(ctx context.Context) {
	b.mu.Lock()
	var there []wire.Name
	for name, c := range b.cars {
		if c.online {
			there = append(there, name)
		}
	}
	b.mu.Unlock()
	for _, name := range there {
		b.deliver(ctx, name)
	}
}

// deliver publishes what waits for one car.
func (b *Backend) deliver(ctx context.Context, name wire.Name) {
	b.mu.Lock()
	var out []waiting
	if c := b.cars[name]; c != nil {
		out = c.wanted(b.link, b.cfg.Now())
	}
	b.mu.Unlock()
	for _, w := range out {
		b.publish(ctx, name, w.suffix, w.envelope)
	}
}

// greet answers a hello: time first, then what waited.
func (b *Backend) greet(ctx context.Context, h wire.Hello, to wire.SealPublic) error {
	payload, err := wire.Time{Car: h.Car, Nonce: h.Nonce, UTC: uint64(max(0, b.cfg.Now().Unix()))}.Encode()
	if err != nil {
		return err
	}
	envelope, err := wire.Sign(b.cfg.Time, wire.KindTime, payload)
	if err != nil {
		return err
	}
	sealed, err := wire.Seal(to, h.Car, envelope)
	if err != nil {
		return fmt.Errorf("backend: time for a car: %w", err)
	}
	b.publish(ctx, h.Car, wire.DownTime, sealed)
	b.deliver(ctx, h.Car)
	return nil
}
