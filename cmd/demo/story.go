package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/cmd/internal/sim/backend"
	"github.com/headunit-agent/headunit/cmd/internal/sim/modem"
	"github.com/headunit-agent/headunit/cmd/internal/sim/phone"
)

// A step of the story returns what was observed; an error ends the story.
type step struct {
	name string
	run  func(b *bench, ctx context.Context) (string, error)
}

var steps = []step{
	{"silence first", (*bench).newCarIsSilent},
	{"status arrives", (*bench).statusArrives},
	{"lock", (*bench).lock},
	{"one bit flipped", (*bench).flippedBit},
	{"uplinkd killed", (*bench).uplinkKilled},
	{"unlock", (*bench).unlock},
	{"unlock while driving", (*bench).unlockDriving},
	{"ventilation", (*bench).ventilation},
	{"SOS", (*bench).sos},
	{"Maximum", (*bench).maximum},
	{"crash, agent killed", (*bench).crash},
}

// story plays the steps, one line each. What is told was observed: on the bus,
// at the broker, or at the modem.
func (b *bench) story(ctx context.Context, out io.Writer) error {
	for _, s := range steps {
		began := time.Now()
		ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
		saw, err := s.run(b, ctx)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		fmt.Fprintf(out, "%5.1f s  %-21s %s\n", time.Since(began).Seconds(), s.name, saw)
	}
	return nil
}

func ms(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }

// newCarIsSilent: a car starts at Maximum, and the broker hears nothing.
func (b *bench) newCarIsSilent(ctx context.Context) (string, error) {
	if err := b.quiet(ctx, time.Second); err != nil {
		return "", err
	}
	s, err := b.show(ctx)
	if err != nil || s.Privacy.Level != "maximum" {
		return "", fmt.Errorf("privacy is %q: %w", s.Privacy.Level, err)
	}
	return "privacy is Maximum until the driver chooses: no packet at the broker for 1 s", nil
}

// quiet fails if the broker hears anything of the car for d.
func (b *bench) quiet(ctx context.Context, d time.Duration) error {
	before, _ := b.traffic.of(b.identity.Name.String())
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
	}
	if after, online := b.traffic.of(b.identity.Name.String()); after != before || online {
		return fmt.Errorf("the broker heard %d packets from the car, connected: %v", after-before, online)
	}
	return nil
}

// statusArrives: the driver lowers the level, and the car says hello and how it
// is.
func (b *bench) statusArrives(ctx context.Context) (string, error) {
	from, stop := b.backend.Watch(b.identity.Name)
	defer stop()
	var began time.Time
	if err := until(ctx, 10*time.Second, func() error { // a car must have stood for 2 s before it counts as standing
		began = time.Now()
		return b.choose(ctx, "share-location")
	}); err != nil {
		return "", err
	}
	hello := time.Duration(0)
	for {
		u, err := next(ctx, from)
		switch {
		case err != nil:
			return "", err
		case u.Kind == wire.KindHello:
			hello = time.Since(began)
		case u.Kind == wire.KindStatus && hello > 0:
			c, _ := b.backend.Car(b.identity.Name)
			if c.Status == nil || !c.Status.Full || len(c.Readings) < 10 {
				return "", fmt.Errorf("a status of %d readings", len(c.Readings))
			}
			locking, err := reading(c, "Vehicle.Body.CentralLocking.State")
			if err != nil || locking.Value.String() != "UNLOCKED" {
				return "", fmt.Errorf("the status says %q: %w", locking.Value.String(), err)
			}
			return fmt.Sprintf("driver chose share-location; signed hello after %s, status with %d readings after %s: %s",
				ms(hello), len(c.Readings), ms(time.Since(began)), locking.Value), nil
		}
	}
}

func next(ctx context.Context, from <-chan backend.Up) (backend.Up, error) {
	select {
	case u, ok := <-from:
		if !ok {
			return u, errors.New("the backend ended")
		}
		return u, nil
	case <-ctx.Done():
		return backend.Up{}, ctx.Err()
	}
}

