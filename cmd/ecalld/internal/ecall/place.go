package ecall

import (
	"math"
	"time"

	"github.com/headunit-agent/headunit/agent/gnss"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/msd"
)

// Limits of what the MSD says of a place (EN 15722 and EU 2017/79; the ages are
// our choice).
const (
	trustAge   = 5 * time.Second
	trustError = 150.0 // m at 95 %
	oldest     = 24 * time.Hour
	courseFrom = 5 / 3.6 // m/s, below which a course means nothing
	entryTime  = time.Second
	entryWay   = 10.0 // m
)

// A Course is the way of the car as the MSD tells it: at most three places,
// each overwritten in its turn. The zero value knows nothing. It never shows
// itself.
type Course struct {
	places    [3]place // newest first
	count     int
	direction uint8 // steps of 2°, if turned
	turned    bool
}

type place struct {
	at       time.Time // boot time of arrival
	lat, lon float64
	accuracy float64 // m at 95 %; 0 unknown
}

// String hides the places.
func (*Course) String() string { return "course (hidden)" }

// Add takes a fix that came at the boot time now. One that is not valid is nothing.
func (c *Course) Add(f gnss.Fix, now time.Time) {
	if !f.Valid {
		return
	}
	p := place{at: now, lat: f.Latitude, lon: f.Longitude, accuracy: 2 * f.Accuracy}
	if p.accuracy == 0 {
		p.accuracy = 10 * f.HDOP
	}
	// The newest place is replaced until it has moved away from the one before.
	if c.count == 0 || c.count == 1 && c.places[0].apart(p) || c.count > 1 && c.places[1].apart(c.places[0]) {
		c.places[2], c.places[1] = c.places[1], c.places[0]
		c.count = min(c.count+1, len(c.places))
	}
	c.places[0] = p
	if f.HasCourse && f.HasSpeed && f.Speed > courseFrom {
		c.direction, c.turned = uint8(int(math.Round(f.Course/2))%180), true
	}
}

// Erase overwrites what is known.
func (c *Course) Erase() { *c = Course{} }

// Age is how old the newest place is; ok is false if there is none.
func (c *Course) Age(now time.Time) (age time.Duration, ok bool) {
	return now.Sub(c.places[0].at), c.count > 0
}

// Fill writes place, trust, direction and the way here into m.
func (c *Course) Fill(m *msd.MSD, now time.Time) {
	m.Position, m.Trusted, m.Direction = msd.NoPosition, false, msd.UnknownDirection
	m.N1, m.N2 = msd.Delta{}, msd.Delta{}
	if m.Version >= 3 {
		m.N1.Present, m.N2.Present = true, true
	}
	p := c.places[0]
	age, ok := c.Age(now)
	if !ok || age > oldest {
		return
	}
	m.Position = p.position()
	m.Trusted = age <= trustAge && p.accuracy > 0 && p.accuracy <= trustError
	if c.turned {
		m.Direction = c.direction
	}
	n1, ok := c.places[1].from(p)
	if c.count < 2 || !ok {
		return
	}
	m.N1 = n1
	if n2, ok := c.places[2].from(c.places[1]); c.count > 2 && ok {
		m.N2 = n2
	}
}

const mas = 3_600_000 // milliarcseconds in a degree

func (p place) position() msd.Position {
	return msd.Position{Latitude: int32(math.Round(p.lat * mas)), Longitude: int32(math.Round(p.lon * mas))}
}

// from is p relative to a later place; ok is false where it is too far.
func (p place) from(later place) (d msd.Delta, ok bool) {
	lat := math.Round((p.lat - later.lat) * mas / 100)
	lon := math.Round(math.Remainder(p.lon-later.lon, 360) * mas / 100)
	if lat < -512 || lat > 511 || lon < -512 || lon > 511 {
		return msd.Delta{}, false
	}
	return msd.Delta{Present: true, Latitude: int16(lat), Longitude: int16(lon)}, true
}

// apart reports whether q is far enough from p, in time and way, to be told of
// beside it.
func (p place) apart(q place) bool {
	const degree = 111_195 // m of latitude
	dt := q.at.Sub(p.at)
	north := (q.lat - p.lat) * degree
	east := math.Remainder(q.lon-p.lon, 360) * degree * math.Cos(p.lat*math.Pi/180)
	return (dt >= entryTime || dt <= -entryTime) && math.Hypot(north, east) >= entryWay
}
