package modem

import "strings"

// maxLine bounds what one line of a modem may hold; longer ones are dropped.
const maxLine = 512

// prompt is the token for the > after which a modem takes data; it has no line
// end, and no other token looks like it.
const prompt = ">"

// A splitter cuts the octets of an AT port into tokens: answers, events and
// prompts, without line ends and outer blanks. It cuts at CR and LF and, since
// modems glue events to what was before, at the known words inside a line. The
// zero value is ready.
type splitter struct {
	line []byte
	over bool // the line is too long: dropped to its end
}

// feed calls emit for each token that b completes.
func (s *splitter) feed(b []byte, emit func(string)) {
	for _, c := range b {
		switch {
		case c == '\r' || c == '\n':
			s.flush(emit)
		case len(s.line) == 0 && !s.over && c == '>':
			emit(prompt)
		case s.over || c < ' ' && c != '\t' || c > '~':
		case c == '\t' || c == ' ':
			if len(s.line) > 0 {
				s.add(' ')
			}
		default:
			s.add(c)
		}
	}
}

func (s *splitter) add(c byte) {
	if len(s.line) == maxLine {
		s.line, s.over = s.line[:0], true
		return
	}
	s.line = append(s.line, c)
}

// flush takes what is there for a line.
func (s *splitter) flush(emit func(string)) {
	line := string(s.line)
	s.line, s.over = s.line[:0], false
	for line != "" {
		n := segment(line)
		if t := strings.TrimSpace(line[:n]); t != "" {
			emit(t)
		}
		line = strings.TrimLeft(line[n:], " ")
	}
}

// pending is the line so far, for the owner to judge when nothing follows.
func (s *splitter) pending() string { return strings.TrimSpace(string(s.line)) }

// words are the events that are one word. A word comes after every longer one
// that begins like it; that DISCONNECTED holds CONNECTED is no harm, for a line
// is searched from its start.
var words = []string{"DISCONNECTED", "CONNECTED", "RELEASED", "DIALING", "RINGING", "RING", "NO CARRIER", "NO ANSWER", "NO DIALTONE", "BUSY"}

const ecallEvent = "#ECALLEV:"

// inner reports whether a word may be searched for within a line: the short
// ones stand in other words too.
func inner(word string) bool { return len(word) > 4 }

// segment returns where the first token of line ends.
func segment(line string) int {
	if n := event(line, false); n > 0 {
		return n
	}
	if len(line) > 2 && hasPrefix(line, "OK") && (event(line[2:], false) > 0 || strings.ContainsRune("+#", rune(line[2]))) {
		return 2
	}
	for i := 1; i < len(line); i++ {
		if event(line[i:], true) > 0 || header(line[i:]) {
			return i
		}
	}
	if n := len(line) - 2; n > 0 && line[n:] == "OK" && !isAT(line) {
		return n
	}
	return len(line)
}

// event returns the length of the event that line begins with, or 0. Within a
// line only words in capitals count, so that no prose is cut.
func event(line string, within bool) int {
	if hasPrefix(line, ecallEvent) {
		return arguments(line, len(ecallEvent))
	}
	for _, w := range words {
		switch {
		case within && inner(w) && strings.HasPrefix(line, w), !within && hasPrefix(line, w):
			return len(w)
		}
	}
	return 0
}

// arguments returns where "n" or "n,n" after position at ends. A number without
// end could swallow the next event's, so two digits are the most.
func arguments(line string, at int) int {
	number := func(at int) int {
		at += len(line[at:]) - len(strings.TrimLeft(line[at:], " "))
		for n := 0; n < 2 && at < len(line) && '0' <= line[at] && line[at] <= '9'; n++ {
			at++
		}
		return at
	}
	at = number(at)
	if at < len(line) && line[at] == ',' {
		at = number(at + 1)
	}
	return at
}

// hasPrefix is strings.HasPrefix for a modem that may answer in lower case.
func hasPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// header reports whether s begins like an answer or event of its own: + or #,
// letters, and a colon.
func header(s string) bool {
	if s[0] != '+' && s[0] != '#' {
		return false
	}
	n := strings.IndexByte(s, ':')
	if n < 4 || n > 12 {
		return false
	}
	for _, c := range strings.ToUpper(s[1:n]) {
		if c != ' ' && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// isAT reports whether a line is an echo: no answer begins like a command.
func isAT(line string) bool { return hasPrefix(line, "AT") }
