package ecall

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/msd"
)

// A Config is what the installation knows of the car. Every part has a default,
// and a call is placed with nothing but defaults.
type Config struct {
	VIN       msd.VIN // zero: sent as seventeen zeros
	Type      msd.VehicleType
	Storage   msd.Storage
	Version   uint8 // of the MSD, circuit-switched
	Driver    string
	Ports     []string
	Baud      int
	Test      Number
	Breakdown Number
	Service   Number
	Crash     []Source
	Ignition  *Source
	SOS       SOS
	GNSS      string // "gpsd:HOST:PORT", or a serial device that speaks NMEA
}

// A Number is a telephone number. It hides itself.
type Number string

// String tells nothing.
func (Number) String() string { return "number (hidden)" }

// Format hides the number from every verb.
func (n Number) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(n.String())) }

// MarshalText hides the number from JSON and logs.
func (n Number) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// A Watch names bits of one message on one bus.
type Watch struct {
	Bus      string // a device name, such as socketcand:unix:/run/headunit/canhub/can0
	ID       uint32
	Extended bool
	Len      int  // octets; 0: any
	E2E      *E2E // nil: not protected
	Any      Mask // at least one is set …
	Zero     Mask // … and none of these
}

// An E2E is the protection of a message of the VW group (AUTOSAR profile 2).
type E2E struct {
	Constants *[16]byte // by counter; nil: the built-in table, or none
	Length    int       // octets protected; 0: all
}

// A Source is a [Watch] with the rule by which it counts.
type Source struct {
	Watch
	Frames int           // good frames in a row
	Within time.Duration // from the first to the last of them
	Alone  bool          // it needs no other source
	Recent time.Duration // of the ignition: seen on so lately
}

// An SOS is the key that calls for help.
type SOS struct {
	Key     *Watch
	Hold    time.Duration
	Presses uint8
	Within  time.Duration
	Unhold  time.Duration
	Screen  bool // "sos" on the request socket counts
}

// Defaults are what holds where the configuration says nothing.
func Defaults() Config {
	return Config{
		Type: msd.M1, Version: 2, Driver: "telit", Baud: 115200,
		Ports: []string{"/dev/ttyUSB2", "/dev/ttyUSB3"}, // where Linux shows the AT ports of an LE910
		GNSS:  "gpsd:127.0.0.1:2947",
		SOS:   SOS{Hold: Standard.Hold, Presses: Standard.Presses, Within: Standard.Within, Unhold: Standard.Unhold},
	}
}

// Limits are [Standard] with what c says of the SOS key.
func (c *Config) Limits() Limits {
	l := Standard
	l.Hold, l.Presses, l.Within, l.Unhold = c.SOS.Hold, c.SOS.Presses, c.SOS.Within, c.SOS.Unhold
	return l
}

// A Grade says how far a configuration can be believed.
type Grade int

// The grades, worst first.
const (
	Unreadable Grade = iota // defaults only
	Doubtful                // readable, but its last line does not vouch for it
	Sound
)

// Bounds of a configuration.
const (
	MaxConfig  = 64 * 1024
	maxSources = 16
)

// Parse reads a configuration: one JSON object, then a last line
// "crc32:XXXXXXXX" over every octet before it (IEEE, upper case). It takes
// whatever it can; wrong names what was replaced by its default, never a value.
func Parse(b []byte) (c Config, g Grade, wrong []string) {
	c = Defaults()
	r := &tolerant{}
	body, sound := split(b)
	if !sound {
		r.bad("crc32")
	}
	top := r.object("", body)
	if top == nil || len(b) > MaxConfig {
		return Defaults(), Unreadable, []string{"file"}
	}
	r.car(top, &c)
	r.modem(top, &c)
	r.triggers(top, &c)
	if g = Doubtful; sound {
		g = Sound
	}
	return c, g, r.wrong
}

// split takes off the last line and says whether it is the right one.
func split(b []byte) (body []byte, sound bool) {
	text := bytes.TrimRight(b, "\r\n")
	i := bytes.LastIndexByte(text, '\n') + 1
	last, ok := bytes.CutPrefix(text[i:], []byte("crc32:"))
	if !ok {
		return b, false
	}
	return text[:i], string(last) == fmt.Sprintf("%08X", crc32.ChecksumIEEE(text[:i]))
}

// A tolerant reader keeps the default of every field it cannot read.
type tolerant struct{ wrong []string }

