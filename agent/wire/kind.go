package wire

import (
	"fmt"
	"slices"
	"strings"
)

// A Kind says what a message is. It is field 1 of every message but [Delta].
type Kind uint8

// The kinds of protocol 4.3. Those without a type in this package are refused
// until there is one.
const (
	KindCommand      Kind = 1
	KindGrant        Kind = 2
	KindSessionAsk   Kind = 3
	KindSuspend      Kind = 4
	KindOffer        Kind = 5
	KindDeny         Kind = 6
	KindClaim        Kind = 7
	KindLogin        Kind = 8
	KindLink         Kind = 9
	KindAcknowledge  Kind = 10
	KindIdentity     Kind = 11
	KindKeyset       Kind = 12
	KindEntitlements Kind = 13
	KindDocument     Kind = 14
	KindTime         Kind = 15
	KindHello        Kind = 20
	KindSession      Kind = 21
	KindResult       Kind = 22
	KindBegin        Kind = 23
	KindCode         Kind = 24
	KindReveal       Kind = 25
	KindAnswer       Kind = 26
	KindAccept       Kind = 27
	KindDone         Kind = 28
	KindProvision    Kind = 29
	KindErase        Kind = 30
	KindEvent        Kind = 31
	KindTrip         Kind = 32
	KindHealth       Kind = 33
	KindStatus       Kind = 34
	KindGoodbye      Kind = 35
)

var kindNames = [...]string{
	KindCommand: "command", KindGrant: "grant", KindSessionAsk: "session-ask", KindSuspend: "suspend",
	KindOffer: "offer", KindDeny: "deny", KindClaim: "claim", KindLogin: "login", KindLink: "link",
	KindAcknowledge: "acknowledge", KindIdentity: "identity", KindKeyset: "keyset",
	KindEntitlements: "entitlements", KindDocument: "document", KindTime: "time",
	KindHello: "hello", KindSession: "session", KindResult: "result", KindBegin: "begin", KindCode: "code",
	KindReveal: "reveal", KindAnswer: "answer", KindAccept: "accept", KindDone: "done",
	KindProvision: "provision", KindErase: "erase", KindEvent: "event", KindTrip: "trip",
	KindHealth: "health", KindStatus: "status", KindGoodbye: "goodbye",
}

// String returns the name of the message, as it stands in the signature's
// context, or "" for a number without a message.
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return ""
	}
	return kindNames[k]
}

// context is the external AAD of a signature: what is signed for one message is
// worth nothing for another.
func (k Kind) context() []byte { return []byte("hu/" + k.String() + "/v1") }

// KindOf returns the kind that a payload says it has, false if there is no such
// kind. It looks at the first octets only: the decoder of that kind judges the
// rest.
func KindOf(payload []byte) (Kind, bool) {
	k, ok := firstKind(payload)
	return k, ok && k.String() != ""
}

// firstKind reads field 1, which deterministic order puts first: a map of up to
// 23 pairs, key 1, a small integer.
func firstKind(b []byte) (Kind, bool) {
	const pairs, key, octet = 0xA0, 0x01, 0x18
	switch {
	case len(b) < 4 || b[0] < pairs || b[0] > pairs+23 || b[1] != key:
		return 0, false
	case b[2] < octet:
		return Kind(b[2]), true
	case b[2] == octet:
		return Kind(b[3]), true
	}
	return 0, false
}

// A Suffix is the end of a topic, after the car's name.
type Suffix string

// The topics of protocol 2.1: down to the car, up from it.
const (
	DownCommand Suffix = "dn/cmd"
	DownEnroll  Suffix = "dn/enr"
	DownLicense Suffix = "dn/lic"
	DownTime    Suffix = "dn/time"
	DownSession Suffix = "dn/sess"
	UpHello     Suffix = "up/hello"
	UpSession   Suffix = "up/sess"
	UpResult    Suffix = "up/res"
	UpEnroll    Suffix = "up/enr"
	UpEvent     Suffix = "up/evt"
	UpStatus    Suffix = "up/sta"
	UpGoodbye   Suffix = "up/bye"
)

// A Topic is what one topic may carry. QoS is 1 on all of them, but 0 for a
// bare [Delta]; nothing is ever retained.
type Topic struct {
	Suffix Suffix
	Max    int // largest payload, octets
	Kinds  []Kind
}

// Topics lists every topic there is. Those down come first, in the order in
// which the car subscribes to them.
func Topics() []Topic {
	return []Topic{
		{DownCommand, 4096, []Kind{KindCommand}},
		{DownEnroll, 8192, []Kind{
			KindOffer, KindDeny, KindClaim, KindLogin, KindLink, KindAcknowledge, KindIdentity, KindKeyset,
		}},
		{DownLicense, 8192, []Kind{KindEntitlements, KindDocument}},
		{DownTime, 1024, []Kind{KindTime}},
		{DownSession, 1024, []Kind{KindSessionAsk, KindSuspend}},
		{UpHello, 1024, []Kind{KindHello}},
		{UpSession, 512, []Kind{KindSession}},
		{UpResult, 1024, []Kind{KindResult}},
		{UpEnroll, 4096, []Kind{
			KindBegin, KindCode, KindReveal, KindAnswer, KindAccept, KindDone, KindProvision, KindErase,
		}},
		{UpEvent, 4096, []Kind{KindEvent, KindTrip, KindHealth}},
		{UpStatus, 4096, []Kind{KindStatus}},
		{UpGoodbye, 512, []Kind{KindGoodbye}},
	}
}

var topics = Topics()

// Max returns the largest payload of the topic in octets, 0 if there is no such
// topic.
func (s Suffix) Max() int {
	for i := range topics {
		if topics[i].Suffix == s {
			return topics[i].Max
		}
	}
	return 0
}

// Carries reports whether a message of kind k may come on the topic. A message
// on another topic is dropped, whoever signed it.
func (s Suffix) Carries(k Kind) bool {
	for i := range topics {
		if topics[i].Suffix == s {
			return slices.Contains(topics[i].Kinds, k)
		}
	}
	return false
}

// Down reports whether the topic leads to the car.
func (s Suffix) Down() bool { return strings.HasPrefix(string(s), "dn/") }

// Of returns the whole topic, for one car in one cell.
func (s Suffix) Of(cell string, car Name) string {
	return "hu/v1/" + cell + "/" + car.String() + "/" + string(s)
}

// CheckCell reports whether cell may stand in a topic: 1 to 16 of a to z, 0 to 9.
func CheckCell(cell string) error {
	if len(cell) < 1 || len(cell) > 16 {
		return fmt.Errorf("wire: %q is no cell: 1 to 16 of a to z and 0 to 9 are", cell)
	}
	for _, c := range []byte(cell) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return fmt.Errorf("wire: %q is no cell: %q is neither a to z nor 0 to 9", cell, c)
		}
	}
	return nil
}

// ParseTopic reads what [Suffix.Of] wrote.
func ParseTopic(topic string) (cell string, car Name, s Suffix, err error) {
	parts := strings.SplitN(topic, "/", 5)
	if len(parts) != 5 || parts[0] != "hu" || parts[1] != "v1" {
		return "", Name{}, "", fmt.Errorf("wire: a topic that is not hu/v1/CELL/CAR/…")
	}
	if err := CheckCell(parts[2]); err != nil {
		return "", Name{}, "", err
	}
	if car, err = ParseName(parts[3]); err != nil {
		return "", Name{}, "", err
	}
	if s = Suffix(parts[4]); s.Max() == 0 {
		return "", Name{}, "", fmt.Errorf("wire: no topic ends in %q", parts[4])
	}
	return parts[2], car, s, nil
}
