package command

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/agent/internal/vehicle"
	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
	"github.com/headunit-agent/headunit/canbus/e2e"
)

func refcar(t *testing.T) *profile.Profile {
	t.Helper()
	p, _, err := profile.Load("../../../testdata/refcar/refcar.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A stand is the reference car in fake time: it says what it is told to say, 50
// times a second, while time passes.
type stand struct {
	t       *testing.T
	car     *vehicle.Car
	p       *profile.Profile
	ends    map[string]*canbus.End
	stop    map[string]context.CancelFunc // the agent's device
	says    map[string][]dbc.Set
	counter map[string]uint8
}

func newStand(t *testing.T, running *sync.WaitGroup, fresh string) *stand {
	t.Helper()
	s := &stand{
		t: t, p: refcar(t), ends: map[string]*canbus.End{}, stop: map[string]context.CancelFunc{}, counter: map[string]uint8{},
		says: map[string][]dbc.Set{
			"drive/ESP_21":            {dbc.Physical("ESP_v_Signal", 0)},
			"drive/Klemmen_Status_01": nil,
			"drive/Airbag_01":         nil,
			"body/Blinkmodi_02":       nil,
			"body/ZV_02":              {dbc.Raw("ZV_ist_Zustand_verfuegbar", 1)},
		},
	}
	if fresh != "" {
		s.p.Message(filepath.Dir(fresh), filepath.Base(fresh)).Fresh = 10 * time.Second
	}
	s.car = vehicle.New(s.p, time.Now)
	for _, bus := range []string{"drive", "body"} {
		m := canbus.NewMemory()
		s.ends[bus] = m.Attach(16)
		device := m.Attach(256)
		ctx, stop := context.WithCancel(t.Context())
		s.stop[bus] = stop
		running.Go(func() { _ = s.car.Follow(ctx, bus, device) })
	}
	return s
}

// pass lets time pass.
func (s *stand) pass(d time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		for name, sets := range s.says {
			s.send(name, sets...)
		}
		synctest.Wait()
	}
}

func (s *stand) send(name string, sets ...dbc.Set) {
	s.t.Helper()
	bus := filepath.Dir(name)
	m := s.p.Message(bus, filepath.Base(name))
	f, err := m.DBC.Encode(sets...)
	if err != nil {
		s.t.Fatal(err)
	}
	if m.E2E != nil {
		cfg, _ := e2e.VW(f.ID, int(f.Len))
		s.counter[name]++
		cfg.Protect(f.Data[:f.Len], s.counter[name])
	}
	if err := s.ends[bus].Send(s.t.Context(), f); err != nil {
		s.t.Fatal(err)
	}
}

// TestView: what a job is told of the car, one disturbance at a time.
func TestView(t *testing.T) {
	for _, c := range []struct {
		name      string
		operation string
		calling   bool
		fresh     string // a message that counts as fresh for ten seconds
		disturb   func(*stand)
		want      View // but for its times
	}{
		{name: "all is well", operation: "lock", want: View{Awake: true}},
		{name: "an operation that the car lacks", operation: "fly", want: View{Guard: wire.CommandNoEquipment}},
		{
			name: "a call", operation: "lock", calling: true, disturb: func(s *stand) { delete(s.says, "drive/ESP_21") },
			want: View{Awake: true, Guard: wire.CommandECallActive},
		},
		{
			name: "it moves", operation: "lock", disturb: func(s *stand) { s.says["drive/ESP_21"] = []dbc.Set{dbc.Physical("ESP_v_Signal", 3)} },
			want: View{Awake: true, Guard: wire.CommandMoving},
		},
		{
			name: "the ignition is on", operation: "lock", disturb: func(s *stand) { s.says["drive/Klemmen_Status_01"] = []dbc.Set{dbc.Raw("ZAS_Kl_15", 1)} },
			want: View{Awake: true, Guard: wire.CommandIgnitionOn},
		},
		{
			name: "a crash, before all else that is known", operation: "lock", disturb: func(s *stand) {
				s.says["drive/Klemmen_Status_01"] = []dbc.Set{dbc.Raw("ZAS_Kl_15", 1)}
				s.pass(200 * time.Millisecond)
				s.says["drive/Airbag_01"] = []dbc.Set{dbc.Raw("AB_Front_Crash", 1)}
			},
			want: View{Awake: true, Guard: wire.CommandCrash},
		},
		{
			name: "the alarm sounds", operation: "unlock", disturb: func(s *stand) { s.says["body/Blinkmodi_02"] = []dbc.Set{dbc.Raw("BM_DWA_Alarm", 1)} },
			want: View{Awake: true, Guard: wire.CommandAlarmSounding, Goal: true}, // it is unlocked
		},
		{
			name: "a door is open", operation: "lock",
			disturb: func(s *stand) {
				s.says["body/ZV_02"] = []dbc.Set{dbc.Raw("ZV_ist_Zustand_verfuegbar", 1), dbc.Raw("ZV_FT_offen", 1)}
			},
			want: View{Awake: true, Guard: wire.CommandDoorOpen},
		},
		{
			name: "a guard's input is gone", operation: "lock", disturb: func(s *stand) { delete(s.says, "body/ZV_02") },
			want: View{Awake: true, Guard: wire.CommandStateUnknown},
		},
		{
			name: "an old input that the profile calls fresh", operation: "lock", fresh: "body/ZV_02",
			disturb: func(s *stand) { delete(s.says, "body/ZV_02") },
			want:    View{Awake: true, Guard: wire.CommandStateUnknown},
		},
		{
			name: "an old ignition that the profile calls fresh", operation: "lock", fresh: "drive/Klemmen_Status_01",
			disturb: func(s *stand) { delete(s.says, "drive/Klemmen_Status_01") },
			want:    View{Awake: true, Guard: wire.CommandStateUnknown},
		},
		{
			name: "an old speed that the profile calls fresh", operation: "lock", fresh: "drive/ESP_21",
			disturb: func(s *stand) { delete(s.says, "drive/ESP_21") },
			want:    View{Awake: true, Guard: wire.CommandStateUnknown},
		},
		{
			name: "somebody else commands", operation: "lock", disturb: func(s *stand) { s.send("body/TM_01", dbc.Raw("TM_Door_Lock", 1)) },
			want: View{Awake: true, Guard: wire.CommandBusy},
		},
		{
			name: "the bus sleeps", operation: "lock", disturb: func(s *stand) {
				delete(s.says, "body/ZV_02")
				delete(s.says, "body/Blinkmodi_02")
			},
			want: View{Guard: wire.CommandStateUnknown},
		},
		{
			name: "the device is gone", operation: "lock", disturb: func(s *stand) { s.stop["body"]() },
			want: View{Mute: true, Guard: wire.CommandStateUnknown},
		},
		{
			name: "the car says no", operation: "lock",
			disturb: func(s *stand) { s.says["body/Blinkmodi_02"] = []dbc.Set{dbc.Raw("BM_Telematik_Abbruchgrund", 5)} },
			want:    View{Awake: true, Refused: wire.CommandDoorOpen},
		},
		{
			name: "it is locked", operation: "lock",
			disturb: func(s *stand) {
				s.says["body/ZV_02"] = []dbc.Set{dbc.Raw("ZV_ist_Zustand_verfuegbar", 1), dbc.Raw("ZV_verriegelt_extern_ist", 1)}
			},
			want: View{Awake: true, Goal: true},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var running sync.WaitGroup
				s := newStand(t, &running, c.fresh)
				a := NewActuator(s.p, nil, nil)
				s.pass(3 * time.Second)
				if c.disturb != nil {
					c.disturb(s)
					s.pass(3 * time.Second)
				}
				now := time.Now()
				v := a.View(Job{Goal: Goal{Operation: c.operation}}, s.car.State(), now, c.calling)
				if v.Refused != "" && now.Sub(v.RefAt) > time.Second || v.Goal && now.Sub(v.GoalAt) > time.Second {
					t.Errorf("refused %v ago, shown %v ago", now.Sub(v.RefAt), now.Sub(v.GoalAt))
				}
				v.RefAt, v.GoalAt = time.Time{}, time.Time{}
				if v != c.want {
					t.Errorf("%+v, not %+v", v, c.want)
				}
				for _, stop := range s.stop {
					stop()
				}
				running.Wait()
			})
		})
	}
}

