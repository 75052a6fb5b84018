package modem

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// sane answers like the reference family to what the greeting asks.
func sane(line string) string {
	if strings.HasPrefix(line, "AT+CGMI") {
		return "\r\nTelit\r\n\r\nOK\r\n"
	}
	return "\r\nOK\r\n"
}

// TestLimits: no modem, whatever it answers, keeps a caller longer than the
// interface says.
func TestLimits(t *testing.T) {
	flood := strings.Repeat("\r\n#ECALLEV: 99,7\r\nxyzzy\r\n", 20)
	for name, then := range map[string]func(string) string{
		"silent":        func(string) string { return "" },
		"only OK":       func(string) string { return "\r\nOK\r\n" },
		"only ERROR":    func(string) string { return "\r\nERROR\r\n" },
		"only prompts":  func(string) string { return "\r\n> " },
		"prompt and OK": func(string) string { return "\r\n> \r\nOK\r\n" },
		"echo":          func(s string) string { return s + "\r\n" },
		"numbers":       func(string) string { return "1\r\n2\r\n3\r\n" },
		"flood":         func(string) string { return flood },
		"no line ends":  func(string) string { return strings.Repeat("+", 700) },
		"hangs up":      func(string) string { return "\r\nNO CARRIER\r\n" },
		"wrong prefix":  func(string) string { return "\r\n+XYZ: 1,2\r\n\r\nOK\r\n" },
		"commands":      func(s string) string { return "\r\nAT" + s + "\r\n" },
		"strange calls": func(string) string { return "\r\n+CLCC: -1,99999999999999999999,,,\r\n+CREG: ,\r\nOK\r\n" },
	} {
		t.Run(name, func(t *testing.T) {
			good := true
			withScripted(t, func(b *bench, s *scripted) {
				b.await(Ready)
				synctest.Wait()
				good = false
				ctx := b.Context()
				unit := Armed{byUnit} // only this test can make one; nothing is at the other end
				for range 3 {
					_ = b.within(2*time.Second, "LoadMSD", func() error { return b.LoadMSD(ctx, msdV2) })
					_ = b.within(5*time.Second, "Dial", func() error { return b.Dial(ctx, Call{Kind: Manual, Armed: unit}) })
					_ = b.within(2*time.Second, "Hangup", func() error { return b.Hangup(ctx) })
					_ = b.within(2*time.Second, "Answer", func() error { return b.Answer(ctx) })
					_ = b.within(4*time.Second, "Status", func() error { _, err := b.Status(ctx); return err })
					_ = b.within(60*time.Second, "Prepare", func() error { return b.Prepare(ctx) })
					_ = b.within(3*time.Second, "Reset", func() error { return b.Reset(ctx, ResetFunctionality) })
				}
				_ = b.within(goneLimit, "Close", b.Close)
			}, func(line string) string {
				if good {
					return sane(line)
				}
				return then(line)
			})
		})
	}
}

// TestStuckDevice: a device that takes nothing and gives nothing holds nobody,
// and is opened anew.
func TestStuckDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opens := 0
		b := &bench{T: t}
		b.telit = startTelit(t.Context(), []opener{func() (device, error) {
			opens++
			return device{ReadWriteCloser: stuck(make(chan struct{}))}, nil
		}}, quietLog)
		time.Sleep(time.Minute)
		err := b.within(5*time.Second, "Dial", func() error { return b.Dial(t.Context(), Call{Kind: Manual, Armed: Armed{byUnit}}) })
		if !errors.Is(err, ErrSilent) && !errors.Is(err, ErrLost) {
			t.Error(err)
		}
		if opens < 10 {
			t.Errorf("opened %d times", opens)
		}
		b.end()
	})
}

type stuck chan struct{}

func (s stuck) Read([]byte) (int, error)  { <-s; return 0, errNoDevice }
func (s stuck) Write([]byte) (int, error) { <-s; return 0, errNoDevice }
func (s stuck) Close() error              { close(s); return nil }

// TestLateAnswer: the answer to a command that was given up is not taken for the
// answer to the next.
func TestLateAnswer(t *testing.T) {
	held := false
	withScripted(t, func(b *bench, s *scripted) {
		b.await(Ready)
		synctest.Wait()
		held = true
		if err := b.LoadMSD(b.Context(), msdV2); !errors.Is(err, ErrSilent) {
			t.Error(err)
		}
		go func() {
			time.Sleep(100 * time.Millisecond)
			s.say("\r\nERROR\r\n") // to the MSD
			time.Sleep(300 * time.Millisecond)
			s.say("\r\nDIALING\r\n")
		}()
		if err := b.Dial(b.Context(), Call{Kind: Automatic, Armed: Armed{byUnit}}); err != nil {
			t.Errorf("a late refusal was taken for one of the call: %v", err)
		}
		if err := b.LoadMSD(b.Context(), msdV2); !errors.Is(err, ErrSilent) {
			t.Error(err)
		}
		go func() {
			time.Sleep(100 * time.Millisecond)
			s.say("\r\nOK\r\n\r\n+CPIN: READY\r\n\r\nOK\r\n") // a late OK, and then the answer
		}()
		if st, _ := b.Status(b.Context()); st.SIM != "ready" {
			t.Errorf("%+v", st)
		}
		s.say("\r\n> ") // nobody asked
		synctest.Wait()
		if got := s.lines(); !slices.Contains(got, "\x1b") {
			t.Errorf("a late prompt is left open: %q", got)
		}
	}, func(line string) string {
		if held {
			return ""
		}
		return sane(line)
	})
}

