package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/cmd/ecalld/internal/ecall"
)

// Bounds of the request socket.
const (
	maxClients = 4
	burst      = 3           // requests at once
	perRequest = time.Second // and then one in this time
	patience   = time.Minute // for the next line of a client
)

// A desk answers requests on a unix socket. It asks the loop and decides
// nothing itself but who may ask, and how often.
type desk struct {
	path string
	log  zerolog.Logger
	now  func() time.Time
	tell func(any)

	mu    sync.Mutex
	full  time.Time // when the bucket is full again
	seats chan struct{}
}

// run serves until ctx ends, and tries again if it cannot: nothing about a call
// depends on it.
func (d *desk) run(ctx context.Context) {
	d.seats = make(chan struct{}, maxClients)
	wait, ok := retryLeast, true
	for told := false; ok; wait, ok = backoff(ctx, wait) {
		l, err := listen(d.path)
		if err == nil {
			wait, told = retryLeast, false
			err = d.serve(ctx, l)
		}
		if !told && ctx.Err() == nil {
			d.log.Warn().Err(err).Msg("request socket")
		}
		told = true
	}
}

// listen replaces the socket that a killed process left.
func listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		_ = l.Close() // the mode is the fault to tell
		return nil, err
	}
	return l, nil
}

func (d *desk) serve(ctx context.Context, l net.Listener) error {
	var clients sync.WaitGroup
	defer clients.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		conn, err := l.Accept()
		if err != nil {
			_ = l.Close() // it may be closed already
			return err
		}
		select {
		case d.seats <- struct{}{}:
		default:
			_ = conn.Close() // too many
			continue
		}
		clients.Go(func() {
			defer func() { <-d.seats }()
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			defer stop()
			if err := d.attend(ctx, conn); err != nil && ctx.Err() == nil {
				d.log.Info().Err(err).Msg("request socket client")
			}
			_ = conn.Close() // there is nothing left to say
		})
	}
}

// attend answers the lines of one client.
func (d *desk) attend(ctx context.Context, conn net.Conn) error {
	if err := sameUser(conn); err != nil {
		return err
	}
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 0, ecall.MaxRequest), ecall.MaxRequest)
	for {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		if !lines.Scan() {
			if errors.Is(lines.Err(), bufio.ErrTooLong) {
				_, _ = conn.Write([]byte("no too long\n")) // the client may be gone
			}
			return lines.Err()
		}
		if _, err := conn.Write([]byte(d.answer(ctx, lines.Bytes()) + "\n")); err != nil {
			return err
		}
	}
}

// answer is what the loop says to a line, within the rate. SOS is as good as a
// key in the car, and never has to wait.
func (d *desk) answer(ctx context.Context, line []byte) string {
	r, ok := ecall.ParseRequest(line)
	switch {
	case !ok:
		return "no such request"
	case r != ecall.AskSOS && !d.allow():
		return "no rate"
	}
	answer := make(chan string, 1)
	d.tell(asked{r, answer})
	select {
	case text := <-answer:
		return text
	case <-ctx.Done():
		return "no end"
	}
}

// allow is a bucket of burst requests, filled with one each second.
func (d *desk) allow() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if d.full.Before(now) {
		d.full = now
	}
	if d.full.Sub(now) > (burst-1)*perRequest {
		return false
	}
	d.full = d.full.Add(perRequest)
	return true
}

// sameUser refuses a peer that is neither the user of this program nor root.
func sameUser(conn net.Conn) error {
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("not a unix socket")
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) { cred, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	switch {
	case err != nil:
		return err
	case failed != nil:
		return fmt.Errorf("SO_PEERCRED: %w", failed)
	case !mayAsk(cred.Uid, os.Geteuid()):
		return fmt.Errorf("user %d may not ask", cred.Uid)
	}
	return nil
}

func mayAsk(user uint32, own int) bool { return user == 0 || int(user) == own }
