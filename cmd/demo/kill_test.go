package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/socketcand"
	"github.com/headunit-agent/headunit/cmd/internal/sim/phone"
)

var seed = flag.Uint64("seed", 1, "of the moments at which TestKillAnything kills")

const killFor = 15 * time.Second

// TestKillAnything: whatever is killed whenever, no command is carried out
// twice, no result says what is not so, and the emergency call's program notices
// nothing.
func TestKillAnything(t *testing.T) {
	t.Parallel()
	b := wholeBench(t)
	eventually(t, "a level is chosen", func() error { return b.choose(t.Context(), "no-location") })
	k := &killer{t: t, b: b, chance: rand.New(rand.NewPCG(*seed, 0)), came: map[string]int{}}
	k.watchLocks()
	stale := k.watchCall()
	for began := time.Now(); time.Since(began) < killFor; {
		k.round()
	}
	k.chance, k.epoch = nil, wire.Epoch{} // whatever it was, it is over
	k.works()
	if n := b.children["ecalld"].count(); n != 1 {
		t.Errorf("ecalld was started %d times", n)
	}
	if err := stale(); err != nil {
		t.Error(err)
	}
	t.Logf("seed %d: %d commands, headunitd started %d times, uplinkd %d; what came of the commands: %v",
		*seed, k.commands, b.children["headunitd"].count(), b.children["uplinkd"].count(), k.came)
	if b.children["headunitd"].count() < 2 || b.children["uplinkd"].count() < 2 || k.came["succeeded"] < 2 {
		t.Error("that proves little: too few kills, or too few commands that succeeded")
	}
}

// works fails unless lock and unlock succeed in the end. A first no is no
// mistake: an agent that has just started, on a machine with much to do, may not
// have seen the car stand for 2 s within the 3 s that a command waits.
func (k *killer) works() {
	k.t.Helper()
	for n, tries := 0, 0; n < 2; tries++ {
		r := k.round()
		if r != nil && r.State == wire.Succeeded {
			n++
		} else if tries > 6 {
			k.t.Fatalf("after the last kill: %+v", r)
		}
	}
}

type killer struct {
	t        *testing.T
	b        *bench
	chance   *rand.Rand // nil: nothing is killed
	locks    *lockwatch
	epoch    wire.Epoch // of the phone's session
	commands int
	came     map[string]int
}

// round sends the command that changes the locks, kills something while it is
// under way, waits until nothing more can come of it, and compares what was
// said with what happened. The result is nil if there was none.
func (k *killer) round() *wire.Result {
	k.t.Helper()
	before := k.car()
	operation := map[bool]string{true: "unlock", false: "lock"}[before.Locked]
	envelope, pending := k.make(operation)
	k.commands++
	asked, frames := k.locks.requests(), k.b.bus.count(idRequest)
	ctx, stop := context.WithTimeout(k.t.Context(), steady)
	defer stop()
	results := make(chan *wire.Result, 1)
	go func() {
		r, err := k.b.phone.Send(ctx, envelope, pending)
		if err != nil {
			results <- nil
			return
		}
		results <- &r
	}()
	killed := k.kill(frames)
	r := k.settled(stop, pending, results)
	after := k.car()
	acts := k.locks.requests() - asked
	word := "nothing was heard"
	if r != nil {
		word = strings.TrimSpace(r.State.String() + " " + string(r.Reason))
	}
	k.came[word]++
	changed := after.Locked != before.Locked
	told := fmt.Sprintf("%s, %s: %s; the car was asked %d times, and is locked: %v", operation, killed, word, acts, after.Locked)
	k.t.Log(told)
	lie := false
	switch {
	case acts > 1, acts == 0 && changed:
		lie = true
	case r == nil || r.State == wire.MayHaveHappened: // it says nothing of the car
	case r.State == wire.Succeeded:
		lie = !changed || acts != 1
	default:
		lie = changed
	}
	if lie {
		k.t.Errorf("%s %+v", told, r)
	}
	return r
}

// make makes a command for the agent that runs now, as far as the backend knows.
func (k *killer) make(operation string) (envelope []byte, pending phone.Pending) {
	k.t.Helper()
	if c, _ := k.b.backend.Car(k.b.identity.Name); c.Hello == nil || c.Hello.Epoch != k.epoch {
		eventually(k.t, "a session", k.ask)
	}
	envelope, pending, err := k.b.phone.Make(operation, nil)
	if errors.Is(err, phone.ErrNoSession) { // it has learnt that what it knew is over
		eventually(k.t, "a session", k.ask)
		envelope, pending, err = k.b.phone.Make(operation, nil)
	}
	must(k.t, "a command", err)
	return envelope, pending
}

// ask asks for a session. A key gets two, and then one in 5 s.
func (k *killer) ask() error {
	ctx, cancel := context.WithTimeout(k.t.Context(), 6*time.Second)
	defer cancel()
	s, err := k.b.phone.Ask(ctx)
	k.epoch = s.Epoch
	return err
}

