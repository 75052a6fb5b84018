package mqtt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const topic = "hu/v1/c1/aaaqeayeaudaocajbifqydiob4/dn/cmd"

// Packets of ours, after which an answer is due.
const (
	ourConnect   = "100c00044d51545404020000" + "0000"
	ourSubscribe = "82060001" + "00016101"
	ourPublish   = "32050001610007"
	ourPing      = "c000"
	ok           = "20020000"
)

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// publishOf is a PUBLISH with those header bits, id and payload.
func publishOf(first byte, name string, id []byte, payload string) string {
	body := append([]byte{0, byte(len(name))}, name...)
	body = append(append(body, id...), payload...)
	return hex.EncodeToString(append([]byte{first, byte(len(body))}, body...))
}

// Each line is what we sent, and what the broker then sends.
var judged = []struct{ name, sent, got, rule string }{
	{"accepted", ourConnect, ok, ""},
	{"refused", ourConnect, "20020005", ""},
	{"subscribed", ourConnect + ourSubscribe, ok + "9003000101", ""},
	{"subscription refused", ourConnect + ourSubscribe, ok + "9003000180", ""},
	{"published", ourConnect + ourPublish, ok + "40020007", ""},
	{"ping", ourConnect + ourPing, ok + "d000", ""},
	{"message", ourConnect, ok + publishOf(0x30, topic, nil, "x"), ""},
	{"message, QoS 1", ourConnect, ok + publishOf(0x32, topic, []byte{0, 9}, "x"), ""},
	{"message again", ourConnect, ok + publishOf(0x3A, topic, []byte{0, 9}, "x"), ""},
	{"message, retained", ourConnect, ok + publishOf(0x31, topic, nil, ""), ""},

	{"256 MiB before CONNACK", ourConnect, "20ffffff7f", "more than 9216"},
	{"256 MiB after it", ourConnect, ok + "30ffffff7f", "more than 9216"},
	{"9217 octets", ourConnect, ok + "308148", "more than 9216"},
	{"fifth length octet", ourConnect, "2080808080", "more than four"},
	{"longer form", ourConnect, "208200" + "0000", "shortest"},
	{"zero in two octets", ourConnect, ok + "d08000", "shortest"},
	{"CONNACK unasked", "", ok, "nobody asked"},
	{"CONNACK twice", ourConnect, ok + ok, "nobody asked"},
	{"CONNACK with flags", ourConnect, "21020000", "malformed"},
	{"CONNACK too long", ourConnect, "2003000000", "malformed"},
	{"CONNACK too short", ourConnect, "200100", "malformed"},
	{"session present", ourConnect, "20020100", "malformed"},
	{"CONNACK code 6", ourConnect, "20020006", "malformed"},
	{"PUBLISH first", ourConnect, publishOf(0x30, topic, nil, "x"), "before CONNACK"},
	{"after a refusal", ourConnect, "20020005d000", "after a refusal"},
	{"SUBACK with two codes", ourConnect + ourSubscribe, ok + "900400010101", "one filter"},
	{"SUBACK without a code", ourConnect + ourSubscribe, ok + "90020001", "one filter"},
	{"SUBACK of nothing", ourConnect + ourSubscribe, ok + "9003000201", "nobody asked"},
	{"SUBACK twice", ourConnect + ourSubscribe, ok + "9003000101" + "9003000101", "nobody asked"},
	{"SUBACK code 3", ourConnect + ourSubscribe, ok + "9003000103", "code 3"},
	{"SUBACK flags", ourConnect + ourSubscribe, ok + "9103000101", "flags 1"},
	{"QoS 2", ourConnect, ok + publishOf(0x34, topic, []byte{0, 9}, "x"), "QoS 2"},
	{"QoS 3", ourConnect, ok + publishOf(0x36, topic, []byte{0, 9}, "x"), "QoS 3"},
	{"QoS 0 again", ourConnect, ok + publishOf(0x38, topic, nil, "x"), "repeated"},
	{"id 0", ourConnect, ok + publishOf(0x32, topic, []byte{0, 0}, "x"), "id 0"},
	{"no id", ourConnect, ok + publishOf(0x32, topic, nil, ""), "id 0"},
	{"another topic", ourConnect, ok + publishOf(0x30, topic+"/x", nil, "x"), "not ours"},
	{"a wildcard", ourConnect, ok + publishOf(0x30, "#", nil, "x"), "not ours"},
	{"no topic", ourConnect, ok + "3000", "without a topic"},
	{"topic beyond the end", ourConnect, ok + "3003000f41", "not ours"},
	{"PUBACK of nothing", ourConnect, ok + "40020007", "in flight"},
	{"PUBACK twice", ourConnect + ourPublish, ok + "40020007" + "40020007", "in flight"},
	{"PUBACK too long", ourConnect + ourPublish, ok + "4003000700", "PUBACK of"},
	{"PUBACK flags", ourConnect + ourPublish, ok + "42020007", "flags 2"},
	{"PINGRESP unasked", ourConnect, ok + "d000", "nobody asked"},
	{"PINGRESP with a body", ourConnect + ourPing, ok + "d00100", "nobody asked"},
	{"PUBREC", ourConnect, ok + "50020001", "type 5"},
	{"PUBREL", ourConnect, ok + "62020001", "flags 2"},
	{"PUBCOMP", ourConnect, ok + "70020001", "type 7"},
	{"UNSUBACK", ourConnect, ok + "b0020001", "type 11"},
	{"CONNECT", ourConnect, ok + ourConnect, "type 1"},
	{"SUBSCRIBE", ourConnect, ok + "80060001" + "00016101", "type 8"},
	{"DISCONNECT", ourConnect, ok + "e000", "type 14"},
	{"type 0", ourConnect, ok + "0000", "type 0"},
	{"type 15", ourConnect, ok + "f000", "type 15"},
	{"garbage", ourConnect, strings.Repeat("485454502f312e31", 12), "before CONNACK"},
}

