package dbc

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// An attribute is one property of one message or signal.
type attribute struct {
	of   any // *Message or *Signal
	name string
}

// A value of an attribute: a number as it stands in the file, or a text.
type value struct {
	number string
	text   string
	at     int
}

func (p *parser) value() value {
	if p.next() == '"' {
		off := p.pos
		return value{text: p.str("a value"), at: off}
	}
	lit, off := p.literal("a value")
	return value{number: lit, at: off}
}

// define reads BA_DEF_, of which only the texts of an enumeration matter.
func (p *parser) define() {
	off := p.pos
	switch p.peek() {
	case "BU_", "BO_", "SG_", "EV_":
		p.word()
	}
	name := p.str("the name of an attribute")
	if p.word() == "ENUM" {
		var texts []string
		for p.next() == '"' {
			texts = append(texts, p.str("a text"))
			p.take(',')
		}
		p.enums[name] = texts
	}
	p.skip(off, "BA_DEF_")
}

// attribute reads BA_.
func (p *parser) attribute(off int) {
	name := p.str("the name of an attribute")
	var target func() any
	switch p.peek() {
	case "BU_", "EV_":
		p.word()
		p.name("a name")
		target = func() any { return nil }
	case "BO_":
		p.word()
		id := p.id()
		target = func() any {
			if m := p.find(id, off); m != nil {
				return m
			}
			return nil
		}
	case "SG_":
		p.word()
		id := p.id()
		signal := p.name("the name of a signal")
		target = func() any {
			if _, s := p.findSignal(id, signal, off); s != nil {
				return s
			}
			return nil
		}
	default: // of the file
		target = func() any { return nil }
	}
	v := p.value()
	p.end("BA_")
	p.later = append(p.later, func() {
		if of := target(); of != nil {
			p.attrs[attribute{of, name}] = v
		}
	})
}

// look returns the value of an attribute, or the default the file sets.
func (p *parser) look(of any, name string) (v value, own, ok bool) {
	if v, ok = p.attrs[attribute{of, name}]; ok {
		return v, true, true
	}
	v, ok = p.defaults[name]
	return v, false, ok
}

// describe gives m what its attributes say.
func (p *parser) describe(m *Message) {
	if v, _, ok := p.look(m, "GenMsgCycleTime"); ok && v.number != "" {
		ms, err := strconv.ParseFloat(v.number, 64)
		if err != nil || ms < 0 || ms > math.MaxInt32 {
			p.warn(v.at, "cycle time %s of %s is out of range: unknown", v.number, m.Name)
			ms = 0
		}
		m.Cycle = time.Duration(ms * float64(time.Millisecond))
	}
	if v, _, ok := p.look(m, "GenMsgSendType"); ok {
		m.SendType = v.text
		if i, err := strconv.Atoi(v.number); err == nil {
			m.SendType = v.number
			if texts := p.enums["GenMsgSendType"]; i >= 0 && i < len(texts) {
				m.SendType = texts[i]
			}
		}
	}
	if v, own, ok := p.look(m, "VFrameFormat"); ok {
		p.format(m, v, own)
	}
}

// format gives m the frame format of VFrameFormat. Length and identifier are
// what is on the bus: where the attribute contradicts them, they stand.
func (p *parser) format(m *Message, v value, own bool) {
	n, err := strconv.Atoi(v.number)
	if v.number == "" {
		n, err = slices.Index(p.enums["VFrameFormat"], v.text), nil
	}
	if err != nil {
		return
	}
	fd, extended := n == 14 || n == 15, n == 1 || n == 3 || n == 15
	switch {
	case !own:
	case m.Len > canbus.MaxLen && !fd:
		p.warn(v.at, "message %s of %d octets is said to be classic CAN: taken as FD", m.Name, m.Len)
	case extended != m.Extended:
		p.warn(v.at, "VFrameFormat of %s contradicts its identifier: ignored", m.Name)
	}
	m.FD = m.FD || fd
}

// start gives s its start value.
func (p *parser) start(s *Signal) {
	v, own, ok := p.look(s, "GenSigStartValue")
	if !ok || v.number == "" {
		return
	}
	raw, ok := s.parseRaw(v.number)
	if !ok && own { // a default need not fit every signal of the file
		p.warn(v.at, "start value %s does not fit the %d bits of %s: 0 is used", v.number, s.Size, s.Name)
	}
	s.InitialRaw = raw
}

// rename gives messages and signals the names that were too long for the format.
func (p *parser) rename() {
	for _, m := range p.out.Messages {
		if v, ok := p.attrs[attribute{m, "SystemMessageLongSymbol"}]; ok && v.text != "" {
			m.Name = v.text
		}
		renamed := map[string]*Signal{}
		for _, s := range m.Signals {
			v, ok := p.attrs[attribute{s, "SystemSignalLongSymbol"}]
			if ok && v.text != "" {
				s.Name = v.text
			}
			if renamed[s.Name] != nil {
				p.fail(max(v.at, s.at), "message %s has two signals of the name %s", m.Name, s.Name)
			}
			renamed[s.Name] = s
		}
		m.byName = renamed
	}
}
