package modem

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"time"
)

// maxLine bounds a command line; a real modem gives up at about as much.
const maxLine = 512

// A port is one AT port: its line buffer, its own settings and its way out.
// Everything but the two loops runs under the lock of the modem.
type port struct {
	m      *Modem
	number int
	rw     io.ReadWriteCloser
	out    chan []byte

	line   []byte
	long   bool // the line passed maxLine: it is answered with ERROR at its end
	data   bool // after the prompt: set of data until Ctrl-Z
	echo   bool
	values map[string]string // settings that each port has for itself
	held   string            // events that wait to be glued
}

func newPort(m *Modem, number int, rw io.ReadWriteCloser) *port {
	p := &port{m: m, number: number, rw: rw, out: make(chan []byte, 256)}
	p.forget()
	return p
}

func (p *port) forget() {
	p.echo, p.data, p.long, p.line, p.held = true, false, false, nil, ""
	p.values = make(map[string]string)
}

// read takes what the host sends until the port ends.
func (p *port) read(ctx context.Context) error {
	buf := make([]byte, 1024)
	for {
		n, err := p.rw.Read(buf)
		p.m.mu.Lock()
		for _, b := range buf[:n] {
			p.octet(b)
		}
		p.m.mu.Unlock()
		if err != nil || ctx.Err() != nil {
			return err
		}
	}
}

// write sends what is queued. A host that does not read loses the newest
// output, as with a real line without flow control.
func (p *port) write(ctx context.Context) {
	for {
		select {
		case b := <-p.out:
			if _, err := p.rw.Write(b); err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

const (
	ctrlZ  = 0x1A
	escape = 0x1B
)

func (p *port) octet(b byte) {
	switch {
	case p.data && (b == ctrlZ || b == escape):
		text := string(p.line)
		p.data, p.line = false, nil
		p.echoed(text)
		p.answered(p.m.loaded(text, b == ctrlZ && !p.long))
		p.long = false
	case p.data && (b == '\r' || b == '\n'): // a line end inside the data means nothing
	case b == '\r':
		line, long := string(p.line), p.long
		p.line, p.long = nil, false
		p.m.command(p, line, long)
	case b == '\n' && len(p.line) == 0:
	case len(p.line) >= maxLine:
		p.long = true
	default:
		p.line = append(p.line, b)
	}
}

// echoed repeats what was received, if echo is on.
func (p *port) echoed(text string) {
	if p.echo || p.m.faults.echo {
		p.send([]byte(text + "\r"))
	}
}

// A result is what becomes of one command, or of a line of them.
type result struct {
	lines  []string
	final  string // OK, ERROR, …; empty: no final answer
	prompt bool
}

var (
	ok      = result{final: "OK"}
	silent  = result{}
	refused = result{final: "ERROR"}
)

func say(lines ...string) result { return result{lines: lines, final: "OK"} }

// answered sends a result, with whatever fault was ordered for it.
func (p *port) answered(r result) {
	f := &p.m.faults
	if r.prompt {
		if !f.take(&f.noprompt) {
			p.data = true
			p.late([]byte("\r\n> "))
		}
		return
	}
	if r.final == "OK" && f.take(&f.nook) {
		r.final = ""
	}
	lines := r.lines
	if r.final != "" {
		lines = append(slices.Clip(lines), r.final)
	}
	switch {
	case len(lines) == 0:
		return
	case f.take(&f.lost):
		return
	case f.take(&f.garbage):
		p.late([]byte("\xff\x00\x80AT\r\n\x1b[7m#ECALLEV: ,,\r\r\n+\xfe"))
		return
	case f.take(&f.nonsense):
		lines = []string{"+CMTI: \"SM\",3", "#ECALLEV: 99,-1", "CONNECT 9600"}
	}
	p.late(p.framed(lines))
}

// framed joins lines as they go out: CR LF before and after each.
func (p *port) framed(lines []string) []byte {
	var b bytes.Buffer
	held := p.held
	p.held = ""
	for i, l := range lines {
		b.WriteString("\r\n")
		if i == 0 {
			b.WriteString(held) // an answer glued behind an event
		}
		b.WriteString(l)
		if !p.m.faults.noline {
			b.WriteString("\r\n")
		}
	}
	return b.Bytes()
}

// late sends b after the delay that was ordered, usually none.
func (p *port) late(b []byte) {
	d := p.m.faults.late
	if d == 0 {
		p.send(b)
		return
	}
	time.AfterFunc(d, func() {
		p.m.mu.Lock()
		defer p.m.mu.Unlock()
		p.send(b)
	})
}

// event sends a line nobody asked for at this moment.
func (p *port) event(text string) {
	if !p.m.faults.glued {
		p.send(p.framed([]string{text}))
		return
	}
	text = strings.Replace(text, ": ", ":", 1)
	if p.held += text; p.held != text {
		return // its predecessor has set the timer
	}
	time.AfterFunc(p.m.opts.Glue, func() {
		p.m.mu.Lock()
		defer p.m.mu.Unlock()
		if p.held != "" {
			p.send(p.framed([]string{""}))
		}
	})
}

func (p *port) send(b []byte) {
	if p.m.faults.deaf[p.number] || !p.m.awake() {
		return
	}
	if p.m.faults.lower {
		b = bytes.ToLower(b)
	}
	select {
	case p.out <- b:
	default:
	}
}
