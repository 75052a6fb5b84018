package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/pipe"
)

// uplink is the goroutine that holds the pipe to uplinkd. It gives nothing a
// meaning: what comes up goes to the loop as events, what the loop sends goes
// down in order.
type uplink struct {
	socket string
	log    zerolog.Logger
	down   chan pipe.Down
	events chan<- event
	ends   chan struct{}
}

// mostDown is how many frames may wait for uplinkd before it counts as hung.
const mostDown = 64

func newUplink(socket string, events chan<- event, log zerolog.Logger) *uplink {
	return &uplink{socket: socket, log: log, down: make(chan pipe.Down, mostDown), events: events, ends: make(chan struct{}, 1)}
}

// send hands a frame over without waiting. False means that uplinkd takes
// nothing: the frame is dropped, and what matters waits in the outbox.
func (u *uplink) send(f pipe.Down) bool {
	select {
	case u.down <- f:
		return true
	default:
		return false
	}
}

// cut ends the connection to uplinkd; run makes a new one.
func (u *uplink) cut() {
	select {
	case u.ends <- struct{}{}:
	default:
	}
}

// run keeps the pipe open as long as ctx lives. Each time it opens, the loop is
// told, and says what it wants anew.
func (u *uplink) run(ctx context.Context) error {
	again := backoff.NewExponentialBackOff()
	again.InitialInterval, again.MaxInterval = 50*time.Millisecond, 2*time.Second
	for {
		began := time.Now()
		err := u.once(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // that ctx has ended is no error
		}
		if time.Since(began) > 10*time.Second {
			again.Reset()
		}
		u.tell(ctx, pipeBroken{})
		wait := again.NextBackOff()
		u.log.Debug().Err(err).Dur("again_in", wait).Msg("pipe to uplinkd")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

func (u *uplink) tell(ctx context.Context, e event) {
	select {
	case u.events <- e:
	case <-ctx.Done():
	}
}

func (u *uplink) once(ctx context.Context) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unixpacket", u.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	for len(u.down) > 0 { // of the connection before
		<-u.down
	}
	u.tell(ctx, pipeOpened{})
	var reader sync.WaitGroup
	defer reader.Wait() // what it still tells comes before the news that the pipe broke
	defer cancel(nil)
	reader.Go(func() { cancel(u.read(ctx, conn)) })
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-u.ends:
			return errors.New("cut: too much waits")
		case f := <-u.down:
			b, err := pipe.EncodeDown(f)
			if err != nil {
				return err
			}
			if err := conn.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
				return err
			}
			if _, err := conn.Write(b); err != nil {
				return err
			}
		}
	}
}

func (u *uplink) read(ctx context.Context, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	b := make([]byte, pipe.MaxFrame+1)
	for {
		n, err := conn.Read(b)
		if err != nil {
			return err
		}
		if n == 0 {
			return errors.New("uplinkd closed the pipe")
		}
		f, err := pipe.DecodeUp(append([]byte(nil), b[:n]...))
		if err != nil {
			return fmt.Errorf("from uplinkd: %w", err)
		}
		u.tell(ctx, fromUplink{f})
	}
}
