// Package msd encodes and decodes the minimum set of data of an eCall: every
// [MSD] it encodes is canonical, and every message a modem or a car is known to
// have sent decodes. It never panics, reads no clock and does no I/O.
//
// The form is unaligned PER (X.691) of EN 15722, versions 1, 2 and 3.
package msd

import (
	"errors"
)

// MaxInBand is the number of octets the in-band modem carries (TS 26.267).
const MaxInBand = 140

// MaxOctets bounds additional data: longer ones would need fragments (X.691,
// 11.9), which no eCall uses.
const MaxOctets = 16383

// UnknownMas is the latitude or longitude that means: not known.
const UnknownMas = 1<<31 - 1

// The legal range of a position in milliarcseconds: ±90° and ±180°.
const (
	MaxLatitude  = 324_000_000
	MaxLongitude = 648_000_000
)

// UnknownDirection and UnknownOccupants are sent when these are not known.
const (
	UnknownDirection = 255
	UnknownOccupants = 255
)

// A VehicleType is the class of the vehicle, 1 (M1) to 23 (other); 14 and above
// exist in version 3 only. The zero value is a type that no decoder here knows.
type VehicleType uint8

// Vehicle types in common use; the others are M2 2 to L7e 13, and in version 3
// trailers 14 to other 23.
const (
	M1 VehicleType = 1
	M2 VehicleType = 2
	M3 VehicleType = 3
	N1 VehicleType = 4
	N2 VehicleType = 5
	N3 VehicleType = 6
)

// Storage says which energies the vehicle stores, one bit each. The zero value
// is unknown.
type Storage uint8

// The energies, in the order of the standard.
const (
	Gasoline Storage = 1 << iota
	Diesel
	CNG
	LPG
	Electric
	Hydrogen
	OtherStorage // not in version 1
)

// A Position is a place in milliarcseconds (degrees × 3,600,000), north and east
// positive; [UnknownMas] where not known. It does not show itself in logs.
type Position struct{ Latitude, Longitude int32 }

// NoPosition is the position that is not known.
var NoPosition = Position{UnknownMas, UnknownMas}

// A Delta is an earlier position relative to a later one, in steps of 100
// milliarcseconds (about 3 m), -512 to 511, north and east positive.
type Delta struct {
	Present             bool
	Latitude, Longitude int16
}

// Occupants is how many people are in the car; absent and 255 are unknown.
type Occupants struct {
	Present bool
	Count   uint8
}

// An MSD is the minimum set of data. It shows neither VIN nor place in logs.
type MSD struct {
	Version    uint8 // 1 to 3; a decoded one may be newer
	ID         uint8 // message identifier
	Automatic  bool  // a crash, not a person, started the call
	Test       bool
	Trusted    bool // the position is within 150 m at 95 %
	Type       VehicleType
	VIN        VIN
	Storage    Storage
	Timestamp  uint32 // of the incident, Unix seconds; 0 unknown
	Position   Position
	Direction  uint8 // steps of 2° clockwise from north, 0 to 179; 255 unknown
	N1, N2     Delta // N1 relative to Position, N2 relative to N1; both needed in version 3
	Occupants  Occupants
	Additional *Additional // nil: none
}

// An Additional is data beyond the standard's, with the identifier that says
// what they are.
type Additional struct {
	OID  OID
	Data []byte
}

// Flags are what [Decode] found odd but understood.
type Flags uint8

// The flags.
const (
	BadDirection Flags = 1 << iota // 180 to 254 in version 3
	BadPosition                    // outside the legal range
	UnknownType                    // a vehicle type newer than this program
	Additions                      // fields newer than this program were skipped
	NotCanonical                   // [Encode] would write it otherwise
)

// Errors of [Encode] and [Decode], to branch on with errors.Is.
var (
	ErrMalformed = errors.New("not an MSD")
	ErrRefused   = errors.New("no such MSD may be sent")
)

// Encode appends the canonical form of m to dst. It refuses, with [ErrRefused],
// what the standard does not allow and what is longer than [MaxInBand]; then it
// returns dst unchanged. It allocates nothing if dst has room.
func Encode(dst []byte, m *MSD) ([]byte, error) { return encode(dst, m, MaxInBand) }

// EncodeIMS is [Encode] without the limit of the in-band modem.
func EncodeIMS(dst []byte, m *MSD) ([]byte, error) { return encode(dst, m, 0) }
