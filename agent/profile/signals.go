package profile

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/headunit-agent/headunit/canbus/dbc"
)

// maxSources bounds the sources of one path: a reading names its source in an
// octet.
const maxSources = 8

func (c *checker) signals(n *node) {
	c.pairs(n, "signals", func(key, value *node) {
		p, ok := c.path(key, "signals")
		if !ok {
			return
		}
		if p.Leaf().Type == TypeStrings {
			c.at(key, "%s is a list; no signal can fill it", p)
			return
		}
		if slices.Contains(crashPaths(), p) {
			c.at(key, "%s is filled by the section crash; take it out of signals", p)
			return
		}
		if value.shape != sequence {
			c.source(value, p)
			return
		}
		if len(value.items) == 0 {
			c.at(value, "%s has no source; name one or leave the path out", p)
		}
		c.list(value, p.String(), maxSources, func(item *node) { c.source(item, p) })
	})
}

func (c *checker) source(n *node, p Path) {
	s := &Source{Path: p, Scale: 1, line: n.line, col: n.col}
	kinds := 0
	for _, k := range []string{"from", "rules", "ascii"} {
		if n.has(k) {
			kinds++
		}
	}
	switch {
	case n.shape != mapping || kinds != 1:
		if n.shape == mapping {
			c.at(n, "%s: a source has one of from, rules and ascii, this one has %d", p, kinds)
		} else {
			c.at(n, "%s must be {from: bus/Message.Signal}, not %s", p, n.kind())
		}
		return
	case n.has("rules"):
		c.mapping(n, p.String(), fields{"rules": func(n *node) { c.rules(n, s) }}, "rules")
	case n.has("ascii"):
		c.mapping(n, p.String(), fields{
			"ascii": func(n *node) { c.ascii(n, s) },
			"check": func(n *node) { s.Check, _ = c.choice(n, "check", "vin") },
		}, "ascii")
		if p.String() == VIN && s.Check != "vin" {
			c.at(n, "%s needs \"check: vin\": 17 legal characters", p)
		}
	default:
		c.fromSignal(n, s)
	}
	c.p.Signals[p] = append(c.p.Signals[p], s)
}

// fromSignal reads a source of the plain kind.
func (c *checker) fromSignal(n *node, s *Source) {
	var m *Message
	var d *dbc.Signal
	c.section(n, "from", func(n *node) {
		var ok bool
		if m, d, ok = c.signal(n, s.Path.String()); ok {
			s.From = c.read(m, d)
		}
	})
	withSignal := func(read func(*node)) func(*node) {
		return func(n *node) {
			if d != nil {
				read(n)
			}
		}
	}
	c.mapping(n, s.Path.String(), fields{
		"from":     func(*node) {},
		"invalid":  withSignal(func(n *node) { s.Invalid = c.spans(n, d) }),
		"valid_if": withSignal(func(n *node) { s.ValidIf = c.validIf(n, m) }),
		"valid":    func(n *node) { s.Valid = c.validRange(n) },
		"scale": func(n *node) {
			if v, ok := c.number(n, "scale"); ok && v == 0 {
				c.at(n, "scale is 0: every value would be the same")
			} else if ok {
				s.Scale = v
			}
		},
		"offset": func(n *node) { s.Offset, _ = c.number(n, "offset") },
		"round":  func(n *node) { s.Round, _ = c.boolean(n, "round") },
		"map":    withSignal(func(n *node) { c.mapOf(n, s, d) }),
		"other": func(n *node) {
			if v, ok := c.literal(n, "other", s.Path); ok {
				s.Other = &v
			}
		},
		"above": func(n *node) { s.Above = c.threshold(n, "above") },
		"below": func(n *node) { s.Below = c.threshold(n, "below") },
		"text":  withSignal(func(n *node) { c.texts(n, s, d) }),
	})
	if d != nil {
		c.fits(n, s, d)
	}
}

