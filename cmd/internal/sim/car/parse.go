package car

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrVerb is wrapped by what [Car.Do] says about a line it does not understand.
var ErrVerb = errors.New("no such order")

// MaxLine is the longest control line, in octets.
const MaxLine = 1024

// An arg is one word of a control line, understood. text is the form in which
// it would be printed.
type arg struct {
	text string
	n, m float64
	d    time.Duration
}

// A kind is what a word of a line may be.
type kind struct {
	want  string // in what is said about a mistake and, in capitals, in the usage
	parse func(word string) (arg, bool)
}

// An order is a control line that was understood.
type order struct {
	verb *verb
	args []arg
}

func (o order) String() string {
	words := []string{o.verb.name}
	for _, a := range o.args {
		words = append(words, a.text)
	}
	return strings.Join(words, " ")
}

// parse reads one line. It knows words and ranges; whether the car can do it now
// is the verb's to say.
func parse(line string) (order, error) {
	if len(line) > MaxLine {
		return order{}, fmt.Errorf("%w: the line has more than %d octets", ErrVerb, MaxLine)
	}
	words := strings.Fields(line)
	if len(words) == 0 {
		return order{}, fmt.Errorf("%w: the line is empty; say help", ErrVerb)
	}
	v, words := lookUp(words)
	if v == nil {
		return order{}, fmt.Errorf("%w: %q; say help", ErrVerb, cut(words))
	}
	o := order{verb: v}
	kinds := v.kinds
	if len(words) > len(kinds) {
		kinds = slices.Concat(kinds, v.optional)
	}
	for i, w := range words {
		k := v.more
		if i < len(kinds) {
			k = kinds[i]
		}
		if k.parse == nil || i >= len(kinds)+mostMore {
			return order{}, fmt.Errorf("%w: %q is too much; usage: %s", ErrVerb, cut(words[i:]), v.usage())
		}
		a, ok := k.parse(w)
		if !ok {
			return order{}, fmt.Errorf("%w: %q is not %s; usage: %s", ErrVerb, cut(words[i:i+1]), k.want, v.usage())
		}
		o.args = append(o.args, a)
	}
	if len(words) < len(kinds) {
		return order{}, fmt.Errorf("%w: %s is missing; usage: %s", ErrVerb, kinds[len(words)].want, v.usage())
	}
	return o, nil
}

// mostMore is how many words of the kind more a line may end with.
const mostMore = 3

// cut is what is repeated of a line that was not understood.
func cut(words []string) string {
	s := strings.Join(words, " ")
	return s[:min(len(s), 40)]
}

func lookUp(words []string) (*verb, []string) {
	for n := min(2, len(words)); n > 0; n-- {
		name := strings.Join(words[:n], " ")
		for i := range verbs {
			if verbs[i].name == name {
				return &verbs[i], words[n:]
			}
		}
	}
	return nil, words
}

func (v *verb) usage() string {
	words := []string{v.name}
	for _, k := range v.kinds {
		words = append(words, k.shown())
	}
	if len(v.optional) > 0 {
		var all []string
		for _, k := range v.optional {
			all = append(all, k.shown())
		}
		words = append(words, "["+strings.Join(all, " ")+"]")
	}
	if v.more.parse != nil {
		words = append(words, "["+v.more.shown()+" ...]")
	}
	return strings.Join(words, " ")
}

func (k kind) shown() string { return strings.ToUpper(strings.ReplaceAll(k.want, " ", "_")) }

// word is one of some words.
func word(want ...string) kind {
	return kind{strings.Join(want, "|"), func(w string) (arg, bool) {
		return arg{text: w}, slices.Contains(want, w)
	}}
}

// toggle is a word of two, the first of which means yes (1).
func toggle(yes, no string) kind {
	return kind{yes + "|" + no, func(w string) (arg, bool) {
		a := arg{text: w}
		if w == yes {
			a.n = 1
		}
		return a, w == yes || w == no
	}}
}

// number is a decimal number within a range, both ends included.
func number(least, most float64) kind {
	want := fmt.Sprintf("%s..%s", shortest(least), shortest(most))
	return kind{want, func(w string) (arg, bool) {
		n, ok := decimal(w)
		return arg{text: shortest(n), n: n}, ok && least <= n && n <= most
	}}
}

// whole is an integer within a range.
func whole(least, most int) kind {
	return kind{fmt.Sprintf("%d..%d", least, most), func(w string) (arg, bool) {
		n, err := strconv.Atoi(w)
		return arg{text: strconv.Itoa(n), n: float64(n)}, err == nil && least <= n && n <= most
	}}
}

func shortest(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

func decimal(w string) (float64, bool) {
	if w == "" || strings.Trim(w, "0123456789.-") != "" || len(w) > 20 {
		return 0, false
	}
	n, err := strconv.ParseFloat(w, 64)
	return n + 0, err == nil // + 0: there is no -0 here
}

// duration is 0 to an hour, as Go writes it: 15ms, 5s, 1m30s.
func duration(most time.Duration) kind {
	return kind{"0s.." + most.String(), func(w string) (arg, bool) {
		d, err := time.ParseDuration(w)
		return arg{text: d.String(), d: d}, err == nil && 0 <= d && d <= most && len(w) <= 20
	}}
}

// place is LAT,LON in degrees.
func place() kind {
	return kind{"lat,lon", func(w string) (arg, bool) {
		first, second, _ := strings.Cut(w, ",")
		lat, ok1 := decimal(first)
		lon, ok2 := decimal(second)
		ok := ok1 && ok2 && math.Abs(lat) <= 89 && math.Abs(lon) <= 180
		return arg{text: shortest(lat) + "," + shortest(lon), n: lat, m: lon}, ok
	}}
}

// sentMessage is the identifier (hexadecimal) or the name of a message that the
// car sends.
func sentMessage() kind {
	return kind{"message", func(w string) (arg, bool) {
		id, err := strconv.ParseUint(w, 16, 32)
		for _, s := range newSenders() {
			if s.m.name == w || err == nil && s.m.id == uint32(id) {
				return arg{text: fmt.Sprintf("%03X", s.m.id), n: float64(s.m.id)}, true
			}
		}
		return arg{}, false
	}}
}

// aBus is the name of a bus, or of the socket it is served on.
func aBus() kind {
	return kind{"drive|body|fd", func(w string) (arg, bool) {
		for b, name := range busNames {
			if w == name || w == fmt.Sprintf("can%d", b) {
				return arg{text: name, n: float64(b)}, true
			}
		}
		return arg{}, false
	}}
}
