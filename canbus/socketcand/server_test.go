package socketcand

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

func TestTheTextsOfRawmode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onPipe(t)
		p := b.peer()
		p.asks("< open can0 >", "< ok >")
		p.asks("< rawmode >", "< ok >")
		p.asks("< echo >", "< echo >")
		for _, c := range []struct {
			rx   canbus.Rx
			text string
		}{
			{canbus.Rx{Frame: frame(0x123, 0, 0x1A, 0x22, 3, 0x44)}, "< frame 123 1747900000.123456 1A220344 >"},
			{canbus.Rx{Frame: frame(0x1F, 0)}, "< frame 01F 1747900000.123456  >"},
			{canbus.Rx{Frame: frame(0x123, canbus.Extended, 1)}, "< frame 00000123 1747900000.123456 01 >"},
			{canbus.Rx{Frame: frame(0x1FFFFFFF, canbus.Extended)}, "< frame 1FFFFFFF 1747900000.123456  >"},
			{canbus.Rx{Frame: frame(0x7FF, 0, 1, 2, 3, 4, 5, 6, 7, 8)}, "< frame 7FF 1747900000.123456 0102030405060708 >"},
			{canbus.Rx{Frame: frame(0x40, canbus.Error)}, "< error 040 1747900000.123456 >"},
			{canbus.Rx{Frame: frame(0x100, canbus.Error), At: time.Unix(23, 42_000)}, "< error 100 23.000042 >"},
			{canbus.Rx{Frame: frame(1, 0), At: time.Unix(23, 424242999)}, "< frame 001 23.424242  >"},
		} {
			b.shows(c.rx)
			p.hears(c.text)
		}
		// what it cannot carry is counted; what is sent is on the bus, and not echoed
		b.shows(canbus.Rx{Frame: frame(1, canbus.FD)}, canbus.Rx{Frame: frame(1, canbus.Remote)})
		p.says("< send 123 4 1a 22 3 44 >")
		b.sees(frame(0x123, 0, 0x1A, 0x22, 3, 0x44))
		p.says("< send 00000123 0  >< send 7FF 1 FF >")
		b.sees(frame(0x123, canbus.Extended))
		b.sees(frame(0x7FF, 0, 0xFF))
		p.says("< send 666 1 1 >")
		p.asks("< echo >", "< echo >")
		if n := b.server.Counts(); n.Untold != 2 || n.Dropped != 1 || n.Connections != 0 || b.bus.Queued() != 0 {
			t.Errorf("%+v, %d frames left", n, b.bus.Queued())
		}
	})
}

func TestTheTextsOfFdmode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onPipe(t)
		p := b.peer()
		p.asks("< open can0 >", "< ok >")
		p.asks("< origin >", "< error unknown command >")
		p.asks("< fdsend 123 04 0 >", "< error unknown command >")
		p.asks("< fdmode >", "< ok >")
		p.asks("< origin >", "< origin simulation >")
		p.asks("< rawmode >", "< ok >") // changes nothing
		b.shows(canbus.Rx{Frame: frame(0x123, 0, 0x1A)})
		p.hears("< fdframe 123 1747900000.123456 00 1 1A >")
		b.shows(canbus.Rx{Frame: frame(0x12345678, canbus.Extended|canbus.FD|canbus.BRS, any64()...)})
		p.hears("< fdframe 12345678 1747900000.123456 05 64 " + strings.Repeat("A5", 64) + " >")
		b.shows(canbus.Rx{Frame: canbus.Frame{ID: 1, Flags: canbus.Remote, Len: 5}})
		p.hears("< fdframe 001 1747900000.123456 08 5  >")
		b.shows(canbus.Rx{Frame: frame(0x40, canbus.Error)})
		p.hears("< error 040 1747900000.123456 >")

		now := fmt.Sprintf("%d.000000", time.Now().Unix())
		for _, c := range []struct {
			says, hears string
			frame       canbus.Frame
		}{
			{"< send 123 1 1a >", "< fdframe 123 " + now + " 80 1 1A >", frame(0x123, 0, 0x1A)},
			{"< fdsend 123 00 1 1a >", "< fdframe 123 " + now + " 80 1 1A >", frame(0x123, 0, 0x1A)},
			{
				"< fdsend 123 7 12 1 2 3 4 5 6 7 8 9 a b c >", "< fdframe 123 " + now + " 87 12 0102030405060708090A0B0C >",
				frame(0x123, canbus.FD|canbus.BRS|canbus.ESI, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
			},
			{"< fdsend 123 08 4 >", "< fdframe 123 " + now + " 88 4  >", canbus.Frame{ID: 0x123, Flags: canbus.Remote, Len: 4}},
		} {
			p.asks(c.says, c.hears)
			b.sees(c.frame)
		}
		p.asks("< bcmmode >", "< ok >")
		p.asks("< origin >", "< error unknown command >")
	})
}

func TestWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onPipe(t)
		p := b.peer()
		for _, early := range []string{"rawmode", "fdmode", "send 123 0", "subscribe 0 0 123", "origin", "nonsense"} {
			p.asks("< "+early+" >", "< error unknown command >")
		}
		p.asks("< echo >", "< echo >")
		p.asks("< open can1 >", "< error could not open bus >")
		p.hearsTheEnd()

		p = b.opened("fdmode")
		for _, bad := range badRequests {
			p.asks("< "+bad+" >", "< error unknown command >")
		}
		p.asks("hello\r\n", "< error unknown command >")
		p.asks("< send 123 < echo >", "< error unknown command >< echo >")
		p.asks("\r\n<echo>\r\n", "< echo >")
		if b.bus.Queued() != 0 {
			t.Error("something was sent")
		}
	})
}

func TestLongLineEndsTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onPipe(t)
		p := b.opened("rawmode")
		p.asks("< "+strings.Repeat("x", MaxLine-4)+" >", "< error unknown command >")
		p.says("< " + strings.Repeat("x", MaxLine-2))
		p.hearsTheEnd()
		p = b.opened("rawmode")
		go func() { _, _ = io.WriteString(p, strings.Repeat(" ", 2*MaxLine)) }()
		p.hearsTheEnd()
	})
}

// The answer to rawmode stands alone long enough to be read alone.
func TestFirstFrameWaitsForTheAnswerToBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onPipe(t)
		p := b.opened("rawmode")
		start := time.Now()
		b.shows(canbus.Rx{Frame: frame(1, 0)})
		p.hears("< frame 001 1747900000.123456  >")
		if d := time.Since(start); d < settle || d > 2*settle {
			t.Errorf("it came after %v", d)
		}
		start = time.Now()
		b.shows(canbus.Rx{Frame: frame(2, 0)})
		if p.hears("< frame 002 1747900000.123456  >"); time.Since(start) != 0 {
			t.Errorf("the second one came after %v", time.Since(start))
		}
	})
}

// The question for the origin is answered before a flood of frames; but a client
// that asks nothing gets its frames too.
func TestFloodWaitsForTheQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onPipe(t)
		for _, question := range []string{"origin", "rawmode", ""} {
			p := b.opened("fdmode")
			start := time.Now()
			b.shows(canbus.Rx{Frame: frame(1, 0)}, canbus.Rx{Frame: frame(2, 0)})
			synctest.Wait()
			wait := asking
			if question != "" {
				wait = 0
				p.asks("< "+question+" >", map[string]string{"origin": "< origin simulation >", "rawmode": "< ok >"}[question])
			}
			p.hears("< fdframe 001 1747900000.123456 00 0  >")
			if d := time.Since(start); d != wait {
				t.Errorf("%q: the first frame came after %v", question, d)
			}
			_ = p.Close()
		}
	})
}

func TestSlowClientIsToldWhatItMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onPipe(t)
		slow := b.opened("fdmode")
		const sent = queueLen + 1000
		b.shows(canbus.Rx{Frame: frame(0, canbus.Extended)})
		synctest.Wait() // the first one is being written, and nobody reads it
		for n := range sent {
			b.shows(canbus.Rx{Frame: frame(uint32(n+1), canbus.Extended)})
		}
		slow.hears("< fdframe 00000000 1747900000.123456 00 0  >")
		slow.hears("< fdlost 1000 >")
		for n := 1001; n <= sent; n++ { // and told once
			slow.hears(fmt.Sprintf("< fdframe %08X 1747900000.123456 00 0  >", n))
		}
		if n := b.server.Counts().Lost; n != 1000 {
			t.Errorf("%d counted", n)
		}
	})
}

// Who does not read can still send.
func TestSendingDoesNotWaitForReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onPipe(t)
		p := b.opened("fdmode")
		for range 100 {
			p.says("< send 123 0 >")
			b.sees(frame(0x123, 0))
			synctest.Wait() // the server is writing, and nobody reads
		}
	})
}

func TestSubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onPipe(t)
		p := b.opened("bcmmode")
		at := func(ms int, f canbus.Frame) canbus.Rx {
			return canbus.Rx{Frame: f, At: time.Unix(10, int64(ms)*1e6)}
		}
		p.says("< subscribe 0 0 123 >< subscribe 1 0 124 >< filter 0 0 125 2 FF 0 >")
		p.asks("< echo >", "< echo >") // they are in force
		b.shows(
			at(0, frame(0x123, 0, 1)), at(1, frame(0x123, 0, 1)), // every one
			at(2, frame(0x123, canbus.Extended, 1)), at(3, frame(0x126, 0)), // not asked for
			at(4, frame(0x124, 0)), at(900, frame(0x124, 0)), at(1004, frame(0x124, 0)), // one a second
			at(5, frame(0x125, 0, 1, 1)), at(6, frame(0x125, 0, 1, 2)), at(7, frame(0x125, 0, 2, 2)), // changes of octet 0
		)
		for _, want := range []string{
			"< frame 123 10.000000 01 >", "< frame 123 10.001000 01 >",
			"< frame 124 10.004000  >", "< frame 124 11.004000  >",
			"< frame 125 10.005000 0101 >", "< frame 125 10.007000 0202 >",
		} {
			p.hears(want)
		}
		p.asks("< unsubscribe 123 >< echo >", "< echo >")
		b.shows(at(0, frame(0x123, 0)), at(0, frame(0x125, 0, 3)))
		p.hears("< frame 125 10.000000 03 >")
		p.asks("< unsubscribe 123 >", "< error unknown command >")
	})
}

func TestCyclicFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onPipe(t)
		p := b.opened("bcmmode")
		start := time.Now()
		p.says("< add 0 100000 5A7 2 1 2 >")
		for range 3 {
			b.sees(frame(0x5A7, 0, 1, 2))
		}
		if d := time.Since(start); d != 200*time.Millisecond {
			t.Errorf("three frames took %v", d)
		}
		p.asks("< update 5A7 1 3 >< echo >", "< echo >")
		b.sees(frame(0x5A7, 0, 3))
		p.asks("< add 0 200000 5A7 0 >< echo >", "< echo >") // a new cycle, at once
		b.sees(frame(0x5A7, 0))
		b.sees(frame(0x5A7, 0))
		if d := time.Since(start); d != 500*time.Millisecond {
			t.Errorf("six frames took %v", d)
		}
		p.asks("< delete 5A7 >< echo >", "< echo >")
		b.quiet()
		p.asks("< delete 5A7 >", "< error unknown command >")
		p.asks("< update 5A7 0 >", "< error unknown command >")
		p.says("< add 0 10000 5A8 0 >")
		b.sees(frame(0x5A8, 0))
		_ = p.Close()
		synctest.Wait()
		b.quiet()
	})
}

func TestBoundsOfOneClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onPipe(t)
		p := b.opened("bcmmode")
		for n := range maxBcm {
			p.says(fmt.Sprintf("< subscribe 0 0 %03X >< add 100 0 %03X 0 >", n, n))
		}
		p.asks("< subscribe 0 0 7FF >", "< error unknown command >")
		p.asks("< add 100 0 7FF 0 >", "< error unknown command >")
		p.asks("< subscribe 1 0 000 >< add 10 0 000 0 >< echo >", "< echo >")
	})
}

func TestNoMoreThan32Connections(t *testing.T) {
	b := onSocket(t, "unix")
	var clients []*Client
	for range MaxConnections {
		c, err := Dial(t.Context(), b.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		clients = append(clients, c)
	}
	if c, err := Dial(t.Context(), b.addr); err == nil {
		_ = c.Close()
		t.Fatal("one too many")
	}
	if n := b.server.Counts(); n.Connections != MaxConnections || n.Refused != 1 {
		t.Errorf("%+v", n)
	}
	_ = clients[0].Close()
	for { // the server needs a moment to notice; the test's own time limit ends this
		if c, err := Dial(t.Context(), b.addr); err == nil {
			_ = c.Close()
			return
		}
	}
}

func TestNothingIsSentUnlessAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := onPipe(t)
		b.server.MaySend = nil
		p := b.opened("rawmode")
		p.says("< send 123 0 >")
		p.asks("< bcmmode >", "< ok >")
		p.asks("< add 1 0 123 0 >< echo >", "< echo >")
		synctest.Wait()
		if n := b.server.Counts().Dropped; n != 2 || b.bus.Queued() != 0 {
			t.Errorf("%d dropped, %d on the bus", n, b.bus.Queued())
		}
	})
}

func TestOnlyThisMachine(t *testing.T) {
	for _, addr := range []string{
		"0.0.0.0:29536", ":29536", "192.0.2.1:29536", "[::]:29536", "example.com:29536", "29536", "unix:", "", "127.0.0.1",
		"[::ffff:192.0.2.1]:29536",
	} {
		if l, err := Listen(addr); !errors.Is(err, ErrAddress) {
			if err == nil {
				_ = l.Close()
			}
			t.Errorf("Listen(%q): %v", addr, err)
		}
		if c, err := Dial(t.Context(), addr+"/can0"); !errors.Is(err, ErrAddress) && addr != "unix:" {
			t.Errorf("Dial(%q): %v, %v", addr, c, err)
		}
	}
	for _, addr := range []string{"127.0.0.1:1", "127.0.0.1:1/", "127.0.0.1:1/abcdefghijklmnopq", "unix:/tmp/a b", "unix:/", "unix:.."} {
		if _, err := Dial(t.Context(), addr); !errors.Is(err, ErrAddress) {
			t.Errorf("Dial(%q): %v", addr, err)
		}
	}
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Skipf("no listener on every address, which Serve ought to refuse: %v", err)
	}
	if err := newServer(canbus.NewMemory()).Serve(t.Context(), l); !errors.Is(err, ErrAddress) {
		t.Errorf("Serve: %v", err)
	}
}

func TestStaleSocketIsReplacedAndALiveOneIsNot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "can0")
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = dead.Close()
	live, err := Listen("unix:" + path)
	if err != nil {
		t.Fatalf("stale: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := Listen("unix:" + path); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("live: %v", err)
	}
	_ = live.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen("unix:" + path); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("file: %v", err)
	}
}

// A client that is in the middle of its opening when the bus ends learns all
// that it asks, and then that there is no more.
func TestRequestsOnTheirWayAreAnsweredAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := canbus.NewMemory()
		b := &bench{T: t, server: newServer(m), bus: m.Attach(0)}
		b.serve = func(c net.Conn) { b.server.serve(t.Context(), c) }
		p := b.opened("fdmode")
		b.shows(canbus.Rx{Frame: frame(1, 0)})
		_ = m.Close()
		p.hears("< fdframe 001 1747900000.123456 00 0  >")
		synctest.Wait()
		p.asks("< origin >", "< origin simulation >")
		p.hearsTheEnd()
	})
}
