package backend

import (
	"context"
	"net"
	"reflect"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/cmd/internal/sim/mqtt"
)

const cell = "c1"

// world is a broker in memory with the backend on it.
type world struct {
	t       *testing.T
	broker  *mqtt.Broker
	left    chan string
	backend *Backend
	time    *wire.Key
}

func newWorld(t *testing.T) *world {
	t.Helper()
	broker, err := mqtt.NewBroker()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, broker: broker, left: make(chan string, 16), time: wire.NewKey()}
	broker.Left = func(id string) { w.left <- id }
	w.backend, err = New(Config{
		Cell: cell, Time: w.time, Log: zerolog.Nop(),
		Dial: func(context.Context) (net.Conn, error) { return broker.Join(), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.backend.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		broker.Close()
	})
	w.until("connected", func(Counts) bool { return w.backend.Connected() })
	return w
}

// fakeCar says what a car would say, in the test's words.
type fakeCar struct {
	w      *world
	name   wire.Name
	sign   *wire.Key
	seal   *wire.BoxKey
	epoch  wire.Epoch
	link   *mqtt.Client
	number uint32
	count  uint32 // connections
}

func (w *world) newCar() *fakeCar {
	w.t.Helper()
	c := &fakeCar{w: w, name: wire.NewName(), sign: wire.NewKey(), seal: wire.NewBoxKey(), epoch: wire.NewID()}
	if err := w.backend.AddCar(c.name, c.sign.Public(), c.seal.Public()); err != nil {
		w.t.Fatal(err)
	}
	return c
}

// must unpacks what cannot fail here.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (c *fakeCar) connect() {
	t := c.w.t
	t.Helper()
	c.count++
	will := must(wire.Sign(c.sign, wire.KindGoodbye, must(c.goodbye(wire.SystemLost).Encode())))
	link, err := mqtt.Connect(t.Context(), c.w.broker.Join(), mqtt.Options{
		ClientID: c.name.String(),
		Will:     &mqtt.Will{Topic: wire.UpGoodbye.Of(cell, c.name), Payload: will, QoS: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Cut)
	for _, s := range []wire.Suffix{wire.DownCommand, wire.DownEnroll, wire.DownLicense, wire.DownTime, wire.DownSession} {
		if err := link.Subscribe(t.Context(), s.Of(cell, c.name), 1); err != nil {
			t.Fatal(err)
		}
	}
	c.link = link
}

func (c *fakeCar) hello() wire.Hello {
	return wire.Hello{
		Car: c.name, Epoch: c.epoch, Now: 10, Users: 3, Nonce: wire.NewID(), Method: wire.MethodKeys,
		Documents: []wire.Version{}, Version: "test", Connections: c.count, SwitchedOff: []string{}, May: wire.OpsOf(1, 2),
	}
}

func (c *fakeCar) goodbye(why wire.Reason) wire.Goodbye {
	return wire.Goodbye{Car: c.name, Epoch: c.epoch, Now: 20, Reason: why, Connections: c.count}
}

func (c *fakeCar) status(full bool, rs ...wire.Reading) wire.Status {
	c.number++
	return wire.Status{Car: c.name, Epoch: c.epoch, Now: 11, Number: c.number, Full: full, Readings: rs}
}

type encoder interface{ Encode() ([]byte, error) }

// say signs and publishes, and returns when the backend's broker has it.
func (c *fakeCar) say(s wire.Suffix, kind wire.Kind, m encoder) []byte {
	c.w.t.Helper()
	b := must(wire.Sign(c.sign, kind, must(m.Encode())))
	c.publish(s, b)
	return b
}

func (c *fakeCar) publish(s wire.Suffix, b []byte) {
	c.w.t.Helper()
	if err := c.link.Publish(c.w.t.Context(), s.Of(cell, c.name), 1, b); err != nil {
		c.w.t.Fatal(err)
	}
}

// until waits for the backend to have taken what was said: a broker answers the
// one before it has told the other.
func (w *world) until(what string, done func(Counts) bool) {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); !done(w.backend.Counts()); runtime.Gosched() {
		if time.Now().After(end) {
			w.t.Fatalf("%s: counts %+v", what, w.backend.Counts())
		}
	}
}

