// Package mqtt is the small MQTT 3.1.1 client of the simulated world: one
// connection, QoS 0 and 1, and every promise of a broker checked.
//
// The car has another one, behind its own guard (cmd/uplinkd); that the two share
// no code is what lets them test each other. It speaks to loopback alone and
// knows no TLS.
package mqtt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// What a caller can tell apart.
var (
	ErrClosed  = errors.New("mqtt: connection closed")
	ErrRefused = errors.New("mqtt: refused by the broker")
	ErrBroker  = errors.New("mqtt: the broker broke the protocol")
	ErrSlow    = errors.New("mqtt: messages were not fetched")
)

// A Message is what comes from the broker.
type Message struct {
	Topic    string
	Payload  []byte
	QoS      byte
	Retained bool
}

// A Will is what the broker says when the connection ends without a goodbye.
type Will struct {
	Topic   string
	Payload []byte
	QoS     byte
}

// Options of a connection. The zero value is a clean session with a client id of
// the broker's choice.
type Options struct {
	ClientID  string
	Durable   bool          // keep the session over the connection; needs a ClientID
	KeepAlive time.Duration // 30 s if zero, whole seconds
	Will      *Will
	Queue     int // messages that may wait to be fetched, 1,024 if zero
}

const (
	version    = 4       // MQTT 3.1.1
	maxPacket  = 1 << 17 // octets; the largest payload of the protocol is 8,192
	writeLimit = 10 * time.Second
)

// A Client is one connection. It is over when Done is closed, and is not used
// again.
type Client struct {
	conn      net.Conn
	keepAlive time.Duration
	messages  chan Message
	acks      chan uint16
	done      chan struct{}

	writing sync.Mutex // one packet at a time

	mu      sync.Mutex
	err     error
	next    uint16
	waiting map[uint16]chan packets.Packet // by packet id, for PUBACK and SUBACK
}

// Dial connects to a broker on loopback: "127.0.0.1:1883", with or without
// "tcp://" before it.
func Dial(ctx context.Context, addr string, o Options) (*Client, error) {
	addr = strings.TrimPrefix(addr, "tcp://")
	if err := loopback(addr); err != nil {
		return nil, err
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	return Connect(ctx, conn, o)
}

func loopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("mqtt: %w", err)
	}
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
		return fmt.Errorf("mqtt: %s is not on loopback, and nothing else is allowed here", host)
	}
	return nil
}

// Connect opens an MQTT connection over a stream, and owns the stream from then
// on. It returns after the broker has accepted.
func Connect(ctx context.Context, conn net.Conn, o Options) (*Client, error) {
	if o.KeepAlive == 0 {
		o.KeepAlive = 30 * time.Second
	}
	if o.Queue == 0 {
		o.Queue = 1024
	}
	c := &Client{
		conn: conn, keepAlive: o.KeepAlive,
		messages: make(chan Message, o.Queue), acks: make(chan uint16, o.Queue), done: make(chan struct{}),
		waiting: map[uint16]chan packets.Packet{},
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	r := bufio.NewReader(conn)
	err := c.introduce(r, o)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	go c.read(r)
	go c.answer()
	return c, nil
}

func (c *Client) introduce(r *bufio.Reader, o Options) error {
	p := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Connect},
		Connect: packets.ConnectParams{
			ProtocolName: []byte("MQTT"), Clean: !o.Durable,
			Keepalive: uint16(o.KeepAlive / time.Second), ClientIdentifier: o.ClientID,
		},
	}
	if w := o.Will; w != nil {
		p.Connect.WillFlag, p.Connect.WillTopic = true, w.Topic
		p.Connect.WillPayload, p.Connect.WillQos = w.Payload, w.QoS
	}
	if err := c.write(p); err != nil {
		return err
	}
	answer, err := readPacket(r)
	switch {
	case err != nil:
		return err
	case answer.FixedHeader.Type != packets.Connack:
		return fmt.Errorf("%w: %d before CONNACK", ErrBroker, answer.FixedHeader.Type)
	case answer.ReasonCode != 0:
		return fmt.Errorf("%w: CONNACK %d", ErrRefused, answer.ReasonCode)
	}
	return nil
}

// Messages are what the broker delivers, acknowledged when they are in the
// channel. It is closed with the connection; messages that nobody fetches end it
// ([ErrSlow]) rather than vanish.
func (c *Client) Messages() <-chan Message { return c.messages }

// Done is closed when the connection is over.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err tells why it is over, nil while it is not.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Subscribe asks for a filter and returns nil only if the broker granted at least
// this QoS.
func (c *Client) Subscribe(ctx context.Context, filter string, qos byte) error {
	answer, err := c.ask(ctx, packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Subscribe, Qos: 1},
		Filters:     packets.Subscriptions{{Filter: filter, Qos: qos}},
	})
	switch {
	case err != nil:
		return err
	case answer.FixedHeader.Type != packets.Suback || len(answer.ReasonCodes) != 1:
		return c.end(fmt.Errorf("%w: no answer to one SUBSCRIBE", ErrBroker))
	case answer.ReasonCodes[0] > 2 || answer.ReasonCodes[0] < qos:
		return fmt.Errorf("%w: SUBSCRIBE answered by %#x", ErrRefused, answer.ReasonCodes[0])
	}
	return nil
}

// Publish sends a message. With QoS 1 it returns when the broker has
// acknowledged it; after an error the broker may have it nevertheless.
func (c *Client) Publish(ctx context.Context, topic string, qos byte, payload []byte) error {
	p := packets.Packet{
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: qos},
		TopicName:   topic, Payload: payload,
	}
	if qos == 0 {
		return c.write(p)
	}
	answer, err := c.ask(ctx, p)
	if err == nil && answer.FixedHeader.Type != packets.Puback {
		err = c.end(fmt.Errorf("%w: no PUBACK to PUBLISH", ErrBroker))
	}
	return err
}

// ask sends a packet with an id and waits for the answer that bears it.
func (c *Client) ask(ctx context.Context, p packets.Packet) (packets.Packet, error) {
	answer := make(chan packets.Packet, 1)
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		return packets.Packet{}, c.err
	}
	for c.next++; c.next == 0 || c.waiting[c.next] != nil; c.next++ {
		if len(c.waiting) == 1<<16-1 {
			defer c.mu.Unlock()
			return packets.Packet{}, ErrSlow
		}
	}
	p.PacketID = c.next
	c.waiting[p.PacketID] = answer
	c.mu.Unlock()

	if err := c.write(p); err != nil {
		return packets.Packet{}, err
	}
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return packets.Packet{}, ctx.Err() // its id stays taken until the answer comes
	case <-c.done:
		return packets.Packet{}, c.Err()
	}
}

// Close says DISCONNECT, so that the broker forgets the will, and ends the
// connection.
func (c *Client) Close() error {
	err := c.write(packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Disconnect}})
	_ = c.end(ErrClosed)
	return err
}

// Cut ends the connection without a word: the broker says the will.
func (c *Client) Cut() { _ = c.end(ErrClosed) }

// end ends the connection for the first reason given, and returns it.
func (c *Client) end(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		c.conn.Close()
		close(c.done)
	}
	return c.err
}
