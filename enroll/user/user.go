// Package user holds who may do what with a car: the [List] of its users, their
// keys, and the table of rights by role. The list changes only in the car.
package user

import (
	"fmt"
	"slices"
)

// A Role is what a user is to the car. The zero value has no rights.
type Role string

// The roles of enrolled users.
const (
	Primary   Role = "primary"
	Secondary Role = "secondary"
	Former    Role = "former" // after a take-over: may agree to it, and nothing else
)

// notForSecondary is the column "secondary: no" of the table of rights, by the
// ids of the services. What is not listed a secondary user may do.
var notForSecondary = []string{"speed-alert", "area-alert", "service-scheduling", "store", "user-management"}

// An Account is the backend's id of a person. It is nobody's name.
type Account [16]byte

// A Name is what a user is called on the car's screen. It hides itself wherever
// it is printed.
type Name string

func (Name) String() string { return "(name)" }

// A Key is what an enrolled phone holds: an ES256 key that signs, and a P-256
// key that positions are sealed to, both as uncompressed points of 65 octets.
type Key struct {
	Kid       [8]byte // of the signing key
	Sign      [65]byte
	Box       [65]byte
	Suspended bool
}

// A User is a person that this car knows.
type User struct {
	Account Account
	Name    Name
	Role    Role
	Without []string // rights the primary user took away
	Keys    []Key
}

// May reports whether u has the right to a service, named by its id: by role, less what was taken
// away. It says nothing of licenses and privacy.
func (u User) May(service string) bool {
	switch u.Role {
	case Primary:
		return true
	case Secondary:
		return !slices.Contains(notForSecondary, service) && !slices.Contains(u.Without, service)
	case Former:
	}
	return false
}

// PrimaryOnly reports whether only a primary user ever has the right to a service.
func PrimaryOnly(service string) bool { return slices.Contains(notForSecondary, service) }

// A List is every user of a car. Its version rises with each change, so that a
// command made for an older list is seen to be. The zero value knows nobody.
type List struct {
	Version uint32
	Users   []User
}

// Find returns the user that holds a key, and the key. It finds suspended keys
// and former users too: what they may do is asked of them.
func (l List) Find(kid [8]byte) (User, Key, bool) {
	for _, u := range l.Users {
		for _, k := range u.Keys {
			if k.Kid == kid {
				return u, k, true
			}
		}
	}
	return User{}, Key{}, false
}

// Bounds of a list.
const (
	MostKeys     = 16
	MostKeysEach = 4
)

// Check reports what makes l impossible: two primaries, one key twice, too many.
func (l List) Check() error {
	seen := map[[8]byte]bool{}
	primaries := 0
	for i, u := range l.Users {
		if u.Role == Primary {
			primaries++
		}
		if len(u.Keys) > MostKeysEach {
			return fmt.Errorf("user %d has %d keys, at most %d are possible", i, len(u.Keys), MostKeysEach)
		}
		if !slices.Contains([]Role{Primary, Secondary, Former}, u.Role) {
			return fmt.Errorf("user %d has the role %q, which does not exist", i, string(u.Role))
		}
		for _, k := range u.Keys {
			if seen[k.Kid] {
				return fmt.Errorf("the key %x is there twice", k.Kid)
			}
			seen[k.Kid] = true
		}
	}
	if primaries > 1 {
		return fmt.Errorf("%d primary users, at most one is possible", primaries)
	}
	if len(seen) > MostKeys {
		return fmt.Errorf("%d keys, at most %d are possible", len(seen), MostKeys)
	}
	return nil
}
