package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/socketcand"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"carsim": main,
		"tell":   func() { report(tell(os.Args[1:])) },
		"hear":   func() { report(hear(os.Args[1:])) },
		"speak":  func() { report(speak(os.Args[1:])) },
		"gps":    func() { report(gps(os.Args[1:])) },
		"at":     func() { report(at(os.Args[1:])) },
	})
}

func TestScripts(t *testing.T) {
	const dir = "../../testdata/script/carsim"
	if l, _ := filepath.Glob(filepath.Join(dir, "*.txtar")); len(l) == 0 {
		t.Fatal("there is no script in " + dir)
	}
	testscript.Run(t, testscript.Params{Dir: dir})
}

func report(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

const patience = 20 * time.Second

// patient tries until it succeeds: a program that was just started is not there
// at once.
func patient[T any](try func(ctx context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		v, err := try(ctx)
		if err == nil {
			return v, nil
		}
		select {
		case <-ctx.Done():
			return v, err
		case <-tick.C:
		}
	}
}

// tell SOCKET WORDS... gives a control line and prints the answer; it fails if
// the answer is an error.
func tell(args []string) error {
	conn, err := patient(func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", args[0])
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintln(conn, strings.Join(args[1:], " "))
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	fmt.Print(answer)
	if !strings.HasPrefix(answer, "ok") {
		return errors.New("refused")
	}
	return nil
}

func dial(addr string) (*socketcand.Client, error) {
	return patient(func(ctx context.Context) (*socketcand.Client, error) { return socketcand.Dial(ctx, addr) })
}

// hear ADDR PREFIX prints the first frame that begins so, as candump does, after
// what stands behind the bus.
func hear(args []string) error {
	bus, err := dial(args[0])
	if err != nil {
		return err
	}
	defer bus.Close()
	fmt.Println("origin", bus.Origin())
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var rx [64]canbus.Rx
	for {
		n, err := bus.Receive(ctx, rx[:])
		if err != nil {
			return err
		}
		for _, f := range rx[:n] {
			if text := (canbus.Line{Interface: "-", Frame: f.Frame}).String(); strings.HasPrefix(text, "- "+args[1]) {
				fmt.Println(text)
				return nil
			}
		}
	}
}

// speak ADDR PREFIX FRAME... sends frames, each 100 ms after the one before was
// on the bus, and prints the first frame that begins with PREFIX since then.
func speak(args []string) error {
	bus, err := dial(args[0])
	if err != nil {
		return err
	}
	defer bus.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	pace := time.NewTicker(100 * time.Millisecond)
	defer pace.Stop()
	answer := ""
	for _, text := range args[2:] {
		l, ok, err := canbus.ParseLine("- " + text)
		if err != nil || !ok {
			return fmt.Errorf("%q: %w", text, err)
		}
		if err := bus.Send(ctx, l.Frame); err != nil {
			return err
		}
		for out := false; !out; {
			out, err = listen(ctx, bus, l.Frame, args[1], &answer)
			if err != nil {
				return err
			}
		}
		<-pace.C
	}
	for answer == "" {
		if _, err := listen(ctx, bus, canbus.Frame{}, args[1], &answer); err != nil {
			return err
		}
	}
	fmt.Println(answer)
	return nil
}

// listen receives once. It reports whether sent went out, and fills answer.
func listen(ctx context.Context, bus canbus.Bus, sent canbus.Frame, prefix string, answer *string) (out bool, err error) {
	var rx [64]canbus.Rx
	n, err := bus.Receive(ctx, rx[:])
	for _, f := range rx[:n] {
		out = out || f.Own && f.Frame == sent
		if text := (canbus.Line{Interface: "-", Frame: f.Frame}).String(); *answer == "" && strings.HasPrefix(text, "- "+prefix) {
			*answer = text
		}
	}
	return out, err
}

// gps FILE prints the first four lines of a gpsd at the port in FILE.
func gps(args []string) error {
	port, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", "127.0.0.1:"+strings.TrimSpace(string(port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprintln(conn, `?WATCH={"enable":true,"json":true}`)
	lines := bufio.NewScanner(conn)
	for range 4 {
		if !lines.Scan() {
			return errors.New("gpsd says no more")
		}
		fmt.Println(lines.Text())
	}
	return nil
}

// at PORT COMMAND gives an AT command and prints the answer up to OK.
func at(args []string) error {
	port, err := os.OpenFile(args[0], os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer port.Close()
	if _, err := io.WriteString(port, args[1]+"\r"); err != nil {
		return err
	}
	lines := bufio.NewScanner(port)
	for lines.Scan() {
		if fmt.Println(lines.Text()); strings.TrimSpace(lines.Text()) == "OK" {
			return nil
		}
	}
	return errors.New("the port is gone")
}
