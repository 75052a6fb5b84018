package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

// shared holds files and reference values of others, which are not ours to keep.
const shared = "../../../shared/data"

// A vector is one line of the reference values.
type vector struct {
	DBC, Message string
	ID           uint32
	Extended     bool
	Data         string
	Signals, Raw map[string]any
}

func vectors(t *testing.T) map[string][]vector {
	t.Helper()
	f, err := os.Open(filepath.Join(shared, "vectors/decode_vectors.jsonl"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the reference values are not there: they lie beside the project, not in it")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, lines := map[string][]vector{}, bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v vector
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.UseNumber()
		if err := d.Decode(&v); err != nil {
			t.Fatal(err)
		}
		all[v.DBC] = append(all[v.DBC], v)
	}
	if lines.Err() != nil || len(all) == 0 {
		t.Fatal("no reference values:", lines.Err())
	}
	return all
}

// line is a vector's frame as candump writes it.
func (v vector) line(t *testing.T, i int) string {
	t.Helper()
	data, err := hex.DecodeString(v.Data)
	if err != nil {
		t.Fatal(err)
	}
	f := canbus.Frame{ID: v.ID, Len: uint8(len(data))}
	copy(f.Data[:], data)
	if v.Extended {
		f.Flags |= canbus.Extended
	}
	if len(data) > canbus.MaxLen {
		f.Flags |= canbus.FD
		f.Len = uint8(canbus.LenOf(canbus.DLC(len(data)), true))
	}
	return canbus.Line{At: time.Unix(int64(i), 1000), HasTime: true, Interface: "can0", Frame: f}.String()
}

// A decoded is one line of our output.
type decoded struct {
	T       json.Number
	ID      uint32
	Ext     bool
	Message string
	Signals map[string]struct {
		Value, Raw           any
		Unit, Label, Quality string
	}
}

// TestVectors compares every value with reference values, as a user gets them:
// candump text in, JSON out, of the whole program.
func TestVectors(t *testing.T) {
	values := 0
	for file, all := range vectors(t) {
		var in strings.Builder
		for i, v := range all {
			fmt.Fprintln(&in, v.line(t, i))
		}
		var out, complaints bytes.Buffer
		if code := run([]string{"can", "decode", "--json", "--dbc", filepath.Join(shared, "dbc", file)}, strings.NewReader(in.String()), &out, &complaints); code != 0 || complaints.Len() > 0 {
			t.Fatalf("%s: status %d, %s", file, code, &complaints)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != len(all) {
			t.Fatalf("%s: %d lines for %d frames", file, len(lines), len(all))
		}
		for i, v := range all {
			var got decoded
			d := json.NewDecoder(strings.NewReader(lines[i]))
			d.UseNumber()
			d.DisallowUnknownFields()
			if err := d.Decode(&got); err != nil {
				t.Fatalf("%s: %v in %s", file, err, lines[i])
			}
			if got.T != json.Number(fmt.Sprintf("%d.000001", i)) || got.ID != v.ID || got.Ext != v.Extended || got.Message != v.Message {
				t.Fatalf("%s: %.80s, want %s", file, lines[i], v.Message)
			}
			values += compare(t, v, got)
		}
	}
	if values != 7275 {
		t.Errorf("compared %d values, want all 7,275", values)
	}
}

func compare(t *testing.T, v vector, got decoded) int {
	t.Helper()
	if a, b := slices.Sorted(maps.Keys(got.Signals)), slices.Sorted(maps.Keys(v.Signals)); !slices.Equal(a, b) {
		t.Errorf("%s %s: signals %v, want %v", v.DBC, v.Message, a, b)
		return 0
	}
	for name, want := range v.Signals {
		s := got.Signals[name]
		if !same(s.Value, want) || !same(s.Raw, v.Raw[name]) || s.Quality != "good" {
			t.Errorf("%s %s.%s: value %v raw %v (%s), want %v raw %v", v.DBC, v.Message, name, s.Value, s.Raw, s.Quality, want, v.Raw[name])
		}
	}
	return len(v.Signals)
}

// same compares integers by their digits, and what else is a number by ==.
func same(a, b any) bool {
	if a == b {
		return true
	}
	x, ok1 := a.(json.Number)
	y, ok2 := b.(json.Number)
	if !ok1 || !ok2 {
		return false
	}
	f, err1 := x.Float64()
	g, err2 := y.Float64()
	if math.Abs(f) > 1<<53 && !strings.ContainsAny(x.String()+y.String(), ".eE") {
		return false // two integers that float64 cannot tell apart
	}
	return err1 == nil && err2 == nil && f == g
}

const small64 = `VERSION ""
BU_: A
BO_ 5 M: 8 A
 SG_ S : 0|64@1+ (1,0) [0|0] "" A
BO_ 6 N: 8 A
 SG_ Mux M : 0|8@1+ (1,0) [0|0] "" A
 SG_ A m1 : 8|8@1- (0.5,-3) [0|0] "\"V	" A
 SG_ B m2 : 8|16@1+ (1,0) [0|0] "" A
 SG_ C : 32|32@1- (1,0) [0|0] "" A
SIG_VALTYPE_ 6 C : 1;
VAL_ 6 A 2 "two
lines \"q\" \x" -1 "minus";
VAL_ 6 C 7 "seven";
`

// FuzzDecode: whatever the recording, one line of JSON for each frame, and no
// other.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		"can0 005#FFFFFFFFFFFFFFFF\n", "(1.000001) can0 006#01020304050607\n", "can0 006#02\ncan0 006#01FE\n", "can0 006#01020000000000E040\n",
		"can0 006#0000000000000000C07F", "can0 006#000000000000807F", "can0 005##1112233\n", "can0 005#R8\n", "can0 20000004#00\n", "x\n", "\xff#\n",
		"(99999999999.123456789) can0 1FFFFFFF#\n", "can0 123#1122334455667788_C\n",
	} {
		f.Add(s)
	}
	file, _, err := dbc.Parse("x.dbc", []byte(small64))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, recording string) {
		for _, asJSON := range []bool{true, false} {
			table := newTable(asJSON)
			if _, err := table.add(file); err != nil {
				t.Fatal(err)
			}
			var out, said bytes.Buffer
			d := decoding{table: table, out: &out, said: &said}
			if err := errors.Join(d.file("-", strings.NewReader(recording)), d.flush()); err != nil {
				t.Fatal(err)
			}
			frames, bad := 0, 0
			for lines := canbus.NewReader("stdin", strings.NewReader(recording)); ; {
				_, err := lines.Next()
				if _, ok := errors.AsType[*canbus.ParseError](err); ok {
					bad++
				} else if err != nil {
					break
				} else {
					frames++
				}
			}
			text := out.String()
			if strings.Count(text, "\n") != frames || strings.Count(said.String(), "\n") != bad || d.bad != (bad > 0) {
				t.Fatalf("%d frames, %d bad lines: %q, %q", frames, bad, text, said.String())
			}
			for line := range strings.Lines(text) {
				if asJSON && !json.Valid([]byte(line)) {
					t.Fatalf("no JSON: %s", line)
				}
			}
		}
	})
}

