package wire

import "github.com/fxamacker/cbor/v2"

// Arguments of a [Command] have numbers of their own, which mean nothing
// outside. A value out of range is [OutOfRange], anything else wrong is another
// fault: the two have different reasons in the answer.

// maxArguments bounds what is read as arguments, in octets.
const maxArguments = 2048

func isMap(raw []byte) bool { return len(raw) > 0 && raw[0]>>5 == 5 }

func decodeArguments(raw cbor.RawMessage, form any, m ranged) error {
	if !isMap(raw) {
		return &Error{Fault: Malformed, Field: 10, Text: "arguments are missing"}
	}
	return decode(fromNet, maxArguments, raw, bare, form, m)
}

func isRunTime(minutes uint8) bool { return minutes >= 10 && minutes <= 60 && minutes%10 == 0 }

// Minutes are the arguments of ventilation-start and heater-start.
type Minutes struct {
	Minutes uint8 `cbor:"1,keyasint"` // 10 to 60 in steps of 10
}

func (m *Minutes) check() error {
	return firstBroken(rule{10, isRunTime(m.Minutes), "10 to 60 minutes in steps of 10"})
}

// Encode returns the octets of [Command.Arguments].
func (m Minutes) Encode() ([]byte, error) { return encode(m, &m) }

// DecodeMinutes reads the arguments of ventilation-start and heater-start.
func DecodeMinutes(raw []byte) (Minutes, error) {
	var m Minutes
	if err := decodeArguments(raw, &m, &m); err != nil {
		return Minutes{}, err
	}
	return m, nil
}

// Climate are the arguments of climate-start.
type Climate struct {
	Minutes     uint8  `cbor:"1,keyasint"`          // 10 to 60 in steps of 10
	Temperature uint16 `cbor:"2,keyasint,omitzero"` // 160 to 295 tenths of a degree; 0: the car's own choice
}

func (c *Climate) check() error {
	return firstBroken(
		rule{10, isRunTime(c.Minutes), "10 to 60 minutes in steps of 10"},
		rule{10, c.Temperature == 0 || c.Temperature >= 160 && c.Temperature <= 295, "16 to 29.5 degrees"},
	)
}

// Encode returns the octets of [Command.Arguments].
func (c Climate) Encode() ([]byte, error) { return encode(c, &c) }

// DecodeClimate reads the arguments of climate-start.
func DecodeClimate(raw []byte) (Climate, error) {
	var c Climate
	if err := decodeArguments(raw, &c, &c); err != nil {
		return Climate{}, err
	}
	return c, nil
}

// Horn are the arguments of horn-lights.
type Horn struct {
	What    uint8 `cbor:"3,keyasint"` // 1 lights, 2 horn and lights
	Seconds uint8 `cbor:"4,keyasint"` // 10, 20 or 30
}

func (h *Horn) check() error {
	return firstBroken(
		rule{10, h.What == 1 || h.What == 2, "lights, or horn and lights"},
		rule{10, h.Seconds == 10 || h.Seconds == 20 || h.Seconds == 30, "10, 20 or 30 seconds"},
	)
}

// Encode returns the octets of [Command.Arguments].
func (h Horn) Encode() ([]byte, error) { return encode(h, &h) }

// DecodeHorn reads the arguments of horn-lights.
func DecodeHorn(raw []byte) (Horn, error) {
	var h Horn
	if err := decodeArguments(raw, &h, &h); err != nil {
		return Horn{}, err
	}
	return h, nil
}

// SetLevel are the arguments of privacy-set, which every car refuses: privacy is
// changed in the car alone.
type SetLevel struct {
	Level uint8 `cbor:"14,keyasint"` // 0 share-location to 3 maximum
}

func (l *SetLevel) check() error { return firstBroken(rule{10, l.Level <= 3, "levels are 0 to 3"}) }

// Encode returns the octets of [Command.Arguments].
func (l SetLevel) Encode() ([]byte, error) { return encode(l, &l) }

// DecodeSetLevel reads the arguments of privacy-set.
func DecodeSetLevel(raw []byte) (SetLevel, error) {
	var l SetLevel
	if err := decodeArguments(raw, &l, &l); err != nil {
		return SetLevel{}, err
	}
	return l, nil
}