// car returns what the backend shows of a car as soon as it is so.
func (w *world) car(name wire.Name, what string, is func(Car) bool) Car {
	w.t.Helper()
	var c Car
	w.until(what, func(Counts) bool {
		c, _ = w.backend.Car(name)
		return is(c)
	})
	return c
}

// comes waits for the next message to the car.
func (c *fakeCar) comes() (wire.Suffix, []byte) {
	c.w.t.Helper()
	select {
	case m := <-c.link.Messages():
		_, name, s, err := wire.ParseTopic(m.Topic)
		if err != nil || name != c.name {
			c.w.t.Fatalf("topic %s: %v", m.Topic, err)
		}
		return s, m.Payload
	case <-time.After(10 * time.Second):
		c.w.t.Fatal("nothing comes")
		return "", nil
	}
}

func (c *fakeCar) greet() wire.Hello {
	c.w.t.Helper()
	h := c.hello()
	c.say(wire.UpHello, wire.KindHello, h)
	s, b := c.comes()
	if s != wire.DownTime {
		c.w.t.Fatalf("hello was answered on %s", s)
	}
	signed := must(wire.ParseSigned(must(wire.Open(c.seal, c.name, b))))
	if err := signed.Verify(c.w.time.Public(), wire.KindTime); err != nil {
		c.w.t.Fatal(err)
	}
	answer := must(wire.DecodeTime(signed.Payload()))
	if answer.Car != c.name || answer.Nonce != h.Nonce || answer.UTC == 0 {
		c.w.t.Errorf("time %+v", answer)
	}
	return h
}

func TestHelloIsAnsweredWithSealedTime(t *testing.T) {
	w := newWorld(t)
	c := w.newCar()
	c.connect()
	h := c.greet()
	if car, ok := w.backend.Car(c.name); !ok || !car.Online || !reflect.DeepEqual(*car.Hello, h) {
		t.Errorf("car %+v", car)
	}
}

func TestStatusAndDeltasAreMerged(t *testing.T) {
	w := newWorld(t)
	c := w.newCar()
	c.connect()
	c.greet()
	first := c.say(wire.UpStatus, wire.KindStatus, c.status(true,
		wire.Reading{Signal: 1, Value: wire.Bool(true)}, wire.Reading{Signal: 33, Value: wire.Int(1210)}))
	c.number++
	delta := must(wire.Delta{Number: c.number, Now: 12, Readings: []wire.Reading{{Signal: 33, Value: wire.Int(1190)}}}.Encode())
	c.publish(wire.UpStatus, delta)
	c.publish(wire.UpStatus, delta) // what comes twice counts once
	c.say(wire.UpStatus, wire.KindStatus, wire.Status{
		Car: c.name, Epoch: c.epoch, Now: 13, Number: 3, Readings: []wire.Reading{},
		Gaps: []wire.Gap{{Signal: 1, Quality: wire.Unavailable}},
	})
	c.publish(wire.UpStatus, first) // nor does an old one bring the past back
	w.until("two repeated", func(n Counts) bool { return n.Repeated == 2 })
	car, _ := w.backend.Car(c.name)
	if want := []wire.Reading{{Signal: 33, Value: wire.Int(1190)}}; !reflect.DeepEqual(car.Readings, want) {
		t.Errorf("readings %v", car.Readings)
	}
	if want := []wire.Gap{{Signal: 1, Quality: wire.Unavailable}}; !reflect.DeepEqual(car.Gaps, want) {
		t.Errorf("gaps %v", car.Gaps)
	}
	if car.Now != 13 || car.Number != 3 || car.Status == nil || !car.Status.Full {
		t.Errorf("car %+v", car)
	}
}