func FuzzQuote(f *testing.F) {
	for _, s := range []string{"", "km/h", "a\"b\\c", "\x00\x1f\x7f", "°C", "\xff\xfe", "\u2028", "😀"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal([]byte(quote(s)), &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") && back != string([]rune(s)) {
			t.Fatalf("%q is quoted as %s: %v", s, quote(s), err)
		}
	})
}

func TestNumbers(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", math.Copysign(0, -1): "0", 1: "1", -0.5: "-0.5", 655.34: "655.34", 1e15: "1000000000000000", 1e21: "1e+21", 1e-7: "1e-07",
		0.000001: "0.000001", math.MaxFloat64: "1.7976931348623157e+308", math.Inf(1): `"Infinity"`, math.Inf(-1): `"-Infinity"`,
		5e-324: "5e-324", 1 << 53: "9007199254740992", 123456.789: "123456.789",
	} {
		if got := string(appendNumber(nil, x, true)); got != want || !json.Valid([]byte(got)) {
			t.Errorf("%v is written %s, want %s", x, got, want)
		}
	}
	if got := string(appendNumber(nil, math.NaN(), true)); got != `"NaN"` {
		t.Errorf("NaN is written %s", got)
	}
	if got := string(appendNumber(nil, math.NaN(), false)); got != "NaN" {
		t.Errorf("NaN is written %s in text", got)
	}
}