func (r *tolerant) bad(name string) {
	if len(r.wrong) < 64 {
		r.wrong = append(r.wrong, name)
	}
}

// object is nil, and an error noted, if raw is something else.
func (r *tolerant) object(name string, raw []byte) map[string]json.RawMessage {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		r.bad(name)
		return nil
	}
	return m
}

// take reads m[key] into to, if it is there and ok.
func take[T any](r *tolerant, m map[string]json.RawMessage, path, key string, to *T, ok func(T) bool) bool {
	raw, there := m[key]
	if !there || string(raw) == "null" {
		return false
	}
	var v T
	if err := json.Unmarshal(raw, &v); err != nil || ok != nil && !ok(v) {
		r.bad(path + key)
		return false
	}
	*to = v
	return true
}

func between[T int | uint8 | uint32](low, high T) func(T) bool {
	return func(v T) bool { return v >= low && v <= high }
}

// millis reads a time in milliseconds.
func (r *tolerant) millis(m map[string]json.RawMessage, path, key string, to *time.Duration, most time.Duration) {
	var n int
	if take(r, m, path, key, &n, between(1, int(most/time.Millisecond))) {
		*to = time.Duration(n) * time.Millisecond
	}
}

func name(s string) bool {
	return s != "" && len(s) <= 256 && strings.IndexFunc(s, func(c rune) bool { return c < ' ' }) < 0
}

var storages = map[string]msd.Storage{
	"gasoline": msd.Gasoline, "diesel": msd.Diesel, "cng": msd.CNG, "lpg": msd.LPG,
	"electric": msd.Electric, "hydrogen": msd.Hydrogen, "other": msd.OtherStorage,
}

var types = []string{"M1", "M2", "M3", "N1", "N2", "N3", "L1e", "L2e", "L3e", "L4e", "L5e", "L6e", "L7e"}

func (r *tolerant) car(top map[string]json.RawMessage, c *Config) {
	var text string
	if !take(r, top, "", "vin", &text, func(s string) bool { _, err := msd.ParseVIN(s); return err == nil }) {
		if _, there := top["vin"]; !there {
			r.bad("vin") // a call without it is worth less
		}
	} else {
		c.VIN, _ = msd.ParseVIN(text)
	}
	if text = ""; take(r, top, "", "type", &text, nil) {
		known := false
		for i, t := range types {
			if t == text {
				c.Type, known = msd.VehicleType(i+1), true
			}
		}
		if !known {
			r.bad("type")
		}
	}
	var list []string
	if take(r, top, "", "storage", &list, nil) {
		for _, s := range list {
			if storages[s] == 0 {
				r.bad("storage")
			}
			c.Storage |= storages[s]
		}
	}
	if raw, there := top["msd"]; there {
		take(r, r.object("msd", raw), "msd.", "cs", &c.Version, between[uint8](1, 3))
	}
	if c.Version == 1 && c.Storage&msd.OtherStorage != 0 { // it would be refused, and cost the MSD its vehicle
		c.Storage &^= msd.OtherStorage
		r.bad("storage")
	}
	take(r, top, "", "gnss", &c.GNSS, func(s string) bool { return s == "" || name(s) })
}

func (r *tolerant) modem(top map[string]json.RawMessage, c *Config) {
	if raw, there := top["modem"]; there {
		m := r.object("modem", raw)
		take(r, m, "modem.", "driver", &c.Driver, func(s string) bool { return s == "telit" })
		take(r, m, "modem.", "baud", &c.Baud, between(1200, 4_000_000))
		take(r, m, "modem.", "ports", &c.Ports, func(p []string) bool {
			return len(p) == 1 && name(p[0]) || len(p) == 2 && name(p[0]) && name(p[1]) && p[0] != p[1]
		})
	}
	if raw, there := top["numbers"]; there {
		m := r.object("numbers", raw)
		for key, to := range map[string]*Number{"test": &c.Test, "breakdown": &c.Breakdown, "service": &c.Service} {
			var text string
			if take(r, m, "numbers.", key, &text, number) {
				*to = Number(text)
			}
		}
	}
}

// number takes what a network can dial, and no short number: those are
// emergency numbers. An empty one is not set.
func number(s string) bool {
	digits := strings.TrimPrefix(s, "+")
	return s == "" || len(digits) >= 5 && len(digits) <= 20 && strings.Trim(digits, "0123456789") == ""
}

