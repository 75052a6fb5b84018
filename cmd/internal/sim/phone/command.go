package phone

import (
	"context"
	"fmt"
	"time"

	"github.com/headunit-agent/headunit/agent/wire"
)

// A Pending is what a phone keeps of a command until its answer: enough to know
// the answer when it comes.
type Pending struct {
	ID        wire.ID
	Epoch     wire.Epoch
	Seq       uint32
	Hash      wire.Hash // of the payload that was signed
	Operation string
}

// Minutes returns the arguments of operations that run for a while.
func Minutes(minutes uint8) ([]byte, error) { return wire.Minutes{Minutes: minutes}.Encode() }

// Level returns the arguments of privacy-set.
func Level(level uint8) ([]byte, error) { return wire.SetLevel{Level: level}.Encode() }

// Do asks for an operation and waits for what came of it, which may be a refusal.
// An error that is no [*Unconfirmed] means that nothing was sent.
func (p *Phone) Do(ctx context.Context, operation string, arguments []byte) (wire.Result, error) {
	if p.current() == nil {
		if _, err := p.Ask(ctx); err != nil {
			return wire.Result{}, err
		}
	}
	envelope, pending, err := p.Make(operation, arguments)
	if err != nil {
		return wire.Result{}, err
	}
	return p.Send(ctx, envelope, pending)
}

func (p *Phone) current() *wire.Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.session
}

// Make makes a command without sending it: the sealed envelope, and what to wait
// for. It uses up a sequence number. [Phone.Ask] comes first.
func (p *Phone) Make(operation string, arguments []byte) ([]byte, Pending, error) {
	op, ok := wire.OperationNamed(operation)
	if !ok {
		return nil, Pending{}, fmt.Errorf("%w: %q", ErrOperation, operation)
	}
	c, s, pin, err := p.next(op)
	if err != nil {
		return nil, Pending{}, err
	}
	c.Arguments = arguments
	if p.Grant != nil {
		if c.Grant, err = p.Grant(s); err != nil {
			return nil, Pending{}, err
		}
	}
	if op.PIN != wire.No && pin != "" {
		if c.Proof, err = wire.SealPIN(p.seal, c, pin); err != nil {
			return nil, Pending{}, err
		}
	}
	payload, err := c.Encode()
	if err != nil {
		return nil, Pending{}, err
	}
	envelope, err := p.envelope(wire.KindCommand, payload)
	return envelope, Pending{c.ID, c.Epoch, c.Seq, wire.HashOf(payload), operation}, err
}

// next starts a command with the next number and an expiry. The car's clock is
// taken to be where the session left it, plus what passed since it arrived: at
// most the way there behind the truth, so that the distance from the car's now to
// the expiry is never longer than was meant.
func (p *Phone) next(op wire.Operation) (wire.Command, wire.Session, string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.session == nil {
		return wire.Command{}, wire.Session{}, "", ErrNoSession
	}
	s := *p.session
	life := op.TTL
	if p.Life != 0 {
		life = p.Life
	}
	p.seq++
	c := wire.Command{
		Car: p.car.Name, Epoch: s.Epoch, Users: s.Users, Seq: p.seq,
		Expires: s.Now + uint32(p.Now().Sub(p.learnt)/time.Second) + life,
		ID:      wire.NewID(), Operation: uint64(op.Number), Challenge: s.Challenge,
	}
	p.session.Challenge = wire.ID{} // good for one command
	return c, s, p.pin, nil
}

// Send sends what [Phone.Make] made, or what a test made of it, and waits for the
// final result.
func (p *Phone) Send(ctx context.Context, envelope []byte, w Pending) (wire.Result, error) {
	from, stop := p.via.Listen(p.car.Name)
	defer stop()
	if err := p.via.Send(ctx, p.car.Name, wire.DownCommand, w.ID, envelope); err != nil {
		return wire.Result{}, fmt.Errorf("phone: not sent: %w", err)
	}
	told := false
	for {
		select {
		case <-ctx.Done():
			return wire.Result{}, &Unconfirmed{w.ID, ctx.Err()}
		case b, ok := <-from:
			if !ok {
				return wire.Result{}, &Unconfirmed{w.ID, ErrNoSession}
			}
			r, ok := p.Judge(b, w)
			switch {
			case !ok:
			case r.State.Final():
				return r, nil
			case !told && p.Progress != nil:
				told = true
				p.Progress(r)
			}
		}
	}
}

// Judge returns the result in an envelope if it is the answer to this command: the
// pinned key signed it, and it names this phone, this number, and the hash of the
// octets that this phone signed.
func (p *Phone) Judge(envelope []byte, w Pending) (wire.Result, bool) {
	payload, ok := p.from(envelope, wire.KindResult)
	if !ok {
		return wire.Result{}, false
	}
	r, err := wire.DecodeResult(payload)
	if err != nil {
		p.doubt()
		return wire.Result{}, false
	}
	if r.Key != p.sign.Kid() || r.ID != w.ID {
		return wire.Result{}, false // another phone's, or another command's
	}
	if r.Car != p.car.Name || r.Epoch != w.Epoch || r.Seq != w.Seq || r.Hash != w.Hash {
		p.doubt() // it names our command and is not about what we signed
		return wire.Result{}, false
	}
	switch r.Reason {
	case wire.CommandEpoch, wire.CommandUsersChanged, wire.CommandReplayed, wire.CommandExpired, wire.CommandTTL:
		p.forget() // what it knew of the car is not so any more
	}
	return r, true
}
