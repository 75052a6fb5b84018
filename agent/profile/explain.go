package profile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/headunit-agent/headunit/canbus/dbc"
)

// Explain writes the way of one path from bits to value, for people; empty if
// the profile does not fill it.
func (p *Profile) Explain(path Path) string {
	var w strings.Builder
	leaf := path.Leaf()
	fmt.Fprintf(&w, "%s: %s\n", leaf.Name, leaf.describe())
	for i, s := range p.Signals[path] {
		fmt.Fprintf(&w, "%d. ", i+1)
		switch {
		case s.Rules != nil:
			p.explainRules(&w, s)
		case s.Chars != nil:
			p.explainChars(&w, s)
		default:
			p.explainSignal(&w, s)
		}
	}
	if slices.Contains(crashPaths(), path) && p.Crash != nil {
		p.explainCrash(&w)
	} else if len(p.Signals[path]) == 0 {
		return ""
	}
	return w.String()
}

func (l Leaf) describe() string {
	words := []string{string(l.Type)}
	if l.Unit != "" {
		words = append(words, l.Unit)
	}
	lo, hi := l.Type.bounds()
	if l.Min != lo || l.Max != hi {
		words = append(words, fmt.Sprintf("%g to %g", l.Min, l.Max))
	}
	if l.Allowed != nil {
		words = append(words, list(l.Allowed))
	}
	if l.Overlay {
		words = append(words, "(not of VSS)")
	}
	return strings.Join(words, ", ")
}

