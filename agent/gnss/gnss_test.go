package gnss

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// sentence adds the checksum.
func sentence(s string) string {
	var sum byte
	for _, c := range []byte(s[1:]) {
		sum ^= c
	}
	return fmt.Sprintf("%s*%02X", s, sum)
}

var nmea = []struct {
	name, line string
	fix        Fix
	err        error
}{
	{"RMC", "$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W", Fix{
		Valid: true, Time: time.Date(1994, 3, 23, 12, 35, 19, 0, time.UTC), Latitude: 48.1173, Longitude: 11.516666666666667,
		Speed: 11.523555555555555, Course: 84.4, HasSpeed: true, HasCourse: true,
	}, nil},
	{"RMC south-west, mode, status", "$GNRMC,001225.50,A,3352.1280,S,07030.0000,W,0.0,360.0,311226,,,A,V", Fix{
		Valid: true, Time: time.Date(2026, 12, 31, 0, 12, 25, 5e8, time.UTC), Latitude: -33.8688, Longitude: -70.5, HasSpeed: true, HasCourse: true,
	}, nil},
	{"RMC without a fix", "$GPRMC,001225,V,,,,,,,180126,,,N", Fix{Time: time.Date(2026, 1, 18, 0, 12, 25, 0, time.UTC)}, nil},
	{"RMC dead reckoning", "$GPRMC,001225,A,4807.038,N,01131.000,E,1,1,180126,,,E", Fix{Time: time.Date(2026, 1, 18, 0, 12, 25, 0, time.UTC)}, nil},
	{"GGA", "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,", Fix{
		Valid: true, Latitude: 48.1173, Longitude: 11.516666666666667, HDOP: 0.9, Satellites: 8, Altitude: 545.4, HasAltitude: true,
	}, nil},
	{"GGA typed in", "$GPGGA,123519,4807.038,N,01131.000,E,7,08,0.9,545.4,M,46.9,M,,", Fix{Satellites: 8}, nil},
	{"another type", "$GPGSV,1,1,00", Fix{}, nil},
	{"of a maker", "$PUBX,00,1", Fix{}, nil},
	{"minutes of 60", "$GPRMC,123519,A,4860.000,N,01131.000,E,0,0,230394,,", Fix{}, ErrMalformed},
	{"beyond the pole", "$GPRMC,123519,A,9000.001,N,01131.000,E,0,0,230394,,", Fix{}, ErrMalformed},
	{"beyond the date line", "$GPRMC,123519,A,0000.000,N,18000.001,E,0,0,230394,,", Fix{}, ErrMalformed},
	{"no hemisphere", "$GPRMC,123519,A,4807.038,,01131.000,E,0,0,230394,,", Fix{}, ErrMalformed},
	{"wrong hemisphere", "$GPRMC,123519,A,4807.038,E,01131.000,E,0,0,230394,,", Fix{}, ErrMalformed},
	{"hour 24", "$GPRMC,240000,A,4807.038,N,01131.000,E,0,0,230394,,", Fix{}, ErrMalformed},
	{"31 February", "$GPRMC,123519,A,4807.038,N,01131.000,E,0,0,310294,,", Fix{}, ErrMalformed},
	{"status", "$GPRMC,123519,X,4807.038,N,01131.000,E,0,0,230394,,", Fix{}, ErrMalformed},
	{"exponent", "$GPRMC,123519,A,4807.038,N,01131.000,E,1e3,0,230394,,", Fix{}, ErrMalformed},
	{"negative speed", "$GPRMC,123519,A,4807.038,N,01131.000,E,-1,0,230394,,", Fix{}, ErrMalformed},
	{"too few fields", "$GPRMC,123519,A,4807.038,N", Fix{}, ErrMalformed},
	{"too many fields", "$GPRMC,123519,A,4807.038,N,01131.000,E,0,0,230394,,,A,V,1", Fix{}, ErrMalformed},
	{"GGA too many fields", "$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,,", Fix{}, ErrMalformed},
}

func (f Fix) near(g Fix) bool {
	d := math.Abs(f.Latitude-g.Latitude) + math.Abs(f.Longitude-g.Longitude) + math.Abs(f.Speed-g.Speed)
	f.Latitude, f.Longitude, f.Speed = g.Latitude, g.Longitude, g.Speed
	return d < 1e-9 && f == g
}

func TestNMEA(t *testing.T) {
	for _, c := range nmea {
		s, err := ParseNMEA([]byte(sentence(c.line)))
		if !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if !s.Fix.near(c.fix) {
			t.Errorf("%s: not the fix that is wanted", c.name)
		}
	}
	for _, line := range []string{
		"$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6B", // one off
		"$GPRMC,123519,V*", "GPRMC,123519,V*00", "$*00", "", "$GPRMC,\x01*00", strings.Repeat("$", 200),
	} {
		if _, err := ParseNMEA([]byte(line)); err == nil {
			t.Errorf("%q was taken", line)
		}
	}
}

