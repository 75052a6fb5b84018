package wire

import "time"

// A Class says how the sequence numbers of an operation are judged.
type Class byte

// The classes. Of class A the number must be above every other of class A with
// the same key; of class B it must be new.
const (
	ClassA Class = 'A'
	ClassB Class = 'B'
)

// A When is a condition that is not the same for every call.
type When uint8

// When something is asked for.
const (
	No          When = iota
	Yes              // always
	IfStarting       // if a timer in the arguments starts a consumer
	IfCarKeeps       // if the car, not the agent, keeps the list
	FromReserve      // always, and from the reserve as well
)

// A Rate bounds an operation: Most in Per of powered time.
type Rate struct {
	Most int
	Per  time.Duration
}

// Roles who may ask for an operation.
type Roles uint8

// The roles.
const (
	Primary Roles = 1 << iota
	Secondary
	Former
)

// An Operation is one thing that a [Command] can ask for.
type Operation struct {
	Number    uint8
	Name      string
	Class     Class
	Roles     Roles
	NotInHold bool     // refused while a take-over is on hold
	Services  []string // whose right it needs, nil: none
	PIN       When     // Yes, No or IfStarting
	TTL       uint32   // longest distance from now to expiry, seconds
	Rates     []Rate
	Wakes     When // what waking the bus costs: No, Yes, FromReserve, IfCarKeeps
	Licensed  bool // needs a license and the service's switch
	Guarded   bool // vehicle guards are asked now
}

const (
	family = Primary | Secondary
	day    = 24 * time.Hour
	burst  = 10 * time.Minute
)

// Operations is the table of protocol 6, in the order of its numbers.
var Operations = [...]Operation{
	op(1, "lock", ClassB, "remote-lock", 60, FromReserve, Rate{10, burst}).pin(),
	op(2, "unlock", ClassA, "remote-lock", 30, Yes, Rate{6, burst}).pin().notInHold(),
	op(3, "ventilation-start", ClassB, "remote-ventilation", 60, Yes, Rate{4, day}).pin(),
	op(4, "ventilation-stop", ClassB, "remote-ventilation", 60, No, Rate{10, burst}).free(),
	op(5, "heater-start", ClassA, "remote-heater", 60, Yes, Rate{2, day}).pin().notInHold(),
	op(6, "heater-stop", ClassB, "remote-heater", 60, No, Rate{10, burst}).free(),
	op(7, "climate-start", ClassB, "remote-climate", 60, Yes, Rate{6, day}).pin(),
	op(8, "climate-stop", ClassB, "remote-climate", 60, No, Rate{10, burst}).free(),
	op(9, "horn-lights", ClassB, "horn-lights", 30, Yes, Rate{3, burst}, Rate{10, day}),
	op(10, "charge-start", ClassB, "charging", 60, Yes, Rate{10, day}),
	op(11, "charge-stop", ClassB, "charging", 60, No, Rate{10, day}),
	op(12, "charge-schedule-set", ClassB, "charging", 60, Yes, Rate{20, day}).unguarded(),
	{
		13, "departure-timers-set", ClassA, family, false,
		[]string{"departure-timers"},
		IfStarting, 60,
		[]Rate{{20, day}},
		IfCarKeeps, true, false,
	},
	op(14, "status-refresh", ClassB, "vehicle-status", 60, Yes, Rate{6, burst}).unguarded(),
	{
		15, "alert-rules-set", ClassB, Primary, false,
		[]string{"speed-alert", "area-alert"},
		No, 60,
		[]Rate{{10, time.Hour}},
		No, true, false,
	},
	record(16, "user-invite", ClassA, Primary, Yes, "user-management"),
	record(17, "user-remove", ClassA, Primary, Yes, "user-management"),
	record(18, "user-rights-set", ClassA, Primary, Yes, "user-management"),
	record(19, "key-remove", ClassA, family, Yes),
	record(20, "user-leave", ClassA, family, Yes),
	record(21, "pin-change", ClassA, family, Yes),
	record(22, "pin-reset", ClassA, Primary, Yes, "user-management"),
	record(23, "take-over-agree", ClassA, Former, No),
	record(24, "privacy-set", ClassB, family, No),
}

// op is an operation on the car that needs a license and obeys guards, for the
// primary and secondaries, without an S-PIN.
func op(n uint8, name string, c Class, service string, ttl uint32, wakes When, rates ...Rate) Operation {
	return Operation{
		Number: n, Name: name, Class: c, Roles: family, Services: []string{service},
		TTL: ttl, Wakes: wakes, Rates: rates, Licensed: true, Guarded: true,
	}
}

// record is an operation on the agent's own records.
func record(n uint8, name string, c Class, r Roles, pin When, services ...string) Operation {
	return Operation{
		Number: n, Name: name, Class: c, Roles: r, Services: services,
		PIN: pin, TTL: 60, Rates: []Rate{{10, time.Hour}},
	}
}

func (o Operation) pin() Operation       { o.PIN = Yes; return o }
func (o Operation) notInHold() Operation { o.NotInHold = true; return o }
func (o Operation) free() Operation      { o.Licensed = false; return o }
func (o Operation) unguarded() Operation { o.Guarded = false; return o }

// OperationOf returns the operation with a number.
func OperationOf(number uint64) (Operation, bool) {
	if number < 1 || number > uint64(len(Operations)) {
		return Operation{}, false
	}
	return Operations[number-1], true
}

// OperationNamed returns the operation with a name.
func OperationNamed(name string) (Operation, bool) {
	for i := range Operations {
		if Operations[i].Name == name {
			return Operations[i], true
		}
	}
	return Operation{}, false
}
