package slcan

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrLine is returned by [Adapter.Do] for what it does not understand.
var ErrLine = errors.New("unknown control line of the SLCAN adapter")

// faults are what goes wrong. A counter is how many more times it does.
type faults struct {
	mute, lf, lower bool // as long as they are on

	garbage, nocr, overflow int // received frames
	swallow, refuse, vanish int // what the host sends
}

// take uses up one of a counter.
func (f *faults) take(counter *int) bool {
	if *counter == 0 {
		return false
	}
	*counter--
	return true
}

// noise has no line end, so that it spoils the line behind it too.
const noise = "\xff\x00t12\x80 \x1b[7m"

// spoil ends a line, well or badly.
func (f *faults) spoil(text string) string {
	if f.lower {
		text = text[:1] + strings.ToLower(text[1:])
	}
	if f.take(&f.garbage) {
		text = noise + text
	}
	switch {
	case f.take(&f.nocr):
		return text
	case f.lf:
		return text + "\r\n"
	}
	return text + "\r"
}

// Do carries out one control line:
//
//	mute|lf|lower on|off     answers nothing; CR LF; hexadecimal digits in lower case
//	garbage [N]              noise before the next N frames, which is glued to them
//	nocr [N]                 the next N frames have no line end
//	overflow [N]             the next N frames do not fit its buffer
//	swallow [N]              the next N commands are neither answered nor carried out
//	refuse [N]               the next N frames to send are answered with BEL
//	vanish [N]               the next N frames to send are confirmed and not sent
//	flags A9                 what F will say beside what it would
//	say TEXT                 a line as it is, such as e1a or sb256256
//	long                     a line of 300 octets
//	stamp 59990              the clock of the time stamps, in ms
//	reset                    starts anew, as when it is plugged in
//	unplug                   the stream ends; Serve returns [ErrUnplugged]
//	none                     all is well again
func (a *Adapter) Do(line string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	verb, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
	f := &a.faults
	if sw := map[string]*bool{"mute": &f.mute, "lf": &f.lf, "lower": &f.lower}[verb]; sw != nil {
		if arg != "on" && arg != "off" {
			return fmt.Errorf("%w: %q is on or off", ErrLine, verb)
		}
		*sw = arg == "on"
		return nil
	}
	if counter := f.counter(verb); counter != nil {
		n, err := strconv.Atoi(arg)
		if arg == "" {
			n, err = 1, nil
		}
		if err != nil || n < 0 {
			return fmt.Errorf("%w: %q is no number of times", ErrLine, arg)
		}
		*counter = n
		return nil
	}
	return a.event(verb, arg)
}

func (f *faults) counter(verb string) *int {
	return map[string]*int{
		"garbage": &f.garbage, "nocr": &f.nocr, "overflow": &f.overflow,
		"swallow": &f.swallow, "refuse": &f.refuse, "vanish": &f.vanish,
	}[verb]
}

// event happens at once.
func (a *Adapter) event(verb, arg string) error {
	s := a.served
	switch verb {
	case "flags":
		v, err := strconv.ParseUint(arg, 16, 8)
		if err != nil {
			return fmt.Errorf("%w: flags are two hexadecimal digits", ErrLine)
		}
		a.flags |= uint8(v)
	case "say", "long":
		if verb == "long" {
			arg = strings.Repeat("t123", 75)
		}
		if s != nil {
			s.send(arg + "\r")
		}
	case "stamp":
		ms, err := strconv.ParseUint(arg, 10, 16)
		if err != nil {
			return fmt.Errorf("%w: a time stamp is a number of ms", ErrLine)
		}
		a.begun = time.Now().Add(-time.Duration(ms) * time.Millisecond)
	case "reset":
		a.reset()
	case "unplug":
		if s != nil {
			go s.end(ErrUnplugged) // closing may wait for a reader that waits for us
		}
	case "none":
		a.faults = faults{}
	default:
		return fmt.Errorf("%w: %q", ErrLine, verb)
	}
	return nil
}