func TestGPSD(t *testing.T) {
	when := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, line string
		fix        Fix
		err        error
	}{
		{
			"fix", `{"class":"TPV","device":"/dev/x","mode":3,"time":"2026-03-01T10:00:00.000Z","lat":57.7,"lon":11.97,"altMSL":12.5,"track":90,"speed":13.9,"eph":8.5}`,
			Fix{Valid: true, Time: when, Latitude: 57.7, Longitude: 11.97, Altitude: 12.5, HasAltitude: true, Course: 90, HasCourse: true, Speed: 13.9, HasSpeed: true, Accuracy: 8.5},
			nil,
		},
		{
			"flat, both errors", `{"class":"TPV","mode":2,"lat":0,"lon":-180,"alt":3,"epx":4,"epy":5,"track":360}`,
			Fix{Valid: true, Longitude: -180, Accuracy: 5, HasCourse: true},
			nil,
		},
		{"no fix", `{"class":"TPV","mode":1,"time":"2026-03-01T10:00:00Z","lat":57.7,"lon":11.97}`, Fix{Time: when}, nil},
		{"no place", `{"class":"TPV","mode":3,"lat":57.7}`, Fix{}, nil},
		{"latitude", `{"class":"TPV","mode":3,"lat":91,"lon":0}`, Fix{}, ErrRange},
		{"longitude", `{"class":"TPV","mode":3,"lat":1,"lon":-180.1}`, Fix{}, ErrRange},
		{"course", `{"class":"TPV","mode":3,"lat":1,"lon":1,"track":361}`, Fix{}, ErrRange},
		{"speed", `{"class":"TPV","mode":3,"lat":1,"lon":1,"speed":-1}`, Fix{}, ErrRange},
		{"before GPS", `{"class":"TPV","mode":3,"lat":1,"lon":1,"time":"1970-01-01T00:00:00Z"}`, Fix{}, ErrRange},
		{"type", `{"class":"TPV","mode":3,"lat":"1","lon":1}`, Fix{}, ErrMalformed},
		{"no class", `{"mode":3}`, Fix{}, ErrMalformed},
		{"two values", `{"class":"TPV"}{"class":"TPV"}`, Fix{}, ErrMalformed},
		{"too long", `{"class":"TPV","x":"` + strings.Repeat("x", MaxReport) + `"}`, Fix{}, ErrMalformed},
	} {
		r, err := ParseGPSD([]byte(c.line))
		if !errors.Is(err, c.err) || r.Fix != c.fix {
			t.Errorf("%s: %v, want %v, or not the fix that is wanted", c.name, err, c.err)
		}
	}
}

// TestDecoder puts together what comes in several lines.
func TestDecoder(t *testing.T) {
	var d Decoder
	for _, c := range []struct {
		line       string
		ok         bool
		satellites int
		hdop       float64
	}{
		{`{"class":"VERSION","release":"3.25"}`, false, 0, 0},
		{`{"class":"SKY","hdop":1.2,"satellites":[{"PRN":1,"used":true},{"PRN":2,"used":false},{"PRN":3,"used":true}]}`, false, 0, 0},
		{`{"class":"TPV","mode":3,"lat":57.7,"lon":11.97}`, true, 2, 1.2},
		{sentence("$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,") + "\r\n", false, 0, 0},
		{sentence("$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W"), true, 8, 0.9},
		{sentence("$GPRMC,123520,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W"), true, 0, 0}, // the GGA is old
		{"", false, 0, 0},
	} {
		f, ok, err := d.Line([]byte(c.line))
		if err != nil || ok != c.ok || f.Satellites != c.satellites || f.HDOP != c.hdop || f.Valid != c.ok {
			t.Errorf("%.40s: %v %v, %d satellites, HDOP %g", c.line, ok, err, f.Satellites, f.HDOP)
		}
	}
}

// TestHidden: a place is in no log.
func TestHidden(t *testing.T) {
	f := Fix{Valid: true, Latitude: 57.7, Longitude: 11.97}
	b, err := json.Marshal(struct{ F Fix }{f})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{f.String(), fmt.Sprintf("%v %+v %#v %s %f", f, f, f, f, f), fmt.Sprint(&f), string(b)} {
		if strings.Contains(s, "57") || strings.Contains(s, "11.") {
			t.Errorf("shown: %s", s)
		}
	}
}

func FuzzLine(f *testing.F) {
	for _, c := range nmea {
		f.Add([]byte(sentence(c.line)))
	}
	for _, s := range []string{
		`{"class":"TPV","mode":3,"time":"2026-03-01T10:00:00.000Z","lat":57.7,"lon":11.97,"altMSL":12.5,"track":90,"speed":13.9,"eph":8.5}`,
		`{"class":"SKY","hdop":1.2,"uSat":9}`, `{"class":"TPV","mode":3,"lat":1e999,"lon":1}`, `{}`, "$", "\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		var d Decoder
		fix, ok, err := d.Line(line)
		switch {
		case ok && err != nil, !ok && fix != (Fix{}):
			t.Fatal("a fix and an error")
		case !within(fix.Latitude, -90, 90), !within(fix.Longitude, -180, 180), !within(fix.Course, 0, 359.9999999),
			!within(fix.Speed, 0, 1e5), !within(fix.Accuracy, 0, 1e8), !within(fix.HDOP, 0, 1000), fix.Satellites < 0:
			t.Fatal("out of range")
		case !fix.Valid && (fix.Latitude != 0 || fix.Longitude != 0):
			t.Fatal("a place that is not valid")
		case !fix.Time.IsZero() && fix.Time.Year() < 1980:
			t.Fatal("time before GPS")
		}
	})
}
