package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
)

// ecallCmd holds what the installation knows and no profile can: the VIN, the
// devices, the numbers.
type ecallCmd struct {
	File string `arg:"" help:"Profile (YAML)."`

	Bus       map[string]string `help:"Device of a bus of the profile, such as drive=socketcan:can0. Wanted for every bus that shows a crash." placeholder:"NAME=DEVICE"`
	VIN       string            `name:"vin" help:"Vehicle identification number. Without it the call sends seventeen zeros."`
	Type      string            `help:"Vehicle type." default:"M1" enum:"M1,M2,M3,N1,N2,N3,L1e,L2e,L3e,L4e,L5e,L6e,L7e"`
	Storage   []string          `help:"Energy on board (${enum}); else from Vehicle.Powertrain.Type." enum:"gasoline,diesel,cng,lpg,electric,hydrogen,other"`
	MsdCs     int               `name:"msd-cs" help:"MSD version on a circuit-switched call." default:"2"`
	MsdIms    int               `name:"msd-ims" help:"MSD version over IMS." default:"3"`
	Driver    string            `help:"Modem driver." default:"telit"`
	Port      []string          `help:"AT port of the modem; one or two." default:"/dev/ttyUSB2,/dev/ttyUSB3"`
	Baud      int               `help:"Speed of the AT ports." default:"115200"`
	Power     string            `help:"File that switches the modem's power."`
	Test      string            `help:"Number for test calls."`
	Breakdown string            `help:"Number for breakdown calls."`
	Service   string            `help:"Number for service calls."`
	SosEvent  string            `help:"Input device of the SOS key."`
	SosCode   int               `help:"Key code of the SOS key." default:"639"`
	SosSignal string            `help:"One-bit signal of the SOS key, if a bus carries it." placeholder:"BUS/MESSAGE.SIGNAL"`
	SosScreen bool              `help:"A press on the screen counts."`
	Gnss      string            `help:"gpsd:HOST:PORT or a serial device." default:"gpsd:127.0.0.1:2947"`
	LampGreen string            `help:"Green lamp (sysfs)."`
	LampRed   string            `help:"Red lamp (sysfs)."`
}

// The configuration of ecalld. A field that is left out has ecalld's default.
type ecallConfig struct {
	V        int               `json:"v"`
	VIN      string            `json:"vin,omitempty"`
	Type     string            `json:"type"`
	Storage  []string          `json:"storage,omitempty"`
	MSD      map[string]int    `json:"msd"`
	Modem    ecallModem        `json:"modem"`
	Numbers  map[string]string `json:"numbers"`
	Crash    []ecallSource     `json:"crash"`
	Ignition *ecallSource      `json:"ignition,omitempty"`
	SOS      map[string]any    `json:"sos"`
	GNSS     string            `json:"gnss"`
	Lamps    map[string]string `json:"lamps,omitempty"`
}

type ecallModem struct {
	Driver string   `json:"driver"`
	Ports  []string `json:"ports"`
	Baud   int      `json:"baud"`
	Power  string   `json:"power,omitempty"`
}

type ecallSource struct {
	Bus      string    `json:"bus"`
	ID       uint32    `json:"id"`
	Extended bool      `json:"extended,omitempty"`
	Len      int       `json:"len"`
	E2E      *ecallE2E `json:"e2e,omitempty"`
	Any      []int     `json:"any"`
	Zero     []int     `json:"zero,omitempty"`
	Frames   int       `json:"frames,omitempty"`
	WithinMs int64     `json:"within_ms,omitempty"`
	RecentMs int64     `json:"recent_ms,omitempty"`
	Alone    *bool     `json:"alone,omitempty"`
}

type ecallE2E struct {
	Kind  string `json:"kind"`
	Const string `json:"const,omitempty"` // hex, one octet or 16; none: ecalld's own table
	Len   int    `json:"len,omitempty"`
}

