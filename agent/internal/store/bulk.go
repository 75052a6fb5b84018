package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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
	opts := &bbolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}
	db, err := bbolt.Open(path, 0o600, opts)
	if err != nil && !errors.Is(err, bolterrors.ErrTimeout) { // in use by somebody else: leave it alone
		if os.Rename(path, path+".damaged") == nil {
			db, err = bbolt.Open(path, 0o600, opts)
		}
	}
	if err != nil {
		s.fault = fmt.Errorf("bulk store: %w", err)
		return
	}
	s.bulk = db
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
