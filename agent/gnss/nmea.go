package gnss

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxSentence bounds a sentence, in octets. The standard allows 82; receivers
// with more decimals exceed it.
const MaxSentence = 120

// A Sentence is one NMEA 0183 sentence. Types other than RMC and GGA have no
// content.
type Sentence struct {
	Talker string        // GP, GN, GL, GA, …
	Type   string        // RMC, GGA, …
	Clock  time.Duration // time of day, UTC, of RMC and GGA; -1 unknown
	Fix    Fix           // GGA knows no date, so its Time is zero
}

// knot is one nautical mile an hour, in m/s.
const knot = 1852.0 / 3600

// ParseNMEA reads one sentence without its line end. The checksum must be there
// and right.
func ParseNMEA(line []byte) (Sentence, error) {
	n := len(line)
	if n < 9 || n > MaxSentence || line[0] != '$' || line[n-3] != '*' {
		return Sentence{}, fmt.Errorf("%w: no sentence", ErrMalformed)
	}
	var sum byte
	for _, c := range line[1 : n-3] {
		if c < 0x20 || c > 0x7E || c == '$' || c == '*' {
			return Sentence{}, fmt.Errorf("%w: octet %02X", ErrMalformed, c)
		}
		sum ^= c
	}
	if !bytes.EqualFold(line[n-2:], fmt.Appendf(nil, "%02X", sum)) {
		return Sentence{}, ErrChecksum
	}
	fields := strings.Split(string(line[1:n-3]), ",")
	name := fields[0]
	if len(name) != 5 {
		return Sentence{Type: name, Clock: -1}, nil // of a maker: $P…
	}
	s := Sentence{Talker: name[:2], Type: name[2:], Clock: -1}
	p := &fieldReader{fields: fields[1:], ok: true}
	switch s.Type {
	case "RMC":
		p.rmc(&s)
	case "GGA":
		p.gga(&s)
	default:
		return s, nil
	}
	if !p.ok {
		return Sentence{}, fmt.Errorf("%w: %s field %d", ErrMalformed, s.Type, p.at)
	}
	s.Fix = s.Fix.checked()
	return s, nil
}

// A fieldReader takes fields in their order and remembers the first bad one.
type fieldReader struct {
	fields []string
	at     int
	ok     bool
}

func (p *fieldReader) next() string {
	if !p.ok || p.at >= len(p.fields) {
		p.ok = false
		return ""
	}
	p.at++
	return p.fields[p.at-1]
}

