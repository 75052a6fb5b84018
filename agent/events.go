package agent

import (
	"context"

	"github.com/headunit-agent/headunit/agent/internal/hmi"
	"github.com/headunit-agent/headunit/agent/pipe"
	"github.com/headunit-agent/headunit/privacy"
)

// An event is all that can happen to the loop, beside a new state of the vehicle
// and time that passes.
type event interface{ event() }

type (
	pipeOpened  struct{} // uplinkd is there, and knows nothing yet
	pipeBroken  struct{}
	fromUplink  struct{ frame pipe.Up }
	callChanged struct {
		call    callStatus
		running bool
	}
	chosen struct { // by the driver
		choice privacy.Choice
		done   chan<- error
	}
	shown struct{ to chan<- hmi.Show }
)

func (pipeOpened) event()  {}
func (pipeBroken) event()  {}
func (fromUplink) event()  {}
func (callChanged) event() {}
func (chosen) event()      {}
func (shown) event()       {}

// api is the loop as the local API sees it.
type api struct {
	life        context.Context // of the agent: a request does not wait for a loop that has ended
	callRequest string
	events      chan<- event
}

// ask hands e to the loop and waits for its answer.
func ask[T any](ctx, life context.Context, events chan<- event, e event, answer <-chan T) (T, error) {
	var none T
	select {
	case events <- e:
	case <-ctx.Done():
		return none, ctx.Err()
	case <-life.Done():
		return none, life.Err()
	}
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return none, ctx.Err()
	case <-life.Done():
		return none, life.Err()
	}
}

func (a api) Show() hmi.Show {
	to := make(chan hmi.Show, 1)
	s, err := ask(a.life, a.life, a.events, shown{to}, to)
	if err != nil {
		s.Faults = []string{"system.stopping"}
	}
	return s
}

func (a api) Choose(ctx context.Context, c privacy.Choice) error {
	done := make(chan error, 1)
	refused, err := ask(ctx, a.life, a.events, chosen{c, done}, done)
	if err != nil {
		return err
	}
	return refused
}

func (a api) Call(ctx context.Context, request string) error {
	return askCall(ctx, a.callRequest, request)
}
