// Package ecall decides when an emergency call is placed, and never lets a call
// go for want of anything but a modem: [Limits.Step] is the call from trigger to
// call-back, [Detector] sees a crash on the bus, [Parse] takes any configuration
// and refuses none. Nothing here reads a clock or does I/O.
//
// Numbers of clauses, timers and phases are those of EN 16072 and EN 16062 as
// far as public sources tell; what those leave open is marked as a choice.
package ecall

import "time"

// A Phase is where the emergency call is. Its text is what the log, the status
// file and the golden table show.
type Phase string

// The phases. From Dialling to Redial a call is live.
const (
	Idle      Phase = "idle"
	Pressed   Phase = "pressed"   // the SOS key is down
	Dialling  Phase = "dialling"  // the modem was told to call
	Connected Phase = "connected" // answered; waiting for START
	Sending   Phase = "sending"   // the MSD is on its way, audio muted
	Acking    Phase = "acking"    // received (LL-ACK), waiting for AL-ACK
	Voice     Phase = "voice"
	Redial    Phase = "redial"   // waiting for the next attempt
	Callback  Phase = "callback" // over; registered, so that the PSAP can call back
	Assist    Phase = "assist"   // a breakdown or service call
)

// Live reports whether an emergency or test call is under way in this phase.
func (p Phase) Live() bool {
	switch p {
	case Dialling, Connected, Sending, Acking, Voice, Redial:
		return true
	}
	return false
}

// A Kind is what a call is for.
type Kind string

// The kinds of call. Only the first two reach an emergency number.
const (
	Manual    Kind = "manual"
	Automatic Kind = "automatic"
	Test      Kind = "test"
	Breakdown Kind = "breakdown"
	Service   Kind = "service"
)

// A Delivery is what is known of the MSD of a call.
type Delivery string

// What can be known of an MSD; the zero value: no call, or not yet decided.
const (
	Delivered    Delivery = "delivered"
	NotDelivered Delivery = "not delivered"
)

// A Rung is a step of the ladder down which a call goes when the modem refuses
// the command itself. A busy or absent network is no reason to go down.
type Rung uint8

// The rungs. Below the last the modem is reset and the first is tried again.
const (
	WithMSD Rung = iota + 1
	WithoutMSD
	OtherCategory // without MSD, manual for automatic and the reverse
	Plain         // an ordinary emergency call, without category
)

// A State is all that the call remembers. It is comparable; the zero value is
// idle. Every time in it is on the boot-time clock.
type State struct {
	Phase     Phase
	Since     time.Time // when Phase began
	Kind      Kind      // of the call, from its trigger on
	Automatic bool      // a crash: every MSD says so, and nobody in the car can cancel
	Bench     bool      // nothing is dialled: phase and lamps only
	Incident  time.Time // when it was triggered
	Serial    uint32    // of the newest Dial: an answer to an older one is nothing
	Heard     bool      // the modem has shown a sign of that call
	ID        uint8     // messageIdentifier of the MSD in the modem: 1..255
	Sent      bool      // that MSD went out, the next one has another identifier
	MSD       Delivery
	Rung      Rung
	Refusals  uint8 // of the modem, on the first rung
	Redials   uint8 // since the trigger, or since the call was dropped
	Dropped   bool  // the call was connected, and then lost
	Failed    bool  // the last call could not be placed; until the ignition cycles
	Ringing   bool  // a late call-back waits for the driver
	Lost      bool  // no modem
	Network   bool  // registered
	Ended     time.Time
	Gone      time.Time // when a call went last: it may still have something to say

	Timer  time.Time // of the phase
	T2     time.Time // we hang up if the PSAP never does
	T9     time.Time // until then a call-back is answered without asking
	T10    time.Time // end of the call-back
	Until  time.Time // end of redialling
	Reload time.Time // the next fresh MSD for the modem

	Down    bool // the SOS key
	Stuck   bool // the SOS key is down for longer than anyone would
	Presses uint8
	First   time.Time // the first of Presses
	Hold    time.Time // held this long, the key means it
	Jammed  time.Time // held this long, the key is broken
}

// An Event is what happened. The types that implement it are in this file.
type Event interface{ event() }

// Events of the car and of people in it.
type (
	Tick    struct{} // a deadline may have passed
	Down    struct{} // the SOS key
	Up      struct{} // the SOS key
	Trigger struct {
		Kind   Kind // Manual, Automatic or Test
		Screen bool // by a line on the request socket
	}
	Cancel    struct{}            // the driver calls it off
	Aid       struct{ Kind Kind } // Breakdown or Service is asked for
	HangUp    struct{}            // end of an assistance or test call
	TakeUp    struct{}            // the driver answers a late call-back
	IgnitedOn struct{}            // the ignition was switched on
)

