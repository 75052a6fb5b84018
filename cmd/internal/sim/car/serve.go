package car

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/socketcand"
)

// Serve offers a running car to other programs, in a folder: can0, can1 and can2
// (drive, body and fd) and control are unix sockets, and gnss.port holds the
// loopback port of gpsd. The control socket comes last, so that whoever finds it
// finds the others; ready is called then. Serve ends with ctx, which is no error,
// and leaves nothing behind.
func (c *Car) Serve(ctx context.Context, dir string, ready func()) error {
	var jobs []func(context.Context) error
	for b := range buses {
		name := fmt.Sprintf("can%d", b)
		l, err := socketcand.Listen("unix:" + filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("bus %s: %w", b, err)
		}
		defer l.Close()
		s := &socketcand.Server{
			Name: name, Origin: canbus.Simulation, Log: c.log,
			Attach:  func(queue int) canbus.Bus { return c.buses[b].Attach(queue) },
			MaySend: func(canbus.Frame) bool { return true },
		}
		jobs = append(jobs, func(ctx context.Context) error { return s.Serve(ctx, l) })
	}
	gnss, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("GNSS: %w", err)
	}
	defer gnss.Close()
	port := filepath.Join(dir, "gnss.port")
	if err := writePort(port, gnss); err != nil {
		return err
	}
	defer func() { _ = os.Remove(port) }()
	control, err := socketcand.Listen("unix:" + filepath.Join(dir, "control"))
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	defer control.Close()
	jobs = append(jobs,
		func(ctx context.Context) error { return c.ServeGNSS(ctx, gnss) },
		func(ctx context.Context) error { return c.ServeControl(ctx, control) })
	ready()
	return Together(ctx, jobs...)
}

// Together runs all jobs until ctx ends or the first of them fails, then waits
// for the others, and returns what that one failed with.
func Together(ctx context.Context, jobs ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	failed := make(chan error, len(jobs))
	for _, job := range jobs {
		go func() {
			err := job(ctx)
			if err != nil {
				cancel(err)
			}
			failed <- err
		}()
	}
	var first error
	for range jobs {
		if err := <-failed; first == nil {
			first = err
		}
	}
	return first
}

// writePort writes the port of l to a file, in one step: who sees the file can
// read it.
func writePort(file string, l net.Listener) error {
	port := l.Addr().(*net.TCPAddr).Port
	if err := os.WriteFile(file+".new", []byte(strconv.Itoa(port)+"\n"), 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

// ServeControl takes control lines from every connection of l until ctx ends.
// Each line is answered by one line that begins with ok or error.
func (c *Car) ServeControl(ctx context.Context, l net.Listener) error {
	return accept(ctx, l, c.control)
}

// accept serves each connection of l in a goroutine of its own, until ctx ends;
// then it closes them all and waits for them.
func accept(ctx context.Context, l net.Listener, serve func(context.Context, net.Conn)) error {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	for {
		conn, err := l.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case err != nil:
			return fmt.Errorf("accept: %w", err)
		}
		all.Go(func() {
			defer conn.Close()
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			serve(ctx, conn)
		})
	}
}

// answerWithin is how long a client may take to read an answer.
const answerWithin = 5 * time.Second

func (c *Car) control(ctx context.Context, conn net.Conn) {
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 0, 256), MaxLine+2)
	for lines.Scan() {
		text := lines.Text()
		said, err := c.Do(ctx, text)
		answer := "ok"
		switch {
		case err != nil:
			answer = "error " + err.Error()
		case said != "":
			answer += " " + said
		}
		c.log.Debug().Str("line", text).Err(err).Msg("control")
		if !write(conn, strings.ReplaceAll(answer, "\n", " ")+"\n") {
			return
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		write(conn, fmt.Sprintf("error a line has at most %d octets\n", MaxLine))
	}
}

func write(conn net.Conn, text string) bool {
	_ = conn.SetWriteDeadline(time.Now().Add(answerWithin))
	_, err := conn.Write([]byte(text))
	return err == nil
}
