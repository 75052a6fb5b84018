package uds

import "encoding/binary"

// Data identifiers of Volkswagen group units.
const (
	IDVWSupply     uint16 = 0x2AF7 // gateway: [DecodeVWSupply]
	IDVWOdometer   uint16 = 0x2203 // instruments: km or 10 km, by model
	IDVWOdometerKM uint16 = 0x295A // engine: km, 24 bits
	IDCrashFront   uint16 = 0x2353 // airbag: how often, one octet; so are the next
	IDCrashDriver  uint16 = 0x2354
	IDCrashOther   uint16 = 0x2355 // passenger's side
	IDCrashRear    uint16 = 0x2356
	IDRollover     uint16 = 0x2357
	IDCallBattery  uint16 = 0x0838 // telematics: [DecodeCallBattery]
)

// A VWSupply is the state of the 12 V battery as the gateway measures it.
type VWSupply struct {
	Volts, Amperes float64 // positive: charging
	Charge         float64 // %
	Celsius        float64
}

// DecodeVWSupply reads [IDVWSupply]: octets 0 and 1 /1000 + 4 V, 2 to 5 signed
// /1000 A, 7 charge in %, 8 temperature - 40 °C.
func DecodeVWSupply(data []byte) (VWSupply, error) {
	if len(data) < 9 {
		return VWSupply{}, malformed("a supply", data)
	}
	return VWSupply{
		Volts:   float64(binary.BigEndian.Uint16(data))/1000 + 4,
		Amperes: float64(int32(binary.BigEndian.Uint32(data[2:]))) / 1000,
		Charge:  float64(data[7]),
		Celsius: float64(data[8]) - 40,
	}, nil
}

// DecodeCallBattery reads [IDCallBattery], the battery of the factory's
// emergency call unit: whether it is critical, and its charge in %.
func DecodeCallBattery(data []byte) (critical bool, charge int, err error) {
	if len(data) < 2 || data[0] != 1 && data[0] != 2 {
		return false, 0, malformed("an emergency battery", data)
	}
	return data[0] == 1, int(data[1]), nil
}

// DecodeVWOdometer reads [IDVWOdometer] with the help of another odometer that
// is known in km: the unit is the one that agrees with it within 50 km. Without
// one that agrees, ok is false.
func DecodeVWOdometer(data []byte, known uint32) (km uint32, ok bool) {
	raw, ok := decodeKM(data)
	if !ok {
		return 0, false
	}
	for _, unit := range []uint64{1, 10} {
		v := uint64(raw) * unit
		if v+50 >= uint64(known) && v <= uint64(known)+50 {
			if unit == 10 {
				return known, true // it is the finer one
			}
			return raw, true
		}
	}
	return 0, false
}

// decodeKM reads 2 to 4 octets; all ones is not available.
func decodeKM(data []byte) (km uint32, ok bool) {
	if len(data) < 2 || len(data) > 4 {
		return 0, false
	}
	ones := true
	for _, b := range data {
		km = km<<8 | uint32(b)
		ones = ones && b == 0xFF
	}
	return km, !ones
}
