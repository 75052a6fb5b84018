package slcan

import (
	"context"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/canbus"
)

// openPty makes a terminal in raw mode and opens both of its sides.
func openPty(t *testing.T) (master, slave *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	termios, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	termios.Iflag, termios.Oflag, termios.Lflag = 0, 0, 0
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, termios); err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

// On a real terminal: opened, used, unplugged, and the error says so; and a
// Close ends what waits.
func TestTerminal(t *testing.T) {
	for _, unplugged := range []bool{true, false} {
		master, slave := openPty(t)
		go func() {
			buf := make([]byte, 256)
			for line := []byte(nil); ; {
				n, err := master.Read(buf)
				if err != nil {
					return
				}
				for _, c := range buf[:n] {
					if c != cr {
						line = append(line, c)
						continue
					}
					_, _ = master.WriteString(lawicel(string(line)))
					line = line[:0]
				}
			}
		}()
		b, err := Open(t.Context(), slave, plain)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Send(t.Context(), f1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		dst := make([]canbus.Rx, 4)
		if n, err := b.Receive(ctx, dst); n != 1 || err != nil || dst[0].Frame != f1 || !dst[0].Own {
			t.Fatalf("%v, %v", dst[:n], err)
		}
		if unplugged {
			_ = master.Close()
		} else {
			_ = b.Close()
		}
		expectGone(t, b, canbus.ErrClosed)
		_ = b.Close()
	}
}
