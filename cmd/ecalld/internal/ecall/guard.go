package ecall

import (
	"time"

	"github.com/headunit-agent/headunit/canbus/e2e"
)

// A verdict is what the protection of a message says of one frame.
type verdict int

const (
	good verdict = iota
	anew         // whole, with nothing to be in order with
	old          // seen before
	bad
)

// away is after how long a counter means nothing any more. It is far above the
// cycle of any message that is worth watching.
const away = 5 * time.Second

// A guard checks one message. Without protection everything is good.
type guard struct {
	on    bool
	how   e2e.Config
	state e2e.State
	last  time.Time
}

func newGuard(w Watch) guard {
	switch {
	case w.E2E == nil:
		return guard{}
	case w.E2E.Constants != nil:
		return guard{on: true, how: e2e.Config{Constants: *w.E2E.Constants, Length: w.E2E.Length}}
	}
	how, ok := e2e.VW(w.ID, w.Len)
	if !ok {
		how = e2e.Config{Plain: true}
	}
	if w.E2E.Length > 0 {
		how.Length = w.E2E.Length
	}
	return guard{on: true, how: how}
}

func (g *guard) check(data []byte, at time.Time) verdict {
	if !g.on {
		return good
	}
	if at.Sub(g.last) > away {
		g.state = e2e.State{}
	}
	switch g.how.Check(&g.state, data) {
	case e2e.OK, e2e.Jumped:
		g.last = at
		return good
	case e2e.First:
		g.last = at
		return anew
	case e2e.Repeated:
		return old
	}
	return bad
}
