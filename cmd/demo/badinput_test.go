package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/cmd/internal/sim/modem"
)

// TestBadInput: what is malformed ends nothing but itself. A file of the
// installation with a mistake is named; everything else goes on.
func TestBadInput(t *testing.T) {
	t.Parallel()
	t.Run("files", badFiles)
	b := newTestBench(t)
	m := &middle{b: b}
	begin(t, b, b.startCar, m.start, b.startBroker, b.startPhone, b.startDaemons, b.ready)
	eventually(t, "a level is chosen", func() error { return b.choose(t.Context(), "no-location") })
	for _, c := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"local API", func(t *testing.T) { badRequests(t, b) }},
		{"CAN", func(t *testing.T) { badFrames(t, b, m) }},
		{"uplinkd", func(t *testing.T) { badPeers(t, b) }},
		{"modem", func(t *testing.T) { badModem(t, b) }},
		{"state", func(t *testing.T) { badState(t, b) }},
	} {
		if !t.Run(c.name, c.run) {
			return
		}
	}
}

// badFiles: headunitd ends with 2 and names the place, on one line, by file, line
// and column.
func badFiles(t *testing.T) {
	b := newTestBench(t)
	for _, c := range []struct {
		name, file string // of the reference car
		was, is    string // the first was becomes is; empty: the file is taken away
		place      string // %d is the line of is
	}{
		{"unknown key", "refcar.yaml", "    wake: body", "    wak: body", `refcar.yaml:%d:5: `},
		{"unknown signal", "refcar.yaml", "ZV_02.ZV_FT_offen", "ZV_02.ZV_XX_offen", `refcar.yaml:%d:53: `},
		{"no YAML", "refcar.yaml", "id: refcar", "id: }refcar", `refcar.yaml:%d:5: `},
		{"no DBC", "refcar_body.dbc", "BO_ 870 Blinkmodi_02:", "BO_ 870 Blinkmodi_02?", `refcar_body.dbc:%d:21: `},
		{"DBC file is missing", "refcar_fd.dbc", "", "", `refcar.yaml:16:13: DBC file \"refcar_fd.dbc\" cannot be read`},
		{"profile is missing", "refcar.yaml", "", "", `refcar.yaml: no such file`},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			place, err := spoil(dir, c.file, c.was, c.is, c.place)
			must(t, "spoil", err)
			ctx, cancel := context.WithTimeout(t.Context(), steady)
			defer cancel()
			cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "headunitd"), "--profile", filepath.Join(dir, "refcar.yaml"),
				"--bus", "body=socketcand:unix:"+filepath.Join(dir, "can1"), "--state", filepath.Join(dir, "state"),
				"--uplink", filepath.Join(dir, "uplink"), "--api", filepath.Join(dir, "api"))
			said, err := cmd.CombinedOutput()
			if e, ok := errors.AsType[*exec.ExitError](err); !ok || e.ExitCode() != 2 || !bytes.Contains(said, []byte(place)) {
				t.Errorf("%v, and it does not say %q:\n%s", err, place, said)
			}
		})
	}
}

