package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Where the host's folders are mounted: the module's sources, so that tests find
// their testdata where they expect it, and what the host wants done.
const (
	sources = "/src"
	job     = "/job"
)

// How long one test binary may take: by its own watch, which prints what hangs,
// and by ours. An emulated processor is some 20 times slower than the host's.
const (
	testLimit = 150 * time.Second
	killLimit = 160 * time.Second
)

func mountShares() error {
	return errors.Join(mountHost("src", sources), mountHost("job", job))
}

// runTests runs the test binaries that /job/tests names, a line each: the
// package's folder, a tab, the binary's name below /job/bin, a tab, how many
// tests may be skipped ("any").
func runTests(out io.Writer) (result, error) {
	var r result
	if err := mountShares(); err != nil {
		return r, err
	}
	list, err := os.ReadFile(filepath.Join(job, "tests"))
	if err != nil {
		return r, err
	}
	// rapid's own default takes minutes here, and the host runs it anyway
	if err := os.Setenv("RAPID_CHECKS", "20"); err != nil {
		return r, err
	}
	for line := range strings.Lines(string(list)) {
		words := strings.Split(strings.TrimSpace(line), "\t")
		if len(words) != 3 {
			return r, fmt.Errorf("%s: %q is no folder, binary and number of skips", job, line)
		}
		skips := math.MaxInt
		if words[2] != "any" {
			if skips, err = strconv.Atoi(words[2]); err != nil {
				return r, err
			}
		}
		runTest(&r, out, words[0], words[1], skips)
	}
	return r, nil
}

// runTest runs one test binary in its package's folder. One that passes no test
// has failed: it promises nothing. So has one that skips more than it may: what
// it asks for is here.
func runTest(r *result, out io.Writer, dir, bin string, skips int) {
	ctx, cancel := context.WithTimeout(context.Background(), killLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(job, "bin", bin), "-test.v", "-test.short", "-test.timeout="+testLimit.String())
	cmd.Dir = filepath.Join(sources, dir)
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)

	passed, skipped := count(printed.String())
	ok := err == nil && passed > 0 && len(skipped) <= skips
	r.judge(out, ok, "%-30s %3d passed %2d skipped %6.1f s", dir, passed, len(skipped), took.Seconds())
	for _, s := range skipped {
		fmt.Fprintln(out, "       ", s)
	}
	for line := range strings.Lines(printed.String()) {
		if _, figure, ok := strings.Cut(line, "_test.go:"); ok && strings.Contains(figure, ": measured: ") {
			_, figure, _ = strings.Cut(figure, ": measured: ")
			fmt.Fprint(out, "        ", figure)
		}
	}
	if !ok {
		fmt.Fprintf(out, "%s: %v\n%s\n", dir, err, printed.Bytes())
	}
}

// count reads what -test.v printed: how many tests passed, and the skipped ones,
// each with its reason, which stands on the line before or after.
func count(printed string) (passed int, skipped []string) {
	lines := strings.Split(printed, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "--- PASS: ") {
			passed++
		}
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "--- SKIP: "); ok {
			name, _, _ = strings.Cut(name, " ")
			reason := ""
			for _, near := range lines[max(i-1, 0):min(i+2, len(lines))] {
				if at, text, ok := strings.Cut(strings.TrimSpace(near), ": "); ok && strings.Contains(at, "_test.go:") {
					reason = ": " + text
				}
			}
			skipped = append(skipped, "skipped "+name+reason)
		}
	}
	return passed, skipped
}

// runProgram runs the program of /job/args (NUL between its arguments) in the
// folder of /job/dir, for `go test -exec`.
func runProgram(out io.Writer) (result, error) {
	var r result
	if err := mountShares(); err != nil {
		return r, err
	}
	args, err := os.ReadFile(filepath.Join(job, "args"))
	if err != nil {
		return r, err
	}
	dir, err := os.ReadFile(filepath.Join(job, "dir"))
	if err != nil {
		return r, err
	}
	words := strings.Split(strings.TrimSuffix(string(args), "\x00"), "\x00")
	cmd := exec.Command(filepath.Join(job, "bin", words[0]), words[1:]...)
	cmd.Dir = filepath.Join(sources, strings.TrimSpace(string(dir)))
	cmd.Stdout, cmd.Stderr = out, out
	err = cmd.Run()
	if cmd.ProcessState == nil {
		return r, err
	}
	r.Ran, r.Exit = 1, cmd.ProcessState.ExitCode()
	if r.Exit != 0 {
		r.Failed = 1
	}
	if r.Exit < 0 { // ended by a signal; a process cannot exit with that
		r.Exit = 1
	}
	return r, nil
}
