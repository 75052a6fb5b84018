package socketcand

import (
	"testing"
)

var badRequests = []string{
	"", " ", "open can0", "rawmode 1", "echo echo", "nonsense", "isotpmode", "controlmode", "muxfilter 0 0 123 2", "statistics 100",
	"send", "send 123", "send 123 1", "send 123 1 1 1", "send 123 2 1", "send 123 1 100", "send 123 1 g", "send 123 9 1 2 3 4 5 6 7 8 9",
	"send 800 0", "send FFF 0", "send 20000000 0", "send 12 0", "send 1234 0", "send 123456789 0", "send 123 -1", "send 123 00",
	"fdsend 123 0 8 1", "fdsend 123 01 0", "fdsend 123 02 0", "fdsend 123 0C 0", "fdsend 123 10 0", "fdsend 123 80 0",
	"fdsend 123 04 9 1 2 3 4 5 6 7 8 9", "fdsend 123 00 12 1 2 3 4 5 6 7 8 9 a b c", "fdsend 123 08 4 1 2 3 4", "fdsend 123 04 65",
	"fdsend 123 104 0", "fdsend 123 04 100",
	"subscribe 0 123", "subscribe 0 0 123 4", "subscribe -1 0 123", "subscribe 0 1000000 123", "unsubscribe", "unsubscribe 0 0 123",
	"add 0 0 123 0", "add 0 999 123 0", "add 1 0 123", "update 123", "delete", "delete 123 4", "filter 0 0 123 1",
}

func TestBadRequests(t *testing.T) {
	for _, text := range badRequests {
		if r, ok := parseRequest([]byte(" " + text + " ")); ok && r.verb != verbOpen {
			t.Errorf("%q is %+v", text, r)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	for _, text := range badRequests {
		f.Add(" " + text + " ")
	}
	for _, text := range []string{
		"open can0", "rawmode", "bcmmode", "fdmode", "echo", "origin", "send 123 4 1a 22 3 44", "send 1FFFFFFF 0  ",
		"fdsend 123 07 12 1 2 3 4 5 6 7 8 9 a b c", "fdsend 00000123 08 8", "subscribe 0 0 123", "unsubscribe 00000123",
		"add 1 500000 123 1 1", "update 123 1 1", "delete 123", "filter 0 0 123 2 ff 0",
	} {
		if _, ok := parseRequest([]byte(" " + text + " ")); !ok {
			f.Fatalf("seed %q is refused", text)
		}
		f.Add(" " + text + " ")
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parseRequest([]byte(text))
		if !ok {
			return
		}
		if err := r.frame.Check(); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if r.verb != verbSend && r.verb != verbFdsend {
			return
		}
		said := appendSend(nil, &r.frame)
		again, ok := parseRequest(said[1 : len(said)-1])
		if !ok || again.frame != r.frame {
			t.Fatalf("%q is written as %q and read as %+v", text, said, again)
		}
	})
}
