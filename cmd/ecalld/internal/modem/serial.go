package modem

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"
)

// A device is an open AT port.
type device struct {
	io.ReadWriteCloser
	pty bool // a pseudo terminal: no hardware behind it
}

// An opener opens a device anew.
type opener func() (device, error)

// serialPatience is how long a reader sits in the kernel at most; closing waits
// for it.
const serialPatience = 200 * time.Millisecond

// openSerial opens a character device as 8N1 without flow control.
func openSerial(name string, baud int) (device, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return device{}, fmt.Errorf("open modem port %s: %w", name, err)
	}
	defer unix.Close(fd)
	p, err := serial.Open(name, &serial.Mode{BaudRate: baud, DataBits: 8})
	if err != nil {
		return device{}, fmt.Errorf("open modem port %s: %w", name, err)
	}
	// Package serial takes the terminal for itself. A pty keeps that mark when a
	// process is killed, and would refuse the next one.
	_ = unix.IoctlSetInt(fd, unix.TIOCNXCL, 0)
	if err := p.SetReadTimeout(serialPatience); err != nil {
		_ = p.Close()
		return device{}, fmt.Errorf("open modem port %s: %w", name, err)
	}
	return device{&serialPort{port: p}, isPTY(fd)}, nil
}

// isPTY reports whether fd is a pty of Linux: character devices 136 to 143.
func isPTY(fd int) bool {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR {
		return false
	}
	major := unix.Major(uint64(st.Rdev))
	return 136 <= major && major <= 143
}

// A serialPort closes its port only when no reader is inside: package serial
// would read on with a number that may be another file's by then.
type serialPort struct {
	port    serial.Port
	closing atomic.Bool
	reading sync.Mutex
	writing sync.Mutex
}

// Read returns (0, nil) when nothing came for a while.
func (s *serialPort) Read(b []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.closing.Load() {
		return 0, os.ErrClosed
	}
	return s.port.Read(b)
}

func (s *serialPort) Write(b []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for sent := 0; sent < len(b); {
		if s.closing.Load() {
			return sent, os.ErrClosed
		}
		n, err := s.port.Write(b[sent:])
		if sent += n; err != nil && !errors.Is(err, unix.EINTR) {
			return sent, err
		}
	}
	return len(b), nil
}

// Close waits for the reader. It does not wait for a writer: a modem that takes
// nothing may hold it for ever.
func (s *serialPort) Close() error {
	s.closing.Store(true)
	if s.writing.TryLock() {
		defer s.writing.Unlock()
	}
	s.reading.Lock()
	defer s.reading.Unlock()
	return s.port.Close()
}
