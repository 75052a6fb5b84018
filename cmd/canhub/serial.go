package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"go.bug.st/serial"
	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/canbus"
)

// openLine opens a serial device, raw, 8N1, and says what it is: a
// pseudo-terminal has no hardware behind it, whatever name led there.
//
// Package serial sets it up only. Reading and writing is left to the runtime,
// which ends a Read that waits when the file is closed, and a hang-up is an end.
func openLine(path string, baud int) (io.ReadWriteCloser, canbus.Origin, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", advised(err)
	}
	origin, err := prepare(f, baud)
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("%s: %w", path, advised(err)), f.Close())
	}
	return f, origin, nil
}

func prepare(f *os.File, baud int) (canbus.Origin, error) {
	p, err := serial.Open(f.Name(), &serial.Mode{BaudRate: baud, DataBits: 8})
	if err != nil {
		return "", err
	}
	if err := p.Close(); err != nil { // what was set lasts as long as f
		return "", err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return "", err
	}
	if err := f.SetReadDeadline(time.Time{}); err != nil { // a Read could not be ended
		return "", err
	}
	origin, inner := canbus.Adapter, error(nil)
	err = raw.Control(func(fd uintptr) {
		if isPty(int(fd)) {
			origin = canbus.Simulation
			return
		}
		// Nobody else shall talk to the adapter. (A pty would keep that mark when
		// we are killed.)
		inner = unix.IoctlSetInt(int(fd), unix.TIOCEXCL, 0)
	})
	return origin, errors.Join(err, inner)
}

// isPty reports whether fd is a pty of Linux: character devices 136 to 143.
func isPty(fd int) bool {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFCHR {
		return false
	}
	major := unix.Major(uint64(st.Rdev))
	return 136 <= major && major <= 143
}

// advised adds to an error what can be done about it.
func advised(err error) error {
	busy, isPort := errors.AsType[*serial.PortError](err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: plug the adapter in, or find its name with ls /dev/serial/by-id", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: the user of canhub has to be in the group of the device, mostly dialout", err)
	case errors.Is(err, unix.EBUSY), isPort && busy.Code() == serial.PortBusy:
		return fmt.Errorf("%w: end the other program; ModemManager keeps away from a device with ID_MM_DEVICE_IGNORE", err)
	case isPort && busy.Code() == serial.InvalidSerialPort:
		return fmt.Errorf("%w: it is no serial device; find its name with ls /dev/serial/by-id", err)
	}
	return err
}
