// Package car is a car that exists only in this process: ECUs that send on
// three buses what such ECUs send, and that do or refuse what they are asked.
//
// It is a left-hand-drive plug-in hybrid, the reference car of the vehicle
// profile. [New] makes one, [Car.Run] lets its time pass, [Car.Bus] is a bus to
// attach to, and [Car.Do] is the hand that opens a door, turns the key, or lets
// something go wrong. Layouts, cycle times and reactions stand in the tables
// and ECUs of this package, not in the DBC files, so that one can be held
// against the other.
package car

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/canbus"
)

// What a car has where [Options] say nothing.
const (
	DefaultSignature = 1234
	DefaultVIN       = "HUAREFCA6T0000001"
)

// Options say which car to make.
type Options struct {
	Signature uint16 // of a lock request, 1 to 2047; 0 means DefaultSignature
	VIN       string // 17 characters without I, O and Q; "" means DefaultVIN
	Modem     Doer   // takes the lines that begin with modem; nil: the car has none
	Log       zerolog.Logger
}

// A Doer carries out control lines.
type Doer interface {
	Do(ctx context.Context, line string) (string, error)
}

// Errors of this package.
var (
	ErrOptions = errors.New("no such car")
	ErrOff     = errors.New("the car is not running")
	ErrTimeout = errors.New("it did not happen in time")
)

// A Car is a simulated car. Its methods may be called from any goroutine; [Car.Run]
// owns what they ask about.
type Car struct {
	fixed Fixed
	modem Doer
	log   zerolog.Logger
	buses [buses]*canbus.Memory
	ends  [buses]*canbus.End

	turns chan turn
	done  chan struct{} // closed when Run has ended
	once  sync.Once

	watches []*watch // owned by Run
}

// A turn is something done to the world at one moment.
type turn struct {
	do   func(w *world)
	over chan struct{} // closed when what came of it is on the buses
}

// A watch waits for a condition.
type watch struct {
	holds func(w *world) bool
	met   chan struct{}
}

var vinForm = regexp.MustCompile(`^[A-HJ-NPR-Z0-9]{17}$`)

// New makes a car: parked, unlocked, ignition off. It fails with [ErrOptions].
func New(o Options) (*Car, error) {
	if o.Signature == 0 {
		o.Signature = DefaultSignature
	}
	if o.VIN == "" {
		o.VIN = DefaultVIN
	}
	switch {
	case o.Signature > 2047:
		return nil, fmt.Errorf("%w: signature %d is not within 1 to 2047", ErrOptions, o.Signature)
	case !vinForm.MatchString(o.VIN):
		return nil, fmt.Errorf("%w: a VIN has 17 characters out of 0-9 and A-Z without I, O and Q", ErrOptions)
	}
	c := &Car{
		fixed: Fixed{o.Signature, o.VIN}, modem: o.Modem, log: o.Log,
		turns: make(chan turn), done: make(chan struct{}),
	}
	for b := range c.buses {
		c.buses[b] = canbus.NewMemory()
		c.ends[b] = c.buses[b].Attach(0)
	}
	return c, nil
}

// Bus is one of the buses drive, body and fd; nil for another name. Frames of
// the car arrive there only while it runs and is awake.
func (c *Car) Bus(name string) *canbus.Memory {
	if b := slices.Index(busNames[:], name); b >= 0 {
		return c.buses[b]
	}
	return nil
}

// Run lets the car live until ctx ends, which is no error. It can run once.
func (c *Car) Run(ctx context.Context) error {
	started := false
	c.once.Do(func() { started = true })
	if !started {
		return fmt.Errorf("%w again", ErrOff)
	}
	var ears sync.WaitGroup
	defer ears.Wait()
	defer close(c.done)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for b := range buses {
		ears.Go(func() { c.listen(ctx, b) })
	}
	w := newWorld(time.Now(), c.fixed)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var t turn
		select {
		case <-ctx.Done():
			return nil
		case t = <-c.turns:
		case <-timer.C:
		}
		w.tick(time.Now())
		if t.do != nil {
			t.do(w)
			w.settle()
		}
		c.deliver(w)
		c.look(w)
		if t.over != nil {
			close(t.over)
		}
		timer.Reset(pause(w))
	}
}

// pause is the time until something is due; an hour where nothing is.
func pause(w *world) time.Duration {
	at, _, _ := w.earliest()
	if at.IsZero() {
		return time.Hour
	}
	return max(0, at.Sub(w.now))
}

// deliver puts what is due on the buses.
func (c *Car) deliver(w *world) {
	for _, o := range w.out {
		// Relay and not Send: nobody needs to hear himself.
		if err := c.ends[o.bus].Relay(canbus.Rx{Frame: o.frame}); err != nil {
			c.log.Error().Err(err).Stringer("bus", o.bus).Uint32("id", o.frame.ID).Msg("frame not sent")
		}
	}
	clear(w.out)
	w.out = w.out[:0]
}

// look tells the watches whose condition holds.
func (c *Car) look(w *world) {
	c.watches = slices.DeleteFunc(c.watches, func(x *watch) bool {
		if !x.holds(w) {
			return false
		}
		close(x.met)
		return true
	})
}

// listen hands on what others send on b.
func (c *Car) listen(ctx context.Context, b bus) {
	var rx [64]canbus.Rx
	for {
		n, err := c.ends[b].Receive(ctx, rx[:])
		if err != nil {
			return
		}
		heard := rx[:n]
		if c.turn(ctx, func(w *world) {
			for i := range heard {
				w.receive(b, &heard[i].Frame)
			}
		}) != nil {
			return
		}
	}
}

// turn lets f see the world, at the present moment, and waits until it has and
// its frames are on the buses.
func (c *Car) turn(ctx context.Context, f func(w *world)) error {
	t := turn{f, make(chan struct{})}
	select {
	case c.turns <- t:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.done:
		return ErrOff
	}
	<-t.over
	return nil
}

// Do carries out one control line and says what the car answers, if anything.
// It fails with [ErrVerb] for a line it does not understand, with [ErrTimeout]
// when what was waited for did not come, with [ErrOff] when the car does not
// run any more, and else when the car cannot do it as it stands.
func (c *Car) Do(ctx context.Context, line string) (string, error) {
	if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "modem "); ok {
		if c.modem == nil {
			return "", fmt.Errorf("%w: the car has no modem", ErrVerb)
		}
		return c.modem.Do(ctx, rest)
	}
	o, err := parse(line)
	if err != nil {
		return "", err
	}
	switch o.verb.name {
	case "help":
		return help(), nil
	case "wait":
		return "", c.wait(ctx, o.args[0].text, o.args[1].d)
	}
	var said string
	if turned := c.turn(ctx, func(w *world) { said, err = o.verb.run(w, o.args) }); turned != nil {
		return "", turned
	}
	return said, err
}

func (c *Car) wait(ctx context.Context, name string, most time.Duration) error {
	x := &watch{conditions[name], make(chan struct{})}
	if err := c.turn(ctx, func(*world) { c.watches = append(c.watches, x) }); err != nil {
		return err
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-x.met:
		return nil
	case <-c.done:
		return ErrOff
	case <-ctx.Done():
	case <-timer.C:
	}
	err := c.turn(context.WithoutCancel(ctx), func(*world) {
		c.watches = slices.DeleteFunc(c.watches, func(y *watch) bool { return x == y })
	})
	select {
	case <-x.met: // it came at the last moment
		return nil
	default:
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = fmt.Errorf("%w: not %s after %s", ErrTimeout, name, most)
	}
	return err
}