func TestNothingIsBelievedThatTheCarDidNotSign(t *testing.T) {
	w := newWorld(t)
	c, thief := w.newCar(), wire.NewKey()
	c.connect()
	c.greet()
	status := c.status(true, wire.Reading{Signal: 1, Value: wire.Bool(true)})
	payload := must(status.Encode())
	c.publish(wire.UpStatus, must(wire.Sign(thief, wire.KindStatus, payload)))
	good := must(wire.Sign(c.sign, wire.KindStatus, payload))
	bad := append([]byte(nil), good...)
	bad[len(bad)-1] ^= 1
	c.publish(wire.UpStatus, bad)
	w.until("forged", func(n Counts) bool { return n.Forged == 2 })
	c.publish(wire.UpResult, good)                     // another topic
	c.publish(wire.UpStatus, []byte("garbage"))        //
	c.publish(wire.UpStatus, []byte{0x83, 9, 0, 0x80}) // a delta of nothing
	other := status
	other.Car = wire.NewName()
	c.say(wire.UpStatus, wire.KindStatus, other)
	w.until("malformed", func(n Counts) bool { return n.Malformed == 4 })
	other = status
	other.Epoch = wire.NewID()
	c.say(wire.UpStatus, wire.KindStatus, other)
	w.until("stale", func(n Counts) bool { return n.Stale == 1 })
	w.backend.RemoveCar(c.name)
	c.publish(wire.UpStatus, good)
	w.until("unknown", func(n Counts) bool { return n.Unknown == 1 })
	if car, ok := w.backend.Car(c.name); ok {
		t.Errorf("still there: %+v", car)
	}
}

func TestOnlyTheLastConnectionSaysGoodbye(t *testing.T) {
	w := newWorld(t)
	c := w.newCar()
	c.connect()
	c.greet()
	late := must(wire.Sign(c.sign, wire.KindGoodbye, must(c.goodbye(wire.SystemLost).Encode())))
	w.broker.Cut(c.name.String())
	for <-w.left != c.name.String() {
	}
	car := w.car(c.name, "the will", func(c Car) bool { return !c.Online })
	if car.Left != wire.SystemLost {
		t.Errorf("after the will: %+v", car)
	}
	c.connect()
	c.greet()
	c.publish(wire.UpGoodbye, late)
	w.until("stale", func(n Counts) bool { return n.Stale == 1 })
	if car, _ := w.backend.Car(c.name); !car.Online {
		t.Errorf("an old will was believed: %+v", car)
	}
	c.say(wire.UpGoodbye, wire.KindGoodbye, c.goodbye(wire.PrivacyMaximum))
	car = w.car(c.name, "the goodbye", func(c Car) bool { return !c.Online })
	if car.Left != wire.PrivacyMaximum {
		t.Errorf("after the goodbye: %+v", car)
	}
}

func TestACommandWaitsForTheCar(t *testing.T) {
	w := newWorld(t)
	c := w.newCar()
	c.connect()
	c.greet()
	c.say(wire.UpGoodbye, wire.KindGoodbye, c.goodbye(wire.PowerDeepSleep))
	w.car(c.name, "the goodbye", func(c Car) bool { return !c.Online })
	id := wire.NewID()
	for range 2 { // twice the same is once
		if err := w.backend.Send(t.Context(), c.name, wire.DownCommand, id, []byte("sealed")); err != nil {
			t.Fatal(err)
		}
	}
	c.link.Close()
	for <-w.left != c.name.String() {
	}
	for range 2 { // also again, while no answer has come
		c.connect()
		c.greet()
		if s, b := c.comes(); s != wire.DownCommand || string(b) != "sealed" {
			t.Fatalf("%s: %q", s, b)
		}
		c.link.Close()
		for <-w.left != c.name.String() {
		}
	}
	c.connect()
	c.greet()
	c.comes()
	c.say(wire.UpResult, wire.KindResult, wire.Result{
		Car: c.name, Epoch: c.epoch, Seq: 1, ID: id, State: wire.Succeeded, Key: wire.Kid{1},
	})
	w.car(c.name, "nothing waits", func(c Car) bool { return c.Waiting == 0 })
}

