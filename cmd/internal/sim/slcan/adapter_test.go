package slcan

import (
	"bufio"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// What each dialect answers, byte for byte, on a closed channel and on an open one.
func TestDialects(t *testing.T) {
	for dialect, want := range map[string]string{
		"canusb":  "V V1013. N NS1MU. F ! S6 . S9 ! s001C . Y2 ! Z1 . Z2 ! M00000000 . M0 ! mFFFFFFFF . X1 . t1230 ! O . O ! S6 ! F F00. t1230 z. T000001230 Z. d1230 ! t1231 ! t12310 ! r1238 z. K ! C . C ! L . t1230 ! C .",
		"canable": "V b158aa7 a simulated CANable. N  S6  L  M0  O  t1230  d1230  K  C ",
		"arduino": "V V0202. N ! S6 . Y2 ! Z1 ! M0 ! O . F ! t1230 . T000001230 . d1230 ! C . C !",
		"fd":      "V a simulated CANable 2. S7 . S9 . S6 . Y3 ! Y2 . L ! M1 . O . t1230 ! C . M0 . O . t1230 . d1230 . b1239" + strings.Repeat("00", 12) + " . F ! C . C .",
	} {
		synctest.Test(t, func(t *testing.T) {
			a, err := New(Options{Dialect: dialect}, canbus.NewMemory().Attach(0))
			if err != nil {
				t.Fatal(err)
			}
			near, far := net.Pipe()
			defer far.Close()
			go func() { _ = a.Serve(t.Context(), near) }()
			var heard strings.Builder
			go func() {
				for in := bufio.NewReader(far); ; {
					c, err := in.ReadByte()
					if err != nil {
						return
					}
					heard.WriteByte(c)
				}
			}()
			if _, err := far.Write([]byte("V\r")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if early := heard.String() != ""; early == (dialect == "arduino") {
				t.Errorf("%s at once: %q", dialect, heard.String())
			}
			time.Sleep(time.Second)
			for _, step := range split(want) {
				synctest.Wait()
				heard.Reset()
				if _, err := far.Write([]byte(step[0] + "\r")); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if got := strings.NewReplacer("\r", ".", "\a", "!").Replace(heard.String()); got != step[1] {
					t.Errorf("%s: %s is answered %q, not %q", dialect, step[0], got, step[1])
				}
			}
		})
	}
}

// split takes "command answer command answer …"; an answer ends with . or !, or
// is empty.
func split(text string) (steps [][2]string) {
	for text != "" {
		command, rest, _ := strings.Cut(text, " ")
		answer := ""
		if i := strings.IndexAny(rest, ".!"); i >= 0 && !strings.HasPrefix(rest, " ") {
			answer, rest = rest[:i+1], rest[i+1:]
		}
		steps = append(steps, [2]string{command, answer})
		text = strings.TrimLeft(rest, " ")
	}
	return steps
}

func TestBadOrders(t *testing.T) {
	a, err := New(Options{}, canbus.NewMemory().Attach(0))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"", "dance", "mute", "mute maybe", "garbage x", "garbage -1", "flags", "flags 100", "stamp", "stamp 70000"} {
		if err := a.Do(line); !errors.Is(err, ErrLine) {
			t.Errorf("%q: %v", line, err)
		}
	}
	if _, err := New(Options{Dialect: "morse"}, nil); !errors.Is(err, ErrDialect) {
		t.Errorf("%v", err)
	}
}

func TestOneHostAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := New(Options{}, canbus.NewMemory().Attach(0))
		if err != nil {
			t.Fatal(err)
		}
		first, _ := net.Pipe()
		go func() { _ = a.Serve(t.Context(), first) }()
		synctest.Wait()
		second, _ := net.Pipe()
		if err := a.Serve(t.Context(), second); !errors.Is(err, ErrServed) {
			t.Errorf("%v", err)
		}
	})
}