// spoil copies the reference car's files and breaks one of them. It returns the
// place that has to be named.
func spoil(dir, file, was, is, place string) (string, error) {
	root, err := module()
	if err != nil {
		return "", err
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "testdata", "refcar"))); err != nil {
		return "", err
	}
	path := filepath.Join(dir, file)
	if was == "" {
		return place, os.Remove(path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	before, after, ok := strings.Cut(string(text), was)
	if !ok {
		return "", fmt.Errorf("%s does not hold %q", file, was)
	}
	return fmt.Sprintf(place, 1+strings.Count(before, "\n")), os.WriteFile(path, []byte(before+is+after), 0o600)
}

// counts is how often each program was started.
func (b *bench) counts() map[string]int {
	n := map[string]int{}
	for name, c := range b.children {
		n[name] = c.count()
	}
	return n
}

// survived fails if a program was started since.
func survived(t *testing.T, b *bench, before map[string]int, names ...string) {
	t.Helper()
	for _, name := range names {
		if n := b.children[name].count() - before[name]; n != 0 {
			t.Errorf("%s ended %d times", name, n)
		}
	}
}

// badRequests: nothing that a client of the local API says ends the agent or
// changes the level.
func badRequests(t *testing.T, b *bench) {
	before := b.counts()
	put := func(body string) string {
		return fmt.Sprintf("PUT /v1/privacy HTTP/1.1\r\nHost: headunit\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	noise := make([]byte, 4096)
	rand.Read(noise)
	for _, request := range []string{
		string(noise) + "\r\n\r\n",
		"GET\r\n\r\n",
		"GET /v1/show HTTP/1.1\r\nHost: headunit\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\n",
		"DELETE /v1/privacy HTTP/1.1\r\nHost: headunit\r\n\r\n",
		"GET /v1/../../etc/passwd HTTP/1.1\r\nHost: headunit\r\n\r\n",
		put(""), put("maximum"), put("null{}"), put(`{"level":"MAXIMUM"}`), put(`{"level":"open"}`), put(`{"levels":"maximum"}`),
		put(`{"level":"maximum","until":"tomorrow"}`),
		put(`{"level":"maximum","off":["everything"]}`), put(strings.Repeat("[", 10_000)), put(`{"level":"` + strings.Repeat("m", 1<<20)),
		"POST /v1/call HTTP/1.1\r\nHost: headunit\r\nContent-Length: 20\r\n\r\n{\"request\":\"sos\\nsos\"}",
	} {
		status, err := b.raw(t.Context(), request)
		if err != nil || status < 300 {
			t.Errorf("%.60q is answered with %d: %v", request, status, err)
		}
	}
	s, err := b.show(t.Context())
	if err != nil || s.Privacy.Level != "no-location" || s.Call.Phase != "idle" {
		t.Errorf("privacy %+v, call %+v: %v", s.Privacy, s.Call, err)
	}
	survived(t, b, before, "headunitd", "ecalld")
}

// raw sends octets to the local API and returns the status of the answer.
func (b *bench) raw(ctx context.Context, request string) (int, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", b.path("api"))
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(steady)); err != nil {
		return 0, err
	}
	go func() { _, _ = io.WriteString(conn, request) }() // whether all of it is read is the server's business
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// badPeers: who says nonsense on uplinkd's socket is dropped, and the agent comes
// through behind it.
func badPeers(t *testing.T, b *bench) {
	before := b.counts()
	from, stop := b.backend.Watch(b.identity.Name)
	defer stop()
	var peers []net.Conn
	for _, frame := range [][]byte{
		[]byte("hello"),
		{0x80},
		{0x81, 0x01},
		{0x82, 0x03},
		{0x9f, 0xff},
		{0xff},
		bytes.Repeat([]byte{0x9a}, 16<<10),
		bytes.Repeat([]byte{0x81}, 4096),
		{0x82, 0x18, 0x63, 0x40},
		{0x85, 0x02, 0x00, 0x60, 0x02, 0x40},
	} {
		conn, err := net.Dial("unixpacket", b.path("uplink"))
		must(t, "uplinkd's socket", err)
		defer conn.Close()
		_, err = conn.Write(frame)
		must(t, "uplinkd's socket", err)
		peers = append(peers, conn) // it waits behind the agent
	}
	b.children["headunitd"].kill()
	for i, conn := range peers {
		must(t, "deadline", conn.SetReadDeadline(time.Now().Add(steady)))
		if n, err := conn.Read(make([]byte, 64)); err == nil && n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("peer %d was not dropped: %d octets, %v", i, n, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), steady)
	defer cancel()
	for {
		u, err := next(ctx, from)
		must(t, "online again", err)
		if u.Kind == wire.KindHello {
			break
		}
	}
	survived(t, b, before, "uplinkd", "ecalld")
}

// badModem: a modem that says nonsense does not keep the call from being placed,
// and a call asked for while nobody can tell what kind of modem it is, is tried
// until it can be.
func badModem(t *testing.T, b *bench) {
	ctx := t.Context()
	before := b.counts()
	call := func(what string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(ctx, steady)
		defer cancel()
		_, _, err := b.called(ctx, "manual")
		must(t, what, err)
	}
	must(t, "fault", b.car.all(ctx, "modem fault garbage 100000"))
	must(t, "SOS", b.request(ctx, "sos"))
	call("every answer is garbage")
	must(t, "hang up", b.car.all(ctx, "modem fault none", "modem hangup 16"))
	eventually(t, "the call is over", func() error { return b.phase(ctx, "callback") })
	survived(t, b, before, "ecalld", "headunitd")

	// A new ecalld hears nothing but nonsense from the start: it must not take
	// this modem for the simulator, and must not dial what may be a real one.
	must(t, "fault", b.car.all(ctx, "modem fault nonsense 100000"))
	var calls []modem.Call
	must(t, "calls", b.car.read(ctx, &calls, "modem calls"))
	known := len(calls)
	b.children["ecalld"].kill()
	eventually(t, "ecalld is back", func() error { return b.phase(ctx, "idle") })
	eventually(t, "SOS", func() error { return b.request(ctx, "sos") })
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); <-tick.C {
		eventually(t, "it is tried", func() error { return b.phase(ctx, "dialling", "redial") })
		must(t, "calls", b.car.read(ctx, &calls, "modem calls"))
		if len(calls) != known {
			t.Fatalf("a modem that nobody knows was told to call: %+v", calls[known:])
		}
	}
	must(t, "recovery", b.car.all(ctx, "modem fault none"))
	call("the modem makes sense again")
	must(t, "hang up", b.car.all(ctx, "modem hangup 16"))
	eventually(t, "the call is over", func() error { return b.phase(ctx, "callback") })
	if n := b.children["ecalld"].count() - before["ecalld"]; n != 1 {
		t.Errorf("ecalld was started %d times, and killed once", n)
	}
}

// phase fails unless the agent sees the emergency call in one of the phases.
func (b *bench) phase(ctx context.Context, phases ...string) error {
	s, err := b.show(ctx)
	if err == nil && (!s.Call.Running || !slices.Contains(phases, s.Call.Phase)) {
		err = fmt.Errorf("the call is %q, running %v, and not %q", s.Call.Phase, s.Call.Running, phases)
	}
	return err
}

// badState: a state folder that cannot be read is a car at Maximum that knows
// nobody, and can be chosen for anew.
func badState(t *testing.T, b *bench) {
	ctx := t.Context()
	before := b.counts()
	for _, name := range []string{"privacy.0", "privacy.1", "users.0", "users.1", "bulk.db"} {
		noise := make([]byte, 16<<10)
		rand.Read(noise)
		next := b.path("state/" + name + ".next") // the process that runs keeps what it has open
		must(t, "spoil", errors.Join(os.WriteFile(next, noise, 0o600), os.Rename(next, b.path("state/"+name))))
	}
	must(t, "wake", b.car.all(ctx, "ignition on")) // a car that was never heard standing may be driving
	b.children["headunitd"].kill()
	eventually(t, "it starts", func() error {
		s, err := b.show(ctx)
		if err == nil && b.children["headunitd"].count() == before["headunitd"] {
			err = errors.New("not killed yet")
		}
		if err == nil && (s.Privacy.Level != "maximum" || s.Uplink.Wanted || s.Uplink.Up) {
			t.Fatalf("privacy %+v, uplink %+v", s.Privacy, s.Uplink)
		}
		return err
	})
	must(t, "nothing leaves", b.quiet(ctx, time.Second))
	eventually(t, "a level is chosen", func() error { return b.choose(ctx, "use-location") })
	eventually(t, "online", func() error {
		s, err := b.show(ctx)
		if err == nil && (!s.Uplink.Up || s.Privacy.Level != "use-location") {
			err = fmt.Errorf("privacy %+v, uplink %+v", s.Privacy, s.Uplink)
		}
		return err
	})
	if n := b.children["headunitd"].count() - before["headunitd"]; n != 1 {
		t.Errorf("headunitd was started %d times, and killed once", n)
	}
}
