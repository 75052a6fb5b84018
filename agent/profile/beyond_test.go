package profile

import (
	"strings"
	"testing"
)

// TestBeyondTheMessage: a signal that no frame can carry is a mistake where the
// profile uses it, for a crash above all.
func TestBeyondTheMessage(t *testing.T) {
	const text = `profile: 1
id: x
title: X
proven: read
buses: {b: {dbc: b.dbc, bitrate: 500k}}
signals:
  Vehicle.Body.Hood.IsOpen: {from: b/M.S}
`
	for dbc, want := range map[string]string{
		"BO_ 1 M: 8 X\n SG_ S : 63|1@1+ (1,0) [0|1] \"\" X\n": "",
		"BO_ 1 M: 8 X\n SG_ S : 64|1@1+ (1,0) [0|1] \"\" X\n": "never seen",
	} {
		_, _, err := Parse("b.yaml", []byte(text), func(string) ([]byte, error) { return []byte(dbc), nil })
		switch {
		case want == "" && err != nil:
			t.Error(err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), "would never be seen") || !strings.HasPrefix(err.Error(), "b.yaml:7:")):
			t.Errorf("%v", err)
		}
	}
}
