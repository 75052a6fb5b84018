package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/listeners"
	wire "github.com/mochi-mqtt/server/v2/packets"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/agent/pipe"
)

// patience bounds everything a script waits for; a good run needs none of it.
const patience = 20 * time.Second

var carName = [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

var prefix = pipe.Open{Cell: "c1", Name: carName}.Prefix()

// A world is what one script has around uplinkd: a broker, a backend at it,
// and the pipe of headunitd.
type world struct {
	kind   string
	ts     *testscript.TestScript
	stop   func() // of the broker
	conn   *net.UnixConn
	client net.Conn
	peak   map[int]int
}

type worldKey struct{}

func setUp(env *testscript.Env, kind string) error {
	w := &world{kind: kind, stop: func() {}, peak: map[int]int{}}
	env.Values[worldKey{}] = w
	// Each thread of a C library would reserve 64 MiB, which is not memory that we claim.
	env.Vars = append(env.Vars, "GORACE=atexit_sleep_ms=0", "MALLOC_ARENA_MAX=1")
	env.Defer(func() {
		w.stop()
		for _, c := range []io.Closer{w.conn, w.client} {
			_ = closeIf(c)
		}
	})
	return nil
}

func closeIf(c io.Closer) error {
	switch c := c.(type) {
	case *net.UnixConn:
		if c == nil {
			return nil
		}
	case nil:
		return nil
	}
	return c.Close()
}

func onWorld(f func(w *world, args []string) error) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		w := ts.Value(worldKey{}).(*world)
		w.ts = ts
		switch err := f(w, args); {
		case err != nil && !neg:
			ts.Fatalf("%v", err)
		case err == nil && neg:
			ts.Fatalf("unexpected success")
		}
	}
}

// until tries f again and again; it is for what another process does.
func until(f func() error) error {
	end := time.Now().Add(patience)
	for {
		err := f()
		if err == nil || time.Now().After(end) {
			return err
		}
		<-time.After(2 * time.Millisecond)
	}
}

