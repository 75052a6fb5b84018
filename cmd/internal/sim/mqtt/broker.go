package mqtt

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	"github.com/mochi-mqtt/server/v2/packets"

	"github.com/headunit-agent/headunit/agent/wire"
)

// A Broker is a real one (mochi) inside this process, for tests and the demo: it
// keeps nothing retained, and a client whose id is a car's name reads and writes
// that car's topics alone, as the broker of a fleet would have it.
type Broker struct {
	// Left, if set before anybody connects, hears the id of each client that is
	// gone, when its name is free again.
	Left func(clientID string)

	// Heard, if set before anybody connects, hears the id of the client for each
	// packet that came from it, CONNECT included.
	Heard func(clientID string)

	server *mochi.Server

	mu   sync.Mutex
	gone map[net.Conn]string // between the end of a connection and of its goroutine
}

// NewBroker starts a broker that nobody can reach yet.
func NewBroker() (*Broker, error) {
	can := mochi.NewDefaultServerCapabilities()
	can.RetainAvailable, can.SharedSubAvailable = 0, 0
	b := &Broker{gone: map[net.Conn]string{}, server: mochi.New(&mochi.Options{
		Capabilities: can, Logger: slog.New(slog.DiscardHandler),
	})}
	if err := b.server.AddHook(&rights{broker: b}, nil); err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	if err := b.server.Serve(); err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	return b, nil
}

// Listen lets clients in on loopback ("127.0.0.1:0" chooses a port) and returns
// the address.
func (b *Broker) Listen(addr string) (string, error) {
	if err := loopback(addr); err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("mqtt: %w", err)
	}
	at := listeners.NewNet(l.Addr().String(), l)
	if err := b.server.AddListener(at); err != nil {
		l.Close()
		return "", fmt.Errorf("mqtt: %w", err)
	}
	go at.Serve(b.serve)
	return l.Addr().String(), nil
}

// Join returns a stream to the broker that leaves memory nowhere.
func (b *Broker) Join() net.Conn {
	ours, its := net.Pipe()
	go func() { _ = b.serve("memory", its) }() // how it ended is the client's to find out
	return ours
}

func (b *Broker) serve(listener string, conn net.Conn) error {
	err := b.server.EstablishConnection(listener, conn)
	b.mu.Lock()
	id := b.gone[conn]
	delete(b.gone, conn)
	b.mu.Unlock()
	if b.Left != nil && id != "" {
		b.Left(id)
	}
	return err
}

// Cut breaks the connection of a client as a bad network would, and reports
// whether there was one. The client's will is said.
func (b *Broker) Cut(clientID string) bool {
	c, ok := b.server.Clients.Get(clientID)
	if !ok || c.Closed() {
		return false
	}
	c.Net.Conn.Close()
	return true
}

// Close ends every connection.
func (b *Broker) Close() error {
	for _, c := range b.server.Clients.GetAll() {
		if c.Net.Conn != nil {
			c.Net.Conn.Close()
		}
	}
	return b.server.Close()
}

// rights lets everybody in, and keeps cars to their own topics.
type rights struct {
	mochi.HookBase
	broker *Broker
}

func (*rights) ID() string { return "rights" }

func (*rights) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck || b == mochi.OnDisconnect ||
		b == mochi.OnConnect || b == mochi.OnPacketRead
}

func (r *rights) OnDisconnect(c *mochi.Client, _ error, _ bool) {
	r.broker.mu.Lock()
	defer r.broker.mu.Unlock()
	r.broker.gone[c.Net.Conn] = c.ID
}

func (r *rights) heard(c *mochi.Client) {
	if r.broker.Heard != nil {
		r.broker.Heard(c.ID)
	}
}

func (r *rights) OnConnect(c *mochi.Client, _ packets.Packet) error {
	r.heard(c)
	return nil
}

func (r *rights) OnPacketRead(c *mochi.Client, p packets.Packet) (packets.Packet, error) {
	if p.FixedHeader.Type != packets.Connect { // its client has no id yet
		r.heard(c)
	}
	return p, nil
}

func (*rights) OnConnectAuthenticate(*mochi.Client, packets.Packet) bool { return true }

func (*rights) OnACLCheck(c *mochi.Client, topic string, write bool) bool {
	if _, err := wire.ParseName(c.ID); err != nil {
		return true // no car
	}
	part := strings.Split(topic, "/")
	way := "dn"
	if write {
		way = "up"
	}
	return len(part) > 5 && part[0] == "hu" && part[1] == "v1" && part[3] == c.ID && part[4] == way
}
