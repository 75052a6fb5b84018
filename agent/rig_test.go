package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/internal/hmi"
	"github.com/headunit-agent/headunit/agent/internal/store"
	"github.com/headunit-agent/headunit/agent/pipe"
	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
	"github.com/headunit-agent/headunit/canbus/e2e"
	"github.com/headunit-agent/headunit/canbus/socketcand"
	"github.com/headunit-agent/headunit/enroll/user"
	"github.com/headunit-agent/headunit/privacy"
)

const refcar = "../testdata/refcar/refcar.yaml"

// fakeCar repeats a few messages of the reference car, and counts what it is
// asked. It moves nothing by itself: a test says what it shows.
type fakeCar struct {
	t     testing.TB
	p     *profile.Profile
	buses map[string]*canbus.Memory

	mu      sync.Mutex
	says    map[string][]dbc.Set // by bus/Message
	counter map[string]uint8
	asked   []canbus.Frame // non-zero requests to lock or unlock
	rests   int            // zero ones since the last of them
	onAsk   func(canbus.Frame)
}

func newFakeCar(t testing.TB, ctx context.Context, dir string) *fakeCar {
	t.Helper()
	p, _, err := profile.Load(refcar)
	if err != nil {
		t.Fatal(err)
	}
	c := &fakeCar{t: t, p: p, buses: map[string]*canbus.Memory{}, counter: map[string]uint8{}, says: map[string][]dbc.Set{
		"drive/ESP_21":            {dbc.Physical("ESP_v_Signal", 0)},
		"drive/Klemmen_Status_01": nil,
		"drive/Airbag_01":         nil,
		"body/Blinkmodi_02":       nil,
		"body/ZV_02":              {dbc.Raw("ZV_ist_Zustand_verfuegbar", 1)},
		"body/REF_Aux_State":      {dbc.Physical("REF_Batt_V", 12.6)},
	}}
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	for _, b := range p.Buses {
		m := canbus.NewMemory()
		c.buses[b.Name] = m
		l, err := socketcand.Listen("unix:" + filepath.Join(dir, b.Name))
		if err != nil {
			t.Fatal(err)
		}
		s := &socketcand.Server{
			Name: b.Name, Origin: canbus.Simulation, Attach: func(n int) canbus.Bus { return m.Attach(n) },
			MaySend: func(canbus.Frame) bool { return true }, Log: zerolog.Nop(),
		}
		running.Go(func() {
			if err := s.Serve(ctx, l); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	body := c.buses["body"].Attach(4096)
	running.Go(func() { c.listen(ctx, body) })
	running.Go(func() { c.repeat(ctx) })
	return c
}

// repeat sends every message 40 times a second.
func (c *fakeCar) repeat(ctx context.Context) {
	ends := map[string]*canbus.End{}
	for name, m := range c.buses {
		ends[name] = m.Attach(64)
	}
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for {
		c.mu.Lock()
		for name, sets := range c.says {
			bus, message := filepath.Dir(name), filepath.Base(name)
			m := c.p.Message(bus, message)
			f, err := m.DBC.Encode(sets...)
			if err != nil {
				c.t.Error(err)
				c.mu.Unlock()
				return
			}
			if m.E2E != nil {
				cfg, _ := e2e.VW(f.ID, int(f.Len))
				if m.E2E.Constants != nil {
					cfg = e2e.Config{Constants: *m.E2E.Constants}
				}
				c.counter[name]++
				cfg.Protect(f.Data[:f.Len], c.counter[name])
			}
			if err := ends[bus].Send(ctx, f); err != nil && ctx.Err() == nil {
				c.t.Error(err)
			}
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *fakeCar) listen(ctx context.Context, end *canbus.End) {
	frames := make([]canbus.Rx, 64)
	for {
		n, err := end.Receive(ctx, frames)
		if err != nil {
			return
		}
		for _, f := range frames[:n] {
			if f.ID != 0x5A7 || f.Flags&canbus.Extended != 0 {
				continue
			}
			c.mu.Lock()
			if f.Data == [64]byte{} {
				c.rests++
				c.mu.Unlock()
				continue
			}
			c.asked, c.rests = append(c.asked, f.Frame), 0
			on := c.onAsk
			c.mu.Unlock()
			if on != nil {
				on(f.Frame)
			}
		}
	}
}

func (c *fakeCar) say(message string, sets ...dbc.Set) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.says[message] = sets
}

func (c *fakeCar) requests() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.asked)
}

// locks makes the car show locked as soon as it is asked for anything.
func (c *fakeCar) locks() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onAsk = func(canbus.Frame) {
		c.say("body/ZV_02", dbc.Raw("ZV_ist_Zustand_verfuegbar", 1), dbc.Raw("ZV_verriegelt_extern_ist", 1))
	}
}

// fakeUplink is uplinkd's end of the pipe with a broker that takes everything.
type fakeUplink struct {
	t    testing.TB
	l    *net.UnixListener
	said chan pipe.Down // all but publishes that the tests do not wait for
	mute bool           // acknowledges nothing

	mu   sync.Mutex
	conn *net.UnixConn
}

func newFakeUplink(t testing.TB, dir string) *fakeUplink {
	t.Helper()
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: filepath.Join(dir, "uplink"), Net: "unixpacket"})
	if err != nil {
		t.Fatal(err)
	}
	u := &fakeUplink{t: t, l: l, said: make(chan pipe.Down, 256)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.AcceptUnix()
			if err != nil {
				return
			}
			u.serve(conn)
		}
	})
	t.Cleanup(func() {
		l.Close()
		u.cut()
		running.Wait()
	})
	return u
}

