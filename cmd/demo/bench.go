package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent"
	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/cmd/internal/sim/backend"
	"github.com/headunit-agent/headunit/cmd/internal/sim/mqtt"
	"github.com/headunit-agent/headunit/cmd/internal/sim/phone"
	"github.com/headunit-agent/headunit/enroll/user"
)

const (
	cell      = "c1"
	signature = "1234" // of this car's lock requests
	vin       = "WM9VDSVDSYA123456"
)

// A bench is the whole world of the demo.
type bench struct {
	dir, bin string
	log      zerolog.Logger
	logs     func(name string) io.Writer

	children map[string]*child
	car      carline
	identity agent.Identity
	broker   *mqtt.Broker
	at       string // address of the broker
	traffic  *traffic
	backend  *backend.Backend
	phone    *phone.Phone
	bus      *buswatch
	api      *http.Client

	end  context.CancelFunc
	done sync.WaitGroup
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// start puts everything together; close ends it.
func start(ctx context.Context, bin, dir string, verbose bool, stderr io.Writer, log zerolog.Logger) (*bench, error) {
	b := newBench(bin, dir, log)
	if verbose {
		b.logs = func(string) io.Writer { return stderr }
	}
	return b, b.begin(ctx, b.startCar, b.startBroker, b.startPhone, b.startDaemons, b.ready)
}

// newBench is an empty one, with its sockets, state and logs in dir.
func newBench(bin, dir string, log zerolog.Logger) *bench {
	b := &bench{dir: dir, bin: bin, log: log, children: map[string]*child{}, end: func() {}, car: carline(filepath.Join(dir, "car", "control"))}
	b.logs = func(name string) io.Writer {
		f, err := os.OpenFile(b.path(name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return io.Discard
		}
		return f
	}
	b.api = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", b.path("api"))
		},
	}}
	return b
}

// begin takes the steps in order; what they started lives until close, or until
// ctx or a step that fails ends it.
func (b *bench) begin(ctx context.Context, steps ...func(context.Context) error) error {
	if len(b.path("car/control")) > 100 {
		return fmt.Errorf("%s is too long a path for unix sockets; choose a shorter one with --keep or TMPDIR", b.dir)
	}
	ctx, b.end = context.WithCancel(ctx)
	for _, step := range steps {
		if err := step(ctx); err != nil {
			b.close()
			return err
		}
	}
	return nil
}

// startCar starts the simulated car.
func (b *bench) startCar(ctx context.Context) error {
	s := newSpawner()
	b.run(ctx, s, b.child("carsim", "--run", b.path("car"), "--signature", signature, "--vin", vin))
	err := until(ctx, 10*time.Second, func() error { return b.car.all(ctx, "state") })
	if err != nil {
		return fmt.Errorf("the simulated car did not start: %w", err)
	}
	b.bus, err = watchBus(ctx, b.path("car/can1"), &b.done)
	return err
}

// startPhone makes a phone that the car knows from the start: enrolment in the
// car is a later part.
func (b *bench) startPhone(context.Context) error {
	sign, box := wire.NewKey(), wire.NewBoxKey()
	owner := user.Key{Kid: sign.Kid()}
	copy(owner.Sign[:], sign.Public())
	copy(owner.Box[:], box.Public())
	var err error
	b.identity, err = agent.Prepare(b.path("state"), user.List{
		Version: 1, Users: []user.User{{Account: user.Account(wire.NewID()), Name: "Owner", Role: user.Primary, Keys: []user.Key{owner}}},
	})
	if err != nil {
		return err
	}
	if err := b.backend.AddCar(b.identity.Name, b.identity.Sign, b.identity.Seal); err != nil {
		return err
	}
	b.phone, err = phone.New(sign, box, phone.Met(b.identity), b.backend)
	return err
}

func (b *bench) startBroker(ctx context.Context) (err error) {
	b.traffic = newTraffic()
	if b.broker, err = mqtt.NewBroker(); err != nil {
		return err
	}
	b.broker.Heard, b.broker.Left = b.traffic.heard, b.traffic.left
	addr, err := b.broker.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	return b.startBackend(ctx, addr)
}

// startBackend starts the backend at a broker, to which the car goes too.
func (b *bench) startBackend(ctx context.Context, broker string) (err error) {
	b.at = broker
	b.backend, err = backend.New(backend.Config{Cell: cell, Time: wire.NewKey(), Broker: broker, Log: b.log})
	if err != nil {
		return err
	}
	b.done.Go(func() {
		if err := b.backend.Run(ctx); err != nil {
			b.log.Error().Err(err).Msg("backend")
		}
	})
	return nil
}

