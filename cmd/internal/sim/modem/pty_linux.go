package modem

import (
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// OpenPty makes a pseudo-terminal in raw mode. master is for [Modem.Serve];
// name is the device a driver opens. As long as master is open the other side
// may be closed and opened again, as a serial device may.
func OpenPty() (master *os.File, name string, err error) {
	// Non-blocking, so that Close ends a Read that waits.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", fmt.Errorf("open /dev/ptmx: %w", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	defer func() {
		if err != nil {
			_ = master.Close()
			master = nil
		}
	}()
	if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return master, "", fmt.Errorf("unlock pty: %w", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return master, "", fmt.Errorf("number of pty: %w", err)
	}
	name = "/dev/pts/" + strconv.Itoa(n)
	if err = raw(fd); err != nil {
		return master, "", fmt.Errorf("raw mode of %s: %w", name, err)
	}
	// Reading a master fails while nobody has the other side open, so we do.
	other, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return master, "", err
	}
	runtime.AddCleanup(master, func(f *os.File) { _ = f.Close() }, other)
	return master, name, nil
}

// raw passes every octet as it is and echoes none.
func raw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8 | unix.CREAD | unix.CLOCAL
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