// number is a decimal number without sign or exponent; has is false for an
// empty field.
func (p *fieldReader) number(low, high float64) (v float64, has bool) {
	text := p.next()
	if text == "" {
		return 0, false
	}
	unsigned := strings.TrimPrefix(text, "-")
	if strings.Trim(unsigned, "0123456789.") != "" || !digit(unsigned) {
		p.ok = false
		return 0, false
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !within(v, low, high) {
		p.ok = false
		return 0, false
	}
	return v, true
}

func digit(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }

// one is a field of one letter out of allowed; an empty field is the zero byte.
func (p *fieldReader) one(allowed string) byte {
	text := p.next()
	if text == "" {
		return 0
	}
	if len(text) != 1 || !strings.Contains(allowed, text) {
		p.ok = false
		return 0
	}
	return text[0]
}

// angle is ddmm.mmmm or dddmm.mmmm and its hemisphere.
func (p *fieldReader) angle(degrees int, most float64, sides string) (v float64, has bool) {
	text := p.next()
	side := p.one(sides)
	if text == "" && side == 0 {
		return 0, false
	}
	whole, _, _ := strings.Cut(text, ".")
	if len(whole) != degrees+2 || side == 0 || strings.Trim(text, "0123456789.") != "" {
		p.ok = false
		return 0, false
	}
	d, err := strconv.Atoi(whole[:degrees])
	m, err2 := strconv.ParseFloat(text[degrees:], 64)
	if err != nil || err2 != nil || !within(m, 0, 59.9999999999) {
		p.ok = false
		return 0, false
	}
	if v = float64(d) + m/60; v > most {
		p.ok = false
		return 0, false
	}
	if side == sides[1] {
		v = -v
	}
	return v, true
}

// clock is hhmmss with any decimals; -1 for an empty field. A leap second counts.
func (p *fieldReader) clock() time.Duration {
	text := p.next()
	if text == "" {
		return -1
	}
	whole, rest, dot := strings.Cut(text, ".")
	if len(whole) != 6 || strings.Trim(whole+rest, "0123456789") != "" || dot && rest == "" || len(rest) > 9 {
		p.ok = false
		return -1
	}
	n, _ := strconv.Atoi(whole)
	h, m, s := n/10000, n/100%100, n%100
	if h > 23 || m > 59 || s > 60 {
		p.ok = false
		return -1
	}
	fraction, _ := strconv.Atoi((rest + "000000000")[:9])
	return time.Duration(h)*time.Hour + time.Duration(m)*time.Minute + time.Duration(s)*time.Second + time.Duration(fraction)
}

// date is ddmmyy, zero for an empty field. GPS began in 1980, so yy < 80 is 20yy.
func (p *fieldReader) date() time.Time {
	text := p.next()
	if text == "" {
		return time.Time{}
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || len(text) != 6 {
		p.ok = false
		return time.Time{}
	}
	day, month, year := int(n/10000), time.Month(n/100%100), int(n%100)+2000
	if year >= 2080 {
		year -= 100
	}
	t := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	if t.Day() != day || t.Month() != month {
		p.ok = false
	}
	return t
}

func (p *fieldReader) place(f *Fix) bool {
	lat, has1 := p.angle(2, 90, "NS")
	lon, has2 := p.angle(3, 180, "EW")
	f.Latitude, f.Longitude = lat, lon
	return has1 && has2
}

func (p *fieldReader) rmc(s *Sentence) {
	s.Clock = p.clock()
	status := p.one("AV")
	known := p.place(&s.Fix)
	speed, has := p.number(0, 1e5)
	s.Fix.Speed, s.Fix.HasSpeed = speed*knot, has
	s.Fix.Course, s.Fix.HasCourse = p.number(0, 360)
	if s.Fix.Course == 360 {
		s.Fix.Course = 0
	}
	day := p.date()
	p.number(0, 180) // magnetic variation
	p.one("EW")
	mode := byte('A') // before NMEA 2.3 there was none
	if p.at < len(p.fields) {
		mode = p.one("ADEFMNPRS")
	}
	if p.at < len(p.fields) {
		p.one("SCUV") // navigational status, NMEA 4.1
	}
	p.ok = p.ok && p.at == len(p.fields)
	if !day.IsZero() && s.Clock >= 0 {
		s.Fix.Time = day.Add(s.Clock)
	}
	measured := mode == 'A' || mode == 'D' || mode == 'F' || mode == 'P' || mode == 'R'
	s.Fix.Valid = status == 'A' && known && measured
}

func (p *fieldReader) gga(s *Sentence) {
	s.Clock = p.clock()
	known := p.place(&s.Fix)
	quality := p.one("012345678")
	used, _ := p.number(0, 99)
	s.Fix.Satellites = int(used)
	s.Fix.HDOP, _ = p.number(0, 1000)
	s.Fix.Altitude, s.Fix.HasAltitude = p.number(-1e5, 1e8)
	p.one("M")
	p.number(-1e4, 1e4) // geoid separation
	p.one("M")
	p.number(0, 1e6) // age of corrections
	p.number(0, 1e4) // station
	p.ok = p.ok && p.at == len(p.fields)
	s.Fix.Valid = known && quality >= '1' && quality <= '5' // 6 to 8: estimated, typed in, simulated
}
