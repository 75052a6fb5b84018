package dbc

import (
	"strings"

	"github.com/headunit-agent/headunit/canbus"
)

// The bounds of a file.
const (
	MaxFile    = 16 << 20 // octets
	MaxSignals = 100_000  // in all messages together
)

// The identifiers under which files keep signals that belong to no message.
const (
	orphans      = 0xC0000000
	orphansShort = 0x40000000
)

// Parse reads a DBC file; name is for errors and warnings. An error is an
// [*Error]: what no leniency can make sense of, such as a signal of 0 or more
// than 64 bits, a number that cannot be read, a string without end, a signal
// name used twice in a message. Warnings come in the order of the file and are
// also returned with an error; there are 1,001 of them at most. What concerns the
// whole file (Windows-1252, a byte order mark, CR LF) is said once. Tabs, blanks
// before a colon, comments of several lines, 1.0 and 1E-06 where a float may
// stand are the format's own and give no warning.
func Parse(name string, src []byte) (*File, []Warning, error) {
	if len(src) > MaxFile {
		return nil, nil, &Error{name, 1, 1, "the file is larger than 16 MiB"}
	}
	text, marked, foreign := readable(src)
	p := newParser(name, text)
	if marked {
		p.warn(0, "the file begins with a byte order mark")
	}
	if foreign >= 0 {
		p.warn(foreign, "the file is not UTF-8: read as Windows-1252")
	}
	if i := strings.IndexByte(text, '\r'); i >= 0 {
		p.warn(i, "lines end with CR LF")
	}
	for !p.done() {
		p.statement()
	}
	if p.err == nil {
		for _, f := range p.later {
			f()
		}
		p.finish()
	}
	warnings := places(name, text, p.notes)
	if p.err != nil {
		at := Error(places(name, text, []note{*p.err})[0])
		return nil, warnings, &at
	}
	return p.out, warnings, nil
}

// key is what a message is found by.
type key struct {
	id       uint32
	extended bool
}

type parser struct {
	*lexer
	out      *File
	byID     map[key]*Message
	orphan   map[key]*Message // kept only so that what speaks of them is understood
	signals  int
	tables   map[string]map[int64]string
	enums    map[string][]string
	defaults map[string]value
	attrs    map[attribute]value
	// later holds what speaks of messages and signals: it is done when all of
	// them are known, in the order of the file.
	later []func()
}

func newParser(name, text string) *parser {
	return &parser{
		lexer:    &lexer{text: text},
		out:      &File{Name: name, byName: map[string]*Message{}},
		byID:     map[key]*Message{},
		orphan:   map[key]*Message{},
		tables:   map[string]map[int64]string{},
		enums:    map[string][]string{},
		defaults: map[string]value{},
		attrs:    map[attribute]value{},
	}
}

// unused begins statements that are the format's and say nothing that we need;
// they also stand in the list after NS_.
var unused = words(`NS_DESC_ CAT_DEF_ CAT_ FILTER EV_DATA_ ENVVAR_DATA_ SGTYPE_ SGTYPE_VAL_ BA_DEF_SGTYPE_ BA_SGTYPE_
	SIG_TYPE_REF_ SIG_GROUP_ SIGTYPE_VALTYPE_ BO_TX_BU_ BA_DEF_REL_ BA_REL_ BA_DEF_DEF_REL_ BU_SG_REL_ BU_EV_REL_
	BU_BO_REL_ EV_`)

// listed stands in the list after NS_ as well, and begins what we do read.
var listed = words("CM_ BA_DEF_ BA_ VAL_ BA_DEF_DEF_ VAL_TABLE_ SIG_VALTYPE_ SG_MUL_VAL_")

// opening begins a statement and never stands in that list.
var opening = words("VERSION NS_ BS_ BU_ BO_ SG_")

func words(s string) map[string]bool {
	m := map[string]bool{}
	for w := range strings.FieldsSeq(s) {
		m[w] = true
	}
	return m
}

func keyword(w string) bool { return unused[w] || listed[w] || opening[w] }

