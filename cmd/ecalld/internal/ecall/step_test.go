package ecall

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/ecall/transitions.txt anew; read the diff")

const golden = "../../../../testdata/ecall/transitions.txt"

var start = time.Unix(1000, 0).UTC()

// after runs events from idle, half a second apart.
func after(events ...Event) State {
	s, now := State{}, start
	for _, e := range events {
		now = now.Add(500 * time.Millisecond)
		s, _ = Standard.Step(s, now, e)
	}
	return s
}

// then lets d pass and gives e.
func then(s State, d time.Duration, e Event) State {
	now := s.Since
	if at := s.Due(); !at.IsZero() && d == 0 {
		now = at
	}
	s, _ = Standard.Step(s, now.Add(d), e)
	return s
}

type sample struct {
	name  string
	state State
}

func samples() []sample {
	sos, crash := Trigger{Kind: Manual}, Trigger{Kind: Automatic}
	talk := []Event{Sign{}, Answered{}, Start{}, LLAck{}, ALAck{}}
	with := func(first Event, more ...Event) State { return after(append([]Event{first}, more...)...) }
	list := []sample{
		{"idle", after(Tick{})},
		{"idle, modem lost", after(Lost{})},
		{"idle, canceled", with(sos, Cancel{})},
		{"idle, last call failed", with(Trigger{Kind: Test}, Sign{}, Ended{Busy})},
		{"pressed", after(Down{})},
		{"pressed the fifth time next", after(Down{}, Up{}, Down{}, Up{}, Down{}, Up{}, Down{}, Up{})},
		{"dialling", with(sos)},
		{"dialling, refused once", with(sos, Failed{Serial: 1, Refused: true})},
		{"dialling, heard", with(sos, Sign{})},
		{"dialling, automatic", with(crash)},
		{"dialling, modem lost", with(sos, Lost{})},
		{"dialling, key down", with(sos, Down{})},
		{"dialling, bench", with(sos, Unarmed{})},
		{"dialling, test", with(Trigger{Kind: Test})},
		{"dialling, last rung", func() State { s := with(sos); s.Rung, s.Redials = Plain, 1; return s }()},
		{"connected", with(sos, talk[:2]...)},
		{"sending", with(sos, talk[:3]...)},
		{"acking", with(sos, talk[:4]...)},
		{"voice, delivered", with(sos, talk...)},
		{"voice, not delivered", with(sos, Sign{}, Answered{}, Expired{"T5"})},
		{"voice, automatic", with(crash, talk...)},
		{"voice, test", with(Trigger{Kind: Test}, talk...)},
		{"redial", with(sos, Sign{}, Ended{Busy}, Sign{}, Ended{Busy})},
		{"redial, automatic", with(crash, Sign{}, Ended{Busy}, Sign{}, Ended{Busy})},
		{"redial, dropped", with(crash, append(talk, Ended{Dropped}, Sign{}, Ended{Busy}, Sign{}, Ended{Busy})...)},
		{"callback", with(sos, append(talk, Ended{Normal})...)},
		{"callback, late", func() State { s := with(sos, append(talk, Ended{Normal})...); s.T9 = s.Since; return s }()},
		{"callback, ringing", func() State { s := with(sos, append(talk, Ended{Normal})...); s.Ringing = true; return s }()},
		{"assist", after(Aid{Breakdown})},
	}
	out := with(sos, Sign{}, Ended{Busy}, Sign{}, Ended{Busy})
	out.Redials = uint8(len(Standard.Gaps))
	auto := out
	auto.Automatic, auto.Kind = true, Automatic
	return append(list, sample{"redial, the last gap", out}, sample{"redial, automatic, the last gap", auto},
		sample{"redial, registration only", then(then(then(out, 0, Tick{}), 500*time.Millisecond, Sign{}), time.Second, Ended{Busy})})
}

