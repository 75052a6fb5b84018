package wire

// The levels of privacy as they are sent (field 45). A car at 3 says nothing but
// its goodbye.
const (
	LevelShareLocation uint8 = 0
	LevelMaximum       uint8 = 3
)

// maxWakes is the most wake-ups that can be left (field 47).
const maxWakes = 30

// The methods of enrolment (field 33).
const (
	MethodKeys = "tkov" // two keys
	MethodCode = "code"
	MethodSync = "sync"
)

// The kinds of key storage (field 44).
const (
	StorageSoftware uint8 = 0
	StorageTPM      uint8 = 1
	StorageElement  uint8 = 2
)

// A Version is the version of one thing that a word names.
type Version struct {
	_       struct{} `cbor:",toarray"`
	Name    string
	Version uint32
}

// A Hello is the first that a car says on a connection. The car signs it
// ([KindHello]); only then does the backend send what is still wanted.
type Hello struct {
	Car         Name      `cbor:"2,keyasint"`
	Epoch       Epoch     `cbor:"3,keyasint"`
	Now         uint32    `cbor:"4,keyasint"` // vehicle seconds
	Users       uint32    `cbor:"5,keyasint"` // version of the user list
	Nonce       ID        `cbor:"14,keyasint"`
	Method      string    `cbor:"33,keyasint"` // of enrolment
	Documents   []Version `cbor:"36,keyasint"` // accepted, up to 8
	Revision    uint32    `cbor:"41,keyasint"` // of the entitlements
	Version     string    `cbor:"43,keyasint"` // of the program, 1 to 24 octets
	Storage     uint8     `cbor:"44,keyasint"` // of keys
	Level       uint8     `cbor:"45,keyasint"` // of privacy
	SwitchedOff []string  `cbor:"46,keyasint"` // services, up to 18
	Wakes       uint8     `cbor:"47,keyasint"` // wake-ups left, 0 to 30
	May         Ops       `cbor:"48,keyasint"` // what the car can do
	LevelSince  *uint32   `cbor:"51,keyasint,omitzero"`
	Connections uint32    `cbor:"65,keyasint"` // this is which of the epoch
	HoldLeft    *uint32   `cbor:"70,keyasint,omitzero"`
}

type helloForm struct {
	Kind Kind `cbor:"1,keyasint"`
	Hello
}

func (h *Hello) check() error {
	method := h.Method == MethodKeys || h.Method == MethodCode || h.Method == MethodSync
	documents := len(h.Documents) <= 8
	for _, d := range h.Documents {
		documents = documents && isWord(d.Name)
	}
	return firstBroken(
		rule{33, method, "no such method"},
		rule{36, documents, "up to 8 words with a version"},
		rule{43, sized(h.Version, 1, 24), "a version has 1 to 24 octets"},
		rule{44, h.Storage <= StorageElement, "no such key storage"},
		rule{45, h.Level <= LevelMaximum, "levels are 0 to 3"},
		rule{46, areWords(h.SwitchedOff, 18), "up to 18 words"},
		rule{47, h.Wakes <= maxWakes, "30 wake-ups at most"},
	)
}

// Encode returns the payload that is signed.
func (h Hello) Encode() ([]byte, error) { return encode(helloForm{KindHello, h}, &h) }

// DecodeHello reads a hello.
func DecodeHello(b []byte) (Hello, error) {
	var f helloForm
	if err := decode(fromCar, maxAnswer, b, KindHello, &f, &f.Hello); err != nil {
		return Hello{}, err
	}
	return f.Hello, nil
}

// A Missing service is one that cannot be used now, and why.
type Missing struct {
	_       struct{} `cbor:",toarray"`
	Service string
	Reason  Reason
}

