package mqtt

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// maxPacket is the largest remaining length a packet from the broker may
// claim. paho 1.5.1 allocates what is claimed before it reads, up to 256 MiB.
const maxPacket = 9216

// maxOwn bounds what paho itself may write in one packet.
const maxOwn = 16 << 10

// The budget of what a broker may send.
const (
	packetsPerSecond = 50
	packetBurst      = 200
	octetsPerSecond  = 256 << 10
	octetBurst       = 256 << 10
)

// A Violation is what a broker did that the guard does not let through.
type Violation struct{ Rule string }

func (v *Violation) Error() string { return "broker broke the protocol: " + v.Rule }

func violation(format string, args ...any) error { return &Violation{fmt.Sprintf(format, args...)} }

// The control packet types of MQTT 3.1.1, table 2.1.
const (
	connect    = 1
	connack    = 2
	publish    = 3
	puback     = 4
	subscribe  = 8
	suback     = 9
	pingreq    = 12
	pingresp   = 13
	disconnect = 14
)

// A guard follows one connection in both directions and decides which packets
// of the broker paho may see. It does no I/O and reads no clock.
type guard struct {
	mu      sync.Mutex
	topics  map[string]bool // what the broker may publish on
	asked   bool            // CONNECT went out
	greeted bool            // CONNACK came in
	refused byte            // its code, if not 0
	open    map[uint16]bool // SUBSCRIBE without SUBACK
	flight  map[uint16]bool // QoS 1 PUBLISH without PUBACK
	acked   map[uint16]bool // PUBACK came, and nobody has asked yet
	pings   int             // PINGREQ without PINGRESP
	left    bool            // DISCONNECT went out

	packets bucket
	octets  bucket
}

func newGuard(topics []string) *guard {
	g := &guard{
		topics:  make(map[string]bool),
		open:    make(map[uint16]bool),
		flight:  make(map[uint16]bool),
		acked:   make(map[uint16]bool),
		packets: bucket{rate: packetsPerSecond, burst: packetBurst},
		octets:  bucket{rate: octetsPerSecond, burst: octetBurst},
	}
	for _, t := range topics {
		g.topics[t] = true
	}
	return g
}

// split finds the first packet in b: its length, 0 if it is not complete yet.
// A remaining length must be in its shortest form and at most limit.
func split(b []byte, limit int) (size int, err error) {
	value, shift := 0, 0
	for i := 1; i < len(b); i++ {
		value |= int(b[i]&0x7F) << shift
		shift += 7
		switch {
		case b[i]&0x80 != 0 && i == 4:
			return 0, violation("remaining length of more than four octets")
		case value > limit:
			return 0, violation("packet of more than %d octets", limit)
		case b[i]&0x80 != 0:
			continue
		case b[i] == 0 && i > 1:
			return 0, violation("remaining length not in its shortest form")
		case len(b) < i+1+value:
			return 0, nil
		}
		return i + 1 + value, nil
	}
	return 0, nil
}

// divide separates the header of a whole packet from its body.
func divide(p []byte) (kind, flags byte, body []byte) {
	i := 1
	for p[i]&0x80 != 0 {
		i++
	}
	return p[0] >> 4, p[0] & 0x0F, p[i+1:]
}

// from judges one whole packet of the broker, received at now.
func (g *guard) from(p []byte, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.packets.take(1, now) || !g.octets.take(float64(len(p)), now) {
		return violation("more than %d packets/s or %d KiB/s", packetsPerSecond, octetsPerSecond>>10)
	}
	kind, flags, body := divide(p)
	switch {
	case kind == connack:
		return g.connack(flags, body)
	case !g.greeted:
		return violation("packet type %d before CONNACK", kind)
	case g.refused != 0:
		return violation("packet type %d after a refusal", kind)
	case kind == publish:
		return g.publish(flags, body)
	case flags != 0:
		return violation("flags %d in packet type %d", flags, kind)
	}
	switch kind {
	case suback:
		return g.suback(body)
	case puback:
		return g.puback(body)
	case pingresp:
		if len(body) != 0 || g.pings == 0 {
			return violation("PINGRESP nobody asked for")
		}
		g.pings--
		return nil
	}
	return violation("packet type %d from a broker", kind)
}

