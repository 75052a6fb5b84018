// Package store keeps on flash what must outlive the process: small records in
// two slots each, and bulk in a bbolt file. Both are authenticated and
// encrypted, and a record that cannot be read is reported as [ErrMissing] or
// [ErrDamaged], never guessed: whoever asked then takes the safest value.
package store

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.etcd.io/bbolt"
)

// Errors of [Store.Load].
var (
	ErrMissing = errors.New("no such record")
	ErrDamaged = errors.New("record cannot be read")
)

// A Record is the name of a small record. What an owner wrote is sealed with a
// key that dies at a reset; what belongs to the car with one that does not.
type Record string

// The records there are.
const (
	Users    Record = "users"    // user.List
	Privacy  Record = "privacy"  // privacy.Choice
	Identity Record = "identity" // the car's name and keys
)

var ofTheCar = map[Record]bool{Identity: true}

// A Store is an open state folder. Its methods may be called from several
// goroutines as long as no two write the same record.
type Store struct {
	dir   string
	owner keys // dies at a reset
	base  keys // survives it
	bulk  *bbolt.DB
	fault error // why there is no bulk
}

// Open opens a state folder and makes what is missing in it: the folder (0700)
// and its two keys (0600, in software). Bulk does not stop the start: a damaged
// file is moved aside, and where one cannot be opened at all, writing bulk is an
// error each time. [Store.Fault] says so.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder: %w", err)
	}
	s := &Store{dir: dir}
	for _, k := range []struct {
		file string
		to   *keys
	}{{"store.key", &s.owner}, {"base.key", &s.base}} {
		secret, err := loadKey(filepath.Join(dir, k.file))
		if err != nil {
			return nil, fmt.Errorf("key of the state folder: %w", err)
		}
		if *k.to, err = deriveKeys(secret); err != nil {
			return nil, err
		}
	}
	s.openBulk()
	return s, nil
}

// Close closes the store.
func (s *Store) Close() error {
	if s.bulk == nil {
		return nil
	}
	return s.bulk.Close()
}

// Fault is why bulk cannot be written, or nil.
func (s *Store) Fault() error { return s.fault }

// loadKey reads 32 octets, or draws and syncs them where there is no file. A
// file of another length is an error: drawing anew would lose what it sealed.
func loadKey(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	switch {
	case err == nil && len(b) == 32:
		return b, nil
	case err == nil:
		return nil, fmt.Errorf("%s has %d octets and not 32; restore it, or remove it and lose what it sealed", path, len(b))
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	b = make([]byte, 32)
	rand.Read(b)
	if err := writeSynced(path, b); err != nil {
		return nil, err
	}
	return b, nil
}

// keys are the two that one secret is drawn out to.
type keys struct{ mac, seal []byte }

func deriveKeys(secret []byte) (k keys, err error) {
	if k.mac, err = hkdf.Key(sha256.New, secret, nil, "hu/slot/mac/v1", 32); err != nil {
		return k, err
	}
	k.seal, err = hkdf.Key(sha256.New, secret, nil, "hu/slot/seal/v1", 32)
	return k, err
}

// writeSynced puts a file of mode 0600 in the place of path and waits for the
// disk: path holds either all of it or what it held before, so that a process
// that dies on its very first start leaves no half of a key or an identity.
func writeSynced(path string, b []byte) error {
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(next, path), syncDir(filepath.Dir(path)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) { // some file systems cannot
		err = nil
	}
	return errors.Join(err, d.Close())
}

func readAtMost(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, n+1))
	if err == nil && int64(len(b)) > n {
		err = fmt.Errorf("longer than %d octets", n)
	}
	return b, err
}
