package wire

// A Reason says why, in the form domain.name. It travels as it is, and the
// screens have a text for each.
type Reason string

// ok is the CDDL's reason: [a-z]{2,12}[.][a-z0-9-]{2,20}.
func (r Reason) ok() bool {
	dot := 0
	for dot < len(r) && isLetter(r[dot]) {
		dot++
	}
	if dot < 2 || dot > 12 || dot == len(r) || r[dot] != '.' {
		return false
	}
	name := string(r[dot+1:])
	return len(name) >= 2 && len(name) <= 20 && isTail(name)
}

// The reasons of protocol 7: why a command was refused, in the order of the
// checks, and what came of one that was not.
const (
	CommandEpoch         Reason = "command.epoch"
	CommandReplayed      Reason = "command.replayed"
	SystemStopping       Reason = "system.stopping"
	CommandInvalid       Reason = "command.invalid"
	CommandRunTime       Reason = "command.run-time"
	AlertTooMany         Reason = "alert.too-many"
	CommandExpired       Reason = "command.expired"
	CommandTTL           Reason = "command.ttl"
	UserSuspended        Reason = "user.suspended"
	SystemRollback       Reason = "system.rollback"
	CommandUsersChanged  Reason = "command.users-changed"
	CommandGrantInvalid  Reason = "command.grant-invalid"
	CommandGrantExpired  Reason = "command.grant-expired"
	UserPrimaryOnly      Reason = "user.primary-only"
	UserNoRight          Reason = "user.no-right"
	UserHeld             Reason = "user.held"
	PrivacyCarOnly       Reason = "privacy.car-only"
	LicenseNone          Reason = "license.none"
	LicenseNotActivated  Reason = "license.not-activated"
	LicenseExpired       Reason = "license.expired"
	LicenseWithdrawn     Reason = "license.withdrawn"
	LicenseNewTerms      Reason = "license.new-terms"
	PrivacyMaximum       Reason = "privacy.maximum"
	PrivacyLocation      Reason = "privacy.location"
	PrivacyServiceOff    Reason = "privacy.service-off"
	CommandNoEquipment   Reason = "command.no-equipment"
	CommandECallActive   Reason = "command.ecall-active"
	CommandWorkshop      Reason = "command.workshop"
	CommandBusy          Reason = "command.busy"
	CommandRate          Reason = "command.rate"
	PINRequired          Reason = "pin.required"
	PINNone              Reason = "pin.none"
	PINResetRequired     Reason = "pin.reset-required"
	PINClosed            Reason = "pin.closed"
	PINWait              Reason = "pin.wait"
	PINWrong             Reason = "pin.wrong"
	PINWeak              Reason = "pin.weak"
	PowerDeepSleep       Reason = "power.deep-sleep"
	CommandBudget        Reason = "command.budget"
	CommandStateUnknown  Reason = "command.state-unknown"
	CommandCrash         Reason = "command.crash"
	CommandMoving        Reason = "command.moving"
	CommandIgnitionOn    Reason = "command.ignition-on"
	CommandDoorOpen      Reason = "command.driver-door-open"
	CommandKeyInside     Reason = "command.key-inside"
	CommandAlarmSounding Reason = "command.alarm-sounding"
	CommandFuelLow       Reason = "command.fuel-low"
	CommandBatteryDrive  Reason = "command.battery-drive"
	CommandNotPlugged    Reason = "command.not-plugged"
	CommandBattery12V    Reason = "command.battery-12v"
	SystemNotSaved       Reason = "system.not-saved"
	CommandUnconfirmed   Reason = "command.unconfirmed"
	CommandPreempted     Reason = "command.preempted"
)

// Reasons of [Goodbye] and [Event] beside those.
const (
	SystemLost             Reason = "system.lost" // the will: nobody said goodbye
	ResetDone              Reason = "reset.done"
	PrivacyChangedBy       Reason = "privacy.changed-by"
	PowerBudgetLow         Reason = "power.budget-low"
	PowerBatteryLow        Reason = "power.battery-low"
	CommandIgnitionStopped Reason = "command.ignition-stopped"
)
