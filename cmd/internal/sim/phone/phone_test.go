package phone

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/cmd/internal/sim/backend"
	"github.com/headunit-agent/headunit/cmd/internal/sim/mqtt"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// fakeCar is a car that does what it is asked, and a transport with nobody in
// between. What it answers can be spoilt by the test.
type fakeCar struct {
	name  wire.Name
	sign  *wire.Key
	seal  *wire.BoxKey
	phone []byte // public half of the one phone it knows
	epoch wire.Epoch
	start time.Time
	seq   uint32

	answer  func(*wire.Result)  // changes each final result
	spoil   func([]byte) []byte // changes each envelope upwards
	session func(*wire.Session) // changes each session
	clock   time.Time           // zero: now
	states  []wire.State        // what comes of commands, one after the other
	got     []wire.Command
	to      chan []byte
}

func newFakeCar() *fakeCar {
	return &fakeCar{
		name: wire.NewName(), sign: wire.NewKey(), seal: wire.NewBoxKey(), epoch: wire.NewID(),
		start: time.Now(), seq: 40, states: []wire.State{wire.Succeeded}, to: make(chan []byte, 16),
	}
}

func (c *fakeCar) met() Met { return Met{c.name, c.sign.Public(), c.seal.Public()} }

func (c *fakeCar) Listen(wire.Name) (<-chan []byte, func()) { return c.to, func() {} }

func (c *fakeCar) Send(_ context.Context, _ wire.Name, s wire.Suffix, _ wire.ID, envelope []byte) error {
	for _, b := range c.take(s, envelope) {
		c.to <- b
	}
	return nil
}

func (c *fakeCar) now() time.Time {
	if c.clock.IsZero() {
		return time.Now()
	}
	return c.clock
}

// take returns the car's answers, none to what it does not believe.
func (c *fakeCar) take(s wire.Suffix, envelope []byte) [][]byte {
	inside, err := wire.Open(c.seal, c.name, envelope)
	if err != nil {
		return nil
	}
	signed, err := wire.ParseSigned(inside)
	if err != nil {
		return nil
	}
	kind, _ := wire.KindOf(signed.Payload())
	if !s.Carries(kind) || signed.Verify(c.phone, kind) != nil {
		return nil
	}
	kid := must(wire.KidOf(c.phone))
	now := uint32(c.now().Sub(c.start) / time.Second)
	if kind == wire.KindSessionAsk {
		ask := must(wire.DecodeSessionAsk(signed.Payload()))
		s := wire.Session{
			Car: c.name, Epoch: c.epoch, Now: now, Users: 7, Seq: c.seq, Nonce: ask.Nonce, Key: kid, Challenge: wire.ID{9},
		}
		if c.session != nil {
			c.session(&s)
		}
		return [][]byte{c.say(wire.KindSession, s)}
	}
	command := must(wire.DecodeCommand(signed.Payload()))
	c.got = append(c.got, command)
	var out [][]byte
	for _, state := range c.states {
		r := wire.Result{
			Car: c.name, Epoch: command.Epoch, Now: now, Seq: command.Seq, ID: command.ID,
			State: state, Hash: wire.HashOf(signed.Payload()), Key: kid,
		}
		if c.answer != nil && state.Final() {
			c.answer(&r)
		}
		out = append(out, c.say(wire.KindResult, r))
	}
	return out
}

func (c *fakeCar) say(k wire.Kind, m interface{ Encode() ([]byte, error) }) []byte {
	b := must(wire.Sign(c.sign, k, must(m.Encode())))
	if c.spoil != nil {
		b = c.spoil(b)
	}
	return b
}

func newPhone(t *testing.T, c *fakeCar, via Transport) *Phone {
	t.Helper()
	p, err := New(wire.NewKey(), wire.NewBoxKey(), c.met(), via)
	if err != nil {
		t.Fatal(err)
	}
	c.phone, _ = p.Public()
	return p
}