// startDaemons starts the three as they run in a car, each a process of its own.
func (b *bench) startDaemons(ctx context.Context) error {
	root, err := module()
	if err != nil {
		return err
	}
	profile := filepath.Join(root, "testdata", "refcar", "refcar.yaml")
	if err := b.writeCallConfig(ctx, profile); err != nil {
		return err
	}
	s := newSpawner()
	b.run(ctx, s, b.child("ecalld", "--config", b.path("ecall.json"), "--status", b.path("ecall"),
		"--socket", b.path("ecalld.sock"), "--state", b.path("ecall.state")))
	b.run(ctx, s, b.child("uplinkd", "--socket", b.path("uplink")))
	b.run(ctx, s, b.child("headunitd", "--profile", profile, "--state", b.path("state"),
		"--bus", "drive=socketcand:unix:"+b.path("car/can0"), "--bus", "body=socketcand:unix:"+b.path("car/can1"),
		"--bus", "fd=socketcand:unix:"+b.path("car/can2"), "--param", "zv_signature="+signature, "--can-simulated",
		"--uplink", b.path("uplink"), "--api", b.path("api"), "--ecall-status", b.path("ecall"),
		"--ecall-request", b.path("ecalld.sock"), "--broker", "tcp://"+b.at, "--cell", cell))
	return nil
}

// writeCallConfig compiles ecalld's configuration from the profile, as an
// installation does.
func (b *bench) writeCallConfig(ctx context.Context, profile string) error {
	port, err := os.ReadFile(b.path("car/gnss.port"))
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(b.bin, "headunitctl"), "profile", "ecall", profile,
		"--vin", vin, "--type", "M1", "--storage", "gasoline,electric",
		"--bus", "drive=socketcand:unix:"+b.path("car/can0"), "--bus", "body=socketcand:unix:"+b.path("car/can1"),
		"--port", b.path("car/modem0"), "--port", b.path("car/modem1"),
		"--gnss", "gpsd:127.0.0.1:"+string(bytes.TrimSpace(port)), "--sos-signal", "body/REF_SOS.REF_SOS_Pressed", "--sos-screen")
	out, err := cmd.Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, e.Stderr)
		}
		return fmt.Errorf("headunitctl profile ecall: %w", err)
	}
	return os.WriteFile(b.path("ecall.json"), out, 0o600)
}

// ready waits until everything answers.
func (b *bench) ready(ctx context.Context) error {
	if err := until(ctx, 20*time.Second, func() error {
		s, err := b.show(ctx)
		switch {
		case err != nil:
			return err
		case !s.Call.Running || s.Call.Phase != "idle":
			return errors.New("ecalld is not ready")
		case s.Signal("Vehicle.Speed").Quality != "good":
			return errors.New("the agent does not see the car")
		}
		return nil
	}); err != nil {
		return fmt.Errorf("the daemons did not come up, see their logs (--keep DIR, or -v): %w", err)
	}
	return nil
}

func (b *bench) run(ctx context.Context, s spawner, c *child) { b.done.Go(func() { c.run(ctx, s) }) }

func (b *bench) close() {
	b.end()
	b.done.Wait()
	if b.broker != nil {
		if err := b.broker.Close(); err != nil {
			b.log.Debug().Err(err).Msg("broker")
		}
	}
}

// show is the agent's state as the local API tells it.
type show struct {
	Privacy struct {
		Level   string `json:"level"`
		Closing bool   `json:"closing"`
	} `json:"privacy"`
	Uplink struct {
		Up     bool   `json:"up"`
		Wanted bool   `json:"wanted"`
		Reason string `json:"reason"`
	} `json:"uplink"`
	Call struct {
		Running bool     `json:"running"`
		Phase   string   `json:"phase"`
		Kind    string   `json:"kind"`
		Lamp    string   `json:"lamp"`
		MSD     string   `json:"msd"`
		Faults  []string `json:"faults"`
	} `json:"call"`
	Job     string     `json:"job"`
	Waiting int        `json:"waiting"`
	Signals []reported `json:"signals"`
}

type reported struct {
	Path    string  `json:"path"`
	Value   any     `json:"value"`
	Unit    string  `json:"unit"`
	Quality string  `json:"quality"`
	Age     float64 `json:"age"`
}

// Signal is the signal of that path; of quality "" if there is none.
func (s show) Signal(path string) reported {
	for _, x := range s.Signals {
		if x.Path == path {
			return x
		}
	}
	return reported{}
}

func (b *bench) show(ctx context.Context) (show, error) {
	var s show
	err := b.local(ctx, http.MethodGet, "/v1/show", nil, &s)
	return s, err
}

// choose is the driver's finger on a privacy level.
func (b *bench) choose(ctx context.Context, level string) error {
	return b.local(ctx, http.MethodPut, "/v1/privacy", map[string]string{"level": level}, nil)
}

// request is the driver's finger on the call screen.
func (b *bench) request(ctx context.Context, what string) error {
	return b.local(ctx, http.MethodPost, "/v1/call", map[string]string{"request": what}, nil)
}

func (b *bench) local(ctx context.Context, method, path string, in, out any) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://headunit"+path, &body)
	if err != nil {
		return err
	}
	resp, err := b.api.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(answer))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}
