package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
	"github.com/headunit-agent/headunit/canbus/e2e"
)

// operations are those that can be carried out so far: their names on the wire
// and in a profile.
var operations = map[string]string{
	"lock": "lock", "unlock": "unlock", "ventilation-start": "vent_start", "ventilation-stop": "aux_stop",
}

// wakeWait bounds the wait for what the guards read.
const wakeWait = 3 * time.Second

// An Actuator turns jobs into frames. Every frame passes its guard; there is no
// other way to send one. It belongs to the loop.
type Actuator struct {
	p        *profile.Profile
	values   map[string]int64 // the car's own parameters
	guard    *Guard
	send     func(ctx context.Context, bus string, f canbus.Frame) error
	counters map[string]uint8 // of protected messages, by bus and name
	kept     time.Time        // last keep-awake frame
}

// NewActuator makes an actuator for a profile; values are the car's parameters.
// send reaches the bus, and nil means that nothing may be sent at all.
func NewActuator(p *profile.Profile, values map[string]int64, send func(context.Context, string, canbus.Frame) error) *Actuator {
	return &Actuator{p: p, values: values, guard: NewGuard(p.Allowed()), send: send, counters: map[string]uint8{}}
}

// Offered are the operations that this car can be asked for: it has them, they
// can be sent, and all their parameters are known.
func (a *Actuator) Offered() wire.Ops {
	var offered []uint8
	for name, inside := range operations {
		op := a.p.Operations[inside]
		if op == nil || a.send == nil || a.missing(op) != "" {
			continue
		}
		if w, ok := wire.OperationNamed(name); ok {
			offered = append(offered, w.Number)
		}
	}
	return wire.OpsOf(offered...)
}

// Missing names a parameter of the car that an operation needs and nobody has
// entered; empty if there is none.
func (a *Actuator) Missing() string {
	for _, inside := range operations {
		if op := a.p.Operations[inside]; op != nil {
			if m := a.missing(op); m != "" {
				return m
			}
		}
	}
	return ""
}

func (a *Actuator) missing(op *profile.Operation) string {
	for _, s := range op.Send.Set {
		if _, own := op.Parameters[s.Param]; s.Param == "" || own {
			continue
		}
		if _, ok := a.values[s.Param]; !ok {
			return s.Param
		}
	}
	return ""
}

// Job is what an authorized command asks of this car.
func (a *Actuator) Job(c Authorized) (Job, error) {
	j := Job{
		Kid: c.key, Seq: c.command.Seq, ID: c.command.ID, Epoch: c.command.Epoch, Hash: c.hash,
		Goal: Goal{Operation: operations[c.operation.Name], Minutes: c.minutes},
	}
	return a.timing(j)
}

// timing fills in what the profile says of a job's operation.
func (a *Actuator) timing(j Job) (Job, error) {
	op := a.p.Operations[j.Goal.Operation]
	if j.Goal.Operation == "" || op == nil {
		return Job{}, refuse(wire.CommandNoEquipment)
	}
	if arg, ok := op.Parameters["minutes"]; ok && arg.Values == nil {
		m := int64(j.Goal.Minutes)
		if m < arg.Min || m > arg.Max || (m-arg.Min)%max(1, arg.Step) != 0 {
			return Job{}, refuse(wire.CommandRunTime)
		}
	}
	j.Wakes, j.WakeWait = op.Wake != "", wakeWait
	j.Every, j.AtMost, j.Within, j.Rests = op.Send.Every, op.Send.AtMost, op.Confirm.Within, op.Send.ThenZero
	return j, nil
}

// errNothing is what a zero job does.
var errNothing = errors.New("there is nothing to send")

// Frame sends the operation's frame once, and keeps its bus awake.
func (a *Actuator) Frame(ctx context.Context, j Job, now time.Time) error {
	op := a.p.Operations[j.Goal.Operation]
	if op == nil {
		return errNothing
	}
	var sets []dbc.Set
	for _, s := range op.Send.Set {
		v := s.Value
		if s.Param != "" {
			n, err := a.argument(op, s.Param, j)
			if err != nil {
				return err
			}
			v = n
		}
		sets = append(sets, dbc.Physical(s.Signal, v))
	}
	return errors.Join(a.message(ctx, &op.Send, now, sets...), a.keep(ctx, op, now))
}

func (a *Actuator) argument(op *profile.Operation, name string, j Job) (float64, error) {
	if _, own := op.Parameters[name]; own && name == "minutes" {
		return float64(j.Goal.Minutes), nil
	}
	if v, ok := a.values[name]; ok {
		return float64(v), nil
	}
	return 0, fmt.Errorf("the parameter %s is not known", name)
}

// Rest sends the rest state of the operation's message once.
func (a *Actuator) Rest(ctx context.Context, j Job, now time.Time) error {
	op := a.p.Operations[j.Goal.Operation]
	if op == nil {
		return errNothing
	}
	return a.message(ctx, &op.Send, now)
}

// Wake sends one frame that wakes the operation's bus.
func (a *Actuator) Wake(ctx context.Context, j Job, now time.Time) error {
	op := a.p.Operations[j.Goal.Operation]
	if op == nil {
		return errNothing
	}
	w := a.p.Wake[op.Wake]
	if w == nil {
		return nil
	}
	return errors.Join(a.raw(ctx, w.Bus, w.Send, now), a.keep(ctx, op, now))
}

// keep sends the frame that keeps a bus awake, when it is due again.
func (a *Actuator) keep(ctx context.Context, op *profile.Operation, now time.Time) error {
	w := a.p.Wake[op.Wake]
	if w == nil || w.Keep == nil || now.Sub(a.kept) < w.Every {
		return nil
	}
	a.kept = now
	return a.raw(ctx, w.Bus, *w.Keep, now)
}

func (a *Actuator) raw(ctx context.Context, bus string, w profile.WakeFrame, now time.Time) error {
	f := canbus.Frame{ID: w.ID, Len: uint8(w.Len), Data: w.Data}
	if w.Extended {
		f.Flags |= canbus.Extended
	}
	return a.put(ctx, bus, f, now)
}

// message encodes, protects and sends.
func (a *Actuator) message(ctx context.Context, s *profile.Send, now time.Time, sets ...dbc.Set) error {
	f, err := s.Message.Encode(sets...)
	if err != nil {
		return err
	}
	if s.E2E != nil {
		cfg, err := protection(s)
		if err != nil {
			return err
		}
		key := s.Bus + "/" + s.Message.Name
		a.counters[key] = (a.counters[key] + 1) & 15
		cfg.Protect(f.Data[:f.Len], a.counters[key])
	}
	return a.put(ctx, s.Bus, f, now)
}

func protection(s *profile.Send) (e2e.Config, error) {
	if s.E2E.Constants != nil {
		return e2e.Config{Constants: *s.E2E.Constants, MaxGap: s.E2E.MaxGap, Length: s.E2E.Length}, nil
	}
	if cfg, ok := e2e.VW(s.Message.ID, s.Message.Len); ok {
		return cfg, nil
	}
	return e2e.Config{}, fmt.Errorf("no checksum is known for %s", s.Message.Name)
}

func (a *Actuator) put(ctx context.Context, bus string, f canbus.Frame, now time.Time) error {
	if a.send == nil {
		return fmt.Errorf("%w: this car is only listened to", ErrNotAllowed)
	}
	if err := a.guard.Check(bus, f, now); err != nil {
		return err
	}
	return a.send(ctx, bus, f)
}
