// Package modem places calls with a modem that speaks AT commands, and never
// keeps its caller longer than the limits stated here, whatever the modem says
// or does not say.
//
// A [Modem] has one or two AT ports. Each port has one owner goroutine, one
// command in flight, and reopens its device by itself. What the modem says of
// its own accord comes as an [Event]. An emergency number is dialled only for a
// [Call] that holds an [Armed].
package modem

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// A Kind says why a call is placed.
type Kind string

// The kinds of call. Manual and Automatic reach the emergency number and need
// an [Armed]; Test and Assist go to [Call.Number].
const (
	Manual    Kind = "manual"
	Automatic Kind = "automatic"
	Test      Kind = "test"   // eCall test call, with MSD
	Assist    Kind = "assist" // ordinary voice call: breakdown, service
)

// A Way is a rung of the degradation ladder, as far as dialling knows it.
type Way string

// The ways to dial. They differ for Manual and Automatic only.
const (
	AsKind Way = ""      // an eCall of the call's own category
	Other  Way = "other" // an eCall of the other category: this one was refused
	Voice  Way = "voice" // a plain call to the emergency number: the last resort
)

// A Call is what [Modem.Dial] is to place. The zero value is refused.
type Call struct {
	Kind   Kind
	Way    Way
	Number string // of Test and Assist: an optional + and 5 to 20 digits; never logged
	Armed  Armed  // of Manual and Automatic
}

// An EventKind says what happened.
type EventKind string

// The events. Those from Start to Codec are of the in-band modem of an eCall.
const (
	Ready    EventKind = "ready"    // the modem answers: call [Modem.Prepare]
	Lost     EventKind = "lost"     // no port answers any more; Ready will follow
	Net      EventKind = "net"      // registration changed: Event.Net
	Dialling EventKind = "dialling" // the network is being asked
	Ringing  EventKind = "ringing"  // the other end rings
	Answered EventKind = "answered" // connected
	Start    EventKind = "start"    // the PSAP asks for the MSD
	LLAck    EventKind = "ll-ack"   // the MSD arrived whole
	ALAck    EventKind = "al-ack"   // Detail 0: accepted; 1: clear down
	T5       EventKind = "t5"       // no START in time; voice is on
	T6       EventKind = "t6"       // no AL-ACK in time; voice is on
	T7       EventKind = "t7"       // MSD not through in time; voice is on
	Sync     EventKind = "sync"     // in-band synchronization lost
	Codec    EventKind = "codec"    // Detail 1: audio muted for data; 0: voice is back
	Ended    EventKind = "ended"    // Event.Cause says why
	Incoming EventKind = "incoming" // a call rings here
)

// A Cause says why a call ended.
type Cause string

// The causes. The zero value is unknown: the modem did not say, or nothing that
// is understood.
const (
	Unknown  Cause = ""
	Normal   Cause = "normal"    // cleared by one of the two ends
	Dropped  Cause = "dropped"   // lost by the network or the radio
	Busy     Cause = "busy"      // the other end is busy
	NoAnswer Cause = "no answer" // nobody answered
)

// A NetState is what the network grants.
type NetState string

// The states of registration. The zero value is unknown.
const (
	Registered NetState = "registered"
	Limited    NetState = "limited" // emergency calls only
	None       NetState = "none"
)

// An Event is something the modem reported of its own accord.
type Event struct {
	Kind   EventKind
	Detail int      // of ALAck and Codec
	Cause  Cause    // of Ended
	Net    NetState // of Net
	At     time.Time
}

// String shows e without its time.
func (e Event) String() string {
	switch e.Kind {
	case Net:
		return string(e.Kind) + " " + string(e.Net)
	case Ended:
		if e.Cause == Unknown {
			return "ended unknown"
		}
		return "ended " + string(e.Cause)
	case ALAck, Codec:
		return fmt.Sprintf("%s %d", e.Kind, e.Detail)
	}
	return string(e.Kind)
}

// Caps are what a modem can do now; they may change with its ports.
type Caps struct {
	MSD       bool // carries an MSD
	LateMSD   bool // the MSD can be loaded while a call is being placed: a second port answers
	Category  bool // knows manual and automatic
	Progress  bool // reports dialling, ringing, answered by itself
	Callback  bool // answers a call-back without the initiation signal
	IMS       bool // chooses packet-switched eCall by itself
	EcallOnly bool // knows eCall-only subscriptions
	Simulator bool // our own simulator, on a pty: nothing real can be reached
}

// A CallState is the state of a call in the modem's list (27.007, +CLCC).
type CallState string

