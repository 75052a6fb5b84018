package modem

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A bench is a modem in fake time, with a host on each port.
type bench struct {
	*testing.T
	m     *Modem
	hosts [Ports]*host
}

// A host collects what a port sends.
type host struct {
	net.Conn
	mu  sync.Mutex
	got strings.Builder
}

func (h *host) collect() {
	buf := make([]byte, 256)
	for {
		n, err := h.Read(buf)
		h.mu.Lock()
		h.got.Write(buf[:n])
		h.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// heard is what came since the last time, line ends shown as one bar.
func (h *host) heard() string {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.got.String()
	h.got.Reset()
	return strings.Trim(strings.NewReplacer("\r\n\r\n", "|", "\r\n", "|").Replace(s), "|")
}

func onBench(t *testing.T, opts Options, f func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m, err := New(opts)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{T: t, m: m}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for i := range b.hosts {
			ours, theirs := net.Pipe()
			b.hosts[i] = &host{Conn: ours}
			go b.hosts[i].collect()
			go func() {
				if err := m.ServePort(ctx, i, theirs); err != nil {
					t.Errorf("port %d: %v", i, err)
				}
			}()
		}
		synctest.Wait()
		f(b)
		cancel()
		synctest.Wait()
	})
}

// at sends one line to port 0 and returns what came back by then.
func (b *bench) at(line string) string { return b.on(0, line) }

func (b *bench) on(port int, line string) string {
	b.Helper()
	if _, err := io.WriteString(b.hosts[port], line+"\r"); err != nil {
		b.Fatal(err)
	}
	return b.hosts[port].heard()
}

func (b *bench) want(got, want string) {
	b.Helper()
	if got != want {
		b.Errorf("heard %q, want %q", got, want)
	}
}

func (b *bench) do(line string) string {
	b.Helper()
	text, err := b.m.Do(b.Context(), line)
	if err != nil {
		b.Fatalf("%s: %v", line, err)
	}
	return text
}

// ready switches echo off and events on, and loads an MSD.
func (b *bench) ready(msd string) {
	b.Helper()
	b.want(b.at("ATE0+CMEE=1;#ECALLURC=2"), "ATE0+CMEE=1;#ECALLURC=2\r|OK")
	b.load(msd)
}

func (b *bench) load(msd string) {
	b.Helper()
	b.want(b.at("AT#MSDSEND"), "> ")
	if _, err := io.WriteString(b.hosts[0], msd+strings.Repeat("0", 2*sizeMSD-len(msd))+"\x1a"); err != nil {
		b.Fatal(err)
	}
	b.want(b.hosts[0].heard(), "OK")
}

func (b *bench) last() Call {
	b.Helper()
	all := b.m.Calls()
	if len(all) == 0 {
		b.Fatal("no call")
	}
	return all[len(all)-1]
}

func TestAnEmergencyCallFromDialToClear(t *testing.T) {
	onBench(t, Options{}, func(b *bench) {
		b.ready(en2011)
		began := time.Now()
		b.want(b.at("AT+CECALL=3"), "")
		b.do("wait connected 10s")
		if d := time.Since(began); d != 1500*time.Millisecond {
			b.Errorf("connected after %v", d)
		}
		b.do("wait voice 10s")
		if d := time.Since(began); d != 4*time.Second {
			b.Errorf("voice after %v", d)
		}
		b.want(b.hosts[0].heard(), "DIALING|RINGING|CONNECTED|#ECALLEV: 11|#ECALLEV: 0|#ECALLEV: 1|#ECALLEV: 2,0|#ECALLEV: 12")
		b.want(b.hosts[1].heard(), "")
		b.do("wait ended 21s")
		if d := time.Since(began); d != 24*time.Second {
			b.Errorf("ended after %v", d)
		}
		b.want(b.hosts[0].heard(), "DISCONNECTED")
		b.want(b.at("AT+CEER"), "+CEER: Normal call clearing|OK")
		c := b.last()
		if c.Kind != "automatic" || c.Number != "112" || c.MSDs != 1 || len(c.Problems) != 0 || !c.At.Equal(began) {
			b.Errorf("%+v", c)
		}
		var got MSD
		if err := json.Unmarshal([]byte(b.do("msd")), &got); err != nil || got.VIN != "WM9VDSVDSYA123456" {
			b.Errorf("%v %+v", err, got)
		}
	})
}

