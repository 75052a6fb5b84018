package wire

import "bytes"

// The limits of a box (the CDDL's box): a point and a tag at least, and what a
// topic carries at most.
const (
	minBox = PublicLen + 16
	maxBox = 8100
)

// sealed is what lies in every payload down.
type sealed struct {
	_   struct{} `cbor:",toarray"`
	To  Kid
	Box []byte
}

// sealInfo binds a box to the car that it is for.
func sealInfo(car Name) []byte { return append([]byte("hu/seal/v1"), car[:]...) }

// Seal seals octets, a signed message, to the car: nobody else can read them,
// nor see what they are.
func Seal(to SealPublic, car Name, octets []byte) ([]byte, error) {
	box, err := to.seal(sealInfo(car), nil, octets)
	if err != nil {
		return nil, &Error{Fault: BadBox, Text: "cannot be sealed", Err: err}
	}
	if len(box) > maxBox {
		return nil, &Error{Fault: TooLong, Text: "too long for a box"}
	}
	b, err := encMode.Marshal(sealed{To: to.Kid(), Box: box})
	if err != nil {
		return nil, &Error{Fault: Malformed, Text: "cannot be encoded", Err: err}
	}
	return b, nil
}

// Open opens what [Seal] sealed to the key o of the car. That it opens says
// nothing about who sealed it: anybody can.
func Open(o Opener, car Name, b []byte) ([]byte, error) {
	if len(b) > MaxPayload {
		return nil, &Error{Fault: TooLong, Text: "too long for any topic"}
	}
	var s sealed
	if err := fromNet.Unmarshal(b, &s); err != nil {
		return nil, &Error{Fault: Malformed, Text: "nothing sealed", Err: err}
	}
	again, err := encMode.Marshal(s)
	if err != nil || !bytes.Equal(again, b) {
		return nil, &Error{Fault: Unlike, Text: "would be written differently", Err: err}
	}
	if len(s.Box) < minBox || len(s.Box) > maxBox {
		return nil, &Error{Fault: OutOfRange, Text: "no box has this length"}
	}
	if s.To != o.Kid() {
		return nil, &Error{Fault: NotForUs, Text: "sealed to another key"}
	}
	octets, err := o.Open(sealInfo(car), nil, s.Box)
	if err != nil {
		return nil, &Error{Fault: BadBox, Text: "does not open", Err: err}
	}
	return octets, nil
}