// Events of the modem.
type (
	Ready   struct{ InCall bool } // it is there (again), and whether it lists a call
	Lost    struct{}              // it is gone
	Network struct{ Registered bool }
	Failed  struct { // the command of a Dial failed
		Serial  uint32 // of that Dial
		Refused bool   // by the modem; else it could not be asked
	}
	Unarmed  struct{ Test bool } // must not dial an emergency number; Test: a test number is known
	Sign     struct{}            // dialling or ringing
	Answered struct{}
	Start    struct{} // the PSAP asks for the MSD
	LLAck    struct{} // the MSD arrived
	ALAck    struct{ Clear bool }
	Expired  struct{ Timer string } // the modem's own T5, T6 or T7
	SyncLost struct{}
	Ended    struct{ Cause Cause }
	Incoming struct{}
)

// A Cause is why a call ended.
type Cause string

// The causes; the zero value is unknown.
const (
	Normal  Cause = "normal" // cleared by the other side
	Dropped Cause = "dropped"
	Busy    Cause = "busy"
)

func (Tick) event()      {}
func (Down) event()      {}
func (Up) event()        {}
func (Trigger) event()   {}
func (Cancel) event()    {}
func (Aid) event()       {}
func (HangUp) event()    {}
func (TakeUp) event()    {}
func (IgnitedOn) event() {}
func (Ready) event()     {}
func (Lost) event()      {}
func (Network) event()   {}
func (Failed) event()    {}
func (Unarmed) event()   {}
func (Sign) event()      {}
func (Answered) event()  {}
func (Start) event()     {}
func (LLAck) event()     {}
func (ALAck) event()     {}
func (Expired) event()   {}
func (SyncLost) event()  {}
func (Ended) event()     {}
func (Incoming) event()  {}

// An Action is what to do. What it needs is in the State that came with it.
type Action string

// The actions. None returns an error: its failure comes back as an event, or as
// a deadline that passed.
const (
	Dial    Action = "dial"    // place the call of State.Kind on State.Rung
	Load    Action = "load"    // hand the modem an MSD with State.ID
	Hangup  Action = "hangup"  // end whatever call there is
	TakeIt  Action = "answer"  // answer the incoming call
	Restart Action = "restart" // reset the modem: it refuses everything
)

// Limits are every duration and count of the emergency call.
type Limits struct {
	Hold     time.Duration // SOS held this long is a trigger
	Unhold   time.Duration // held again this long cancels
	Presses  uint8         // or pressed so often
	Within   time.Duration // in this time
	Jam      time.Duration // held this long the key is broken
	NoSign   time.Duration // from Dial to the modem's first sign
	NoAnswer time.Duration // from that sign to the answer
	T2       time.Duration
	T5       time.Duration // T5, T6 and T7 with what the modem's own may be late
	T6       time.Duration
	T7       time.Duration
	T9       time.Duration
	T10      time.Duration
	Reload   time.Duration   // between two fresh MSDs in voice
	Gaps     []time.Duration // before the redials of a call that never connected
	Again    []time.Duration // before the redials of one that was dropped; the last repeats
	DropEnd  time.Duration   // after a drop
	Every    time.Duration   // automatic, after the last gap
	GiveUp   time.Duration   // manual, after the last gap
	Quiet    time.Duration   // no SOS from the screen so soon after a call
	Echo     time.Duration   // how long an ended call may still say so
}

// Standard are the durations of EN 16072 and EN 16062, and our choices where
// those are silent.
var Standard = Limits{
	Hold: 3 * time.Second, Unhold: 2 * time.Second, Presses: 5, Within: 10 * time.Second, Jam: time.Minute,
	NoSign: 20 * time.Second, NoAnswer: 90 * time.Second,
	T2: 61 * time.Minute, T5: 7 * time.Second, T6: 7 * time.Second, T7: 22 * time.Second,
	T9: time.Hour, T10: 12 * time.Hour, Reload: 5 * time.Second,
	Gaps: seconds(0, 5, 10, 20, 30, 60, 60, 60, 60, 60), Again: seconds(0, 0, 5, 10, 20, 30, 60),
	DropEnd: 2 * time.Minute, Every: 2 * time.Minute, GiveUp: 10 * time.Minute,
	Quiet: 30 * time.Second, Echo: 2 * time.Second,
}

func seconds(n ...time.Duration) []time.Duration {
	for i := range n {
		n[i] *= time.Second
	}
	return n
}
