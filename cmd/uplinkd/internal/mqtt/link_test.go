package mqtt

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/rs/zerolog"
)

// fakeSink writes down what it hears.
type fakeSink struct {
	mu    sync.Mutex
	lines []string
}

func (s *fakeSink) add(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

func (s *fakeSink) State(up bool, reason string) { s.add("up=%t %s", up, reason) }
func (s *fakeSink) Published(n uint64)           { s.add("published %d", n) }
func (s *fakeSink) Message(m Message) {
	s.add("message %s %d %t %q", m.Topic, m.QoS, m.Retained, m.Payload)
}

// heard is what it heard since the last time.
func (s *fakeSink) heard() string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := strings.Join(s.lines, "|")
	s.lines = nil
	return all
}

// A fakeBroker is the other end of each connection, one script after another.
type fakeBroker struct {
	*testing.T
	sink  *fakeSink
	link  *Link
	stop  context.CancelFunc
	ended chan struct{}
	conns chan net.Conn
	dials int
}

const fakePrefix = "hu/v1/c1/aaaqeayeaudaocajbifqydiob4/"

func withBroker(t *testing.T, f func(b *fakeBroker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &fakeBroker{T: t, sink: &fakeSink{}, ended: make(chan struct{}), conns: make(chan net.Conn, 100)}
		b.link = New(Config{
			Broker: "tcp://127.0.0.1:1883", ClientID: "aaaqeayeaudaocajbifqydiob4", Prefix: fakePrefix,
			Subscribe: []string{"dn/cmd", "dn/enr", "dn/lic", "dn/time", "dn/sess"},
			Bye:       "up/bye", Will: []byte("will"), KeepAlive: time.Minute, Limits: DefaultLimits(),
		}, b.sink, zerolog.Nop())
		b.link.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			b.dials++
			ours, theirs := net.Pipe()
			select {
			case b.conns <- theirs:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return ours, nil
		}
		ctx, stop := context.WithCancel(t.Context())
		b.stop = stop
		go func() {
			defer close(b.ended)
			b.link.Run(ctx)
		}()
		f(b)
		stop()
		<-b.ended
		time.Sleep(30 * time.Second) // fake: whatever paho still waits for
		synctest.Wait()
	})
}

func (b *fakeBroker) read(c net.Conn) packets.ControlPacket {
	b.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Minute))
	p, err := packets.ReadPacket(c)
	if err != nil {
		b.Fatalf("the broker reads: %v", err)
	}
	return p
}

func (b *fakeBroker) write(c net.Conn, p []byte) {
	b.Helper()
	if _, err := c.Write(p); err != nil {
		b.Fatalf("the broker writes: %v", err)
	}
}

// accept takes a connection up to its CONNACK.
func (b *fakeBroker) accept() (net.Conn, *packets.ConnectPacket) {
	b.Helper()
	c := <-b.conns
	p, is := b.read(c).(*packets.ConnectPacket)
	if !is {
		b.Fatal("no CONNECT")
	}
	b.write(c, []byte{0x20, 2, 0, 0})
	return c, p
}

// up takes a connection until it is subscribed.
func (b *fakeBroker) up() net.Conn {
	b.Helper()
	c, _ := b.accept()
	for _, suffix := range b.link.cfg.Subscribe {
		p, is := b.read(c).(*packets.SubscribePacket)
		if !is || len(p.Topics) != 1 || p.Topics[0] != fakePrefix+suffix || p.Qoss[0] != 1 {
			b.Fatalf("want a SUBSCRIBE of %s: %v", suffix, p)
		}
		b.write(c, []byte{0x90, 3, byte(p.MessageID >> 8), byte(p.MessageID), 1})
	}
	b.want("up=true ")
	return c
}

func (b *fakeBroker) want(want string) {
	b.Helper()
	if got := b.sink.heard(); got != want {
		b.Errorf("heard %q, want %q", got, want)
	}
}

func TestTheConnectionIsAsTheContractSays(t *testing.T) {
	withBroker(t, func(b *fakeBroker) {
		c := <-b.conns
		p := b.read(c).(*packets.ConnectPacket)
		if p.ProtocolVersion != 4 || !p.CleanSession || p.ClientIdentifier != "aaaqeayeaudaocajbifqydiob4" || p.Keepalive != 60 ||
			!p.WillFlag || p.WillTopic != fakePrefix+"up/bye" || string(p.WillMessage) != "will" || p.WillQos != 1 || p.WillRetain {
			b.Errorf("%+v", p)
		}
		_ = c.Close()
	})
}