// A Status says how the car is: all of it (Full), or what changed of the signals
// that must be signed. The car signs it ([KindStatus]). A full one carries
// Level, SwitchedOff, Wakes and Missing, empty or not.
type Status struct {
	Car         Name      `cbor:"2,keyasint"`
	Epoch       Epoch     `cbor:"3,keyasint"`
	Now         uint32    `cbor:"4,keyasint"`           // vehicle seconds
	Readings    []Reading `cbor:"18,keyasint"`          // up to 96
	Gaps        []Gap     `cbor:"19,keyasint,omitzero"` // up to 96
	Number      uint32    `cbor:"20,keyasint"`          // counts deltas and statuses of the epoch from 1
	UTC         *uint64   `cbor:"40,keyasint,omitzero"` // seconds since 1970
	Level       *uint8    `cbor:"45,keyasint,omitzero"` // of privacy
	SwitchedOff []string  `cbor:"46,keyasint,omitzero"` // services, up to 18
	Wakes       *uint8    `cbor:"47,keyasint,omitzero"` // wake-ups left, 0 to 30
	Missing     []Missing `cbor:"49,keyasint,omitzero"` // services, up to 18
	LevelSince  *uint32   `cbor:"51,keyasint,omitzero"`
	Full        bool      `cbor:"69,keyasint"`
}

type statusForm struct {
	Kind Kind `cbor:"1,keyasint"`
	Status
}

func (s *Status) check() error {
	missing := len(s.Missing) <= 18
	for _, m := range s.Missing {
		missing = missing && isWord(m.Service) && m.Reason.ok()
	}
	if err := firstBroken(
		rule{45, s.Level == nil || *s.Level <= LevelMaximum, "levels are 0 to 3"},
		rule{46, areWords(s.SwitchedOff, 18), "up to 18 words"},
		rule{47, s.Wakes == nil || *s.Wakes <= maxWakes, "30 wake-ups at most"},
		rule{49, missing, "up to 18 words with a reason"},
	); err != nil {
		return err
	}
	if err := checkReadings(s.Readings, 96); err != nil {
		return err
	}
	return checkGaps(s.Gaps, 96)
}

// Encode returns the payload that is signed.
func (s Status) Encode() ([]byte, error) { return encode(statusForm{KindStatus, s}, &s) }

// DecodeStatus reads a status.
func DecodeStatus(b []byte) (Status, error) {
	var f statusForm
	if err := decode(fromCar, maxReport, b, KindStatus, &f, &f.Status); err != nil {
		return Status{}, err
	}
	return f.Status, nil
}

// A Delta says what changed. It is not signed, so nobody may decide anything by
// it, and it carries no signal that [Signal.Signed] says must be signed.
type Delta struct {
	Number   uint32    // counts deltas and statuses of the epoch from 1
	Now      uint32    // vehicle seconds
	Readings []Reading // 1 to 16
	Gaps     []Gap     // up to 16
}

type deltaForm struct {
	_        struct{} `cbor:",toarray"`
	Number   uint32
	Now      uint32
	Readings []Reading
}

type deltaGapsForm struct {
	_        struct{} `cbor:",toarray"`
	Number   uint32
	Now      uint32
	Readings []Reading
	Gaps     []Gap
}

func (d *Delta) check() error {
	if len(d.Readings) == 0 {
		return &Error{Fault: OutOfRange, Field: 18, Text: "a delta of nothing"}
	}
	if err := checkReadings(d.Readings, 16); err != nil {
		return err
	}
	if err := checkGaps(d.Gaps, 16); err != nil {
		return err
	}
	for _, r := range d.Readings {
		if mustBeSigned(r.Signal) {
			return &Error{Fault: OutOfRange, Field: 18, Text: "this signal is never sent unsigned"}
		}
	}
	for _, g := range d.Gaps {
		if mustBeSigned(g.Signal) {
			return &Error{Fault: OutOfRange, Field: 19, Text: "this signal is never sent unsigned"}
		}
	}
	return nil
}

// Encode returns the payload as it is sent.
func (d Delta) Encode() ([]byte, error) {
	if len(d.Gaps) == 0 {
		return encode(deltaForm{Number: d.Number, Now: d.Now, Readings: d.Readings}, &d)
	}
	return encode(deltaGapsForm{Number: d.Number, Now: d.Now, Readings: d.Readings, Gaps: d.Gaps}, &d)
}

