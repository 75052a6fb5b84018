package mqtt

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// write encodes a packet and sends it whole.
func (c *Client) write(p packets.Packet) error {
	p.ProtocolVersion = version
	var b bytes.Buffer
	var err error
	switch p.FixedHeader.Type {
	case packets.Connect:
		err = p.ConnectEncode(&b)
	case packets.Publish:
		err = p.PublishEncode(&b)
	case packets.Puback:
		err = p.PubackEncode(&b)
	case packets.Subscribe:
		err = p.SubscribeEncode(&b)
	case packets.Pingreq:
		err = p.PingreqEncode(&b)
	default:
		err = p.DisconnectEncode(&b)
	}
	if err != nil {
		return fmt.Errorf("mqtt: %w", err)
	}
	if b.Len() > maxPacket {
		return fmt.Errorf("mqtt: a packet of %d octets", b.Len())
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(writeLimit)); err != nil {
		return c.end(fmt.Errorf("%w: %w", ErrClosed, err))
	}
	if _, err := c.conn.Write(b.Bytes()); err != nil {
		return c.end(fmt.Errorf("%w: %w", ErrClosed, err))
	}
	return nil
}

// readPacket reads one packet of the kinds that a broker sends.
func readPacket(r *bufio.Reader) (packets.Packet, error) {
	p := packets.Packet{ProtocolVersion: version}
	first, err := r.ReadByte()
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrClosed, err)
	}
	if err := p.FixedHeader.Decode(first); err != nil {
		return p, fmt.Errorf("%w: %w", ErrBroker, err)
	}
	if p.FixedHeader.Remaining, _, err = packets.DecodeLength(r); err != nil {
		return p, fmt.Errorf("%w: %w", ErrBroker, err)
	}
	if p.FixedHeader.Remaining > maxPacket {
		return p, fmt.Errorf("%w: a packet of %d octets", ErrBroker, p.FixedHeader.Remaining)
	}
	b := make([]byte, p.FixedHeader.Remaining)
	if _, err := io.ReadFull(r, b); err != nil {
		return p, fmt.Errorf("%w: %w", ErrClosed, err)
	}
	switch p.FixedHeader.Type {
	case packets.Connack:
		err = p.ConnackDecode(b)
	case packets.Publish:
		err = p.PublishDecode(b)
	case packets.Puback:
		err = p.PubackDecode(b)
	case packets.Suback:
		err = p.SubackDecode(b)
	case packets.Pingresp:
	default:
		err = fmt.Errorf("packet type %d", p.FixedHeader.Type)
	}
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrBroker, err)
	}
	return p, nil
}

// read takes what the broker sends until the connection ends.
func (c *Client) read(r *bufio.Reader) {
	defer close(c.messages)
	for {
		if err := c.conn.SetReadDeadline(time.Now().Add(c.keepAlive * 3 / 2)); err != nil {
			_ = c.end(fmt.Errorf("%w: %w", ErrClosed, err))
			return
		}
		p, err := readPacket(r)
		if err == nil {
			err = c.take(p)
		}
		if err != nil {
			_ = c.end(err)
			return
		}
	}
}

func (c *Client) take(p packets.Packet) error {
	switch p.FixedHeader.Type {
	case packets.Publish:
		return c.deliver(p)
	case packets.Puback, packets.Suback:
		c.mu.Lock()
		answer := c.waiting[p.PacketID]
		delete(c.waiting, p.PacketID)
		c.mu.Unlock()
		if answer != nil { // nil: of an earlier connection of a durable session
			answer <- p
		}
		return nil
	case packets.Pingresp:
		return nil
	}
	return fmt.Errorf("%w: a second CONNACK", ErrBroker)
}

func (c *Client) deliver(p packets.Packet) error {
	if p.FixedHeader.Qos > 1 {
		return fmt.Errorf("%w: QoS %d was never asked for", ErrBroker, p.FixedHeader.Qos)
	}
	select {
	case c.messages <- Message{p.TopicName, p.Payload, p.FixedHeader.Qos, p.FixedHeader.Retain}:
	default:
		return ErrSlow
	}
	if p.FixedHeader.Qos == 0 {
		return nil
	}
	select {
	case c.acks <- p.PacketID:
		return nil
	default:
		return ErrSlow // the broker does not fetch ours
	}
}

// answer acknowledges what was delivered, apart from the reader: a broker that
// waits for us to read must not find us waiting for it to. It also keeps the
// connection alive; what comes back moves the read deadline.
func (c *Client) answer() {
	t := time.NewTicker(c.keepAlive / 2)
	defer t.Stop()
	for {
		p := packets.Packet{FixedHeader: packets.FixedHeader{Type: packets.Pingreq}}
		select {
		case <-t.C:
		case id := <-c.acks:
			p.FixedHeader.Type, p.PacketID = packets.Puback, id
		case <-c.done:
			return
		}
		if c.write(p) != nil {
			return
		}
	}
}