func reading(c backend.Car, path string) (wire.Reading, error) {
	s, ok := wire.SignalAt(path)
	if !ok {
		return wire.Reading{}, fmt.Errorf("%s has no number on the wire", path)
	}
	for _, r := range c.Readings {
		if r.Signal == s.Number {
			return r, nil
		}
	}
	return wire.Reading{}, fmt.Errorf("the car says nothing of %s", path)
}

// ask sends a command from the phone and expects an outcome. It returns how long
// that took, and how many frames asked something of the car meanwhile.
func (b *bench) ask(ctx context.Context, operation string, args []byte, want wire.State, why wire.Reason, id uint32) (time.Duration, int, error) {
	before, began := b.bus.count(id), time.Now()
	r, err := b.phone.Do(ctx, operation, args)
	if err == nil && r.Reason == wire.CommandEpoch { // the car was started anew since: it has told the phone so
		r, err = b.phone.Do(ctx, operation, args)
	}
	took := time.Since(began)
	switch {
	case err != nil:
		return took, 0, err
	case r.State != want || r.Reason != why:
		return took, 0, fmt.Errorf("%s: %s %s", operation, r.State, r.Reason)
	}
	return took, b.bus.count(id) - before, nil
}

func (b *bench) lock(ctx context.Context) (string, error) { return b.locking(ctx, "lock", true) }

func (b *bench) unlock(ctx context.Context) (string, error) { return b.locking(ctx, "unlock", false) }

func (b *bench) locking(ctx context.Context, operation string, locked bool) (string, error) {
	took, frames, err := b.ask(ctx, operation, nil, wire.Succeeded, "", idRequest)
	if err != nil {
		return "", err
	}
	var car carState
	if err := b.car.read(ctx, &car, "state"); err != nil {
		return "", err
	}
	if car.Locked != locked || frames == 0 {
		return "", fmt.Errorf("the phone was told it is done, and locked is %v after %d frames", car.Locked, frames)
	}
	return fmt.Sprintf("phone signed, %d frames on the bus, the doors moved, signed result after %s", frames, ms(took)), nil
}

// flippedBit: a command with one bit changed on the way is answered by silence.
func (b *bench) flippedBit(ctx context.Context) (string, error) {
	envelope, pending, err := b.phone.Make("unlock", nil)
	if err != nil {
		return "", err
	}
	from, stop := b.backend.Watch(b.identity.Name)
	defer stop()
	before := b.bus.count(idRequest)
	envelope[len(envelope)/2] ^= 4
	if err := b.backend.Send(ctx, b.identity.Name, wire.DownCommand, pending.ID, envelope); err != nil {
		return "", err
	}
	// A good session-ask behind it is answered: the car has judged the other one by then.
	if _, err := b.phone.Ask(ctx); err != nil {
		return "", err
	}
	for len(from) > 0 {
		if u := <-from; u.Kind == wire.KindResult {
			return "", errors.New("the car answered it")
		}
	}
	if n := b.bus.count(idRequest) - before; n > 0 {
		return "", fmt.Errorf("%d frames on the bus", n)
	}
	return "no answer, no frame on the bus", nil
}

// uplinkKilled: what parses the network dies, and nothing else notices for long.
func (b *bench) uplinkKilled(ctx context.Context) (string, error) {
	from, stop := b.backend.Watch(b.identity.Name)
	defer stop()
	calls := b.children["ecalld"].count()
	began := time.Now()
	b.children["uplinkd"].kill()
	lost := false
	for {
		u, err := next(ctx, from)
		if err != nil {
			return "", err
		}
		lost = lost || u.Kind == wire.KindGoodbye
		if u.Kind != wire.KindHello {
			continue
		}
		if n := b.children["ecalld"].count(); n != calls || !lost {
			return "", fmt.Errorf("ecalld was started %d times, will heard: %v", n, lost)
		}
		return fmt.Sprintf("the broker said its will; online again after %s; ecalld noticed nothing", ms(time.Since(began))), nil
	}
}