func TestUpAndDownAndTheWayBetween(t *testing.T) {
	withBroker(t, func(b *fakeBroker) {
		c := b.up()
		for i, first := range []byte{0x30, 0x32, 0x33} {
			id := []byte(nil)
			if first != 0x30 {
				id = []byte{0, byte(i)}
			}
			b.write(c, unhex(b, publishOf(first, fakePrefix+"dn/cmd", id, "hi")))
			if first == 0x30 {
				continue
			}
			if ack, is := b.read(c).(*packets.PubackPacket); !is || ack.MessageID != uint16(i) {
				b.Errorf("no PUBACK: %v", ack)
			}
		}
		b.want(`message dn/cmd 0 false "hi"|message dn/cmd 1 false "hi"|message dn/cmd 1 true "hi"`)
		b.link.Publish(7, "up/sta", 0, []byte("q0"))
		b.link.Publish(8, "up/res", 1, []byte("q1"))
		p := b.read(c).(*packets.PublishPacket)
		q := b.read(c).(*packets.PublishPacket)
		if p.Qos != 0 || q.Qos != 1 || q.Retain || q.TopicName != fakePrefix+"up/res" || string(q.Payload) != "q1" {
			b.Errorf("%v %v", p, q)
		}
		b.want("")
		b.write(c, []byte{0x40, 2, byte(q.MessageID >> 8), byte(q.MessageID)})
		b.want("published 8")
		b.link.Publish(9, "up/res", 1, []byte("lost"))
		b.read(c)
		_ = c.Close()
		b.want("up=false uplink.lost") // and 9 was never published
		b.link.Publish(10, "up/res", 1, []byte("while down"))
		c = b.up()
		b.link.Publish(11, "up/res", 1, []byte("new"))
		if p := b.read(c).(*packets.PublishPacket); string(p.Payload) != "new" {
			b.Errorf("an old publish came: %v", p)
		}
	})
}

// A connection that is lost takes what waited with it: its sender knows.
func TestNothingIsKeptForTheNextConnection(t *testing.T) {
	withBroker(t, func(b *fakeBroker) {
		c := b.up()
		for n := range uint64(inFlight + 5) {
			b.link.Publish(n, "up/res", 1, []byte("old"))
		}
		for range inFlight {
			b.read(c)
		}
		_ = c.Close()
		b.want("up=false uplink.lost")
		c = b.up()
		b.link.Publish(99, "up/res", 1, []byte("new"))
		if p := b.read(c).(*packets.PublishPacket); string(p.Payload) != "new" {
			b.Errorf("%q came", p.Payload)
		}
	})
}

func TestUpIsToldBeforeAnyMessage(t *testing.T) {
	withBroker(t, func(b *fakeBroker) {
		c, _ := b.accept()
		for range b.link.cfg.Subscribe {
			p := b.read(c).(*packets.SubscribePacket)
			for range 5 {
				b.write(c, unhex(b, publishOf(0x30, fakePrefix+"dn/cmd", nil, "x")))
			}
			b.write(c, []byte{0x90, 3, byte(p.MessageID >> 8), byte(p.MessageID), 1})
		}
		got := b.sink.heard()
		if n := strings.Count(got, "message"); n < queued || !strings.HasPrefix(got, "up=true |") || strings.Count(got, "up=") != 1 {
			b.Errorf("%d messages: %s", n, got)
		}
	})
}

func TestGoodbyeThenDisconnectThenNothing(t *testing.T) {
	withBroker(t, func(b *fakeBroker) {
		c := b.up()
		b.link.Close([]byte("bye"))
		p := b.read(c).(*packets.PublishPacket)
		if p.TopicName != fakePrefix+"up/bye" || string(p.Payload) != "bye" || p.Qos != 1 {
			b.Errorf("%v", p)
		}
		b.write(c, []byte{0x40, 2, byte(p.MessageID >> 8), byte(p.MessageID)})
		if _, is := b.read(c).(*packets.DisconnectPacket); !is {
			b.Error("no DISCONNECT")
		}
		<-b.ended
		b.want("up=false uplink.closed")
		time.Sleep(time.Hour)
		if b.dials != 1 {
			b.Errorf("%d connections", b.dials)
		}
	})
}

// A broker that stops reading cannot hold the goodbye up, nor what waits.
func TestGoodbyeIsGivenUp(t *testing.T) {
	withBroker(t, func(b *fakeBroker) {
		b.up()
		for n := range 30 {
			b.link.Publish(uint64(n), "up/sta", 0, []byte("x"))
		}
		synctest.Wait()
		began := time.Now()
		b.link.Close([]byte("bye"))
		<-b.ended
		if d := time.Since(began); d > 3*time.Second {
			b.Errorf("took %v", d)
		}
		b.want("up=false uplink.closed")
	})
}

