package agent

import (
	"errors"
	"fmt"

	"github.com/headunit-agent/headunit/agent/internal/store"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/enroll/user"
)

// keptIdentity is the record of the car's name and keys, in software.
type keptIdentity struct {
	Name [16]byte
	Sign []byte
	Seal []byte
}

// identity is who the car is outside.
type identity struct {
	name wire.Name
	sign *wire.Key
	seal *wire.BoxKey
}

// loadIdentity reads the car's name and keys, or draws and saves them where
// there are none. A record that cannot be read is an error: with new keys no
// phone would know the car again, and somebody has to decide that.
func loadIdentity(s *store.Store) (identity, error) {
	var kept keptIdentity
	switch err := s.Load(store.Identity, &kept); {
	case errors.Is(err, store.ErrMissing):
		id := identity{wire.NewName(), wire.NewKey(), wire.NewBoxKey()}
		err := s.Save(store.Identity, keptIdentity{id.name, id.sign.Marshal(), id.seal.Marshal()})
		return id, err
	case err != nil:
		return identity{}, fmt.Errorf("the car's identity: %w", err)
	}
	sign, err := wire.ParseKey(kept.Sign)
	if err != nil {
		return identity{}, fmt.Errorf("the car's identity: %w", err)
	}
	seal, err := wire.ParseBoxKey(kept.Seal)
	if err != nil {
		return identity{}, fmt.Errorf("the car's identity: %w", err)
	}
	return identity{kept.Name, sign, seal}, nil
}

// Identity is the public half of who a car is outside: what a phone pins when it
// is enrolled.
type Identity struct {
	Name wire.Name
	Sign []byte // ES256, uncompressed point
	Seal []byte // P-256, uncompressed point
}

// Prepare makes a state folder, if there is none, and saves a user list in it,
// on which no agent may be running. It returns who the car is. Benches use it to
// begin with a car that knows somebody; the agent itself never calls it.
func Prepare(dir string, users user.List) (Identity, error) {
	if err := users.Check(); err != nil {
		return Identity{}, fmt.Errorf("user list: %w", err)
	}
	s, err := store.Open(dir)
	if err != nil {
		return Identity{}, err
	}
	id, err := loadIdentity(s)
	if err == nil {
		err = s.Save(store.Users, users)
	}
	if err := errors.Join(err, s.Close()); err != nil {
		return Identity{}, err
	}
	return Identity{id.name, id.sign.Public(), id.seal.Public()}, nil
}
