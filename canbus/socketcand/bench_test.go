package socketcand

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/canbus"
)

func frame(id uint32, flags canbus.Flags, data ...byte) canbus.Frame {
	f := canbus.Frame{ID: id, Flags: flags, Len: uint8(len(data))}
	copy(f.Data[:], data)
	return f
}

func any64() []byte { return bytes.Repeat([]byte{0xA5}, 64) }

var noon = time.Unix(1747900000, 123456000)

// A bench is a server on a bus in this process, and another end of that bus.
type bench struct {
	*testing.T
	server *Server
	bus    *canbus.End
	addr   string // of the bus, for Dial
	serve  func(net.Conn)
}

func newServer(m *canbus.Memory) *Server {
	return &Server{
		Name: "can0", Origin: canbus.Simulation, Log: zerolog.Nop(),
		Attach:  func(n int) canbus.Bus { return m.Attach(n) },
		MaySend: func(f canbus.Frame) bool { return f.ID != 0x666 },
	}
}

// onPipe is a bench whose connections are net.Pipe, for fake time.
func onPipe(t *testing.T) *bench {
	m := canbus.NewMemory()
	b := &bench{T: t, server: newServer(m), bus: m.Attach(0)}
	b.serve = func(c net.Conn) { b.server.serve(t.Context(), c) }
	return b
}

// onSocket is a bench on a real listener, "127.0.0.1:0" or "unix".
func onSocket(t testing.TB, addr string) *bench {
	if addr == "unix" {
		addr = "unix:" + filepath.Join(t.TempDir(), "can0")
	}
	l, err := Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	m := canbus.NewMemory()
	b := &bench{server: newServer(m), bus: m.Attach(0), addr: addr}
	if l.Addr().Network() == "tcp" {
		b.addr = l.Addr().String() + "/can0"
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.server.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return b
}

// A peer speaks the protocol letter by letter.
type peer struct {
	*testing.T
	net.Conn
}

func (b *bench) peer() *peer {
	here, there := net.Pipe()
	go b.serve(there)
	b.Cleanup(func() { _ = here.Close() })
	p := &peer{b.T, here}
	p.hears("< hi >")
	return p
}

// opened is a peer in a mode.
func (b *bench) opened(mode string) *peer {
	p := b.peer()
	p.asks("< open can0 >", "< ok >")
	if mode != "bcmmode" {
		p.asks("< "+mode+" >", "< ok >")
	}
	return p
}

func (p *peer) says(text string) {
	p.Helper()
	if _, err := io.WriteString(p, text); err != nil {
		p.Errorf("%q: %v", text, err)
	}
}

func (p *peer) hears(want string) {
	p.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(p, got); err != nil || string(got) != want {
		p.Errorf("heard %q, %v; want %q", got[:n], err, want)
	}
}

func (p *peer) asks(text, want string) {
	p.Helper()
	p.says(text)
	p.hears(want)
}

func (p *peer) hearsTheEnd() {
	p.Helper()
	if rest, err := io.ReadAll(p); err != nil || len(rest) > 0 {
		p.Errorf("heard %q, %v; want the end", rest, err)
	}
}

func (b *bench) shows(rx ...canbus.Rx) {
	b.Helper()
	for _, r := range rx {
		if r.At.IsZero() {
			r.At = noon
		}
		if err := b.bus.Relay(r); err != nil {
			b.Error(err)
		}
	}
}

// sees is the next frame on the bus.
func (b *bench) sees(want canbus.Frame) {
	b.Helper()
	var got [1]canbus.Rx
	if _, err := b.bus.Receive(b.Context(), got[:]); err != nil || got[0].Frame != want {
		b.Errorf("on the bus is %v, %v; want %v", got[0].Frame, err, want)
	}
}

// quiet means that nothing is sent for a while of fake time.
func (b *bench) quiet() {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	var got [1]canbus.Rx
	if _, err := b.bus.Receive(ctx, got[:]); !errors.Is(err, context.DeadlineExceeded) {
		b.Errorf("on the bus is %v, %v; want nothing", got[0].Frame, err)
	}
}