// slow is a reader that gives one line at a time and looks whether what it gave
// before was written by then.
type slow struct {
	t     *testing.T
	lines []string
	out   *bytes.Buffer
	given int
}

func (s *slow) Read(b []byte) (int, error) {
	if got := strings.Count(s.out.String(), "\n"); got != s.given {
		s.t.Errorf("%d lines were shown when %d had come", got, s.given)
	}
	if s.given == len(s.lines) {
		return 0, errors.New("unplugged")
	}
	s.given++
	return copy(b, s.lines[s.given-1]), nil
}

// What comes slowly is shown at once, and an input that breaks is not an end.
func TestSlowInputIsShownAtOnce(t *testing.T) {
	var out bytes.Buffer
	in := &slow{t: t, lines: []string{"can0 123#00\n", "can0 124#01\n", "can0 125#02\n"}, out: &out}
	d := decoding{table: newTable(false), out: &out, said: &out}
	if err := d.file("-", in); err == nil || !strings.Contains(err.Error(), "stdin:") || !strings.Contains(err.Error(), "unplugged") {
		t.Errorf("the error is %v", err)
	}
}

// A 0-allocation promise would be too much, since texts of values are kept; what
// matters is that it does not grow with the recording.
func BenchmarkDecode(b *testing.B) {
	src, err := os.ReadFile(filepath.Join(shared, "dbc/opendbc/vw_mqb.dbc"))
	if err != nil {
		b.Skipf("the DBC files of others are not here: %v", err)
	}
	file, _, err := dbc.Parse("vw_mqb.dbc", src)
	if err != nil {
		b.Fatal(err)
	}
	for _, asJSON := range []bool{false, true} {
		b.Run(map[bool]string{false: "text", true: "json"}[asJSON], func(b *testing.B) {
			recording := frames(file, 20_000)
			table := newTable(asJSON)
			if _, err := table.add(file); err != nil {
				b.Fatal(err)
			}
			written := counter(0)
			d := decoding{table: table, out: &written, said: &written}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if err := d.file("-", bytes.NewReader(recording)); err != nil || d.bad {
					b.Fatal(err, d.bad)
				}
				n += 20_000
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "frames/s")
			b.ReportMetric(float64(written)/float64(n), "octets/frame")
		})
	}
}

type counter int

func (c *counter) Write(b []byte) (int, error) { *c += counter(len(b)); return len(b), nil }

// frames is a recording of n frames of the messages of a file in turn, with data
// that change.
func frames(f *dbc.File, n int) []byte {
	var out []byte
	seed := uint64(1)
	for i := range n {
		m := f.Messages[i%len(f.Messages)]
		r := canbus.Frame{ID: m.ID, Len: uint8(min(m.Len, canbus.MaxLen))}
		if m.Extended {
			r.Flags = canbus.Extended
		}
		for k := range r.Payload() {
			seed = seed*6364136223846793005 + 1442695040888963407
			r.Data[k] = byte(seed >> 56)
		}
		l := canbus.Line{At: time.UnixMicro(int64(1747900000000000 + i*500)), HasTime: true, Interface: "can0", Frame: r}
		out = append(l.Append(out), '\n')
	}
	return out
}