// A broker that does not read is left after the time of a write, even where
// paho itself would wait for ever.
func TestAWriteDoesNotWaitForEver(t *testing.T) {
	withBroker(t, func(b *fakeBroker) {
		c := b.up()
		b.write(c, unhex(b, publishOf(0x32, fakePrefix+"dn/cmd", []byte{0, 1}, "x")))
		b.want(`message dn/cmd 1 false "x"`) // and nobody takes its PUBACK
		time.Sleep(writeTimeout + time.Millisecond)
		b.want("up=false uplink.lost")
	})
}

func TestAnEndWithoutCloseSendsNoDisconnect(t *testing.T) {
	withBroker(t, func(b *fakeBroker) {
		c := b.up()
		b.stop()
		rest, err := io.ReadAll(c)
		if err != nil || len(rest) != 0 {
			b.Errorf("%v: %x", err, rest)
		}
	})
}

func TestAConnectionIsTriedAgain(t *testing.T) {
	for _, c := range []struct {
		name, reason string
		do           func(b *fakeBroker)
	}{
		{"refused", Refused, func(b *fakeBroker) {
			c := <-b.conns
			b.read(c)
			b.write(c, []byte{0x20, 2, 0, 5})
		}},
		{"granted 0", Refused, func(b *fakeBroker) {
			c, _ := b.accept()
			p := b.read(c).(*packets.SubscribePacket)
			b.write(c, []byte{0x90, 3, byte(p.MessageID >> 8), byte(p.MessageID), 0})
		}},
		{"forbidden", Refused, func(b *fakeBroker) {
			c, _ := b.accept()
			p := b.read(c).(*packets.SubscribePacket)
			b.write(c, []byte{0x90, 3, byte(p.MessageID >> 8), byte(p.MessageID), 0x80})
		}},
		{"silent", Unreachable, func(b *fakeBroker) { b.read(<-b.conns); time.Sleep(17 * time.Second) }},
		{"no SUBACK", Lost, func(b *fakeBroker) { c, _ := b.accept(); b.read(c); time.Sleep(16 * time.Second) }},
		{"closed", Unreachable, func(b *fakeBroker) { _ = (<-b.conns).Close() }},
		{"claims 256 MiB", Guarded, func(b *fakeBroker) { c := <-b.conns; b.read(c); b.write(c, []byte{0x20, 0xff, 0xff, 0xff, 0x7f}) }},
		{"two codes", Guarded, func(b *fakeBroker) {
			c, _ := b.accept()
			p := b.read(c).(*packets.SubscribePacket)
			b.write(c, []byte{0x90, 4, byte(p.MessageID >> 8), byte(p.MessageID), 1, 1})
		}},
		{"QoS 2", Guarded, func(b *fakeBroker) {
			b.write(b.up(), unhex(b, publishOf(0x34, fakePrefix+"dn/cmd", []byte{0, 1}, "x")))
		}},
		{"no PINGRESP", Lost, func(b *fakeBroker) {
			if all, err := io.ReadAll(b.up()); err != nil || string(all) != "\xc0\x00" {
				b.Errorf("%x %v", all, err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			withBroker(t, func(b *fakeBroker) {
				c.do(b)
				b.want("up=false " + c.reason)
				began := time.Now()
				b.up()
				if d := time.Since(began); d > 2*time.Second {
					b.Errorf("again after %v", d)
				}
			})
		})
	}
}

func TestWhoSendsTooMuchIsCutOff(t *testing.T) {
	withBroker(t, func(b *fakeBroker) {
		c := b.up()
		p := unhex(b, publishOf(0x30, fakePrefix+"dn/cmd", nil, "x"))
		n := 0
		for ; n < 1000; n++ {
			if _, err := c.Write(p); err != nil {
				break
			}
		}
		if n < packetBurst-10 || n > packetBurst {
			b.Errorf("cut off after %d", n)
		}
		synctest.Wait()
		if got := b.sink.heard(); strings.Count(got, "message") > n || !strings.HasSuffix(got, "up=false "+Guarded) {
			b.Errorf("heard %.200q…", got)
		}
	})
}

func TestOnlyLoopback(t *testing.T) {
	for _, s := range []string{"tcp://127.0.0.1:1883", "tcp://[::1]:1883"} {
		if _, err := Check(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "127.0.0.1:1883", "tcp://10.0.0.1:1883", "tcp://localhost:1883", "tcp://example.org:1883", "tls://127.0.0.1:8883",
		"tcp://127.0.0.1", "tcp://u:p@127.0.0.1:1", "tcp://127.0.0.1:1/x", "tcp://127.0.0.1.example.org:1", "tcp://\x00:1", "ws://127.0.0.1:1",
	} {
		if a, err := Check(s); err == nil {
			t.Errorf("%s is %s", s, a)
		}
	}
}
