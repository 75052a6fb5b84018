// Package pipe is what headunitd and uplinkd say to each other: one frame a
// packet of their unix socket, and every frame has exactly one form.
//
// A frame is a deterministic CBOR array (RFC 8949 4.2.1) that begins with its
// number. The frames each side may send are a closed set: [Down] goes to
// uplinkd, [Up] comes from it, and the wrong half does not compile. Decoding
// bounds every field, encodes again and compares.
package pipe

import (
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Limits of a frame and its fields, in octets. The largest payloads are those
// of the topics; a message from the broker may be as large as the largest
// packet the guard lets through.
const (
	MaxFrame   = 17 << 10
	MaxPublish = 4096
	MaxMessage = 9216
	MaxWill    = 512
	MaxChain   = 4 // certificates
	MaxCert    = 4096
	MaxCSR     = 2048
	maxBroker  = 256
	maxReason  = 64
	maxRadio   = 16
	maxFloor   = 1 << 40
)

// ErrFrame is what every error of this package wraps.
var ErrFrame = errors.New("frame of the pipe is refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFrame, fmt.Sprintf(format, args...))
}

// A Down is a frame to uplinkd: [Open], [Publish], [Close], [NewKey],
// [Install] or [Wipe].
type Down interface {
	down() []any // the fields after the number
	number() uint64
	check() error
}

// An Up is a frame from uplinkd: [State], [Message], [Published] or [Request].
type Up interface {
	up() []any
	number() uint64
	check() error
}

// Open asks for a connection, to be kept until [Close]. Will is what the
// broker publishes on up/bye if the car is lost; it comes signed. Floor is the
// time, in UNIX seconds, before which it certainly is not.
type Open struct {
	Broker string // "tcp://127.0.0.1:1883", 256 octets at most
	Cell   string // 1 to 16 of [a-z0-9]
	Name   [16]byte
	Will   []byte // 1 to 512 octets
	Floor  int64  // not negative
}

// Publish asks to send Payload, 1 to 4096 octets, on a topic of the car. It is
// dropped while the uplink is down. N comes back in [Published] if QoS is 1.
type Publish struct {
	N       uint64
	Topic   string // one of [UpTopics]
	QoS     uint8  // 0 or 1
	Payload []byte
}

// Close sends Last, at most 512 octets, on up/bye unless it is empty, and
// disconnects. Nothing is attempted until the next [Open].
type Close struct{ Last []byte }

// NewKey asks for a new TLS key; the answer is a [Request].
type NewKey struct{}

// Install hands over the certificates for the key, leaf first: 1 to 4 of 4096
// octets at most.
type Install struct{ Chain [][]byte }

// Wipe destroys the TLS key.
type Wipe struct{}

// State says whether the uplink is up, subscriptions included, and why not.
type State struct {
	Up     bool
	Reason string // domain.some-name, empty if up
	Radio  string // what carries it, empty if unknown
}

// Message is what the broker delivered, 9216 octets at most.
type Message struct {
	Topic    string // one of [DownTopics]
	QoS      uint8
	Retained bool
	Payload  []byte
}

// Published says that the broker has the [Publish] with that number.
type Published struct{ N uint64 }

// Request is a certificate request for a new key, DER.
type Request struct{ CSR []byte }

// UpTopics are the suffixes the car publishes on.
func UpTopics() []string {
	return []string{"up/hello", "up/sess", "up/res", "up/enr", "up/evt", "up/sta", "up/bye"}
}

// DownTopics are the suffixes the car subscribes to, in the order in which it
// does.
func DownTopics() []string {
	return []string{"dn/cmd", "dn/enr", "dn/lic", "dn/time", "dn/sess"}
}

// ClientName is the car's name outside, 26 letters of base32.
func (o Open) ClientName() string {
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(o.Name[:]))
}

// Prefix is what stands before the suffix of each topic of the car.
func (o Open) Prefix() string { return "hu/v1/" + o.Cell + "/" + o.ClientName() + "/" }

