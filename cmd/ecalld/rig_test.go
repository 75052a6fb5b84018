package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/e2e"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/ecall"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/modem"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/msd"
)

// A fakeModem does what its fields say and remembers what it was told.
type fakeModem struct {
	events chan modem.Event
	caps   modem.Caps
	stuck  map[string]bool // these never answer
	fail   map[string]error
	call   modem.CallState

	mu  sync.Mutex
	did []string
	msd []byte
}

func (f *fakeModem) do(ctx context.Context, what string) error {
	f.mu.Lock()
	f.did = append(f.did, what)
	verb, _, _ := strings.Cut(what, " ")
	stuck, err := f.stuck[verb], f.fail[verb]
	f.mu.Unlock()
	if stuck {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

// be changes the modem.
func (f *fakeModem) be(change func(f *fakeModem)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeModem) Caps() (c modem.Caps) {
	f.be(func(f *fakeModem) { c = f.caps })
	return c
}

func (f *fakeModem) lastMSD() (m msd.MSD) {
	f.be(func(f *fakeModem) { m, _, _ = msd.Decode(f.msd) })
	return m
}

func (f *fakeModem) Prepare(ctx context.Context) error { return f.do(ctx, "prepare") }
func (f *fakeModem) Hangup(ctx context.Context) error  { return f.do(ctx, "hangup") }
func (f *fakeModem) Answer(ctx context.Context) error  { return f.do(ctx, "answer") }
func (f *fakeModem) Events() <-chan modem.Event        { return f.events }
func (f *fakeModem) Close() error                      { return nil }

func (f *fakeModem) LoadMSD(ctx context.Context, b []byte) error {
	m, flags, err := msd.Decode(b)
	if err != nil || flags != 0 {
		return fmt.Errorf("MSD of %d octets, flags %v: %w", len(b), flags, err)
	}
	err = f.do(ctx, fmt.Sprintf("load %d automatic=%v test=%v", m.ID, m.Automatic, m.Test))
	if err == nil {
		f.mu.Lock()
		f.msd = slices.Clone(b)
		f.mu.Unlock()
	}
	return err
}

func (f *fakeModem) Dial(ctx context.Context, c modem.Call) error {
	return f.do(ctx, fmt.Sprintf("dial %s %s armed=%v number=%v", c.Kind, c.Way, c.Armed, c.Number != ""))
}

func (f *fakeModem) Reset(ctx context.Context, d modem.Depth) error {
	return f.do(ctx, "reset "+string(d))
}

func (f *fakeModem) Status(ctx context.Context) (modem.Status, error) {
	err := f.do(ctx, "status")
	s := modem.Status{Answers: true, SIM: "ready", Net: modem.Registered, CallsKnown: err == nil}
	f.be(func(f *fakeModem) { s.Call = f.call })
	return s, err
}

// A rig is the loop with everything around it, in fake time.
type rig struct {
	t       testing.TB
	in      chan any
	modem   *fakeModem
	loop    *loop
	mu      sync.Mutex
	states  []string // phases as the status told them
	status  ecall.Status
	wall    func() time.Time
	counter map[uint32]uint8
	stop    func()
}

// now is the status as it stands.
func (r *rig) now() ecall.Status {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.status
}

func newRig(t testing.TB, ctx context.Context, config string, f *fakeModem) *rig {
	c, _, _ := ecall.Parse([]byte(config))
	r := &rig{t: t, in: make(chan any, 64), modem: f, wall: time.Now, counter: map[uint32]uint8{}}
	if f.events == nil {
		f.events = make(chan modem.Event, 16)
	}
	ctx, cancel := context.WithCancel(ctx)
	tell := func(v any) {
		select {
		case r.in <- v:
		case <-ctx.Done():
		}
	}
	log := zerolog.Nop()
	r.loop = &loop{
		log: log, now: time.Now, wall: r.clock, config: c, limits: c.Limits(), in: r.in, modem: f,
		crew: newCrew(ctx, f, log, tell), status: r.told, alive: func() {}, detector: ecall.NewDetector(&c),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.loop.run(ctx)
	}()
	r.stop = func() {
		cancel()
		<-done
		r.loop.crew.done.Wait()
	}
	r.in <- busUp{0, modem.Trigger{}}
	r.in <- busUp{1, modem.Trigger{}}
	return r
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.wall()
}

func (r *rig) told(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = ecall.Status{}
	if err := json.Unmarshal(b, &r.status); err != nil {
		r.t.Errorf("status %s: %v", b, err)
	}
	if p := string(r.status.Phase); len(r.states) == 0 || r.states[len(r.states)-1] != p {
		r.states = append(r.states, p)
	}
}

func (r *rig) send(id uint32, bit int) {
	f := canbus.Frame{ID: id, Len: 8}
	guard, bus := e2e.Constant(0x40), 0
	switch id {
	case 960:
		f.Len, guard = 4, e2e.Constant(0xC3)
	case 1000:
		f.Len, bus = 1, 1
	}
	if bit >= 0 {
		f.Data[bit/8] = 1 << (bit % 8)
	}
	if bus == 0 {
		r.counter[id]++
		guard.Protect(f.Data[:f.Len], r.counter[id])
	}
	r.in <- frames{bus, time.Now(), []canbus.Frame{f}}
}

// serial is how often the loop has told the modem to call.
func (r *rig) serial() uint32 {
	r.ask(ecall.AskPing) // the loop is between two turns, and waits
	synctest.Wait()
	return r.loop.state.Serial
}

func (r *rig) crash() {
	r.send(960, 17)
	r.send(64, -1)
	r.send(64, 16)
	r.send(64, 16)
}

func (r *rig) ask(what ecall.Request) string {
	answer := make(chan string, 1)
	r.in <- asked{what, answer}
	return <-answer
}

func (r *rig) says(list ...modem.EventKind) {
	for _, k := range list {
		r.modem.events <- modem.Event{Kind: k, Net: modem.Registered}
		synctest.Wait()
	}
}

// did is what the modem was told since the last call, without questions.
func (r *rig) did() string {
	synctest.Wait()
	r.modem.mu.Lock()
	defer r.modem.mu.Unlock()
	var list []string
	for _, s := range r.modem.did {
		if s != "status" && s != "prepare" {
			list = append(list, s)
		}
	}
	r.modem.did = nil
	return strings.Join(list, ", ")
}

func (r *rig) phases() string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.states, " ")
}

func (r *rig) expect(what, got, want string) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s\n got %s\nwant %s", what, got, want)
	}
}

// simulated runs f in fake time, with a modem from which nothing real can be
// reached.
func simulated(t *testing.T, config string, f func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.Context(), config, &fakeModem{
			caps: modem.Caps{Simulator: true, LateMSD: true}, stuck: map[string]bool{}, fail: map[string]error{},
		})
		r.says(modem.Ready, modem.Net)
		r.expect("at the start", r.did(), "load 1 automatic=false test=false")
		f(r)
		r.stop()
	})
}
