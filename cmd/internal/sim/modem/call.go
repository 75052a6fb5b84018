package modem

import (
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// The states of a call. The words are those of [Call], of the control line
// "wait" and of "calls".
const (
	dialing   = "dialing"
	ringing   = "ringing"
	incoming  = "incoming"
	connected = "connected" // muted, waiting for START
	start     = "start"     // the set of data is being sent
	llack     = "llack"     // received, waiting for AL-ACK
	voice     = "voice"
	ended     = "ended"
)

// A Call is what a call was, as "calls" reports it.
type Call struct {
	Kind      string    `json:"kind"` // manual, automatic, test, voice or callback
	Number    string    `json:"number,omitempty"`
	State     string    `json:"state"`
	Port      int       `json:"port"` // where it was ordered
	Push      bool      `json:"push,omitempty"`
	At        time.Time `json:"at"` // when the order's carriage return was read, or the first RING
	Connected time.Time `json:"connected,omitzero"`
	Ended     time.Time `json:"ended,omitzero"`
	Cause     string    `json:"cause,omitempty"`
	MSDs      int       `json:"msds"`               // sets of data the PSAP received
	Problems  []string  `json:"problems,omitempty"` // what the PSAP found wrong with them
	Passed    []string  `json:"passed"`             // states and events since the last START request
}

// A call in its life. step counts its states, so that a timer of a state that
// was left does nothing.
type call struct {
	Call
	step  int
	rings int
	last  *MSD // of this call, nil before the first
}

func (c *call) report() Call {
	r := c.Call
	r.Problems = append([]string(nil), c.Problems...)
	r.Passed = append([]string{}, c.Passed...)
	return r
}

func (c *call) emergency() bool { return c.Kind == "manual" || c.Kind == "automatic" }

// inBand reports whether a set of data belongs to the call.
func (c *call) inBand() bool { return c.emergency() || c.Kind == "test" || c.Kind == "callback" }

// causes are texts of AT+CEER by cause number of TS 24.008 10.5.4.11.
var causes = map[int]string{
	16: "Normal call clearing", 17: "User busy", 28: "Invalid/incomplete number", 31: "Normal, unspecified",
	127: "Interworking, unspecified",
}

// enter moves c to a state; timers of the former state are void.
func (m *Modem) enter(c *call, state string) {
	c.State = state
	c.step++
	m.mark(c, state)
}

func (m *Modem) mark(c *call, word string) {
	c.Passed = append(c.Passed, word)
	m.notify()
}

// after does f when d has passed and c is still in the same state.
func (m *Modem) after(c *call, d time.Duration, f func()) {
	step := c.step
	time.AfterFunc(d, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if c.step == step { // a call that ended has gone on, too
			f()
		}
	})
}

// progress is a line about the call itself, for the port that ordered it.
func (m *Modem) progress(c *call, text string) {
	if p := m.ports[c.Port]; p != nil {
		p.event(text)
	}
}

// ecallEvent is an #ECALLEV for the ports that asked for it.
func (m *Modem) ecallEvent(text string) {
	for _, p := range m.ports {
		if p != nil && p.value("#ECALLURC") != "0" {
			p.event("#ECALLEV: " + text)
		}
	}
}

// dial begins an outgoing call.
func (m *Modem) dial(p *port, kind, number string) {
	c := &call{Call: Call{Kind: kind, Number: number, Port: p.number, At: time.Now(), Push: m.push}}
	m.push = false
	m.call = c
	m.keep(c)
	m.enter(c, dialing)
	m.after(c, m.opts.Dialing, func() {
		quiet := kind == "voice" && p.value("#DIALMODE") != "2"
		if !quiet {
			m.progress(c, "DIALING")
		}
		switch service := m.service(); {
		case m.faults.take(&m.faults.stuck):
		case service == "none" || service == "limited" && !c.emergency() && number != "112":
			m.after(c, m.opts.NoCarrier, func() { m.end(c, "MM no service", "NO CARRIER") })
		case m.script.answer == "busy":
			m.after(c, m.opts.Ringing, func() { m.end(c, causes[17], "BUSY") })
		default:
			m.after(c, m.opts.Ringing, func() { m.ring(c, quiet) })
		}
	})
}

func (m *Modem) keep(c *call) {
	if len(m.calls) == keptCalls {
		m.calls = append(m.calls[:0], m.calls[keptCalls/4:]...)
	}
	m.calls = append(m.calls, c)
}

func (m *Modem) ring(c *call, quiet bool) {
	m.enter(c, ringing)
	if !quiet {
		m.progress(c, "RINGING")
	}
	if m.script.answer == "never" {
		m.after(c, m.opts.GiveUp, func() { m.end(c, causes[31], "NO CARRIER") })
		return
	}
	d := m.opts.Answer
	if m.script.answerIn > 0 {
		d = m.script.answerIn
	}
	m.after(c, d, func() {
		if quiet {
			m.progress(c, "OK")
		} else {
			m.progress(c, "CONNECTED")
		}
		m.connect(c)
	})
}

