// Package command takes what came from outside to the bus, and what came of it
// back: [Sealed] → [Verified] → [Authorized] → frames → a result. Each can be
// made only from the one before, and the zero value of each does nothing.
// Before a signature by an enrolled key was verified nothing is answered,
// written, or counted against anybody.
package command

import (
	"errors"
	"fmt"

	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/enroll/user"
)

// ErrSilent is what a miss before the signature looks like: for the log's debug
// level and the operator's counters, and for nobody outside.
var ErrSilent = errors.New("dropped in silence")

const (
	leastSealed = 64 // octets of anything down
)

// A Sealed is what arrived on a topic that can carry it, unread.
type Sealed struct {
	topic   wire.Suffix
	payload []byte
}

// Receive is step 1: the topic, its size, and that nobody kept the message back
// by retaining it.
func Receive(topic string, qos uint8, retained bool, payload []byte) (Sealed, error) {
	s := wire.Suffix(topic)
	switch {
	case s != wire.DownCommand && s != wire.DownSession:
		return Sealed{}, fmt.Errorf("%w: nothing is expected on %q", ErrSilent, topic)
	case retained:
		return Sealed{}, fmt.Errorf("%w: retained", ErrSilent)
	case qos > 1, len(payload) < leastSealed, len(payload) > s.Max():
		return Sealed{}, fmt.Errorf("%w: QoS %d, %d octets", ErrSilent, qos, len(payload))
	}
	return Sealed{s, payload}, nil
}

// Topic is where s came from.
func (s Sealed) Topic() wire.Suffix { return s.topic }

// A Verified is a command that a key of the user list signed.
type Verified struct {
	command wire.Command
	hash    wire.Hash
	user    user.User
	key     user.Key
}

// Kid is the key that signed; zero in the zero value.
func (v Verified) Kid() wire.Kid { return v.key.Kid }

// Command is what was signed.
func (v Verified) Command() wire.Command { return v.command }

// Hash is that of the signed payload.
func (v Verified) Hash() wire.Hash { return v.hash }

// A Door is what the car needs to verify: who it is, its key, who it knows.
type Door struct {
	Car    wire.Name
	Opener wire.Opener
	Users  user.List
}

// Verify is steps 2 to 6. Every error is ErrSilent.
func (d Door) Verify(s Sealed) (Verified, error) {
	signed, u, k, err := d.known(s, wire.DownCommand)
	if err != nil {
		return Verified{}, err
	}
	c, err := wire.DecodeCommand(signed.Payload())
	if err != nil {
		return Verified{}, silent(5, err)
	}
	if c.Car != d.Car {
		return Verified{}, silent(5, errors.New("for another car"))
	}
	if err := signed.Verify(k.Sign[:], wire.KindCommand); err != nil {
		return Verified{}, silent(6, err)
	}
	return Verified{c, wire.HashOf(signed.Payload()), u, k}, nil
}

// An Ask is a verified session-ask.
type Ask struct {
	Key   wire.Kid
	Nonce wire.ID
}

// VerifyAsk is the same way for a session-ask.
func (d Door) VerifyAsk(s Sealed) (Ask, error) {
	signed, _, k, err := d.known(s, wire.DownSession)
	if err != nil {
		return Ask{}, err
	}
	a, err := wire.DecodeSessionAsk(signed.Payload())
	if err != nil {
		return Ask{}, silent(5, err)
	}
	if a.Car != d.Car {
		return Ask{}, silent(5, errors.New("for another car"))
	}
	if err := signed.Verify(k.Sign[:], wire.KindSessionAsk); err != nil {
		return Ask{}, silent(6, err)
	}
	return Ask{k.Kid, a.Nonce}, nil
}

// known is steps 2 to 4: it opens, it is an envelope, its key is on the list.
func (d Door) known(s Sealed, topic wire.Suffix) (*wire.Signed, user.User, user.Key, error) {
	if s.topic != topic || d.Opener == nil {
		return nil, user.User{}, user.Key{}, silent(1, errors.New("nothing came on this topic"))
	}
	inside, err := wire.Open(d.Opener, d.Car, s.payload)
	if err != nil {
		return nil, user.User{}, user.Key{}, silent(2, err)
	}
	signed, err := wire.ParseSigned(inside)
	if err != nil {
		return nil, user.User{}, user.Key{}, silent(3, err)
	}
	u, k, ok := d.Users.Find(signed.Kid())
	if !ok {
		return nil, user.User{}, user.Key{}, silent(4, errors.New("a key that is not on the list"))
	}
	return signed, u, k, nil
}

func silent(step int, err error) error { return fmt.Errorf("%w at step %d: %w", ErrSilent, step, err) }
