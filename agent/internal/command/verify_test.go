package command

import (
	"bytes"
	"errors"
	"testing"

	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/enroll/user"
	"github.com/headunit-agent/headunit/privacy"
)

// A bench is a car that knows one phone.
type bench struct {
	car   wire.Name
	seal  *wire.BoxKey
	phone *wire.Key
	users user.List
	epoch wire.Epoch
	book  Book
}

func newBench() *bench {
	b := &bench{car: wire.NewName(), seal: wire.NewBoxKey(), phone: wire.NewKey(), epoch: wire.NewID()}
	k := user.Key{Kid: b.phone.Kid()}
	copy(k.Sign[:], b.phone.Public())
	b.users = user.List{Version: 3, Users: []user.User{{Role: user.Primary, Keys: []user.Key{k}}}}
	return b
}

func (b *bench) door() Door { return Door{Car: b.car, Opener: b.seal, Users: b.users} }

func (b *bench) world() World {
	return World{
		Epoch: b.epoch, Now: 100, Users: b.users, Policy: privacy.Policy{Level: privacy.ShareLocation},
		Offered: wire.OpsOf(1, 2, 3, 4),
	}
}

// command is one that passes; edit spoils it.
func (b *bench) command(seq uint32, edit func(*wire.Command)) wire.Command {
	c := wire.Command{Car: b.car, Epoch: b.epoch, Users: 3, Seq: seq, Expires: 120, ID: wire.NewID(), Operation: 1}
	if edit != nil {
		edit(&c)
	}
	return c
}

func (b *bench) octets(t testing.TB, c wire.Command, by wire.Signer, kind wire.Kind) []byte {
	t.Helper()
	payload, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := wire.Sign(by, kind, payload)
	if err != nil {
		t.Fatal(err)
	}
	return b.sealed(t, signed)
}

