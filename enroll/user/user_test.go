package user

import (
	"fmt"
	"strings"
	"testing"
)

func TestRights(t *testing.T) {
	for _, s := range []string{"remote-lock", "vehicle-status", "speed-alert", "area-alert", "service-scheduling", "store", "user-management"} {
		primary, secondary := User{Role: Primary}.May(s), User{Role: Secondary}.May(s)
		if !primary || secondary == PrimaryOnly(s) {
			t.Errorf("%s: primary %v, secondary %v", s, primary, secondary)
		}
		for _, r := range []Role{Former, "", "owner"} {
			if (User{Role: r}).May(s) {
				t.Errorf("%s: the role %q may", s, r)
			}
		}
		if (User{Role: Secondary, Without: []string{s}}).May(s) {
			t.Errorf("%s: taken away, and there all the same", s)
		}
	}
}

func TestFind(t *testing.T) {
	l := List{Version: 3, Users: []User{
		{Role: Primary, Keys: []Key{{Kid: [8]byte{1}}, {Kid: [8]byte{2}}}},
		{Role: Secondary, Keys: []Key{{Kid: [8]byte{3}, Suspended: true}}},
	}}
	if u, k, ok := l.Find([8]byte{3}); !ok || u.Role != Secondary || !k.Suspended {
		t.Errorf("%v %v %v", u.Role, k.Suspended, ok)
	}
	if _, _, ok := l.Find([8]byte{}); ok {
		t.Error("nobody's key was found")
	}
	if _, _, ok := (List{}).Find([8]byte{1}); ok {
		t.Error("an empty list knows a key")
	}
}

func TestCheck(t *testing.T) {
	key := func(n byte) Key { return Key{Kid: [8]byte{n}} }
	many := List{}
	for i := range byte(17) {
		many.Users = append(many.Users, User{Role: Secondary, Keys: []Key{key(i)}})
	}
	for want, l := range map[string]List{
		"":              {Users: []User{{Role: Primary, Keys: []Key{key(1)}}, {Role: Secondary, Keys: []Key{key(2)}}}},
		"primary":       {Users: []User{{Role: Primary}, {Role: Primary}}},
		"twice":         {Users: []User{{Role: Primary, Keys: []Key{key(1)}}, {Role: Secondary, Keys: []Key{key(1)}}}},
		"has 5 keys":    {Users: []User{{Role: Primary, Keys: []Key{key(1), key(2), key(3), key(4), key(5)}}}},
		"17 keys":       many,
		"role \"boss\"": {Users: []User{{Role: "boss"}}},
	} {
		if err := l.Check(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestNamesHide(t *testing.T) {
	u := User{Name: "Somebody Important"}
	if s := fmt.Sprintf("%v %+v %s", u, u, u.Name); strings.Contains(s, "Important") {
		t.Error(s)
	}
}