// connect is the PSAP lifting the receiver.
func (m *Modem) connect(c *call) {
	c.Connected = time.Now()
	if !c.inBand() || c.Kind == "callback" { // a call-back is pulled by "request", if at all
		m.talk(c)
		return
	}
	m.ecallEvent("11")
	m.await(c)
}

// await waits for START, muted.
func (m *Modem) await(c *call) {
	m.enter(c, connected)
	m.after(c, m.opts.T5, func() { m.expire(c, "5", "t5") })
	if m.script.start && !m.faults.take(&m.faults.t5) {
		m.after(c, m.opts.Start, func() { m.request(c) })
	}
}

// expire is T5, T6 or T7 running out: the microphone comes back.
func (m *Modem) expire(c *call, number, word string) {
	m.mark(c, word)
	m.ecallEvent(number)
	m.ecallEvent("12")
	m.talk(c)
}

// request is START: the modem sends what it holds at this moment.
func (m *Modem) request(c *call) {
	if c.State == voice {
		c.Passed = nil // from here on, "wait" means the new round
		m.ecallEvent("11")
	}
	m.enter(c, start)
	m.ecallEvent("0")
	m.after(c, m.opts.T7, func() { m.expire(c, "7", "t7") })
	sent := m.msd
	switch f := &m.faults; {
	case sent == nil || !m.script.llack || f.take(&f.t7):
	case f.take(&f.sync):
		m.after(c, m.opts.Transfer/2, func() {
			m.mark(c, "sync")
			m.ecallEvent("16")
			m.await(c)
		})
	default:
		m.after(c, m.opts.Transfer, func() { m.received(c, sent) })
	}
}

// received is the PSAP with a set of data: LL-ACK, and AL-ACK if it is told to.
func (m *Modem) received(c *call, raw []byte) {
	m.judge(c, raw)
	m.enter(c, llack)
	if f := &m.faults; f.take(&f.order) { // both, the wrong way round
		m.ecallEvent("2,0")
		m.ecallEvent("1")
		m.acknowledged(c, "12")
		return
	}
	m.ecallEvent("1")
	m.after(c, m.opts.T6, func() { m.expire(c, "6", "t6") })
	if f := &m.faults; m.script.alack != "" && !f.take(&f.t6) {
		m.after(c, m.opts.ALAck, func() { m.acknowledge(c) })
	}
}

// acknowledge is AL-ACK.
func (m *Modem) acknowledge(c *call) {
	if m.script.alack != "clear" {
		m.ecallEvent("2,0")
		m.acknowledged(c, "12")
		return
	}
	m.ecallEvent("2,1")
	m.enter(c, "alack")
	m.after(c, m.opts.Clear, func() { m.hangup(c, 16) })
}

func (m *Modem) acknowledged(c *call, then string) {
	m.mark(c, "alack")
	m.ecallEvent(then)
	m.talk(c)
}

// talk is voice both ways, until the PSAP has heard enough.
func (m *Modem) talk(c *call) {
	m.enter(c, voice)
	m.after(c, m.opts.Voice, func() { m.hangup(c, 16) })
}

// hangup is the other side clearing with a cause number.
func (m *Modem) hangup(c *call, cause int) {
	text, known := causes[cause]
	if !known {
		text = fmt.Sprintf("Cause %d", cause)
	}
	m.end(c, text, m.lost(c))
}

// lost is how a port hears that the call is over.
func (m *Modem) lost(c *call) string {
	p := m.ports[c.Port]
	quiet := c.Kind == "voice" && p != nil && p.value("#DIALMODE") != "2"
	if c.Connected.IsZero() || quiet {
		return "NO CARRIER"
	}
	return "DISCONNECTED"
}

// end finishes c. text is what the port reads, or nothing.
func (m *Modem) end(c *call, cause, text string) {
	c.Cause, c.Ended = cause, time.Now()
	m.cause, m.call = cause, nil
	if text != "" {
		m.progress(c, text)
	}
	if c.emergency() && m.value("#ECONLY") != "0" {
		m.nasUntil = time.Now().Add(12 * time.Hour) // T3242 and its like
	}
	m.enter(c, ended)
}

// judge is what the PSAP thinks of a set of data it received.
func (m *Modem) judge(c *call, raw []byte) {
	c.MSDs++
	got, err := Decode(raw)
	if err != nil {
		c.Problems = append(c.Problems, fmt.Sprintf("MSD %d: %v", c.MSDs, err))
		m.mark(c, "msd")
		return
	}
	got.Raw = hex.EncodeToString(raw)
	got.At = time.Now()
	got.Problems = problems(c.last, got, c.Kind)
	c.Problems = append(c.Problems, got.Problems...)
	c.last = got
	m.mark(c, "msd")
}

