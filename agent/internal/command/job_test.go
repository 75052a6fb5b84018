package command

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

	"github.com/headunit-agent/headunit/agent/wire"
)

var (
	rewrite = flag.Bool("rewrite", false, "write the golden files anew; read the diff")
	noon    = time.Unix(1_800_000_000, 0)
	lock    = Job{
		Seq: 7, Goal: Goal{Operation: "lock"}, Wakes: true, WakeWait: 3 * time.Second,
		Every: 100 * time.Millisecond, AtMost: 3 * time.Second, Within: 10 * time.Second, Rests: 2,
	}
)

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("..", "..", "..", "testdata", "command", name)
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s differs; run with -args -rewrite and read the diff\ngot:\n%s", path, got)
	}
}

func short(s JobState, now time.Time) string {
	at := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.Sub(now).String()
	}
	return fmt.Sprintf("%s left %d next %s until %s over %s", s, s.Left, at(s.Next), at(s.Until), at(s.Deadline))
}

// TestTransitions freezes every event on one state of each phase, at once and
// when everything is due.
func TestTransitions(t *testing.T) {
	first := noon.Add(-50 * time.Millisecond)
	states := []JobState{
		{},
		{Phase: Waking, Job: lock, Deadline: noon.Add(3 * time.Second), Left: 3},
		{Phase: Waking, Job: lock, Deadline: noon.Add(time.Second), Next: noon.Add(500 * time.Millisecond), Left: 1},
		{Phase: Ready, Job: lock},
		{Phase: Acting, Job: lock, First: first, Next: noon.Add(50 * time.Millisecond), Until: noon.Add(2 * time.Second), Deadline: noon.Add(9 * time.Second), Left: 2},
		{Phase: Confirming, Job: lock, First: first, Next: noon.Add(50 * time.Millisecond), Deadline: noon.Add(9 * time.Second), Left: 1},
		{Phase: Confirming, Job: lock, First: first, Deadline: noon.Add(9 * time.Second)},
		{Phase: Confirming, Job: lock, First: first, Deadline: noon.Add(9 * time.Second), Reason: wire.CommandMoving},
		{Phase: Resting, Job: lock, First: first, Next: noon.Add(50 * time.Millisecond), Left: 1, Outcome: wire.Succeeded},
	}
	views := []struct {
		name string
		View
	}{
		{"awake", View{Awake: true}},
		{"asleep", View{Guard: wire.CommandStateUnknown}},
		{"mute", View{Mute: true, Guard: wire.CommandStateUnknown}},
		{"not known", View{Awake: true, Guard: wire.CommandStateUnknown}},
		{"moving", View{Awake: true, Guard: wire.CommandMoving}},
		{"moving, and goal", View{Awake: true, Guard: wire.CommandMoving, Goal: true, GoalAt: noon}},
		{"goal", View{Awake: true, Goal: true, GoalAt: noon}},
		{"goal before", View{Awake: true, Goal: true, GoalAt: first.Add(-time.Second)}},
		{"refused", View{Awake: true, Refused: wire.CommandDoorOpen, RefAt: noon, Goal: true, GoalAt: noon}},
		{"refused before", View{Awake: true, Refused: wire.CommandDoorOpen, RefAt: first.Add(-time.Second)}},
	}
	var b strings.Builder
	for _, s := range states {
		line := func(what string, now time.Time, e Event) {
			next, acts := Step(s, now, e)
			over := ""
			if slices.Contains(acts, End) {
				over = fmt.Sprintf(" %s %s", next.Outcome, next.Reason)
			}
			text := fmt.Sprintf("%-66s %-20s -> %-66s %v%s", short(s, noon), what, short(next, now), acts, over)
			b.WriteString(strings.TrimRight(text, " ") + "\n")
		}
		line("begin", noon, Begin{lock})
		line("recover", noon, Recover{lock})
		line("unjournaled", noon, Unjournaled{})
		line("leave", noon, Leave{})
		for _, v := range views {
			line("look "+v.name, noon, Look{v.View})
			line("journaled "+v.name, noon, Journaled{v.View})
		}
		line("look when all is due", noon.Add(time.Minute), Look{View{Awake: true}})
		if !s.Next.IsZero() {
			line("look at next", s.Next, Look{View{Awake: true}})
		}
		b.WriteString("\n")
	}
	golden(t, "transitions.txt", b.String())
}

