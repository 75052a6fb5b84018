// Package gnss turns the lines of a satellite receiver into a [Fix], and takes
// none that it is not sure of: gpsd's JSON reports (TPV and SKY) and NMEA 0183
// sentences (RMC and GGA). It reads no clock, opens no device, and a [Fix] does
// not show where it is in any log.
package gnss

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// A Fix is where the receiver is, as far as it knows. It is comparable; the zero
// value knows nothing.
type Fix struct {
	Valid      bool      // latitude and longitude are known
	Time       time.Time // UTC; zero unknown. It may be known without a valid fix
	Latitude   float64   // degrees, north positive, -90 to 90
	Longitude  float64   // degrees, east positive, -180 to 180
	Altitude   float64   // m above mean sea level, if HasAltitude
	Course     float64   // degrees clockwise from true north, 0 up to 360, if HasCourse
	Speed      float64   // m/s over ground, if HasSpeed
	Accuracy   float64   // m, horizontal error as the receiver estimates it; 0 unknown
	HDOP       float64   // horizontal dilution of precision; 0 unknown
	Satellites int       // used; 0 unknown

	HasAltitude, HasCourse, HasSpeed bool
}

// Errors, to branch on with errors.Is. They never repeat what was read.
var (
	ErrMalformed = errors.New("not a line of a GNSS receiver")
	ErrChecksum  = errors.New("wrong checksum of a GNSS sentence")
	ErrRange     = errors.New("value out of range in a GNSS line")
)

const hidden = "fix (hidden)"

// String tells nothing but that there is a fix.
func (Fix) String() string { return hidden }

// Format hides the fix from every verb.
func (f Fix) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(hidden)) }

// MarshalJSON hides the fix from JSON, and so from structured logs.
func (Fix) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// A Decoder makes fixes of a receiver's lines, whichever of the two forms they
// have. The zero value is ready.
type Decoder struct {
	sky Sky
	gga Sentence
}

// Line takes one line, with or without its end. ok is set when it completed a
// fix, valid or not; lines of other kinds are no error.
func (d *Decoder) Line(line []byte) (f Fix, ok bool, err error) {
	line = trim(line)
	switch {
	case len(line) == 0:
		return Fix{}, false, nil
	case line[0] == '{':
		return d.report(line)
	}
	s, err := ParseNMEA(line)
	if err != nil {
		return Fix{}, false, err
	}
	switch s.Type {
	case "GGA":
		d.gga = s
	case "RMC":
		f = s.Fix
		if g := d.gga; g.Type == "GGA" && g.Clock == s.Clock {
			f.Altitude, f.HasAltitude, f.HDOP, f.Satellites = g.Fix.Altitude, g.Fix.HasAltitude, g.Fix.HDOP, g.Fix.Satellites
			f.Valid = f.Valid && g.Fix.Valid
		}
		return f.checked(), true, nil
	}
	return Fix{}, false, nil
}

func (d *Decoder) report(line []byte) (Fix, bool, error) {
	r, err := ParseGPSD(line)
	if err != nil {
		return Fix{}, false, err
	}
	switch r.Class {
	case "SKY":
		d.sky = r.Sky
	case "TPV":
		r.Fix.HDOP, r.Fix.Satellites = d.sky.HDOP, d.sky.Used
		return r.Fix, true, nil
	}
	return Fix{}, false, nil
}

// checked drops the place of a fix that is not valid, so that none is used by mistake.
func (f Fix) checked() Fix {
	if !f.Valid {
		return Fix{Time: f.Time, Satellites: f.Satellites}
	}
	return f
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// within reports whether v is a number from low to high.
func within(v, low, high float64) bool { return !math.IsNaN(v) && v >= low && v <= high }
