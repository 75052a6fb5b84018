package gnss

import (
	"encoding/json"
	"fmt"
	"time"
)

// Watch is what a client says to gpsd to be sent reports.
const Watch = "?WATCH={\"enable\":true,\"json\":true};\n"

// MaxReport bounds a line of gpsd, in octets.
const MaxReport = 16 * 1024

// A Report is one line of gpsd. Classes other than TPV and SKY have no content.
type Report struct {
	Class string
	Fix   Fix // of TPV
	Sky   Sky // of SKY
}

// A Sky is what a receiver says of its satellites.
type Sky struct {
	HDOP float64 // 0 unknown
	Used int     // satellites used; 0 unknown
}

// tpv holds pointers where absent and zero differ.
type tpv struct {
	Mode     int        `json:"mode"` // 0 and 1: no fix, 2: no altitude, 3
	Time     *time.Time `json:"time"`
	Lat      *float64   `json:"lat"`
	Lon      *float64   `json:"lon"`
	AltMSL   *float64   `json:"altMSL"`
	Alt      *float64   `json:"alt"` // before gpsd 3.20
	Track    *float64   `json:"track"`
	Speed    *float64   `json:"speed"`
	EPH      *float64   `json:"eph"`
	EPX, EPY *float64
}

// ParseGPSD reads one report. Members it does not know are passed over, for
// gpsd gains some with each release; those it knows must be in their range.
func ParseGPSD(line []byte) (Report, error) {
	if len(line) > MaxReport {
		return Report{}, fmt.Errorf("%w: more than %d octets", ErrMalformed, MaxReport)
	}
	var head struct {
		Class string `json:"class"`
	}
	if err := json.Unmarshal(line, &head); err != nil || head.Class == "" || len(head.Class) > 32 {
		return Report{}, fmt.Errorf("%w: no gpsd report", ErrMalformed)
	}
	r := Report{Class: head.Class}
	var err error
	switch head.Class {
	case "TPV":
		r.Fix, err = parseTPV(line)
	case "SKY":
		r.Sky, err = parseSKY(line)
	}
	if err != nil {
		return Report{}, err
	}
	return r, nil
}

func parseTPV(line []byte) (Fix, error) {
	var v tpv
	if err := json.Unmarshal(line, &v); err != nil {
		return Fix{}, fmt.Errorf("%w: TPV", ErrMalformed)
	}
	f := Fix{Valid: v.Mode >= 2 && v.Lat != nil && v.Lon != nil}
	if v.Time != nil {
		if y := v.Time.UTC().Year(); y < 1980 || y > 2200 { // GPS time began in 1980
			return Fix{}, fmt.Errorf("%w: TPV time", ErrRange)
		}
		f.Time = v.Time.UTC()
	}
	if v.AltMSL == nil {
		v.AltMSL = v.Alt
	}
	if v.EPH == nil && v.EPX != nil && v.EPY != nil {
		worse := max(*v.EPX, *v.EPY)
		v.EPH = &worse
	}
	for _, m := range []struct {
		name      string
		from      *float64
		to        *float64
		has       *bool
		low, high float64
	}{
		{"lat", v.Lat, &f.Latitude, nil, -90, 90},
		{"lon", v.Lon, &f.Longitude, nil, -180, 180},
		{"alt", v.AltMSL, &f.Altitude, &f.HasAltitude, -1e5, 1e8},
		{"track", v.Track, &f.Course, &f.HasCourse, 0, 360},
		{"speed", v.Speed, &f.Speed, &f.HasSpeed, 0, 1e5},
		{"eph", v.EPH, &f.Accuracy, nil, 0, 1e8},
	} {
		if m.from == nil {
			continue
		}
		if !within(*m.from, m.low, m.high) {
			return Fix{}, fmt.Errorf("%w: TPV %s", ErrRange, m.name)
		}
		*m.to = *m.from
		if m.has != nil {
			*m.has = true
		}
	}
	if f.Course == 360 {
		f.Course = 0
	}
	f.HasAltitude = f.HasAltitude && v.Mode == 3
	if !f.HasAltitude {
		f.Altitude = 0
	}
	return f.checked(), nil
}

func parseSKY(line []byte) (Sky, error) {
	var v struct {
		HDOP       *float64 `json:"hdop"`
		Used       *int     `json:"uSat"`
		Satellites []struct {
			Used bool `json:"used"`
		} `json:"satellites"`
	}
	if err := json.Unmarshal(line, &v); err != nil {
		return Sky{}, fmt.Errorf("%w: SKY", ErrMalformed)
	}
	var s Sky
	if v.HDOP != nil {
		if !within(*v.HDOP, 0, 1000) {
			return Sky{}, fmt.Errorf("%w: SKY hdop", ErrRange)
		}
		s.HDOP = *v.HDOP
	}
	if v.Used != nil {
		if *v.Used < 0 || *v.Used > 1000 {
			return Sky{}, fmt.Errorf("%w: SKY uSat", ErrRange)
		}
		s.Used = *v.Used
		return s, nil
	}
	for _, sat := range v.Satellites {
		if sat.Used {
			s.Used++
		}
	}
	return s, nil
}
