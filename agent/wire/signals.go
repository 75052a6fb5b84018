package wire

import "math"

// A Signal is one thing about the car that has a number on the wire.
type Signal struct {
	Number uint8
	Path   string  // COVESA VSS 6.0, or the overlay beside it
	Step   float64 // what 1 on the wire is, in the unit of the path; 0: a boolean or a word
	Signed bool    // travels in a signed Status alone, never in a Delta
}

const signed, bareToo = true, false

const (
	door     = "Vehicle.Cabin.Door."
	battery  = "Vehicle.Powertrain.TractionBattery."
	wheel    = "Vehicle.Chassis.Axle."
	minute   = 60.0
	hour     = 3600.0
	anyPlain = 0.0
)

// Signals is the table of protocol 5. A number never changes its meaning;
// Vehicle.CurrentLocation has none.
var Signals = [...]Signal{
	{1, door + "Row1.DriverSide.IsLocked", anyPlain, signed},
	{2, door + "Row1.PassengerSide.IsLocked", anyPlain, signed},
	{3, door + "Row2.DriverSide.IsLocked", anyPlain, signed},
	{4, door + "Row2.PassengerSide.IsLocked", anyPlain, signed},
	{5, door + "Row1.DriverSide.IsOpen", anyPlain, signed},
	{6, door + "Row1.PassengerSide.IsOpen", anyPlain, signed},
	{7, door + "Row2.DriverSide.IsOpen", anyPlain, signed},
	{8, door + "Row2.PassengerSide.IsOpen", anyPlain, signed},
	{9, door + "Row1.DriverSide.Window.IsOpen", anyPlain, signed},
	{10, door + "Row1.PassengerSide.Window.IsOpen", anyPlain, signed},
	{11, door + "Row2.DriverSide.Window.IsOpen", anyPlain, signed},
	{12, door + "Row2.PassengerSide.Window.IsOpen", anyPlain, signed},
	{13, door + "Row1.DriverSide.Window.Position", 1, bareToo},
	{14, door + "Row1.PassengerSide.Window.Position", 1, bareToo},
	{15, door + "Row2.DriverSide.Window.Position", 1, bareToo},
	{16, door + "Row2.PassengerSide.Window.Position", 1, bareToo},
	{17, "Vehicle.Body.Trunk.Rear.IsOpen", anyPlain, signed},
	{18, "Vehicle.Body.Trunk.Rear.IsLocked", anyPlain, signed},
	{19, "Vehicle.Body.Hood.IsOpen", anyPlain, signed},
	{20, "Vehicle.Cabin.Sunroof.Position", 1, signed},
	{21, "Vehicle.Body.CentralLocking.State", anyPlain, signed},
	{22, "Vehicle.Body.TheftAlarm.IsArmed", anyPlain, signed},
	{23, "Vehicle.Body.TheftAlarm.IsTriggered", anyPlain, signed},
	{30, "Vehicle.LowVoltageSystemState", anyPlain, bareToo},
	{31, "Vehicle.IsMoving", anyPlain, bareToo},
	{32, "Vehicle.TraveledDistance", 1, bareToo},
	{33, "Vehicle.LowVoltageBattery.CurrentVoltage", 0.01, bareToo},
	{34, "Vehicle.Exterior.AirTemperature", 0.5, bareToo},
	{35, "Vehicle.Chassis.ParkingBrake.IsEngaged", anyPlain, bareToo},
	{36, "Vehicle.Body.Lights.Parking.IsOn", anyPlain, bareToo},
	{37, "Vehicle.Body.Lights.Beam.Low.IsOn", anyPlain, bareToo},
	{38, "Vehicle.Body.Lights.Hazard.IsSignaling", anyPlain, bareToo},
	{40, "Vehicle.Powertrain.FuelSystem.RelativeLevel", 1, bareToo},
	{41, "Vehicle.Powertrain.FuelSystem.AbsoluteLevel", 0.1, bareToo},
	{42, "Vehicle.Powertrain.FuelSystem.Range", 1, bareToo},
	{43, "Vehicle.Powertrain.FuelSystem.IsFuelLevelLow", anyPlain, bareToo},
	{44, "Vehicle.Powertrain.Range", 1, bareToo},
	{50, battery + "StateOfCharge.Displayed", 0.5, bareToo},
	{51, battery + "Range", 1, bareToo},
	{52, battery + "Charging.IsCharging", anyPlain, signed},
	{53, battery + "Charging.ChargingPort.AnyPosition.IsChargingCableConnected", anyPlain, signed},
	{54, battery + "Charging.ChargeLimit", 1, bareToo},
	{55, battery + "Charging.TimeToComplete", minute, bareToo},
	{56, battery + "Temperature.Average", 0.5, bareToo},
	{60, "Vehicle.Cabin.HVAC.IsAirConditioningActive", anyPlain, signed},
	{61, "Vehicle.Cabin.AuxiliaryHeater.State", anyPlain, signed},
	{62, "Vehicle.Cabin.AuxiliaryHeater.TimeRemaining", minute, bareToo},
	{63, "Vehicle.Cabin.HVAC.AmbientAirTemperature", 0.5, bareToo},
	{70, wheel + "Row1.Wheel.Left.Tire.Pressure", 1, bareToo},
	{71, wheel + "Row1.Wheel.Right.Tire.Pressure", 1, bareToo},
	{72, wheel + "Row2.Wheel.Left.Tire.Pressure", 1, bareToo},
	{73, wheel + "Row2.Wheel.Right.Tire.Pressure", 1, bareToo},
	{74, wheel + "Row1.Wheel.Left.Tire.IsPressureLow", anyPlain, bareToo},
	{75, wheel + "Row1.Wheel.Right.Tire.IsPressureLow", anyPlain, bareToo},
	{76, wheel + "Row2.Wheel.Left.Tire.IsPressureLow", anyPlain, bareToo},
	{77, wheel + "Row2.Wheel.Right.Tire.IsPressureLow", anyPlain, bareToo},
	{80, "Vehicle.Service.IsServiceDue", anyPlain, bareToo},
	{81, "Vehicle.Service.DistanceToService", 1, bareToo},
	{82, "Vehicle.Service.TimeToService", hour, bareToo},
	{83, "Vehicle.Diagnostics.DTCCount", 1, bareToo},
}

