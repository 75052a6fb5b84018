package main

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

// A field is one signal with the texts around its numbers.
type field struct {
	signal *dbc.Signal
	exact  bool // the physical value is the raw one, also where float64 has no room for it
	name   []byte
	middle []byte // between value and raw
	end    []byte
	absent []byte            // the whole of a signal that the frame is too short for
	labels map[uint64][]byte // instead of end, by raw
	// done holds whole texts by raw, as far as they were needed: most signals
	// are small, and their values come again and again. Nil: not kept.
	done [][]byte
}

// small is the size in bits up to which texts are kept.
const small = 8

func newField(s *dbc.Signal, json bool) field {
	f := field{signal: s, exact: s.Factor == 1 && s.Offset == 0 && !s.Float, labels: map[uint64][]byte{}}
	if s.Size <= small {
		f.done = make([][]byte, 1<<s.Size)
	}
	for raw, text := range s.Values {
		if json {
			f.labels[uint64(raw)] = []byte(`,"unit":` + quote(s.Unit) + `,"label":` + quote(text) + `,"quality":"good"}`)
		} else {
			f.labels[uint64(raw)] = []byte(unit(s) + " (" + plain(text) + ")")
		}
	}
	if json {
		f.name, f.middle = []byte(quote(s.Name)+`:{"value":`), []byte(`,"raw":`)
		f.end = []byte(`,"unit":` + quote(s.Unit) + `,"quality":"good"}`)
		f.absent = []byte(quote(s.Name) + `:{"value":null,"raw":null,"unit":` + quote(s.Unit) + `,"quality":"unavailable"}`)
	} else {
		f.name, f.end, f.absent = []byte(s.Name+"="), []byte(unit(s)), []byte(s.Name+"=unavailable")
	}
	return f
}

func unit(s *dbc.Signal) string {
	if s.Unit == "" {
		return ""
	}
	return " " + plain(s.Unit)
}

// head is what a line says of the message itself.
func head(m *dbc.Message, json bool) []byte {
	if json {
		return []byte(`,"message":` + quote(m.Name) + `,"signals":{`)
	}
	return []byte("  " + m.Name + ":")
}

// append adds one line. e is nil for a frame that no file describes.
func (t *table) append(dst []byte, l *canbus.Line, e *entry) []byte {
	if !t.json {
		dst = l.Append(dst)
		if e != nil {
			dst = append(dst, e.head...)
			dst = t.signals(dst, l, e)
		}
		return append(dst, '\n')
	}
	dst = append(dst, `{"t":`...)
	dst = appendTime(dst, l)
	dst = append(dst, `,"id":`...)
	dst = strconv.AppendUint(dst, uint64(l.Frame.ID), 10)
	dst = append(dst, `,"ext":`...)
	dst = strconv.AppendBool(dst, l.Frame.Flags&canbus.Extended != 0)
	switch {
	case l.Frame.Flags&canbus.Error != 0:
		dst = append(dst, `,"kind":"error"`...)
	case l.Frame.Flags&canbus.Remote != 0:
		dst = append(dst, `,"kind":"remote"`...)
	}
	if e == nil {
		return append(dst, ",\"message\":\"\",\"signals\":{}}\n"...)
	}
	dst = append(dst, e.head...)
	dst = t.signals(dst, l, e)
	return append(dst, "}}\n"...)
}

func (t *table) signals(dst []byte, l *canbus.Line, e *entry) []byte {
	values := t.values[:e.plan.DecodeMessage(e.number, &l.Frame, t.values)]
	for i := range values {
		switch {
		case t.json && i > 0:
			dst = append(dst, ',')
		case i > 0:
			dst = append(dst, ", "...)
		case !t.json:
			dst = append(dst, ' ')
		}
		v := &values[i]
		f := &e.fields[v.Index]
		if v.Short {
			dst = append(dst, f.absent...)
			continue
		}
		if f.done == nil {
			dst = f.append(dst, v, t.json)
			continue
		}
		at := &f.done[v.Raw&uint64(len(f.done)-1)]
		if *at == nil {
			*at = f.append(nil, v, t.json)
		}
		dst = append(dst, *at...)
	}
	return dst
}

func (f *field) append(dst []byte, v *dbc.Value, json bool) []byte {
	dst = append(dst, f.name...)
	if f.exact {
		dst = f.appendRaw(dst, v)
	} else {
		dst = appendNumber(dst, v.Physical, json)
	}
	if json {
		dst = append(dst, f.middle...)
		dst = f.appendRaw(dst, v)
	}
	if label := f.label(v); label != nil {
		return append(dst, label...)
	}
	return append(dst, f.end...)
}

// label is the end of a value that the file has a text for.
func (f *field) label(v *dbc.Value) []byte {
	if len(f.labels) == 0 {
		return nil
	}
	if !f.signal.Float {
		return f.labels[v.Raw]
	}
	if x := f.float(v); x == math.Trunc(x) && math.Abs(x) < 1<<62 {
		return f.labels[uint64(int64(x))]
	}
	return nil
}

// float is the raw value of a float signal as a number.
func (f *field) float(v *dbc.Value) float64 {
	if f.signal.Size == 32 {
		return float64(math.Float32frombits(uint32(v.Raw)))
	}
	return math.Float64frombits(v.Raw)
}

func (f *field) appendRaw(dst []byte, v *dbc.Value) []byte {
	switch {
	case f.signal.Float:
		return appendNumber(dst, f.float(v), true)
	case f.signal.Signed:
		return strconv.AppendInt(dst, int64(v.Raw), 10)
	}
	return strconv.AppendUint(dst, v.Raw, 10)
}

// appendNumber writes the shortest text that reads back as x. JSON has no word
// for what is no number: there it is a string.
func appendNumber(dst []byte, x float64, json bool) []byte {
	switch {
	case math.IsNaN(x):
		return appendWord(dst, "NaN", json)
	case math.IsInf(x, 1):
		return appendWord(dst, "Infinity", json)
	case math.IsInf(x, -1):
		return appendWord(dst, "-Infinity", json)
	case x == math.Trunc(x) && math.Abs(x) < 1e15:
		return strconv.AppendInt(dst, int64(x), 10)
	case math.Abs(x) >= 1e21, math.Abs(x) < 1e-6:
		return strconv.AppendFloat(dst, x, 'e', -1, 64)
	}
	return strconv.AppendFloat(dst, x, 'f', -1, 64)
}

func appendWord(dst []byte, word string, json bool) []byte {
	if !json {
		return append(dst, word...)
	}
	dst = append(dst, '"')
	dst = append(dst, word...)
	return append(dst, '"')
}

// appendTime writes seconds with six digits after the point, nine where six
// would lose something.
func appendTime(dst []byte, l *canbus.Line) []byte {
	if !l.HasTime {
		return append(dst, "null"...)
	}
	dst = strconv.AppendInt(dst, l.At.Unix(), 10)
	v, digits := l.At.Nanosecond(), 9
	if v%int(time.Microsecond) == 0 {
		v, digits = v/int(time.Microsecond), 6
	}
	from := len(dst)
	dst = append(dst, ".000000000"[:digits+1]...)
	for i := from + digits; v > 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

// quote is s as a JSON string. What is no UTF-8 becomes U+FFFD.
func quote(s string) string {
	const hex = "0123456789abcdef"
	b := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r == 0x7F:
			b = append(b, `\u00`...)
			b = append(b, hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return string(append(b, '"'))
}

// plain is s without what would move a cursor or end a line.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7F && r < 0xA0 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}
