package modem

import (
	"context"
	"errors"
)

// Dial implements [Modem]. A port that goes before it was sent anything costs
// no attempt, nor does one that is deaf: the other one is tried.
func (t *telit) Dial(ctx context.Context, c Call) error {
	err := ErrLost
	for range t.ports {
		p := t.first()
		if p == nil || c.Armed.by == bySimulator && !p.simulator.Load() && !p.ready.Load() {
			break
		}
		err = t.dial(ctx, p, c)
		silent := errors.Is(err, ErrSilent)
		if silent && !t.deaf(ctx, p) || !silent && !errors.Is(err, ErrLost) {
			break
		}
	}
	return wrap("dial", err)
}

// deaf reports whether p, which did not answer to dialling, did not even hear
// it: another port answers, and lists no call. Then p is opened anew.
func (t *telit) deaf(ctx context.Context, p *port) bool {
	other := t.second()
	if other == nil || other == p {
		return false
	}
	lines, err := other.do(ctx, &request{cmd: "AT+CLCC", want: "+CLCC:", empty: true, urgent: true})
	if err != nil || calls(lines) != NoCall {
		return false
	}
	p.ready.Store(false)
	select {
	case p.kick <- struct{}{}:
	default:
	}
	return true
}

func (t *telit) dial(ctx context.Context, p *port, c Call) error {
	cmds, err := dialling(c, p.simulator.Load())
	if err != nil {
		return err
	}
	last := len(cmds) - 1
	for _, cmd := range cmds[:last] {
		if err := within(ctx, p, plainLimit, &request{cmd: cmd, urgent: true}); err != nil {
			return err
		}
	}
	t.mu.Lock()
	t.dials++
	t.heardOf++
	t.live = true
	t.mu.Unlock()
	err = within(ctx, p, dialLimit, &request{cmd: cmds[last], urgent: true, dials: true, limit: dialLimit})
	if err != nil && !errors.Is(err, ErrSilent) {
		t.mu.Lock()
		t.live = false
		t.mu.Unlock()
	}
	return err
}