// Run writes the configuration: one JSON object, and a last line that vouches
// for it.
func (c *ecallCmd) Run(w output) error {
	p, err := load(w, c.File, true)
	if err != nil {
		return err
	}
	if err := c.check(p); err != nil {
		return err
	}
	out := ecallConfig{
		V: 1, VIN: c.VIN, Type: c.Type, Storage: c.storage(p), MSD: map[string]int{"cs": c.MsdCs, "ims": c.MsdIms},
		Modem:   ecallModem{c.Driver, c.Port, c.Baud, c.Power},
		Numbers: map[string]string{"test": c.Test, "breakdown": c.Breakdown, "service": c.Service},
		SOS:     map[string]any{"code": c.SosCode, "screen": c.SosScreen}, GNSS: c.Gnss, Crash: []ecallSource{},
	}
	if c.SosEvent != "" {
		out.SOS["event"] = c.SosEvent
	}
	if c.SosSignal != "" {
		if err := c.sosKey(p, out.SOS); err != nil {
			return err
		}
	}
	if c.LampGreen != "" || c.LampRed != "" {
		out.Lamps = map[string]string{"green": c.LampGreen, "red": c.LampRed}
	}
	if p.Crash != nil {
		for i := range p.Crash.Sources {
			out.Crash = append(out.Crash, c.crash(&p.Crash.Sources[i]))
		}
		if o := p.Crash.OnlyWith; o != nil && o.Bit >= 0 {
			s := c.source(o.Message)
			s.Any, s.RecentMs = []int{o.Bit}, o.SeenWithin.Milliseconds()
			out.Ignition = &s
		}
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(out); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%scrc32:%08X\n", text.Bytes(), crc32.ChecksumIEEE(text.Bytes()))
	return err
}

var (
	vinForm    = regexp.MustCompile(`^[0-9A-HJ-NPR-Z]{17}$`)
	numberForm = regexp.MustCompile(`^\+?[0-9]{5,20}$`)
)

// check asks for everything before anything is written: ecalld would take a
// half-right file and call with its defaults.
func (c *ecallCmd) check(p *profile.Profile) error {
	if c.VIN != "" && !vinForm.MatchString(c.VIN) {
		return errUse{"--vin: a VIN has 17 capital letters and digits, without I, O and Q"}
	}
	for flag, n := range map[string]string{"test": c.Test, "breakdown": c.Breakdown, "service": c.Service} {
		if n != "" && !numberForm.MatchString(n) {
			return errUse{fmt.Sprintf("--%s: a number has 5 to 20 digits; short ones are emergency numbers", flag)}
		}
	}
	if c.MsdCs < 1 || c.MsdCs > 3 || c.MsdIms < 1 || c.MsdIms > 3 {
		return errUse{"--msd-cs and --msd-ims: MSD versions are 1, 2 and 3"}
	}
	if len(c.Port) < 1 || len(c.Port) > 2 {
		return errUse{"--port: a modem has one or two AT ports here"}
	}
	for name := range c.Bus {
		if _, ok := p.Bus(name); !ok {
			return errUse{fmt.Sprintf("--bus: the profile has no bus %q", name)}
		}
	}
	for _, name := range crashBuses(p) {
		if c.Bus[name] == "" {
			return errUse{fmt.Sprintf("a crash is seen on bus %q; say which device that is, such as --bus %s=socketcan:can0", name, name)}
		}
	}
	return nil
}

func crashBuses(p *profile.Profile) []string {
	if p.Crash == nil {
		return nil
	}
	var names []string
	for _, s := range p.Crash.Sources {
		names = append(names, s.Message.Bus)
	}
	if o := p.Crash.OnlyWith; o != nil && o.Bit >= 0 {
		names = append(names, o.Message.Bus)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// storage is what was said, else what the kind of car suggests.
func (c *ecallCmd) storage(p *profile.Profile) []string {
	if len(c.Storage) > 0 {
		return c.Storage
	}
	switch p.Attributes[profile.Must("Vehicle.Powertrain.Type")].Word() {
	case "HYBRID":
		return []string{"gasoline", "electric"}
	case "ELECTRIC":
		return []string{"electric"}
	}
	return nil // petrol or diesel: nobody said
}

func (c *ecallCmd) source(m *profile.Message) ecallSource {
	s := ecallSource{Bus: c.Bus[m.Bus], ID: m.DBC.ID, Extended: m.DBC.Extended, Len: m.DBC.Len}
	if m.E2E != nil {
		s.E2E = &ecallE2E{Kind: "vw", Len: m.E2E.Length}
		if k := m.E2E.Constants; k != nil {
			s.E2E.Const = strings.ToUpper(hex.EncodeToString(k[:]))
			if *k == [16]byte(bytes.Repeat(k[:1], 16)) {
				s.E2E.Const = s.E2E.Const[:2]
			}
		}
	}
	return s
}

// sosKey adds the message that carries the SOS key to the sos object.
func (c *ecallCmd) sosKey(p *profile.Profile, sos map[string]any) error {
	bus, rest, _ := strings.Cut(c.SosSignal, "/")
	name, signal, _ := strings.Cut(rest, ".")
	d := p.Signal(profile.SignalRef{Bus: bus, Message: name, Signal: signal})
	m := p.Message(bus, name)
	switch {
	case d == nil || d.Size != 1:
		return errUse{fmt.Sprintf("--sos-signal %s: the profile's DBC files have no such signal of one bit; write BUS/MESSAGE.SIGNAL", c.SosSignal)}
	case m == nil:
		return errUse{fmt.Sprintf("--sos-signal %s: add the message to the profile's section messages, with its e2e if it has any", c.SosSignal)}
	case c.Bus[bus] == "":
		return errUse{fmt.Sprintf("--sos-signal %s: say which device bus %s is, with --bus", c.SosSignal, bus)}
	}
	s := c.source(m)
	sos["bus"], sos["id"], sos["len"], sos["any"] = s.Bus, s.ID, s.Len, []int{d.Start}
	if s.Extended {
		sos["extended"] = true
	}
	if s.E2E != nil {
		sos["e2e"] = s.E2E
	}
	return nil
}

func (c *ecallCmd) crash(k *profile.CrashSource) ecallSource {
	s := c.source(k.Message)
	for _, b := range k.Any {
		s.Any = append(s.Any, b.Number)
	}
	for _, b := range k.AllZero {
		s.Zero = append(s.Zero, b.Number)
	}
	slices.Sort(s.Any)
	slices.Sort(s.Zero)
	s.Frames, s.WithinMs = k.Frames, int64(k.Within/time.Millisecond)
	if !k.Alone {
		s.Alone = &k.Alone
	}
	return s
}
