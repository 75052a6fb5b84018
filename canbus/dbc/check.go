package dbc

import (
	"github.com/headunit-agent/headunit/canbus"
)

// maxCompared bounds the search for overlaps in a file made to be slow.
const maxCompared = 2_000_000

// finish turns what was read into what is meant, and warns of what is odd in it.
func (p *parser) finish() {
	p.keepLast()
	budget := maxCompared
	for _, m := range p.out.Messages {
		p.resolve(m)
		p.describe(m)
		for _, s := range m.Signals {
			p.start(s)
		}
		p.checkLength(m)
		p.overlaps(m, &budget)
	}
	p.rename()
	for _, m := range p.out.Messages {
		if p.out.byName[m.Name] != nil {
			p.warn(m.at, "there are two messages of the name %s: it means this one", m.Name)
		}
		p.out.byName[m.Name] = m
	}
}

// keepLast drops messages whose identifier was used again.
func (p *parser) keepLast() {
	kept := p.out.Messages[:0]
	for _, m := range p.out.Messages {
		if p.byID[key{m.ID, m.Extended}] == m {
			kept = append(kept, m)
		}
	}
	p.out.Messages = kept
}

func (p *parser) checkLength(m *Message) {
	_, own := p.attrs[attribute{m, "VFrameFormat"}]
	switch {
	case m.Len == 0:
		p.warn(m.at, "message %s has no octets", m.Name)
	case m.Len > canbus.MaxLenFD:
		p.warn(m.at, "message %s has %d octets: no frame carries more than %d", m.Name, m.Len, canbus.MaxLenFD)
	case m.Len > canbus.MaxLen && !own:
		p.warn(m.at, "message %s has %d octets: taken as FD", m.Name, m.Len)
	}
	for _, s := range m.Signals {
		if s.Octets() > m.Len {
			p.warn(s.at, "signal %s reaches beyond the %d octets of %s", s.Name, m.Len, m.Name)
		}
	}
}

// overlaps warns of signals that share bits in one frame. A signal is named once,
// with the first of those before it.
func (p *parser) overlaps(m *Message, budget *int) {
	var all bitset
	masks := make([]bitset, len(m.Signals))
	for i, s := range m.Signals {
		masks[i].add(s)
		if !masks[i].meet(&all) {
			all.join(&masks[i])
			continue
		}
		all.join(&masks[i])
		for j, t := range m.Signals[:i] {
			if *budget < 0 {
				return
			}
			if *budget -= 1 + len(s.When)*len(t.When); *budget < 0 {
				p.warn(s.at, "too many signals share bits: overlaps from here on are not shown")
				return
			}
			if masks[i].meet(&masks[j]) && !exclusive(s, t) {
				p.warn(s.at, "signal %s overlaps %s", s.Name, t.Name)
				break
			}
		}
	}
}