func TestACommandDiesWithItsEpoch(t *testing.T) {
	w := newWorld(t)
	c := w.newCar()
	c.connect()
	c.greet()
	if err := w.backend.Send(t.Context(), c.name, wire.DownCommand, wire.NewID(), []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	c.comes()
	c.epoch, c.count = wire.NewID(), 0
	c.link.Close()
	for <-w.left != c.name.String() {
	}
	c.connect()
	c.greet()
	w.car(c.name, "nothing waits for a car that would refuse it", func(c Car) bool { return c.Waiting == 0 })
	select {
	case m := <-c.link.Messages():
		t.Errorf("%s came", m.Topic)
	default:
	}
}

func TestWhatPhonesMayNotSend(t *testing.T) {
	w := newWorld(t)
	c := w.newCar()
	if err := w.backend.Send(t.Context(), wire.NewName(), wire.DownCommand, wire.NewID(), nil); err == nil {
		t.Error("to a car that is not there")
	}
	if err := w.backend.Send(t.Context(), c.name, wire.DownTime, wire.NewID(), nil); err == nil {
		t.Error("time")
	}
	if err := w.backend.Send(t.Context(), c.name, wire.DownCommand, wire.NewID(), make([]byte, 4097)); err == nil {
		t.Error("too much")
	}
	for i := range maxWaiting + 1 {
		err := w.backend.Send(t.Context(), c.name, wire.DownCommand, wire.NewID(), nil)
		if (err != nil) != (i == maxWaiting) {
			t.Errorf("number %d: %v", i+1, err)
		}
	}
}

func TestAResultIsHeardAgainAndNothingElseIs(t *testing.T) {
	w := newWorld(t)
	c := w.newCar()
	from, stop := w.backend.Watch(c.name)
	defer stop()
	c.connect()
	c.greet()
	session := c.say(wire.UpSession, wire.KindSession, wire.Session{Car: c.name, Epoch: c.epoch, Key: wire.Kid{1}})
	c.publish(wire.UpSession, session)
	result := c.say(wire.UpResult, wire.KindResult, wire.Result{Car: c.name, Epoch: c.epoch, Seq: 1, Key: wire.Kid{1}})
	c.publish(wire.UpResult, result)
	c.say(wire.UpGoodbye, wire.KindGoodbye, c.goodbye(wire.SystemStopping))
	var kinds []wire.Kind
	for u := range from {
		if kinds = append(kinds, u.Kind); u.Kind == wire.KindGoodbye {
			break
		}
	}
	want := []wire.Kind{wire.KindHello, wire.KindSession, wire.KindResult, wire.KindResult, wire.KindGoodbye}
	if !slices.Equal(kinds, want) {
		t.Errorf("heard %v", kinds)
	}
}

func TestARetainedMessageIsDropped(t *testing.T) {
	w := newWorld(t)
	c := w.newCar()
	b := must(wire.Sign(c.sign, wire.KindHello, must(c.hello().Encode())))
	w.backend.take(t.Context(), mqtt.Message{Topic: wire.UpHello.Of(cell, c.name), Payload: b, QoS: 1, Retained: true})
	if car, _ := w.backend.Car(c.name); car.Online || w.backend.Counts().Stale != 1 {
		t.Errorf("car %+v", car)
	}
}

func TestWhatWasSentWithoutABrokerComesLater(t *testing.T) {
	w := newWorld(t)
	c := w.newCar()
	c.connect()
	c.greet()
	w.broker.Cut("backend-" + cell)
	w.until("cut", func(Counts) bool { return !w.backend.Connected() })
	if err := w.backend.Send(t.Context(), c.name, wire.DownCommand, wire.NewID(), []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	if s, b := c.comes(); s != wire.DownCommand || string(b) != "sealed" {
		t.Errorf("%s: %q", s, b)
	}
}