func (c *checker) threshold(n *node, what string) *float64 {
	if v, ok := c.number(n, what); ok {
		return &v
	}
	return nil
}

// spans reads raw values and "a..b".
func (c *checker) spans(n *node, d *dbc.Signal) (spans []Span) {
	c.list(n, "invalid", 64, func(item *node) {
		from, to, isRange := strings.Cut(item.text, "..")
		if item.shape != scalar || !isRange {
			if v, ok := c.raw(item, "invalid", d); ok {
				spans = append(spans, Span{v, v})
			}
			return
		}
		part := func(text string) (int64, bool) {
			return c.raw(&node{shape: scalar, text: text, line: item.line, col: item.col}, "invalid", d)
		}
		lo, ok1 := part(from)
		hi, ok2 := part(to)
		if ok1 && ok2 && lo > hi {
			c.at(item, "invalid: %q runs backwards; write \"%d..%d\"", item.text, hi, lo)
		} else if ok1 && ok2 {
			spans = append(spans, Span{lo, hi})
		}
	})
	return spans
}

func (c *checker) validRange(n *node) *Span64 {
	var v []float64
	if !c.list(n, "valid", 2, func(item *node) {
		if x, ok := c.number(item, "valid"); ok {
			v = append(v, x)
		}
	}) {
		return nil
	}
	if len(n.items) != 2 || len(v) == 2 && v[0] > v[1] {
		c.at(n, "valid must be [smallest, largest]")
	}
	if len(v) != 2 {
		return nil
	}
	return &Span64{v[0], v[1]}
}

func (c *checker) mapOf(n *node, s *Source, d *dbc.Signal) {
	c.pairs(n, "map", func(key, value *node) {
		when, ok1 := c.number(key, "a key of map")
		v, ok2 := c.literal(value, "map", s.Path)
		if ok1 && ok2 {
			s.Map = append(s.Map, Choice{when, v})
		}
		if !ok1 || s.Round || d.Float || s.Scale != 1 || s.Offset != 0 || d.Factor == 0 {
			return
		}
		raw := (when - d.Offset) / d.Factor
		lo, hi := rawRange(d)
		if raw < float64(lo) || raw > float64(hi) || math.Abs(raw-math.Round(raw)) > 1e-6 {
			c.at(key, "map: %s can never be %s (%d bits, factor %g, offset %g)", d.Name, key.text, d.Size, d.Factor, d.Offset)
		}
	})
	if len(n.keys) == 0 {
		c.at(n, "map is empty")
	}
}

// texts takes the words of the DBC file.
func (c *checker) texts(n *node, s *Source, d *dbc.Signal) {
	if v, ok := c.boolean(n, "text"); !ok || !v {
		return
	}
	leaf := s.Path.Leaf()
	if leaf.Type != TypeString || leaf.Name == VIN {
		c.at(n, "text gives words, and %s is %s; use map", leaf.Name, leaf.Type)
		return
	}
	if len(d.Values) == 0 {
		c.at(n, "text: the DBC file has no texts (VAL_) for %s; use map", d.Name)
		return
	}
	s.Texts = make(map[int64]Value, len(d.Values))
	for raw, text := range d.Values {
		s.Texts[raw] = Word(text)
		if leaf.Allowed == nil || slices.Contains(leaf.Allowed, text) || s.invalid(raw) {
			continue
		}
		c.warn(n, "text: %s has the text %q, which %s does not allow: not available", d.Name, text, leaf.Name)
		delete(s.Texts, raw)
	}
}

func (s *Source) invalid(raw int64) bool {
	return slices.ContainsFunc(s.Invalid, func(i Span) bool { return i.Has(raw) })
}