func (r *tolerant) triggers(top map[string]json.RawMessage, c *Config) {
	var list []json.RawMessage
	if take(r, top, "", "crash", &list, func(l []json.RawMessage) bool { return len(l) <= maxSources }) {
		for i, raw := range list {
			if s, ok := r.source(fmt.Sprintf("crash[%d].", i), raw); ok {
				c.Crash = append(c.Crash, s)
			}
		}
	}
	if raw, there := top["ignition"]; there {
		if s, ok := r.source("ignition.", raw); ok {
			c.Ignition = &s
		}
	}
	raw, there := top["sos"]
	if !there {
		return
	}
	m := r.object("sos", raw)
	r.millis(m, "sos.", "hold_ms", &c.SOS.Hold, time.Minute)
	r.millis(m, "sos.", "presses_ms", &c.SOS.Within, time.Minute)
	r.millis(m, "sos.", "cancel_ms", &c.SOS.Unhold, time.Minute)
	take(r, m, "sos.", "presses", &c.SOS.Presses, between[uint8](2, 20))
	take(r, m, "sos.", "screen", &c.SOS.Screen, nil)
	if _, there := m["bus"]; there {
		if s, ok := r.source("sos.", raw); ok {
			c.SOS.Key = &s.Watch
		}
	}
}

// source reads one message to watch. Without bus, message and bits it is none.
func (r *tolerant) source(path string, raw []byte) (s Source, ok bool) {
	s = Source{Frames: 2, Within: 200 * time.Millisecond, Alone: true, Recent: 10 * time.Second}
	m, before := r.object(strings.TrimSuffix(path, "."), raw), len(r.wrong)
	if m == nil {
		return Source{}, false
	}
	has := take(r, m, path, "bus", &s.Bus, name)
	has = take(r, m, path, "id", &s.ID, between[uint32](0, canbus.MaxExtendedID)) && has
	s.Extended = s.ID > canbus.MaxStandardID
	var extended bool
	if take(r, m, path, "extended", &extended, nil) {
		s.Extended = s.Extended || extended
	}
	take(r, m, path, "len", &s.Len, func(n int) bool { return n > 0 && canbus.ValidLen(n) })
	if has = r.bits(m, path, "any", s.Len, &s.Any) && has; !has {
		if len(r.wrong) == before {
			r.bad(strings.TrimSuffix(path, "."))
		}
		return Source{}, false
	}
	r.bits(m, path, "zero", s.Len, &s.Zero)
	take(r, m, path, "frames", &s.Frames, between(1, 16))
	take(r, m, path, "alone", &s.Alone, nil)
	r.millis(m, path, "within_ms", &s.Within, time.Minute)
	r.millis(m, path, "recent_ms", &s.Recent, time.Hour)
	if raw, there := m["e2e"]; there && string(raw) != "null" {
		s.E2E = r.e2e(path, raw, s.Len)
	}
	return s, true
}

// bits reads positions. One that is not in the message is passed over.
func (r *tolerant) bits(m map[string]json.RawMessage, path, key string, length int, to *Mask) bool {
	if length == 0 {
		length = canbus.MaxLenFD
	}
	var list []int
	if !take(r, m, path, key, &list, nil) {
		return false
	}
	for _, i := range list {
		if i < 0 || i >= 8*length {
			r.bad(path + key)
			continue
		}
		to.Set(i)
	}
	return !to.empty()
}

// e2e reads the protection. One that cannot be read is none: a crash is rather
// believed than missed.
func (r *tolerant) e2e(path string, raw []byte, length int) *E2E {
	m := r.object(path+"e2e", raw)
	var kind, text string
	if !take(r, m, path+"e2e.", "kind", &kind, func(s string) bool { return s == "vw" }) {
		if _, there := m["kind"]; !there {
			r.bad(path + "e2e.kind")
		}
		return nil
	}
	p := &E2E{}
	take(r, m, path+"e2e.", "len", &p.Length, func(n int) bool { return n > 1 && (length == 0 || n <= length) })
	if !take(r, m, path+"e2e.", "const", &text, func(s string) bool { return len(s) == 2 || len(s) == 32 }) {
		if _, there := m["const"]; there {
			return nil
		}
		return p
	}
	b, err := hex.DecodeString(text)
	if err != nil {
		r.bad(path + "e2e.const")
		return nil
	}
	p.Constants = new([16]byte)
	for i := range p.Constants {
		p.Constants[i] = b[i%len(b)]
	}
	return p
}