// unlockDriving: the same command that works at rest is refused in motion.
func (b *bench) unlockDriving(ctx context.Context) (string, error) {
	if err := b.car.all(ctx, "ignition on", "gear D", "speed 50"); err != nil {
		return "", err
	}
	if err := b.seen(ctx, "Vehicle.IsMoving", true); err != nil {
		return "", err
	}
	took, frames, err := b.ask(ctx, "unlock", nil, wire.Refused, wire.CommandMoving, idRequest)
	if err != nil {
		return "", err
	}
	if frames > 0 {
		return "", fmt.Errorf("refused, with %d frames on the bus", frames)
	}
	if err := b.car.all(ctx, "speed 0", "wait stopped 20s", "gear P", "ignition off"); err != nil {
		return "", err
	}
	return fmt.Sprintf("refused after %s: command.moving; no frame on the bus", ms(took)), b.seen(ctx, "Vehicle.LowVoltageSystemState", "OFF")
}

// seen waits until the agent has a good value.
func (b *bench) seen(ctx context.Context, path string, value any) error {
	return until(ctx, 20*time.Second, func() error {
		s, err := b.show(ctx)
		if err != nil {
			return err
		}
		if x := s.Signal(path); x.Quality != "good" || x.Value != value {
			return fmt.Errorf("%s is %v, %s", path, x.Value, x.Quality)
		}
		return nil
	})
}

// ventilation starts and stops; the car shows both. The car has to stand for two
// seconds before it counts as standing.
func (b *bench) ventilation(ctx context.Context) (string, error) {
	args, err := phone.Minutes(10)
	if err != nil {
		return "", err
	}
	var car carState
	on, frames, err := b.ask(ctx, "ventilation-start", args, wire.Succeeded, "", idHeater)
	if err == nil {
		err = b.car.read(ctx, &car, "state")
	}
	if err != nil || frames == 0 || car.Aux != "ventilating" {
		return "", fmt.Errorf("%d frames, the heater is %q: %w", frames, car.Aux, err)
	}
	minutes := car.Minutes
	off, _, err := b.ask(ctx, "ventilation-stop", nil, wire.Succeeded, "", idHeater)
	if err == nil {
		err = b.car.read(ctx, &car, "state")
	}
	if err != nil || car.Aux != "off" {
		return "", fmt.Errorf("the heater is %q: %w", car.Aux, err)
	}
	return fmt.Sprintf("blows for %.0f minutes after %s, off after %s", minutes, ms(on), ms(off)), nil
}

// sos: the key in the roof, held for three seconds, becomes a call, and commands
// are refused meanwhile.
func (b *bench) sos(ctx context.Context) (string, error) {
	began := time.Now()
	if err := b.car.all(ctx, "sos press"); err != nil {
		return "", err
	}
	c, m, err := b.called(ctx, "manual")
	if err != nil {
		return "", err
	}
	placed := c.At.Sub(began)
	if err := b.car.all(ctx, "sos release"); err != nil {
		return "", err
	}
	if placed < 3*time.Second {
		return "", fmt.Errorf("called after %s: the key has to be held for 3 s", ms(placed))
	}
	if err := until(ctx, 5*time.Second, func() error {
		s, err := b.show(ctx)
		if err == nil && s.Call.Phase != "voice" {
			err = fmt.Errorf("the agent shows %q", s.Call.Phase)
		}
		return err
	}); err != nil {
		return "", err
	}
	if _, _, err := b.ask(ctx, "lock", nil, wire.Refused, wire.CommandECallActive, idRequest); err != nil {
		return "", err
	}
	if _, err := b.car.do(ctx, "modem hangup 16"); err != nil {
		return "", err
	}
	if err := until(ctx, 10*time.Second, func() error {
		s, err := b.show(ctx)
		if err == nil && s.Call.Phase != "callback" {
			err = fmt.Errorf("the agent shows %q", s.Call.Phase)
		}
		return err
	}); err != nil {
		return "", err
	}
	return fmt.Sprintf("AT+CECALL=2 %s after the press, MSD version %d at the PSAP; lock refused meanwhile: command.ecall-active", ms(placed), m.Version), nil
}