func line(w *strings.Builder, what, format string, args ...any) {
	fmt.Fprintf(w, "   %-10s %s\n", what, strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (p *Profile) explainMessage(w *strings.Builder, r SignalRef) {
	m := p.Message(r.Bus, r.Message)
	form, cycle := "%03X", "no cycle time known"
	if m.DBC.Extended {
		form = "%08X"
	}
	if m.DBC.Cycle > 0 {
		cycle = "every " + m.DBC.Cycle.String()
	}
	kind := ""
	if m.DBC.FD {
		kind = " FD"
	}
	line(w, "frame", form+"%s, %d octets, %s; stale after %s", m.DBC.ID, kind, m.DBC.Len, cycle, m.Fresh)
	if m.E2E != nil {
		constants := "constants of the built-in table"
		if m.E2E.Constants != nil {
			constants = fmt.Sprintf("constants % X", m.E2E.Constants[:])
		}
		line(w, "protected", "vw, %s%s", constants, m.E2E.Policy.describe())
	}
	if m.ValidIf != nil {
		line(w, "only if", "%s is %d", m.ValidIf.Signal.Signal, m.ValidIf.Is)
	}
}

// describe says what becomes of a frame that fails, where it is not dropped.
func (p Policy) describe() string {
	switch p {
	case Count:
		return "; a frame that fails counts all the same"
	case Show:
		return "; a frame that fails is shown, and not decided on"
	case Reject:
	}
	return ""
}

func describeBits(d *dbc.Signal) string {
	order, kind := "little endian", "unsigned"
	if d.BigEndian {
		order = "big endian"
	}
	if d.Signed {
		kind = "signed"
	}
	if d.Float {
		kind = "IEEE 754"
	}
	text := fmt.Sprintf("%d|%d, %s, %s", d.Start, d.Size, order, kind)
	if d.Under != nil && len(d.When) > 0 {
		text += fmt.Sprintf(", only when %s is %d", d.Under.Name, d.When[0].From)
	}
	return text
}

func (p *Profile) explainSignal(w *strings.Builder, s *Source) {
	d := p.Signal(s.From)
	fmt.Fprintf(w, "%s\n", s.From)
	p.explainMessage(w, s.From)
	line(w, "bits", "%s", describeBits(d))
	if len(s.Invalid) > 0 {
		var spans []string
		for _, i := range s.Invalid {
			if i.From == i.To {
				spans = append(spans, strconv.FormatInt(i.From, 10))
			} else {
				spans = append(spans, fmt.Sprintf("%d..%d", i.From, i.To))
			}
		}
		line(w, "raw", "not available when %s", list(spans))
	}
	if s.ValidIf != nil {
		line(w, "only if", "%s is %d", s.ValidIf.Signal.Signal, s.ValidIf.Is)
	}
	line(w, "physical", "raw * %g + %g %s", d.Factor, d.Offset, d.Unit)
	if s.Valid != nil {
		line(w, "range", "%g to %g, else no value", s.Valid.From, s.Valid.To)
	}
	if s.Scale != 1 || s.Offset != 0 {
		line(w, "scale", "* %g + %g", s.Scale, s.Offset)
	}
	if s.Round {
		line(w, "round", "half away from zero")
	}
	p.explainValue(w, s)
}

func (p *Profile) explainValue(w *strings.Builder, s *Source) {
	switch {
	case s.Map != nil:
		var parts []string
		for _, m := range s.Map {
			parts = append(parts, fmt.Sprintf("%g is %s", m.When, m.Value))
		}
		rest := "else not available"
		if s.Other != nil {
			rest = "else " + s.Other.String()
		}
		line(w, "value", "%s, %s", strings.Join(parts, ", "), rest)
	case s.Texts != nil:
		var raws []int64
		for raw := range s.Texts {
			raws = append(raws, raw)
		}
		slices.Sort(raws)
		var parts []string
		for _, raw := range raws {
			parts = append(parts, fmt.Sprintf("%d is %s", raw, s.Texts[raw]))
		}
		line(w, "value", "%s (texts of the DBC file), else not available", strings.Join(parts, ", "))
	case s.Above != nil && s.Below != nil:
		line(w, "value", "true above %g and below %g, else false", *s.Above, *s.Below)
	case s.Above != nil:
		line(w, "value", "true above %g, else false", *s.Above)
	case s.Below != nil:
		line(w, "value", "true below %g, else false", *s.Below)
	case s.Path.Leaf().Type == TypeBool:
		line(w, "value", "true unless 0")
	default:
		line(w, "value", "as it is")
	}
}

func (p *Profile) explainRules(w *strings.Builder, s *Source) {
	fmt.Fprintf(w, "the first rule that holds; every signal looked at must be good\n")
	seen := make(map[string]bool)
	for _, r := range s.Rules {
		if r.Always {
			line(w, "else", "%s", r.Value)
			continue
		}
		if key := r.If.Signal.Bus + "/" + r.If.Signal.Message; !seen[key] {
			seen[key] = true
			p.explainMessage(w, r.If.Signal)
		}
		line(w, "rule", "%s if %s (%s) is %d", r.Value, r.If.Signal, describeBits(p.Signal(r.If.Signal)), r.If.Is)
	}
}

func (p *Profile) explainChars(w *strings.Builder, s *Source) {
	fmt.Fprintf(w, "%d characters\n", len(s.Chars))
	p.explainMessage(w, s.Chars[0])
	for _, r := range s.Chars {
		line(w, "character", "%s (%s)", r, describeBits(p.Signal(r)))
	}
	if s.Check == "vin" {
		line(w, "value", "17 letters and digits without I, O and Q, never shown; else not available")
	}
}

func (p *Profile) explainCrash(w *strings.Builder) {
	for i, s := range p.Crash.Sources {
		fmt.Fprintf(w, "%d. %s/%s\n", i+1, s.Message.Bus, s.Message.DBC.Name)
		p.explainMessage(w, s.Any[0].Signal)
		for _, b := range s.Any {
			side := ""
			if b.Direction.Kind() != NoValue {
				side = ": " + b.Direction.String()
			}
			line(w, "crash", "%s (bit %d)%s", b.Signal.Signal, b.Number, side)
		}
		for _, b := range s.AllZero {
			line(w, "unless", "%s (bit %d)", b.Signal.Signal, b.Number)
		}
		line(w, "when", "the same bit stands in %d frames within %s", s.Frames, s.Within)
		if !s.Alone {
			line(w, "counts", "only together with another source")
		}
	}
	if o := p.Crash.OnlyWith; o != nil {
		fmt.Fprintf(w, "only when %s was %d in the last %s\n", o.Signal, o.Is, o.SeenWithin)
	}
}
