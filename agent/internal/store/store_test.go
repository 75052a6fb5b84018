package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

type record struct {
	Word string
	N    int
}

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestRecordsOutliveTheProcess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var r record
	if err := s.Load(Users, &r); !errors.Is(err, ErrMissing) {
		t.Errorf("nothing written: %v", err)
	}
	for n := range 5 {
		if err := s.Save(Users, record{"word", n}); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	if err := open(t, dir).Load(Users, &r); err != nil || r != (record{"word", 4}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestHalfWrittenSlot: whatever becomes of the slot that was written last, the
// record before it is still there; with both gone it is damaged, and not a
// guess.
func TestHalfWrittenSlot(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for n := range 2 {
		if err := s.Save(Privacy, record{"w", n}); err != nil {
			t.Fatal(err)
		}
	}
	last := filepath.Join(dir, "privacy.1")
	whole, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) {
		for _, b := range [][]byte{whole[:cut], append(append(bytes.Clone(whole[:cut]), whole[cut]^1), whole[cut+1:]...)} {
			if err := os.WriteFile(last, b, 0o600); err != nil {
				t.Fatal(err)
			}
			var r record
			if err := s.Load(Privacy, &r); err != nil || r.N != 0 {
				t.Fatalf("cut or flipped at %d: %+v, %v", cut, r, err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "privacy.0"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := record{"untouched", 9}
	if err := s.Load(Privacy, &r); !errors.Is(err, ErrDamaged) || r.N != 9 {
		t.Errorf("%+v, %v", r, err)
	}
	if err := s.Save(Privacy, record{"w", 7}); err != nil {
		t.Fatal(err)
	}
	if err := s.Load(Privacy, &r); err != nil || r.N != 7 {
		t.Errorf("saved over the damage: %+v, %v", r, err)
	}
	// A disk that reads again tomorrow must not bring back a higher version.
	if _, err := os.Stat(last); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the damaged slot is still there: %v", err)
	}
}

// TestHalfUnderstood: a record of another version of the program, of which only
// some fields fit, changes nothing.
func TestHalfUnderstood(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.Save(Privacy, struct {
		Word string
		N    string
		More bool
	}{"new", "not a number", true}); err != nil {
		t.Fatal(err)
	}
	r := record{"untouched", 9}
	if err := s.Load(Privacy, &r); !errors.Is(err, ErrDamaged) || r != (record{"untouched", 9}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestForeignSlot: a slot of another record, or of another car, is not taken.
func TestForeignSlot(t *testing.T) {
	here, there := t.TempDir(), t.TempDir()
	a, b := open(t, here), open(t, there)
	if err := errors.Join(a.Save(Users, record{"a", 1}), b.Save(Privacy, record{"b", 2})); err != nil {
		t.Fatal(err)
	}
	move := func(from, to string) {
		t.Helper()
		raw, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var r record
	move(filepath.Join(there, "privacy.0"), filepath.Join(here, "privacy.0"))
	if err := a.Load(Privacy, &r); !errors.Is(err, ErrDamaged) {
		t.Errorf("another car's: %v", err)
	}
	move(filepath.Join(here, "users.0"), filepath.Join(here, "privacy.0"))
	if err := a.Load(Privacy, &r); !errors.Is(err, ErrDamaged) {
		t.Errorf("another record's: %v", err)
	}
}

// TestNeverHalf: a file is replaced, never written over, so that a process that
// dies in between leaves the old one; and what it left beside does no harm.
func TestNeverHalf(t *testing.T) {
	dir := t.TempDir()
	for _, half := range []string{"store.key.new", "base.key.new", "identity.0.new"} {
		if err := os.WriteFile(filepath.Join(dir, half), []byte("ha"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	if err := errors.Join(s.Save(Identity, record{"a", 0}), s.Save(Identity, record{"a", 1})); err != nil {
		t.Fatal(err)
	}
	slot, witness := filepath.Join(dir, "identity.0"), filepath.Join(dir, "witness")
	before, err := os.ReadFile(slot)
	if err := errors.Join(err, os.Link(slot, witness), s.Save(Identity, record{"a", 2})); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(witness); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the old slot was written over, %v", err)
	}
	var r record
	if err := s.Load(Identity, &r); err != nil || r.N != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestNothingReadable(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	secret := "Maria from Uppsala"
	if err := errors.Join(s.Save(Users, record{secret, 1}), s.Put(Journal, []byte("k"), []byte(secret))); err != nil {
		t.Fatal(err)
	}
	s.Close()
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil || bytes.Contains(b, []byte(secret)) {
			t.Errorf("%s: %v, or readable", f.Name(), err)
		}
		if i, err := f.Info(); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f.Name(), i.Mode(), err)
		}
	}
}

func TestBulk(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for n := range 10 {
		if err := s.Put(Journal, fmt.Appendf(nil, "%02d", n), fmt.Appendf(nil, "value %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(Journal, []byte("03"), []byte("99")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	var got []string
	bad, err := open(t, dir).Each(Journal, func(k, v []byte) { got = append(got, string(k)+" "+string(v)) })
	if err != nil || bad != 0 || len(got) != 9 || got[3] != "04 value 4" {
		t.Errorf("%v %d %v", got, bad, err)
	}
}

// TestDamagedBulk: the start goes on with an empty one, and the old one is kept
// aside.
func TestDamagedBulk(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "bulk.db"), bytes.Repeat([]byte("garbage "), 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	if err := s.Put(Journal, []byte("k"), []byte("v")); err != nil || s.Fault() != nil {
		t.Errorf("%v %v", err, s.Fault())
	}
	if _, err := os.Stat(filepath.Join(dir, "bulk.db.damaged")); err != nil {
		t.Error(err)
	}
}

// TestRottenBulk: whatever becomes of a file with results in it, the next start
// goes on; a file that only cannot be read now is not moved away.
func TestRottenBulk(t *testing.T) {
	grown := t.TempDir()
	s := open(t, grown)
	for n := range 100 {
		if err := s.Put(Journal, fmt.Appendf(nil, "%04d", n), make([]byte, 600)); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	whole, err := os.ReadFile(filepath.Join(grown, "bulk.db"))
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	for name, spoil := range map[string]func([]byte) []byte{
		"whole":              func(b []byte) []byte { return b },
		"empty":              func(b []byte) []byte { return nil },
		"cut in the meta":    func(b []byte) []byte { return b[:page+1] },
		"cut after the meta": func(b []byte) []byte { return b[:3*page] },
		"half":               func(b []byte) []byte { return b[:len(b)/2] },
		"zeroed":             func(b []byte) []byte { clear(b[2*page:]); return b },
		"garbage":            func(b []byte) []byte { copy(b[2*page:], bytes.Repeat([]byte{0xA5, 1, 7}, len(b)/3)); return b },
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "bulk.db")
		if err := os.WriteFile(path, spoil(bytes.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		if err := s.Put(Journal, []byte("k"), []byte("v")); err != nil || s.Fault() != nil {
			t.Errorf("%s: %v, %v", name, err, s.Fault())
		}
		if _, err := os.Stat(path + ".damaged"); errors.Is(err, os.ErrNotExist) != (name == "whole" || name == "empty") {
			t.Errorf("%s: moved aside: %v", name, err)
		}
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "bulk.db")
	if err := os.Symlink(path, path); err != nil { // an error of the system, not of what is in it
		t.Fatal(err)
	}
	if s := open(t, dir); s.Fault() == nil {
		t.Error("opened a circle")
	} else if _, err := os.Lstat(path); err != nil {
		t.Error("what could not be opened was moved away")
	}
}

// TestBulkInUse: a second agent on the same folder gets errors, not the file.
func TestBulkInUse(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	s := open(t, dir)
	if err := s.Put(Journal, []byte("k"), []byte("v")); err == nil || s.Fault() == nil {
		t.Error("two agents write one journal")
	}
}

func TestKeyOfWrongLength(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "store.key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a broken key was replaced without a word")
	}
}
