package agent

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/pipe"
	"github.com/headunit-agent/headunit/agent/wire"
)

// listenPipe is uplinkd's end of a pipe, for one connection after the other.
func listenPipe(t *testing.T) (path string, l *net.UnixListener) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "up")
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return path, l
}

// TestFramesOfBeforeStay: what was meant for a connection that broke does not go
// over the next one.
func TestFramesOfBeforeStay(t *testing.T) {
	path, l := listenPipe(t)
	events := make(chan event, 8)
	u := newUplink(path, events, zerolog.Nop())
	u.send(pipe.Publish{N: 1, Topic: "up/sta", QoS: 1, Payload: []byte("old")})
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = u.once(t.Context()) // its error is not what is asked here
	}()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if e := <-events; e != (pipeOpened{}) {
		t.Fatalf("%T", e)
	}
	u.send(pipe.Close{})
	b := make([]byte, pipe.MaxFrame)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := pipe.DecodeDown(b[:n]); err != nil || len(f.(pipe.Close).Last) != 0 {
		t.Errorf("%T %v", f, err)
	}
	conn.Close()
	<-over
}

// TestTheBreakIsTheLast: once a connection has ended, nothing of it is told any
// more. An "up" that came after the break would be believed.
func TestTheBreakIsTheLast(t *testing.T) {
	path, l := listenPipe(t)
	up, err := pipe.EncodeUp(pipe.State{Up: true})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			for err == nil { // until the other end is gone
				_, err = conn.Write(up)
			}
			conn.Close()
		}
	}()
	for range 50 {
		events := make(chan event)
		u := newUplink(path, events, zerolog.Nop())
		over := make(chan struct{})
		go func() {
			defer close(over)
			_ = u.once(t.Context()) // its error is not what is asked here
		}()
		for n := range 1000 {
			if n == 20 {
				u.cut()
			}
			select {
			case <-events:
				continue
			case <-over:
			}
			break
		}
		select {
		case e := <-events:
			t.Fatalf("%T after the end", e)
		case <-time.After(time.Millisecond):
		}
	}
}

// TestLostConnection: what nobody acknowledged is said again on the next one,
// after its hello, without a restart.
func TestLostConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.up.mute = true
	r.start()
	h := r.online()
	r.command(h, opLock, func(c *wire.Command) { c.Expires = 0 })
	first := r.next(wire.KindResult)
	r.up.cut()
	again, err := wire.DecodeHello(r.next(wire.KindHello))
	if err != nil || again.Connections != h.Connections+1 || again.Epoch != h.Epoch {
		t.Errorf("%+v %v", again, err)
	}
	if res := r.next(wire.KindResult); string(res) != string(first) {
		t.Error("other octets")
	}
}

// TestFlood: of what strangers send only so much is looked at, and the car
// answers again when they are done; an enrolled key is told its session twice.
func TestFlood(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.start()
	h := r.online()
	for range 5 {
		r.ask(h.Car)
	}
	r.command(h, opLock, func(c *wire.Command) { c.Expires = 0 })
	sessions := 0
	for answered := false; !answered; {
		if p, ok := (<-r.up.said).(pipe.Publish); ok {
			answered = p.Topic == string(wire.UpResult)
			if p.Topic == string(wire.UpSession) {
				sessions++
			}
		}
	}
	if sessions != 2 {
		t.Errorf("%d sessions", sessions)
	}
	for range 400 {
		r.up.send(pipe.Message{Topic: string(wire.DownCommand), QoS: 1, Payload: make([]byte, 100)})
	}
	drowned := r.command(h, opLock, func(c *wire.Command) { c.Expires = 0 })
	var last wire.Command
	r.until("it listens again", func() bool {
		last = r.command(h, opLock, func(c *wire.Command) { c.Expires = 0 })
		return len(r.up.said) > 0
	})
	if got := r.result(); got.ID == drowned.ID || got.Seq > last.Seq {
		t.Errorf("number %d was answered", got.Seq)
	}
}
