package agent

import (
	"time"

	"github.com/headunit-agent/headunit/agent/internal/hmi"
	"github.com/headunit-agent/headunit/agent/internal/vehicle"
)

// show is the state of the car for the local API.
func (l *loop) show(now time.Time) hmi.Show {
	v := l.car.State()
	policy := l.privacy.Policy()
	waiting, _, _ := l.box.Stats()
	s := hmi.Show{
		Profile: l.profile.ID,
		Privacy: hmi.Privacy{Level: policy.Level, Closing: policy.Closing, Off: policy.Off.Services()},
		Uplink:  hmi.Uplink{Wanted: l.line.wanted, Up: l.line.up, Reason: l.line.reason},
		Call:    hmi.Call{Running: l.call.running},
		Users:   len(l.users.Users), Job: l.job.String(), Waiting: waiting,
		Faults: []string{}, Buses: map[string]hmi.Bus{},
	}
	if c := l.call.call; l.call.running {
		s.Call = hmi.Call{
			Running: true, Phase: c.Phase, Kind: c.Kind, Lamp: c.Lamp, Net: c.Net, Armed: c.Armed, MSD: c.MSD,
			Faults: c.Faults,
		}
	}
	if l.store.Fault() != nil {
		s.Faults = append(s.Faults, "system.not-saved")
	}
	for _, b := range l.profile.Buses {
		h := v.Bus(b.Name, now)
		s.Buses[b.Name] = hmi.Bus{State: string(h.State), Lost: h.Stats.Lost + h.Stats.LostByUs, Age: age(now, h.LastFrame)}
	}
	for _, path := range l.profile.Paths() {
		r := v.Get(path, now)
		if r.Quality == vehicle.Stale {
			last := v.Last(path)
			r.Value, r.At = last.Value, last.At
		}
		s.Signals = append(s.Signals, hmi.Signal{
			Path: path.String(), Value: r.Value, Unit: path.Leaf().Unit, Quality: string(r.Quality), Age: age(now, r.At),
		})
	}
	return s
}

// age in seconds; -1 for what never was.
func age(now, t time.Time) float64 {
	if t.IsZero() {
		return -1
	}
	return now.Sub(t).Seconds()
}
