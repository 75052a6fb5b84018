package slcan

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestParseOptions(t *testing.T) {
	for name, want := range map[string]Options{
		"slcan:/dev/serial/by-id/usb-x-if00?bitrate=500000":          {Path: "/dev/serial/by-id/usb-x-if00", Bitrate: 500_000},
		"slcan:/dev/ttyACM0?bitrate=500000&data=2000000&listen=1":    {Path: "/dev/ttyACM0", Bitrate: 500_000, Data: 2_000_000, Listen: true},
		"slcan:/dev/ttyS1?bitrate=83300&baud=921600&stamps=1&mute=1": {Path: "/dev/ttyS1", Bitrate: 83_300, Baud: 921_600, Stamps: true, Mute: true},
		"slcan:/dev/ttyS1?btr=001C":                                  {Path: "/dev/ttyS1", BTR: "001C"},
		"slcan:x?bitrate=500000&btr=001C":                            {Path: "x", Bitrate: 500_000, BTR: "001C"},
	} {
		got, err := ParseOptions(name)
		if err != nil || !reflect.DeepEqual(got, want) || got.String() != name {
			t.Errorf("%s: %+v, %s, %v", name, got, got, err)
		}
	}
	for name, want := range map[string]Options{
		"slcan:x?listen=0&bitrate=10000": {Path: "x", Bitrate: 10_000},
		"slcan:x?btr=031c":               {Path: "x", BTR: "031C"},
	} {
		if got, err := ParseOptions(name); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// Every mistake is refused, and the message names it.
var wrongOptions = map[string]string{
	"":                                     "slcan:",
	"socketcan:can0":                       "slcan:",
	"slcan:?bitrate=500000":                "no device node",
	"slcan:x":                              "bitrate=500000",
	"slcan:x?":                             "bitrate=500000",
	"slcan:x?listen=1":                     "bitrate=500000",
	"slcan:x?bitrate=500k":                 "500k",
	"slcan:x?bitrate=0":                    "bitrate=0",
	"slcan:x?bitrate=-500000":              "-500000",
	"slcan:x?bitrate=+500000":              "bitrate",
	"slcan:x?bitrate=0500000":              "0500000",
	"slcan:x?bitrate=99999999999":          "99999999999",
	"slcan:x?bitrate=333000":               "btr=",
	"slcan:x?bitrate=500000&bitrate=1":     "twice",
	"slcan:x?bitrate=500000&speed=1":       "speed",
	"slcan:x?bitrate=500000&listen=yes":    "listen=1",
	"slcan:x?bitrate=500000&listen":        "listen",
	"slcan:x?bitrate=500000&data=3000000":  "data=3000000",
	"slcan:x?bitrate=1000000&data=500000":  "slower",
	"slcan:x?bitrate=500000&baud=300":      "baud=300",
	"slcan:x?bitrate=500000&baud=99999999": "baud",
	"slcan:x?btr=":                         "btr",
	"slcan:x?btr=001":                      "btr",
	"slcan:x?btr=00GG":                     "btr",
	"slcan:x?btr=001C0":                    "btr",
	"slcan:x?btr=001C&bitrate=250000":      "500000",
	"slcan:x?bitrate=500000&%zz=1":         "%zz",
	"slcan:x?bitrate=500000;listen=1":      "semicolon",
}

func TestWrongOptions(t *testing.T) {
	for name, text := range wrongOptions {
		got, err := ParseOptions(name)
		if !errors.Is(err, ErrOptions) || !strings.Contains(err.Error(), text) || !reflect.DeepEqual(got, Options{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func FuzzParseOptions(f *testing.F) {
	for name := range wrongOptions {
		f.Add(name)
	}
	f.Add("slcan:/dev/ttyACM0?bitrate=500000&data=2000000&listen=1&stamps=1&mute=1&baud=921600")
	f.Add("slcan:x?btr=031c")
	f.Fuzz(func(t *testing.T, name string) {
		o, err := ParseOptions(name)
		if err != nil {
			if !errors.Is(err, ErrOptions) {
				t.Fatal(err)
			}
			return
		}
		again, err := ParseOptions(o.String())
		if err != nil || !reflect.DeepEqual(again, o) {
			t.Fatalf("%s is %s: %+v, %v", name, o, again, err)
		}
		_ = o.Warning(1)
	})
}

// The bit timings of the SJA1000 that its users publish.
func TestBTR(t *testing.T) {
	for btr, want := range map[string]int{"001C": 500_000, "011C": 250_000, "031C": 125_000, "0014": 1_000_000, "0016": 800_000, "311C": 10_000, "432F": 100_000} {
		o := Options{BTR: btr}
		if got, err := o.btrRate(); err != nil || got != want {
			t.Errorf("%s makes %d, %v", btr, got, err)
		}
	}
}

// The figures of can.md section 5.
func TestCapacity(t *testing.T) {
	for want, o := range map[int]Options{523: {}, 443: {Stamps: true}, 4189: {Baud: 921_600}} {
		if got := o.Capacity(); got != want {
			t.Errorf("%+v: %d, not %d", o, got, want)
		}
	}
}

func TestWarning(t *testing.T) {
	for _, c := range []struct {
		name string
		load float64
		warn bool
	}{
		{"slcan:/dev/ttyUSB0?bitrate=500000", 0.5, true},
		{"slcan:/dev/ttyUSB0?bitrate=500000&baud=921600", 0.5, false},
		{"slcan:/dev/ttyUSB0?bitrate=500000&baud=921600", 1, true},
		{"slcan:/dev/ttyUSB0?bitrate=50000", 1, false},
		{"slcan:/dev/ttyUSB0?bitrate=50000&stamps=1", 1, true},
		{"slcan:/dev/ttyUSB0?btr=001C", 0.5, true},
		{"slcan:/dev/ttyACM0?bitrate=1000000", 1, false},
		{"slcan:/dev/serial/by-id/usb-somebody_CANable_1234-if00?bitrate=1000000", 1, false},
		{"slcan:/dev/serial/by-id/usb-FTDI_CANUSB_LWXYZ-if00-port0?bitrate=1000000", 1, true},
	} {
		o, err := ParseOptions(c.name)
		if err != nil {
			t.Fatal(err)
		}
		if w := o.Warning(c.load); (w != "") != c.warn || c.warn && !strings.Contains(w, "baud") {
			t.Errorf("%s at %g: %q", c.name, c.load, w)
		}
	}
}
