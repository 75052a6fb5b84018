package privacy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	limits = DefaultLimits
	noon   = time.Unix(1_800_000_000, 0)
	off, _ = NewSwitches(VehicleStatus)
)

// TestTransitions freezes every event on one state of each phase.
func TestTransitions(t *testing.T) {
	states := []State{
		{Phase: Phase(Maximum)},
		{Phase: Phase(Maximum), Wanted: Choice{Level: ShareLocation}, Saving: true},
		{Phase: Phase(Maximum), Owed: true, Deadline: noon.Add(time.Second)},
		{Phase: Closing, Owed: true, Deadline: noon.Add(3 * time.Second)},
		{Phase: Closing, Owed: true, Saving: true, Deadline: noon.Add(3 * time.Second)},
		{Phase: Phase(NoLocation)},
		{Phase: Phase(UseLocation), Off: off},
		{Phase: Phase(UseLocation), Wanted: Choice{Level: ShareLocation}, Saving: true},
		{Phase: Phase(ShareLocation)},
	}
	var b strings.Builder
	for _, s := range states {
		events := []Event{Boot{}, Saved{s.Kept()}, Saved{Choice{Level: NoLocation, Off: off}}, Unsaved{}, Parted{}, Tick{}}
		for _, l := range Levels {
			for _, still := range []bool{false, true} {
				events = append(events, Chosen{Choice{Level: l}, still})
			}
		}
		events = append(events, Chosen{Choice{s.level(), off}, false}, Chosen{Choice{s.level(), 0}, true})
		for _, e := range events {
			next, acts := limits.Step(s, noon, e)
			fmt.Fprintf(&b, "%-42s %-55s -> %-42s %+v %v\n", s, strings.TrimPrefix(fmt.Sprintf("%T%+v", e, e), "privacy."), next, span(next), acts)
		}
		if !s.Deadline.IsZero() {
			next, acts := limits.Step(s, s.Deadline, Tick{})
			fmt.Fprintf(&b, "%-42s %-55s -> %-42s %+v %v\n", s, "Tick{} when due", next, next.Due().Sub(s.Deadline).Round(time.Second) > 0, acts)
		}
		b.WriteString("\n")
	}
	golden(t, "transitions.txt", b.String())
}

func span(s State) string {
	if s.Deadline.IsZero() {
		return "-"
	}
	return s.Deadline.Sub(noon).String()
}

// TestPromises runs random histories against a disk that may fail, and may have
// written all the same.
func TestPromises(t *testing.T) {
	choice := rapid.Custom(func(t *rapid.T) Choice {
		return Choice{rapid.SampledFrom(Levels[:]).Draw(t, "level"), Switches(rapid.IntRange(0, 3).Draw(t, "off"))}
	})
	rapid.Check(t, func(t *rapid.T) {
		flash := choice.Draw(t, "flash")
		s, now := Start(flash), noon
		online := s.level() != Maximum
		var wants []Choice // saves that were begun and not answered yet
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, "ms")) * time.Millisecond)
			var e Event
			switch k := rapid.IntRange(0, 5).Draw(t, "event"); {
			case k < 2:
				c := Chosen{choice.Draw(t, "choice"), rapid.Bool().Draw(t, "still")}
				if c.Level == "" {
					c.Level = Maximum
				}
				e = c
			case k < 4 && len(wants) > 0:
				w := wants[0]
				wants = wants[1:]
				wrote := rapid.Bool().Draw(t, "wrote")
				if wrote {
					flash = w
				}
				e = Unsaved{}
				if wrote && rapid.Bool().Draw(t, "says so") {
					e = Saved{w}
				}
			case k == 4:
				e = Parted{}
			default:
				e = Tick{}
			}
			was := s
			next, acts := limits.Step(s, now, e)
			s = next
			for _, a := range acts {
				switch a {
				case Save:
					wants = append(wants, s.Kept())
				case Connect:
					online = true
				case Disconnect:
					online = false
				case Apply, SayGoodbye, Tell, RefuseDriving, RefuseUnsaved:
				}
			}
			c, chosen := e.(Chosen)
			switch {
			case online == (s.Phase == Phase(Maximum)):
				t.Fatalf("from %v to %v: online %v", was, s, online)
			case chosen && c.Choice.stricter(was.force()) && !s.force().stricter(c.Choice):
				t.Fatalf("raised to %v, and %v is in force", c.Choice, s)
			case chosen && !c.Stationary && !s.force().stricter(was.force()):
				t.Fatalf("lowered from %v to %v while moving", was, s)
			case !s.force().stricter(was.force()) && flash != s.force():
				t.Fatalf("%v came into force, and %v is on flash", s, flash)
			case s.Phase == Closing && was.Phase != Closing && s.Deadline.After(now.Add(limits.CloseWait)):
				t.Fatalf("the goodbye may take %v", s.Deadline.Sub(now))
			case next != was && !s.Deadline.IsZero() && !s.Deadline.After(now):
				t.Fatalf("%v is over at once: the loop would spin", s)
			case len(wants) > 1 || s.Saving != (len(wants) == 1):
				t.Fatalf("%v with %d saves under way", s, len(wants))
			case s.Phase == Closing && s.Deadline.IsZero():
				t.Fatal("closing would never end")
			case s.Owed && s.Deadline.IsZero():
				t.Fatal("what is owed would never be saved")
			}
		}
		// With a disk that works and time enough, flash holds what is in force.
		for range 10 {
			var e Event = Tick{}
			if len(wants) > 0 {
				flash = wants[0]
				e, wants = Saved{flash}, nil
			}
			now = now.Add(5 * time.Second)
			next, acts := limits.Step(s, now, e)
			s = next
			for _, a := range acts {
				if a == Save {
					wants = append(wants, s.Kept())
				}
			}
		}
		if flash != s.force() {
			t.Fatalf("%v is in force and %v on flash, for ever", s, flash)
		}
	})
}
