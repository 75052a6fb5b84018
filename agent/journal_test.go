package agent

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/internal/command"
	"github.com/headunit-agent/headunit/agent/internal/outbox"
	"github.com/headunit-agent/headunit/agent/internal/store"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/privacy"
)

// TestJournalCatchesUp: what a disk refused to forget, or to write over, is
// forgotten and written over when it works again, and not before its time.
func TestJournalCatchesUp(t *testing.T) {
	dir := t.TempDir()
	working, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	now := noon
	l := &loop{
		store: working, log: zerolog.Nop(), now: func() time.Time { return now }, unwritten: map[wire.ID][]byte{},
		privacy: privacy.Start(privacy.Choice{Level: privacy.ShareLocation}), box: outbox.New(outbox.DefaultLimits), proofs: map[uint64]wire.ID{},
	}
	destroyed, refused := command.Job{ID: wire.NewID()}, command.Job{ID: wire.NewID()}
	if err := errors.Join(l.journal(entry{Phase: phaseEnded, Job: destroyed, Result: []byte("x")}),
		l.journal(entry{Phase: phaseBegun, Job: refused}), working.Close()); err != nil {
		t.Fatal(err)
	}
	l.forget(destroyed.ID) // on a disk that does nothing
	if err := l.journal(entry{Phase: phaseEnded, Job: refused, Result: []byte("refused")}); err == nil || len(l.unwritten) != 2 {
		t.Fatalf("%v, %d owed", err, len(l.unwritten))
	}
	if l.store, err = store.Open(dir); err != nil {
		t.Fatal(err)
	}
	defer l.store.Close()
	l.rewrite(now.Add(writeAgain - 1))
	if len(l.unwritten) != 2 {
		t.Error("too early")
	}
	if w := l.wait(); w > writeAgain {
		t.Errorf("the loop sleeps for %v", w)
	}
	now = now.Add(writeAgain)
	l.settle()
	l.recover()
	if len(l.unwritten) != 0 || len(l.proofs) != 1 || l.job.Phase != "" {
		t.Errorf("%d owed, %d results, job %s", len(l.unwritten), len(l.proofs), l.job)
	}
}

// TestSocketOnly: the API takes the place of a dead socket, and of nothing else.
func TestSocketOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api")
	if err := os.WriteFile(path, []byte("somebody's"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := listen(path); err == nil {
		l.Close()
		t.Error("took the place of a file")
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "somebody's" {
		t.Errorf("%q %v", b, err)
	}
	dead := filepath.Join(t.TempDir(), "api")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	l, err := listen(dead)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if i, err := os.Stat(dead); err != nil || i.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", i, err)
	}
}
