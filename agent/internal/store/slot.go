package store

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/crypto/chacha20poly1305"
)

// A slot is one of the two places of a record: a CBOR array of four, of which
// the last authenticates the others (HMAC-SHA256) and the third is sealed
// (XChaCha20-Poly1305, nonce first, name and version as additional data).
type slot struct {
	_       struct{} `cbor:",toarray"`
	Name    string
	Version uint64
	Sealed  []byte
	MAC     []byte
}

const mostSlot = 64 << 10 // octets

var (
	encode, _ = cbor.CoreDetEncOptions().EncMode()
	decode, _ = cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, TagsMd: cbor.TagsForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField, MaxNestedLevels: 8,
	}.DecMode()
)

func (s *Store) keysOf(r Record) keys {
	if ofTheCar[r] {
		return s.base
	}
	return s.owner
}

func (s *Store) path(r Record, n int) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s.%d", r, n))
}

// Load reads the newest slot of r that is whole into what v points to, which
// stays as it was if that fails. The error is ErrMissing when nothing was ever written, else
// ErrDamaged.
func (s *Store) Load(r Record, v any) error {
	payload, _, err := s.newest(r)
	if err != nil {
		return err
	}
	whole := reflect.New(reflect.TypeOf(v).Elem()) // what is understood in part is not understood
	if err := decode.Unmarshal(payload, whole.Interface()); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrDamaged, r, err)
	}
	reflect.ValueOf(v).Elem().Set(whole.Elem())
	return nil
}

// Save writes v to the idle slot of r and waits for the disk. If it fails, v may
// lie on flash all the same: save what is right over it.
func (s *Store) Save(r Record, v any) error {
	payload, err := encode.Marshal(v)
	if err != nil {
		return fmt.Errorf("saving %s: %w", r, err)
	}
	k := s.keysOf(r)
	_, last, unread := s.newest(r)
	if unread != nil {
		last = slotAt{n: 1} // nothing worth keeping: begin with slot 0
	}
	next := slot{Name: string(r), Version: last.version + 1}
	aead, err := chacha20poly1305.NewX(k.seal)
	if err != nil {
		return err
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(payload)+aead.Overhead())
	rand.Read(nonce)
	next.Sealed = aead.Seal(nonce, nonce, payload, next.aad())
	next.MAC = next.mac(k.mac)
	b, err := encode.Marshal(next)
	if err != nil {
		return fmt.Errorf("saving %s: %w", r, err)
	}
	if len(b) > mostSlot {
		return fmt.Errorf("saving %s: %d octets are more than a slot holds", r, len(b))
	}
	if err := writeSynced(s.path(r, 1-last.n), b); err != nil {
		return fmt.Errorf("saving %s: %w", r, err)
	}
	if errors.Is(unread, ErrDamaged) { // were it readable one day, its version would be the higher one
		if err := os.Remove(s.path(r, last.n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("saving %s: %w", r, err)
		}
	}
	return nil
}

// slotAt is where the newest slot lies.
type slotAt struct {
	n       int
	version uint64
}

func (s *Store) newest(r Record) ([]byte, slotAt, error) {
	var best []byte
	var at slotAt
	missing, damaged := 0, error(nil)
	for n := range 2 {
		b, err := readAtMost(s.path(r, n), mostSlot)
		if errors.Is(err, fs.ErrNotExist) {
			missing++
			continue
		}
		var payload []byte
		var version uint64
		if err == nil {
			payload, version, err = s.open(r, b)
		}
		if err != nil {
			damaged = fmt.Errorf("%w: %s, slot %d: %w", ErrDamaged, r, n, err)
		} else if best == nil || version > at.version {
			best, at = payload, slotAt{n, version}
		}
	}
	switch {
	case best != nil:
		return best, at, nil
	case missing == 2:
		return nil, at, fmt.Errorf("%w: %s", ErrMissing, r)
	}
	return nil, at, damaged
}

func (s *Store) open(r Record, b []byte) ([]byte, uint64, error) {
	var sl slot
	if err := decode.Unmarshal(b, &sl); err != nil {
		return nil, 0, err
	}
	k := s.keysOf(r)
	if sl.Name != string(r) || !hmac.Equal(sl.MAC, sl.mac(k.mac)) {
		return nil, 0, errors.New("not written here")
	}
	aead, err := chacha20poly1305.NewX(k.seal)
	if err != nil {
		return nil, 0, err
	}
	if len(sl.Sealed) < aead.NonceSize() {
		return nil, 0, errors.New("too short")
	}
	payload, err := aead.Open([]byte{}, sl.Sealed[:aead.NonceSize()], sl.Sealed[aead.NonceSize():], sl.aad())
	return payload, sl.Version, err
}

func (sl slot) aad() []byte {
	return binary.BigEndian.AppendUint64([]byte(sl.Name+"\x00"), sl.Version)
}

func (sl slot) mac(key []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(binary.BigEndian.AppendUint32(nil, uint32(len(sl.aad()))))
	m.Write(sl.aad())
	m.Write(sl.Sealed)
	return m.Sum(nil)
}