// TestFrames: what leaves for the car is what the profile says, numbered,
// protected, and nothing else.
func TestFrames(t *testing.T) {
	p := refcar(t)
	var sent []canbus.Frame
	a := NewActuator(p, map[string]int64{"zv_signature": 77}, func(_ context.Context, bus string, f canbus.Frame) error {
		if bus != "body" {
			t.Errorf("a frame for %s", bus)
		}
		sent = append(sent, f)
		return nil
	})
	of := func(id uint32) (frames []canbus.Frame) {
		for _, f := range sent {
			if f.ID == id {
				frames = append(frames, f)
			}
		}
		return frames
	}
	j := Job{Goal: Goal{Operation: "vent_start", Minutes: 20}}
	now := noon
	for range 20 { // 200 ms apart: 4 s
		if err := a.Frame(t.Context(), j, now); err != nil {
			t.Fatal(err)
		}
		now = now.Add(200 * time.Millisecond)
	}
	request := p.Message("body", "REF_Aux_Req")
	cfg := e2e.Constant(0xF0)
	var state e2e.State
	for i, f := range of(request.DBC.ID) {
		if v := cfg.Check(&state, f.Data[:f.Len]); v != "ok" && (i > 0 || v != "first") {
			t.Errorf("frame %d: %s", i, v)
		}
	}
	if n := len(of(request.DBC.ID)); n != 20 {
		t.Errorf("%d requests", n)
	}
	keep := p.Wake["body"].Keep
	if n := len(of(keep.ID)); n != 4 {
		t.Errorf("%d frames that keep the bus awake in 4 s", n)
	}
	// More than the profile allows in a second is held back.
	sent = nil
	var last error
	for range 40 {
		if err := a.Rest(t.Context(), j, now); err != nil {
			last = err
		}
	}
	if n := len(sent); last == nil || n == 0 || n > 10 {
		t.Errorf("%d frames at once, %v", n, last)
	}
	if err := a.Frame(t.Context(), Job{}, now); err == nil {
		t.Error("the zero Job sent a frame")
	}
	if err := NewActuator(p, nil, nil).Wake(t.Context(), j, now); err == nil {
		t.Error("a car that is only listened to was woken")
	}
}

