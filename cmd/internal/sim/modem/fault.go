package modem

import (
	"strconv"
	"time"
)

// faults are what goes wrong. A counter is how many more times it does.
type faults struct {
	echo, glued, noline, lower, ceer bool // as long as they are on
	deaf                             [Ports]bool
	late                             time.Duration
	cme                              int // number of the error that answers the next command

	nook, lost, garbage, nonsense, noprompt int // answers
	stuck, order, t5, t6, t7, sync          int // calls
}

// take uses up one of a counter.
func (f *faults) take(counter *int) bool {
	if *counter == 0 {
		return false
	}
	*counter--
	return true
}

// fault carries out a control line that begins with it:
//
//	echo|glued|noline|lower|ceer on|off         until switched off
//	deaf 0|1|off                                that port neither hears nor speaks
//	late 300ms                                  answers, until late 0s
//	cme N                                       the next command
//	nook|lost|garbage|nonsense|noprompt [N]     the next N answers, 1 if not said
//	stuck|order|t5|t6|t7|sync [N]               the next N calls or transmissions
//	reset                                       now: the modem starts again
//	none                                        all is well again
func (m *Modem) fault(words []string) error {
	f := &m.faults
	if len(words) == 0 || len(words) > 2 {
		return ErrLine
	}
	name, arg := words[0], ""
	if len(words) == 2 {
		arg = words[1]
	}
	if sw := map[string]*bool{"echo": &f.echo, "glued": &f.glued, "noline": &f.noline, "lower": &f.lower, "ceer": &f.ceer}[name]; sw != nil {
		if arg != "on" && arg != "off" && arg != "" {
			return ErrLine
		}
		*sw = arg != "off"
		return nil
	}
	n, err := 1, error(nil)
	if arg != "" {
		n, err = strconv.Atoi(arg)
	}
	if count := f.counter(name); count != nil {
		if err != nil || n < 0 {
			return ErrLine
		}
		*count = n
		return nil
	}
	switch {
	case name == "deaf" && arg == "off":
		f.deaf = [Ports]bool{}
	case name == "deaf" && arg != "" && err == nil && n >= 0 && n < Ports:
		f.deaf[n] = true
	case name == "late":
		if f.late, err = time.ParseDuration(arg); err != nil {
			return ErrLine
		}
	case name == "cme" && arg != "" && err == nil && n > 0:
		f.cme = n
	case name == "reset" && arg == "":
		m.reset()
	case name == "none" && arg == "":
		*f = faults{}
	default:
		return ErrLine
	}
	return nil
}

func (f *faults) counter(name string) *int {
	return map[string]*int{
		"nook": &f.nook, "lost": &f.lost, "garbage": &f.garbage, "nonsense": &f.nonsense, "noprompt": &f.noprompt,
		"stuck": &f.stuck, "order": &f.order, "t5": &f.t5, "t6": &f.t6, "t7": &f.t7, "sync": &f.sync,
	}[name]
}