func TestACommandIsMadeOfTheSession(t *testing.T) {
	c := newFakeCar()
	p := newPhone(t, c, c)
	p.SetPIN("4711")
	p.Now = c.now
	c.clock = c.start.Add(100 * time.Second) // the car has run for a while
	if _, err := p.Ask(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.clock = c.clock.Add(20 * time.Second)
	for _, name := range []string{"unlock", "lock", "ventilation-stop"} {
		if r, err := p.Do(t.Context(), name, nil); err != nil || r.State != wire.Succeeded {
			t.Fatalf("%s: %v, %v", name, r.State, err)
		}
	}
	unlock, lock, stop := c.got[0], c.got[1], c.got[2]
	if unlock.Car != c.name || unlock.Epoch != c.epoch || unlock.Users != 7 || unlock.Operation != 2 {
		t.Errorf("unlock %+v", unlock)
	}
	if unlock.Seq != 41 || lock.Seq != 42 {
		t.Errorf("numbers %d and %d after 40", unlock.Seq, lock.Seq)
	}
	if unlock.Expires != 150 || lock.Expires != 180 {
		t.Errorf("at 120 they live until %d and %d", unlock.Expires, lock.Expires)
	}
	if unlock.Challenge != (wire.ID{9}) || lock.Challenge != (wire.ID{}) {
		t.Error("a challenge is for one command")
	}
	if digits, err := wire.OpenPIN(c.seal, lock); err != nil || string(digits) != "4711" {
		t.Errorf("S-PIN %q, %v", digits, err)
	}
	if stop.Proof != nil {
		t.Error("an S-PIN for an operation that needs none")
	}
}

func TestArgumentsTravel(t *testing.T) {
	c := newFakeCar()
	p := newPhone(t, c, c)
	if _, err := p.Do(t.Context(), "ventilation-start", must(Minutes(30))); err != nil {
		t.Fatal(err)
	}
	if m, err := wire.DecodeMinutes(c.got[0].Arguments); err != nil || m.Minutes != 30 {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := p.Do(t.Context(), "privacy-set", must(Level(3))); err != nil {
		t.Fatal(err)
	}
	if l, err := wire.DecodeSetLevel(c.got[1].Arguments); err != nil || l.Level != 3 {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := p.Do(t.Context(), "fly", nil); !errors.Is(err, ErrOperation) {
		t.Errorf("error %v", err)
	}
}

func TestProgressComesBeforeTheResult(t *testing.T) {
	c := newFakeCar()
	c.states = []wire.State{wire.InProgress, wire.InProgress, wire.Succeeded}
	p := newPhone(t, c, c)
	var told []wire.State
	p.Progress = func(r wire.Result) { told = append(told, r.State) }
	r, err := p.Do(t.Context(), "status-refresh", nil)
	if err != nil || r.State != wire.Succeeded || !slices.Equal(told, []wire.State{wire.InProgress}) {
		t.Errorf("%v after %v, %v", r.State, told, err)
	}
}

func TestOnlyTheCarsWordCounts(t *testing.T) {
	tests := []struct {
		name string
		do   func(*fakeCar)
	}{
		{"another hash", func(c *fakeCar) { c.answer = func(r *wire.Result) { r.Hash[0] ^= 1 } }},
		{"another id", func(c *fakeCar) { c.answer = func(r *wire.Result) { r.ID[0] ^= 1 } }},
		{"another number", func(c *fakeCar) { c.answer = func(r *wire.Result) { r.Seq++ } }},
		{"another epoch", func(c *fakeCar) { c.answer = func(r *wire.Result) { r.Epoch[0] ^= 1 } }},
		{"another car", func(c *fakeCar) { c.answer = func(r *wire.Result) { r.Car[0] ^= 1 } }},
		{"another phone", func(c *fakeCar) { c.answer = func(r *wire.Result) { r.Key[0] ^= 1 } }},
		{"another key", func(c *fakeCar) { c.sign = wire.NewKey() }},
		{"a changed signature", func(c *fakeCar) {
			c.spoil = func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
		}},
		{"silence", func(c *fakeCar) { c.spoil = func([]byte) []byte { return nil } }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFakeCar()
				p := newPhone(t, c, c)
				if _, err := p.Ask(t.Context()); err != nil {
					t.Fatal(err)
				}
				tt.do(c)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				r, err := p.Do(ctx, "unlock", nil)
				if _, ok := errors.AsType[*Unconfirmed](err); !ok || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v, %v", r.State, err)
				}
				if len(c.got) != 1 {
					t.Errorf("the car got %d commands", len(c.got))
				}
			})
		})
	}
}

func TestOnlyItsOwnSessionCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCar()
		p, other := newPhone(t, c, c), newPhone(t, c, c) // the car knows the second
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.Ask(ctx); !errors.Is(err, ErrNoSession) {
			t.Errorf("a stranger was answered: %v", err)
		}
		if _, err := other.Ask(t.Context()); err != nil {
			t.Error(err)
		}
		if _, _, err := p.Make("lock", nil); !errors.Is(err, ErrNoSession) {
			t.Errorf("a command without a session: %v", err)
		}
	})
}

func TestASessionForAnotherIsNone(t *testing.T) {
	for name, change := range map[string]func(*wire.Session){
		"another phone": func(s *wire.Session) { s.Key[0] ^= 1 },
		"another nonce": func(s *wire.Session) { s.Nonce[0] ^= 1 },
		"another car":   func(s *wire.Session) { s.Car[0] ^= 1 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newFakeCar()
				c.session = change
				p := newPhone(t, c, c)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				if s, err := p.Ask(ctx); !errors.Is(err, ErrNoSession) {
					t.Errorf("%+v, %v", s, err)
				}
			})
		})
	}
}

func TestABrokenCommandGetsNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newFakeCar()
		p := newPhone(t, c, c)
		must(p.Ask(t.Context()))
		envelope, pending, err := p.Make("unlock", nil)
		if err != nil {
			t.Fatal(err)
		}
		envelope[len(envelope)/2] ^= 0x10
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.Send(ctx, envelope, pending); err == nil || len(c.got) != 0 {
			t.Errorf("error %v, the car got %d", err, len(c.got))
		}
	})
}

func TestAnOldSessionIsNotUsedTwice(t *testing.T) {
	c := newFakeCar()
	p := newPhone(t, c, c)
	must(p.Ask(t.Context()))
	c.epoch = wire.NewID() // the agent was started anew
	c.states = []wire.State{wire.Refused}
	c.answer = func(r *wire.Result) { r.Reason = wire.CommandEpoch }
	if r, err := p.Do(t.Context(), "lock", nil); err != nil || r.Reason != wire.CommandEpoch {
		t.Fatalf("%+v, %v", r, err)
	}
	c.states, c.answer = []wire.State{wire.Succeeded}, nil
	if r, err := p.Do(t.Context(), "lock", nil); err != nil || r.State != wire.Succeeded {
		t.Errorf("%+v, %v", r, err)
	}
	if first, last := c.got[0], c.got[1]; last.Epoch != c.epoch || last.Seq <= first.Seq {
		t.Errorf("%d of %s after %d", last.Seq, last.Epoch, first.Seq)
	}
}

// TestThroughBackendAndBroker is the whole way: phone, backend, broker, car, and
// back.
func TestThroughBackendAndBroker(t *testing.T) {
	broker := must(mqtt.NewBroker())
	defer broker.Close()
	b := must(backend.New(backend.Config{
		Cell: "c1", Time: wire.NewKey(), Log: zerolog.Nop(),
		Dial: func(context.Context) (net.Conn, error) { return broker.Join(), nil },
	}))
	c := newFakeCar()
	if err := b.AddCar(c.name, c.sign.Public(), c.seal.Public()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()

	link := must(mqtt.Connect(ctx, broker.Join(), mqtt.Options{ClientID: c.name.String()}))
	defer link.Close()
	for _, s := range []wire.Suffix{wire.DownCommand, wire.DownSession} {
		if err := link.Subscribe(ctx, s.Of("c1", c.name), 1); err != nil {
			t.Fatal(err)
		}
	}
	p := newPhone(t, c, b)
	go func() {
		for m := range link.Messages() {
			_, _, s, err := wire.ParseTopic(m.Topic)
			if err != nil {
				continue
			}
			up := wire.UpResult
			if s == wire.DownSession {
				up = wire.UpSession
			}
			for _, answer := range c.take(s, m.Payload) {
				if err := link.Publish(ctx, up.Of("c1", c.name), 1, answer); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		}
	}()
	for !b.Connected() {
		if ctx.Err() != nil {
			t.Fatal("no backend")
		}
	}
	if r, err := p.Do(ctx, "lock", nil); err != nil || r.State != wire.Succeeded {
		t.Errorf("%v, %v", r.State, err)
	}
	if n := b.Counts(); n.Messages != 2 || n != (backend.Counts{Messages: 2}) {
		t.Errorf("counts %+v", n)
	}
}
