package dbc

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxWarnings bounds what a broken file can make us say.
const maxWarnings = 1000

// A lexer reads what the parser asks for. DBC has no tokens of its own ("2017_5"
// is a name where a name stands, and 2017 would be a number), so the parser says
// what it wants. The first error stays, and moves the lexer to the end of the
// text, where every loop ends.
type lexer struct {
	text  string
	pos   int
	err   *note
	notes []note // warnings
}

// A note is an error or a warning whose line and column are not known yet.
type note struct {
	at   int
	text string
}

func (l *lexer) fail(off int, format string, args ...any) {
	if l.err == nil {
		l.err = &note{off, fmt.Sprintf(format, args...)}
	}
	l.pos = len(l.text)
}

func (l *lexer) warn(off int, format string, args ...any) {
	if l.err != nil || len(l.notes) > maxWarnings {
		return
	}
	n := note{off, fmt.Sprintf(format, args...)}
	if len(l.notes) == maxWarnings {
		n.text = "there is more to warn of than is listed"
	}
	l.notes = append(l.notes, n)
}

// places sorts notes by their offsets and gives them lines and columns, reading
// the text once.
func places(file, text string, notes []note) []Warning {
	slices.SortStableFunc(notes, func(a, b note) int { return a.at - b.at })
	w := make([]Warning, len(notes))
	line, col, off := 1, 1, 0
	for i, n := range notes {
		between := text[off:n.at]
		if last := strings.LastIndexByte(between, '\n'); last >= 0 {
			line, col = line+strings.Count(between, "\n"), 1
			between = between[last+1:]
		}
		col, off = col+utf8.RuneCountInString(between), n.at
		w[i] = Warning{file, line, col, n.text}
	}
	return w
}

// next skips blanks and returns the octet that follows, 0 at the end.
func (l *lexer) next() byte {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; c {
		case ' ', '\t', '\n', '\r', '\v', '\f':
			l.pos++
		default:
			return c
		}
	}
	return 0
}

func (l *lexer) done() bool {
	l.next()
	return l.pos >= len(l.text)
}

// more reports whether something follows on this line.
func (l *lexer) more() bool {
	for l.pos < len(l.text) && (l.text[l.pos] == ' ' || l.text[l.pos] == '\t') {
		l.pos++
	}
	return l.pos < len(l.text) && l.text[l.pos] != '\n' && l.text[l.pos] != '\r'
}

func nameOctet(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf
}

// peek is the word that follows, "" if something else does.
func (l *lexer) peek() string {
	l.next()
	end := l.pos
	for end < len(l.text) && nameOctet(l.text[end]) {
		end++
	}
	return l.text[l.pos:end]
}

func (l *lexer) word() string {
	w := l.peek()
	l.pos += len(w)
	return w
}

func (l *lexer) name(what string) string {
	w := l.word()
	if w == "" {
		l.fail(l.pos, "%s is expected here, not %s", what, l.found())
	}
	return w
}

// found names what stands at the position, for an error.
func (l *lexer) found() string {
	if l.done() {
		return "the end of the file"
	}
	r, _ := utf8.DecodeRuneInString(l.text[l.pos:])
	return strconv.QuoteRune(r)
}

func (l *lexer) take(c byte) bool {
	if l.next() != c || l.done() {
		return false
	}
	l.pos++
	return true
}

func (l *lexer) expect(c byte) {
	if !l.take(c) {
		l.fail(l.pos, "%q is expected here, not %s", c, l.found())
	}
}

// str reads a string. Within it \" is a quotation mark; nothing else is escaped.
func (l *lexer) str(what string) string {
	if l.next() != '"' {
		l.fail(l.pos, "%s in quotation marks is expected here, not %s", what, l.found())
		return ""
	}
	open := l.pos
	for i := open + 1; i < len(l.text); i++ {
		if l.text[i] == '"' && l.text[i-1] != '\\' {
			l.pos = i + 1
			return strings.ReplaceAll(l.text[open+1:i], `\"`, `"`)
		}
	}
	l.fail(open, "%s has no closing quotation mark", what)
	return ""
}

// literal reads the characters of a number and its offset. What follows must
// not be a part of a name: 12ab is neither.
func (l *lexer) literal(what string) (string, int) {
	l.next()
	from, digits := l.pos, 0
	at := func(i int) byte {
		if i < len(l.text) {
			return l.text[i]
		}
		return 0
	}
	run := func(i int) int {
		for ; '0' <= at(i) && at(i) <= '9'; i++ {
			digits++
		}
		return i
	}
	i := from
	if at(i) == '+' || at(i) == '-' {
		i++
	}
	if i = run(i); at(i) == '.' {
		i = run(i + 1)
	}
	if digits > 0 && (at(i) == 'e' || at(i) == 'E') {
		if i++; at(i) == '+' || at(i) == '-' {
			i++
		}
		i = run(i)
	}
	if digits == 0 || nameOctet(at(i)) || at(i) == '.' {
		l.fail(from, "%s is expected here as a number, not %s", what, l.found())
		return "0", from
	}
	l.pos = i
	if s := strings.TrimLeft(l.text[from:i], "+-"); s[0] == '.' || s[len(s)-1] == '.' {
		l.warn(from, "number %s has no digit on one side of its point", l.text[from:i])
	}
	return l.text[from:i], from
}

func (l *lexer) float(what string) float64 {
	lit, off := l.literal(what)
	v, err := strconv.ParseFloat(lit, 64)
	if err != nil {
		l.fail(off, "%s %s cannot be read as a number", what, lit)
	}
	return v
}

// uint reads a whole number from 0 to most.
func (l *lexer) uint(what string, most uint64) uint64 {
	lit, off := l.literal(what)
	v, negative, ok := whole(lit)
	switch {
	case !ok:
		l.fail(off, "%s %s is not a whole number", what, lit)
	case negative && v != 0, v > most:
		l.fail(off, "%s %s is out of range (0 to %d)", what, lit, most)
	}
	l.warnFloat(lit, off)
	return v
}

func (l *lexer) warnFloat(lit string, off int) {
	if strings.ContainsAny(lit, ".eE") {
		l.warn(off, "whole number written as %s", lit)
	}
}

// whole is the size and the sign of a literal that is a whole number, be it
// written as a float.
func whole(lit string) (v uint64, negative, ok bool) {
	s, negative := strings.CutPrefix(lit, "-")
	s = strings.TrimPrefix(s, "+")
	if v, err := strconv.ParseUint(s, 10, 64); err == nil {
		return v, negative, true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != math.Trunc(f) || f >= 1<<63 {
		return 0, negative, false
	}
	return uint64(f), negative, true
}