func (b *bench) sealed(t testing.TB, inside []byte) []byte {
	t.Helper()
	box, err := wire.Seal(b.seal.SealPublic(), b.car, inside)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func (b *bench) verified(t testing.TB, c wire.Command) Verified {
	t.Helper()
	s, err := Receive("dn/cmd", 1, false, b.octets(t, c, b.phone, wire.KindCommand))
	if err != nil {
		t.Fatal(err)
	}
	v, err := b.door().Verify(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSilence: everything that is not signed by a key of the list is dropped
// with the one error that nobody outside sees.
func TestSilence(t *testing.T) {
	b := newBench()
	stranger, other := wire.NewKey(), newBench()
	good := b.octets(t, b.command(1, nil), b.phone, wire.KindCommand)
	ask, err := wire.SessionAsk{Car: b.car, Nonce: wire.NewID()}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	signedAsk, err := wire.Sign(b.phone, wire.KindSessionAsk, ask)
	if err != nil {
		t.Fatal(err)
	}
	for name, octets := range map[string][]byte{
		"empty":           {},
		"garbage":         bytes.Repeat([]byte{0xA5}, 300),
		"by a stranger":   b.octets(t, b.command(1, nil), stranger, wire.KindCommand),
		"for another car": b.octets(t, b.command(1, func(c *wire.Command) { c.Car = other.car }), b.phone, wire.KindCommand),
		"sealed to other": other.octets(t, b.command(1, nil), b.phone, wire.KindCommand),
		"another message": b.sealed(t, signedAsk),
		"not sealed":      append(bytes.Repeat([]byte{0}, 64), good...),
		"too long":        bytes.Repeat([]byte{1}, 4097),
	} {
		s, err := Receive("dn/cmd", 1, false, octets)
		if err == nil {
			_, err = b.door().Verify(s)
		}
		if !errors.Is(err, ErrSilent) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, c := range []struct {
		topic    string
		qos      uint8
		retained bool
	}{{"dn/cmd", 1, true}, {"dn/cmd", 2, false}, {"dn/sess", 1, false}, {"up/res", 1, false}, {"", 0, false}} {
		s, err := Receive(c.topic, c.qos, c.retained, good)
		if err == nil {
			_, err = b.door().Verify(s)
		}
		if !errors.Is(err, ErrSilent) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := b.door().Verify(Sealed{}); !errors.Is(err, ErrSilent) {
		t.Errorf("the zero Sealed: %v", err)
	}
	if _, err := (Door{}).Verify(Sealed{wire.DownCommand, good}); !errors.Is(err, ErrSilent) {
		t.Errorf("a door without a key: %v", err)
	}
}

// TestEveryBit flips each bit of a good command: no flip is ever verified.
func TestEveryBit(t *testing.T) {
	b := newBench()
	payload, err := b.command(1, nil).Encode()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := wire.Sign(b.phone, wire.KindCommand, payload)
	if err != nil {
		t.Fatal(err)
	}
	sealed := b.sealed(t, signed)
	if _, err := b.door().Verify(Sealed{wire.DownCommand, sealed}); err != nil {
		t.Fatal(err)
	}
	step := 1
	if testing.Short() {
		step = 7 // 7 and 8 have no common divisor: every bit of an octet has its turn
	}
	for i := 0; i < 8*len(sealed); i += step {
		sealed[i/8] ^= 1 << (i % 8)
		if _, err := b.door().Verify(Sealed{wire.DownCommand, sealed}); !errors.Is(err, ErrSilent) {
			t.Fatalf("bit %d of the box: %v", i, err)
		}
		sealed[i/8] ^= 1 << (i % 8)
	}
	// And inside the box, where whoever knows the car's public key can write.
	for i := 0; i < 8*len(signed); i += step {
		signed[i/8] ^= 1 << (i % 8)
		if _, err := b.door().Verify(Sealed{wire.DownCommand, b.sealed(t, signed)}); !errors.Is(err, ErrSilent) {
			t.Fatalf("bit %d of the envelope: %v", i, err)
		}
		signed[i/8] ^= 1 << (i % 8)
	}
}

func TestVerifyAsk(t *testing.T) {
	b := newBench()
	nonce := wire.NewID()
	payload, err := wire.SessionAsk{Car: b.car, Nonce: nonce}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	signed, err := wire.Sign(b.phone, wire.KindSessionAsk, payload)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Receive("dn/sess", 1, false, b.sealed(t, signed))
	if err != nil {
		t.Fatal(err)
	}
	if a, err := b.door().VerifyAsk(s); err != nil || a.Nonce != nonce || a.Key != b.phone.Kid() {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := b.door().Verify(s); !errors.Is(err, ErrSilent) {
		t.Errorf("taken for a command: %v", err)
	}
}

// TestOrder: each check has its reason, and an earlier one speaks first.
func TestOrder(t *testing.T) {
	type edits struct {
		command func(*wire.Command)
		world   func(*World)
		user    func(*user.User)
	}
	for _, c := range []struct {
		why wire.Reason
		edits
	}{
		{wire.CommandEpoch, edits{command: func(c *wire.Command) { c.Epoch = wire.NewID() }}},
		{wire.CommandInvalid, edits{command: func(c *wire.Command) { c.Operation = 99 }}},
		{wire.CommandInvalid, edits{command: func(c *wire.Command) { c.Arguments = []byte{0xA1, 0x01, 0x0A} }}},
		{wire.CommandInvalid, edits{command: func(c *wire.Command) { c.Operation = 3 }}},
		{wire.CommandInvalid, edits{command: func(c *wire.Command) { c.Grant = make([]byte, 120) }}},
		{wire.CommandRunTime, edits{command: func(c *wire.Command) { c.Operation, c.Arguments = 3, []byte{0xA1, 0x01, 0x0B} }}},
		{wire.CommandExpired, edits{command: func(c *wire.Command) { c.Expires = 99 }}},
		{wire.CommandTTL, edits{command: func(c *wire.Command) { c.Expires = 161 }}},
		{wire.UserSuspended, edits{user: func(u *user.User) { u.Keys[0].Suspended = true }}},
		{wire.CommandUsersChanged, edits{command: func(c *wire.Command) { c.Users = 2 }}},
		{wire.UserPrimaryOnly, edits{user: func(u *user.User) { u.Role = user.Former }}},
		{wire.UserPrimaryOnly, edits{
			user: func(u *user.User) { u.Role = user.Secondary }, command: func(c *wire.Command) { c.Operation = 16 },
		}},
		{wire.UserNoRight, edits{user: func(u *user.User) { u.Role, u.Without = user.Secondary, []string{"remote-lock"} }}},
		{wire.PrivacyCarOnly, edits{command: func(c *wire.Command) { c.Operation = 24 }}},
		{wire.PrivacyMaximum, edits{world: func(w *World) { w.Policy = privacy.Policy{} }}},
		{wire.PrivacyMaximum, edits{world: func(w *World) { w.Policy.Closing = true }}},
		{wire.PrivacyServiceOff, edits{world: func(w *World) { w.Policy.Off, _ = privacy.NewSwitches(privacy.RemoteLock) }}},
		{wire.PrivacyLocation, edits{
			command: func(c *wire.Command) { c.Operation = 9 }, world: func(w *World) { w.Policy.Level = privacy.UseLocation },
		}},
		{wire.CommandNoEquipment, edits{world: func(w *World) { w.Offered = 0 }}},
		{wire.CommandECallActive, edits{world: func(w *World) { w.Calling = true }}},
		{wire.CommandBusy, edits{world: func(w *World) { w.Busy = true }}},
		{"", edits{}},
		{"", edits{command: func(c *wire.Command) { c.Operation, c.Arguments = 3, []byte{0xA1, 0x01, 0x0A} }}},
		{"", edits{command: func(c *wire.Command) { c.Expires = 160 }}},
		{"", edits{command: func(c *wire.Command) { c.Expires = 100 }}},
		{"", edits{
			command: func(c *wire.Command) { c.Operation = 4 },
			world:   func(w *World) { w.Policy.Off, _ = privacy.NewSwitches(privacy.RemoteVentilation) },
		}},
	} {
		b := newBench()
		if c.user != nil {
			c.user(&b.users.Users[0])
		}
		w := b.world()
		if c.world != nil {
			c.world(&w)
		}
		a, answer := b.book.Authorize(b.verified(t, b.command(1, c.command)), w)
		switch {
		case c.why == "" && (answer.Refusal != nil || a.operation.Number == 0):
			t.Errorf("refused because of %v", answer.Refusal)
		case c.why != "" && (answer.Refusal == nil || answer.Refusal.Reason != c.why || a.operation.Number != 0):
			t.Errorf("%s: %v, operation %d", c.why, answer.Refusal, a.operation.Number)
		}
	}
	if _, answer := new(Book).Authorize(Verified{}, newBench().world()); answer.Refusal == nil {
		t.Error("the zero Verified was authorized")
	}
}

// TestUsedUp: a number is used up when its command is first judged, also when
// it is refused; the same octets get the same answer, others are replayed.
func TestUsedUp(t *testing.T) {
	b := newBench()
	c := b.command(5, func(c *wire.Command) { c.Expires = 99 })
	if _, a := b.book.Authorize(b.verified(t, c), b.world()); a.Refusal.Reason != wire.CommandExpired {
		t.Fatal(a.Refusal)
	}
	b.book.Note(b.phone.Kid(), 5, []byte("refused"))
	if _, a := b.book.Authorize(b.verified(t, c), b.world()); !a.Repeat || string(a.Again) != "refused" || a.Refusal != nil {
		t.Errorf("%+v", a)
	}
	if _, a := b.book.Authorize(b.verified(t, b.command(5, nil)), b.world()); a.Refusal == nil || a.Refusal.Reason != wire.CommandReplayed {
		t.Errorf("%+v", a)
	}
	unlock := func(seq uint32) wire.Command { return b.command(seq, func(c *wire.Command) { c.Operation = 2 }) }
	if _, a := b.book.Authorize(b.verified(t, unlock(9)), b.world()); a.Refusal != nil {
		t.Error(a.Refusal)
	}
	if _, a := b.book.Authorize(b.verified(t, unlock(8)), b.world()); a.Refusal == nil || a.Refusal.Reason != wire.CommandReplayed {
		t.Errorf("class A went down: %+v", a)
	}
	if _, a := b.book.Authorize(b.verified(t, b.command(7, nil)), b.world()); a.Refusal != nil {
		t.Errorf("class B below the highest: %v", a.Refusal)
	}
}

func BenchmarkVerify(bench *testing.B) {
	b := newBench()
	octets := b.octets(bench, b.command(1, nil), b.phone, wire.KindCommand)
	door := b.door()
	bench.ReportAllocs()
	for bench.Loop() {
		s, err := Receive("dn/cmd", 1, false, octets)
		if err == nil {
			_, err = door.Verify(s)
		}
		if err != nil {
			bench.Fatal(err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	b := newBench()
	f.Add("dn/cmd", b.octets(f, b.command(1, nil), b.phone, wire.KindCommand))
	f.Add("dn/sess", b.octets(f, b.command(1, nil), b.phone, wire.KindCommand))
	f.Add("dn/cmd", []byte{})
	stranger := wire.NewKey()
	f.Add("dn/cmd", b.octets(f, b.command(1, nil), stranger, wire.KindCommand))
	own := b.octets(f, b.command(1, nil), b.phone, wire.KindCommand)
	f.Fuzz(func(t *testing.T, topic string, octets []byte) {
		s, err := Receive(topic, 1, false, octets)
		if err != nil {
			return
		}
		if _, err := b.door().Verify(s); err == nil && len(octets) != len(own) {
			t.Error("verified what nobody signed")
		}
	})
}
