package modem

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A setting is a command of the form NAME=n,n,…, NAME? and NAME=?.
type setting struct {
	first  string // value after power-on
	limits []limit
	port   bool // each port has its own
}

type limit struct{ low, high int }

// settings are those of the LE910 that a driver for the emergency call uses.
// PORTCFG, SIMDET and ECONLY act; the others are only kept.
var settings = map[string]setting{
	"+CMEE":       {"0", []limit{{0, 2}}, true},
	"+CREG":       {"0", []limit{{0, 2}}, true},
	"+CEREG":      {"0", []limit{{0, 2}}, true},
	"+CLIP":       {"0", []limit{{0, 1}}, true},
	"+CALM":       {"0", []limit{{0, 2}}, false},
	"#ECALLURC":   {"0", []limit{{0, 2}}, true},
	"#PORTCFG":    {"0", []limit{{0, 14}}, false},
	"#CALLDISA":   {"0,0", []limit{{0, 1}, {0, 1}}, false},
	"#DIALMODE":   {"0", []limit{{0, 2}}, true},
	"#SIMDET":     {"2", []limit{{0, 2}}, false},
	"#ECONLY":     {"0", []limit{{0, 2}}, false},
	"#ECALLTMR":   {"5000,2000,5000,20000,60", []limit{{0, 60000}, {0, 60000}, {0, 60000}, {0, 60000}, {1, 720}}, false},
	"#ECALLNWTMR": {"720,720", []limit{{1, 2184}, {1, 2184}}, false},
}

// value is the setting as it stands, of the whole modem.
func (m *Modem) value(name string) string {
	if v, is := m.values[name]; is {
		return v
	}
	return settings[name].first
}

func (p *port) value(name string) string {
	if !settings[name].port {
		return p.m.value(name)
	}
	if v, is := p.values[name]; is {
		return v
	}
	return settings[name].first
}

// command takes one line from a port.
func (m *Modem) command(p *port, line string, long bool) {
	if strings.TrimSpace(line) == "" {
		return
	}
	m.record(p.number, line)
	if m.faults.deaf[p.number] || !m.awake() {
		return
	}
	orders, err := parseLine(line)
	if errors.Is(err, errNotAT) {
		return // noise between commands is no command
	}
	p.echoed(line)
	f := &m.faults
	if n := f.cme; n != 0 {
		f.cme = 0
		p.answered(result{final: fmt.Sprintf("+CME ERROR: %d", n)})
		return
	}
	if err != nil || long {
		p.answered(refused)
		return
	}
	p.answered(m.run(p, orders))
}

// run does the commands of a line in order and stops at the first refusal.
func (m *Modem) run(p *port, orders []order) result {
	all := ok
	for _, o := range orders {
		r := m.do(p, o)
		all.lines = append(all.lines, r.lines...)
		if r.final != "OK" {
			all.final, all.prompt = r.final, r.prompt
			break
		}
	}
	return all
}

func (m *Modem) do(p *port, o order) result {
	if s, is := settings[o.name]; is {
		return m.setting(p, o, s)
	}
	if r, is := m.identity(o); is {
		return r
	}
	if r, is := m.status(p, o); is {
		return r
	}
	if r, is := m.calling(p, o); is {
		return r
	}
	return refused
}

// fail is an error of TS 27.007 9.2 in the form that AT+CMEE asked for.
func (p *port) fail(n int) result {
	texts := map[int]string{
		3: "operation not allowed", 4: "operation not supported", 10: "SIM not inserted",
		30: "no network service", 50: "incorrect parameters",
	}
	switch p.value("+CMEE") {
	case "1":
		return result{final: fmt.Sprintf("+CME ERROR: %d", n)}
	case "2":
		return result{final: "+CME ERROR: " + texts[n]}
	}
	return refused
}