// TestPromises drives jobs through random views and failures of the journal.
func TestPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := noon
		view := func() View {
			v := View{Awake: rapid.Bool().Draw(t, "awake")}
			if v.Mute = !v.Awake && rapid.Bool().Draw(t, "mute"); v.Mute {
				v.Guard = wire.CommandStateUnknown
			}
			if rapid.IntRange(0, 3).Draw(t, "guard") == 0 {
				v.Guard = rapid.SampledFrom([]wire.Reason{wire.CommandMoving, wire.CommandStateUnknown}).Draw(t, "reason")
			}
			if rapid.IntRange(0, 6).Draw(t, "refuses") == 0 {
				v.Refused, v.RefAt = wire.CommandDoorOpen, now.Add(time.Duration(rapid.IntRange(-2000, 0).Draw(t, "refused at"))*time.Millisecond)
			}
			if rapid.IntRange(0, 6).Draw(t, "shows") == 0 {
				v.Goal, v.GoalAt = true, now.Add(time.Duration(rapid.IntRange(-2000, 0).Draw(t, "shown at"))*time.Millisecond)
			}
			return v
		}
		recovered := rapid.Bool().Draw(t, "recovered")
		begin := Event(Begin{lock})
		if recovered {
			begin = Recover{lock}
		}
		s, _ := Step(JobState{}, now, begin)
		began, journaled, stopped, ended, rests := now, false, false, 0, 0
		var last View
		for ended == 0 {
			if now.Sub(began) > time.Minute {
				t.Fatalf("%v goes on for ever", short(s, now))
			}
			var e Event
			if s.Phase == Ready {
				if rapid.Bool().Draw(t, "journal works") {
					last = view()
					journaled = true
					e = Journaled{last}
				} else {
					e = Unjournaled{}
				}
			} else {
				now = now.Add(time.Duration(rapid.IntRange(1, 400).Draw(t, "ms")) * time.Millisecond)
				last = view()
				e = Look{last}
			}
			was := s
			next, acts := Step(s, now, e)
			s = next
			stopped = stopped || was.Phase == Acting && last.Guard != ""
			for _, a := range acts {
				switch a {
				case Frame:
					if !journaled || stopped || recovered || last.Guard != "" || s.Phase != Acting || now.After(was.Until) && !was.Until.IsZero() {
						t.Fatalf("a frame in %v, journaled %v, guard %q", short(s, now), journaled, last.Guard)
					}
				case Rest:
					rests++
				case End:
					ended++
				case Wake:
					if s.First.IsZero() && (last.Awake || last.Mute) {
						t.Fatal("woke a bus that is awake, or must not be written to")
					}
				case Journal, Progress:
				}
			}
			if ended == 0 && s.Phase != Ready && s.Due().IsZero() {
				t.Fatalf("%v waits for nothing", short(s, now))
			}
			if ended == 0 && s.Phase != Ready && !s.Due().After(now) {
				t.Fatalf("%v is due for ever: the loop would spin", short(s, now))
			}
		}
		shown := last.Goal && (last.GoalAt.After(s.First) || s.First.IsZero())
		switch {
		case s.Phase != Idle || ended != 1:
			t.Fatalf("ended %d times in %v", ended, s)
		case s.Outcome == wire.Refused && !s.First.IsZero():
			t.Fatal("refused after a frame")
		case s.Outcome == wire.Succeeded && rests == 0 && !shown:
			t.Fatalf("succeeded, and the bus shows %+v", last)
		case !recovered && !s.First.IsZero() && rests != lock.Rests:
			t.Fatalf("%d frames of the rest state", rests)
		case (s.Outcome == wire.Succeeded) != (s.Reason == ""):
			t.Fatalf("%s because of %q", s.Outcome, s.Reason)
		}
	})
}