func events(s State) []Event {
	return []Event{
		Tick{},
		Down{},
		Up{},
		Trigger{Kind: Manual},
		Trigger{Kind: Manual, Screen: true},
		Trigger{Kind: Automatic},
		Trigger{Kind: Test},
		Cancel{},
		Aid{Breakdown},
		Aid{Service},
		HangUp{},
		TakeUp{},
		IgnitedOn{},
		Lost{},
		Ready{},
		Ready{InCall: true},
		Network{Registered: true},
		Network{},
		Failed{Serial: s.Serial, Refused: true},
		Failed{Serial: s.Serial},
		Failed{Serial: s.Serial - 1, Refused: true},
		Unarmed{Test: true},
		Unarmed{},
		Sign{},
		Answered{},
		Start{},
		LLAck{},
		ALAck{},
		ALAck{Clear: true},
		Expired{"T5"},
		Expired{"T6"},
		Expired{"T7"},
		SyncLost{},
		Ended{Normal},
		Ended{Dropped},
		Ended{Busy},
		Ended{},
		Incoming{},
	}
}

func (s State) text(now time.Time) string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%-9s %-9s id %d rung %d redials %d", s.Phase, s.Kind, s.ID, s.Rung, s.Redials)
	if s.MSD != "" {
		fmt.Fprintf(b, " %s", s.MSD)
	}
	for _, f := range []struct {
		is   bool
		name string
	}{
		{s.Automatic, "automatic"},
		{s.Bench, "bench"},
		{s.Heard, "heard"},
		{s.Sent, "sent"},
		{s.Failed, "failed"},
		{s.Ringing, "ringing"},
		{s.Lost, "lost"},
		{s.Network, "network"},
		{s.Down, "down"},
		{s.Stuck, "stuck"},
		{s.Incident.Equal(now), "incident now"},
	} {
		if f.is {
			b.WriteString(" " + f.name)
		}
	}
	if at := s.Due(); !at.IsZero() {
		fmt.Fprintf(b, " +%v", at.Sub(now))
	}
	return b.String()
}

// TestTransitions is every event on every phase, and on every limit reached.
func TestTransitions(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Every phase and limit of the emergency call, and what each event does there half a second later.\n" +
		"# Written by go test ./cmd/ecalld/internal/ecall -rewrite.\n")
	for _, c := range samples() {
		now := c.state.Since
		if at := c.state.Due(); !at.IsZero() {
			now = now.Add(min(500*time.Millisecond, at.Sub(now)/2))
		}
		fmt.Fprintf(&b, "\n== %s: %s\n", c.name, c.state.text(now))
		row := func(name string, now time.Time, e Event) bool {
			next, acts := Standard.Step(c.state, now, e)
			if next == c.state && acts == nil {
				return false
			}
			fmt.Fprintf(&b, "%-36s -> %s %v\n", name, next.text(now), acts)
			return true
		}
		if at := c.state.Due(); !at.IsZero() {
			row("deadline", at, Tick{})
		}
		var nothing, refused []string
		for _, e := range events(c.state) {
			name := strings.TrimPrefix(fmt.Sprintf("%T%+v", e, e), "ecall.")
			if why := Standard.Refuse(c.state, now, e); why != "" {
				refused = append(refused, name+" "+why)
			} else if !row(name, now, e) {
				nothing = append(nothing, name)
			}
		}
		fmt.Fprintf(&b, "refused: %s\nnothing: %s\n", strings.Join(refused, ", "), strings.Join(nothing, " "))
	}
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	got, old := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(got), len(old)) {
		g, o := "", ""
		if i < len(got) {
			g = got[i]
		}
		if i < len(old) {
			o = old[i]
		}
		if g != o {
			t.Fatalf("line %d\n got %s\nwant %s\nif that is meant: -rewrite, and read the diff", i+1, g, o)
		}
	}
}

func anyEvent(t *rapid.T, s State) Event { return rapid.SampledFrom(events(s)).Draw(t, "event") }

// TestPromises are the sentences of the specification, one case each, on random
// histories.
func TestPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Standard
		s, now := State{}, start
		calling := false // as the modem would see it: a call it may not be told to place again
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if at := s.Due(); !at.IsZero() && rapid.Bool().Draw(t, "wait") {
				now = at
			} else {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Minute)).Draw(t, "pause")))
			}
			e := anyEvent(t, s)
			if _, gone := e.(Ended); gone || e == (Ready{}) {
				calling = false
			}
			next, acts := l.Step(s, now, e)
			late := !s.Due().IsZero() && !now.Before(s.Due())
			promises(t, s, next, now, e, acts, late)
			for _, a := range acts {
				switch a {
				case Dial:
					if calling {
						t.Fatalf("%v of %v: dials while a call lives, to %v", e, s, next)
					}
				case Hangup:
					calling = false
				}
			}
			switch next.Phase {
			case Connected, Sending, Acking, Voice:
				calling = true
			default:
				calling = false
			}
			s = next
		}
	})
}

