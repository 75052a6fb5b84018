package modem

import (
	"errors"
	"strings"
)

// An op is what a command asks: to do, to set, to read, or what is possible.
type op string

const (
	exec op = ""
	set  op = "="
	read op = "?"
	test op = "=?"
)

// An order is one command of a line, such as +CREG=1 in ATE0+CREG=1.
type order struct {
	name string // upper case, with its prefix: "+CREG", "#MSDSEND", "E", "D"
	op   op
	args string // as written, quotes included; for basic commands the number
}

var (
	errNotAT  = errors.New("line does not begin with AT")
	errSyntax = errors.New("not an AT command")
)

// parseLine splits a command line after ITU-T V.250 5.2 and 5.4: basic commands
// follow each other, extended ones are divided by semicolons.
func parseLine(line string) ([]order, error) {
	line = strings.TrimSpace(line)
	if len(line) < 2 || !strings.EqualFold(line[:2], "AT") {
		return nil, errNotAT
	}
	var all []order
	rest := line[2:]
	for rest = strings.TrimLeft(rest, " ;"); rest != ""; rest = strings.TrimLeft(rest, " ;") {
		var o order
		var err error
		switch c := rest[0]; {
		case strings.IndexByte("+#^", c) >= 0:
			o, rest, err = parseExtended(rest)
		case c == 'D' || c == 'd': // the number runs to the end of the line
			o, rest = order{name: "D", args: strings.TrimSpace(rest[1:])}, ""
		default:
			o, rest, err = parseBasic(rest)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

func parseExtended(s string) (order, string, error) {
	end := 1
	for end < len(s) && isWord(s[end]) {
		end++
	}
	if end == 1 {
		return order{}, "", errSyntax
	}
	o := order{name: strings.ToUpper(s[:end])}
	body, rest := cutCommand(s[end:])
	switch {
	case body == "":
	case body == "?":
		o.op = read
	case body == "=?":
		o.op = test
	case body[0] == '=':
		o.op, o.args = set, strings.TrimSpace(body[1:])
	default:
		return order{}, "", errSyntax
	}
	return o, rest, nil
}

// cutCommand divides at the first semicolon that is not inside quotes.
func cutCommand(s string) (body, rest string) {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ';' && !quoted:
			return strings.TrimSpace(s[:i]), s[i+1:]
		}
	}
	return strings.TrimSpace(s), ""
}

func parseBasic(s string) (order, string, error) {
	end := 1
	if s[0] == '&' && len(s) > 1 {
		end = 2
	}
	if !isLetter(s[end-1]) {
		return order{}, "", errSyntax
	}
	name := strings.ToUpper(s[:end])
	from := end
	for end < len(s) && isDigit(s[end]) {
		end++
	}
	return order{name: name, args: s[from:end]}, s[end:], nil
}

// arguments divides at commas and takes the quotes off.
func (o order) arguments() []string {
	if o.args == "" {
		return nil
	}
	all := strings.Split(o.args, ",")
	for i := range all {
		all[i] = strings.Trim(strings.TrimSpace(all[i]), `"`)
	}
	return all
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isWord(c byte) bool   { return isLetter(c) || isDigit(c) }

// isNumber reports whether s can be dialled.
func isNumber(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for i := range len(s) {
		if !isDigit(s[i]) && s[i] != '*' && s[i] != '#' && (s[i] != '+' || i > 0) {
			return false
		}
	}
	return true
}
