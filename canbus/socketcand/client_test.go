package socketcand

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

func receive(t *testing.T, c canbus.Bus, n int) []canbus.Rx {
	t.Helper()
	got := make([]canbus.Rx, n)
	for have := 0; have < n; {
		k, err := c.Receive(t.Context(), got[have:])
		if err != nil {
			t.Fatalf("after %d of %d frames: %v", have, n, err)
		}
		have += k
	}
	return got
}

func TestClientAndServer(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "unix"} {
		t.Run(addr, func(t *testing.T) {
			b := onSocket(t, addr)
			b.T = t
			c, err := Dial(t.Context(), b.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if c.Origin() != canbus.Simulation || !c.FD() {
				t.Errorf("origin %q, FD %v", c.Origin(), c.FD())
			}
			shown := []canbus.Rx{
				{Frame: frame(0x123, 0, 1, 2), At: noon},
				{Frame: frame(0x123, canbus.Extended), At: noon},
				{Frame: frame(0x2F0, canbus.FD|canbus.BRS, any64()...), At: noon},
				{Frame: canbus.Frame{ID: 5, Flags: canbus.Remote, Len: 8}, At: noon},
				{Frame: canbus.Frame{ID: 0x40, Flags: canbus.Error, Len: 8}, At: noon},
			}
			b.shows(shown...)
			if got := receive(t, c, len(shown)); !slices.EqualFunc(got, shown, same) {
				t.Errorf("received %v", got)
			}
			if c.Stats().State != canbus.Off {
				t.Errorf("after an error frame of class 040: %+v", c.Stats())
			}
			sent := []canbus.Frame{
				frame(0x123, 0, 1), frame(0x1FFFFFFF, canbus.Extended|canbus.FD|canbus.ESI, any64()...),
				{ID: 5, Flags: canbus.Remote, Len: 3},
				frame(7, 0),
			}
			for _, f := range sent {
				if err := c.Send(t.Context(), f); err != nil {
					t.Fatal(err)
				}
				b.sees(f)
				if got := receive(t, c, 1); got[0].Frame != f || !got[0].Own {
					t.Errorf("%v came back as %v", f, got[0])
				}
			}
			want := canbus.Stats{Received: 8, Sent: 4, Errors: 1, State: canbus.OK}
			if c.Stats() != want {
				t.Errorf("%+v", c.Stats())
			}
		})
	}
}

func same(a, b canbus.Rx) bool { return a.Frame == b.Frame && a.Own == b.Own && a.At.Equal(b.At) }

