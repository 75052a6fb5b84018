package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/pipe"
	"github.com/headunit-agent/headunit/cmd/uplinkd/internal/mqtt"
)

func TestAFullQueueDropsTheNewest(t *testing.T) {
	o := outbox{wake: make(chan struct{}, 1)}
	for i := range 20 {
		dropped := o.put(pipe.Message{Topic: "dn/cmd", Payload: []byte{byte(i)}})
		if want := max(0, i+1-waitingMessages); dropped != uint64(want) {
			t.Errorf("message %d: %d dropped, want %d", i, dropped, want)
		}
	}
	o.put(pipe.Published{N: 1}) // what was delivered is told all the same
	for i := range waitingMessages {
		f, err := o.take()
		if m, is := f.(pipe.Message); err != nil || !is || m.Payload[0] != byte(i) {
			t.Errorf("%d: %v %v", i, f, err)
		}
	}
	if f, err := o.take(); err != nil || f != (pipe.Published{N: 1}) {
		t.Errorf("%v %v", f, err)
	}
	if f, err := o.take(); f != nil || err != nil {
		t.Errorf("%v %v", f, err)
	}
}

func TestWhoNeverReadsIsLeft(t *testing.T) {
	o := outbox{wake: make(chan struct{}, 1)}
	for n := range uint64(waitingFrames) {
		o.put(pipe.Published{N: n})
	}
	if _, err := o.take(); err != nil {
		t.Error(err)
	}
	o.put(pipe.Published{})
	o.put(pipe.Published{})
	if _, err := o.take(); !errors.Is(err, errDeaf) {
		t.Error(err)
	}
}

func TestAStateIsToldOnce(t *testing.T) {
	o := outbox{wake: make(chan struct{}, 1)}
	s := &sink{out: &o, log: zerolog.Nop()}
	for range 1000 {
		s.State(false, mqtt.Unreachable)
	}
	s.State(true, "")
	s.State(false, mqtt.Lost)
	if len(o.frames) != 3 {
		t.Errorf("%v", o.frames)
	}
	s.dead.Store(true)
	if s.Published(1); len(o.frames) != 3 {
		t.Error("a link that was replaced still speaks")
	}
}

func TestTheSocketIsOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := listen(path)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	if _, err := listen(path); !errors.Is(err, errTaken) {
		t.Errorf("a second one: %v", err)
	}
	c, err := net.DialUnix("unixpacket", nil, l.Addr().(*net.UnixAddr))
	if err != nil {
		t.Fatal(err)
	}
	if err := samePeer(c, os.Geteuid()); err != nil {
		t.Error(err)
	}
	if err := samePeer(c, os.Geteuid()+1); !errors.Is(err, errPeer) {
		t.Errorf("another user: %v", err)
	}
	l.SetUnlinkOnClose(false) // as after a kill
	_ = l.Close()
	_ = c.Close()
	again, err := listen(path)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	_ = again.Close()
}

// What is no frame ends the pipe, and the next peer is served.
func TestAPeerThatSpeaksNonsense(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- serve(ctx, config{limits: mqtt.DefaultLimits()}, l, zerolog.Nop()) }()
	for _, packet := range [][]byte{{0xFF}, []byte("hello"), make([]byte, pipe.MaxFrame+1), make([]byte, 2*pipe.MaxFrame)} {
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := c.Write(packet); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 10)); n != 0 || err == nil || os.IsTimeout(err) {
			t.Errorf("%.5x: %d %v, want %v", packet, n, err, io.EOF)
		}
		_ = c.Close()
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// admit is a broker up to the last SUBACK.
func admit(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	for range 6 {
		p, err := packets.ReadPacket(c)
		if err != nil {
			t.Fatal(err)
		}
		answer := []byte{0x20, 2, 0, 0}
		if id := p.Details().MessageID; id != 0 {
			answer = []byte{0x90, 3, byte(id >> 8), byte(id), 1}
		}
		if _, err := c.Write(answer); err != nil {
			t.Fatal(err)
		}
	}
}

// Two connections of one name would throw each other out, and the first one's
// will would come after its goodbye.
func TestTheNextLinkWaitsForTheGoodbye(t *testing.T) {
	broker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "socket")
	l, err := listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- serve(ctx, config{limits: mqtt.DefaultLimits(), keepAlive: time.Minute}, l, zerolog.Nop())
	}()
	pipeEnd, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	send := func(f pipe.Down) {
		b, err := pipe.EncodeDown(f)
		if err == nil {
			_, err = pipeEnd.Write(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	open := pipe.Open{Broker: "tcp://" + broker.Addr().String(), Cell: "c1", Name: carName, Will: []byte("will")}
	send(open)
	c, err := broker.Accept()
	if err != nil {
		t.Fatal(err)
	}
	admit(t, c)
	send(pipe.Close{Last: []byte("bye")})
	send(open)
	if p, err := packets.ReadPacket(c); err != nil || p.Details().MessageID == 0 { // no PUBACK comes
		t.Fatalf("%v %v", p, err)
	}
	if err := broker.(*net.TCPListener).SetDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.Accept(); !os.IsTimeout(err) {
		t.Errorf("a second connection beside the first: %v", err)
	}
	_ = c.Close()
	_ = broker.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
	if again, err := broker.Accept(); err != nil {
		t.Error(err)
	} else {
		_ = again.Close()
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