func (g *guard) connack(flags byte, body []byte) error {
	switch {
	case !g.asked || g.greeted:
		return violation("CONNACK nobody asked for")
	case flags != 0 || len(body) != 2 || body[0] != 0 || body[1] > 5: // a clean session has no past
		return violation("malformed CONNACK")
	}
	g.greeted, g.refused = true, body[1]
	return nil
}

func (g *guard) suback(body []byte) error {
	if len(body) != 3 {
		return violation("SUBACK of %d octets for one filter", len(body))
	}
	id := binary.BigEndian.Uint16(body)
	switch {
	case !g.open[id]:
		return violation("SUBACK nobody asked for")
	case body[2] > 2 && body[2] != 0x80:
		return violation("SUBACK with code %d", body[2])
	}
	delete(g.open, id)
	return nil
}

func (g *guard) puback(body []byte) error {
	if len(body) != 2 {
		return violation("PUBACK of %d octets", len(body))
	}
	id := binary.BigEndian.Uint16(body)
	if !g.flight[id] {
		return violation("PUBACK for nothing in flight")
	}
	delete(g.flight, id)
	g.acked[id] = true
	return nil
}

func (g *guard) publish(flags byte, body []byte) error {
	qos := flags >> 1 & 3
	switch {
	case qos > 1:
		return violation("PUBLISH with QoS %d", qos)
	case qos == 0 && flags&8 != 0:
		return violation("PUBLISH repeated with QoS 0")
	case len(body) < 2:
		return violation("PUBLISH without a topic")
	}
	n := 2 + int(binary.BigEndian.Uint16(body))
	if len(body) < n || !g.topics[string(body[2:n])] {
		return violation("PUBLISH on a topic that is not ours")
	}
	if qos == 0 {
		return nil
	}
	if len(body) < n+2 || binary.BigEndian.Uint16(body[n:]) == 0 {
		return violation("PUBLISH with packet id 0")
	}
	return nil
}

// sent notes one whole packet of ours, before its last octet leaves.
func (g *guard) sent(p []byte) {
	g.mu.Lock()
	defer g.mu.Unlock()
	kind, flags, body := divide(p)
	switch kind {
	case connect:
		g.asked = true
	case pingreq:
		g.pings++
	case disconnect:
		g.left = true
	case subscribe:
		if len(body) >= 2 {
			g.open[binary.BigEndian.Uint16(body)] = true
		}
	case publish:
		if flags>>1&3 == 0 || len(body) < 2 {
			return
		}
		if n := 2 + int(binary.BigEndian.Uint16(body)); len(body) >= n+2 {
			id := binary.BigEndian.Uint16(body[n:])
			g.flight[id] = true
			delete(g.acked, id)
		}
	}
}

// took reports whether the broker acknowledged the PUBLISH with that id, and
// forgets it. paho's own tokens end without an error when a connection is lost.
func (g *guard) took(id uint16) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	is := g.acked[id]
	delete(g.acked, id)
	return is
}

// refusal is the code of a CONNACK that was none, 0 if there is none.
func (g *guard) refusal() byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.refused
}

// parted reports whether DISCONNECT went out.
func (g *guard) parted() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.left
}

// A bucket holds up to burst and fills at rate a second. The first take fills it.
type bucket struct {
	rate, burst float64
	has         float64
	at          time.Time
}

func (b *bucket) take(n float64, now time.Time) bool {
	if b.at.IsZero() {
		b.has = b.burst
	} else if d := now.Sub(b.at); d > 0 {
		b.has = min(b.burst, b.has+b.rate*d.Seconds())
	}
	b.at = now
	if b.has < n {
		return false
	}
	b.has -= n
	return true
}