func (u *fakeUplink) serve(conn *net.UnixConn) {
	defer conn.Close()
	u.mu.Lock()
	u.conn = conn
	u.mu.Unlock()
	b := make([]byte, pipe.MaxFrame)
	for {
		n, err := conn.Read(b)
		if err != nil || n == 0 {
			return
		}
		f, err := pipe.DecodeDown(append([]byte(nil), b[:n]...))
		if err != nil {
			u.t.Error(err)
			return
		}
		u.said <- f
		switch f := f.(type) {
		case pipe.Open:
			u.send(pipe.State{Up: true})
		case pipe.Close:
			u.send(pipe.State{Reason: "closed"})
		case pipe.Publish:
			if f.QoS == 1 && !u.mute {
				u.send(pipe.Published{N: f.N})
			}
		}
	}
}

func (u *fakeUplink) send(f pipe.Up) {
	b, err := pipe.EncodeUp(f)
	if err != nil {
		u.t.Error(err)
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn != nil {
		_, _ = u.conn.Write(b) // the agent may be gone: a test that cares looks for what it says
	}
}

func (u *fakeUplink) cut() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn != nil {
		u.conn.Close()
	}
}

// A rig is an agent with a fake car before it and a fake uplinkd behind it.
type rig struct {
	t     testing.TB
	dir   string
	cfg   Config
	car   *fakeCar
	up    *fakeUplink
	phone *wire.Key
	id    Identity
	api   api
	end   context.CancelFunc
	over  chan error
	seq   uint32
}

