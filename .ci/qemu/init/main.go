// Command init is the first process of a test guest: it makes a bare kernel fit
// to run programs, runs what the kernel's command line asks for (qt=WHAT),
// leaves the result on a virtio port, and switches the machine off.
//
//	qt=tests      every test binary of /job/tests, one after another
//	qt=exec       the program of /job/args, its output as it comes
//	qt=daemons    the programs of the car, as they start with nothing there
//
// qt.can=virtual makes CAN interfaces first, qt.can=controllers sets up can0 and
// can1 as well.
//
// A guest without a result has failed, whatever it printed: a panic, a power-off
// and a hang look alike from outside.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A result is what the host judges by.
type result struct {
	Ran    int `json:"ran"`    // how many tests, programs or promises were looked at
	Failed int `json:"failed"` // how many of them did not hold
	Exit   int `json:"exit"`   // exit code of the program, for qt=exec
}

// judge counts one promise, and says how it came out.
func (r *result) judge(out io.Writer, holds bool, format string, args ...any) {
	r.Ran++
	verdict := "ok  "
	if !holds {
		r.Failed++
		verdict = "FAIL"
	}
	fmt.Fprintf(out, "%s %s\n", verdict, fmt.Sprintf(format, args...))
}

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "QT", err)
	}
	unix.Sync()
	err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	fmt.Fprintln(os.Stderr, "QT power-off:", err)
}

func serve() error {
	if err := setUp(); err != nil {
		return err
	}
	out, err := openPort("qt.out")
	if err != nil {
		return err
	}
	port, err := openPort("qt.result")
	if err != nil {
		return err
	}
	words, err := commandLine()
	if err != nil {
		return err
	}
	if can := words["qt.can"]; can != "" {
		if err := setUpCAN(can == "controllers"); err != nil {
			return err
		}
	}
	var r result
	switch what := words["qt"]; what {
	case "tests":
		r, err = runTests(out)
	case "exec":
		r, err = runProgram(out)
	case "daemons":
		r, err = runDaemons(out, words["qt.clock"])
	default:
		err = fmt.Errorf("qt=%q is nothing to run", what)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(port).Encode(r)
}

// commandLine is the kernel's: the values of its words NAME=VALUE.
func commandLine() (map[string]string, error) {
	line, err := os.ReadFile("/proc/cmdline")
	words := map[string]string{}
	for w := range strings.FieldsSeq(string(line)) {
		name, value, _ := strings.Cut(w, "=")
		words[name] = value
	}
	return words, err
}
