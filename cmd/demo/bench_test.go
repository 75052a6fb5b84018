package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/cmd/internal/sim/backend"
)

var all = flag.Bool("all", false, "a missing tool is a failure, not a skip")

// built is where the programs of this tree lie.
var built struct {
	bin string
	err error
}

// TestMain builds the programs, before the clock of -timeout runs: the first
// time takes minutes on a slow machine.
func TestMain(m *testing.M) {
	built.bin, built.err = programs(context.Background(), "", io.Discard, "canhub")
	m.Run()
}

// tree reads what the programs are made of, and what they read. The test cache
// knows the files that this process opens, while it runs tests, and not those of
// its children: without this a test would stay green whatever became of them.
// Recordings lie outside the module, where the cache never looks; they do not
// change.
var tree = sync.OnceValue(func() error {
	root, err := module()
	if err != nil {
		return err
	}
	for _, name := range []string{"go.mod", "go.sum", "agent", "canbus", "cmd", "enroll", "privacy", "testdata/profiles", "testdata/refcar"} {
		err := filepath.WalkDir(filepath.Join(root, name), func(file string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() || strings.HasSuffix(file, "_test.go"):
				return nil
			}
			_, err = os.ReadFile(file) // also what is embedded
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
})

// newTestBench is an empty bench that, if the test fails, shows what its
// programs said.
func newTestBench(t *testing.T) *bench {
	t.Helper()
	if built.err != nil {
		t.Fatal(built.err)
	}
	if err := tree(); err != nil {
		t.Fatal(err)
	}
	b := newBench(built.bin, t.TempDir(), zerolog.Nop())
	t.Cleanup(func() {
		if t.Failed() {
			showLogs(t, b.dir)
		}
	})
	return b
}

func showLogs(t *testing.T, dir string) {
	const most = 6 << 10
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Log(err)
	}
	for _, file := range logs {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Log(err)
		}
		t.Logf("%s ends:\n%s", filepath.Base(file), text[max(0, len(text)-most):])
	}
}

// begin puts the bench together until the test ends.
func begin(t *testing.T, b *bench, steps ...func(context.Context) error) {
	t.Helper()
	if err := b.begin(t.Context(), steps...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.close)
}

// wholeBench is the world of the demo, with nothing chosen yet.
func wholeBench(t *testing.T) *bench {
	t.Helper()
	b := newTestBench(t)
	begin(t, b, b.startCar, b.startBroker, b.startPhone, b.startDaemons, b.ready)
	return b
}

// steady bounds everything that is waited for; a good run needs little of it.
const steady = 40 * time.Second

// must fails the test at the first error.
func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// do is a step of the story: it tells what it saw.
func do(t *testing.T, b *bench, what string, step func(context.Context) (string, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), steady)
	defer cancel()
	saw, err := step(ctx)
	must(t, what, err)
	t.Logf("%s: %s", what, saw)
}

// eventually waits until f succeeds.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	must(t, what, until(t.Context(), steady, f))
}

// nextStatus is the next signed status that the backend believes.
func nextStatus(ctx context.Context, from <-chan backend.Up) (wire.Status, error) {
	for {
		u, err := next(ctx, from)
		if err != nil {
			return wire.Status{}, fmt.Errorf("no status: %w", err)
		}
		if u.Kind != wire.KindStatus {
			continue
		}
		s, err := wire.ParseSigned(u.Envelope)
		if err != nil {
			return wire.Status{}, err
		}
		return wire.DecodeStatus(s.Payload())
	}
}

// said is what a status says of a path: a boolean, a word or a number in the
// path's unit, and good or stale; or nothing, and why. Both are empty for what
// it does not mention.
func said(s wire.Status, path string) (value any, quality string) {
	sig, ok := wire.SignalAt(path)
	if !ok {
		return nil, "no such signal"
	}
	for _, g := range s.Gaps {
		if g.Signal == sig.Number {
			return nil, map[wire.Quality]string{wire.Never: "never", wire.Unavailable: "unavailable", wire.BadRange: "range"}[g.Quality]
		}
	}
	for _, r := range s.Readings {
		if r.Signal != sig.Number {
			continue
		}
		quality := map[wire.Quality]string{wire.Good: "good", wire.Stale: "stale"}[r.Quality]
		if v, ok := r.Value.Bool(); ok {
			return v, quality
		}
		if v, ok := r.Value.Text(); ok {
			return v, quality
		}
		v, _ := sig.Measure(r.Value)
		return v, quality
	}
	return nil, ""
}
