package e2e

import "encoding/hex"

// VW is how the message with this 11-bit identifier is protected in cars of the
// VW group; length is that of its frames, in octets. It is false for a message
// without an entry: that may be unprotected, or [Config.Plain].
func VW(id uint32, length int) (c Config, ok bool) {
	for i := range table {
		switch r := &table[i]; {
		case r.id != id:
		case r.length == 0:
			c.Constants, ok = r.bytes(), true
		case r.length < length:
			c.Short, c.ShortTo = r.length, r.bytes()
		}
	}
	return c, ok
}

// bytes are the constants; a text that is not 16 octets leaves the rest 0, and
// a test sees to it that there is none.
func (r *row) bytes() (b [16]byte) {
	_, _ = hex.Decode(b[:], []byte(r.constants[:min(32, len(r.constants))]))
	return b
}