func promises(t *rapid.T, s, next State, now time.Time, e Event, acts []Action, late bool) {
	has := func(a Action) bool {
		return slices.Contains(acts, a)
	}
	trigger, isTrigger := e.(Trigger)
	_, cancel := e.(Cancel)
	expired, isExpired := e.(Expired)
	emergency := isTrigger && trigger.Kind != Test && !trigger.Screen
	switch {
	case emergency && !next.Phase.Live():
		t.Fatalf("%+v in %v came to nothing: %v", e, s, next)
	case emergency && !s.Phase.Live() && !has(Dial):
		t.Fatalf("%+v in %v did not dial", e, s)
	case emergency && next.Kind == Test:
		t.Fatalf("%+v in %v left a test call", e, s)
	case s.Phase.Live() && s.Kind != Test && !s.Bench && next.Phase == Idle && !late && !cancel:
		t.Fatalf("%T%+v ended a live call: %v", e, e, s)
	case s.Automatic && s.Kind != Test && s.Phase.Live() && cancel && next != s && !late:
		t.Fatalf("an automatic call was canceled: %v", s)
	case isExpired && has(Hangup) && !late:
		t.Fatalf("%s hung up: %v", expired.Timer, s)
	case next.Phase == Connected && next.T2.IsZero(), next.Phase == Voice && next.T2.IsZero():
		t.Fatalf("nothing will hang up: %v", next)
	case !next.Due().IsZero() && !next.Due().After(now):
		t.Fatalf("%s is over at once: the loop would spin", next.Phase)
	case next.Phase == Dialling && next.Due().IsZero():
		t.Fatalf("dialling for ever: %v", next)
	case s.Phase.Live() && next.Phase.Live() && !next.Incident.Equal(s.Incident) && s.Kind != Test && !late:
		t.Fatalf("%T moved the time of the incident", e)
	case next.Phase.Live() && next.ID == 0:
		t.Fatalf("an MSD without a number: %v", next)
	case has(Load) && next.Sent && !late:
		t.Fatalf("the same number for two MSDs: %v", next)
	}
}

// TestPressedOften counts up to the limit, and lets the time pass between.
func TestPressedOften(t *testing.T) {
	for _, c := range []struct {
		every time.Duration
		want  Phase
	}{{time.Second, Dialling}, {2400 * time.Millisecond, Dialling}, {4 * time.Second, Idle}} {
		s, now := State{}, start
		for range 5 {
			s, _ = Standard.Step(s, now, Down{})
			s, _ = Standard.Step(s, now.Add(100*time.Millisecond), Up{})
			now = now.Add(c.every)
		}
		if s.Phase != c.want {
			t.Errorf("five times every %v: %s, want %s", c.every, s.Phase, c.want)
		}
	}
}

// TestHeldTwice: what placed the call is not what cancels it.
func TestHeldTwice(t *testing.T) {
	s, _ := Standard.Step(State{}, start, Down{})
	s, acts := Standard.Step(s, start.Add(Standard.Hold), Tick{})
	if s.Phase != Dialling || len(acts) == 0 || acts[0] != Dial {
		t.Fatalf("held: %s %v", s.Phase, acts)
	}
	s, _ = Standard.Step(s, start.Add(10*time.Second), Tick{})
	if s.Phase != Dialling {
		t.Fatalf("still held: %s", s.Phase)
	}
	s, _ = Standard.Step(s, start.Add(11*time.Second), Up{})
	s, _ = Standard.Step(s, start.Add(12*time.Second), Down{})
	s, acts = Standard.Step(s, start.Add(14*time.Second), Tick{})
	if s.Phase != Idle || len(acts) != 1 || acts[0] != Hangup {
		t.Errorf("held again: %s %v", s.Phase, acts)
	}
}

