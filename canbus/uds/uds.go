// Package uds reads what a car's control units know about themselves, by UDS
// (ISO 14229-1) and OBD-II (ISO 15031-5), and changes nothing: a [Client] sends
// only requests that read, and refuses the others, which exist as values to be
// encoded and decoded.
//
// It knows no transport: a [Conn] carries payloads. [Plan] is the order of a
// health report; what runs it stays outside.
package uds

import (
	"errors"
	"fmt"
)

// A Service is the first octet of a request (SID). A positive answer begins
// with Service + 40.
type Service uint8

// The services (ISO 14229-1 and, up to 0A, ISO 15031-5).
const (
	OBDCurrent    Service = 0x01
	OBDStored     Service = 0x03
	OBDPending    Service = 0x07
	OBDVehicle    Service = 0x09
	OBDPermanent  Service = 0x0A
	SessionSID    Service = 0x10
	ResetSID      Service = 0x11
	ClearSID      Service = 0x14
	ReadDTCSID    Service = 0x19
	ReadDataSID   Service = 0x22
	SecuritySID   Service = 0x27
	WriteDataSID  Service = 0x2E
	ControlSID    Service = 0x2F
	RoutineSID    Service = 0x31
	TesterSID     Service = 0x3E
	positive              = 0x40
	negative      byte    = 0x7F
	suppress      byte    = 0x80 // in a subfunction: no positive answer is wanted
	maxIdentifier         = 32   // data identifiers in one request, as many as we ever build
)

// What is wrong with an answer or a request.
var (
	ErrFormat    = errors.New("not a message of that service")
	ErrRefused   = errors.New("the control unit refused")
	ErrSilent    = errors.New("the control unit did not answer")
	ErrPending   = errors.New("the control unit asked for more time too often")
	ErrForbidden = errors.New("this program sends no such request")
)

func malformed(what string, b []byte) error {
	return fmt.Errorf("%w: %s of %d octets", ErrFormat, what, len(b))
}

// An NRC says why a control unit refused (negative response code).
type NRC uint8

// The codes that decide something here.
const (
	Busy    NRC = 0x21 // ask again later
	Pending NRC = 0x78 // received, the answer will follow
)

var nrcNames = map[NRC]string{
	0x10: "general reject", 0x11: "service not supported", 0x12: "subfunction not supported",
	0x13: "wrong length or format", 0x14: "answer too long", 0x21: "busy, repeat the request",
	0x22: "conditions not correct", 0x24: "request out of sequence", 0x25: "no answer from a subnet",
	0x26: "a failure prevents it", 0x31: "request out of range", 0x33: "security access denied",
	0x35: "invalid key", 0x36: "too many attempts", 0x37: "required delay not over",
	0x70: "up- or download not accepted", 0x71: "transfer suspended", 0x72: "programming failure",
	0x73: "wrong block counter", 0x78: "answer pending", 0x7E: "subfunction not supported in this session",
	0x7F: "service not supported in this session", 0x81: "engine speed too high", 0x82: "engine speed too low",
	0x83: "engine is running", 0x84: "engine is not running", 0x85: "engine run time too short",
	0x86: "temperature too high", 0x87: "temperature too low", 0x88: "vehicle speed too high",
	0x89: "vehicle speed too low", 0x8A: "pedal too high", 0x8B: "pedal too low",
	0x8C: "gear not neutral", 0x8D: "gear engaged", 0x8F: "brake not applied",
	0x90: "selector not in park", 0x91: "torque converter locked", 0x92: "voltage too high", 0x93: "voltage too low",
}

func (n NRC) String() string {
	if name := nrcNames[n]; name != "" {
		return fmt.Sprintf("%02X %s", uint8(n), name)
	}
	return fmt.Sprintf("%02X", uint8(n))
}

// NotOffered reports whether n says that the unit does not have what was asked
// for: a fact about the car and no mistake.
func (n NRC) NotOffered() bool {
	switch n {
	case 0x11, 0x12, 0x31, 0x33, 0x7F:
		return true
	}
	return false
}

// A Negative is a negative answer: 7F, the service, the reason. As an error it
// is [ErrRefused].
type Negative struct {
	Service Service
	Code    NRC
}

func (n Negative) Error() string {
	return fmt.Sprintf("service %02X refused: %v", uint8(n.Service), n.Code)
}

// Unwrap is [ErrRefused].
func (n Negative) Unwrap() error { return ErrRefused }

// Encode is the answer as it is sent.
func (n Negative) Encode() []byte { return []byte{negative, byte(n.Service), byte(n.Code)} }

// DecodeNegative reads a negative answer; ok is false for any other.
func DecodeNegative(b []byte) (n Negative, ok bool) {
	if len(b) != 3 || b[0] != negative {
		return Negative{}, false
	}
	return Negative{Service(b[1]), NRC(b[2])}, true
}
