package dbc

import (
	"math"
	"strconv"
	"strings"

	"github.com/headunit-agent/headunit/canbus"
)

// message reads BO_ and the signals that follow it.
func (p *parser) message(off int) {
	id := p.id()
	m := &Message{at: off, byName: map[string]*Signal{}}
	m.Name = p.name("the name of a message")
	p.expect(':')
	m.Len = int(p.uint("the length of a message", math.MaxUint16))
	if p.more() {
		m.Sender = p.word()
	}
	if p.err != nil {
		return
	}
	orphan := id == orphans || id == orphansShort
	if orphan {
		p.orphan[key{id: id}] = m
	} else {
		p.declare(m, id)
	}
	for p.peek() == "SG_" {
		p.next()
		p.signal(m, orphan)
	}
}

func (p *parser) declare(m *Message, id uint32) {
	k := canonical(id)
	m.ID, m.Extended, m.FD = k.id, k.extended, m.Len > canbus.MaxLen
	switch {
	case id&^(1<<31) > canbus.MaxExtendedID:
		p.warn(m.at, "identifier %d (%X) has more than 29 bits: taken as %X", id, id, k.id)
	case k.extended && id>>31 == 0:
		p.warn(m.at, "identifier %d (%X) is not marked as 29-bit: taken as such", id, id)
	}
	if old := p.byID[k]; old != nil {
		p.warn(m.at, "identifier %X is used by %s already: that message is dropped", k.id, old.Name)
	}
	p.byID[k] = m
	p.out.Messages = append(p.out.Messages, m) // finish drops what was replaced
}

// signal reads SG_.
func (p *parser) signal(m *Message, orphan bool) {
	s := &Signal{at: p.pos}
	p.word()
	if p.signals++; p.signals > MaxSignals {
		p.fail(s.at, "the file has more than %d signals", MaxSignals)
		return
	}
	nameAt := p.pos + 1
	s.Name = p.name("the name of a signal")
	if p.next() != ':' {
		p.indicator(s)
	}
	p.expect(':')
	p.layout(s)
	p.scaling(s)
	s.Unit = p.str("the unit")
	p.receivers()
	if p.err != nil {
		return
	}
	if m.byName[s.Name] != nil && !orphan {
		p.fail(nameAt, "message %s has a signal %s already", m.Name, s.Name)
		return
	}
	m.byName[s.Name] = s
	m.Signals = append(m.Signals, s)
}

// indicator reads M, m7, m7M, or a bare m.
func (p *parser) indicator(s *Signal) {
	off := p.pos
	w := p.name("':' or a multiplexer")
	digits, nested := strings.CutSuffix(strings.TrimPrefix(w, "m"), "M")
	v, err := strconv.ParseUint(digits, 10, 64)
	switch {
	case w == "M":
		s.Switch, s.mux.root = true, true
	case w == "m":
		p.warn(off, "multiplexer m without a number: taken as the switch")
		s.Switch, s.mux.root = true, true
	case w[:min(1, len(w))] == "m" && err == nil:
		s.Switch, s.mux.under, s.mux.value = nested, true, v
	default:
		p.fail(off, "%q is no multiplexer: M, m and a number, or that and M", w)
	}
}

// layout reads start|size@order and sign.
func (p *parser) layout(s *Signal) {
	s.Start = int(p.uint("the start bit", math.MaxUint16))
	p.expect('|')
	p.next()
	off := p.pos
	s.Size = int(p.uint("the size", math.MaxUint16))
	if s.Size < 1 || s.Size > 64 {
		p.fail(off, "signal %s has %d bits: 1 to 64 are supported", s.Name, s.Size)
	}
	p.expect('@')
	switch {
	case p.take('0'):
		s.BigEndian = true
	case !p.take('1'):
		p.fail(p.pos, "a byte order of 0 or 1 is expected here, not %s", p.found())
	}
	switch {
	case p.take('-'):
		s.Signed = true
	case !p.take('+'):
		p.fail(p.pos, "a sign of + or - is expected here, not %s", p.found())
	}
}

// scaling reads (factor,offset) [min|max].
func (p *parser) scaling(s *Signal) {
	p.expect('(')
	s.Factor = p.float("the factor")
	p.expect(',')
	s.Offset = p.float("the offset")
	p.expect(')')
	p.expect('[')
	s.Min = p.float("the minimum")
	p.expect('|')
	s.Max = p.float("the maximum")
	p.expect(']')
}

// receivers reads the nodes after the unit, which nothing here needs. They end
// with the line, but for a comma at its end: the keyword that comes next looks
// like one of them.
func (p *parser) receivers() {
	for more := p.more(); more && p.word() != ""; {
		comma := p.more() && p.take(',')
		more = comma || p.more()
	}
}
