package uds

import "encoding/binary"

// A Request is one of the types below. They are values: Encode is what goes to
// the transport, [DecodeRequest] the way back.
type Request interface {
	Encode() []byte
}

// The requests. Those that change something in a control unit are here for
// programs that look on or play a control unit; [Client] does not send them.
type (
	// SessionControl asks for a session: 1 default, 2 programming, 3 extended.
	SessionControl struct{ Session uint8 }
	// Reset asks for a restart: 1 hard, 2 key off and on, 3 soft.
	Reset struct{ Kind uint8 }
	// Clear erases fault codes: a group of 24 bits, FFFFFF all.
	Clear struct{ Group uint32 }
	// ReadDTCByMask asks for the fault codes that have one of the bits of Mask.
	ReadDTCByMask struct{ Mask Status }
	// ReadDTCSnapshot asks for what was recorded with a fault code; record FF all.
	ReadDTCSnapshot struct {
		DTC    DTC
		Record uint8
	}
	// ReadDTCExtended asks for the counters of a fault code; record FF all.
	ReadDTCExtended struct {
		DTC    DTC
		Record uint8
	}
	// ReadDTCSupported asks for every fault code that the unit knows.
	ReadDTCSupported struct{}
	// ReadData asks for 1 to 32 data identifiers.
	ReadData struct{ IDs []uint16 }
	// Seed asks for the seed of an odd security level.
	Seed struct{ Level uint8 }
	// Key answers the seed of an odd security level; on the wire it is Level + 1.
	Key struct {
		Level uint8
		Key   []byte
	}
	// WriteData writes a data identifier.
	WriteData struct {
		ID   uint16
		Data []byte
	}
	// Control moves an actuator.
	Control struct {
		ID    uint16
		How   uint8
		State []byte
	}
	// Routine starts (1), stops (2) or asks for the results (3) of a routine.
	Routine struct {
		Sub  uint8
		ID   uint16
		Data []byte
	}
	// TesterPresent keeps a session; Quiet asks for no answer.
	TesterPresent struct{ Quiet bool }
)

// Encode is the request as it is sent.
func (r SessionControl) Encode() []byte { return []byte{byte(SessionSID), r.Session} }

// Encode is the request as it is sent.
func (r Reset) Encode() []byte { return []byte{byte(ResetSID), r.Kind} }

// Encode is the request as it is sent.
func (r Clear) Encode() []byte { return put24([]byte{byte(ClearSID)}, r.Group) }

// Encode is the request as it is sent.
func (r ReadDTCByMask) Encode() []byte { return []byte{byte(ReadDTCSID), 2, byte(r.Mask)} }

// Encode is the request as it is sent.
func (r ReadDTCSnapshot) Encode() []byte {
	return append(put24([]byte{byte(ReadDTCSID), 4}, uint32(r.DTC)), r.Record)
}

// Encode is the request as it is sent.
func (r ReadDTCExtended) Encode() []byte {
	return append(put24([]byte{byte(ReadDTCSID), 6}, uint32(r.DTC)), r.Record)
}

// Encode is the request as it is sent.
func (r ReadDTCSupported) Encode() []byte { return []byte{byte(ReadDTCSID), 0x0A} }

// Encode is the request as it is sent.
func (r ReadData) Encode() []byte {
	b := []byte{byte(ReadDataSID)}
	for _, id := range r.IDs {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	return b
}

// Encode is the request as it is sent.
func (r Seed) Encode() []byte { return []byte{byte(SecuritySID), r.Level} }

// Encode is the request as it is sent.
func (r Key) Encode() []byte { return append([]byte{byte(SecuritySID), r.Level + 1}, r.Key...) }

// Encode is the request as it is sent.
func (r WriteData) Encode() []byte {
	return append(binary.BigEndian.AppendUint16([]byte{byte(WriteDataSID)}, r.ID), r.Data...)
}

// Encode is the request as it is sent.
func (r Control) Encode() []byte {
	return append(append(binary.BigEndian.AppendUint16([]byte{byte(ControlSID)}, r.ID), r.How), r.State...)
}

// Encode is the request as it is sent.
func (r Routine) Encode() []byte {
	return append(binary.BigEndian.AppendUint16([]byte{byte(RoutineSID), r.Sub}, r.ID), r.Data...)
}

// Encode is the request as it is sent.
func (r TesterPresent) Encode() []byte {
	if r.Quiet {
		return []byte{byte(TesterSID), suppress}
	}
	return []byte{byte(TesterSID), 0}
}

func put24(b []byte, v uint32) []byte { return append(b, byte(v>>16), byte(v>>8), byte(v)) }

func get24(b []byte) uint32 { return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]) }

// DecodeRequest reads a request of a kind that this package can make; what it
// accepts encodes to the same octets. The error is [ErrFormat].
func DecodeRequest(b []byte) (Request, error) {
	if len(b) == 0 {
		return nil, malformed("a request", b)
	}
	var r Request
	switch s := Service(b[0]); {
	case s <= OBDPermanent:
		r = decodeOBD(b)
	case len(b) == 2:
		r = decodeShort(s, b[1])
	default:
		r = decodeLong(s, b)
	}
	if r == nil {
		return nil, malformed("a request", b)
	}
	return r, nil
}

func decodeShort(s Service, sub byte) Request {
	switch {
	case s == SessionSID && sub&suppress == 0:
		return SessionControl{sub}
	case s == ResetSID && sub&suppress == 0:
		return Reset{sub}
	case s == ReadDTCSID && sub == 0x0A:
		return ReadDTCSupported{}
	case s == SecuritySID && sub&1 != 0 && sub&suppress == 0:
		return Seed{sub}
	case s == TesterSID && sub&^suppress == 0:
		return TesterPresent{sub != 0}
	}
	return nil
}

func decodeLong(s Service, b []byte) Request {
	switch n := len(b); {
	case s == ClearSID && n == 4:
		return Clear{get24(b[1:])}
	case s == ReadDTCSID && n == 3 && b[1] == 2:
		return ReadDTCByMask{Status(b[2])}
	case s == ReadDTCSID && n == 6 && b[1] == 4:
		return ReadDTCSnapshot{DTC(get24(b[2:])), b[5]}
	case s == ReadDTCSID && n == 6 && b[1] == 6:
		return ReadDTCExtended{DTC(get24(b[2:])), b[5]}
	case s == ReadDataSID && n%2 == 1 && 3 <= n && n <= 1+2*maxIdentifier:
		r := ReadData{}
		for at := 1; at < n; at += 2 {
			r.IDs = append(r.IDs, binary.BigEndian.Uint16(b[at:]))
		}
		return r
	case s == SecuritySID && n > 2 && b[1]&1 == 0 && b[1] != 0 && b[1]&suppress == 0:
		return Key{b[1] - 1, b[2:]}
	case s == WriteDataSID && n > 3:
		return WriteData{binary.BigEndian.Uint16(b[1:]), b[3:]}
	case s == ControlSID && n > 3:
		return Control{binary.BigEndian.Uint16(b[1:]), b[3], b[4:]}
	case s == RoutineSID && n > 3 && 1 <= b[1] && b[1] <= 3:
		return Routine{b[1], binary.BigEndian.Uint16(b[2:]), b[4:]}
	}
	return nil
}
