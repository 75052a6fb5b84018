package modem

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Errors of [Decode].
var (
	ErrShort    = errors.New("MSD is too short")
	ErrVersion  = errors.New("MSD version 0 does not exist")
	ErrFragment = errors.New("MSD is fragmented")
	ErrVIN      = errors.New("letter of the VIN does not exist")
	ErrType     = errors.New("vehicle type does not exist")
)

// An MSD is a minimum set of data as the PSAP reads it (EN 15722). Positions
// are milliarcseconds, north and east positive.
type MSD struct {
	Version    int      `json:"version"`
	ID         int      `json:"id"`
	Automatic  bool     `json:"automatic"`
	Test       bool     `json:"test"`
	Trusted    bool     `json:"trusted"`
	Type       string   `json:"type"` // "M1" …, "unknown"
	VIN        string   `json:"vin"`
	Storage    []string `json:"storage"`
	Timestamp  uint32   `json:"timestamp"` // UNIX seconds of the incident, 0 unknown
	Known      bool     `json:"known"`     // whether there is a position
	Latitude   int32    `json:"latitude_mas"`
	Longitude  int32    `json:"longitude_mas"`
	Degrees    string   `json:"degrees,omitempty"` // the same for people
	Direction  int      `json:"direction"`         // 2° steps from north, 255 unknown
	N1         *Delta   `json:"n1,omitempty"`
	N2         *Delta   `json:"n2,omitempty"`
	Occupants  int      `json:"occupants"` // 255 unknown
	OID        string   `json:"oid,omitempty"`
	Additional string   `json:"additional,omitempty"` // hex
	Flags      []string `json:"flags,omitempty"`      // odd, but readable

	Raw      string    `json:"raw,omitempty"`
	At       time.Time `json:"at,omitzero"` // when the PSAP had it
	Moved    bool      `json:"moved"`       // another place than the MSD before
	Problems []string  `json:"problems,omitempty"`
}

// A Delta is a recent place relative to a newer one, in 100 milliarcseconds.
type Delta struct {
	Latitude  int `json:"latitude"`
	Longitude int `json:"longitude"`
}

const (
	vinLetters      = "0123456789ABCDEFGHJKLMNPRSTUVWXYZ"
	positionUnknown = math.MaxInt32
	farthestNorth   = 90 * 3_600_000
	farthestEast    = 180 * 3_600_000
)

var (
	typeNames = strings.Fields("M1 M2 M3 N1 N2 N3 L1e L2e L3e L4e L5e L6e L7e O R S T G SA SB SC SD other")
	storages  = strings.Fields("gasoline diesel cng lpg electric hydrogen other")
)

// bits reads from the highest bit of each octet on. It remembers the first
// failure and reads zeros from then on.
type bits struct {
	b    []byte
	next int
	err  error
}

func (r *bits) take(n int) (v uint32) {
	if r.err == nil && r.next+n > 8*len(r.b) {
		r.err = ErrShort
	}
	if r.err != nil {
		return 0
	}
	for range n {
		v = v<<1 | uint32(r.b[r.next>>3]>>(7-r.next&7)&1)
		r.next++
	}
	return v
}

func (r *bits) bit() bool { return r.take(1) == 1 }

// length is a general length (X.691 11.9): below 128, or 14 bits.
func (r *bits) length() int {
	if !r.bit() {
		return int(r.take(7))
	}
	if r.bit() {
		r.err = errors.Join(r.err, ErrFragment)
		return 0
	}
	return int(r.take(14))
}

func (r *bits) octets() []byte {
	n := r.length()
	if r.err == nil && r.next+8*n > 8*len(r.b) {
		r.err = ErrShort
	}
	if r.err != nil {
		return nil
	}
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(r.take(8))
	}
	return out
}

// additions skips what a later edition appended to a SEQUENCE.
func (r *bits) additions() {
	n := 0
	if r.bit() {
		n = r.length()
	} else {
		n = int(r.take(6)) + 1
	}
	present := 0
	for range n {
		if r.err != nil {
			return
		}
		present += int(r.take(1))
	}
	for range present {
		r.octets()
	}
}

// Decode reads one MSD of any version; zeros after its end are the modem's
// padding. It returns what it could read and in Flags what was odd, and fails
// for what has no meaning. It never reads outside b.
func Decode(b []byte) (*MSD, error) {
	if len(b) == 0 {
		return nil, ErrShort
	}
	m := &MSD{Version: int(b[0]), Occupants: 255}
	if m.Version == 0 {
		return nil, ErrVersion
	}
	r := &bits{b: b, next: 8}
	rest := []byte(nil)
	if m.Version >= 2 {
		n := r.length()
		from := r.next / 8
		if r.err != nil {
			return nil, r.err
		}
		if n > len(b)-from {
			return nil, fmt.Errorf("%w: %d octets announced, %d there", ErrShort, n, len(b)-from)
		}
		r.b, rest = b[:from+n], b[from+n:]
	}
	if err := m.message(r); err != nil {
		return nil, err
	}
	for _, o := range rest {
		if o != 0 {
			m.flag("octets after the message")
			break
		}
	}
	return m, nil
}