func TestOtherClientsFramesAreNotOwn(t *testing.T) {
	b := onSocket(t, "unix")
	var both [2]*Client
	for i := range both {
		c, err := Dial(t.Context(), b.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		both[i] = c
	}
	if err := both[0].Send(t.Context(), frame(1, 0)); err != nil {
		t.Fatal(err)
	}
	if mine, theirs := receive(t, both[0], 1), receive(t, both[1], 1); !mine[0].Own || theirs[0].Own {
		t.Errorf("%v, %v", mine, theirs)
	}
}

func TestLossesAreCounted(t *testing.T) {
	c := dialFake(t, ours, func(s *peer) {
		s.says("< fdlost 12 >< fdframe 123 1.000000 00 0  >< fdlost 30 >< fdframe 124 1.000000 00 0  >")
	})
	receive(t, c, 2)
	if n := c.Stats().Lost; n != 42 {
		t.Errorf("%d lost", n)
	}
}

// The words of two servers up to where frames flow.
var (
	ours = func(s *peer) {
		s.says("< hi >")
		s.hears("< open can0 >")
		s.says("< ok >")
		s.hears("< fdmode >")
		s.says("< ok >")
		s.hears("< origin >")
		s.says("< origin recording >")
	}
	foreign = func(s *peer) {
		s.says("< hi >")
		s.hears("< open can0 >")
		s.says("< ok >")
		s.hears("< fdmode >")
		s.says("< error unknown command >")
		s.hears("< rawmode >")
		s.says("< ok >")
	}
)

// dialFake is a client of a server that follows a script.
func dialFake(t *testing.T, script ...func(*peer)) *Client {
	t.Helper()
	c, err := tryFake(t, script...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryFake(t *testing.T, script ...func(*peer)) (*Client, error) {
	here, there := net.Pipe()
	t.Cleanup(func() { _, _ = here.Close(), there.Close() })
	go func() {
		for _, play := range script {
			play(&peer{t, there})
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), handshake)
	defer cancel()
	return newClient(ctx, here, "can0")
}

func TestForeignServerIsClassicOnly(t *testing.T) {
	var heard *peer
	c := dialFake(t, foreign, func(s *peer) {
		heard = s
		s.says("< frame 123 23.424242 1A220344 >< frame 00000001 23.424242  >< error 040 23.424242 >")
		s.hears("< send 123 4 1a 22 3 44 >< send 1FFFFFFF 0 >")
		s.says("< frame 124 23.424242 aa >")
	})
	if c.FD() || c.Origin() != "" {
		t.Errorf("FD %v, origin %q", c.FD(), c.Origin())
	}
	at := time.Unix(23, 424242000)
	want := []canbus.Rx{
		{Frame: frame(0x123, 0, 0x1A, 0x22, 3, 0x44), At: at},
		{Frame: frame(1, canbus.Extended), At: at},
		{Frame: canbus.Frame{ID: 0x40, Flags: canbus.Error, Len: 8}, At: at},
	}
	if got := receive(t, c, 3); !slices.EqualFunc(got, want, same) {
		t.Errorf("%v", got)
	}
	for _, f := range []canbus.Frame{frame(1, canbus.FD), {Flags: canbus.Remote}} {
		if err := c.Send(t.Context(), f); !errors.Is(err, ErrClassicOnly) {
			t.Errorf("%v: %v", f, err)
		}
	}
	for _, f := range []canbus.Frame{{ID: 0x800}, frame(0x40, canbus.Error)} {
		if err := c.Send(t.Context(), f); !errors.Is(err, canbus.ErrFrame) {
			t.Errorf("%v: %v", f, err)
		}
	}
	for _, f := range []canbus.Frame{frame(0x123, 0, 0x1A, 0x22, 3, 0x44), frame(0x1FFFFFFF, canbus.Extended)} {
		if err := c.Send(t.Context(), f); err != nil {
			t.Error(err)
		}
	}
	if receive(t, c, 1); heard.Failed() || c.Stats().Sent != 2 || c.Stats().State != canbus.OK {
		t.Errorf("%+v", c.Stats())
	}
}

func TestFramesOfTheHandshakeAreKept(t *testing.T) {
	c := dialFake(t, func(s *peer) {
		s.says("< hi >")
		s.hears("< open can0 >")
		s.says("< ok >")
		s.hears("< fdmode >")
		s.says("< ok >< fdframe 001 1.000000 00 0  >< fdframe 002 1.000000 00 0  >")
		s.hears("< origin >")
		s.says("< fdframe 003 1.000000 00 0  >< error unknown command >< fdframe 004 1.000000 00 0  >")
	})
	for i, rx := range receive(t, c, 4) {
		if rx.ID != uint32(i+1) {
			t.Errorf("frame %d is %v", i, rx.Frame)
		}
	}
	if c.Origin() != "" || !c.FD() {
		t.Errorf("origin %q, FD %v", c.Origin(), c.FD())
	}
}

func TestServersThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		script func(*peer)
		err    error
	}{
		"silent":          {func(*peer) {}, context.DeadlineExceeded},
		"gone":            {func(s *peer) { _ = s.Close() }, io.EOF},
		"a web server":    {func(s *peer) { s.says("HTTP/1.1 400 Bad Request\r\n\r\n"); _ = s.Close() }, io.EOF},
		"other answer":    {func(s *peer) { s.says("< ok >") }, ErrProtocol},
		"endless":         {func(s *peer) { _, _ = io.WriteString(s, "< "+strings.Repeat("x", 100_000)) }, ErrProtocol},
		"endless outside": {func(s *peer) { _, _ = io.WriteString(s, strings.Repeat("x", 100_000)) }, ErrProtocol},
		"babble":          {func(s *peer) { _, _ = io.WriteString(s, strings.Repeat("< x >", 100_000)) }, ErrProtocol},
		"endless frames": {func(s *peer) {
			for {
				if _, err := io.WriteString(s, "< fdframe 001 1.000000 00 0  >"); err != nil {
					return
				}
			}
		}, ErrProtocol},
		"no open": {func(s *peer) { s.says("< hi >"); s.hears("< open can0 >"); s.says("< error could not open bus >") }, ErrRefused},
		"no raw": {func(s *peer) {
			s.says("< hi >")
			s.hears("< open can0 >")
			s.says("< ok >")
			s.hears("< fdmode >")
			s.says("< error unknown command >")
			s.hears("< rawmode >")
			s.says("< hi >")
		}, ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, err := tryFake(t, c.script)
				if !errors.Is(err, c.err) {
					t.Errorf("%v, %v; want %v", client, err, c.err)
				}
			})
		})
	}
}

