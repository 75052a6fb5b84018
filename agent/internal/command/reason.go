package command

import (
	"fmt"

	"github.com/headunit-agent/headunit/agent/wire"
)

// RefusedByCar is said where the car refuses for a reason of its own.
const RefusedByCar wire.Reason = "command.refused-by-car"

// profileWords are the refusal words of a profile, and the names of its
// conditions. Every other word is RefusedByCar.
var profileWords = map[string]wire.Reason{
	"moving": wire.CommandMoving, "stationary": wire.CommandMoving,
	"ignition": wire.CommandIgnitionOn, "ignition_off": wire.CommandIgnitionOn,
	"no_crash": wire.CommandCrash, "no_alarm": wire.CommandAlarmSounding,
	"door_open": wire.CommandDoorOpen, "key_inside": wire.CommandKeyInside,
	"low_voltage": wire.CommandBattery12V, "low_fuel": wire.CommandFuelLow, "low_battery": wire.CommandBatteryDrive,
	"not_plugged": wire.CommandNotPlugged, "not_fitted": wire.CommandNoEquipment,
}

// ReasonOf is the reason that a profile's word stands for.
func ReasonOf(word string) wire.Reason {
	if r, ok := profileWords[word]; ok {
		return r
	}
	return RefusedByCar
}

// A Refusal says that the car did nothing, and why. It is the one error after
// which a command certainly has had no effect.
type Refusal struct{ Reason wire.Reason }

func (r *Refusal) Error() string { return fmt.Sprintf("refused: %s", r.Reason) }

func refuse(r wire.Reason) *Refusal { return &Refusal{r} }
