package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// module is the root of the source tree that the demo runs in: it builds from
// there, and finds the reference car's profile there.
func module() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module github.com/headunit-agent/headunit\n") {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("run the demo inside the source tree: it needs the reference car's profile from testdata")
		}
		dir = up
	}
}

var children = []string{"carsim", "ecalld", "uplinkd", "headunitd", "headunitctl"}

// programs returns the folder with the children and what more is named, which it
// builds unless one is given.
func programs(ctx context.Context, bin string, stdout io.Writer, more ...string) (string, error) {
	children := append(slices.Clip(children), more...)
	root, err := module()
	if err != nil {
		return "", err
	}
	if bin == "" {
		bin = filepath.Join(root, ".build")
		fmt.Fprintln(stdout, "building the programs (the first time takes a minute or two) …")
		args := []string{"build", "-trimpath", "-o", bin + string(filepath.Separator)}
		for _, c := range children {
			args = append(args, "./cmd/"+c)
		}
		cmd := exec.CommandContext(ctx, "go", args...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	for _, c := range children {
		if _, err := os.Stat(filepath.Join(bin, c)); err != nil {
			return "", fmt.Errorf("%w; run make build, or leave --bin away", err)
		}
	}
	return filepath.Abs(bin)
}
