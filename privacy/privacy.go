// Package privacy is the one gate between the car and everybody else:
// everything that leaves the car is a [Cleared], and only [Policy.Clear] makes
// one. What the driver chose is a [Level] and the services switched off;
// [Limits.Step] is the machine that takes such a choice into force.
package privacy

import (
	"fmt"
	"slices"
	"strings"
)

// A Level is the driver's choice of how much the car tells. Every value that is
// not one of the four, the empty one too, is as strict as [Maximum].
type Level string

// The levels, from strict to open.
const (
	Maximum       Level = "maximum"        // nothing leaves
	NoLocation    Level = "no-location"    // services, never a position
	UseLocation   Level = "use-location"   // the car may use its position, and keeps it
	ShareLocation Level = "share-location" // positions leave, sealed to the phones
)

// Levels lists the four from strict to open.
var Levels = [...]Level{Maximum, NoLocation, UseLocation, ShareLocation}

// ParseLevel reads a level by its name.
func ParseLevel(s string) (Level, error) {
	if l := Level(s); slices.Contains(Levels[:], l) {
		return l, nil
	}
	return Maximum, fmt.Errorf("no privacy level %q; there are maximum, no-location, use-location and share-location", s)
}

// openness is 0 for the strictest level, and for whatever is none.
func (l Level) openness() int { return max(0, slices.Index(Levels[:], l)) }

// Open reports whether l lets out at least as much as least does.
func (l Level) Open(least Level) bool { return l.openness() >= least.openness() }

// A Service is something a driver can switch off by itself.
type Service string

// The services with a switch that the gate asks for.
const (
	VehicleStatus     Service = "vehicle-status"
	DrivingData       Service = "driving-data"
	HealthReport      Service = "health-report"
	ParkingPosition   Service = "parking-position"
	TheftAlert        Service = "theft-alert"
	SpeedAlert        Service = "speed-alert"
	AreaAlert         Service = "area-alert"
	BreakdownCall     Service = "breakdown-call"
	ServiceScheduling Service = "service-scheduling"
	Store             Service = "store"
	RemoteLock        Service = "remote-lock"
	RemoteVentilation Service = "remote-ventilation"
	RemoteHeater      Service = "remote-heater"
	RemoteClimate     Service = "remote-climate"
	Charging          Service = "charging"
	DepartureTimers   Service = "departure-timers"
	HornLights        Service = "horn-lights"
	Infotainment      Service = "online-infotainment"
)

// services fixes the bit of each in [Switches]; on flash and on the wire they
// are words.
var services = [...]Service{
	VehicleStatus, DrivingData, HealthReport, ParkingPosition, TheftAlert, SpeedAlert, AreaAlert, BreakdownCall,
	ServiceScheduling, Store, RemoteLock, RemoteVentilation, RemoteHeater, RemoteClimate, Charging, DepartureTimers,
	HornLights, Infotainment,
}

// Switches is a set of services that are switched off. The zero value is none.
type Switches uint32

// NewSwitches is the set of the services named; an unknown name is an error.
func NewSwitches(off ...Service) (Switches, error) {
	var s Switches
	for _, o := range off {
		i := slices.Index(services[:], o)
		if i < 0 {
			return 0, fmt.Errorf("no service %q to switch off", string(o))
		}
		s |= 1 << i
	}
	return s, nil
}

// Has reports whether s is switched off.
func (w Switches) Has(s Service) bool {
	i := slices.Index(services[:], s)
	return i >= 0 && w&(1<<i) != 0
}

// Services lists what is switched off.
func (w Switches) Services() []Service {
	var off []Service
	for i, s := range services {
		if w&(1<<i) != 0 {
			off = append(off, s)
		}
	}
	return off
}

func (w Switches) String() string {
	var words []string
	for _, s := range w.Services() {
		words = append(words, string(s))
	}
	return strings.Join(words, ",")
}
