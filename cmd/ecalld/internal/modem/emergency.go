package modem

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/headunit-agent/headunit/canbus"
)

// This file is the only one under cmd/ecalld that holds dial commands; a test
// looks for them elsewhere. Whoever reviews what may ring an emergency center
// reads this file.

// A Trigger says whether what asks for a call is a real thing in a real car. It
// is judged once, when the device is opened, for in a crash the device may be
// gone a moment later. The zero value is not real.
type Trigger struct{ physical bool }

// Physical reports whether t came from hardware.
func (t Trigger) Physical() bool { return t.physical }

// InputTrigger judges an input device, such as the SOS key: physical unless the
// kernel calls it virtual (uinput) or it cannot be found.
func InputTrigger(path string) Trigger { return inputTrigger("/sys", path) }

func inputTrigger(sys, path string) Trigger {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return Trigger{}
	}
	return Trigger{hardware(filepath.Join(sys, "class/input", filepath.Base(real)))}
}

// CANTrigger judges the bus a crash is read from. Of the kernel's interfaces it
// wants the one behind iface to be hardware (not vcan); an adapter is real; a
// recording, a simulation and an unknown origin are not.
func CANTrigger(origin canbus.Origin, iface string) Trigger {
	return canTrigger("/sys", origin, iface)
}

func canTrigger(sys string, origin canbus.Origin, iface string) Trigger {
	switch origin {
	case canbus.Adapter:
		return Trigger{true}
	case canbus.Kernel:
		ok := iface != "" && iface == filepath.Base(iface)
		return Trigger{ok && hardware(filepath.Join(sys, "class/net", iface))}
	}
	return Trigger{}
}

// ScreenTrigger is the SOS button on the screen: it counts as physical only
// where the installation says so (sos.screen).
func ScreenTrigger(allowed bool) Trigger { return Trigger{allowed} }

// hardware reports whether the kernel knows a real device behind a class entry.
func hardware(class string) bool {
	real, err := filepath.EvalSymlinks(class)
	return err == nil && !strings.Contains(real, "/devices/virtual/")
}

// An Armed lets [Modem.Dial] reach the emergency number. Only [Arm] makes one
// that does; the zero value is refused.
type Armed struct{ by armedBy }

type armedBy string

const (
	bySimulator armedBy = "simulator"
	byUnit      armedBy = "unit"
)

// String is the word for the status file: "simulator", "unit" or "bench".
func (a Armed) String() string {
	if a.by == "" {
		return "bench"
	}
	return string(a.by)
}

// Arm gives an Armed in two cases only: m is our simulator on a pty, where
// nothing real can be reached; or this unit is armed (built for the road) and t
// is physical. Otherwise it returns [ErrNotArmed].
func Arm(m Modem, t Trigger) (Armed, error) {
	return arm(m.Caps().Simulator, armedUnit, t)
}

func arm(simulator, unit bool, t Trigger) (Armed, error) {
	switch {
	case simulator:
		return Armed{bySimulator}, nil
	case unit && t.physical:
		return Armed{byUnit}, nil
	}
	return Armed{}, ErrNotArmed
}

// lets reports whether a allows an emergency call over a port that is the
// simulator or is not. A simulator's Armed is worth nothing on anything else: the
// device behind a name may have changed since.
func (a Armed) lets(simulator bool) bool {
	return a.by == byUnit || a.by == bySimulator && simulator
}

// dialling returns the commands that place c over a port. All but the last are
// settings that must succeed first.
func dialling(c Call, simulator bool) ([]string, error) {
	switch c.Kind {
	case Manual, Automatic:
		if !c.Armed.lets(simulator) {
			return nil, ErrNotArmed
		}
		switch {
		case c.Way == Voice:
			return []string{"ATD112;"}, nil
		case (c.Kind == Manual) == (c.Way != Other):
			return []string{"AT+CECALL=2"}, nil
		}
		return []string{"AT+CECALL=3"}, nil
	case Test:
		if err := checkNumber(c.Number); err != nil {
			return nil, err
		}
		// Without this setting the modem would choose the number itself.
		return []string{"AT#TESTNUM=0," + c.Number, "AT+CECALL=0"}, nil
	case Assist:
		if err := checkNumber(c.Number); err != nil {
			return nil, err
		}
		return []string{"ATD" + c.Number + ";"}, nil
	}
	return nil, fmt.Errorf("%w: call of kind %q", ErrUnsupported, c.Kind)
}

// checkNumber refuses what is no telephone number, and every short one: modems
// turn these into emergency calls, and which ones depends on SIM and country.
func checkNumber(s string) error {
	digits := strings.TrimPrefix(s, "+")
	for _, r := range digits {
		if r < '0' || r > '9' {
			return fmt.Errorf("%w: only digits after an optional +", ErrNumber)
		}
	}
	if n := len(strings.TrimLeft(digits, "0")); n < 5 || len(digits) > 20 {
		return fmt.Errorf("%w: 5 to 20 digits, leading zeros not counted", ErrNumber)
	}
	return nil
}