// The states of a call. The zero value: there is none.
const (
	NoCall   CallState = ""
	Active   CallState = "active"
	Held     CallState = "held"
	Placing  CallState = "dialling"
	Alerting CallState = "alerting"
	Calling  CallState = "incoming"
)

// A Status is what the modem said when asked. What it did not say keeps its
// zero value.
type Status struct {
	Answers bool      // it answered at all
	SIM     string    // "ready", "absent", "locked", or "" for unknown
	Net     NetState  // registration
	Signal  int       // dBm, -113 to -51; 0 unknown
	Call    CallState // the most alive call; only true if CallsKnown
	// CallsKnown is set when the modem listed its calls.
	CallsKnown bool
}

// A Depth is how far [Modem.Reset] goes.
type Depth string

// The depths of a reset, in the order of the ladder.
const (
	ResetPort          Depth = "port"          // reopen the devices
	ResetFunctionality Depth = "functionality" // let the modem restart itself, then reopen
	ResetPower         Depth = "power"         // power line off and on
)

// A Modem places and answers calls. Its methods may be called from any
// goroutine. Each returns at the latest when ctx ends, and without that within
// the limit it states; a modem that answers nonsense or nothing lengthens none.
type Modem interface {
	// Caps says what can be done now. It never waits.
	Caps() Caps

	// Prepare makes the modem's settings, in at most 60 s (a search for a
	// network, if one must be started, is most of that); it yields to every
	// other call. A refused setting does not stop the others; the error names
	// the refused. It returns [ErrCall] while a call lives.
	Prepare(ctx context.Context) error

	// LoadMSD hands over the octets of an MSD, at most 140, in at most 2 s.
	// Callers about to dial give ctx a shorter deadline, and dial whatever it
	// returns.
	LoadMSD(ctx context.Context, msd []byte) error

	// Dial places c. It returns nil as soon as the modem took the command or
	// gave a sign of the call, [ErrRefused], or after 5 s [ErrSilent]: then the
	// call may be under way, and only events or Status will tell. Where a second
	// port says that it is not, that one is dialled over, in another 5 s.
	Dial(ctx context.Context, c Call) error

	// Hangup ends every call, in at most 2 s. That end is not told as Ended.
	Hangup(ctx context.Context) error

	// Answer takes an incoming call, in at most 2 s; Answered tells that it
	// worked.
	Answer(ctx context.Context) error

	// Status asks for SIM, registration, signal and calls, in at most 4 s. It
	// returns what it learnt beside an error.
	Status(ctx context.Context) (Status, error)

	// Reset begins anew, in at most 3 s; Lost and Ready follow.
	Reset(ctx context.Context, depth Depth) error

	// Events are what happened, in order. Nobody reading for long loses the
	// oldest, and nothing waits. It is closed by Close.
	Events() <-chan Event

	Close() error
}

// Errors of the methods of a [Modem], to branch on with errors.Is. Only after
// [ErrSilent] may the modem have done what it was asked.
var (
	ErrSilent      = errors.New("modem does not answer")
	ErrRefused     = errors.New("modem refused the command")
	ErrLost        = errors.New("modem is not there")
	ErrBusy        = errors.New("modem is busy with another command")
	ErrCall        = errors.New("not while a call lives")
	ErrNotArmed    = errors.New("emergency call without an armed unit and a physical trigger")
	ErrNumber      = errors.New("not a number this call may go to")
	ErrUnsupported = errors.New("not supported by this modem driver")
	ErrClosed      = errors.New("modem is closed")
)

// A Config names a modem and where it is found.
type Config struct {
	Driver string   // "telit"
	Ports  []string // one or two AT ports; the first dials while it answers
	Baud   int      // 0: 115200
}

// Open starts a driver and returns at once; whether there is a modem behind the
// ports is told by [Ready]. The modem lives until Close or the end of ctx. The
// error is about cfg only.
func Open(ctx context.Context, cfg Config, log zerolog.Logger) (Modem, error) {
	if cfg.Driver != "telit" {
		return nil, fmt.Errorf("modem driver %q is not known; known: telit", cfg.Driver)
	}
	if len(cfg.Ports) < 1 || len(cfg.Ports) > 2 {
		return nil, fmt.Errorf("%d modem ports; one or two are needed", len(cfg.Ports))
	}
	if cfg.Baud == 0 {
		cfg.Baud = 115200
	}
	var lines []opener
	for i, name := range cfg.Ports {
		if name == "" || (i == 1 && name == cfg.Ports[0]) {
			return nil, fmt.Errorf("modem ports %s: each needs a name of its own", strings.Join(cfg.Ports, ", "))
		}
		lines = append(lines, func() (device, error) { return openSerial(name, cfg.Baud) })
	}
	return startTelit(ctx, lines, log), nil
}
