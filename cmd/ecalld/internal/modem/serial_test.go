package modem

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	sim "github.com/headunit-agent/headunit/cmd/internal/sim/modem"
)

var quietLog = zerolog.Nop()

// TestOnAPTY opens the simulator through package serial, as the program does:
// by a link, twice, and once more after a process that was killed.
func TestOnAPTY(t *testing.T) {
	m, err := sim.New(sim.Fast())
	if err != nil {
		t.Fatal(err)
	}
	master, name, err := sim.OpenPty()
	if err != nil {
		t.Skip("no pty here:", err)
	}
	defer master.Close()
	served := make(chan error, 1)
	go func() { served <- m.Serve(t.Context(), master) }()
	link := filepath.Join(t.TempDir(), "modem0")
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		d, err := Open(t.Context(), Config{Driver: "telit", Ports: []string{link}}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, d, Ready)
		if !d.Caps().Simulator {
			t.Error("the simulator is not recognized")
		}
		a, err := Arm(d, Trigger{})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.LoadMSD(t.Context(), msdV2); err != nil {
			t.Error(err)
		}
		if err := d.Dial(t.Context(), Call{Kind: Automatic, Armed: a}); err != nil {
			t.Error(err)
		}
		waitFor(t, d, Start)
		if err := d.Hangup(t.Context()); err != nil {
			t.Error(err)
		}
		// Exclusive use would shut out whoever comes after a kill.
		fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := unix.IoctlGetInt(fd, unix.TIOCGEXCL); err != nil || n != 0 {
			t.Errorf("the port is kept exclusive: %d, %v", n, err)
		}
		_ = unix.Close(fd)
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := len(m.Calls()); n != 2 {
		t.Errorf("%d calls", n)
	}
}

func waitFor(t *testing.T, m Modem, k EventKind) {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case e := <-m.Events():
			if e.Kind == k {
				return
			}
		case <-limit:
			t.Fatalf("no %s", k)
		}
	}
}

func TestIsPTY(t *testing.T) {
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	if isPTY(int(f.Fd())) || isPTY(-1) {
		t.Error("no pty")
	}
	if _, err := openSerial(filepath.Join(t.TempDir(), "none"), 115200); err == nil {
		t.Error("opened what is not there")
	}
	if _, err := openSerial("/dev/null", 115200); err == nil {
		t.Error("opened what is no terminal")
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, c := range []Config{
		{},
		{Driver: "cinterion", Ports: []string{"a"}},
		{Driver: "telit"},
		{Driver: "telit", Ports: []string{""}},
		{Driver: "telit", Ports: []string{"a", "a"}},
		{Driver: "telit", Ports: []string{"a", "b", "c"}},
	} {
		if m, err := Open(context.Background(), c, zerolog.Nop()); err == nil || m != nil {
			t.Errorf("%+v: opened", c)
		}
	}
}
