package uds

import (
	"fmt"
	"time"
)

// A ReportEvent is [Start], [Answered], [Stop] or [Tick].
type ReportEvent interface{ reportEvent() }

// The events of a report.
type (
	// Start begins it.
	Start struct{}
	// Answered ends question Number.
	Answered struct {
		Number  int
		Outcome Outcome
	}
	// Stop ends the report at once: the car may not be asked any more.
	Stop struct{ Why Reason }
	// Tick is a look at the clock.
	Tick struct{}
)

func (Start) reportEvent()    {}
func (Answered) reportEvent() {}
func (Stop) reportEvent()     {}
func (Tick) reportEvent()     {}

// A ReportAction is what is to be done.
type ReportAction struct {
	Do     ReportVerb
	Number int // of the question, with Ask and Cancel
}

// A ReportVerb names a [ReportAction].
type ReportVerb string

// The verbs.
const (
	Ask    ReportVerb = "ask"    // put question Number, and tell the end as Answered
	Cancel ReportVerb = "cancel" // give question Number up; nobody waits for its answer
	Finish ReportVerb = "finish" // nothing follows: see [Report.Findings]
)

// Step is what a report does next. A passed deadline is judged before e.
func (r *Report) Step(s ReportState, now time.Time, e ReportEvent) (ReportState, []ReportAction) {
	var acts []ReportAction
	if !s.Deadline.IsZero() && !now.Before(s.Deadline) {
		s, acts = r.due(s, now)
	}
	var then []ReportAction
	switch e := e.(type) {
	case Start:
		if s.Phase == "" {
			s.End = now.Add(r.limits.Whole)
			s.count = copy(s.seen[:], r.plan.Seen)
			s, then = r.next(s, now)
		}
	case Answered:
		if s.Phase == Asking && e.Number == s.Next-1 {
			s, then = r.answered(s, now, e.Outcome)
		}
	case Stop:
		if s.Phase == Asking || s.Phase == Resting {
			s, then = r.end(s, e.Why)
		}
	case Tick:
	}
	return s, append(acts, then...)
}

func (r *Report) due(s ReportState, now time.Time) (ReportState, []ReportAction) {
	switch {
	case !now.Before(s.End):
		return r.end(s, TimeOver)
	case s.Phase == Asking:
		acts := []ReportAction{{Cancel, s.Next - 1}}
		s, then := r.answered(s, now, Outcome{Kind: Broken})
		return s, append(acts, then...)
	}
	return r.next(s, now)
}

// answered takes what matters for the way on: is the gateway there, which VIN.
func (r *Report) answered(s ReportState, now time.Time, o Outcome) (ReportState, []ReportAction) {
	n := s.Next - 1
	s.Phase = Resting
	if q := r.questions[n]; q.Topic == Alive && (o.Kind == Silent || o.Kind == Broken) {
		return r.end(s, GatewaySilent)
	}
	if v, ok := r.sighting(n, o); ok && s.count < maxSeen {
		s.seen[s.count] = v
		s.count++
	}
	return r.next(s, now)
}

// next asks the next question that is still open, when it may.
func (r *Report) next(s ReportState, now time.Time) (ReportState, []ReportAction) {
	_, known := Agree(s.seen[:s.count])
	for s.Next < len(r.questions) && known && r.questions[s.Next].Topic == Identity {
		s.Next++
	}
	if s.Next == len(r.questions) {
		return r.end(s, "")
	}
	if from := s.Asked.Add(r.limits.Gap); now.Before(from) {
		s.Phase, s.Deadline = Resting, earlier(from, s.End)
		return s, nil
	}
	n := s.Next
	s.Phase, s.Next, s.Asked = Asking, n+1, now
	s.Deadline = earlier(now.Add(r.limits.Ask), s.End)
	return s, []ReportAction{{Ask, n}}
}