// TestOKIsNotEnough: without a prompt nothing was loaded, whatever the modem
// says.
func TestOKIsNotEnough(t *testing.T) {
	withScripted(t, func(b *bench, _ *scripted) {
		b.await(Ready)
		synctest.Wait()
		if err := b.LoadMSD(b.Context(), msdV2); !errors.Is(err, ErrSilent) {
			t.Error(err)
		}
	}, sane)
}

// TestRefusalIsOne: without a command given up, a refusal is told at once.
func TestRefusalIsOne(t *testing.T) {
	withScripted(t, func(b *bench, s *scripted) {
		b.await(Ready)
		synctest.Wait()
		err := b.within(0, "Dial", func() error { return b.Dial(b.Context(), Call{Kind: Manual, Armed: Armed{byUnit}}) })
		if !errors.Is(err, ErrRefused) {
			t.Error(err)
		}
		if err := b.Prepare(b.Context()); err == nil || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "AT#CALLDISA=0,0") {
			t.Error(err)
		}
		if got := s.lines(); !slices.Contains(got, "AT#ECALLNWTMR=720,720") {
			t.Error("a refusal stopped the other settings")
		}
	}, func(line string) string {
		if strings.HasPrefix(line, "AT+CECALL") || strings.HasPrefix(line, "AT#CALLDISA") {
			return "\r\n+CME ERROR: 3\r\n"
		}
		return sane(line)
	})
}

// TestNotKept: a setting that reads back otherwise is told.
func TestNotKept(t *testing.T) {
	withScripted(t, func(b *bench, s *scripted) {
		b.await(Ready)
		synctest.Wait()
		if err := b.Prepare(b.Context()); !errors.Is(err, errNotKept) || !strings.Contains(err.Error(), "ECALLTMR") {
			t.Error(err)
		}
		got := s.lines()
		if slices.Contains(got, "AT+COPS=0") || slices.Contains(got, "AT#ECALLNWTMR=720,720") {
			t.Errorf("set what was so already: %q", got)
		}
	}, func(line string) string {
		switch line {
		case "AT#ECALLTMR?":
			return "\r\n#ECALLTMR: 1,2,3,4,5\r\n\r\nOK\r\n"
		case "AT#ECALLNWTMR?":
			return "\r\n#ECALLNWTMR: 720, 720\r\n\r\nOK\r\n"
		case "AT+COPS?":
			return "\r\n+COPS: 0,0,\"X\",7\r\n\r\nOK\r\n"
		}
		return sane(line)
	})
}

// TestOneEndIsToldOnce: several words for one end, over both ports.
func TestOneEndIsToldOnce(t *testing.T) {
	withScripted(t, func(b *bench, s *scripted) {
		b.await(Ready)
		synctest.Wait()
		s.say("\r\nCONNECTED\r\n")
		b.await(Answered)
		s.say("\r\n#ECALLEV: DISCONNECTED\r\nRELEASED\r\nNO CARRIER\r\n")
		if e := b.await(Ended); e.Cause != Normal {
			t.Error(e)
		}
		s.say("\r\nNO CARRIER\r\n")
		b.none(Ended, 10*time.Second)
	}, func(line string) string {
		if line == "AT+CEER" {
			return "\r\n+CEER: Normal call clearing\r\n\r\nOK\r\n"
		}
		return sane(line)
	})
}

// TestGivenUpIsGivenUp: a command whose caller has left keeps nobody waiting.
func TestGivenUpIsGivenUp(t *testing.T) {
	withScripted(t, func(b *bench, _ *scripted) {
		b.await(Ready)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(b.Context(), 400*time.Millisecond)
		defer cancel()
		_ = b.LoadMSD(ctx, msdV2)
		err := b.within(0, "Dial", func() error { return b.Dial(b.Context(), Call{Kind: Manual, Armed: Armed{byUnit}}) })
		if err != nil {
			t.Error(err)
		}
	}, func(line string) string {
		switch {
		case line == "AT#MSDSEND":
			return ""
		case strings.HasPrefix(line, "AT+CECALL"):
			return "\r\nDIALING\r\n"
		}
		return sane(line)
	})
}

// TestEndOfTheCallBefore: who dialled since does not hear of it.
func TestEndOfTheCallBefore(t *testing.T) {
	withScripted(t, func(b *bench, s *scripted) {
		b.await(Ready)
		synctest.Wait()
		s.say("\r\nCONNECTED\r\n")
		b.await(Answered)
		s.say("\r\nDISCONNECTED\r\n")
		synctest.Wait() // the cause is being asked for
		err := b.within(yieldLimit, "Dial", func() error { return b.Dial(b.Context(), Call{Kind: Manual, Armed: Armed{byUnit}}) })
		if err != nil {
			t.Error(err)
		}
		b.none(Ended, 10*time.Second)
	}, func(line string) string {
		switch {
		case line == "AT+CEER":
			return ""
		case strings.HasPrefix(line, "AT+CECALL"):
			return "\r\nDIALING\r\n"
		}
		return sane(line)
	})
}

// TestFullOfEvents: with nobody reading, the newest events are kept and nothing
// stops.
func TestFullOfEvents(t *testing.T) {
	withScripted(t, func(b *bench, s *scripted) {
		synctest.Wait()
		for range 600 {
			s.say("\r\nRINGING\r\n")
		}
		s.say("\r\nCONNECTED\r\n")
		synctest.Wait()
		b.await(Answered)
		if n := len(b.heard); n != 256 {
			t.Errorf("%d events", n)
		}
	}, sane)
}
