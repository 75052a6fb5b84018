package uds

import (
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Unix(1_700_000_000, 0)

func units(names ...string) []ECU {
	var all []ECU
	for _, n := range names {
		i := slices.IndexFunc(VWUnits, func(u ECU) bool { return u.Name == n })
		all = append(all, VWUnits[i])
	}
	return all
}

func plan() Plan {
	return Plan{ECUs: units("Gateway", "Instruments", "Airbag", "Engine"), OBD: []int{3}}
}

// play runs a report against outcome and returns what was asked, and when.
func play(t testing.TB, p Plan, outcome func(n int, q Question) (Outcome, time.Duration)) (Findings, []Question, []time.Duration) {
	t.Helper()
	r, err := NewReport(p, DefaultReportLimits)
	if err != nil {
		t.Fatal(err)
	}
	outcomes := make([]Outcome, len(r.Questions()))
	var asked []Question
	var at []time.Duration
	now := start
	s, acts := r.Step(ReportState{}, now, Start{})
	for range 1000 {
		var e ReportEvent = Tick{}
		for _, a := range acts {
			switch a.Do {
			case Finish:
				return r.Findings(s, outcomes), asked, at
			case Cancel:
				outcomes[a.Number] = Outcome{Kind: Broken}
			case Ask:
				q := r.Questions()[a.Number]
				asked, at = append(asked, q), append(at, now.Sub(start))
				o, took := outcome(a.Number, q)
				if answered := now.Add(took); !s.Deadline.Before(answered) {
					now, outcomes[a.Number] = answered, o
					e = Answered{a.Number, o}
				}
			}
		}
		if e == (Tick{}) {
			if !now.Before(s.Deadline) {
				t.Fatalf("%s spins", s.Phase)
			}
			now = s.Deadline
		}
		s, acts = r.Step(s, now, e)
	}
	t.Fatal("it never ends")
	return Findings{}, nil, nil
}

func says(text string) Outcome {
	b, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return Outcome{Kind: Heard, Payload: b}
}

func saysVIN(head, v string) Outcome { return says(head + hex.EncodeToString([]byte(v))) }

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// TestReport: what is asked, in which order, and what it comes to.
func TestReport(t *testing.T) {
	answer := func(_ int, q Question) (Outcome, time.Duration) {
		switch q.Topic {
		case Alive:
			return saysVIN("62F190", secret), ms(20)
		case Codes:
			switch q.ECU {
			case 0:
				return says("5902FF"), ms(20)
			case 1:
				return says("5902FFC1210008030100AF00000050"), ms(20)
			case 2:
				return Outcome{Kind: NotThere, Code: 0x11}, ms(20)
			}
			return Outcome{Kind: Silent}, ms(100)
		case Supply:
			return says("622AF72134FFFFFE0C005F3C"), ms(20)
		case Odometer:
			if q.ECU == 3 {
				return says("62295A003039"), ms(20)
			}
			return says("62220304D2"), ms(20)
		}
		if _, obd := q.Request.(ReadVehicle); obd {
			return saysVIN("490201", secret), ms(20)
		}
		return Outcome{Kind: NotThere, Code: 0x31}, ms(20)
	}
	f, asked, at := play(t, plan(), answer)
	var got []string
	for _, q := range asked {
		got = append(got, VWUnits[slices.IndexFunc(VWUnits, func(u ECU) bool { return u.Name == plan().ECUs[q.ECU].Name })].Name+" "+hex.EncodeToString(q.Request.Encode()))
	}
	want := []string{
		"Gateway 22f190", "Gateway 19020d", "Instruments 19020d", "Airbag 19020d", "Engine 19020d",
		"Gateway 222af7", "Instruments 222203", "Engine 22295a", "Engine 22f190", "Engine 0902",
	}
	if !slices.Equal(got, want) {
		t.Errorf("asked %q", got)
	}
	for i := range at[5:] {
		if at[i+5]-at[i] < time.Second {
			t.Errorf("six questions from %v to %v", at[i], at[i+5])
		}
	}
	if f.Stopped != "" || f.VIN.Reveal() != secret || f.Odometer != 12345 || f.Supply == nil || f.Supply.Volts != 12.5 {
		t.Errorf("%+v", f)
	}
	states := []OutcomeKind{Heard, Heard, NotThere, Silent}
	for i, u := range f.Units {
		if u.State != states[i] {
			t.Errorf("%s: %s", u.Name, u.State)
		}
	}
	// 000000-50 is neither failing, pending nor confirmed
	if c := f.Units[1].Codes; len(c) != 2 || c[0].DTC.String() != "U0121-00" || c[1].DTC.String() != "P0301-00" || len(f.Units[0].Codes) != 0 {
		t.Errorf("%+v", f.Units)
	}
}

// TestReportAsksNoMore than it needs.
func TestReportAsksNoMore(t *testing.T) {
	p := plan()
	p.Seen, p.Odometer = []Sighting{{"broadcast", vin(t, secret)}}, 12340
	f, asked, _ := play(t, p, func(_ int, q Question) (Outcome, time.Duration) {
		if q.Topic == Alive {
			return saysVIN("62F190", secret), ms(10)
		}
		return says("5902FF"), ms(10)
	})
	for _, q := range asked {
		if q.Topic == Identity || q.Topic == Odometer {
			t.Errorf("asked for %s again", q.Topic)
		}
	}
	if f.VIN.Reveal() != secret || f.Odometer != 12340 {
		t.Errorf("%+v", f)
	}

	f, asked, _ = play(t, plan(), func(int, Question) (Outcome, time.Duration) { return Outcome{Kind: Silent}, ms(100) })
	if len(asked) != 1 || f.Stopped != GatewaySilent || f.Units[1].State != NotAsked {
		t.Errorf("behind a silent gateway %d questions: %+v", len(asked), f)
	}
	f, asked, _ = play(t, plan(), func(int, Question) (Outcome, time.Duration) { return Outcome{Kind: NotThere, Code: 0x31}, ms(10) })
	if f.Stopped != "" || len(asked) != 12 || f.VIN != (VIN{}) { // the VIN is asked for twice
		t.Errorf("a gateway that offers nothing: %d questions, %+v", len(asked), f)
	}
}

// TestReportEnds within its minute, and one slow unit does not take it all.
func TestReportEnds(t *testing.T) {
	p := Plan{Gateway: -1, ECUs: VWUnits}
	f, asked, at := play(t, p, func(int, Question) (Outcome, time.Duration) { return Outcome{Kind: Silent}, time.Hour })
	if f.Stopped != TimeOver || len(asked) != 6 || at[5] != 50*time.Second || f.Units[0].State != Broken || f.Units[10].State != NotAsked {
		t.Errorf("%d questions, %+v", len(asked), f)
	}
}

// TestReportIsCutShort in the middle of a question.
func TestReportIsCutShort(t *testing.T) {
	r, err := NewReport(Plan{Gateway: -1, ECUs: VWUnits}, ReportLimits{Gap: ms(200), Ask: 45 * time.Second, Whole: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	s, _ := r.Step(ReportState{}, start, Start{})
	s, acts := r.Step(s, s.Deadline, Answered{0, says("5902FF")})
	if !slices.Equal(acts, []ReportAction{{Cancel, 0}, {Ask, 1}}) || s.Deadline != start.Add(time.Minute) {
		t.Fatalf("%v, until %v", acts, s.Deadline.Sub(start))
	}
	if again, acts := r.Step(s, start.Add(50*time.Second), Answered{0, says("5902FF")}); again != s || acts != nil {
		t.Errorf("a question that was given up is answered: %v", acts)
	}
	if s, acts = r.Step(s, s.Deadline, Tick{}); s.Stopped != TimeOver || !slices.Equal(acts, []ReportAction{{Cancel, 1}, {Do: Finish}}) {
		t.Errorf("%s: %v", s.Stopped, acts)
	}
}

func TestStop(t *testing.T) {
	r, err := NewReport(plan(), DefaultReportLimits)
	if err != nil {
		t.Fatal(err)
	}
	asking, acts := r.Step(ReportState{}, start, Start{})
	if !slices.Equal(acts, []ReportAction{{Ask, 0}}) {
		t.Fatal(acts)
	}
	resting, acts := r.Step(asking, start.Add(ms(20)), Answered{0, says("62F19041")})
	if resting.Phase != Resting || len(acts) != 0 {
		t.Fatal(resting.Phase, acts)
	}
	for _, why := range []Reason{IgnitionOff, Motion, ForeignTester, Call} {
		s, acts := r.Step(asking, start.Add(ms(10)), Stop{why})
		if s.Stopped != why || !slices.Equal(acts, []ReportAction{{Cancel, 0}, {Do: Finish}}) {
			t.Errorf("asking, %s: %+v %v", why, s, acts)
		}
		if again, acts := r.Step(s, start.Add(time.Hour), Answered{0, Outcome{}}); again != s || acts != nil {
			t.Errorf("it goes on: %v", acts)
		}
		s, acts = r.Step(resting, start.Add(ms(30)), Stop{why})
		if s.Stopped != why || !slices.Equal(acts, []ReportAction{{Do: Finish}}) {
			t.Errorf("resting, %s: %+v %v", why, s, acts)
		}
	}
	if s, acts := r.Step(ReportState{}, start, Stop{Call}); s != (ReportState{}) || acts != nil {
		t.Errorf("stopped before it began: %v", acts)
	}
}

// TestReportPromises over any history.
func TestReportPromises(t *testing.T) {
	r, err := NewReport(plan(), DefaultReportLimits)
	if err != nil {
		t.Fatal(err)
	}
	outcomes := []Outcome{{Kind: Silent}, {Kind: Broken}, {Kind: NotThere, Code: 0x31}, says("5902FF"), saysVIN("62F190", secret), saysVIN("490201", "WVWZZZ1KZAW000001")}
	rapid.Check(t, func(rt *rapid.T) {
		var s ReportState
		now := start
		var began time.Time
		var asks []time.Time
		waiting, finished := -1, false
		for range rapid.IntRange(1, 80).Draw(rt, "steps") {
			now = now.Add(ms(rapid.SampledFrom([]int{0, 1, 50, 199, 200, 1000, 9999, 10000}).Draw(rt, "later")))
			var e ReportEvent
			switch k := rapid.IntRange(0, 12).Draw(rt, "event"); {
			case k == 0:
				e = Stop{Motion}
			case k < 3:
				e = Tick{}
			case k < 5:
				e = Start{}
			default:
				e = Answered{max(0, s.Next-rapid.IntRange(0, 2).Draw(rt, "which")), rapid.SampledFrom(outcomes).Draw(rt, "outcome")}
			}
			next, acts := r.Step(s, now, e)
			if s.Phase == "" && next.Phase != "" {
				began = now
			}
			for _, a := range acts {
				switch {
				case finished:
					rt.Fatal("acts after the end")
				case a.Do == Ask:
					if _, stopped := e.(Stop); stopped && next.Phase == Asking {
						rt.Fatal("asks after a stop")
					}
					asks, waiting = append(asks, now), a.Number
				case a.Do == Cancel && a.Number != waiting:
					rt.Fatalf("cancels %d, waits for %d", a.Number, waiting)
				case a.Do == Finish:
					finished = true
				}
			}
			switch n := len(asks); {
			case n > 1 && asks[n-1].Sub(asks[n-2]) < 200*time.Millisecond:
				rt.Fatal("asked too soon")
			case n > 0 && !asks[n-1].Before(began.Add(time.Minute)):
				rt.Fatal("asked after its minute")
			case !next.Deadline.IsZero() && !next.Deadline.After(now):
				rt.Fatalf("%s is over at once: the loop would spin", next.Phase)
			case !next.Deadline.IsZero() && next.Deadline.After(began.Add(time.Minute)):
				rt.Fatal("waits beyond its minute")
			case finished != (next.Phase == Ended):
				rt.Fatalf("%s and finished: %t", next.Phase, finished)
			}
			s = next
		}
	})
}

func TestBadPlans(t *testing.T) {
	for i, p := range []Plan{
		{}, {ECUs: make([]ECU, 65)}, {ECUs: VWUnits, Gateway: 11}, {ECUs: VWUnits, OBD: []int{11}}, {ECUs: VWUnits, OBD: []int{-1}}, {ECUs: VWUnits, Seen: make([]Sighting, 5)},
	} {
		if _, err := NewReport(p, DefaultReportLimits); !errors.Is(err, ErrPlan) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if _, err := NewReport(plan(), ReportLimits{}); !errors.Is(err, ErrPlan) {
		t.Error("without limits")
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		a    Answer
		err  error
		want OutcomeKind
	}{
		{Answer{Payload: []byte{1}}, nil, Heard},
		{Answer{NotOffered: 0x11}, nil, NotThere},
		{Answer{}, Negative{1, 0x22}, Refused},
		{Answer{}, ErrSilent, Silent},
		{Answer{}, ErrPending, Broken},
		{Answer{}, errors.New("x"), Broken},
	} {
		if got := Judge(c.a, c.err); got.Kind != c.want {
			t.Errorf("%v, %v: %s", c.a, c.err, got.Kind)
		}
	}
	for _, bad := range []string{"5902", "590AFF", "7F"} {
		u := UnitFindings{}
		if u.take(says(bad)); u.State != Broken {
			t.Errorf("%s is no clean bill: %s", bad, u.State)
		}
	}
}
