package slcan

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// What is sent to each sort of adapter, and when (ms).
func TestStart(t *testing.T) {
	fdOptions := Options{Bitrate: 500_000, Data: 2_000_000, Poll: -1}
	for name, c := range map[string]struct {
		answer func(string) string
		o      Options
		want   string
		info   Info
	}{
		"lawicel": {
			lawicel, plain, "0 C, 50 C, 100 C, 150 V, 200 S6, 200 O",
			Info{Version: "V1013", Dialect: Lawicel, Acknowledges: true},
		},
		"lawicel, with all": {
			lawicel,
			Options{BTR: "001C", Listen: true, Stamps: true},
			"0 C, 50 C, 100 C, 150 V, 200 s001C, 200 Z1, 200 L",
			Info{Version: "V1013", Dialect: Lawicel, Acknowledges: true, Stamps: true},
		},
		"canable": { // each silence costs 200 ms
			canable, plain, "0 C, 50 C, 100 C, 150 V, 200 S6, 400 M0, 600 O",
			Info{Version: "b158aa7 github.com/somebody", Dialect: Canable},
		},
		"canable, listening": {
			canable,
			Options{Bitrate: 500_000, Listen: true},
			"0 C, 50 C, 100 C, 150 V, 200 S6, 400 M1, 600 O",
			Info{Version: "b158aa7 github.com/somebody", Dialect: Canable},
		},
		"canable 2, FD": {
			canable2, fdOptions, "0 C, 50 C, 100 C, 150 V, 200 S6, 200 Y2, 200 M0, 200 O",
			Info{Version: "a CANable 2", Dialect: Canable, Acknowledges: true},
		},
		"canable has its own S7": {
			canable2,
			Options{Bitrate: 750_000},
			"0 C, 50 C, 100 C, 150 V, 200 S7, 200 M0, 200 O",
			Info{Version: "a CANable 2", Dialect: Canable, Acknowledges: true},
		},
		"no V": {
			func(line string) string {
				if line == "V" {
					return "\a"
				}
				return lawicel(line)
			}, plain, "0 C, 50 C, 100 C, 150 V, 700 S6, 700 O",
			Info{Dialect: Lawicel, Acknowledges: true},
		},
		"no modes": {
			func(line string) string {
				if line == "M0" {
					return "\a"
				}
				return canable2(line)
			}, plain, "0 C, 50 C, 100 C, 150 V, 200 S6, 200 M0, 200 O",
			Info{Version: "a CANable 2", Dialect: Canable, Acknowledges: true},
		},
		"free text and L": {
			func(line string) string {
				switch line {
				case "M1":
					return "\a"
				case "L":
					return "\r"
				}
				return canable2(line)
			},
			Options{Bitrate: 500_000, Listen: true},
			"0 C, 50 C, 100 C, 150 V, 200 S6, 200 M1, 200 L",
			Info{Version: "a CANable 2", Dialect: Canable, Acknowledges: true},
		},
		"no stamps": {
			func(line string) string {
				if line == "Z1" {
					return "\a"
				}
				return lawicel(line)
			},
			Options{Bitrate: 500_000, Stamps: true},
			"0 C, 50 C, 100 C, 150 V, 200 S6, 200 Z1, 200 O",
			Info{Version: "V1013", Dialect: Lawicel, Acknowledges: true},
		},
		"mute, known to be": {
			mute,
			Options{Bitrate: 500_000, Mute: true},
			"0 C, 50 C, 100 C, 150 V, 650 V, 1150 V, 1650 V, 2150 C, 2200 S6, 2400 O",
			Info{Dialect: Mute},
		},
		"mute, listening": {
			mute,
			Options{Bitrate: 500_000, Mute: true, Listen: true},
			"0 C, 50 C, 100 C, 150 V, 650 V, 1150 V, 1650 V, 2150 C, 2200 S6, 2400 L",
			Info{Dialect: Mute},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, line := newFake(t, c.answer)
				b, err := Open(t.Context(), line, c.o)
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				if got := f.said(); got != c.want {
					t.Errorf("\n got %s\nwant %s", got, c.want)
				}
				if got := b.Info(); got != c.info {
					t.Errorf("\n got %+v\nwant %+v", got, c.info)
				}
			})
		})
	}
}

// It starts when it is opened, hears nothing for a second, and has forgotten
// what came before.
func TestStartOfAnArduino(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, line := newFake(t, nil)
		f.now(func(line string) string {
			if time.Since(f.begun) < time.Second {
				return ""
			}
			return lawicel(line)
		})
		b, err := Open(t.Context(), line, plain)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if got, want := f.said(), "0 C, 50 C, 100 C, 150 V, 650 V, 1150 V, 1150 C, 1200 S6, 1200 O"; got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	})
}

