package dbc

import (
	"maps"
	"math"
	"strings"
)

// comment reads CM_, with the object it belongs to.
func (p *parser) comment(off int) {
	var attach func(text string)
	switch kind := p.peek(); kind {
	case "":
		attach = func(text string) { p.out.Comment = text }
	case "BU_", "EV_":
		p.word()
		p.name("a name")
		attach = func(string) {}
	case "BO_":
		p.word()
		attach = p.commentMessage(p.id(), off)
	case "SG_":
		p.word()
		id := p.id()
		if p.next() == '"' {
			p.warn(off, "comment of a signal without its name: attached to the message")
			attach = p.commentMessage(id, off)
			break
		}
		name := p.name("the name of a signal")
		attach = func(text string) {
			if _, s := p.findSignal(id, name, off); s != nil {
				s.Comment = text
			}
		}
	default:
		id := p.id() // an error if the word is no number
		p.warn(off, "comment without a kind: attached to the message")
		attach = p.commentMessage(id, off)
	}
	text := p.str("a comment")
	p.end("CM_")
	p.later = append(p.later, func() { attach(text) })
}

func (p *parser) commentMessage(id uint32, off int) func(string) {
	return func(text string) {
		if m := p.find(id, off); m != nil {
			m.Comment = text
		}
	}
}

// values reads VAL_.
func (p *parser) values(off int) {
	if c := p.next(); c < '0' || c > '9' {
		p.skip(off, "VAL_") // of an environment variable
		return
	}
	id := p.id()
	name := p.name("the name of a signal")
	if w := p.peek(); w != "" && !keyword(w) && p.tables[w] != nil {
		p.word()
		table := maps.Clone(p.tables[w])
		p.end("VAL_")
		p.later = append(p.later, func() { p.setValues(id, name, off, nil, table) })
		return
	}
	var list []valueText
	table := p.texts(&list)
	p.later = append(p.later, func() { p.setValues(id, name, off, list, table) })
}

func (p *parser) setValues(id uint32, name string, off int, list []valueText, table map[int64]string) {
	_, s := p.findSignal(id, name, off)
	if s == nil {
		return
	}
	s.Values = table
	for _, v := range list {
		if !s.fits(v.value) {
			p.warn(v.at, "value %d does not fit the %d bits of %s", v.value, s.Size, name)
		}
	}
}

type valueText struct {
	value int64
	at    int
}

// texts reads pairs of a value and its text, and the semicolon. Where list is
// not nil it gets the values with their places.
func (p *parser) texts(list *[]valueText) map[int64]string {
	table, seen := map[int64]string{}, map[string]bool{}
	for {
		if c := p.next(); c == 0 || strings.IndexByte("+-.0123456789", c) < 0 {
			break
		}
		lit, off := p.literal("a value")
		size, negative, ok := whole(lit)
		v := int64(size)
		if negative {
			v = -v
		}
		text := p.str("the text of a value")
		switch {
		case p.err != nil:
			return table
		case !ok || negative && size > 1<<63:
			p.warn(off, "value %s is not a whole number of 64 bits: ignored", lit)
			continue
		case seen[text]:
			p.warn(off, "text %q has another value already", text)
		}
		p.warnFloat(lit, off)
		if _, again := table[v]; again {
			p.warn(off, "value %s has another text already: the last one stands", lit)
		}
		table[v], seen[text] = text, true
		if list != nil {
			*list = append(*list, valueText{v, off})
		}
	}
	p.end("list of values")
	return table
}

// valueType reads SIG_VALTYPE_.
func (p *parser) valueType(begin int) {
	id := p.id()
	name := p.name("the name of a signal")
	p.take(':')
	p.next()
	off := p.pos
	kind := p.uint("the type of a value", math.MaxUint8)
	p.end("SIG_VALTYPE_")
	p.later = append(p.later, func() {
		_, s := p.findSignal(id, name, begin)
		switch {
		case s == nil || kind == 0: // 0 is an integer
		case kind > 2:
			p.warn(off, "type %d of %s is unknown: taken as an integer", kind, name)
		case s.Size != 32*int(kind):
			p.fail(off, "signal %s is declared as a float of %d bits and has %d", name, 32*kind, s.Size)
		default:
			s.Float, s.Signed = true, false
		}
	})
}

// multiplexed reads SG_MUL_VAL_: a signal, its switch, and ranges of its values.
func (p *parser) multiplexed(off int) {
	id := p.id()
	name := p.name("the name of a signal")
	over := p.name("the name of a switch")
	var when []Range
	for {
		p.next()
		at := p.pos
		r := Range{From: p.uint("the begin of a range", math.MaxUint64)}
		p.expect('-')
		r.To = p.uint("the end of a range", math.MaxUint64)
		if r.To < r.From {
			p.fail(at, "range %d-%d goes backwards", r.From, r.To)
		}
		if when = append(when, r); !p.take(',') {
			break
		}
	}
	p.end("SG_MUL_VAL_")
	p.later = append(p.later, func() {
		m, s := p.findSignal(id, name, off)
		_, sw := p.findSignal(id, over, off)
		if s != nil && sw != nil {
			p.hang(m, s, sw, when, off)
		}
	})
}