func TestItSaysNo(t *testing.T) {
	onBench(t, Options{}, func(b *bench) {
		b.want(b.at("ATE0"), "ATE0\r|OK")
		for line, want := range map[string]string{
			"AT#NOSUCH":                      "ERROR",
			"AT+":                            "ERROR",
			"AT+CECALL=1":                    "ERROR",
			"AT+CECALL=9":                    "ERROR",
			"AT+CECALL=0":                    "ERROR", // no test number
			"AT#TESTNUM=0,abc":               "ERROR",
			"AT+CREG=7":                      "ERROR",
			"AT#ECALLTMR=5000,x":             "ERROR",
			"ATD112":                         "NO CARRIER",
			"ATA":                            "NO CARRIER",
			"noise":                          "",
			"AT" + strings.Repeat("E1", 300): "ERROR",
			"AT+CMEE=2;+CECALL=1":            "+CME ERROR: incorrect parameters",
		} {
			b.want(b.at(line), want)
			b.want(b.at("ATE0+CMEE=0"), "OK")
		}
		b.want(b.at("AT+CGMI"), Manufacturer+"|OK")
		b.want(b.at("AT+CMEE=1"), "OK")
		b.at("AT+CECALL=2")
		b.want(b.at("AT+CECALL=3"), "+CME ERROR: 3")
		b.want(b.on(1, "ATE0D112;"), "ATE0D112;\r|ERROR")
		b.want(b.at("AT+CLCC"), `+CLCC: 1,0,2,0,0,"112",129|OK`)
		b.want(b.at("ATH"), "OK|RELEASED")
		b.want(b.at("AT+CLCC"), "OK")
	})
}

func TestWhatTheNetworkAllows(t *testing.T) {
	onBench(t, Options{}, func(b *bench) {
		b.ready(en2011)
		b.want(b.at("AT+CREG=1;#DIALMODE=2;#TESTNUM=0,5551"), "OK")
		b.do("net limited")
		b.want(b.hosts[0].heard(), "+CREG: 3")
		for _, line := range []string{"ATD5551;", "AT+CECALL=0"} {
			b.at(line)
			b.do("wait ended 5s")
			b.want(b.hosts[0].heard(), "DIALING|NO CARRIER")
		}
		b.at("AT+CECALL=2")
		b.do("wait connected 5s")
		b.do("net none")
		if c := b.last(); c.State != ended || c.Cause != "Implicitly detached" {
			b.Errorf("%+v", c)
		}
		b.hosts[0].heard()
		b.at("AT+CECALL=2")
		b.do("wait ended 5s")
		b.want(b.hosts[0].heard(), "DIALING|NO CARRIER")
		b.do("net registered")
		b.do("sim out")
		b.want(b.at("AT+CPIN?"), "+CREG: 1|+CREG: 3|+CME ERROR: 10")
		b.at("ATD112;")
		b.do("wait voice 5s")
		b.want(b.hosts[0].heard(), "DIALING|RINGING|CONNECTED")
	})
}

func TestTheTimersOfTheModem(t *testing.T) {
	for _, c := range []struct{ order, events string }{
		{"nostart", "#ECALLEV: 11|#ECALLEV: 5|#ECALLEV: 12"},
		{"nollack", "#ECALLEV: 11|#ECALLEV: 0|#ECALLEV: 7|#ECALLEV: 12"},
		{"alack none", "#ECALLEV: 11|#ECALLEV: 0|#ECALLEV: 1|#ECALLEV: 6|#ECALLEV: 12"},
		{"fault t5", "#ECALLEV: 11|#ECALLEV: 5|#ECALLEV: 12"},
		{"fault t6", "#ECALLEV: 11|#ECALLEV: 0|#ECALLEV: 1|#ECALLEV: 6|#ECALLEV: 12"},
		{"fault t7", "#ECALLEV: 11|#ECALLEV: 0|#ECALLEV: 7|#ECALLEV: 12"},
		{"fault sync", "#ECALLEV: 11|#ECALLEV: 0|#ECALLEV: 16|#ECALLEV: 0|#ECALLEV: 1|#ECALLEV: 2,0|#ECALLEV: 12"},
		{"fault order", "#ECALLEV: 11|#ECALLEV: 0|#ECALLEV: 2,0|#ECALLEV: 1|#ECALLEV: 12"},
	} {
		onBench(t, Options{}, func(b *bench) {
			b.ready(canonicalV2)
			b.do(c.order)
			b.at("AT+CECALL=2")
			b.do("wait voice 30s")
			b.want(b.hosts[0].heard(), "DIALING|RINGING|CONNECTED|"+c.events)
		})
	}
}

func TestThePSAPAsksAgainAndCompares(t *testing.T) {
	onBench(t, Options{}, func(b *bench) {
		b.ready(en2011)
		b.at("AT+CECALL=3")
		b.do("wait voice 10s")
		b.do("request") // the same MSD again: the id did not rise
		b.do("wait voice 10s")
		if c := b.last(); c.MSDs != 2 || len(c.Problems) != 1 || c.Problems[0] != "id 1 after 1" {
			b.Errorf("%+v", c)
		}
		if _, err := b.m.Do(b.Context(), "wait dialing 0s"); err == nil {
			b.Error("the states before the request still count")
		}
	})
}

