package slcan

import "bytes"

// A scanner cuts a stream into lines. It holds one line at most.
type scanner struct {
	buf  [MaxLine]byte
	n    int
	long bool // the line has passed MaxLine: it is dropped at its end
}

// A token is one line and what ended it.
type token struct {
	text []byte // without line feeds; good until the next call
	end  byte   // CR or BEL; 0: the line has no end yet
	long bool   // it was dropped
}

// next takes a line from the front of chunk and returns what is left of it.
func (s *scanner) next(chunk []byte) (t token, rest []byte) {
	at := 0
	for at < len(chunk) && chunk[at] != cr && chunk[at] != bel {
		at++
	}
	if at == len(chunk) {
		s.keep(chunk)
		return token{}, nil
	}
	text, rest := chunk[:at], chunk[at+1:]
	if s.n > 0 || s.long || at > MaxLine || bytes.IndexByte(text, '\n') >= 0 {
		s.keep(text)
		text = s.buf[:s.n]
	}
	t = token{text, chunk[at], s.long}
	s.n, s.long = 0, false
	return t, rest
}

func (s *scanner) keep(text []byte) {
	for _, c := range text {
		switch {
		case c == '\n':
		case s.n == len(s.buf):
			s.long = true
			return
		default:
			s.buf[s.n] = c
			s.n++
		}
	}
}
