package uds

// An Address is where a control unit hears requests and where it answers.
type Address struct {
	Request, Answer uint32
	Extended        bool // 29-bit identifiers
}

// The functional addresses: every unit that knows the service answers.
const (
	OBDFunctional   uint32 = 0x7DF
	OBDFunctional29 uint32 = 0x18DB33F1
	VWFunctional    uint32 = 0x700
	tester                 = 0xF1 // the address of test equipment in 29-bit identifiers
)

// VW is the address of a Volkswagen group unit that hears request, one of 700
// to 77F: it answers 6A above.
func VW(request uint32) (a Address, ok bool) {
	if request <= VWFunctional || request > 0x77F {
		return Address{}, false
	}
	return Address{Request: request, Answer: request + 0x6A}, true
}

// MEBPower is the address of a power module of the MEB platform: 76 motor, 7B
// battery, B9 DC/DC.
func MEBPower(module byte) Address {
	return Address{0x17FC0000 | uint32(module), 0x17FE0000 | uint32(module), true}
}

// OBD is the address of OBD unit n, 0 to 7, with 11 bits.
func OBD(n int) Address {
	n &= 7
	return Address{Request: 0x7E0 + uint32(n), Answer: 0x7E8 + uint32(n)}
}

// OBD29 is the address of a unit in normal fixed addressing.
func OBD29(unit byte) Address {
	return Address{0x18DA0000 | uint32(unit)<<8 | tester, 0x18DA0000 | tester<<8 | uint32(unit), true}
}

// VWUnits are units that cars of the Volkswagen group have where fitted. The
// first is the gateway, which everything else is behind.
var VWUnits = []ECU{
	{Name: "Gateway", Address: Address{Request: 0x710, Answer: 0x77A}, Read: []Read{{IDVWSupply, Supply}}},
	{Name: "Instruments", Address: Address{Request: 0x714, Answer: 0x77E}, Read: []Read{{IDVWOdometer, Odometer}}},
	{Name: "Airbag", Address: Address{Request: 0x715, Answer: 0x77F}},
	{Name: "Brakes", Address: Address{Request: 0x713, Answer: 0x77D}},
	{Name: "Body", Address: Address{Request: 0x70E, Answer: 0x778}},
	{Name: "Heater", Address: Address{Request: 0x742, Answer: 0x7AC}},
	{Name: "Charger", Address: Address{Request: 0x744, Answer: 0x7AE}},
	{Name: "Climate", Address: Address{Request: 0x746, Answer: 0x7B0}},
	{Name: "Telematics", Address: Address{Request: 0x767, Answer: 0x7D1}},
	{Name: "Engine", Address: OBD(0), Read: []Read{{IDVIN, Identity}, {IDVWOdometerKM, Odometer}}},
	{Name: "Battery", Address: OBD(5)},
}

// RenaultUnits are those of a Renault Zoe with 11-bit identifiers; the others
// are at [OBD29].
var RenaultUnits = []ECU{
	{Name: "Instruments", Address: Address{Request: 0x743, Answer: 0x763}},
	{Name: "Climate", Address: Address{Request: 0x744, Answer: 0x764}},
	{Name: "Body", Address: Address{Request: 0x745, Answer: 0x765}},
}

// IsRequest reports whether a frame may be a request of a tester. Some makers
// answer between 700 and 77F too: what known units answer at is no request.
func IsRequest(id uint32, extended bool, known []ECU) bool {
	for i := range known {
		if a := known[i].Address; a.Answer == id && a.Extended == extended {
			return false
		}
	}
	if !extended {
		return id == OBDFunctional || 0x700 <= id && id <= 0x77F || 0x7E0 <= id && id <= 0x7E7
	}
	switch id >> 16 {
	case 0x18DA:
		return id>>8&0xFF != tester
	case 0x18DB, 0x17FC:
		return true
	}
	return false
}