func mosquitto() string {
	for _, name := range []string{"mosquitto", "/usr/sbin/mosquitto"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	return ""
}

// broker start|stop; its address is $BROKER, and stays for the next start.
func (w *world) broker(args []string) error {
	if args[0] == "stop" {
		w.stop()
		w.stop = func() {}
		return nil
	}
	w.stop()
	address := strings.TrimPrefix(w.ts.Getenv("BROKER"), "tcp://")
	if address == "" {
		var err error
		if address, err = freeAddress(); err != nil {
			return err
		}
	}
	w.ts.Setenv("BROKER", "tcp://"+address)
	start := w.startMochi
	if w.kind == "mosquitto" {
		start = w.startMosquitto
	}
	// A child that another script forks at this moment holds a closed socket open until its exec.
	return until(func() error { return start(address) })
}

func (w *world) startMochi(address string) error {
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
	if err := s.AddHook(new(allowAll), nil); err != nil {
		return err
	}
	if err := s.AddListener(listeners.NewTCP(listeners.Config{ID: "t", Address: address})); err != nil {
		return err
	}
	w.stop = func() { _ = s.Close() }
	return s.Serve()
}

var nextPort atomic.Uint32

// freeAddress is one that nobody has, and that will not be given to a
// connection while the broker is stopped: it lies below the ports that Linux
// gives out by itself.
func freeAddress() (string, error) {
	const low, high = 20000, 32000
	nextPort.CompareAndSwap(0, uint32(rand.IntN(high-low)))
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", low+nextPort.Add(1)%(high-low))
		if l, err := net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", errors.New("no free port")
}

// allowAll lets everybody do everything.
type allowAll struct{ mochi.HookBase }

func (*allowAll) ID() string { return "allow-all" }
func (*allowAll) Provides(b byte) bool {
	return b == mochi.OnConnectAuthenticate || b == mochi.OnACLCheck
}
func (*allowAll) OnConnectAuthenticate(*mochi.Client, wire.Packet) bool { return true }
func (*allowAll) OnACLCheck(*mochi.Client, string, bool) bool           { return true }

func (w *world) startMosquitto(address string) error {
	_, port, _ := net.SplitHostPort(address)
	conf := w.ts.MkAbs("mosquitto.conf")
	text := "listener " + port + " 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\nretain_available true\npersistence false\nmax_packet_size 65536\n"
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return err
	}
	c := exec.Command(mosquitto(), "-c", conf)
	if os.Geteuid() == 0 { // it would change its user, and not read the file
		f, err := os.OpenFile(conf, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("user root\n")
		if err := f.Close(); err != nil {
			return err
		}
		if err != nil {
			return err
		}
	}
	if err := c.Start(); err != nil {
		return err
	}
	over := make(chan struct{})
	go func() {
		_ = c.Wait()
		close(over)
	}()
	w.stop = func() {
		_ = c.Process.Kill()
		<-over
	}
	for {
		if p, err := net.Dial("tcp", address); err == nil {
			return p.Close()
		}
		select {
		case <-over:
			return fmt.Errorf("mosquitto cannot serve %s", address)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// hostile HEX…: a broker that answers CONNECT with each of these, one a packet
// it receives, and then keeps still. "!" stands for the last packet id.
func (w *world) hostile(args []string) error {
	w.stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	w.stop = func() { _ = l.Close() }
	w.ts.Setenv("BROKER", "tcp://"+l.Addr().String())
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go beHostile(c, args)
		}
	}()
	return nil
}

func beHostile(c net.Conn, args []string) {
	defer func() { _ = c.Close() }()
	for _, a := range args {
		p, err := packets.ReadPacket(c)
		if err != nil {
			return
		}
		id := p.Details().MessageID
		a = strings.ReplaceAll(a, "!", fmt.Sprintf("%04x", id))
		b, err := hex.DecodeString(a)
		if err != nil {
			return
		}
		if _, err := c.Write(b); err != nil {
			return
		}
	}
	_, _ = io.Copy(io.Discard, c)
}

// backend connect | publish SUFFIX QOS TEXT | retain SUFFIX TEXT | expect SUFFIX TEXT
func (w *world) backend(args []string) error {
	if args[0] == "connect" {
		return until(func() error { return w.joinBroker() })
	}
	_ = w.client.SetDeadline(time.Now().Add(patience))
	if args[0] == "expect" {
		for {
			p, err := packets.ReadPacket(w.client)
			if err != nil {
				return fmt.Errorf("nothing like %s: %w", args[1:], err)
			}
			m, is := p.(*packets.PublishPacket)
			if !is {
				continue
			}
			if m.TopicName != prefix+args[1] || string(m.Payload) != args[2] {
				return fmt.Errorf("%s %q came instead", m.TopicName, m.Payload)
			}
			return nil
		}
	}
	p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	p.TopicName, p.Payload = prefix+args[1], []byte(args[len(args)-1])
	if p.Retain = args[0] == "retain"; !p.Retain && args[2] == "1" {
		p.Qos, p.MessageID = 1, 77
	}
	return p.Write(w.client)
}

func (w *world) joinBroker() error {
	_ = closeIf(w.client)
	c, err := net.Dial("tcp", strings.TrimPrefix(w.ts.Getenv("BROKER"), "tcp://"))
	if err != nil {
		return err
	}
	w.client = c
	_ = c.SetDeadline(time.Now().Add(patience))
	hello := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	hello.ProtocolName, hello.ProtocolVersion, hello.CleanSession, hello.ClientIdentifier = "MQTT", 4, true, "backend-c1"
	sub := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	sub.MessageID, sub.Topics, sub.Qoss = 1, []string{"hu/v1/c1/+/up/#"}, []byte{0}
	for _, p := range []packets.ControlPacket{hello, sub} {
		if err := p.Write(c); err != nil {
			return err
		}
		if _, err := packets.ReadPacket(c); err != nil {
			return err
		}
	}
	return nil
}

// pipe PATH | pipe close
func (w *world) pipe(args []string) error {
	if args[0] == "close" {
		return w.conn.Close()
	}
	return until(func() error {
		c, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: w.ts.MkAbs(args[0]), Net: "unixpacket"})
		if err == nil {
			w.conn = c
		}
		return err
	})
}