func newRig(t testing.TB) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "hu-") //nolint:usetesting // t.TempDir is too long a path for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r := &rig{t: t, dir: dir, phone: wire.NewKey()}
	k := user.Key{Kid: r.phone.Kid()}
	copy(k.Sign[:], r.phone.Public())
	r.id, err = Prepare(filepath.Join(dir, "state"), user.List{Version: 1, Users: []user.User{{Role: user.Primary, Keys: []user.Key{k}}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	r.car = newFakeCar(t, ctx, dir)
	t.Cleanup(end)
	r.up = newFakeUplink(t, dir)
	r.cfg = Config{
		State: filepath.Join(dir, "state"), Profile: refcar, Parameters: map[string]int64{"zv_signature": 77}, Simulated: true,
		Buses: map[string]string{
			"drive": "socketcand:unix:" + filepath.Join(dir, "drive"), "body": "socketcand:unix:" + filepath.Join(dir, "body"),
		},
		Uplink: filepath.Join(dir, "uplink"), API: filepath.Join(dir, "api"), CallStatus: filepath.Join(dir, "ecall"),
		Broker: "tcp://127.0.0.1:1883", Cell: "c1",
	}
	return r
}

// start runs the agent until stop or the end of the test.
func (r *rig) start() {
	r.t.Helper()
	ctx, end := context.WithCancel(r.t.Context())
	r.end, r.over = end, make(chan error, 1)
	ready := make(chan *loop, 1)
	go func() {
		r.over <- run(ctx, r.cfg, zerolog.New(zerolog.NewTestWriter(r.t)), func(l *loop) { ready <- l })
	}()
	select {
	case l := <-ready:
		r.api = api{ctx, r.cfg.CallRequest, l.events}
	case err := <-r.over:
		r.t.Fatal(err)
	}
	r.t.Cleanup(r.stop)
}

func (r *rig) stop() {
	if r.end == nil {
		return
	}
	r.end()
	if err := <-r.over; err != nil {
		r.t.Error(err)
	}
	r.end = nil
}

// journaled is how many entries the journal of a stopped agent has.
func (r *rig) journaled() (n int) {
	r.t.Helper()
	s, err := store.Open(r.cfg.State)
	if err != nil {
		r.t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Each(store.Journal, func(_, _ []byte) { n++ }); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// until waits for what a test is about.
func (r *rig) until(what string, f func() bool) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); {
		if time.Now().After(end) {
			r.t.Fatalf("never: %s", what)
		}
		select {
		case <-r.t.Context().Done():
			r.t.Fatal(r.t.Context().Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// value is one value as the local API shows it.
func (r *rig) value(path string) string {
	for _, s := range r.api.Show().Signals {
		if s.Path == path {
			return fmt.Sprint(s.Value)
		}
	}
	return ""
}

// online lowers the level as soon as the car surely stands, and waits for hello.
func (r *rig) online() wire.Hello {
	r.t.Helper()
	r.until("the car stands", func() bool {
		err := r.api.Choose(r.t.Context(), privacy.Choice{Level: privacy.ShareLocation})
		no, refused := errors.AsType[*hmi.Refused](err)
		if err != nil && (!refused || !no.Driving) {
			r.t.Fatal(err)
		}
		return err == nil
	})
	h, err := wire.DecodeHello(r.next(wire.KindHello))
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

// next is the payload of the next message of a kind that the car signed.
func (r *rig) next(kind wire.Kind) []byte {
	r.t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case <-limit:
			r.t.Fatalf("the car said no %s", kind)
		case f := <-r.up.said:
			p, ok := f.(pipe.Publish)
			if !ok {
				continue
			}
			s, err := wire.ParseSigned(p.Payload)
			if err != nil {
				r.t.Fatal(err)
			}
			if s.Verify(r.id.Sign, kind) == nil {
				return s.Payload()
			}
		}
	}
}

func (r *rig) result() wire.Result {
	r.t.Helper()
	res, err := wire.DecodeResult(r.next(wire.KindResult))
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

// command sends one, good unless edit spoils it, and returns it.
func (r *rig) command(h wire.Hello, operation uint64, edit func(*wire.Command)) wire.Command {
	r.t.Helper()
	r.seq++
	c := wire.Command{
		Car: h.Car, Epoch: h.Epoch, Users: h.Users, Seq: r.seq, Expires: h.Now + 25, ID: wire.NewID(), Operation: operation,
	}
	if edit != nil {
		edit(&c)
	}
	r.deliver(c)
	return c
}

func (r *rig) deliver(c wire.Command) {
	r.t.Helper()
	payload, err := c.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	r.seal(c.Car, wire.DownCommand, wire.KindCommand, payload)
}

// ask sends a session-ask.
func (r *rig) ask(car wire.Name) {
	r.t.Helper()
	payload, err := wire.SessionAsk{Car: car, Nonce: wire.NewID()}.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	r.seal(car, wire.DownSession, wire.KindSessionAsk, payload)
}

func (r *rig) seal(car wire.Name, topic wire.Suffix, kind wire.Kind, payload []byte) {
	r.t.Helper()
	signed, err := wire.Sign(r.phone, kind, payload)
	if err != nil {
		r.t.Fatal(err)
	}
	to, err := wire.ParseSealPublic(r.id.Seal)
	if err != nil {
		r.t.Fatal(err)
	}
	box, err := wire.Seal(to, car, signed)
	if err != nil {
		r.t.Fatal(err)
	}
	r.up.send(pipe.Message{Topic: string(topic), QoS: 1, Payload: box})
}