// kill kills one of the two, or both, at a moment in the life of a command, which
// takes 0.6 s from its first frame: after it was sent, or after that frame. An
// agent that has just started lets it wait for 2 s, until it has seen the car
// stand for so long. Frames is how many there were before.
func (k *killer) kill(frames int) string {
	if k.chance == nil {
		return "nothing killed"
	}
	ctx := k.t.Context()
	who := [][]string{{"headunitd"}, {"uplinkd"}, {"headunitd", "uplinkd"}}[k.chance.IntN(3)]
	when := time.Duration(k.chance.IntN(700)) * time.Millisecond
	since := "sending"
	if k.chance.IntN(3) > 0 {
		since = "the first frame"
		must(k.t, "a frame on the bus", until(ctx, 10*time.Second, func() error {
			if k.b.bus.count(idRequest) == frames {
				return errors.New("none yet")
			}
			return nil
		}))
	}
	select {
	case <-time.After(when):
	case <-ctx.Done():
	}
	for _, name := range who {
		k.b.children[name].kill()
	}
	return fmt.Sprintf("%v killed %v after %s", who, when, since)
}

// settled waits until the result is there, or none will come: a command ends
// with the epoch that it was made for. What the agent said before it answered a
// session-ask has been heard before that answer.
func (k *killer) settled(stop func(), pending phone.Pending, results <-chan *wire.Result) *wire.Result {
	k.t.Helper()
	b := k.b
	var r *wire.Result
	var woken time.Time
	eventually(k.t, "it settles", func() error {
		if time.Since(woken) > time.Second { // the car sleeps after 10 s, and a round may last as long
			woken = time.Now()
			must(k.t, "wake", b.car.all(k.t.Context(), "wake"))
		}
		select {
		case r = <-results:
			if r == nil {
				return errors.New("no answer")
			}
		default:
		}
		s, err := b.show(k.t.Context())
		c, _ := b.backend.Car(b.identity.Name)
		switch {
		case err != nil:
			return err
		case !s.Uplink.Up || !c.Online || s.Job != "idle" || s.Waiting > 0:
			return fmt.Errorf("uplink %+v, %s, %d wait", s.Uplink, s.Job, s.Waiting)
		case r == nil && c.Hello.Epoch == pending.Epoch:
			return errors.New("it was not answered, and may still be")
		}
		if r == nil {
			return k.ask()
		}
		return nil
	})
	if r == nil {
		stop()
		r = <-results
	}
	return r
}

// car is what the car itself says, once its locks have come to rest.
func (k *killer) car() carState {
	k.t.Helper()
	ctx := k.t.Context()
	eventually(k.t, "the locks rest", func() error {
		_, err := k.b.car.do(ctx, "wait locked 10ms")
		if err != nil {
			_, err = k.b.car.do(ctx, "wait unlocked 10ms")
		}
		return err
	})
	var s carState
	must(k.t, "the car's own state", k.b.car.read(ctx, &s, "state"))
	return s
}

// A lockwatch counts on the body bus what the body controller takes for a
// request: two equal frames in a row that ask for something, until a frame that
// asks for nothing, or half a second without one.
type lockwatch struct {
	mu    sync.Mutex
	held  uint16
	count int
	last  time.Time
	total int
}

const asksLock = 1<<1 | 1<<2 // TM_Door_Lock, TM_Door_Unlock; the signature follows from bit 5

func (w *lockwatch) saw(f canbus.Rx) {
	if f.ID != idRequest || f.Flags&canbus.Extended != 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	bits := binary.LittleEndian.Uint16(f.Data[6:])
	switch {
	case bits&asksLock == 0:
		w.held, w.count = 0, 0
		return
	case bits != w.held, f.At.Sub(w.last) > 500*time.Millisecond:
		w.held, w.count = bits, 0
	}
	w.last = f.At
	if w.count++; w.count == 2 {
		w.total++
	}
}

func (w *lockwatch) requests() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.total
}

func (k *killer) watchLocks() {
	k.t.Helper()
	k.locks = &lockwatch{}
	ctx := k.t.Context()
	bus, err := socketcand.Dial(ctx, "unix:"+k.b.path("car/can1"))
	must(k.t, "body bus", err)
	k.b.done.Go(func() {
		defer bus.Close()
		frames := make([]canbus.Rx, 64)
		for {
			n, err := bus.Receive(ctx, frames)
			if err != nil {
				return
			}
			for _, f := range frames[:n] {
				k.locks.saw(f)
			}
		}
	})
}

// watchCall looks at ecalld's status file all the time. Stop tells whether it
// was ever older than it may get: it is written each 10 s.
func (k *killer) watchCall() (stop func() error) {
	const oldest = 15 * time.Second // the agent believes it for 30 s
	end, worst := make(chan struct{}), make(chan error, 1)
	go func() {
		var age time.Duration
		var err error
		for looks := 0; ; looks++ {
			info, missing := os.Stat(k.b.path("ecall"))
			if err = errors.Join(err, missing); missing == nil {
				age = max(age, time.Since(info.ModTime()))
			}
			select {
			case <-time.After(50 * time.Millisecond):
				continue
			case <-end:
			}
			if age > oldest || looks < 10 {
				err = errors.Join(err, fmt.Errorf("ecalld's status was %v old in %d looks", age, looks))
			}
			worst <- err
			return
		}
	}()
	return func() error {
		close(end)
		return <-worst
	}
}
