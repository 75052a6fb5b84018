package uds

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// An ECU is one control unit that a health report asks.
type ECU struct {
	Name    string
	Address Address
	Read    []Read
}

// A Read is a data identifier and what it holds.
type Read struct {
	ID uint16
	As Topic
}

// A Topic is what a question of a report is about.
type Topic string

// The topics. Reads may also name others: they are asked, and their answers
// handed back as they are.
const (
	Alive    Topic = "alive"    // is the gateway there
	Codes    Topic = "codes"    // fault codes
	Supply   Topic = "supply"   // 12 V
	Odometer Topic = "odometer" // km
	Identity Topic = "vin"
)

// A Plan is what a health report is made of, before anything was asked.
type Plan struct {
	Gateway  int        // number of the gateway among ECUs; below 0: none
	ECUs     []ECU      // at most 64
	OBD      []int      // numbers of the ECUs that may know the VIN by service 09
	Odometer uint32     // km as broadcast; 0: unknown, so it is asked for
	Seen     []Sighting // of the VIN, as broadcast: at most 4
}

// ReportLimits are the durations of a report.
type ReportLimits struct {
	Gap   time.Duration // between two questions, at least
	Ask   time.Duration // for one question
	Whole time.Duration // for all
}

// DefaultReportLimits: 5 requests a second and one minute.
var DefaultReportLimits = ReportLimits{Gap: 200 * time.Millisecond, Ask: 10 * time.Second, Whole: time.Minute}

// A Question is one request of a report to one ECU.
type Question struct {
	ECU     int
	Topic   Topic
	Request Request
}

// A Report is the script of one health report: which question follows which,
// and when it ends. It does not change; what happened is its [ReportState].
type Report struct {
	plan      Plan
	limits    ReportLimits
	questions []Question
}

const (
	maxECUs = 64
	maxSeen = 16
)

// ErrPlan is a plan that cannot be carried out.
var ErrPlan = errors.New("no such report")

// NewReport orders the questions: the gateway, the fault codes of each unit,
// the supply, the odometer, what else is to be read, and the VIN until two
// sources agree on it or one has said it twice.
func NewReport(p Plan, l ReportLimits) (*Report, error) {
	switch {
	case len(p.ECUs) == 0 || len(p.ECUs) > maxECUs || p.Gateway >= len(p.ECUs):
		return nil, fmt.Errorf("%w: %d units, gateway %d", ErrPlan, len(p.ECUs), p.Gateway)
	case len(p.Seen) > 4 || slices.ContainsFunc(p.OBD, func(i int) bool { return i < 0 || i >= len(p.ECUs) }):
		return nil, fmt.Errorf("%w: %d sightings, OBD %v", ErrPlan, len(p.Seen), p.OBD)
	case l.Gap <= 0 || l.Ask <= 0 || l.Whole <= 0:
		return nil, fmt.Errorf("%w: %+v", ErrPlan, l)
	}
	r := &Report{plan: p, limits: l}
	if p.Gateway >= 0 {
		r.add(p.Gateway, Alive, ReadData{[]uint16{IDVIN}})
	}
	for i := range p.ECUs {
		r.add(i, Codes, ReadDTCByMask{Faults})
	}
	r.reads(func(t Topic) bool { return t == Supply })
	r.reads(func(t Topic) bool { return t == Odometer && p.Odometer == 0 })
	r.reads(func(t Topic) bool { return t != Supply && t != Odometer && t != Identity })
	for range 2 {
		r.reads(func(t Topic) bool { return t == Identity })
		for _, i := range p.OBD {
			r.add(i, Identity, ReadVehicle{ItemVIN})
		}
	}
	return r, nil
}

func (r *Report) add(ecu int, t Topic, q Request) {
	r.questions = append(r.questions, Question{ecu, t, q})
}

func (r *Report) reads(want func(Topic) bool) {
	for i, u := range r.plan.ECUs {
		for _, d := range u.Read {
			if want(d.As) {
				r.add(i, d.As, ReadData{[]uint16{d.ID}})
			}
		}
	}
}

// Questions are all that may be asked, by number. They are not to be changed.
func (r *Report) Questions() []Question { return r.questions }

// A ReportPhase is where a report stands.
type ReportPhase string

// The phases. The zero value has not begun.
const (
	Asking  ReportPhase = "asking"  // a question is on its way
	Resting ReportPhase = "resting" // the next may not be asked yet
	Ended   ReportPhase = "ended"
)

// A Reason is why a report ended before its last question.
type Reason string

// The reasons. The first four come from outside, with [Stop].
const (
	IgnitionOff   Reason = "ignition off"
	Motion        Reason = "motion"
	ForeignTester Reason = "foreign tester"
	Call          Reason = "call"
	GatewaySilent Reason = "gateway silent" // the bus sleeps, or is another
	TimeOver      Reason = "time over"
)

// A ReportState is all that a report in progress remembers. It is comparable.
type ReportState struct {
	Phase    ReportPhase
	Next     int       // the number of the question that follows
	Asked    time.Time // when the last one was
	Deadline time.Time // zero: only an event goes on
	End      time.Time
	Stopped  Reason // "" if every question was asked

	seen  [maxSeen]Sighting
	count int
}

// An Outcome is how a question ended.
type Outcome struct {
	Kind    OutcomeKind
	Payload []byte // if Heard; it may hold a VIN
	Code    NRC    // if NotThere or Refused
}

// An OutcomeKind is a word that a report shows of a unit. The zero value was
// not asked.
type OutcomeKind string

// The kinds of outcome.
const (
	NotAsked OutcomeKind = ""
	Heard    OutcomeKind = "answered"
	NotThere OutcomeKind = "not offered"
	Refused  OutcomeKind = "refused"
	Silent   OutcomeKind = "silent" // which is not healthy
	Broken   OutcomeKind = "failed" // the transport, or the time for one question
)

// String does not show the payload.
func (o Outcome) String() string {
	if o.Code != 0 {
		return fmt.Sprintf("%s: %v", o.Kind, o.Code)
	}
	return string(o.Kind)
}

// Format writes String, whatever the verb.
func (o Outcome) Format(f fmt.State, _ rune) { _, _ = fmt.Fprint(f, o.String()) }

// MarshalText is String.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// Judge is the outcome of what [Client.Ask] returned.
func Judge(a Answer, err error) Outcome {
	n, refused := errors.AsType[Negative](err)
	switch {
	case refused:
		return Outcome{Kind: Refused, Code: n.Code}
	case errors.Is(err, ErrSilent):
		return Outcome{Kind: Silent}
	case err != nil:
		return Outcome{Kind: Broken}
	case a.Payload == nil:
		return Outcome{Kind: NotThere, Code: a.NotOffered}
	}
	return Outcome{Kind: Heard, Payload: a.Payload}
}
