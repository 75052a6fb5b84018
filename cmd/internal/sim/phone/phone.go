// Package phone is the reference phone: it signs commands with its own key,
// seals them to the car that it met, and believes what that car signed about the
// very octets that it sent, and nothing else.
//
// Whatever lies between it and the car is a [Transport], which can delay or lose
// and is not believed.
package phone

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/headunit-agent/headunit/agent/wire"
)

// A Transport carries sealed envelopes to cars and signed ones back. The
// reference backend is one.
type Transport interface {
	// Send carries an envelope to the car. The id is what the answer will bear.
	// An error means that it was not taken and goes nowhere.
	Send(ctx context.Context, car wire.Name, s wire.Suffix, id wire.ID, envelope []byte) error
	// Listen returns what the car says from now on. Stop ends it.
	Listen(car wire.Name) (envelopes <-chan []byte, stop func())
}

// What can become of a call. [Unconfirmed] is the third.
var (
	ErrOperation = errors.New("phone: no such operation")
	ErrNoSession = errors.New("phone: the car did not answer")
)

// An Unconfirmed command may have been carried out: it was sent, and no answer
// came that this phone believes. Look at the car's state before asking again.
type Unconfirmed struct {
	ID  wire.ID
	Err error
}

func (u *Unconfirmed) Error() string {
	return fmt.Sprintf("phone: command %s may have happened: %v", u.ID, u.Err)
}

func (u *Unconfirmed) Unwrap() error { return u.Err }

// A Met is what a phone learnt of a car when they met, in the car.
type Met struct {
	Name wire.Name
	Sign []byte // public half of what the car signs with
	Seal []byte // public half of what it opens with
}

// A Phone is one enrolled phone and the one car that it knows. Its methods may be
// called from several goroutines.
type Phone struct {
	// Progress, if set, hears of results that another one follows.
	Progress func(wire.Result)
	// Grant, if set, returns the backend's signed grant for the session.
	Grant func(wire.Session) ([]byte, error)
	// Life is how long a command lives, in seconds; 0 means as long as the
	// operation allows.
	Life uint32
	// Now is time.Now, but in tests.
	Now func() time.Time

	sign *wire.Key
	box  *wire.BoxKey
	car  Met
	seal wire.SealPublic
	kid  wire.Kid // of car.Sign
	via  Transport

	mu       sync.Mutex
	session  *wire.Session // nil: ask first
	learnt   time.Time     // when the session arrived
	seq      uint32        // highest that was used
	pin      string        // S-PIN, four digits; "": none is sent
	doubtful int           // envelopes that were not believed
}

// New makes a phone of its two keys, the car that it met, and a way to it.
func New(sign *wire.Key, box *wire.BoxKey, car Met, via Transport) (*Phone, error) {
	kid, err := wire.KidOf(car.Sign)
	if err != nil {
		return nil, err
	}
	seal, err := wire.ParseSealPublic(car.Seal)
	if err != nil {
		return nil, err
	}
	return &Phone{
		Now: time.Now, sign: sign, box: box, car: car, seal: seal, kid: kid, via: via,
	}, nil
}

// Kid returns the name of the phone's key, under which the car knows it.
func (p *Phone) Kid() wire.Kid { return p.sign.Kid() }

// Public returns the public halves of the phone's keys, which the car enrolls: the
// one that signs and the one that positions are sealed to.
func (p *Phone) Public() (sign, box []byte) { return p.sign.Public(), p.box.Public() }

// SetPIN sets the S-PIN that goes, sealed, with operations that need one.
func (p *Phone) SetPIN(digits string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pin = digits
}

// Doubtful returns how many envelopes were heard and not believed.
func (p *Phone) Doubtful() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doubtful
}

// Ask asks the car for a session: epoch, time, list version and sequence number.
func (p *Phone) Ask(ctx context.Context) (wire.Session, error) {
	nonce := wire.NewID()
	payload, err := wire.SessionAsk{Car: p.car.Name, Nonce: nonce}.Encode()
	if err != nil {
		return wire.Session{}, err
	}
	envelope, err := p.envelope(wire.KindSessionAsk, payload)
	if err != nil {
		return wire.Session{}, err
	}
	from, stop := p.via.Listen(p.car.Name)
	defer stop()
	if err := p.via.Send(ctx, p.car.Name, wire.DownSession, nonce, envelope); err != nil {
		return wire.Session{}, fmt.Errorf("%w: %w", ErrNoSession, err)
	}
	for {
		select {
		case <-ctx.Done():
			return wire.Session{}, fmt.Errorf("%w: %w", ErrNoSession, ctx.Err())
		case b, ok := <-from:
			if !ok {
				return wire.Session{}, ErrNoSession
			}
			if s, ok := p.sessionFrom(b); ok && s.Nonce == nonce {
				p.learn(s)
				return s, nil
			}
		}
	}
}

// envelope signs a payload and seals it to the car.
func (p *Phone) envelope(kind wire.Kind, payload []byte) ([]byte, error) {
	signed, err := wire.Sign(p.sign, kind, payload)
	if err != nil {
		return nil, err
	}
	return wire.Seal(p.seal, p.car.Name, signed)
}

// learn takes a session that was believed.
func (p *Phone) learn(s wire.Session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session, p.learnt, p.seq = &s, p.Now(), max(p.seq, s.Seq)
}

// forget makes the next command ask for a session first.
func (p *Phone) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.session = nil
}

// from returns the payload of an envelope if the pinned key signed it as a message
// of this kind. What is of another kind is no doubt, only not for us.
func (p *Phone) from(envelope []byte, kind wire.Kind) ([]byte, bool) {
	s, err := wire.ParseSigned(envelope)
	if err != nil {
		return nil, false // a delta, or garbage: who can tell
	}
	if k, ok := wire.KindOf(s.Payload()); !ok || k != kind {
		return nil, false
	}
	if s.Kid() != p.kid || s.Verify(p.car.Sign, kind) != nil {
		p.doubt()
		return nil, false
	}
	return s.Payload(), true
}

func (p *Phone) doubt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doubtful++
}

// sessionFrom reads a session that the car made for this phone.
func (p *Phone) sessionFrom(envelope []byte) (wire.Session, bool) {
	payload, ok := p.from(envelope, wire.KindSession)
	if !ok {
		return wire.Session{}, false
	}
	s, err := wire.DecodeSession(payload)
	if err != nil || s.Car != p.car.Name {
		p.doubt()
		return wire.Session{}, false
	}
	return s, s.Key == p.sign.Kid()
}
