package canbus

import (
	"errors"
	"testing"
)

func TestLengthsThatExist(t *testing.T) {
	valid := map[int]bool{12: true, 16: true, 20: true, 24: true, 32: true, 48: true, 64: true}
	for n := -1; n <= 70; n++ {
		if want := 0 <= n && n <= 8 || valid[n]; ValidLen(n) != want {
			t.Errorf("ValidLen(%d) = %v", n, !want)
		}
	}
	for c := range uint8(16) {
		if n := LenOf(c, true); DLC(n) != c {
			t.Errorf("code %d is %d octets on FD, which is code %d", c, n, DLC(n))
		}
		if n := LenOf(c, false); n != min(int(c), 8) {
			t.Errorf("code %d is %d octets on classic CAN", c, n)
		}
	}
}

func TestFramesThatCannotBe(t *testing.T) {
	for name, f := range map[string]Frame{
		"identifier above 11 bits":  {ID: 0x800},
		"identifier above 29 bits":  {ID: 1 << 29, Flags: Extended},
		"BRS without FD":            {Flags: BRS},
		"ESI without FD":            {Flags: ESI},
		"remote FD":                 {Flags: FD | Remote},
		"9 octets, classic":         {Len: 9},
		"12 octets, classic":        {Len: 12},
		"9 octets, FD":              {Flags: FD, Len: 9},
		"65 octets":                 {Flags: FD, Len: 65},
		"200 octets":                {Flags: FD, Len: 200},
		"data beyond the length":    {Len: 1, Data: [64]byte{1, 2}},
		"remote with data":          {Flags: Remote, Len: 1, Data: [64]byte{1}},
		"error and extended":        {Flags: Error | Extended},
		"error with 64 octets":      {Flags: Error, Len: 64},
		"error classes above 2^29":  {ID: 1 << 29, Flags: Error},
		"data beyond the longest":   {Flags: FD, Len: 48, Data: [64]byte{63: 1}},
		"error, data beyond length": {Flags: Error, Data: [64]byte{7: 1}},
	} {
		if err := f.Check(); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, f := range map[string]Frame{
		"zero":           {},
		"11 bits":        {ID: 0x7FF, Len: 8, Data: [64]byte{7: 1}},
		"29 bits":        {ID: 0x1FFFFFFF, Flags: Extended},
		"remote":         {ID: 1, Flags: Remote, Len: 8},
		"FD":             {Flags: FD | BRS | ESI, Len: 64, Data: [64]byte{63: 1}},
		"controller off": {ID: 0x40, Flags: Error, Len: 8},
	} {
		if err := f.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
