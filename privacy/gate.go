package privacy

// A Class says what a [Record] tells, and so by which row of the gate's table it
// is judged. A class that has no row never leaves.
type Class string

// The classes of what could leave the car.
const (
	Session    Class = "session"    // hello, session, goodbye, time, receipts
	Enrollment Class = "enrollment" // enrolment messages, identity
	Result     Class = "result"     // results of commands
	Status     Class = "status"     // readings, never a position
	Trip       Class = "trip"       // length, duration, consumption; no places
	Health     Class = "health"     // service dates, warnings, fault codes, tires
	Position   Class = "position"   // where the car is parked
	Theft      Class = "theft"      // theft alert
	RuleAlert  Class = "rule-alert" // speed and area alerts
	Assistance Class = "assistance" // breakdown data
	Request    Class = "request"    // service request, partner, renewal
	License    Class = "license"    // entitlements, documents, certificates
	Erasure    Class = "erasure"    // request for erasure after a reset
)

// Classes lists them all, in the order of the table.
var Classes = [...]Class{
	Session, Enrollment, Result, Status, Trip, Health, Position, Theft, RuleAlert, Assistance, Request, License, Erasure,
}

// A rule is one row of the gate: from which level on a class may leave, from
// which with a position in it ("": never), and which switches hold it back.
type rule struct {
	from, located Level
	switches      []Service
}

var rules = map[Class]rule{
	Session:    {from: NoLocation},
	Enrollment: {from: NoLocation},
	Result:     {from: NoLocation},
	Status:     {from: NoLocation, switches: []Service{VehicleStatus}},
	Trip:       {from: NoLocation, switches: []Service{DrivingData}},
	Health:     {from: NoLocation, switches: []Service{HealthReport}},
	Position:   {from: ShareLocation, located: ShareLocation, switches: []Service{ParkingPosition}},
	Theft:      {from: NoLocation, located: ShareLocation, switches: []Service{TheftAlert}},
	RuleAlert:  {from: ShareLocation, located: ShareLocation, switches: []Service{SpeedAlert, AreaAlert}},
	Assistance: {from: NoLocation, located: UseLocation, switches: []Service{BreakdownCall}},
	Request:    {from: NoLocation, switches: []Service{ServiceScheduling, Store}},
	License:    {from: NoLocation},
	Erasure:    {from: NoLocation},
}

// TopicGoodbye is where a goodbye goes: the one message that may still pass
// while the way out is being closed.
const TopicGoodbye = "up/bye"

// A Record could leave the car. Whoever makes it says truly what is in it.
type Record struct {
	Class    Class
	Service  Service // which of several switches of the class it belongs to; empty where there is one
	Position bool    // a position is in it, sealed to whom it may concern
	Topic    string  // suffix, such as up/sta
	QoS      uint8   // 0 or 1
	Payload  []byte
}

// A Cleared may leave the car. Only [Policy.Clear] makes one that holds
// anything; the zero value holds nothing and is sent by nobody.
type Cleared struct{ r Record }

// Class is what c tells.
func (c Cleared) Class() Class { return c.r.Class }

// Topic is the suffix of the topic that c goes to; empty in the zero value.
func (c Cleared) Topic() string { return c.r.Topic }

// QoS is 0 or 1.
func (c Cleared) QoS() uint8 { return c.r.QoS }

// Payload is what leaves; it must not be changed.
func (c Cleared) Payload() []byte { return c.r.Payload }

// Empty reports whether c holds nothing, as the zero value does.
func (c Cleared) Empty() bool { return c.r.Topic == "" }

// A Policy is what the driver chose, as the gate sees it. The zero value lets
// nothing out.
type Policy struct {
	Level   Level
	Off     Switches
	Closing bool // Maximum was chosen, and the goodbye is on its way
}

// Clear lets r out, or reports false: then r is to be destroyed, not kept for
// a better day.
func (p Policy) Clear(r Record) (Cleared, bool) {
	if r.Topic == "" || !p.lets(r) {
		return Cleared{}, false
	}
	return Cleared{r}, true
}

// Still reports whether what was cleared once may leave now. Whatever waits is
// judged again when it goes.
func (p Policy) Still(c Cleared) bool { return !c.Empty() && p.lets(c.r) }

func (p Policy) lets(r Record) bool {
	if p.Closing {
		return r.Class == Session && r.Topic == TopicGoodbye && !r.Position
	}
	row, known := rules[r.Class]
	if !known || p.Level.openness() == 0 || !p.Level.Open(row.from) {
		return false
	}
	if r.Position && (row.located == "" || !p.Level.Open(row.located)) {
		return false
	}
	for _, s := range row.switches {
		if p.Off.Has(s) && (r.Service == "" || r.Service == s) {
			return false
		}
	}
	return true
}