// TestRedials plays the whole list of a network that is always busy.
func TestRedials(t *testing.T) {
	for _, c := range []struct {
		kind  Kind
		dials int
		ends  time.Duration
	}{
		{Manual, 11, 365*time.Second + 10*time.Minute},
		{Automatic, 11 + (12*3600-365)/120, 12 * time.Hour},
	} {
		var acts []Action
		s, _ := Standard.Step(State{}, start, Trigger{Kind: c.kind})
		now, dials := start, 1
		for s.Phase != Callback {
			if s.Phase == Dialling {
				s, _ = Standard.Step(s, now, Sign{})
				s, acts = Standard.Step(s, now, Ended{Busy})
				if len(acts) > 0 && acts[0] == Dial {
					dials++
				}
				continue
			}
			now = s.Due()
			s, acts = Standard.Step(s, now, Tick{})
			if len(acts) > 0 && acts[0] == Dial {
				dials++
			}
		}
		if dials != c.dials || now.Sub(start) != c.ends || !s.Failed || s.Lamp(nil) != LampFailed {
			t.Errorf("%s: %d dials in %v, want %d in %v; lamp %s", c.kind, dials, now.Sub(start), c.dials, c.ends, s.Lamp(nil))
		}
	}
}

// TestLadder refuses every command: the first rung twice, the others once, then
// the modem is reset.
func TestLadder(t *testing.T) {
	s, _ := Standard.Step(State{}, start, Trigger{Kind: Manual})
	var rungs []Rung
	for range 6 {
		rungs = append(rungs, s.Rung)
		now := s.Since
		var acts []Action
		s, acts = Standard.Step(s, now, Failed{Serial: s.Serial, Refused: true})
		if s.Phase == Redial {
			s, _ = Standard.Step(s, s.Due(), Tick{})
		}
		if got := len(acts) > 0 && acts[0] == Restart; got != (len(rungs) == 5) {
			t.Errorf("refusal %d: %v", len(rungs), acts)
		}
	}
	if got := fmt.Sprint(rungs); got != "[1 1 2 3 4 1]" {
		t.Errorf("rungs %s", got)
	}
}

// TestIdentifiers: each MSD that goes out has the next number, 1 comes after
// 255, and what did not go out keeps its number.
func TestIdentifiers(t *testing.T) {
	s, now := after(Trigger{Kind: Manual}, Sign{}, Answered{}), start.Add(2*time.Second)
	for want := 1; want < 600; want++ {
		now = now.Add(100 * time.Millisecond)
		for _, e := range []Event{Start{}, LLAck{}, ALAck{}} {
			if _, is := e.(Start); is && s.ID != uint8((want-1)%255+1) {
				t.Fatalf("MSD %d has the identifier %d", want, s.ID)
			}
			s, _ = Standard.Step(s, now, e)
		}
		id := s.ID
		s, _ = Standard.Step(s, s.Reload, Tick{})
		if now = s.Reload.Add(-Standard.Reload); s.ID != id {
			t.Fatalf("a fresh MSD that never went out took a number: %d", s.ID)
		}
	}
}

// TestEcho: the end of one call is not the end of the next, which has not shown
// itself yet.
func TestEcho(t *testing.T) {
	s, now := after(Trigger{Kind: Manual}, Sign{}, Ended{Busy}), start.Add(2*time.Second)
	serial := s.Serial
	s, acts := Standard.Step(s, now, Ended{Busy})
	if s.Serial != serial || len(acts) != 0 || s.Phase != Dialling {
		t.Errorf("told twice: %s %v", s.Phase, acts)
	}
	if s, _ = Standard.Step(s, now.Add(3*time.Second), Ended{Busy}); s.Phase != Redial {
		t.Errorf("told later: %s", s.Phase)
	}
}

// TestPSAPNeverClears: a call that nobody ends is hung up 61 min after it was
// answered, whatever it is doing.
func TestPSAPNeverClears(t *testing.T) {
	for _, more := range [][]Event{{}, {Start{}}, {Start{}, LLAck{}}, {Start{}, LLAck{}, ALAck{}}, {Expired{"T5"}}} {
		s, now := after(append([]Event{Trigger{Kind: Automatic}, Sign{}, Answered{}}, more...)...), start
		end := s.T2
		for hung := false; !hung; {
			if now = s.Due(); now.IsZero() || now.After(end) {
				t.Fatalf("after %d events: %v, past %v", len(more), s, end)
			}
			var acts []Action
			s, acts = Standard.Step(s, now, Tick{})
			hung = slices.Contains(acts, Hangup)
		}
		if !now.Equal(end) || s.Phase != Callback {
			t.Errorf("after %d events: %s, hung up %v early", len(more), s.Phase, end.Sub(now))
		}
	}
}
