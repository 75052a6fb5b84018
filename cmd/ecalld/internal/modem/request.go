package modem

import (
	"context"
	"time"
)

// The time limits of a port.
const (
	plainLimit = time.Second            // an ordinary command
	queueLimit = time.Second            // waiting for another command to end
	yieldLimit = 200 * time.Millisecond // what a command has left when an urgent one waits
	quietLimit = 100 * time.Millisecond // a whole line without its end, and nothing more
	staleLimit = 2 * time.Second        // how late an answer given up may come
	retryLeast = 100 * time.Millisecond // reopening backs off from here
	retryMost  = time.Second            // to here: a call may be waiting
	goneLimit  = time.Second            // for the last reader of a device to leave
	silences   = 2                      // commands in a row without any answer: reopen
	noEcho     = "ATE0"
	escape     = "\x1b\r" // leaves a prompt; where there is none, a line of noise
	lineEnd    = "\r"
	sendNow    = "\x1a" // ends the octets after a prompt
	maxInfo    = 32     // lines of one answer; more are dropped
	anyLine    = "*"    // of request.want: the answer has no prefix
)

// A request is one command on its way through a port.
type request struct {
	ctx    context.Context
	cmd    string
	want   string // prefix of the lines of its answer; "" if it has none
	empty  bool   // OK alone is an answer too
	octets string // sent after a prompt; "" if there is none
	limit  time.Duration
	urgent bool                           // goes first, and cuts short what is in flight
	dials  bool                           // any sign of a call says that the command was taken
	then   func(info []string, err error) // called by the owner; for greetings
	done   chan answer

	info     []string
	prompted bool
	doubt    error // a refusal that may belong to a command given up before
}

type answer struct {
	info []string
	err  error
}

// answeredBy reports whether a token is a line of the answer to r.
func (r *request) answeredBy(line string) bool {
	switch r.want {
	case "":
		return false
	case anyLine:
		return !understand(line).ok
	}
	return hasPrefix(line, r.want)
}

// do sends one command and returns its information lines. The limit counts from
// when the command is sent.
func (p *port) do(ctx context.Context, r *request) ([]string, error) {
	if r.limit == 0 {
		r.limit = plainLimit
	}
	r.ctx, r.done = ctx, make(chan answer, 1)
	queue := p.ordinary
	if r.urgent {
		queue = p.urgent
	}
	wait := time.NewTimer(queueLimit)
	defer wait.Stop()
	select {
	case queue <- r:
	case <-wait.C:
		return nil, ErrBusy
	case <-p.ended:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case a := <-r.done:
		return a.info, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