// SignalOf returns the signal with a number.
func SignalOf(number uint8) (Signal, bool) {
	for i := range Signals {
		if Signals[i].Number == number {
			return Signals[i], true
		}
	}
	return Signal{}, false
}

// SignalAt returns the signal with a path.
func SignalAt(path string) (Signal, bool) {
	for i := range Signals {
		if Signals[i].Path == path {
			return Signals[i], true
		}
	}
	return Signal{}, false
}

func mustBeSigned(number uint8) bool {
	s, ok := SignalOf(number)
	return ok && s.Signed
}

// maxCount keeps a count exact in a float64, so that both ways agree.
const maxCount = 1 << 53

// Count returns how often the step goes into v, a value in the unit of the
// path, to the nearest. It is false for a signal that is not counted, and for
// what is no number that can be sent.
func (s Signal) Count(v float64) (Value, bool) {
	n := math.Round(v / s.Step)
	if s.Step == 0 || !(math.Abs(n) <= maxCount) {
		return Value{}, false
	}
	return Int(int64(n)), true
}

// Measure is the reverse of [Signal.Count]: a count in the unit of the path.
func (s Signal) Measure(v Value) (float64, bool) {
	n, ok := v.Int()
	if !ok || s.Step == 0 {
		return 0, false
	}
	if s.Step < 1 {
		return float64(n) / math.Round(1/s.Step), true // exact, where times 0.01 is not
	}
	return float64(n) * s.Step, true
}