// judge runs a line of the table; a violation is the error.
func judge(t testing.TB, sent, got []byte) (passed int, err error) {
	g := newGuard([]string{topic})
	for len(sent) > 0 {
		n, err := split(sent, maxOwn)
		if err != nil || n == 0 {
			t.Fatalf("our own packet %x: %v", sent, err)
		}
		g.sent(sent[:n])
		sent = sent[n:]
	}
	now := time.Unix(0, 0)
	for {
		n, err := split(got, maxPacket)
		if err != nil || n == 0 {
			return passed, err
		}
		if err := g.from(got[:n], now); err != nil {
			return passed, err
		}
		got, passed = got[n:], passed+n
	}
}

func TestTheGuardKnowsEveryRule(t *testing.T) {
	for _, c := range judged {
		got := unhex(t, c.got)
		passed, err := judge(t, unhex(t, c.sent), got)
		switch v, bad := errors.AsType[*Violation](err); {
		case c.rule == "" && (err != nil || passed != len(got)):
			t.Errorf("%s: %v, %d of %d passed", c.name, err, passed, len(got))
		case c.rule != "" && (!bad || !strings.Contains(v.Rule, c.rule)):
			t.Errorf("%s: %v, want %q", c.name, err, c.rule)
		}
	}
}

func TestTheLargestPacketPasses(t *testing.T) {
	body := append([]byte{0, byte(len(topic))}, topic...)
	body = append(body, make([]byte, maxPacket-len(body))...)
	b := append([]byte{0x30, 0x80, 0x48}, body...)
	if _, err := judge(t, unhex(t, ourConnect), append(unhex(t, ok), b...)); err != nil {
		t.Error(err)
	}
}

func TestTheBudget(t *testing.T) {
	g := newGuard([]string{topic})
	now := time.Unix(0, 0)
	small := unhex(t, publishOf(0x30, topic, nil, "x"))
	g.sent(unhex(t, ourConnect))
	if err := g.from(unhex(t, ok), now); err != nil {
		t.Fatal(err)
	}
	n := 1
	for ; g.from(small, now) == nil; n++ {
	}
	if n != packetBurst {
		t.Errorf("%d packets at once", n)
	}
	now = now.Add(time.Second)
	for n = 0; g.from(small, now) == nil; n++ {
	}
	if n != packetsPerSecond {
		t.Errorf("%d packets a second later", n)
	}
	b := bucket{rate: octetsPerSecond, burst: octetBurst}
	if !b.take(octetBurst, now) || b.take(1, now) || b.take(1, now.Add(-time.Hour)) || !b.take(octetsPerSecond, now.Add(time.Second)) {
		t.Error("octets are not counted right")
	}
}

// A connection that is guarded gives nothing of a bad packet, and says why.
func TestNothingOfABadPacketIsRead(t *testing.T) {
	for _, c := range judged {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			conn := guardConn(ours, []string{topic})
			got := unhex(t, c.got)
			go func() { // one octet at a time, as a slow line may
				_, _ = io.ReadFull(theirs, make([]byte, len(c.sent)/2))
				for i := range got {
					if _, err := theirs.Write(got[i : i+1]); err != nil {
						return
					}
				}
				_ = theirs.Close()
			}()
			sent := unhex(t, c.sent)
			for i := range sent { // paho need not write whole packets
				if _, err := conn.Write(sent[i : i+1]); err != nil {
					t.Fatal(err)
				}
			}
			all, err := io.ReadAll(conn)
			<-conn.ended
			_, bad := errors.AsType[*Violation](conn.cause)
			if bad != (c.rule != "") || bad && err == nil {
				t.Errorf("%s: %v, %v", c.name, err, conn.cause)
			}
			if want, _ := judge(t, sent, got); !bytes.Equal(all, got[:want]) {
				t.Errorf("%s: read %x", c.name, all)
			}
		})
	}
}

func FuzzGuard(f *testing.F) {
	for _, c := range judged {
		f.Add(unhex(f, c.got))
	}
	sent := unhex(f, ourConnect+ourSubscribe+ourPublish+ourPing)
	f.Fuzz(func(t *testing.T, got []byte) {
		passed, err := judge(t, sent, got)
		if _, bad := errors.AsType[*Violation](err); err != nil && !bad {
			t.Fatalf("%x: %v", got, err)
		}
		if passed > len(got) {
			t.Fatalf("%x: %d passed", got, passed)
		}
		for b := got[:passed]; len(b) > 0; { // what passed holds the rules paho needs
			n, _ := split(b, maxPacket)
			kind, flags, body := divide(b[:n])
			switch {
			case kind == suback && len(body) != 3:
				t.Fatalf("%x: SUBACK of %d", got, len(body))
			case kind == publish && flags>>1&3 > 1:
				t.Fatalf("%x: QoS %d", got, flags>>1&3)
			case kind != connack && kind != publish && kind != puback && kind != suback && kind != pingresp:
				t.Fatalf("%x: type %d", got, kind)
			}
			b = b[n:]
		}
	})
}
