package uds

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// A Group carries a payload to several control units at once, and their
// payloads back. It is like a [Conn] otherwise.
type Group interface {
	Send(ctx context.Context, payload []byte) error
	Receive(ctx context.Context, within time.Duration) (peer int, payload []byte, err error)
}

// A Reply is what one unit of a [Group] said.
type Reply struct {
	Peer   int
	Answer Answer
	Err    error
}

// AskAll sends r to everybody and returns what came, one reply a unit, in the
// order of their ends: silence is no error, for a unit that does not have what
// was asked for says nothing. err is of the connection or of ctx. A unit that
// is busy is not asked again.
func AskAll(ctx context.Context, g Group, l Limits, p *Pace, r Request) ([]Reply, error) {
	b := r.Encode()
	if _, err := DecodeRequest(b); err != nil || !sendable(b) || Service(b[0]) == SessionSID {
		return nil, fmt.Errorf("%w: service %02X to everybody", ErrForbidden, b[0])
	}
	if err := p.wait(ctx); err != nil {
		return nil, err
	}
	if err := g.Send(ctx, b); err != nil {
		return nil, err
	}
	var replies []Reply
	pending, done := map[int]int{}, map[int]bool{}
	deadline := time.Now().Add(l.Timing.P2 + l.Margin)
	end := deadline.Add(time.Duration(l.Pendings) * (l.Timing.P2Star + l.Margin))
	for {
		peer, got, err := g.Receive(ctx, time.Until(deadline))
		now := time.Now()
		n, refused := DecodeNegative(got)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil, now.After(end):
			return replies, nil
		case err != nil && peer < 0:
			return replies, err
		case done[peer]:
		case err != nil:
			replies, done[peer] = append(replies, Reply{Peer: peer, Err: err}), true
		case answers(b, got):
			replies, done[peer] = append(replies, Reply{Peer: peer, Answer: Answer{Payload: got}}), true
		case !refused || n.Service != Service(b[0]):
		case n.Code == Pending && pending[peer] < l.Pendings:
			pending[peer]++
			deadline = now.Add(l.Timing.P2Star + l.Margin)
		default:
			replies, done[peer] = append(replies, refusal(peer, n)), true
		}
	}
}

func refusal(peer int, n Negative) Reply {
	switch {
	case n.Code == Pending:
		return Reply{Peer: peer, Err: ErrPending}
	case n.Code.NotOffered():
		return Reply{Peer: peer, Answer: Answer{NotOffered: n.Code}}
	}
	return Reply{Peer: peer, Err: n}
}
