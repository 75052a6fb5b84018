// Package dbc reads DBC files, the way in which CAN messages are described, and
// compiles what is wanted of them into a [Plan] that decodes a frame without
// allocating. It takes the files that exist, not only those the format allows:
// what it had to overlook is a [Warning] with line and column. A value is never
// clamped to the range that the file names, since what lies beyond it often
// means "not available" (255 of an octet, say), and a clamped one looks like a
// measurement.
//
// The package is pure: no clock, no I/O, no logging.
package dbc

import "time"

// A File is what [Parse] understood of one DBC file. It does not change after
// Parse and may be used by any number of goroutines.
type File struct {
	Name     string // as given to Parse
	Version  string
	Comment  string
	Messages []*Message // in the order of the file; identifiers are unique

	byName map[string]*Message
}

// Message is the message of that name, nil if there is none. Names are case
// sensitive. If a file uses a name twice, which gives a warning, it is the last.
func (f *File) Message(name string) *Message { return f.byName[name] }

// A Message is the layout of the frames with one identifier.
type Message struct {
	Name     string
	ID       uint32        // 11 or 29 bits, without the flag bit of the file
	Extended bool          // 29-bit identifier
	FD       bool          // sent as CAN FD
	Len      int           // octets, as the file says; may be 0, or a length that no frame has
	Cycle    time.Duration // GenMsgCycleTime; 0: unknown
	SendType string        // GenMsgSendType, as text where the file defines one
	Sender   string
	Comment  string
	Signals  []*Signal // in the order of the file

	byName map[string]*Signal
	at     int // offset in the file
}

// Signal is the signal of that name, nil if there is none.
func (m *Message) Signal(name string) *Signal { return m.byName[name] }

// A Signal says where a number lies in a message and what it means. The physical
// value is raw × Factor + Offset, in Unit.
type Signal struct {
	Name      string
	Start     int // bit, counted as in the file: of the lowest bit, BigEndian of the highest
	Size      int // bits, 1 to 64
	BigEndian bool
	Signed    bool // two's complement of Size bits
	Float     bool // IEEE 754; Size is 32 or 64
	Factor    float64
	Offset    float64
	Min, Max  float64 // information only; both 0: none
	Unit      string
	Comment   string
	Values    map[int64]string // texts of raw values
	// InitialRaw is the value that [Message.Encode] starts from, in the form of
	// [Value.Raw].
	InitialRaw uint64

	// Switch is set if the raw value chooses which other signals are present.
	Switch bool
	// Under is the switch that this signal hangs on: it is present when the
	// switch is, and when its bits, read as unsigned, lie in one of When. Nil:
	// always present.
	Under *Signal
	When  []Range

	mux mux
	at  int // offset in the file
}

// A Range of unsigned switch values, both ends included.
type Range struct{ From, To uint64 }

// present reports whether s is in a frame whose switches have the given bits.
func (s *Signal) present(bits func(*Signal) (uint64, bool)) bool {
	for ; s.Under != nil; s = s.Under {
		v, ok := bits(s.Under)
		if !ok || !within(s.When, v&s.Under.mask()) {
			return false
		}
	}
	return !s.mux.lost
}

func within(when []Range, v uint64) bool {
	for _, r := range when {
		if r.From <= v && v <= r.To {
			return true
		}
	}
	return false
}
