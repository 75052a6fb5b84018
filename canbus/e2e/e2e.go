// Package e2e tells a protected message that arrived whole and in order from
// every other one: checksum and counter as the VW group uses them (AUTOSAR E2E
// profile 2). A [Config] says how one message is protected, [Config.Check]
// judges what was received, [Config.Protect] completes what is to be sent.
//
// Octet 0 of a protected message is the CRC, the low nibble of octet 1 the
// counter, which advances by one with each frame and wraps at 16. The CRC-8
// (polynomial 2F, initial value and final XOR FF, not reflected) covers the
// octets from 1 on and then one constant that depends on message and counter.
package e2e

// A Verdict on one received frame.
type Verdict string

// The verdicts. Values of a frame count with OK and Jumped only.
const (
	OK       Verdict = "ok"       // the next frame
	First    Verdict = "first"    // whole, but nothing to be in order with: wait for the next
	CRC      Verdict = "crc"      // not whole, or not from the right sender: nothing in it counts
	Repeated Verdict = "repeated" // whole, and seen before: it refreshes nothing
	Jumped   Verdict = "jumped"   // whole, a few frames were lost before it
)

// DefaultMaxGap is the largest step of the counter that is [Jumped] and not [First].
const DefaultMaxGap = 3

// A Config says how one message is protected. The zero value has the constant
// 00 for every counter; see [Constant] and [VW]. It is not changed by its
// methods.
type Config struct {
	Constants [16]byte // by counter
	Plain     bool     // no constant follows the octets
	MaxGap    int      // steps of the counter taken for loss, up to 15; 0 means DefaultMaxGap
	Length    int      // octets protected, counted from octet 0; 0 means the whole frame

	// Some messages exist in two versions. Where Short is not 0 and less than
	// the protected length, a frame passes too if its first Short octets are
	// protected with ShortTo. Protect makes the long form.
	Short   int
	ShortTo [16]byte
}

// Constant is a Config with the same constant for every counter.
func Constant(c byte) Config {
	var all Config
	for i := range all.Constants {
		all.Constants[i] = c
	}
	return all
}

// A State is what the receiver of one message remembers. The zero value has
// seen nothing; put it back when a message was away for longer than the counter
// takes to wrap.
type State struct {
	seen    bool
	counter uint8

	Bad       uint32 // frames with verdict CRC
	Again     uint32 // Repeated
	Lost      uint32 // frames missing before those with Jumped
	Restarted uint32 // First, except for the very first
}

// Check judges one frame. data is its payload; what is too short to be
// protected is [CRC].
func (c *Config) Check(s *State, data []byte) Verdict {
	if !c.whole(data) {
		s.Bad++
		return CRC
	}
	counter := data[1] & 15
	step := int(counter-s.counter) & 15
	seen := s.seen
	s.seen, s.counter = true, counter
	switch {
	case !seen:
		return First
	case step == 0:
		s.Again++
		return Repeated
	case step == 1:
		return OK
	case step <= c.maxGap():
		s.Lost += uint32(step - 1)
		return Jumped
	}
	s.Restarted++
	return First
}

func (c *Config) maxGap() int {
	if c.MaxGap <= 0 {
		return DefaultMaxGap
	}
	return c.MaxGap
}

func (c *Config) whole(data []byte) bool {
	n := c.length(data)
	if n == 0 {
		return false
	}
	if 2 <= c.Short && c.Short < n && data[0] == c.sum(data[:c.Short], &c.ShortTo) {
		return true
	}
	return data[0] == c.sum(data[:n], &c.Constants)
}

// length is how many octets of data are protected, 0 if data is too short.
func (c *Config) length(data []byte) int {
	n := c.Length
	if n == 0 {
		n = len(data)
	}
	if n < 2 || n > len(data) {
		return 0
	}
	return n
}

// Protect fills in the counter, modulo 16, and then the CRC; all else must be
// in place before. data that is too short to be protected stays as it is.
func (c *Config) Protect(data []byte, counter uint8) {
	n := c.length(data)
	if n == 0 {
		return
	}
	data[1] = data[1]&^15 | counter&15
	data[0] = c.sum(data[:n], &c.Constants)
}

// sum is the CRC that belongs into octet 0 of data.
func (c *Config) sum(data []byte, constants *[16]byte) byte {
	crc := byte(0xFF)
	for _, b := range data[1:] {
		crc = remainders[crc^b]
	}
	if !c.Plain {
		crc = remainders[crc^constants[data[1]&15]]
	}
	return ^crc
}

const polynomial = 0x2F

// remainders holds the CRC of each octet alone, with initial value 0.
var remainders = func() (t [256]byte) {
	for i := range t {
		crc := byte(i)
		for range 8 {
			top := crc >> 7
			crc = crc<<1 ^ top*polynomial
		}
		t[i] = crc
	}
	return t
}()