func TestWhatThePSAPFindsWrong(t *testing.T) {
	first := MSD{ID: 255, Timestamp: 7, Latitude: 1}
	for _, c := range []struct {
		kind string
		now  MSD
		want string
	}{
		{"manual", MSD{ID: 1, Timestamp: 7, Latitude: 1}, ""},
		{"manual", MSD{ID: 0, Timestamp: 7, Latitude: 1}, "id 0 after 255"},
		{"manual", MSD{ID: 1, Timestamp: 8, Latitude: 1}, "id 1: timestamp 8 was 7"},
		{"manual", MSD{ID: 1, Timestamp: 7, Test: true}, "id 1: testCall is true in a manual call"},
		{"test", MSD{ID: 1, Timestamp: 7}, "id 1: testCall is false in a test call"},
		{"manual", MSD{ID: 1, Timestamp: 7, Flags: []string{"odd"}}, "id 1: odd"},
	} {
		if got := strings.Join(problems(&first, &c.now, c.kind), "|"); got != c.want {
			t.Errorf("%+v: %q, want %q", c.now, got, c.want)
		}
		if moved := c.now.Latitude != 1; c.now.Moved != moved {
			t.Errorf("%+v: moved is %t", c.now, !moved)
		}
	}
}

func TestClearDownCallBackAndHangup(t *testing.T) {
	onBench(t, Options{}, func(b *bench) {
		b.ready(en2011)
		b.want(b.at("AT+CLIP=1"), "OK")
		b.do("alack clear")
		b.at("AT+CECALL=3")
		b.do("wait ended 15s") // nobody hangs up, so the PSAP does
		b.want(b.hosts[0].heard(), "DIALING|RINGING|CONNECTED|#ECALLEV: 11|#ECALLEV: 0|#ECALLEV: 1|#ECALLEV: 2,1|DISCONNECTED")
		b.do("callback")
		b.want(b.hosts[0].heard(), `RING|+CLIP: "112",129,"",128,"",0`)
		b.want(b.hosts[1].heard(), "RING")
		b.want(b.at("ATA"), "")
		b.want(b.at("AT+CLCC"), `+CLCC: 1,1,0,0,0,"112",129|OK`)
		b.do("hangup 17")
		b.want(b.hosts[0].heard(), "DISCONNECTED")
		b.want(b.at("AT+CEER"), "+CEER: User busy|OK")
		b.do("callback")
		b.do("wait ended 61s")
		b.want(b.hosts[1].heard(), strings.Repeat("RING|", 11)+"RING")
	})
}

func TestBusyNeverAndStuck(t *testing.T) {
	onBench(t, Options{}, func(b *bench) {
		b.ready(en2011)
		b.do("answer busy")
		b.at("AT+CECALL=2")
		b.do("wait ended 5s")
		b.want(b.hosts[0].heard(), "DIALING|BUSY")
		b.do("answer never")
		b.at("AT+CECALL=2")
		b.do("wait ended 3m")
		b.want(b.hosts[0].heard(), "DIALING|RINGING|NO CARRIER")
		b.do("answer 3s")
		b.do("fault stuck")
		b.at("AT+CECALL=2")
		time.Sleep(time.Hour) // fake time
		b.want(b.hosts[0].heard(), "DIALING")
		b.want(b.at("ATH"), "OK|RELEASED")
		b.at("AT+CECALL=2")
		b.do("wait connected 5s")
		b.do("drop")
		b.want(b.hosts[0].heard(), "DIALING|RINGING|CONNECTED|#ECALLEV: 11|DISCONNECTED")
	})
}

