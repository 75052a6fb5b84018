package mqtt

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/headunit-agent/headunit/agent/wire"
)

// newBroker is a real broker in memory; join opens a stream to it.
func newBroker(t *testing.T) (join func() net.Conn) {
	t.Helper()
	b, err := NewBroker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b.Join
}

func connect(t *testing.T, conn net.Conn, o Options) *Client {
	t.Helper()
	c, err := Connect(t.Context(), conn, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Cut)
	return c
}

func TestWhatIsPublishedArrives(t *testing.T) {
	join := newBroker(t)
	a, b := connect(t, join(), Options{ClientID: "a"}), connect(t, join(), Options{ClientID: "b"})
	if err := b.Subscribe(t.Context(), "hu/v1/+/up/#", 1); err != nil {
		t.Fatal(err)
	}
	for qos := range byte(2) {
		payload := bytes.Repeat([]byte{qos}, 5000)
		if err := a.Publish(t.Context(), "hu/v1/car/up/res", qos, payload); err != nil {
			t.Fatal(err)
		}
		m := <-b.Messages()
		if m.QoS != qos || m.Topic != "hu/v1/car/up/res" || !bytes.Equal(m.Payload, payload) || m.Retained {
			t.Errorf("got %s with QoS %d and %d octets", m.Topic, m.QoS, len(m.Payload))
		}
	}
}

func TestTheWillIsSaidUnlessGoodbyeWas(t *testing.T) {
	join := newBroker(t)
	listener := connect(t, join(), Options{ClientID: "l"})
	if err := listener.Subscribe(t.Context(), "bye", 1); err != nil {
		t.Fatal(err)
	}
	connect(t, join(), Options{ClientID: "polite", Will: &Will{"bye", []byte("polite"), 1}}).Close()
	connect(t, join(), Options{ClientID: "lost", Will: &Will{"bye", []byte("lost"), 1}}).Cut()
	if m := <-listener.Messages(); string(m.Payload) != "lost" {
		t.Errorf("heard %q", m.Payload)
	}
}

func TestADurableSessionMissesNothing(t *testing.T) {
	broker, err := NewBroker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { broker.Close() })
	left := make(chan string, 8)
	broker.Left = func(id string) { left <- id }
	b := connect(t, broker.Join(), Options{ClientID: "b", Durable: true})
	if err := b.Subscribe(t.Context(), "up", 1); err != nil {
		t.Fatal(err)
	}
	b.Close()
	<-left
	a := connect(t, broker.Join(), Options{ClientID: "a"})
	for _, payload := range []string{"meanwhile", "second"} { // acknowledged second: the first is put away
		if err := a.Publish(t.Context(), "up", 1, []byte(payload)); err != nil {
			t.Fatal(err)
		}
	}
	b = connect(t, broker.Join(), Options{ClientID: "b", Durable: true})
	for m := range b.Messages() { // in no order, and the second may still come
		if string(m.Payload) == "meanwhile" {
			return
		}
	}
	t.Errorf("heard nothing: %v", b.Err())
}

func TestNothingButLoopback(t *testing.T) {
	for _, addr := range []string{"192.0.2.1:1883", "tcp://example.com:1883", "[2001:db8::1]:1883", "nonsense"} {
		if c, err := Dial(t.Context(), addr, Options{}); err == nil {
			c.Cut()
			t.Errorf("%s was dialed", addr)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			script(conn, connack(0))
		}
	}()
	c, err := Dial(t.Context(), "tcp://"+l.Addr().String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	c.Cut()
}

// script is a broker that answers each packet by the next octets given, nil being
// to hang up, and nothing after the last.
func script(conn net.Conn, answers ...[]byte) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, a := range answers {
		if _, err := r.ReadByte(); err != nil {
			return
		}
		n, _, err := packets.DecodeLength(r)
		if err != nil {
			return
		}
		if _, err := r.Discard(n); err != nil {
			return
		}
		if _, err := conn.Write(a); err != nil || a == nil {
			return
		}
	}
	_, _ = io.Copy(io.Discard, r)
}

