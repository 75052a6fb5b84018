package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/e2e"
	"github.com/headunit-agent/headunit/canbus/socketcand"
	sim "github.com/headunit-agent/headunit/cmd/internal/sim/modem"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"ecalld": main})
}

// TestScripts runs the program against a simulated modem on two ptys, and a car
// that the script drives frame by frame.
func TestScripts(t *testing.T) {
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	testscript.Run(t, testscript.Params{
		Dir: "../../testdata/script/ecalld",
		Setup: func(env *testscript.Env) error {
			w, err := newWorld(env)
			if err != nil {
				return err
			}
			env.Values["world"] = w
			env.Defer(w.stop)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"seal":   seal,
			"modem":  commandModem,
			"car":    commandCar,
			"say":    commandSay,
			"status": commandStatus,
			"gps":    commandGPS,
			"loads": commandCount(func(w *world) (n int) {
				for _, c := range w.modem.Commands() {
					if c.Line == "AT#MSDSEND" {
						n++
					}
				}
				return n
			}),
			"calls": commandCount(func(w *world) int { return len(w.modem.Calls()) }),
		},
	})
}

// A world is what a script's ecalld is connected to.
type world struct {
	modem   *sim.Modem
	bus     *canbus.Memory
	car     *canbus.End
	counter map[uint32]uint8
	gps     chan string
	cancel  context.CancelFunc
	open    sync.WaitGroup
}

func newWorld(env *testscript.Env) (*world, error) {
	opts := sim.Fast()
	opts.Voice = time.Minute // scripts end calls
	m, err := sim.New(opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &world{modem: m, bus: canbus.NewMemory(), counter: map[uint32]uint8{}, gps: make(chan string, 16), cancel: cancel}
	for i := range sim.Ports {
		master, name, err := sim.OpenPty()
		if err != nil {
			return nil, err
		}
		env.Setenv(fmt.Sprintf("PORT%d", i), name)
		w.open.Go(func() { _ = m.ServePort(ctx, i, master) }) // ends with the script
	}
	w.car = w.bus.Attach(0)
	path := filepath.Join(env.WorkDir, "can0")
	l, err := socketcand.Listen("unix:" + path)
	if err != nil {
		return nil, err
	}
	env.Setenv("BUS", "socketcand:unix:"+path)
	s := &socketcand.Server{
		Name: "can0", Origin: canbus.Simulation, Attach: func(queue int) canbus.Bus { return w.bus.Attach(queue) }, Log: zerolog.Nop(),
	}
	w.open.Go(func() { _ = s.Serve(ctx, l) }) // ends with the script
	gps, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	env.Setenv("GPSD", "gpsd:"+gps.Addr().String())
	context.AfterFunc(ctx, func() { _ = gps.Close() })
	w.open.Go(func() { w.receiver(ctx, gps) })
	return w, nil
}

func (w *world) stop() {
	w.cancel()
	w.open.Wait()
}

// receiver is a gpsd with one client at a time.
func (w *world) receiver(ctx context.Context, l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		if _, err := bufio.NewReader(conn).ReadString('\n'); err == nil { // ?WATCH
			w.report(ctx, conn)
		}
		_ = conn.Close()
	}
}

// report says where the car is each second, until told where it is next.
func (w *world) report(ctx context.Context, conn net.Conn) {
	line := `{"class":"VERSION","release":"3.25"}`
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		if _, err := fmt.Fprintln(conn, line); err != nil {
			return
		}
		select {
		case line = <-w.gps:
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value("world").(*world) }

// seal FILE writes what FILE says, with variables expanded, to ecall.json with
// its last line; seal -break damages it afterwards.
func seal(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[len(args)-1]), ts.Getenv)
	b := fmt.Appendf(nil, "%scrc32:%08X\n", text, crc32.ChecksumIEEE([]byte(text)))
	if args[0] == "-break" {
		b = bytes.Replace(b, []byte(`"M1"`), []byte(`"M9"`), 1)
	}
	ts.Check(os.WriteFile(ts.MkAbs("ecall.json"), b, 0o600))
}

// modem LINE is a control line of the simulated modem.
func commandModem(ts *testscript.TestScript, neg bool, args []string) {
	text, err := worldOf(ts).modem.Do(context.Background(), strings.Join(args, " "))
	if (err != nil) != neg {
		ts.Fatalf("modem %v: %v, %s", args, err, text)
	}
	fmt.Fprintln(ts.Stdout(), text)
}

