package store

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/crypto/chacha20poly1305"
)

// A Bucket is a place for bulk.
type Bucket string

// Journal holds what commands did.
const Journal Bucket = "journal"

func (s *Store) openBulk() {
	path := filepath.Join(s.dir, "bulk.db")
	err := sound(path)
	if errors.Is(err, ErrDamaged) {
		err = os.Rename(path, path+".damaged")
	}
	if err == nil {
		opts := &bbolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}
		s.bulk, err = bbolt.Open(path, 0o600, opts)
	}
	if err != nil {
		s.bulk, s.fault = nil, fmt.Errorf("bulk store: %w", err)
	}
}

// sound reads a bulk file from end to end, and returns ErrDamaged if that does
// not work for what is in it. Opening such a file for writing ends the program
// in a way that nothing recovers from, and would at each start again.
func sound(path string) (err error) {
	if i, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && i.Size() == 0 {
		return nil
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // a file that was cut short, mapped
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, p)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, ReadOnly: true})
	if _, system := errors.AsType[syscall.Errno](err); system || errors.Is(err, bolterrors.ErrTimeout) {
		return err // not readable now, or in use by somebody else: it is left alone
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	defer db.Close()
	return db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, in *bbolt.Bucket) error { return inOrder(in) })
	})
}

func inOrder(in *bbolt.Bucket) error {
	var last []byte
	sum := crc32.NewIEEE() // every octet is touched
	return in.ForEach(func(k, v []byte) error {
		if last != nil && bytes.Compare(last, k) >= 0 {
			return fmt.Errorf("%w: keys out of order", ErrDamaged)
		}
		last = k
		_, err := sum.Write(v)
		return err
	})
}

// Put writes one value and waits for the disk. Keys lie there in the order of
// their octets.
func (s *Store) Put(b Bucket, key, value []byte) error {
	if s.bulk == nil {
		return s.fault
	}
	aead, err := chacha20poly1305.NewX(s.owner.seal)
	if err != nil {
		return err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(value)+aead.Overhead())
	rand.Read(nonce)
	sealed := aead.Seal(nonce, nonce, value, bulkAAD(b, key))
	err = s.bulk.Update(func(tx *bbolt.Tx) error {
		in, err := tx.CreateBucketIfNotExists([]byte(b))
		if err != nil {
			return err
		}
		return in.Put(key, sealed)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", b, err)
	}
	return nil
}

// Delete takes keys out of a bucket; one that is not there is no error.
func (s *Store) Delete(b Bucket, keys ...[]byte) error {
	if s.bulk == nil {
		return s.fault
	}
	return s.bulk.Update(func(tx *bbolt.Tx) error {
		in := tx.Bucket([]byte(b))
		if in == nil {
			return nil
		}
		for _, k := range keys {
			if err := in.Delete(k); err != nil {
				return err
			}
		}
		return nil
	})
}

// Each calls f with every value that can be read, in the order of the keys, and
// returns how many could not.
func (s *Store) Each(b Bucket, f func(key, value []byte)) (damaged int, err error) {
	if s.bulk == nil {
		return 0, s.fault
	}
	aead, err := chacha20poly1305.NewX(s.owner.seal)
	if err != nil {
		return 0, err
	}
	err = s.bulk.View(func(tx *bbolt.Tx) error {
		in := tx.Bucket([]byte(b))
		if in == nil {
			return nil
		}
		return in.ForEach(func(k, sealed []byte) error {
			if n := aead.NonceSize(); len(sealed) >= n {
				if v, err := aead.Open(nil, sealed[:n], sealed[n:], bulkAAD(b, k)); err == nil {
					f(k, v)
					return nil
				}
			}
			damaged++
			return nil
		})
	})
	return damaged, err
}

func bulkAAD(b Bucket, key []byte) []byte { return append([]byte(string(b)+"\x00"), key...) }
