package uds

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
)

// The requests of OBD-II.
type (
	// ReadPIDs asks for 1 to 6 current values.
	ReadPIDs struct{ PIDs []byte }
	// ReadCodes asks for fault codes: [OBDStored], [OBDPending] or [OBDPermanent].
	ReadCodes struct{ Which Service }
	// ReadVehicle asks for an item about the vehicle: 00 bitmap, 02 VIN, 04
	// calibrations, 0A name of the unit.
	ReadVehicle struct{ Item byte }
)

// The items of [ReadVehicle].
const (
	ItemVIN          byte = 0x02
	ItemCalibrations byte = 0x04
	ItemName         byte = 0x0A
)

// Encode is the request as it is sent.
func (r ReadPIDs) Encode() []byte { return append([]byte{byte(OBDCurrent)}, r.PIDs...) }

// Encode is the request as it is sent.
func (r ReadCodes) Encode() []byte { return []byte{byte(r.Which)} }

// Encode is the request as it is sent.
func (r ReadVehicle) Encode() []byte { return []byte{byte(OBDVehicle), r.Item} }

func decodeOBD(b []byte) Request {
	switch s, n := Service(b[0]), len(b); {
	case s == OBDCurrent && 2 <= n && n <= 7:
		return ReadPIDs{b[1:]}
	case (s == OBDStored || s == OBDPending || s == OBDPermanent) && n == 1:
		return ReadCodes{s}
	case s == OBDVehicle && n == 2:
		return ReadVehicle{b[1]}
	}
	return nil
}

// DecodeCodes reads the answer to [ReadCodes]: a count, and two octets each.
func DecodeCodes(b []byte, which Service) ([]OBDCode, error) {
	if len(b) < 2 || b[0] != byte(which)+positive || len(b) != 2+2*int(b[1]) {
		return nil, malformed("a list of OBD codes", b)
	}
	var codes []OBDCode
	for at := 2; at < len(b); at += 2 {
		codes = append(codes, OBDCode(binary.BigEndian.Uint16(b[at:])))
	}
	return codes, nil
}

// DecodeVehicle reads the answer to [ReadVehicle] for an item of texts: a count,
// and texts of equal length, whose filling of zeros is cut off. A text may be a
// VIN: give it to [ParseVIN] and show it to nobody.
func DecodeVehicle(b []byte, item byte) ([]string, error) {
	if len(b) < 3 || b[0] != byte(OBDVehicle)+positive || b[1] != item {
		return nil, malformed("an item about the vehicle", b)
	}
	count, rest := int(b[2]), b[3:]
	if count == 0 && len(rest) == 0 {
		return nil, nil
	}
	if count == 0 || len(rest) == 0 || len(rest)%count != 0 {
		return nil, malformed("texts about the vehicle", b)
	}
	var texts []string
	for text := range slices.Chunk(rest, len(rest)/count) {
		texts = append(texts, string(bytes.Trim(text, "\x00")))
	}
	return texts, nil
}

// A PIDSet is what a unit says that it has.
type PIDSet [32]byte

// Add takes the four octets of bitmap, one of 00 20 40 60 80 A0 C0 E0, into s.
// more says that the next bitmap may be asked for.
func (s *PIDSet) Add(bitmap byte, data []byte) (more bool, err error) {
	if bitmap%0x20 != 0 || len(data) != 4 {
		return false, malformed(fmt.Sprintf("bitmap %02X", bitmap), data)
	}
	for i := range 32 {
		if pid := int(bitmap) + i + 1; pid < 256 && data[i/8]>>(7-i%8)&1 != 0 {
			s[pid/8] |= 1 << (pid % 8)
		}
	}
	return bitmap < 0xE0 && s.Has(bitmap+0x20), nil
}

// Has reports whether pid is in s.
func (s *PIDSet) Has(pid byte) bool { return s[pid/8]>>(pid%8)&1 != 0 }

// A Scale says what a current value means: raw, big endian, times Factor plus
// Offset in Unit.
type Scale struct {
	Name, Unit     string
	Octets         int
	Factor, Offset float64
}

// PIDs are the current values that are understood (ISO 15031-5, annex B).
// [PIDStatus] has its own layout: [DecodeStatus].
var PIDs = map[byte]Scale{
	0x05: {"coolant temperature", "°C", 1, 1, -40},
	0x0C: {"engine speed", "rpm", 2, 0.25, 0},
	0x0D: {"speed", "km/h", 1, 1, 0},
	0x0F: {"intake air temperature", "°C", 1, 1, -40},
	0x1F: {"run time", "s", 2, 1, 0},
	0x21: {"distance with lamp on", "km", 2, 1, 0},
	0x2F: {"fuel", "%", 1, 100. / 255, 0},
	0x31: {"distance since codes cleared", "km", 2, 1, 0},
	0x42: {"supply", "V", 2, 0.001, 0},
	0x46: {"outside temperature", "°C", 1, 1, -40},
	0x51: {"kind of fuel", "", 1, 1, 0},
	0x5B: {"traction battery", "%", 1, 100. / 255, 0},
	0x5C: {"oil temperature", "°C", 1, 1, -40},
	0xA6: {"odometer", "km", 4, 0.1, 0},
}

// PIDStatus is the PID of [DecodeStatus].
const PIDStatus byte = 0x01

// DecodeStatus reads PID 01: whether the lamp is on, and how many codes are stored.
func DecodeStatus(data []byte) (lamp bool, codes int, err error) {
	if len(data) != 4 {
		return false, 0, malformed("a status", data)
	}
	return data[0]&0x80 != 0, int(data[0] & 0x7F), nil
}

// Decode is the physical value of data; ok is false if its length is another.
func (s Scale) Decode(data []byte) (v float64, ok bool) {
	if len(data) != s.Octets || s.Octets == 0 {
		return 0, false
	}
	raw := uint32(0)
	for _, b := range data {
		raw = raw<<8 | uint32(b)
	}
	return float64(float64(raw)*s.Factor) + s.Offset, true
}

func pidOctets(pid byte) int {
	if pid%0x20 == 0 || pid == PIDStatus {
		return 4
	}
	return PIDs[pid].Octets
}

// A PIDValue is one current value.
type PIDValue struct {
	PID  byte
	Data []byte
}

// DecodePIDs reads the answer to [ReadPIDs]. Units leave out what they do not
// have. A PID whose length is not known here can only be the last of pids.
func DecodePIDs(b, pids []byte) ([]PIDValue, error) {
	if len(b) < 3 || b[0] != byte(OBDCurrent)+positive {
		return nil, malformed("current values", b)
	}
	var values []PIDValue
	for rest := b[1:]; len(rest) > 0; {
		pid := rest[0]
		at := slices.Index(pids, pid)
		n := pidOctets(pid)
		if n == 0 && at == len(pids)-1 {
			n = len(rest) - 1
		}
		if at < 0 || n == 0 || n > len(rest)-1 {
			return nil, malformed(fmt.Sprintf("current value %02X", pid), b)
		}
		values = append(values, PIDValue{pid, rest[1 : 1+n]})
		rest = rest[1+n:]
	}
	return values, nil
}