// TestGuard: each way in which a frame can differ from its line.
func TestGuard(t *testing.T) {
	line := profile.Allowed{Bus: "body", ID: 0x5A7, Len: 4, Base: [64]byte{0x80}, Mask: [64]byte{0x03, 0, 0xFF}, Rate: 3}
	good := canbus.Frame{ID: 0x5A7, Len: 4, Data: [64]byte{0x82, 0, 0x55}}
	for name, edit := range map[string]func(bus *string, f *canbus.Frame){
		"another bus":        func(bus *string, _ *canbus.Frame) { *bus = "drive" },
		"another identifier": func(_ *string, f *canbus.Frame) { f.ID++ },
		"extended":           func(_ *string, f *canbus.Frame) { f.Flags |= canbus.Extended },
		"FD":                 func(_ *string, f *canbus.Frame) { f.Flags |= canbus.FD },
		"remote":             func(_ *string, f *canbus.Frame) { f.Flags, f.Data = f.Flags|canbus.Remote, [64]byte{} },
		"an error frame":     func(_ *string, f *canbus.Frame) { f.Flags |= canbus.Error },
		"shorter":            func(_ *string, f *canbus.Frame) { f.Len = 3 },
		"longer":             func(_ *string, f *canbus.Frame) { f.Len = 5 },
		"a bit that is set":  func(_ *string, f *canbus.Frame) { f.Data[1] = 1 },
		"a bit that is not":  func(_ *string, f *canbus.Frame) { f.Data[0] = 0x02 },
		"behind its end":     func(_ *string, f *canbus.Frame) { f.Data[4] = 1 },
	} {
		g := NewGuard([]profile.Allowed{line})
		bus, f := "body", good
		edit(&bus, &f)
		if err := g.Check(bus, f, noon); err == nil || g.Refused() != 1 {
			t.Errorf("%s: %v, %d refused", name, err, g.Refused())
		}
	}
	g := NewGuard([]profile.Allowed{line})
	for i := range 6 {
		if err := g.Check("body", good, noon); (err == nil) != (i < 3) {
			t.Errorf("frame %d in one moment: %v", i, err)
		}
	}
	if err := g.Check("body", good, noon.Add(time.Second)); err != nil {
		t.Errorf("a second later: %v", err)
	}
	if err := NewGuard(nil).Check("body", good, noon); err == nil {
		t.Error("an empty list let a frame through")
	}
}