func (r *Report) end(s ReportState, why Reason) (ReportState, []ReportAction) {
	var acts []ReportAction
	if s.Phase == Asking {
		acts = append(acts, ReportAction{Cancel, s.Next - 1})
	}
	s.Phase, s.Deadline, s.Stopped = Ended, time.Time{}, why
	return s, append(acts, ReportAction{Do: Finish})
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// sighting is the VIN that the outcome of question n holds.
func (r *Report) sighting(n int, o Outcome) (Sighting, bool) {
	q := r.questions[n]
	if o.Kind != Heard || q.Topic != Alive && q.Topic != Identity {
		return Sighting{}, false
	}
	from := r.plan.ECUs[q.ECU].Name
	switch ask := q.Request.(type) {
	case ReadData:
		values, err := DecodeData(o.Payload, ask.IDs, nil)
		if err != nil {
			return Sighting{}, false
		}
		v, err := ParseVIN(string(values[0].Data))
		return Sighting{fmt.Sprintf("%s %04X", from, ask.IDs[0]), v}, err == nil
	case ReadVehicle:
		texts, err := DecodeVehicle(o.Payload, ItemVIN)
		if err != nil || len(texts) != 1 {
			return Sighting{}, false
		}
		v, err := ParseVIN(texts[0])
		return Sighting{from + " OBD", v}, err == nil
	}
	return Sighting{}, false
}

// Findings are what a report found.
type Findings struct {
	Units    []UnitFindings // in the order of the plan
	Supply   *VWSupply      // nil: unknown
	Odometer uint32         // km; 0: unknown
	VIN      VIN            // none where no two sightings agree
	Stopped  Reason         // "" if every question was asked
	Other    []OtherFinding
}

// UnitFindings are those of one control unit. Healthy is only Heard without codes.
type UnitFindings struct {
	Name  string
	State OutcomeKind
	Code  NRC // if NotThere or Refused
	Codes []Code
}

// An OtherFinding is the answer to a read with a topic of the plan's own.
type OtherFinding struct {
	ECU   int
	Topic Topic
	Value Value
}

// Findings interprets outcomes, which are numbered as the questions; those that
// are missing were not asked.
func (r *Report) Findings(s ReportState, outcomes []Outcome) Findings {
	f := Findings{Stopped: s.Stopped, Odometer: r.plan.Odometer, Units: make([]UnitFindings, len(r.plan.ECUs))}
	f.VIN, _ = Agree(s.seen[:s.count])
	for i, u := range r.plan.ECUs {
		f.Units[i].Name = u.Name
	}
	rough := [][]byte{}
	for n, o := range outcomes[:min(len(outcomes), len(r.questions))] {
		q := r.questions[n]
		if q.Topic == Codes {
			f.Units[q.ECU].take(o)
			continue
		}
		ask, reads := q.Request.(ReadData)
		if o.Kind != Heard || !reads || q.Topic == Alive || q.Topic == Identity {
			continue
		}
		values, err := DecodeData(o.Payload, ask.IDs, nil)
		if err != nil {
			continue
		}
		switch v := values[0]; {
		case q.Topic == Supply && v.ID == IDVWSupply:
			if supply, err := DecodeVWSupply(v.Data); err == nil {
				f.Supply = &supply
			}
		case q.Topic == Odometer && v.ID == IDVWOdometer:
			rough = append(rough, v.Data)
		case q.Topic == Odometer && v.ID == IDVWOdometerKM:
			if km, ok := decodeKM(v.Data); ok && len(v.Data) == 3 {
				f.Odometer = km
			}
		default:
			f.Other = append(f.Other, OtherFinding{q.ECU, q.Topic, v})
		}
	}
	for _, data := range rough {
		if km, ok := DecodeVWOdometer(data, f.Odometer); ok && f.Odometer > 0 {
			f.Odometer = km
		}
	}
	return f
}

// take reads the fault codes; an answer that cannot be read is no clean bill.
func (u *UnitFindings) take(o Outcome) {
	u.State, u.Code = o.Kind, o.Code
	if o.Kind != Heard {
		return
	}
	l, err := DecodeDTCList(o.Payload)
	if err != nil || l.Sub != 2 {
		u.State = Broken
		return
	}
	for _, c := range l.Codes {
		if c.Status&Faults != 0 {
			u.Codes = append(u.Codes, c)
		}
	}
}