func connack(code byte) []byte { return []byte{0x20, 2, 0, code} }

func TestWhatABrokerMustNotDo(t *testing.T) {
	tests := []struct {
		name    string
		answers [][]byte
		want    error
	}{
		{"refuses", [][]byte{connack(5)}, ErrRefused},
		{"hangs up", [][]byte{nil}, ErrClosed},
		{"speaks first of something else", [][]byte{{0xD0, 0}}, ErrBroker},
		{"refuses the subscription", [][]byte{connack(0), {0x90, 3, 0, 1, 0x80}}, ErrRefused},
		{"grants less", [][]byte{connack(0), {0x90, 3, 0, 1, 0}}, ErrRefused},
		{"grants nothing", [][]byte{connack(0), {0x90, 2, 0, 1}}, ErrBroker},
		{"grants twice", [][]byte{connack(0), {0x90, 4, 0, 1, 1, 1}}, ErrBroker},
		{"acknowledges something else", [][]byte{connack(0), {0x40, 2, 0, 1}}, ErrBroker},
		{"connects twice", [][]byte{connack(0), connack(0)}, ErrBroker},
		{"claims 256 MiB", [][]byte{connack(0), {0x30, 0xFF, 0xFF, 0xFF, 0x7F}}, ErrBroker},
		{"sends QoS 2", [][]byte{connack(0), {0x34, 6, 0, 1, 'x', 0, 1, 'y'}}, ErrBroker},
		{"sends what only clients send", [][]byte{connack(0), {0x82, 2, 0, 1}}, ErrBroker},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ours, its := net.Pipe()
			go script(its, tt.answers...)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			c, err := Connect(ctx, ours, Options{})
			if err == nil {
				defer c.Cut()
				err = c.Subscribe(ctx, "x", 1)
			}
			if err == nil || ctx.Err() != nil || !errors.Is(err, tt.want) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestMessagesThatNobodyFetchesEndIt(t *testing.T) {
	join := newBroker(t)
	b := connect(t, join(), Options{ClientID: "b", Queue: 1})
	if err := b.Subscribe(t.Context(), "x", 1); err != nil {
		t.Fatal(err)
	}
	a := connect(t, join(), Options{ClientID: "a"})
	for range 2 {
		if err := a.Publish(t.Context(), "x", 1, nil); err != nil {
			t.Fatal(err)
		}
	}
	<-b.Done()
	if !errors.Is(b.Err(), ErrSlow) {
		t.Errorf("ended by %v", b.Err())
	}
}

func TestASilentBrokerIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, its := net.Pipe()
		go script(its, connack(0)) // answers no PINGREQ
		start := time.Now()
		c, err := Connect(t.Context(), ours, Options{KeepAlive: 10 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Publish(t.Context(), "x", 1, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("published to nobody: %v", err)
		}
		if took := time.Since(start); took != 15*time.Second {
			t.Errorf("noticed after %v", took)
		}
		its.Close()
	})
}

func TestAnImpatientCallerGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, its := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, its) }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Connect(ctx, ours, Options{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		its.Close()
	})
}

func TestACarKeepsToItsTopics(t *testing.T) {
	b, err := NewBroker()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	addr, err := b.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	car, other := wire.NewName(), wire.NewName()
	c, err := Dial(t.Context(), addr, Options{ClientID: car.String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Cut)
	if err := c.Subscribe(t.Context(), wire.DownCommand.Of("c1", car), 1); err != nil {
		t.Errorf("its own: %v", err)
	}
	for _, topic := range []string{wire.DownCommand.Of("c1", other), wire.UpResult.Of("c1", car), "hu/v1/c1/+/dn/cmd", "#"} {
		if err := c.Subscribe(t.Context(), topic, 1); !errors.Is(err, ErrRefused) {
			t.Errorf("%s was granted: %v", topic, err)
		}
	}
	if !b.Cut(car.String()) {
		t.Error("nobody to cut")
	}
	<-c.Done()
}
