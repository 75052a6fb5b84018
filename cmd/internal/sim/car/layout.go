package car

import (
	"math"
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/e2e"
)

// A bus is one of the car's three buses.
type bus uint8

const (
	drive bus = iota
	body
	fd
	buses // how many there are
)

var busNames = [buses]string{"drive", "body", "fd"}

func (b bus) String() string { return busNames[b] }

// A signal says where bits lie. Little endian signals count start from the
// least significant bit, big endian ones from the most significant, both as DBC
// numbers bits.
type signal struct {
	name   string
	start  int
	size   int
	factor float64 // 0 means 1
	offset float64
	signed bool
	big    bool   // big endian
	float  bool   // IEEE 754, 32 bits
	na     uint64 // the raw value that means "not available"; 0: there is none
	mux    int    // 1 + the value of the multiplexor that makes it valid; 0: always
}

// A message is one line of the car's own bit-layout table. It is written down
// apart from the DBC files on purpose: two tables find each other's mistakes.
type message struct {
	name     string
	id       uint32
	bus      bus
	extended bool
	fd       bool
	len      int
	cycle    time.Duration // 0: sent by others
	signals  []signal
	e2e      *e2e.Config // nil: not protected
}

func (m *message) signal(name string) *signal {
	for i := range m.signals {
		if m.signals[i].name == name {
			return &m.signals[i]
		}
	}
	panic("car: " + m.name + " has no signal " + name) // a mistake in this package; a test fills every message
}

// A payload is a message being filled in.
type payload struct {
	m    *message
	data [canbus.MaxLenFD]byte
}

// set writes a physical value. What does not fit stops at the end of the field,
// as a worn sensor does; no verb lets it come to that.
func (p *payload) set(name string, v float64) {
	s := p.m.signal(name)
	if s.float {
		s.put(&p.data, uint64(math.Float32bits(float32(v))))
		return
	}
	factor := s.factor
	if factor == 0 {
		factor = 1
	}
	n := math.Round((v - s.offset) / factor)
	least, most := 0.0, math.Ldexp(1, s.size)-1
	if s.signed {
		least, most = -math.Ldexp(1, s.size-1), math.Ldexp(1, s.size-1)-1
	}
	s.put(&p.data, uint64(int64(min(max(n, least), most))))
}

func (p *payload) flag(name string, on bool) {
	if on {
		p.m.signal(name).put(&p.data, 1)
	}
}

func (p *payload) frame() canbus.Frame {
	f := canbus.Frame{ID: p.m.id, Len: uint8(p.m.len), Data: p.data}
	if p.m.extended {
		f.Flags |= canbus.Extended
	}
	if p.m.fd {
		f.Flags |= canbus.FD | canbus.BRS
	}
	return f
}

// bit is where bit i of s lies, i counted from its least significant bit.
func (s *signal) bit(i int) (octet int, mask byte) {
	n := s.start + i
	if s.big {
		// From the most significant bit on, DBC goes down within an octet and
		// then to the top of the next one.
		down := s.size - 1 - i
		line := s.start/8*8 + 7 - s.start%8 + down
		n = line/8*8 + 7 - line%8
	}
	return n / 8, 1 << (n % 8)
}

func (s *signal) put(data *[canbus.MaxLenFD]byte, raw uint64) {
	for i := range s.size {
		octet, mask := s.bit(i)
		data[octet] &^= mask
		if raw>>i&1 != 0 {
			data[octet] |= mask
		}
	}
}

// raw reads the bits of s, without sign.
func (s *signal) raw(data *[canbus.MaxLenFD]byte) (raw uint64) {
	for i := range s.size {
		if octet, mask := s.bit(i); data[octet]&mask != 0 {
			raw |= 1 << i
		}
	}
	return raw
}
