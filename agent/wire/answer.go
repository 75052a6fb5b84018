package wire

// The largest payloads of what comes up, inside the envelope.
const (
	maxAnswer = 1024
	maxReport = 4096
)

// A Session tells one phone what it needs for its next command. The car signs it
// ([KindSession]): as an answer to a [SessionAsk], and after a command of another
// epoch.
type Session struct {
	Car       Name   `cbor:"2,keyasint"`
	Epoch     Epoch  `cbor:"3,keyasint"`
	Now       uint32 `cbor:"4,keyasint"` // vehicle seconds
	Users     uint32 `cbor:"5,keyasint"` // version of the user list
	Seq       uint32 `cbor:"6,keyasint"` // highest number used by this key
	Command   ID     `cbor:"8,keyasint,omitzero"`
	Challenge ID     `cbor:"13,keyasint,omitzero"`
	Nonce     ID     `cbor:"14,keyasint,omitzero"` // echo of the SessionAsk
	Key       Kid    `cbor:"22,keyasint"`          // whom it is for
}

type sessionForm struct {
	Kind Kind `cbor:"1,keyasint"`
	Session
}

func (s *Session) check() error { return nil }

// Encode returns the payload that is signed.
func (s Session) Encode() ([]byte, error) { return encode(sessionForm{KindSession, s}, &s) }

// DecodeSession reads a session.
func DecodeSession(b []byte) (Session, error) {
	var f sessionForm
	if err := decode(fromCar, maxAnswer, b, KindSession, &f, &f.Session); err != nil {
		return Session{}, err
	}
	return f.Session, nil
}

// A State says what came of a command.
type State uint8

// The states of a [Result]. InProgress is followed by another one.
const (
	InProgress      State = 0
	Succeeded       State = 1
	Warning         State = 2 // done, but something is not as it should be
	Failed          State = 3 // the car tried, and it did not happen
	Refused         State = 4 // the car did nothing
	MayHaveHappened State = 5 // nobody knows: look before you ask again
)

var stateNames = [...]string{"in-progress", "succeeded", "warning", "failed", "refused", "may-have-happened"}

// String returns the state's word.
func (s State) String() string {
	if int(s) >= len(stateNames) {
		return "no state"
	}
	return stateNames[s]
}

// Final reports whether no other result follows.
func (s State) Final() bool { return s != InProgress }

// A Result answers a [Command]. The car signs it ([KindResult]); Hash binds it to
// the octets that the phone signed, so it can be the answer to nothing else.
type Result struct {
	Car       Name      `cbor:"2,keyasint"`
	Epoch     Epoch     `cbor:"3,keyasint"` // the command's
	Now       uint32    `cbor:"4,keyasint"` // vehicle seconds
	Seq       uint32    `cbor:"6,keyasint"`
	ID        ID        `cbor:"8,keyasint"`
	State     State     `cbor:"15,keyasint"`
	Reason    Reason    `cbor:"16,keyasint,omitzero"`
	Hash      Hash      `cbor:"17,keyasint"`          // of the command's payload
	Readings  []Reading `cbor:"18,keyasint,omitzero"` // up to 8, those that prove it
	Key       Kid       `cbor:"22,keyasint"`          // whose command it was
	TriesLeft *uint8    `cbor:"37,keyasint,omitzero"` // 0 to 10
	Wait      *uint32   `cbor:"38,keyasint,omitzero"` // seconds
	Parts     []string  `cbor:"39,keyasint,omitzero"` // up to 16 words
}

type resultForm struct {
	Kind Kind `cbor:"1,keyasint"`
	Result
}

func (r *Result) check() error {
	if err := firstBroken(
		rule{15, r.State <= MayHaveHappened, "no such state"},
		rule{16, r.Reason == "" || r.Reason.ok(), "not a reason"},
		rule{37, r.TriesLeft == nil || *r.TriesLeft <= 10, "ten tries at most"},
		rule{39, areWords(r.Parts, 16), "up to 16 words"},
	); err != nil {
		return err
	}
	return checkReadings(r.Readings, 8)
}

// Encode returns the payload that is signed.
func (r Result) Encode() ([]byte, error) { return encode(resultForm{KindResult, r}, &r) }

// DecodeResult reads a result. It counts only if [Result.Hash] is that of the
// command that the reader sent.
func DecodeResult(b []byte) (Result, error) {
	var f resultForm
	if err := decode(fromCar, maxAnswer, b, KindResult, &f, &f.Result); err != nil {
		return Result{}, err
	}
	return f.Result, nil
}

// A Goodbye is the last that is heard of a car for a while. The car signs it
// ([KindGoodbye]) and says it itself, or the broker does as the will.
type Goodbye struct {
	Car         Name   `cbor:"2,keyasint"`
	Epoch       Epoch  `cbor:"3,keyasint"`
	Now         uint32 `cbor:"4,keyasint"`  // vehicle seconds
	Reason      Reason `cbor:"16,keyasint"` // SystemLost and the others that end a connection
	Connections uint32 `cbor:"65,keyasint"` // which connection of the epoch it ends
}

type goodbyeForm struct {
	Kind Kind `cbor:"1,keyasint"`
	Goodbye
}

func (g *Goodbye) check() error {
	switch g.Reason {
	case SystemLost, SystemStopping, PrivacyMaximum, PowerDeepSleep, ResetDone:
		return nil
	}
	return &Error{Fault: OutOfRange, Field: 16, Text: "no reason to say goodbye"}
}

// Encode returns the payload that is signed.
func (g Goodbye) Encode() ([]byte, error) { return encode(goodbyeForm{KindGoodbye, g}, &g) }

// DecodeGoodbye reads a goodbye.
func DecodeGoodbye(b []byte) (Goodbye, error) {
	var f goodbyeForm
	if err := decode(fromCar, maxAnswer, b, KindGoodbye, &f, &f.Goodbye); err != nil {
		return Goodbye{}, err
	}
	return f.Goodbye, nil
}
