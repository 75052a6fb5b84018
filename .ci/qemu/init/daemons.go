package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	runDir     = "/run/headunit"
	statusFile = runDir + "/ecall"
	settle     = 5 * time.Second  // how long all of them run before their memory is read
	patience   = 10 * time.Second // for a start and for an end; a bar is judged apart from it
)

// A daemon is a program of the car, with what it has promised. Memory is in MB
// of 1,000,000 octets; the bar is the one for steady memory, held here by the
// peak, which is stricter.
type daemon struct {
	name   string
	args   []string
	status bool          // ready when its status file is there, not when it says so to systemd
	start  time.Duration // from exec to ready
	memory float64

	cmd   *exec.Cmd
	said  string // file with what it printed
	ended chan error
}

func daemons() []*daemon {
	return []*daemon{
		// no flag at all: everything is missing, and the call has to work
		{name: "ecalld", status: true, start: 300 * time.Millisecond, memory: 10},
		{name: "uplinkd", start: 2 * time.Second, memory: 16},
		{name: "headunitd", start: 2 * time.Second, memory: 32, args: []string{
			"--profile=/profiles/refcar/refcar.yaml", "--can-simulated",
			"--bus=drive=socketcand:unix:/run/car/can0", "--bus=body=socketcand:unix:/run/car/can1", "--bus=fd=socketcand:unix:/run/car/can2",
		}},
	}
}

// runDaemons starts the daemons one after another, as they are in the car: no
// network, no bus, no GNSS, no state, a clock that is wrong; only the folders
// that systemd would have made.
func runDaemons(out io.Writer, clock string) (result, error) {
	var r result
	for _, dir := range []string{runDir, "/var/lib/headunit", "/var/lib/ecall"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return r, err
		}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return r, err
	}
	r.judge(out, len(interfaces) == 1 && strings.HasPrefix(time.Now().UTC().Format(time.RFC3339), clock),
		"the guest: %d network interface (lo), clock at %s", len(interfaces), time.Now().UTC().Format(time.DateTime))
	list := daemons()
	for _, d := range list {
		if err := d.run(&r, out); err != nil {
			return r, err
		}
	}
	time.Sleep(settle)
	for _, d := range list {
		d.weigh(&r, out)
	}
	for _, d := range list {
		d.stop(&r, out)
	}
	fmt.Fprintf(out, "     clock at the end %s\n", time.Now().UTC().Format(time.DateTime))
	return r, nil
}

// run starts the daemon and waits until it is ready.
func (d *daemon) run(r *result, out io.Writer) error {
	notify := filepath.Join("/run", d.name+".notify")
	ready, err := watchNotify(notify)
	if err == nil && d.status {
		ready, err = watchStatus()
	}
	if err != nil {
		return err
	}
	d.said = filepath.Join("/run", d.name+".log")
	log, err := os.Create(d.said)
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd = exec.Command("/bin/"+d.name, d.args...)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	d.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+notify)
	start := time.Now()
	if err := d.cmd.Start(); err != nil {
		return err
	}
	d.ended = make(chan error, 1)
	go func() { d.ended <- d.cmd.Wait() }()
	select {
	case is := <-ready:
		took := is.at.Sub(start)
		r.judge(out, is.err == nil && took <= d.start, "%-10s ready %d ms after exec, bar %d ms", d.name, took.Milliseconds(), d.start.Milliseconds())
		if is.err != nil {
			fmt.Fprintln(out, "    ", is.err)
		}
	case err := <-d.ended:
		d.ended <- err
		r.judge(out, false, "%-10s ended before it was ready: %v", d.name, err)
	case <-time.After(patience):
		r.judge(out, false, "%-10s not ready within %v", d.name, patience)
	}
	return nil
}

// A readiness is the moment at which a daemon said that it is ready, or why what
// it said is of no use.
type readiness struct {
	at  time.Time
	err error
}

// watchNotify is told READY=1, as systemd is. It reads on until the guest ends:
// a daemon must not stall on a watchdog message that nobody reads.
func watchNotify(socket string) (<-chan readiness, error) {
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	ready := make(chan readiness, 1)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			if err == nil && !strings.Contains("\n"+string(b[:n])+"\n", "\nREADY=1\n") {
				continue
			}
			select {
			case ready <- readiness{time.Now(), err}:
			default: // said before
			}
			if err != nil {
				return
			}
		}
	}()
	return ready, nil
}

// watchStatus is told by the kernel when the first status file is in place: a
// loop that looks for it would take time from what is measured.
func watchStatus() (<-chan readiness, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "inotify")
	if _, err := unix.InotifyAddWatch(fd, runDir, unix.IN_MOVED_TO); err != nil {
		return nil, err
	}
	ready := make(chan readiness, 1)
	go func() {
		defer f.Close()
		b := make([]byte, 4096)
		for {
			_, err := f.Read(b)
			at := time.Now()
			if err == nil {
				err = checkStatus()
			}
			if !errors.Is(err, os.ErrNotExist) { // else another file came
				ready <- readiness{at, err}
				return
			}
		}
	}()
	return ready, nil
}

// checkStatus reads the status file as its readers do.
func checkStatus() error {
	text, err := os.ReadFile(statusFile)
	if err != nil {
		return err
	}
	var s struct {
		V     int    `json:"v"`
		Phase string `json:"phase"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("status file %q: %w", text, err)
	}
	if s.V != 1 || s.Phase == "" {
		return fmt.Errorf("status file %q has no version 1 or no phase", text)
	}
	return nil
}

// weigh reads the memory of the running daemon. Its own VmHWM counts: ru_maxrss
// begins with the parent's peak.
func (d *daemon) weigh(r *result, out io.Writer) {
	select {
	case err := <-d.ended:
		d.ended <- err
		r.judge(out, false, "%-10s ended by itself: %v", d.name, err)
		return
	default:
	}
	// the counters in status lag behind by some pages a thread, the roll-up walks them all
	peak, now := d.megabytes("status", "VmHWM:"), d.megabytes("smaps_rollup", "Rss:")
	peak = max(peak, now)
	r.judge(out, now > 0 && peak <= d.memory, "%-10s memory %.1f MB at most, %.1f MB now, bar %.0f MB", d.name, peak, now, d.memory)
}

// megabytes reads a field of a file of /proc/PID, 0 when it cannot.
func (d *daemon) megabytes(file, field string) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", d.cmd.Process.Pid, file))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == field {
			kB, _ := strconv.Atoi(words[1]) // 0 is judged as a failure
			return float64(kB) * 1024 / 1e6
		}
	}
	return 0
}

// stop ends the daemon as systemd does. What it printed is shown when anything
// was wrong with it.
func (d *daemon) stop(r *result, out io.Writer) {
	start := time.Now()
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // one that has ended is judged by its exit code
	select {
	case err := <-d.ended:
		r.judge(out, err == nil, "%-10s exit code %d on SIGTERM, after %d ms", d.name, d.cmd.ProcessState.ExitCode(), time.Since(start).Milliseconds())
	case <-time.After(patience):
		r.judge(out, false, "%-10s still there %v after SIGTERM", d.name, patience)
		_ = d.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines say where it hangs
		<-d.ended                                 //nolint:errcheck // killed by us, and judged already
	}
	if r.Failed == 0 {
		return
	}
	said, err := os.ReadFile(d.said)
	fmt.Fprintf(out, "--- %s said: (%v)\n%s---\n", d.name, err, said)
}