func TestMalformedIsCountedAndPassedOver(t *testing.T) {
	c := dialFake(t, foreign, func(s *peer) {
		for _, bad := range badReplies {
			s.says("< " + bad + " >")
			s.says("< frame 123 1.000000 01 >")
		}
		s.says("garbage < frame 12< frame 124 1.000000 02 >")
	})
	want := frame(0x123, 0, 1)
	for i, rx := range receive(t, c, len(badReplies)) {
		if rx.Frame != want {
			t.Fatalf("frame %d is %v", i, rx.Frame)
		}
	}
	if rx := receive(t, c, 1); rx[0].ID != 0x124 {
		t.Errorf("after a message that broke off: %v", rx)
	}
	if n := c.Stats().Errors; n != uint64(len(badReplies)+2) {
		t.Errorf("%d of %d mistakes counted", n, len(badReplies)+2)
	}
}

func TestHostileServerIsLeft(t *testing.T) {
	for name, text := range map[string]string{
		"babble": "< x >", "unasked": "< ok >", "endless": "< xxxxxxxxxxxxxxxxx", "outside": "xxxxx",
	} {
		t.Run(name, func(t *testing.T) {
			c := dialFake(t, foreign, func(s *peer) {
				s.says("< frame 123 1.000000 01 >")
				for {
					if _, err := io.WriteString(s, text); err != nil {
						return
					}
				}
			})
			receive(t, c, 1)
			for range 2 { // and it stays so
				if _, err := c.Receive(t.Context(), make([]canbus.Rx, 8)); !errors.Is(err, ErrProtocol) || !errors.Is(err, canbus.ErrClosed) {
					t.Errorf("%v", err)
				}
			}
			if err := c.Send(t.Context(), frame(1, 0)); !errors.Is(err, canbus.ErrClosed) || c.Stats().State != canbus.Gone {
				t.Errorf("%v, %+v", err, c.Stats())
			}
		})
	}
}

func TestEveryWaitHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := dialFake(t, foreign, func(s *peer) {
			// half a message, an hour, and the rest
			s.says("< frame 123 1.0000")
			timer := time.NewTimer(time.Hour)
			<-timer.C
			s.says("00 01 >")
			<-t.Context().Done()
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Receive(ctx, make([]canbus.Rx, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if rx := receive(t, c, 1); rx[0].Frame != frame(0x123, 0, 1) {
			t.Errorf("%v", rx)
		}
		// nobody reads what is sent, and nothing of it was taken: try again later
		short, cancelShort := context.WithTimeout(t.Context(), time.Second)
		defer cancelShort()
		if err := c.Send(short, frame(1, 0)); !errors.Is(err, context.DeadlineExceeded) || c.Stats().State == canbus.Gone {
			t.Errorf("%v", err)
		}
		if err := c.Send(short, frame(1, 0)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		go func() { _ = c.Close() }()
		if _, err := c.Receive(t.Context(), make([]canbus.Rx, 1)); !errors.Is(err, canbus.ErrClosed) {
			t.Errorf("%v", err)
		}
		if c.Stats().State != canbus.Gone || c.Close() != nil {
			t.Error("closing again is an error")
		}
	})
}

func TestServerGoneIsSaid(t *testing.T) {
	c := dialFake(t, ours, func(s *peer) { s.says("< fdframe 001 1.000000 00 0  >"); _ = s.Close() })
	receive(t, c, 1)
	if _, err := c.Receive(t.Context(), make([]canbus.Rx, 1)); !errors.Is(err, canbus.ErrClosed) || !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}

var badReplies = []string{
	"", "hi there", "ok 1", "nonsense", "frame", "frame 123", "frame 123 1.0", "frame 123 1.0000001 01", "frame 123 1 01",
	"frame 123 .000000 01", "frame 123 -1.000000 01", "frame 123 1.000000 1", "frame 123 1.000000 0g", "frame 800 1.000000 01",
	"frame 12 1.000000 01", "frame 20000000 1.000000 01", "frame 123 1.000000 010203040506070809", "frame 123 1.000000 01 02",
	"frame 123 1234567890123.000000 01", "fdframe 123 1.000000 00 1", "fdframe 123 1.000000 00 2 01", "fdframe 123 1.000000 01 0",
	"fdframe 123 1.000000 40 0", "fdframe 123 1.000000 04 9 010203040506070809", "fdframe 123 1.000000 0C 0", "fdframe 123 1.000000 08 1 01",
	"fdframe 123 1.000000 180 0", "fdframe 123 1.000000 04 65", "fdlost", "fdlost -1", "fdlost 1234567890123456789", "fdlost 1 2",
	"origin", "origin a b", "error", "error \x01", "hi", "ok", "echo", "error unknown command", "origin kernel", "error 40 1.000000",
	"error 040 1.00", "error 20000000 1.000000",
}

func FuzzParseReply(f *testing.F) {
	for _, text := range badReplies {
		f.Add(" " + text + " ")
	}
	for _, text := range []string{
		"frame 123 23.424242 1A220344", "frame 1FFFFFFF 23.424242  ", "error 040 23.424242", "error 00000100 23.424242",
		"fdframe 123 1.000000 84 12 0102030405060708090a0b0c", "fdframe 00000123 1.000000 88 8 ", "fdframe 001 1.000000 07 0 ", "fdlost 42",
	} {
		if _, ok := parseReply([]byte(" " + text + " ")); !ok {
			f.Fatalf("seed %q is refused", text)
		}
		f.Add(" " + text + " ")
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, ok := parseReply([]byte(text))
		if !ok || r.kind != kindFrame {
			return
		}
		if err := r.rx.Check(); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		said := appendFD(nil, &r.rx)
		again, ok := parseReply(said[1 : len(said)-1])
		if !ok || !same(again.rx, r.rx) {
			t.Fatalf("%q is written as %q and read as %+v", text, said, again)
		}
	})
}

func FuzzScanner(f *testing.F) {
	f.Add("< hi >< ok >", 1)
	f.Add("x< a< b >\r\n<>>", 3)
	f.Add("< "+strings.Repeat("x", MaxLine), 100)
	f.Add(strings.Repeat(" ", 2*MaxLine), 1000)
	f.Fuzz(func(t *testing.T, text string, size int) {
		whole := messages(t, strings.NewReader(text))
		parts := messages(t, &pieces{strings.NewReader(text), min(max(size, 1), 4096)})
		if !slices.Equal(whole, parts) {
			t.Fatalf("in one piece %q, in pieces %q", whole, parts)
		}
	})
}

// pieces reads in pieces of one size.
type pieces struct {
	io.Reader
	size int
}

func (s *pieces) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), s.size)]) }

func messages(t *testing.T, r io.Reader) (all []string) {
	s := newScanner(r, 4*MaxLine)
	for {
		text, err := s.next()
		switch {
		case err == nil:
			all = append(all, string(text))
		case errors.Is(err, errLong):
			return all
		case errors.Is(err, errMore):
			if err := s.fill(); err != nil {
				if !errors.Is(err, io.EOF) {
					t.Fatal(err)
				}
				return all
			}
		}
	}
}
