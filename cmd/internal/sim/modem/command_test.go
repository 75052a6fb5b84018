package modem

import (
	"slices"
	"strings"
	"testing"
)

func TestParseLine(t *testing.T) {
	for _, c := range []struct {
		line string
		want []order
	}{
		{"AT", nil},
		{"ATE0", []order{{name: "E", args: "0"}}},
		{"ate0v1+cmee=2;+CREG?", []order{{name: "E", args: "0"}, {name: "V", args: "1"}, {name: "+CMEE", op: set, args: "2"}, {name: "+CREG", op: read}}},
		{"ATD112;", []order{{name: "D", args: "112;"}}},
		{"AT+CECALL=?", []order{{name: "+CECALL", op: test}}},
		{`AT#TESTNUM=0,"1;2"`, []order{{name: "#TESTNUM", op: set, args: `0,"1;2"`}}},
		{"AT#MSDSEND", []order{{name: "#MSDSEND"}}},
		{"AT&F", []order{{name: "&F"}}},
	} {
		got, err := parseLine(c.line)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: %v %+v", c.line, err, got)
		}
	}
	for _, line := range []string{"", "A", "HELLO", "AT+", "AT=1", "AT+CREG!", "AT\x00", "AT&", "AT1"} {
		if got, err := parseLine(line); err == nil {
			t.Errorf("%q is %+v", line, got)
		}
	}
}

func TestNumber(t *testing.T) {
	for s, want := range map[string]bool{"112": true, "+4930123": true, "*21#": true, "": false, "1a": false, "1+2": false, strings.Repeat("1", 33): false} {
		if isNumber(s) != want {
			t.Errorf("isNumber(%q) is %t", s, !want)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for _, s := range []string{
		"AT", "ATE0V1", "AT+CMEE=2;+CREG?", "ATD112;", "AT+CECALL=?", `AT#TESTNUM=0,"1;2"`, "AT&F", "AT+", "AT=", "AT\x00", `AT+X="`, "AT;;+A;",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		all, err := parseLine(line)
		size := 0
		for _, o := range all {
			if o.name == "" || o.name != strings.ToUpper(o.name) {
				t.Fatalf("%q: %+v", line, o)
			}
			size += len(o.name) + len(o.args)
			o.arguments()
		}
		if err == nil && size > len(line) {
			t.Fatalf("%q grew to %+v", line, all)
		}
	})
}