// problems compares a set of data with the one before it in the call.
func problems(before, now *MSD, kind string) []string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if now.Test != (kind == "test") {
		say("id %d: testCall is %t in a %s call", now.ID, now.Test, kind)
	}
	for _, f := range now.Flags {
		say("id %d: %s", now.ID, f)
	}
	if before == nil {
		return all
	}
	next := before.ID + 1
	if next == 256 {
		next = 1
	}
	if now.ID != next {
		say("id %d after %d", now.ID, before.ID)
	}
	if now.Timestamp != before.Timestamp {
		say("id %d: timestamp %d was %d", now.ID, now.Timestamp, before.Timestamp)
	}
	now.Moved = now.Latitude != before.Latitude || now.Longitude != before.Longitude
	return all
}

// callback is the PSAP calling the car.
func (m *Modem) callback() error {
	if m.call != nil {
		return errInCall
	}
	if m.service() != "registered" {
		return errNoWay
	}
	c := &call{Call: Call{Kind: "callback", Number: "112", At: time.Now()}}
	m.call = c
	m.keep(c)
	m.enter(c, incoming)
	m.bell(c)
	return nil
}

func (m *Modem) bell(c *call) {
	if c.rings == m.opts.Rings {
		m.end(c, causes[16], "NO CARRIER")
		return
	}
	c.rings++
	for _, p := range m.ports {
		if p == nil {
			continue
		}
		p.event("RING")
		if p.value("+CLIP") == "1" {
			p.event(`+CLIP: "112",129,"",128,"",0`)
		}
	}
	m.after(c, m.opts.Ring, func() { m.bell(c) })
}

// calling answers the commands about calls and the set of data.
func (m *Modem) calling(p *port, o order) (result, bool) {
	switch o.name + string(o.op) {
	case "+CECALL=":
		return m.ecall(p, o), true
	case "+CECALL=?":
		return say("+CECALL: (0,2,3)"), true
	case "+CECALL?":
		if c := m.call; c != nil && c.emergency() {
			return say(map[string]string{"manual": "+CECALL: 2", "automatic": "+CECALL: 3"}[c.Kind]), true
		}
		return ok, true
	case "D":
		return m.voiceCall(p, o), true
	case "H", "+CHUP":
		if c := m.call; c != nil {
			m.end(c, causes[16], "")
			p.answered(ok)
			p.event("RELEASED")
			return silent, true
		}
		return ok, true
	case "A":
		if c := m.call; c != nil && c.State == incoming {
			c.Port = p.number
			m.connect(c)
			return silent, true // this modem says nothing
		}
		return result{final: "NO CARRIER"}, true
	case "+CLCC":
		return m.list(), true
	case "+CEER":
		text := m.cause
		if m.faults.ceer && len(text) > 6 {
			text = text[4 : len(text)-2]
		}
		return say("+CEER: " + text), true
	case "#MSDSEND":
		return result{prompt: true}, true
	case "#MSDSEND?":
		return say("#MSDSEND: " + strings.ToUpper(hex.EncodeToString(m.msd))), true
	case "#MSDPUSH":
		m.push = true
		return ok, true
	case "#TESTNUM=":
		a := o.arguments()
		if len(a) != 2 || a[0] != "0" || !isNumber(a[1]) {
			return p.fail(50), true
		}
		m.values[o.name] = a[1]
		return ok, true
	case "#TESTNUM?":
		return say(`#TESTNUM: 0,"` + m.values[o.name] + `"`), true
	}
	return result{}, false
}

// ecall is AT+CECALL (TS 27.007 6.27). This modem gives no OK.
func (m *Modem) ecall(p *port, o order) result {
	kind, number := "", "112"
	switch o.args {
	case "0":
		kind, number = "test", m.values["#TESTNUM"]
	case "2":
		kind = "manual"
	case "3":
		kind = "automatic"
	}
	switch {
	case kind == "" || number == "":
		return p.fail(50)
	case m.call != nil:
		return p.fail(3)
	}
	m.dial(p, kind, number)
	return silent
}

func (m *Modem) voiceCall(p *port, o order) result {
	number, speech := strings.CutSuffix(o.args, ";")
	switch {
	case !speech || !isNumber(number): // data calls are not offered
		return result{final: "NO CARRIER"}
	case m.call != nil:
		return p.fail(3)
	}
	m.dial(p, "voice", number)
	if p.value("#DIALMODE") == "0" {
		return ok
	}
	return silent
}

// list is AT+CLCC (TS 27.007 7.18).
func (m *Modem) list() result {
	c := m.call
	if c == nil {
		return ok
	}
	stat := map[string]int{dialing: 2, ringing: 3, incoming: 4}[c.State] // 0, active, for the rest
	return say(fmt.Sprintf(`+CLCC: 1,%d,%d,0,0,"%s",129`, flag(c.Kind == "callback"), stat, c.Number))
}