func TestFaultsOfThePort(t *testing.T) {
	onBench(t, Options{}, func(b *bench) {
		b.ready(en2011)
		for _, c := range []struct{ fault, line, want string }{
			{"fault cme 100", "AT", "+CME ERROR: 100"},
			{"fault none", "AT", "OK"},
			{"fault nook", "AT+CPIN?", "+CPIN: READY"},
			{"fault lost 2", "AT", ""},
			{"fault echo", "AT", "AT\r"}, // the second of the lost answers
			{"fault echo off", "AT", "OK"},
			{"fault lower", "AT+CPIN?", "+cpin: ready|ok"},
			{"fault lower off", "AT", "OK"},
			{"fault noline", "AT+CPIN?", "+CPIN: READY|OK"},
			{"fault nonsense", "AT", "+CMTI: \"SM\",3|#ECALLEV: 99,-1|CONNECT 9600"},
			{"fault noprompt", "AT#MSDSEND", ""},
			{"fault deaf 0", "AT", ""},
			{"fault deaf off", "AT", "OK"},
			{"callback", "AT", "RING|OK"},
			{"hangup", "AT", "NO CARRIER|OK"},
			{"fault deaf 0", "AT", ""},
			{"callback", "AT", ""}, // nor is anything said to a port that hears nothing
			{"fault deaf off", "AT", "OK"},
			{"hangup", "AT", "NO CARRIER|OK"},
			{"fault late 2s", "AT", ""},
		} {
			b.do(c.fault)
			b.want(b.at(c.line), c.want)
		}
		time.Sleep(2 * time.Second)
		b.want(b.hosts[0].heard(), "OK")
		b.do("fault none")
		b.do("fault garbage")
		if got := b.at("AT"); got == "OK" || got == "" {
			b.Errorf("garbage is %q", got)
		}
		b.do("fault reset")
		b.want(b.at("AT"), "")
		time.Sleep(5 * time.Second)
		b.want(b.at("AT"), "AT\r|OK") // the echo is back
	})
}

func TestGluedEvents(t *testing.T) {
	onBench(t, Options{Dialing: time.Nanosecond}, func(b *bench) {
		b.ready(en2011)
		b.do("nostart")
		b.do("fault glued")
		b.at("AT+CECALL=2")
		b.do("wait voice 10s")
		time.Sleep(time.Second)
		b.want(b.hosts[0].heard(), "DIALING|RINGING|CONNECTED#ECALLEV:11|#ECALLEV:5#ECALLEV:12")
		b.do("drop")
		b.want(b.at("AT"), "DISCONNECTEDOK")
	})
}

func TestRestartForgetsAndDropsTheCall(t *testing.T) {
	onBench(t, Options{}, func(b *bench) {
		b.ready(en2011)
		b.at("AT+CECALL=2")
		b.do("wait voice 10s")
		b.hosts[0].heard()
		b.want(b.at("AT+CFUN=1,1"), "OK")
		if c := b.last(); c.State != ended || c.Cause != "Phone is offline" {
			b.Errorf("%+v", c)
		}
		time.Sleep(5 * time.Second)
		b.want(b.at("ATE0"), "ATE0\r|OK")
		b.want(b.at("AT#MSDSEND?"), "#MSDSEND: |OK")
		b.want(b.at("AT#ECALLURC?"), "#ECALLURC: 0|OK")
	})
}

func TestAnMSDOfTheWrongLengthIsRefused(t *testing.T) {
	onBench(t, Options{}, func(b *bench) {
		b.ready(en2011)
		for _, body := range []string{"01", strings.Repeat("0", 282), strings.Repeat("x", 280), strings.Repeat("0", 5000)} {
			b.want(b.at("AT#MSDSEND"), "> ")
			if _, err := io.WriteString(b.hosts[0], body+"\x1a"); err != nil {
				b.Fatal(err)
			}
			b.want(b.hosts[0].heard(), "ERROR")
		}
		b.want(b.at("AT#MSDSEND?"), "#MSDSEND: "+en2011+strings.Repeat("0", 280-len(en2011))+"|OK")
	})
}

func TestCommandsAreKeptWithTheirTime(t *testing.T) {
	onBench(t, Options{}, func(b *bench) {
		b.at("ATE0")
		time.Sleep(time.Minute)
		b.on(1, "AT+CECALL=2")
		all := b.m.Commands()
		if len(all) != 2 || all[1].Port != 1 || all[1].Line != "AT+CECALL=2" || all[1].At.Sub(all[0].At) != time.Minute {
			b.Errorf("%+v", all)
		}
	})
}

func TestControlLinesThatAreNone(t *testing.T) {
	onBench(t, Options{}, func(b *bench) {
		for _, line := range []string{
			"", "nonsense", "net", "net perhaps", "sim", "answer", "answer soon", "alack", "alack maybe", "fault", "fault cme", "fault cme 0",
			"fault deaf 2", "fault late", "fault echo maybe", "fault lost -1", "fault nothing", "wait", "wait nothing", "wait voice soon", "fault a b c",
		} {
			if text, err := b.m.Do(b.Context(), line); !errors.Is(err, ErrLine) {
				b.Errorf("%q: %q %v", line, text, err)
			}
		}
		for _, line := range []string{"request", "hangup", "drop", "msd"} {
			if text, err := b.m.Do(b.Context(), line); err == nil {
				b.Errorf("%q without a call: %q", line, text)
			}
		}
		b.want(b.do("calls"), "[]")
	})
}