func (p *parser) statement() {
	p.next()
	off := p.pos
	switch w := p.word(); w {
	case "VERSION":
		p.out.Version = p.str("the version")
	case "NS_":
		p.symbols()
	case "BS_":
		p.timing()
	case "BU_":
		p.nodes()
	case "BO_":
		p.message(off)
	case "SG_":
		p.fail(off, "signal outside of a message")
	case "VAL_TABLE_":
		name := p.name("the name of a table")
		p.tables[name] = p.texts(nil)
	case "CM_":
		p.comment(off)
	case "VAL_":
		p.values(off)
	case "SIG_VALTYPE_":
		p.valueType(off)
	case "SG_MUL_VAL_":
		p.multiplexed(off)
	case "BA_DEF_":
		p.define()
	case "BA_DEF_DEF_":
		name := p.str("the name of an attribute")
		p.defaults[name] = p.value()
		p.end("BA_DEF_DEF_")
	case "BA_":
		p.attribute(off)
	case "":
		if !p.take(';') {
			p.fail(off, "a statement is expected here, not %s", p.found())
		}
	default:
		if !unused[w] {
			p.warn(off, "unknown statement %s: skipped", w)
		}
		p.skip(off, w)
	}
}

// symbols reads the list after NS_, whose entries look like statements: an entry
// is followed by a new line, or by another entry.
func (p *parser) symbols() {
	p.expect(':')
	for {
		w := p.peek()
		if w == "" || opening[w] {
			return
		}
		back := p.pos
		p.pos += len(w)
		if p.more() && !listed[p.peek()] && !unused[p.peek()] {
			p.pos = back
			return
		}
	}
}

// timing reads the bit timing, which no file fills in any more.
func (p *parser) timing() {
	p.expect(':')
	for c := p.next(); c == ':' || c == ',' || '0' <= c && c <= '9'; c = p.next() {
		p.pos++
	}
}

func (p *parser) nodes() {
	p.expect(':')
	for w := p.peek(); w != "" && !keyword(w); w = p.peek() {
		p.pos += len(w)
		p.take(',')
	}
}

// skip goes to the end of a statement: a semicolon outside of strings, or, where
// that is missing, a line that begins with the next statement.
func (p *parser) skip(off int, what string) {
	for !p.done() {
		switch c := p.text[p.pos]; {
		case c == ';':
			p.pos++
			return
		case c == '"':
			p.str("text")
		case nameOctet(c):
			if w := p.peek(); keyword(w) && p.begins() {
				p.warn(off, "%s has no semicolon at its end", what)
				return
			}
			p.word()
		default:
			p.pos++
		}
	}
	p.warn(off, "%s has no semicolon at its end", what)
}

// begins reports whether the position is the first of its line.
func (p *parser) begins() bool {
	before := strings.TrimRight(p.text[:p.pos], " \t")
	return before == "" || before[len(before)-1] == '\n'
}

// end reads the semicolon after a statement; the next statement does as well.
func (p *parser) end(what string) {
	p.next()
	switch off := p.pos; {
	case p.take(';'):
	case p.done(), keyword(p.peek()):
		p.warn(off, "%s has no semicolon at its end", what)
	default:
		p.fail(off, "';' is expected here, not %s", p.found())
	}
}

// id reads the identifier of a message as it stands in the file.
func (p *parser) id() uint32 {
	return uint32(p.uint("an identifier", 1<<32-1))
}

// canonical is what is on the bus under an identifier of the file. An
// identifier that needs 29 bits is extended whether the file says so or not.
func canonical(id uint32) key {
	return key{id & canbus.MaxExtendedID, id > canbus.MaxStandardID}
}

// find returns the message that a later statement names, or nil after a warning.
func (p *parser) find(id uint32, off int) *Message {
	if id == orphans || id == orphansShort {
		return p.orphan[key{id: id}]
	}
	m := p.byID[canonical(id)]
	if m == nil {
		p.warn(off, "there is no message %d: ignored", id)
	}
	return m
}

func (p *parser) findSignal(id uint32, name string, off int) (*Message, *Signal) {
	m := p.find(id, off)
	if m == nil {
		return nil, nil
	}
	s := m.byName[name]
	if s == nil {
		p.warn(off, "message %s has no signal %s: ignored", m.Name, name)
	}
	return m, s
}
