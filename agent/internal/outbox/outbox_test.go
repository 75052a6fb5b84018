package outbox

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/headunit-agent/headunit/privacy"
)

var (
	noon = time.Unix(1_800_000_000, 0)
	open = privacy.Policy{Level: privacy.ShareLocation}
)

func cleared(t interface{ Fatalf(string, ...any) }, c privacy.Class, qos uint8, size int) privacy.Cleared {
	r, ok := open.Clear(privacy.Record{Class: c, Position: c == privacy.Position, Topic: "up/x", QoS: qos, Payload: make([]byte, size)})
	if !ok {
		t.Fatalf("%s is not cleared", c)
	}
	return r
}

func TestUnacknowledgedGoesAgain(t *testing.T) {
	b := New(DefaultLimits)
	b.Put(cleared(t, privacy.Result, 1, 10), noon)
	first, ok := b.Next(open, noon)
	if _, more := b.Next(open, noon); !ok || more {
		t.Fatalf("sent %v, and once more %v", ok, more)
	}
	b.Lost()
	again, ok := b.Next(open, noon)
	if !ok || again.N != first.N {
		t.Fatalf("after the loss: %v %d", ok, again.N)
	}
	b.Done(again.N)
	b.Lost()
	if _, ok := b.Next(open, noon); ok {
		t.Error("acknowledged, and sent again")
	}
}

// TestNobodyAcknowledges: what is sent with QoS 0 is gone when it was sent.
func TestNobodyAcknowledges(t *testing.T) {
	b := New(DefaultLimits)
	b.Put(cleared(t, privacy.Result, 0, 10), noon)
	if _, ok := b.Next(open, noon); !ok {
		t.Error("not sent")
	}
	if n, octets, _ := b.Stats(); n != 0 || octets != 0 {
		t.Errorf("%d messages, %d octets wait", n, octets)
	}
}

// TestPurge: what a raised level forbids is gone, also what was sent and not
// acknowledged, and lowering the level does not bring it back.
func TestPurge(t *testing.T) {
	b := New(DefaultLimits)
	b.Put(cleared(t, privacy.Result, 1, 10), noon)
	b.Put(cleared(t, privacy.Position, 1, 10), noon)
	b.Next(open, noon)
	b.Purge(privacy.Policy{Level: privacy.NoLocation})
	if n, octets, _ := b.Stats(); n != 1 || octets != 10 {
		t.Errorf("%d messages, %d octets wait", n, octets)
	}
	b.Purge(privacy.Policy{})
	b.Lost()
	if _, ok := b.Next(open, noon); ok {
		t.Error("something came back")
	}
}

// TestJudgedWhenItGoes: nobody called Purge, and it does not leave all the same.
func TestJudgedWhenItGoes(t *testing.T) {
	b := New(DefaultLimits)
	b.Put(cleared(t, privacy.Result, 1, 10), noon)
	if _, ok := b.Next(privacy.Policy{Level: privacy.Maximum}, noon); ok {
		t.Error("it left at Maximum")
	}
	if n, _, _ := b.Stats(); n != 0 {
		t.Error("it still waits")
	}
}

func TestOldAndConnectionBound(t *testing.T) {
	b := New(DefaultLimits)
	b.Put(cleared(t, privacy.Status, 1, 10), noon)
	b.Lost()
	if _, ok := b.Next(open, noon); ok {
		t.Error("a status of an earlier connection was sent")
	}
	b.Put(cleared(t, privacy.Result, 1, 10), noon)
	if _, ok := b.Next(open, noon.Add(24*time.Hour+time.Second)); ok {
		t.Error("a result of yesterday was sent")
	}
}

// TestFirst: a message that overtakes others loses none, and nothing becomes two.
func TestFirst(t *testing.T) {
	b := New(DefaultLimits)
	b.Put(cleared(t, privacy.Result, 1, 10), noon)
	b.Put(cleared(t, privacy.Result, 1, 10), noon)
	n := b.Put(cleared(t, privacy.Session, 1, 5), noon)
	b.First(n)
	b.First(0)
	for _, want := range []uint64{n, 1, 2} {
		if it, ok := b.Next(open, noon); !ok || it.N != want {
			t.Errorf("%d %v, not %d", it.N, ok, want)
		}
	}
	if waiting, octets, _ := b.Stats(); waiting != 3 || octets != 25 {
		t.Errorf("%d messages, %d octets", waiting, octets)
	}
}

func TestLeastImportantFirst(t *testing.T) {
	b := New(Limits{Octets: 100, InFlight: 8})
	for _, c := range []privacy.Class{privacy.Erasure, privacy.Result, privacy.Trip, privacy.Health, privacy.Theft} {
		b.Put(cleared(t, c, 1, 30), noon)
	}
	var left []privacy.Class
	for {
		it, ok := b.Next(open, noon)
		if !ok {
			break
		}
		left = append(left, it.Class())
	}
	want := []privacy.Class{privacy.Erasure, privacy.Result, privacy.Theft}
	if len(left) != len(want) || left[0] != want[0] || left[1] != want[1] || left[2] != want[2] {
		t.Errorf("left are %v", left)
	}
}

// TestNothingLost: under any order of sending, acknowledging and losing the
// connection, a result is sent until it is acknowledged, never more than eight
// are in flight, and the octets add up.
func TestNothingLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := New(DefaultLimits)
		owed := map[uint64]bool{}
		flying := map[uint64]bool{}
		put := uint64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				b.Put(cleared(t, privacy.Result, 1, 1), noon)
				put++
				owed[put] = true
			case 1:
				it, ok := b.Next(open, noon)
				if waits := len(owed) - len(flying); ok != (waits > 0 && len(flying) < DefaultLimits.InFlight) {
					t.Fatalf("next %v with %d waiting and %d in flight", ok, waits, len(flying))
				}
				if ok {
					flying[it.N] = true
				}
			case 2:
				for n := range flying {
					b.Done(n)
					delete(flying, n)
					delete(owed, n)
					break
				}
			case 3:
				b.Lost()
				clear(flying)
			}
			if n, octets, _ := b.Stats(); n != len(owed) || octets != len(owed) {
				t.Fatalf("%d messages and %d octets wait, not %d", n, octets, len(owed))
			}
		}
	})
}
