package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

// dbcFiles takes every name up to the next flag or --.
type dbcFiles []string

// Decode is called by kong for each --dbc.
func (d *dbcFiles) Decode(ctx *kong.DecodeContext) error {
	before := len(*d)
	for {
		t := ctx.Scan.Peek()
		name, ok := t.Value.(string)
		if !ok || t.Type == kong.EOLToken || t.Type == kong.PositionalArgumentToken ||
			t.Type == kong.UntypedToken && strings.HasPrefix(name, "-") {
			break
		}
		ctx.Scan.Pop()
		*d = append(*d, name)
		if t.Type == kong.FlagValueToken {
			break
		}
	}
	if len(*d) == before {
		return errors.New("name a DBC file")
	}
	return nil
}

type decodeCmd struct {
	DBC       dbcFiles `name:"dbc" required:"" placeholder:"FILE..." help:"DBC files; all names up to the next flag or -- are meant. Where two describe one identifier, the first file named wins."`
	JSON      bool     `help:"One JSON object a line instead of text."`
	Known     bool     `help:"Leave out frames that no file describes."`
	Interface string   `help:"Only frames of this interface of the recording." placeholder:"NAME"`
	Warnings  bool     `help:"Say on stderr what the DBC files leave to be desired, and which messages an earlier file hides."`
	Recording []string `arg:"" optional:"" help:"Recordings in candump text; none, or -, is standard input. Write -- before the first."`
}

// Help is the long part of --help.
func (decodeCmd) Help() string {
	return `Reads candump text and prints one line a frame, in order:

  headunitctl can decode --dbc vw_mqb.dbc -- drive.log
  candump -L can0 | headunitctl can decode --json --dbc a.dbc b.dbc

With --json a line is
  {"t":1747900000.123456,"id":253,"ext":false,"message":"ESP_21","signals":{"ESP_v_Signal":{"value":50,"raw":5000,"unit":"km/h","quality":"good"}}}

t is in seconds, null where the recording has no time; id is without flag bits.
value is raw times factor plus offset in float64, never clamped; raw is the
number in the frame: an integer, of a float signal the float. NaN and infinities
are the strings "NaN", "Infinity" and "-Infinity". label is the text that the
file gives for raw (VAL_), and is absent where there is none. quality is "good",
or "unavailable" with value and raw null where the frame is too short for the
signal. Signals of a multiplexer that are not in the frame are left out. A frame
that no file describes has the message "" and no signals, or is left out with
--known. Remote and error frames have no signals, and a key "kind" that says
"remote" or "error".

A line that cannot be read is named on stderr as file:line:column, and reading
goes on; the exit status is then 1.`
}

// Run decodes all recordings.
func (c *decodeCmd) Run(out output, in input, err complaints) error {
	t, fail := c.table(err)
	if fail != nil {
		return fail
	}
	d := &decoding{table: t, only: c.Interface, known: c.Known, out: out, said: err}
	names := c.Recording
	if len(names) == 0 {
		names = []string{"-"}
	}
	for _, name := range names {
		if fail := d.file(name, in); fail != nil {
			return errors.Join(d.flush(), fail)
		}
	}
	if fail := d.flush(); fail != nil {
		return fail
	}
	if d.bad {
		return errSaid
	}
	return nil
}

func (c *decodeCmd) table(say io.Writer) (*table, error) {
	t := newTable(c.JSON)
	for _, name := range c.DBC {
		src, err := os.ReadFile(name)
		if err != nil {
			return nil, errUse{err.Error()}
		}
		f, warnings, err := dbc.Parse(name, src)
		if err != nil {
			return nil, errUse{err.Error()}
		}
		hidden, err := t.add(f)
		if err != nil {
			return nil, errUse{fmt.Sprintf("%s: %v", name, err)}
		}
		if c.Warnings {
			for _, w := range warnings {
				fmt.Fprintf(say, "%v (warning)\n", &w)
			}
			for _, h := range hidden {
				fmt.Fprintf(say, "%s: %s (warning)\n", name, h)
			}
		}
	}
	return t, nil
}

// block is how much is written at once, unless the input makes us wait.
const block = 256 << 10

// decoding is one run over recordings.
type decoding struct {
	table *table
	only  string // interface; empty: any
	known bool
	out   io.Writer
	said  io.Writer
	bad   bool // a line could not be read
	buf   []byte
}

// prompt writes what is ready before each read, so that what comes slowly is
// shown at once.
type prompt struct {
	io.Reader
	before func() error
}

func (p prompt) Read(b []byte) (int, error) {
	if err := p.before(); err != nil {
		return 0, err
	}
	return p.Reader.Read(b)
}

func (d *decoding) flush() error {
	if len(d.buf) == 0 {
		return nil
	}
	_, err := d.out.Write(d.buf)
	d.buf = d.buf[:0]
	return err
}

func (d *decoding) file(name string, in io.Reader) error {
	if name == "-" {
		name = "stdin"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return errUse{err.Error()}
		}
		defer f.Close()
		in = f
	}
	lines := canbus.NewReader(name, bufio.NewReaderSize(prompt{in, d.flush}, block))
	for {
		l, err := lines.Next()
		if bad, ok := errors.AsType[*canbus.ParseError](err); ok {
			d.bad = true
			fmt.Fprintln(d.said, bad)
			continue
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case d.only != "" && d.only != l.Interface:
			continue
		}
		e := d.table.find(&l.Frame)
		if e == nil && d.known {
			continue
		}
		if d.buf = d.table.append(d.buf, &l, e); len(d.buf) >= block {
			if err := d.flush(); err != nil {
				return err
			}
		}
	}
}