const arrayOfThree = 0x83

// IsDelta reports whether a payload on [UpStatus] is bare. The other thing that
// comes there begins with the tag of [Signed].
func IsDelta(b []byte) bool {
	return len(b) > 0 && (b[0] == arrayOfThree || b[0] == arrayOfFour)
}

// DecodeDelta reads a delta.
func DecodeDelta(b []byte) (Delta, error) {
	if !IsDelta(b) {
		return Delta{}, &Error{Fault: Malformed, Text: "not a delta"}
	}
	var d Delta
	if b[0] == arrayOfThree {
		var f deltaForm
		if err := decode(fromCar, maxReport, b, bare, &f, &noRange); err != nil {
			return Delta{}, err
		}
		d = Delta{f.Number, f.Now, f.Readings, nil}
	} else {
		var f deltaGapsForm
		if err := decode(fromCar, maxReport, b, bare, &f, &noRange); err != nil {
			return Delta{}, err
		}
		if d = (Delta{f.Number, f.Now, f.Readings, f.Gaps}); len(d.Gaps) == 0 {
			return Delta{}, &Error{Fault: OutOfRange, Field: 19, Text: "gaps without a gap"}
		}
	}
	if err := d.check(); err != nil {
		return Delta{}, err
	}
	return d, nil
}

// noRange leaves the ranges to the caller.
var noRange rangeless

type rangeless struct{}

func (*rangeless) check() error { return nil }

// The types of events that this package knows (field 50). The others of the
// protocol come with the fields that they need.
const (
	EventPrivacyChanged = "privacy-changed" // Level, SwitchedOff and Cause say to what and why
	EventPower          = "power"
	EventEnded          = "ended" // a consumer was ended by the car
	EventRenewal        = "renewal"
)

// An Event says that something happened. The car signs it ([KindEvent]).
type Event struct {
	Car         Name      `cbor:"2,keyasint"`
	Epoch       Epoch     `cbor:"3,keyasint"`
	Now         uint32    `cbor:"4,keyasint"` // vehicle seconds
	ID          ID        `cbor:"8,keyasint"`
	Reason      Reason    `cbor:"16,keyasint,omitzero"`
	Readings    []Reading `cbor:"18,keyasint,omitzero"` // up to 16
	UTC         *uint64   `cbor:"40,keyasint,omitzero"` // seconds since 1970
	Level       *uint8    `cbor:"45,keyasint,omitzero"` // of privacy
	SwitchedOff []string  `cbor:"46,keyasint,omitzero"` // services, up to 18
	Wakes       *uint8    `cbor:"47,keyasint,omitzero"` // wake-ups left, 0 to 30
	Type        string    `cbor:"50,keyasint"`
	Cause       string    `cbor:"64,keyasint,omitzero"` // a word
}

type eventForm struct {
	Kind Kind `cbor:"1,keyasint"`
	Event
}

func (e *Event) check() error {
	known := e.Type == EventPrivacyChanged || e.Type == EventPower || e.Type == EventEnded || e.Type == EventRenewal
	if err := firstBroken(
		rule{16, e.Reason == "" || e.Reason.ok(), "not a reason"},
		rule{45, e.Level == nil || *e.Level <= LevelMaximum, "levels are 0 to 3"},
		rule{46, areWords(e.SwitchedOff, 18), "up to 18 words"},
		rule{47, e.Wakes == nil || *e.Wakes <= maxWakes, "30 wake-ups at most"},
		rule{50, known, "no such type"},
		rule{64, e.Cause == "" || isWord(e.Cause), "not a word"},
	); err != nil {
		return err
	}
	return checkReadings(e.Readings, 16)
}

// Encode returns the payload that is signed.
func (e Event) Encode() ([]byte, error) { return encode(eventForm{KindEvent, e}, &e) }

// DecodeEvent reads an event.
func DecodeEvent(b []byte) (Event, error) {
	var f eventForm
	if err := decode(fromCar, maxReport, b, KindEvent, &f, &f.Event); err != nil {
		return Event{}, err
	}
	return f.Event, nil
}