func (m *Modem) setting(p *port, o order, s setting) result {
	switch o.op {
	case read:
		return say(o.name + ": " + m.shown(p, o.name))
	case test:
		var limits []string
		for _, l := range s.limits {
			limits = append(limits, fmt.Sprintf("(%d-%d)", l.low, l.high))
		}
		return say(o.name + ": " + strings.Join(limits, ","))
	case exec:
		return p.fail(4)
	}
	args := o.arguments()
	if len(args) == 0 || len(args) > len(s.limits) {
		return p.fail(50)
	}
	now := strings.Split(p.value(o.name), ",")
	for i, a := range args {
		n, err := strconv.Atoi(a)
		if err != nil || n < s.limits[i].low || n > s.limits[i].high {
			return p.fail(50)
		}
		now[i] = strconv.Itoa(n)
	}
	before := m.service()
	if s.port {
		p.values[o.name] = strings.Join(now, ",")
	} else {
		m.values[o.name] = strings.Join(now, ",")
	}
	m.serviceChanged(before)
	return ok
}

// shown is the value as the read command gives it.
func (m *Modem) shown(p *port, name string) string {
	v := p.value(name)
	switch name {
	case "+CREG", "+CEREG":
		return v + "," + m.registration()
	case "#SIMDET":
		return fmt.Sprintf("%s,%d", v, flag(m.hasSIM()))
	case "#ECONLY":
		if time.Now().Before(m.nasUntil) {
			return v + ",2"
		}
		return v + ",0"
	}
	return v
}

// registration is <stat> of TS 27.007 7.2: home, searching or denied.
func (m *Modem) registration() string {
	return map[string]string{"registered": "1", "limited": "3", "none": "2"}[m.service()]
}

// serviceChanged tells the ports what became of the network.
func (m *Modem) serviceChanged(before string) {
	if m.service() == before {
		return
	}
	for _, p := range m.ports {
		for _, name := range []string{"+CREG", "+CEREG"} {
			if p != nil && p.value(name) != "0" {
				p.event(name + ": " + m.registration())
			}
		}
	}
	m.notify()
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (m *Modem) identity(o order) (result, bool) {
	if o.op == set || o.op == read {
		return result{}, false
	}
	text := map[string]string{
		"+CGMI": Manufacturer, "+GMI": Manufacturer, "+CGMM": "LE910-SIM", "+GMM": "LE910-SIM",
		"+CGMR": "sim.1", "+GMR": "sim.1", "+CGSN": "004999010640000", "+GSN": "004999010640000",
		"I": Manufacturer,
	}[o.name]
	switch {
	case text == "":
		return result{}, false
	case o.op == test:
		return ok, true
	}
	return say(text), true
}

// status answers what is neither a plain setting nor about a call.
func (m *Modem) status(p *port, o order) (result, bool) {
	switch o.name + string(o.op) {
	case "E":
		p.echo = o.args == "1"
		return ok, true
	case "V", "X", "Q", "S", "&K", "&D", "&C", "&W":
		return ok, true
	case "Z", "&F":
		p.forget()
		return ok, true
	case "+CPIN?":
		if !m.hasSIM() {
			return p.fail(10), true
		}
		return say("+CPIN: READY"), true
	case "+CSQ":
		return say(map[string]string{"registered": "+CSQ: 22,0", "limited": "+CSQ: 14,0", "none": "+CSQ: 99,99"}[m.service()]), true
	case "#CBC":
		return say("#CBC: 0,398"), true
	case "+COPS=":
		return m.operator(p, o), true
	case "+COPS?":
		if m.service() == "registered" {
			return say(`+COPS: 0,0,"SIMULATED",7`), true
		}
		return say("+COPS: " + strconv.Itoa(2*flag(m.detached))), true
	case "+CFUN?":
		return say("+CFUN: 1"), true
	case "+CFUN=":
		switch o.args {
		case "1":
			return ok, true
		case "1,1":
			p.answered(ok) // before it goes deaf
			m.reset()
			return silent, true
		}
		return p.fail(50), true
	}
	return result{}, false
}

func (m *Modem) operator(p *port, o order) result {
	before := m.service()
	switch o.args {
	case "0":
		m.detached = false
	case "2":
		m.detached, m.nasUntil = true, time.Time{}
	default:
		return p.fail(50)
	}
	m.serviceChanged(before)
	return ok
}

// sizeMSD is what the modem carries in band: 140 octets, always.
const sizeMSD = 140

// loaded takes what followed the prompt of AT#MSDSEND.
func (m *Modem) loaded(text string, sent bool) result {
	if !sent {
		return refused
	}
	b, err := hex.DecodeString(strings.TrimSpace(text))
	if err != nil || len(b) != sizeMSD {
		return refused
	}
	m.msd = b
	m.notify()
	return ok
}