// called waits until the PSAP talks in a new call of a kind and has its data.
func (b *bench) called(ctx context.Context, kind string) (modem.Call, modem.MSD, error) {
	if _, err := b.car.do(ctx, "modem wait voice 20s"); err != nil {
		return modem.Call{}, modem.MSD{}, err
	}
	var calls []modem.Call
	var m modem.MSD
	if err := errors.Join(b.car.read(ctx, &calls, "modem calls"), b.car.read(ctx, &m, "modem msd")); err != nil {
		return modem.Call{}, m, err
	}
	if len(calls) == 0 {
		return modem.Call{}, m, errors.New("the modem knows no call")
	}
	c := calls[len(calls)-1]
	switch {
	case c.Kind != kind:
		return c, m, fmt.Errorf("a call of kind %q", c.Kind)
	case m.VIN != vin || m.Automatic != (kind == "automatic") || len(m.Problems)+len(c.Problems) > 0:
		return c, m, fmt.Errorf("the PSAP found %v %v", m.Problems, c.Problems)
	}
	return c, m, nil
}

// maximum: the goodbye is the last that is heard.
func (b *bench) maximum(ctx context.Context) (string, error) {
	from, stop := b.backend.Watch(b.identity.Name)
	defer stop()
	began := time.Now()
	if err := b.choose(ctx, "maximum"); err != nil {
		return "", err
	}
	for {
		u, err := next(ctx, from)
		if err != nil {
			return "", err
		}
		if u.Kind == wire.KindGoodbye {
			break
		}
	}
	bye := time.Since(began)
	if err := until(ctx, 3*time.Second, func() error {
		if _, online := b.traffic.of(b.identity.Name.String()); online {
			return errors.New("still connected")
		}
		return nil
	}); err != nil {
		return "", err
	}
	if err := b.quiet(ctx, 5*time.Second); err != nil {
		return "", err
	}
	s, err := b.show(ctx)
	if err != nil || s.Waiting != 0 {
		return "", fmt.Errorf("%d messages wait: %w", s.Waiting, err)
	}
	return fmt.Sprintf("signed goodbye after %s, then 0 packets for 5 s, nothing waits", ms(bye)), nil
}

// crash: the agent is killed again and again, privacy is at Maximum, and the
// call is placed.
func (b *bench) crash(ctx context.Context) (string, error) {
	if err := b.car.all(ctx, "ignition on", "gear D", "speed 60", "wait moving 20s"); err != nil {
		return "", err
	}
	kills, stop := make(chan int), make(chan struct{})
	go func() {
		n := 0
		defer func() { kills <- n }()
		for ; ; n++ {
			b.children["headunitd"].kill()
			select {
			case <-stop:
				return
			case <-time.After(150 * time.Millisecond):
			}
		}
	}()
	began := time.Now()
	_, err := b.car.do(ctx, "crash front 7")
	var c modem.Call
	var m modem.MSD
	if err == nil {
		c, m, err = b.called(ctx, "automatic")
	}
	close(stop)
	n := <-kills
	if err != nil {
		return "", err
	}
	var car carState
	if err := b.car.read(ctx, &car, "state"); err != nil {
		return "", err
	}
	const mas, near = 3600 * 1000, 0.01 // milliarcseconds in a degree; some hundred meters
	if !m.Known || math.Abs(float64(m.Latitude)/mas-car.Lat) > near || math.Abs(float64(m.Longitude)/mas-car.Lon) > near {
		return "", fmt.Errorf("the MSD says %q, the car is at %.4f,%.4f", m.Degrees, car.Lat, car.Lon)
	}
	return fmt.Sprintf("AT+CECALL=3 %s after the order to crash, MSD at the PSAP after %s: %s; agent killed %d times",
		ms(c.At.Sub(began)), ms(m.At.Sub(began)), m.Degrees, n+1), nil
}
