// Package profile reads the one YAML file that makes the agent fit a car, and
// finds every mistake in it before the car does: [Load] either gives a [Profile]
// in which each name leads to bits of a message and to a leaf of the catalogue,
// or says, for each mistake, file, line, column, what is wrong and what would be
// right.
//
// A profile stands beside the DBC files it names. It is strict: unknown and
// doubled keys are mistakes. There are no expressions in it.
package profile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/headunit-agent/headunit/canbus/dbc"
)

// What was proven on the car that a profile is for. Only the first two are ever
// sent anything.
const (
	ProvenReference = "reference" // the simulated car
	ProvenOperate   = "operate"   // values compared, operations tried
	ProvenRead      = "read"      // values compared
)

// A Profile is a checked and compiled profile. It is not changed after [Load].
type Profile struct {
	File        string
	ID, Title   string
	Proven      string
	Attributes  map[Path]Value
	Equipment   []string
	Parameters  map[string]Parameter // per car, entered at installation
	Buses       []Bus                // in the order of the file
	Messages    []*Message           // every message that anything below uses, by bus and name
	Signals     map[Path][]*Source   // in order of preference
	Crash       *Crash               // nil: the car has none
	Operations  map[string]*Operation
	Wake        map[string]*Wake // by bus
	Keys        *Keys            // nil: the profile names no enrolment method
	Diagnostics *Diagnostics     // nil: none

	refs    map[string][]dbc.Ref // by bus: what a plan must hold
	plans   map[string]*dbc.Plan
	allowed []Allowed
}

// A Parameter is a number that differs from car to car.
type Parameter struct {
	Type     string // "uint"
	Min, Max int64
	Secret   bool // never shown or logged
}

// A Bus is one CAN bus of the car.
type Bus struct {
	Name        string
	File        string // of the DBC, as written
	DBC         *dbc.File
	Bitrate     int           // bit/s
	DataBitrate int           // bit/s of the data phase; 0: classic CAN
	AsleepAfter time.Duration // without a frame for this long the bus is silent
}

// A Message is what the agent knows of one message it uses.
type Message struct {
	Bus     string
	DBC     *dbc.Message
	Fresh   time.Duration // a value older than this is stale
	E2E     *E2E          // nil: not protected
	ValidIf *Condition    // nil: always
	Masked  []string      // signals that are never kept, shown or recorded
	Send    *Sendable     // nil: never sent
	line    int
	col     int
}

// E2E is end-to-end protection of the VW group kind (package e2e).
type E2E struct {
	Constants *[16]byte // by counter; nil: the built-in table, by identifier
	MaxGap    int       // largest jump of the counter that is accepted; 0: default
	Length    int       // octets protected; 0: all
	Policy    Policy
}

// A Policy says what becomes of the signals of a frame that fails its
// protection. Checksum and counter cover the whole frame, so all signals of a
// message share one.
type Policy string

// The policies. Whatever it is, every failure is counted.
const (
	Reject Policy = "reject" // nothing in the frame counts; the zero value means this too
	Count  Policy = "count"  // the signals count as if the frame had passed
	Show   Policy = "show"   // the signals are shown as last known values, and nothing is decided on them
)

// Sendable makes a message part of the allow-list.
type Sendable struct {
	Cycle     time.Duration // between frames at rest
	Fast      time.Duration // between frames while something is asked; 0: Cycle
	MaxRate   int           // frames/s
	AbsentFor time.Duration // nobody else may have sent it for this long; 0: not asked
}

// A Condition holds when the raw value of Signal is Is.
type Condition struct {
	Signal SignalRef
	Is     int64
}

// A SignalRef names a signal on a bus of the profile.
type SignalRef struct{ Bus, Message, Signal string }

// String is the form of the profile, bus/Message.Signal.
func (r SignalRef) String() string { return r.Bus + "/" + r.Message + "." + r.Signal }

// Bus is the bus of that name.
func (p *Profile) Bus(name string) (Bus, bool) {
	i := slices.IndexFunc(p.Buses, func(b Bus) bool { return b.Name == name })
	if i < 0 {
		return Bus{}, false
	}
	return p.Buses[i], true
}

// Message is what the profile knows of a message; nil for one it does not use.
func (p *Profile) Message(bus, name string) *Message {
	i, ok := slices.BinarySearchFunc(p.Messages, messageKey{bus, name}, func(m *Message, k messageKey) int {
		return cmp.Or(cmp.Compare(m.Bus, k.bus), cmp.Compare(m.DBC.Name, k.name))
	})
	if !ok {
		return nil
	}
	return p.Messages[i]
}

// Signal is the layout of a signal; nil if there is none of that name.
func (p *Profile) Signal(r SignalRef) *dbc.Signal {
	b, ok := p.Bus(r.Bus)
	if !ok {
		return nil
	}
	m := b.DBC.Message(r.Message)
	if m == nil {
		return nil
	}
	return m.Signal(r.Signal)
}

// Plan decodes every signal of a bus that the agent reads; its values are
// numbered as in Wanted. It is nil for an unknown bus.
func (p *Profile) Plan(bus string) *dbc.Plan { return p.plans[bus] }

// Wanted is every signal of a bus that the agent reads, each once.
func (p *Profile) Wanted(bus string) []dbc.Ref { return p.refs[bus] }

// Allowed is the allow-list: what may be sent, and nothing else.
func (p *Profile) Allowed() []Allowed { return p.allowed }

// Paths are the paths that have a source, in order; those of the crash included.
func (p *Profile) Paths() []Path {
	paths := make([]Path, 0, len(p.Signals)+3)
	for path := range p.Signals {
		paths = append(paths, path)
	}
	if p.Crash != nil {
		paths = append(paths, crashPaths()...)
	}
	slices.Sort(paths)
	return paths
}

// ErrNotBeside is in the mistake for a DBC file that lies elsewhere.
var ErrNotBeside = errors.New("a profile's DBC files lie in its own folder")

// Load reads a profile and the DBC files beside it. The problems are warnings;
// with mistakes the profile is nil and the error holds [Mistakes], or says why
// the file could not be read.
func Load(file string) (*Profile, []Problem, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, fmt.Errorf("profile: %w", err)
	}
	dir := filepath.Dir(file)
	return Parse(file, src, func(name string) ([]byte, error) {
		if name != filepath.Base(name) || !filepath.IsLocal(name) {
			return nil, ErrNotBeside
		}
		return os.ReadFile(filepath.Join(dir, name))
	})
}

// Parse is [Load] for a profile that was read already; read gives the DBC files
// by the names the profile uses.
func Parse(file string, src []byte, read func(name string) ([]byte, error)) (*Profile, []Problem, error) {
	c := &checker{
		file: file, set: make(map[messageKey]*Message), used: make(map[string]map[string]bool),
		p: &Profile{
			File: file, Attributes: make(map[Path]Value), Parameters: make(map[string]Parameter),
			Signals: make(map[Path][]*Source), Operations: make(map[string]*Operation),
			Wake: make(map[string]*Wake), refs: make(map[string][]dbc.Ref), plans: make(map[string]*dbc.Plan),
		},
	}
	if root := c.parseTree(src); root != nil {
		c.profile(root, read)
	}
	if len(c.mistakes) == 0 {
		c.finish()
	}
	if len(c.mistakes) > 0 {
		return nil, sortProblems(c.warnings), Mistakes(sortProblems(c.mistakes))
	}
	return c.p, sortProblems(c.warnings), nil
}

// reason is an error of the file system without the path that the reader knows.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