// loads N waits until the modem was told to take N sets of data, the safety net
// among them; all but the newest have arrived then. calls N waits for N calls.
func commandCount(count func(*world) int) func(ts *testscript.TestScript, neg bool, args []string) {
	return func(ts *testscript.TestScript, _ bool, args []string) {
		want, err := strconv.Atoi(args[0])
		ts.Check(err)
		limit := time.NewTimer(20 * time.Second)
		defer limit.Stop()
		look := time.NewTicker(2 * time.Millisecond)
		defer look.Stop()
		for {
			n := count(worldOf(ts))
			if n >= want {
				return
			}
			select {
			case <-look.C:
			case <-limit.C:
				ts.Fatalf("%d, and no more", n)
			}
		}
	}
}

// gps LAT LON is where the receiver is from now on.
func commandGPS(ts *testscript.TestScript, _ bool, args []string) {
	worldOf(ts).gps <- fmt.Sprintf(`{"class":"TPV","mode":3,"time":"2026-05-01T10:00:00.000Z","lat":%s,"lon":%s,"speed":20,"track":90,"eph":5}`, args[0], args[1])
}

// car ignition | crash | wrong | down | up sends frames on the bus.
func commandCar(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	send := func(id uint32, length uint8, constant byte, spoil byte, bits ...int) {
		f := canbus.Frame{ID: id, Len: length}
		for _, b := range bits {
			f.Data[b/8] |= 1 << (b % 8)
		}
		if constant != 0 {
			guard := e2e.Constant(constant)
			w.counter[id]++
			guard.Protect(f.Data[:length], w.counter[id])
			f.Data[0] ^= spoil
		}
		ts.Check(w.car.Send(context.Background(), f))
	}
	switch args[0] {
	case "ignition":
		send(960, 4, 0xC3, 0, 17)
	case "crash":
		send(64, 8, 0x40, 0)
		send(64, 8, 0x40, 0, 16)
		send(64, 8, 0x40, 0, 16)
	case "wrong":
		for range 5 {
			send(64, 8, 0x40, 1, 16)
		}
	case "down":
		send(1000, 1, 0, 0, 0)
	case "up":
		send(1000, 1, 0, 0)
	default:
		ts.Fatalf("car %s?", args[0])
	}
}

// say LINE writes to the request socket and prints the answer.
func commandSay(ts *testscript.TestScript, neg bool, args []string) {
	conn := dialSoon(ts, ts.MkAbs("ask"))
	defer conn.Close()
	ts.Check(conn.SetDeadline(time.Now().Add(5 * time.Second)))
	_, err := fmt.Fprintln(conn, strings.Join(args, " "))
	ts.Check(err)
	answer, err := bufio.NewReader(conn).ReadString('\n')
	ts.Check(err)
	if (answer == "ok\n") == neg {
		ts.Fatalf("say %v: %s", args, answer)
	}
	fmt.Fprint(ts.Stdout(), answer)
}

// dialSoon waits for a program that has just been started.
func dialSoon(ts *testscript.TestScript, path string) net.Conn {
	limit := time.NewTimer(10 * time.Second)
	defer limit.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := net.Dial("unix", path)
		if err == nil {
			return conn
		}
		select {
		case <-again.C:
		case <-limit.C:
			ts.Fatalf("%v", err)
		}
	}
}

// status KEY=VALUE… waits until the status file says all that, and prints it.
func commandStatus(ts *testscript.TestScript, neg bool, args []string) {
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for {
		b, err := os.ReadFile(ts.MkAbs("status"))
		var fields map[string]any
		if err == nil && json.Unmarshal(b, &fields) != nil {
			ts.Fatalf("half a status: %q", b)
		}
		says := err == nil
		for _, a := range args {
			key, value, _ := strings.Cut(a, "=")
			says = says && fmt.Sprint(fields[key]) == value
		}
		if says {
			fmt.Fprint(ts.Stdout(), string(b))
			return
		}
		select {
		case <-look.C:
		case <-limit.C:
			if !neg {
				ts.Fatalf("status is %s", b)
			}
			return
		}
	}
}