func (m *MSD) flag(text string) { m.Flags = append(m.Flags, text) }

func (m *MSD) message(r *bits) error {
	extended, additional := r.bit(), r.bit()
	if err := m.structure(r); err != nil {
		return err
	}
	if additional {
		oid := r.octets()
		m.Additional = strings.ToUpper(hex.EncodeToString(r.octets()))
		m.OID = m.relativeOID(oid)
	}
	if extended {
		m.flag("unknown additions to the message")
		r.additions()
	}
	if r.err != nil {
		return r.err
	}
	for 8*len(r.b) > r.next {
		if r.bit() {
			m.flag("bits after the end")
			break
		}
	}
	return nil
}

func (m *MSD) structure(r *bits) error {
	old := m.Version < 3
	extended := r.bit()
	has1, has2 := true, true
	if old {
		has1, has2 = r.bit(), r.bit()
	}
	hasOccupants := r.bit()
	m.ID = int(r.take(8))
	m.Automatic, m.Test, m.Trusted = r.bit(), r.bit(), r.bit()
	if err := m.vehicle(r, old); err != nil {
		return err
	}
	m.Timestamp = r.take(32)
	m.place(r)
	m.Direction = int(r.take(8))
	if !old && m.Direction > 179 && m.Direction != 255 {
		m.flag("direction " + strconv.Itoa(m.Direction))
	}
	if has1 {
		m.N1 = &Delta{int(r.take(10)) - 512, int(r.take(10)) - 512}
	}
	if has2 {
		m.N2 = &Delta{int(r.take(10)) - 512, int(r.take(10)) - 512}
	}
	if hasOccupants {
		m.Occupants = int(r.take(8))
	}
	if extended {
		m.flag("unknown additions to the structure")
		r.additions()
	}
	return r.err
}

func (m *MSD) vehicle(r *bits, old bool) error {
	width, known := 5, 23
	if old {
		width, known = 4, 13
	}
	if r.bit() { // a type that was added later
		m.Type = "unknown"
		m.flag("unknown vehicle type")
		if r.bit() {
			r.octets()
		} else {
			r.take(6)
		}
	} else if n := int(r.take(width)); n < known {
		m.Type = typeNames[n]
	} else if r.err == nil {
		return fmt.Errorf("%w: %d", ErrType, n+1)
	}
	var vin [17]byte
	for i := range vin {
		n := r.take(6)
		if int(n) >= len(vinLetters) {
			return fmt.Errorf("%w: code %d", ErrVIN, n)
		}
		vin[i] = vinLetters[n]
	}
	m.VIN = string(vin[:])
	m.storage(r)
	return r.err
}

func (m *MSD) storage(r *bits) {
	n := 7
	if m.Version == 1 {
		n = 6
	}
	extended := r.bit()
	present := r.take(n)
	m.Storage = []string{}
	explicit := false
	for i := range n {
		if present>>(n-1-i)&1 == 0 {
			continue // the default, false
		}
		if r.bit() {
			m.Storage = append(m.Storage, storages[i])
		} else {
			explicit = true
		}
	}
	if explicit {
		m.flag("storage: a default is written out")
	}
	if extended {
		m.flag("unknown additions to the storage")
		r.additions()
	}
}

func (m *MSD) place(r *bits) {
	m.Latitude, m.Longitude = int32(r.take(32)^1<<31), int32(r.take(32)^1<<31)
	m.Known = m.Latitude != positionUnknown && m.Longitude != positionUnknown
	if !m.Known {
		return
	}
	m.Degrees = fmt.Sprintf("%.6f,%.6f", float64(m.Latitude)/3_600_000, float64(m.Longitude)/3_600_000)
	if outside(m.Latitude, farthestNorth) || outside(m.Longitude, farthestEast) {
		m.flag("position is not on the Earth")
	}
}

func outside(v, limit int32) bool { return v > limit || v < -limit }

// relativeOID is the text of a RELATIVE-OID: arcs of seven bits an octet.
func (m *MSD) relativeOID(b []byte) string {
	var text bytes.Buffer
	arc := uint64(0)
	for i, o := range b {
		if arc >= 1<<56 {
			m.flag("OID is too large")
			return ""
		}
		arc = arc<<7 | uint64(o&0x7F)
		if o&0x80 != 0 {
			if i == len(b)-1 {
				m.flag("OID ends in the middle")
			}
			continue
		}
		if text.Len() > 0 {
			text.WriteByte('.')
		}
		fmt.Fprint(&text, arc)
		arc = 0
	}
	return text.String()
}
