package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
	"github.com/headunit-agent/headunit/canbus/e2e"
)

type sendCmd struct {
	Profile   string            `required:"" help:"Profile (YAML) whose allow-list holds." placeholder:"FILE"`
	Bus       map[string]string `required:"" help:"Device of the message's bus." placeholder:"NAME=DEVICE"`
	Simulated bool              `help:"The car is simulated: a profile that is proven on the reference car only is sent to no other."`
	Times     int               `help:"How many frames." default:"1"`
	Every     time.Duration     `help:"Time between two; else as the profile says." placeholder:"100ms"`
	Rest      int               `help:"Frames of the rest state afterwards, which ask for nothing."`
	Message   string            `arg:"" help:"A message that the profile lets be sent, such as TM_01 or body/TM_01."`
	Set       []string          `arg:"" optional:"" help:"Signals as NAME=VALUE: a number in the signal's unit, or its text from the DBC file. Others keep their start values; checksum and counter are filled in." placeholder:"NAME=VALUE"`
}

// Help is the long part of --help.
func (sendCmd) Help() string {
	return `Only what an operation of the profile sets can be set, in messages that the
profile lets be sent, and never faster than it says; there is no way to send any
other frame. A profile that is proven by reading only ("proven: read") sends
nothing. Nothing is asked of the car beforehand: whether it stands, whether its
ignition is off is for you to know.

A frame is reported when the bus has shown it. On a real car a message is sent
only after nobody else asked anything with it for as long as the profile says.`
}

// errRefused is for what must not be sent.
var errRefused = errors.New("not sent")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errRefused, fmt.Sprintf(format, args...))
}

// Run sends, or says why not.
func (c *sendCmd) Run(out output, err complaints) error {
	p, fail := load(output{err}, c.Profile, true)
	if fail != nil {
		return fail
	}
	if err := c.may(p); err != nil {
		return err
	}
	s, fail := c.prepare(p)
	if fail != nil {
		return fail
	}
	name, ok := c.Bus[s.message.Bus]
	if !ok || len(c.Bus) != 1 {
		return errUse{fmt.Sprintf("--bus %s=DEVICE is what %s needs, and nothing else", s.message.Bus, s.message.DBC.Name)}
	}
	ctx, stop := whileWanted(0)
	defer stop()
	d, short, fail := open(ctx, name)
	if fail != nil {
		return fail
	}
	defer d.Close()
	s.simulated = p.Proven == profile.ProvenReference
	return s.run(ctx, d, short, out)
}

// may asks what needs no device.
func (c *sendCmd) may(p *profile.Profile) error {
	switch p.Proven {
	case profile.ProvenRead:
		return refuse("%s is proven: read, so its car is only listened to", p.File)
	case profile.ProvenReference:
		if !c.Simulated {
			return errUse{fmt.Sprintf("%s is proven: reference; if the car is a simulated one, say --simulated", p.File)}
		}
	case profile.ProvenOperate:
		if c.Simulated {
			return errUse{"--simulated goes with a profile that is proven: reference"}
		}
	default:
		return refuse("%s does not say what it was proven on", p.File)
	}
	if c.Times < 1 || c.Times > 1000 || c.Rest < 0 || c.Rest > 20 {
		return errUse{"--times is 1 to 1000, --rest 0 to 20"}
	}
	return nil
}

// A sending is frames of one message on their way.
type sending struct {
	message   *profile.Message
	allowed   profile.Allowed
	simulated bool
	frame     canbus.Frame
	rest      canbus.Frame
	protect   *e2e.Config // nil: not protected
	times     int
	rests     int
	every     time.Duration
	counter   int // frames sent, rest state included
}

func (c *sendCmd) prepare(p *profile.Profile) (*sending, error) {
	m, a, err := sendable(p, c.Message)
	if err != nil {
		return nil, err
	}
	s := &sending{message: m, allowed: a, times: c.Times, rests: c.Rest, every: c.Every}
	var sets []dbc.Set
	for _, text := range c.Set {
		set, err := parseSet(m.DBC, a, text)
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	if s.rest, err = m.DBC.Encode(); err != nil {
		return nil, err
	}
	if s.frame, err = m.DBC.Encode(sets...); err != nil {
		return nil, errUse{err.Error()}
	}
	if m.E2E != nil {
		if s.protect, err = protection(m); err != nil {
			return nil, err
		}
	}
	slowest := time.Second / time.Duration(max(a.Rate, 1))
	switch {
	case s.every == 0:
		s.every = max(m.Send.Fast, slowest)
		if m.Send.Fast == 0 {
			s.every = max(m.Send.Cycle, slowest)
		}
	case s.every < slowest:
		return nil, refuse("every %s is more than the %d frames a second that the profile allows", s.every, a.Rate)
	}
	return s, nil
}

// sendable finds a message on the allow-list, with or without its bus.
func sendable(p *profile.Profile, name string) (*profile.Message, profile.Allowed, error) {
	var names []string
	var found *profile.Message
	var line profile.Allowed
	for _, m := range p.Messages {
		for _, a := range p.Allowed() {
			if m.Send == nil || a.Bus != m.Bus || a.ID != m.DBC.ID || a.Extended != m.DBC.Extended {
				continue
			}
			full := m.Bus + "/" + m.DBC.Name
			names = append(names, full)
			if name != full && name != m.DBC.Name {
				continue
			}
			if found != nil {
				return nil, line, errUse{fmt.Sprintf("%s is on two buses: write %s or %s/%s", name, full, found.Bus, name)}
			}
			found, line = m, a
		}
	}
	if found == nil {
		if len(names) == 0 {
			names = []string{"none"}
		}
		return nil, line, refuse("the profile does not let %q be sent; it lets %s", name, strings.Join(names, ", "))
	}
	return found, line, nil
}

// parseSet reads NAME=VALUE, and refuses signals that no operation sets.
func parseSet(m *dbc.Message, a profile.Allowed, text string) (dbc.Set, error) {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" || value == "" {
		return dbc.Set{}, errUse{fmt.Sprintf("%q: write NAME=VALUE", text)}
	}
	mask, err := m.Mask(name)
	if err != nil {
		return dbc.Set{}, errUse{err.Error()}
	}
	for i := range mask {
		if mask[i]&^a.Mask[i] != 0 || a.E2E && (i == 0 && mask[i] != 0 || i == 1 && mask[i]&0x0F != 0) {
			return dbc.Set{}, refuse("%s.%s is set by no operation of the profile", m.Name, name)
		}
	}
	if x, err := strconv.ParseFloat(value, 64); err == nil {
		return dbc.Physical(name, x), nil
	}
	return dbc.Text(name, value), nil
}