// send open BROKER [WILL] | publish N SUFFIX QOS TEXT | close TEXT | new-key | wipe | raw HEX
func (w *world) send(args []string) error {
	var f pipe.Down
	switch args[0] {
	case "open":
		will := "will"
		if len(args) > 2 {
			will = args[2]
		}
		f = pipe.Open{Broker: args[1], Cell: "c1", Name: carName, Will: []byte(will), Floor: 1}
	case "publish":
		n, err := strconv.ParseUint(args[1], 10, 64)
		if err != nil {
			return err
		}
		f = pipe.Publish{N: n, Topic: args[2], QoS: args[3][0] - '0', Payload: []byte(args[4])}
	case "close":
		f = pipe.Close{Last: []byte(args[1])}
	case "new-key":
		f = pipe.NewKey{}
	case "wipe":
		f = pipe.Wipe{}
	}
	b, err := []byte(nil), error(nil)
	if args[0] == "raw" {
		b, err = hex.DecodeString(args[1])
	} else {
		b, err = pipe.EncodeDown(f)
	}
	if err != nil {
		return err
	}
	_, err = w.conn.Write(b)
	return err
}

// expect PATTERN: the next frame as text; states that say down are skipped.
// "expect end" wants the pipe to be closed.
func (w *world) expect(args []string) error {
	buf := make([]byte, pipe.MaxFrame+1)
	_ = w.conn.SetReadDeadline(time.Now().Add(patience))
	want, err := regexp.Compile("^(?:" + args[0] + ")$")
	if err != nil {
		return err
	}
	for {
		n, err := w.conn.Read(buf)
		if args[0] == "end" && (errors.Is(err, io.EOF) || err != nil && strings.Contains(err.Error(), "reset")) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("no %s: %w", args[0], err)
		}
		f, err := pipe.DecodeUp(buf[:n])
		if err != nil {
			return err
		}
		s, state := f.(pipe.State)
		got := ""
		switch f := f.(type) {
		case pipe.State:
			got = strings.TrimSpace(fmt.Sprintf("state %t %s", s.Up, s.Reason))
		case pipe.Published:
			got = fmt.Sprintf("published %d", f.N)
		case pipe.Message:
			got = fmt.Sprintf("message %s %d %t %s", f.Topic, f.QoS, f.Retained, f.Payload)
		}
		if want.MatchString(got) {
			return nil
		}
		if !state || s.Up {
			return fmt.Errorf("%q came, want %q", got, args[0])
		}
	}
}

// terminate sends SIGTERM to what runs in the background.
func (w *world) terminate([]string) error {
	for _, c := range w.ts.BackgroundCmds() {
		if err := c.Process.Signal(unix.SIGTERM); err != nil {
			return err
		}
	}
	return nil
}

// memory MIB: the background program lives, and its address space did not grow
// by as much since the first time. What is allocated and never touched shows
// there, and nowhere else.
func (w *world) memory(args []string) error {
	most, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	for _, c := range w.ts.BackgroundCmds() {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(c.Process.Pid), "status"))
		if err != nil {
			return fmt.Errorf("the program is gone: %w", err)
		}
		peak := 0
		for line := range strings.Lines(string(b)) {
			if rest, is := strings.CutPrefix(line, "VmPeak:"); is {
				if peak, err = strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB")); err != nil {
					return err
				}
			}
		}
		switch first, seen := w.peak[c.Process.Pid]; {
		case peak == 0:
			return fmt.Errorf("the program is gone: %s", b)
		case !seen:
			w.peak[c.Process.Pid] = peak
		case peak-first > most<<10:
			return fmt.Errorf("address space grew by %d MiB", (peak-first)>>10)
		}
	}
	return nil
}
