package profile

import (
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A checker collects what is wrong while a profile is read. Its methods return
// ok = false when they said so, and reading goes on with the next piece.
type checker struct {
	file     string
	mistakes []Problem
	warnings []Problem
	p        *Profile
	set      map[messageKey]*Message // messages spoken of in the profile, with their settings
	used     map[string]map[string]bool
	later    []func() // checks that need what stands further down
}

// maxProblems bounds what one file can make us say.
const maxProblems = 500

func (c *checker) at(n *node, format string, args ...any) {
	if len(c.mistakes) < maxProblems {
		c.mistakes = append(c.mistakes, Problem{c.file, n.line, n.col, fmt.Sprintf(format, args...)})
	}
}

func (c *checker) warn(n *node, format string, args ...any) {
	if len(c.warnings) < maxProblems {
		c.warnings = append(c.warnings, Problem{c.file, n.line, n.col, fmt.Sprintf(format, args...)})
	}
}

// fields says what may stand in a mapping, and what to do with it.
type fields map[string]func(*node)

func (f fields) names() []string {
	names := make([]string, 0, len(f))
	for k := range f {
		names = append(names, k)
	}
	slices.Sort(names)
	return names
}

// mapping reads n as a mapping with the keys of f, in the order in which they are
// written. what names it in a mistake; required keys must be there.
func (c *checker) mapping(n *node, what string, f fields, required ...string) bool {
	if !c.pairs(n, what, func(key, value *node) {
		read, ok := f[key.text]
		if !ok {
			c.at(key, "%s has no key %q%s", what, key.text, orList(key.text, f.names()))
			return
		}
		if value.shape == empty {
			c.at(key, "%s of %s has no value", key.text, what)
			return
		}
		read(value)
	}) {
		return false
	}
	good := true
	for _, r := range required {
		if !n.has(r) {
			c.at(n, "%s lacks %q", what, r)
			good = false
		}
	}
	return good
}

// pairs reads n as a mapping with keys of the writer's choice.
func (c *checker) pairs(n *node, what string, each func(key, value *node)) bool {
	if n.shape != mapping {
		c.at(n, "%s must be a mapping (key: value), not %s", what, n.kind())
		return false
	}
	first := make(map[string]*node, len(n.keys))
	for _, e := range n.keys {
		if f := first[e.key.text]; f != nil {
			c.at(e.key, "%q stands twice, first in line %d; keep one of them", e.key.text, f.line)
			continue
		}
		first[e.key.text] = e.key
		each(e.key, e.value)
	}
	return true
}

func (n *node) has(key string) bool {
	return slices.ContainsFunc(n.keys, func(e entry) bool { return e.key.text == key })
}

// kind names what a node is, for mistakes.
func (n *node) kind() string {
	switch n.shape {
	case scalar:
		return strconv.Quote(n.text)
	case sequence:
		return "a list"
	case mapping:
		return "a mapping"
	case empty:
	}
	return "nothing"
}

func orList(written string, choices []string) string {
	if s := nearest(written, choices); s != "" {
		return s
	}
	if len(choices) > 12 {
		return ""
	}
	return "; it may be " + list(choices)
}

// list reads n as a list of at most most items.
func (c *checker) list(n *node, what string, most int, each func(*node)) bool {
	if n.shape != sequence {
		c.at(n, "%s must be a list ([a, b]), not %s", what, n.kind())
		return false
	}
	if len(n.items) > most {
		c.at(n, "%s has %d items; at most %d make sense", what, len(n.items), most)
		return false
	}
	for _, item := range n.items {
		each(item)
	}
	return true
}

// text is any scalar, quoted or not.
func (c *checker) text(n *node, what string) (string, bool) {
	if n.shape != scalar || n.text == "" {
		c.at(n, "%s must be a text, not %s", what, n.kind())
		return "", false
	}
	if len(n.text) > 200 {
		c.at(n, "%s has %d octets; at most 200 make sense", what, len(n.text))
		return "", false
	}
	return n.text, true
}

var wordForm = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// name is a word of ours: lower case, digits, underscores.
func (c *checker) name(n *node, what string) (string, bool) {
	s, ok := c.text(n, what)
	if ok && !wordForm.MatchString(s) {
		c.at(n, "%s is %q; write a lower-case letter, then letters, digits and underscores, at most 40", what, s)
		return "", false
	}
	return s, ok
}

// choice is one of a few words.
func (c *checker) choice(n *node, what string, choices ...string) (string, bool) {
	s, ok := c.text(n, what)
	if ok && !slices.Contains(choices, s) {
		c.at(n, "%s cannot be %q; it is %s", what, s, list(choices))
		return "", false
	}
	return s, ok
}

// boolean wants true or false, written so.
func (c *checker) boolean(n *node, what string) (v, ok bool) {
	if n.shape == scalar && !n.quoted && (n.text == "true" || n.text == "false") {
		return n.text == "true", true
	}
	c.at(n, "%s must be true or false, not %s", what, n.kind())
	return false, false
}

// yesNo are the words that older YAML takes for truths: written without quotes
// they mean one thing to one reader and another to the next.
func (n *node) yesNo() bool {
	switch strings.ToLower(n.text) {
	case "on", "off", "yes", "no", "y", "n", "true", "false":
		return !n.quoted
	}
	return false
}

var wholeForm = regexp.MustCompile(`^-?(0|[1-9][0-9]*|0x[0-9A-Fa-f]+)$`)

// whole is an integer, decimal or 0x, from lo to hi.
func (c *checker) whole(n *node, what string, lo, hi int64) (int64, bool) {
	if n.shape != scalar || n.quoted || !wholeForm.MatchString(n.text) {
		c.at(n, "%s must be a whole number such as 7 or 0x1F, not %s", what, n.kind())
		return 0, false
	}
	v, err := strconv.ParseInt(n.text, 0, 64)
	if err != nil || v < lo || v > hi {
		c.at(n, "%s is %s; it must be from %d to %d", what, n.text, lo, hi)
		return 0, false
	}
	return v, true
}

var numberForm = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?$`)

// number is decimal, without infinities.
func (c *checker) number(n *node, what string) (float64, bool) {
	if n.shape != scalar || n.quoted || !numberForm.MatchString(n.text) {
		c.at(n, "%s must be a number such as 0.5, not %s", what, n.kind())
		return 0, false
	}
	v, err := strconv.ParseFloat(n.text, 64)
	if err != nil || math.IsInf(v, 0) {
		c.at(n, "%s is out of range: %s", what, n.text)
		return 0, false
	}
	return v, true
}

// duration is such as 200ms, 10s, 2m, from lo to hi.
func (c *checker) duration(n *node, what string, lo, hi time.Duration) (time.Duration, bool) {
	if n.shape != scalar {
		c.at(n, "%s must be a time such as 200ms or 5s, not %s", what, n.kind())
		return 0, false
	}
	d, err := time.ParseDuration(n.text)
	if err != nil {
		c.at(n, "%s is %q; write a number and a unit, such as 200ms, 5s or 2m", what, n.text)
		return 0, false
	}
	if d < lo || d > hi {
		c.at(n, "%s is %s; it must be from %s to %s", what, n.text, lo, hi)
		return 0, false
	}
	return d, true
}

// bitrate is such as 500k or 2M, in bit/s.
func (c *checker) bitrate(n *node, what string) (int, bool) {
	text, unit := n.text, 1
	if t, ok := strings.CutSuffix(text, "k"); ok {
		text, unit = t, 1000
	} else if t, ok := strings.CutSuffix(text, "M"); ok {
		text, unit = t, 1_000_000
	}
	v, err := strconv.ParseUint(text, 10, 24)
	rate := int(v) * unit
	if n.shape != scalar || err != nil || rate < 10_000 || rate > 8_000_000 {
		c.at(n, "%s is %s; write 10k to 8M, such as 500k", what, n.kind())
		return 0, false
	}
	return rate, true
}

// payload is quoted hex.
func (c *checker) payload(n *node, what string) ([]byte, bool) {
	if n.shape == scalar && !n.quoted {
		c.at(n, "%s must be quoted: \"%s\" (YAML reads some bare digits as a number)", what, n.text)
		return nil, false
	}
	b, err := hex.DecodeString(n.text)
	if n.shape != scalar || err != nil || len(b) > 64 {
		c.at(n, "%s must be quoted hex, two digits an octet, at most 64 octets, not %s", what, n.kind())
		return nil, false
	}
	return b, true
}

// literal is a value of a leaf, as rules, maps and conditions name it.
func (c *checker) literal(n *node, what string, p Path) (Value, bool) {
	leaf := p.Leaf()
	switch {
	case leaf.Type == TypeBool:
		v, ok := c.boolean(n, what)
		return Bool(v), ok
	case leaf.Type.Integer():
		v, ok := c.whole(n, what, int64(leaf.Min), int64(leaf.Max))
		return Int(v), ok
	case leaf.Type.Number():
		v, ok := c.number(n, what)
		if ok && (v < leaf.Min || v > leaf.Max) {
			c.at(n, "%s is %s; %s goes from %g to %g %s", what, n.text, leaf.Name, leaf.Min, leaf.Max, leaf.Unit)
			return Value{}, false
		}
		return Float(v), ok
	case leaf.Type == TypeString && leaf.Name != VIN:
		return c.word(n, what, leaf)
	}
	c.at(n, "%s: %s takes no written values", what, leaf.Name)
	return Value{}, false
}

// word is one of the leaf's words; any text where the catalogue allows any.
func (c *checker) word(n *node, what string, leaf Leaf) (Value, bool) {
	if n.shape == scalar && n.yesNo() {
		c.at(n, "%s must be quoted: %q (YAML readers take the bare word for true or false)", what, n.text)
		return Value{}, false
	}
	s, ok := c.text(n, what)
	if !ok {
		return Value{}, false
	}
	if leaf.Allowed != nil && !slices.Contains(leaf.Allowed, s) {
		c.at(n, "%s cannot be %q; %s is %s%s", what, s, leaf.Name, list(leaf.Allowed), nearest(s, leaf.Allowed))
		return Value{}, false
	}
	return Word(s), true
}

// path is a name of the catalogue.
func (c *checker) path(n *node, what string) (Path, bool) {
	s, ok := c.text(n, what)
	if !ok {
		return 0, false
	}
	p, ok := Find(s)
	if !ok {
		c.at(n, "the catalogue has no %q%s", s, nearest(s, leafNames()))
	}
	return p, ok
}

func leafNames() []string {
	names := make([]string, 0, Paths())
	for i := 1; i < Paths(); i++ {
		names = append(names, Path(i).String())
	}
	return names
}