func protection(m *profile.Message) (*e2e.Config, error) {
	if m.E2E.Constants != nil {
		return &e2e.Config{Constants: *m.E2E.Constants, Length: m.E2E.Length}, nil
	}
	if c, ok := e2e.VW(m.DBC.ID, m.DBC.Len); ok {
		return &c, nil
	}
	return nil, fmt.Errorf("no checksum is known for %s", m.DBC.Name)
}

// run sends what was prepared. Where it breaks off, the rest state is sent all
// the same.
func (s *sending) run(ctx context.Context, d device, name string, out io.Writer) error {
	switch o := d.Origin(); {
	case s.simulated && o != canbus.Simulation && o != "":
		return refuse("the profile is for simulated cars, and behind the device stands: %s", o)
	case !s.simulated:
		if err := s.absent(ctx, d); err != nil {
			return err
		}
	}
	err := s.series(ctx, d, name, out, s.frame, s.times)
	if s.rests == 0 {
		return over(ctx, err)
	}
	rest, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(over(ctx, err), s.series(rest, d, name, out, s.rest, s.rests))
}

// absent listens until nobody has asked anything with the message for as long as
// the profile wants: two senders of one identifier throw each other off the bus.
func (s *sending) absent(ctx context.Context, d canbus.Bus) error {
	if s.message.Send.AbsentFor == 0 {
		return nil
	}
	wait, cancel := context.WithTimeout(ctx, s.message.Send.AbsentFor)
	defer cancel()
	var batch [64]canbus.Rx
	for {
		n, err := d.Receive(wait, batch[:])
		for i := range batch[:n] {
			f := &batch[i].Frame
			if f.ID != s.allowed.ID || f.Flags&canbus.Extended != 0 != s.allowed.Extended {
				continue
			}
			data := f.Data
			if s.protect != nil {
				data[0], data[1] = 0, data[1]&0xF0
			}
			if data != [64]byte{} {
				return refuse("somebody else sends %s", s.message.DBC.Name)
			}
		}
		switch {
		case ctx.Err() != nil:
			return refuse("interrupted")
		case wait.Err() != nil:
			return nil
		case err != nil:
			return err
		}
	}
}

func (s *sending) series(ctx context.Context, d device, name string, out io.Writer, f canbus.Frame, times int) error {
	for range times {
		if s.counter > 0 { // the rate holds from one series to the next
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(s.every):
			}
		}
		if err := s.one(ctx, d, name, out, f); err != nil {
			return err
		}
	}
	return nil
}

// one sends one frame, and waits until the bus shows it.
func (s *sending) one(ctx context.Context, d device, name string, out io.Writer, f canbus.Frame) error {
	s.counter++
	if s.protect != nil {
		s.protect.Protect(f.Data[:f.Len], uint8(s.counter&15))
	}
	if !s.allowed.Admits(&f) {
		return refuse("%s is not on the allow-list", canbus.Line{Interface: name, Frame: f})
	}
	if err := d.Send(ctx, f); err != nil {
		return err
	}
	at, err := echoed(ctx, d, &f)
	switch {
	case err != nil:
		return err
	case at.IsZero():
		fmt.Fprintf(out, "%s  (written; the server does not say whether it went out)\n", canbus.Line{Interface: name, Frame: f})
	default:
		fmt.Fprintf(out, "%s\n", canbus.Line{At: at, HasTime: true, Interface: name, Frame: f})
	}
	return nil
}

// confirmWithin is how long a frame may take to get its turn on the bus.
const confirmWithin = time.Second

// echoed waits for our own frame to come back. The zero time means that the server
// never says.
func echoed(ctx context.Context, d device, f *canbus.Frame) (time.Time, error) {
	if !d.FD() {
		return time.Time{}, nil
	}
	wait, cancel := context.WithTimeout(ctx, confirmWithin)
	defer cancel()
	var batch [64]canbus.Rx
	for {
		n, err := d.Receive(wait, batch[:])
		for i := range batch[:n] {
			if batch[i].Own && batch[i].Frame == *f {
				return batch[i].At, nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return time.Time{}, ctx.Err()
		case wait.Err() != nil:
			return time.Time{}, fmt.Errorf("%03X was written, and did not appear on the bus within %s: it may have gone out", f.ID, confirmWithin)
		case err != nil:
			return time.Time{}, err
		}
	}
}
