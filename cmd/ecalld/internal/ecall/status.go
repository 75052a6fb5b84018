package ecall

import (
	"encoding/json"
	"time"
)

// A Lamp is what the tell-tale shows.
type Lamp string

// The lamps (EU 2017/79, Annex VII leaves their form open: choice). That the
// program does not run is shown by whoever reads an old status.
const (
	LampReady    Lamp = "ready"
	LampLimited  Lamp = "limited" // a fault; the call is still tried
	LampFailed   Lamp = "failed"  // the last call could not be placed
	LampDialling Lamp = "dialling"
	LampSending  Lamp = "sending"
	LampVoice    Lamp = "voice"
	LampCallback Lamp = "callback"
	LampTest     Lamp = "test"
)

// Lamp is what the tell-tale shows in s with these faults.
func (s State) Lamp(faults []string) Lamp {
	switch {
	case s.Phase.Live() && s.Kind == Test:
		return LampTest
	case s.Failed && (s.Phase == Callback || !s.Phase.Live()):
		return LampFailed
	}
	//exhaustive:ignore
	switch s.Phase {
	case Dialling, Redial:
		return LampDialling
	case Connected, Sending, Acking:
		return LampSending
	case Voice, Assist:
		return LampVoice
	case Callback:
		return LampCallback
	}
	if len(faults) > 0 {
		return LampLimited
	}
	return LampReady
}

// A Status is all that ecalld tells anyone: no place, no number, no VIN, no MSD
// and no time of an incident. Times are seconds since boot.
type Status struct {
	Version     int      `json:"v"`
	Seq         uint64   `json:"seq"`
	Phase       Phase    `json:"phase"`
	Kind        Kind     `json:"kind,omitempty"`
	Since       float64  `json:"since"`
	Lamp        Lamp     `json:"lamp"`
	Net         string   `json:"net"` // registered, limited, none or unknown
	Armed       string   `json:"armed"`
	MSD         Delivery `json:"msd,omitempty"`
	Faults      []string `json:"faults"`
	Unmonitored []string `json:"unmonitored"`
	CallbackEnd float64  `json:"callback_until,omitempty"`
}

// Fill takes from s what a status may say.
func (st *Status) Fill(s State) {
	st.Version, st.Phase, st.Since, st.Lamp = 1, s.Phase, Seconds(s.Since), s.Lamp(st.Faults)
	if st.Phase == "" {
		st.Phase = Idle
	}
	st.Kind, st.MSD, st.CallbackEnd = "", "", 0
	switch {
	case s.Phase.Live():
		st.Kind, st.MSD = s.Kind, s.MSD
	case s.Phase == Assist:
		st.Kind = s.Kind
	case s.Phase == Callback:
		st.Kind, st.MSD, st.CallbackEnd = s.Kind, s.MSD, Seconds(s.T9)
	}
}

// Encode is st as one line of JSON.
func (st *Status) Encode() []byte {
	for _, list := range []*[]string{&st.Faults, &st.Unmonitored} {
		if *list == nil {
			*list = []string{} // readers need not know null
		}
	}
	b, err := json.Marshal(st)
	if err != nil {
		return []byte("{}\n") // no field of a Status can be the reason
	}
	return append(b, '\n')
}

// Seconds is t, a boot-time reading, as seconds with a tenth.
func Seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()/100) / 10
}