// Frames of an adapter that was left open, half a line, and noise at the wrong
// moment are no answers.
func TestStartOfAnAdapterThatWasLeftOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, line := newFake(t, func(line string) string {
			switch line {
			case "C":
				return "\xff\x80\x00\r23DEAD\rt1230\rz\r\a"
			case "V":
				return "t1230\r\x1b\xff\r\rV1013\rt1230\r"
			case "S6":
				return "t1230\r\r"
			}
			return "t5550\r" + lawicel(line) + "t5560\r"
		})
		b, err := Open(t.Context(), line, plain)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if v := b.Info().Version; v != "V1013" {
			t.Errorf("version %q", v)
		}
		got := receive(t, b)
		if len(got) != 2 || got[0].ID != 0x555 || got[1].ID != 0x556 {
			t.Errorf("%v: only what came after O counts", got)
		}
		if s := b.Stats(); s.Errors != 0 {
			t.Errorf("%+v", s)
		}
		_ = f
	})
}

func TestOpenFails(t *testing.T) {
	except := func(command, answer string, other func(string) string) func(string) string {
		return func(line string) string {
			if line == command {
				return answer
			}
			return other(line)
		}
	}
	listen := Options{Bitrate: 500_000, Listen: true}
	for name, c := range map[string]struct {
		answer func(string) string
		o      Options
		err    error
		text   string
		never  string // must not have been sent
	}{
		"mute":                    {mute, plain, ErrMute, "mute=1", "S6"},
		"no such rate":            {except("S6", "\a", lawicel), plain, ErrRefused, "S6", "O"},
		"rate of another family":  {canable2, Options{Bitrate: 800_000}, ErrRefused, "750000", "O"},
		"rate of the other":       {lawicel, Options{Bitrate: 83_300}, ErrRefused, "V1013", "O"},
		"late answers":            {func(line string) string { return map[string]string{"V": "V1013\r\r\r", "S6": "\a"}[line] }, plain, ErrRefused, "S6", "O"},
		"no FD":                   {except("Y2", "\a", lawicel), Options{Bitrate: 500_000, Data: 2_000_000}, ErrRefused, "FD", "O"},
		"does not open":           {except("O", "\a", lawicel), plain, ErrRefused, "O", "-"},
		"does not answer to O":    {except("O", "", lawicel), plain, ErrRefused, "O", "-"},
		"cannot listen":           {except("L", "\a", lawicel), listen, ErrRefused, "L", "O"},
		"cannot listen, silently": {except("L", "", lawicel), listen, ErrRefused, "L", "O"},
		"no M1, no L":             {except("M1", "\a", canable2), listen, ErrRefused, "L", "O"},
		"no answer to M1":         {except("M1", "", canable2), listen, ErrRefused, "L", "O"},
		"options":                 {lawicel, Options{}, ErrOptions, "bitrate", "C"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, line := newFake(t, c.answer)
				_, err := Open(t.Context(), line, c.o)
				if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.text) {
					t.Errorf("%v", err)
				}
				if said := f.said() + ","; strings.Contains(said, " "+c.never+",") {
					t.Errorf("sent: %s", said)
				}
				if _, err := line.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("the line is left open: %v", err)
				}
			})
		})
	}
}

func TestOpenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
		defer cancel()
		_, line := newFake(t, mute)
		begun := time.Now()
		if _, err := Open(ctx, line, plain); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 700*time.Millisecond {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		f, line := newFake(t, mute)
		time.AfterFunc(300*time.Millisecond, func() { _ = f.conn.Close() })
		if _, err := Open(t.Context(), line, plain); !errors.Is(err, canbus.ErrClosed) || !errors.Is(err, io.EOF) {
			t.Errorf("unplugged while opening: %v", err)
		}
	})
}

func TestDialect(t *testing.T) {
	for version, want := range map[string]Dialect{
		"": Lawicel, "V1013": Lawicel, "VW1K2": Lawicel, "VL2K1": Lawicel,
		"V10": Canable, "V1.01": Canable, "V10134": Canable, "b158aa7 x": Canable, "v1013": Canable, "V101a": Canable,
	} {
		if got := dialect(version, true); got != want {
			t.Errorf("%q is %s, not %s", version, got, want)
		}
	}
	if dialect("", false) != Mute {
		t.Error("silence is no dialect")
	}
}