func (Open) number() uint64    { return 1 }
func (Publish) number() uint64 { return 2 }
func (Close) number() uint64   { return 3 }
func (NewKey) number() uint64  { return 4 }
func (Install) number() uint64 { return 5 }
func (Wipe) number() uint64    { return 6 }

func (State) number() uint64     { return 1 }
func (Message) number() uint64   { return 2 }
func (Published) number() uint64 { return 3 }
func (Request) number() uint64   { return 4 }

func (f Open) down() []any    { return []any{f.Broker, f.Cell, f.Name[:], f.Will, f.Floor} }
func (f Publish) down() []any { return []any{f.N, f.Topic, f.QoS, f.Payload} }
func (f Close) down() []any   { return []any{f.Last} }
func (NewKey) down() []any    { return nil }
func (f Install) down() []any { return []any{f.Chain} }
func (Wipe) down() []any      { return nil }

func (f State) up() []any     { return []any{f.Up, f.Reason, f.Radio} }
func (f Message) up() []any   { return []any{f.Topic, f.QoS, f.Retained, f.Payload} }
func (f Published) up() []any { return []any{f.N} }
func (f Request) up() []any   { return []any{f.CSR} }

func (f Open) check() error {
	switch {
	case f.Broker == "" || len(f.Broker) > maxBroker || !printable(f.Broker):
		return refuse("broker of %d octets", len(f.Broker))
	case f.Cell == "" || len(f.Cell) > 16 || strings.Trim(f.Cell, "abcdefghijklmnopqrstuvwxyz0123456789") != "":
		return refuse("cell is not 1 to 16 of a-z and 0-9")
	case len(f.Will) == 0 || len(f.Will) > MaxWill:
		return refuse("will of %d octets", len(f.Will))
	case f.Floor < 0 || f.Floor > maxFloor:
		return refuse("time floor %d", f.Floor)
	}
	return nil
}

func (f Publish) check() error {
	switch {
	case !slices.Contains(UpTopics(), f.Topic):
		return refuse("publish on an unknown topic")
	case f.QoS > 1:
		return refuse("QoS %d", f.QoS)
	case len(f.Payload) == 0 || len(f.Payload) > MaxPublish:
		return refuse("payload of %d octets", len(f.Payload))
	}
	return nil
}

func (f Close) check() error {
	if len(f.Last) > MaxWill {
		return refuse("last payload of %d octets", len(f.Last))
	}
	return nil
}

func (NewKey) check() error { return nil }

func (f Install) check() error {
	if len(f.Chain) == 0 || len(f.Chain) > MaxChain {
		return refuse("chain of %d certificates", len(f.Chain))
	}
	for _, c := range f.Chain {
		if len(c) == 0 || len(c) > MaxCert {
			return refuse("certificate of %d octets", len(c))
		}
	}
	return nil
}

func (Wipe) check() error { return nil }

func (f State) check() error {
	switch {
	case f.Up && f.Reason != "":
		return refuse("up, and a reason")
	case len(f.Reason) > maxReason || !printable(f.Reason):
		return refuse("reason of %d octets", len(f.Reason))
	case len(f.Radio) > maxRadio || !printable(f.Radio):
		return refuse("radio of %d octets", len(f.Radio))
	}
	return nil
}

func (f Message) check() error {
	switch {
	case !slices.Contains(DownTopics(), f.Topic):
		return refuse("message on an unknown topic")
	case f.QoS > 1:
		return refuse("QoS %d", f.QoS)
	case len(f.Payload) > MaxMessage:
		return refuse("payload of %d octets", len(f.Payload))
	}
	return nil
}

func (Published) check() error { return nil }

func (f Request) check() error {
	if len(f.CSR) == 0 || len(f.CSR) > MaxCSR {
		return refuse("request of %d octets", len(f.CSR))
	}
	return nil
}

// printable keeps line ends and other controls out of logs.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
