package ecall

// MaxRequest bounds a line of the request socket, in octets, with its end.
const MaxRequest = 32

// A Request is a word that may be said on the request socket.
type Request string

// The requests.
const (
	AskSOS       Request = "sos"
	AskCancel    Request = "cancel"
	AskBreakdown Request = "breakdown"
	AskService   Request = "service"
	AskTest      Request = "test"
	AskHangUp    Request = "hangup"
	AskAnswer    Request = "answer"
	AskPing      Request = "ping"
)

// ParseRequest reads one line without its end: the word, and nothing else.
func ParseRequest(line []byte) (Request, bool) {
	if len(line) >= MaxRequest {
		return "", false
	}
	switch r := Request(line); r {
	case AskSOS, AskCancel, AskBreakdown, AskService, AskTest, AskHangUp, AskAnswer, AskPing:
		return r, true
	}
	return "", false
}

// Event is what r means; a ping means nothing.
func (r Request) Event() Event {
	switch r {
	case AskSOS:
		return Trigger{Kind: Manual, Screen: true}
	case AskTest:
		return Trigger{Kind: Test}
	case AskCancel:
		return Cancel{}
	case AskBreakdown:
		return Aid{Breakdown}
	case AskService:
		return Aid{Service}
	case AskHangUp:
		return HangUp{}
	case AskAnswer:
		return TakeUp{}
	}
	return nil
}