// fits asks whether what the source makes can be a value of its leaf.
func (c *checker) fits(n *node, s *Source, d *dbc.Signal) {
	leaf := s.Path.Leaf()
	ways := 0
	for _, on := range []bool{s.Map != nil, s.Texts != nil, s.Above != nil || s.Below != nil} {
		if on {
			ways++
		}
	}
	switch {
	case ways > 1:
		c.at(n, "%s: map, text and above/below are three ways to the value; keep one", leaf.Name)
	case n.has("other") && !n.has("map"):
		c.at(n, "%s: other says what map lacks, and there is no map", leaf.Name)
	case (s.Above != nil || s.Below != nil) && leaf.Type != TypeBool:
		c.at(n, "%s is %s; above and below give true or false", leaf.Name, leaf.Type)
	case leaf.Name == VIN:
		c.at(n, "%s is put together from characters; write ascii: {prefix: bus/Message.Name, first: 1, last: 17}", leaf.Name)
	case leaf.Type == TypeString && s.Map == nil && !n.has("map") && !n.has("text"):
		c.at(n, "%s is a word; say with map (or text: true) which raw value is which", leaf.Name)
	case leaf.Type == TypeBool && ways == 0 && !n.has("map") && d.Size > 1:
		c.at(n, "%s is true or false, and %s has %d bits; say with map which values are true, or use above or below", leaf.Name, d.Name, d.Size)
	case leaf.Type.Integer() && ways == 0 && !s.Round && !d.Float && !s.wholeSteps(d):
		c.at(n, "%s is whole, and %s comes in steps of %s; add \"round: true\"", leaf.Name, d.Name,
			strconv.FormatFloat(d.Factor*s.Scale, 'g', 6, 64))
	}
}

// rules reads the list of rules; the first that holds gives the value.
func (c *checker) rules(n *node, s *Source) {
	s.Rules = []Rule{}
	c.list(n, "rules", 64, func(item *node) {
		if len(s.Rules) > 0 && s.Rules[len(s.Rules)-1].Always {
			c.at(item, "this rule is never reached: the one before it holds always; put the rule without a signal last")
			return
		}
		var r Rule
		value := func(n *node) { r.Value, _ = c.literal(n, "value", s.Path) }
		if item.has("signal") || item.has("is") {
			r.If, _, _, _ = c.condition(item, "a rule of "+s.Path.String(), fields{"value": value})
		} else {
			c.mapping(item, "a rule of "+s.Path.String(), fields{"value": value, "signal": func(*node) {}, "is": func(*node) {}})
			r.Always = true
		}
		if item.shape == mapping && !item.has("value") {
			c.at(item, "a rule of %s lacks \"value\"", s.Path)
		}
		s.Rules = append(s.Rules, r)
	})
	if n.shape == sequence && len(n.items) == 0 {
		c.at(n, "rules is empty")
	}
}

// ascii reads {prefix: bus/Message.Name, first: 1, last: 17}: one signal a
// character.
func (c *checker) ascii(n *node, s *Source) {
	if s.Path.Leaf().Type != TypeString {
		c.at(n, "ascii gives a text, and %s is %s", s.Path, s.Path.Leaf().Type)
		return
	}
	var prefix *node
	var first, last int64
	if !c.mapping(n, "ascii", fields{
		"prefix": func(n *node) { prefix = n },
		"first":  func(n *node) { first, _ = c.whole(n, "first", 0, 999) },
		"last":   func(n *node) { last, _ = c.whole(n, "last", 0, 999) },
	}, "prefix", "first", "last") || prefix == nil {
		return
	}
	if last < first || last-first >= 64 {
		c.at(n, "ascii runs from %d to %d; it makes 1 to 64 characters", first, last)
		return
	}
	if s.Path.String() == VIN && last-first+1 != 17 {
		c.at(n, "a VIN has 17 characters, and this makes %d", last-first+1)
	}
	for i := first; i <= last; i++ {
		name := *prefix
		name.text += strconv.FormatInt(i, 10)
		m, d, ok := c.signal(&name, "ascii")
		if !ok {
			return
		}
		if d.Size != 8 || d.Float {
			c.at(prefix, "ascii: %s has %d bits; a character has 8", d.Name, d.Size)
			return
		}
		s.Chars = append(s.Chars, c.read(m, d))
	}
}
