package main

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/cmd/internal/sim/phone"
)

//go:embed page.html
var pageHTML []byte

// page serves the one page until ctx ends.
func (b *bench) page(ctx context.Context, listen string, out io.Writer) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("the page: %w; choose another port with --listen 127.0.0.1:0", err)
	}
	p := &page{bench: b, host: l.Addr().String(), said: []string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'self' 'unsafe-inline'")
		if _, err := w.Write(pageHTML); err != nil {
			b.log.Debug().Err(err).Msg("page")
		}
	})
	mux.HandleFunc("GET /events", p.events)
	mux.HandleFunc("POST /do", p.do)
	server := &http.Server{Handler: p.guarded(mux), ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	fmt.Fprintf(out, `
  open   http://%s/
  do     let the driver choose a privacy level, then lock from the phone;
         drive and try to unlock; press SOS; crash
  logs   go run ./cmd/demo --keep DIR keeps them, -v shows them
  story  go run ./cmd/demo --story plays it without hands
  end    Ctrl-C
`, p.host)
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

type page struct {
	*bench
	host string

	mu   sync.Mutex
	said []string // what came of the buttons, newest first
}

// guarded keeps other sites out of the page: it answers to its own name only.
func (p *page) guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, port, _ := net.SplitHostPort(p.host)
		own := []string{p.host, "localhost:" + port}
		origin := r.Header.Get("Origin")
		if !slices.Contains(own, r.Host) || origin != "" && origin != "http://"+r.Host {
			http.Error(w, "not for this host", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// A frame of the page: everything that it shows.
type scene struct {
	Car      carState `json:"car"`
	HeadUnit *show    `json:"headunit"` // nil: the agent does not answer
	Phone    remote   `json:"phone"`
	Calls    any      `json:"calls"`
	Bus      []string `json:"bus"`
	Said     []string `json:"said"`
	Starts   map[string]int
}

// remote is the car as the phone knows it, from afar.
type remote struct {
	Online bool     `json:"online"`
	Left   string   `json:"left"`
	Values []shown  `json:"values"`
	Counts []string `json:"counts"`
}

type shown struct {
	Path  string `json:"path"`
	Value string `json:"value"`
	Age   uint32 `json:"age"`
	Stale bool   `json:"stale"`
}

func (p *page) scene(ctx context.Context) scene {
	s := scene{Bus: p.bus.last(), Starts: map[string]int{}}
	if err := p.car.read(ctx, &s.Car, "state"); err != nil {
		p.log.Debug().Err(err).Msg("car")
	}
	if h, err := p.show(ctx); err == nil {
		h.Signals = nil
		s.HeadUnit = &h
	}
	var calls []json.RawMessage
	if err := p.car.read(ctx, &calls, "modem calls"); err == nil && len(calls) > 0 {
		s.Calls = calls[len(calls)-1]
	}
	c, _ := p.backend.Car(p.identity.Name)
	s.Phone = remote{Online: c.Online, Left: string(c.Left), Values: []shown{}}
	for _, r := range c.Readings {
		sig, _ := wire.SignalOf(r.Signal)
		value := r.Value.String()
		if v, ok := sig.Measure(r.Value); ok {
			value = strconv.FormatFloat(v, 'f', -1, 64)
		}
		s.Phone.Values = append(s.Phone.Values, shown{sig.Path, value, r.Age, r.Quality == wire.Stale})
	}
	for name, c := range p.children {
		s.Starts[name] = c.count()
	}
	p.mu.Lock()
	s.Said = slices.Clone(p.said)
	p.mu.Unlock()
	return s
}

// events sends a scene twice a second.
func (p *page) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := json.Marshal(p.scene(r.Context()))
		if err == nil {
			_, err = fmt.Fprintf(w, "data: %s\n\n", b)
		}
		if err == nil {
			err = flush.Flush()
		}
		if err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// say puts a line on the page.
func (p *page) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := time.Now().Format(time.TimeOnly) + "  " + fmt.Sprintf(format, args...)
	p.said = append([]string{line}, p.said...)
	p.said = p.said[:min(len(p.said), 12)]
}

// do is a button. Whatever comes of it is said on the page.
func (p *page) do(w http.ResponseWriter, r *http.Request) {
	var in struct{ What, Arg string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	buttons := map[string]func(context.Context, string) error{
		"phone": p.press, "privacy": p.choose, "call": p.request,
		"car": func(ctx context.Context, orders string) error {
			return p.car.all(ctx, strings.Split(orders, "; ")...)
		},
		"kill": func(_ context.Context, name string) error {
			if c := p.children[name]; c != nil && name != "carsim" {
				c.kill()
				return nil
			}
			return fmt.Errorf("no daemon %q", name)
		},
	}
	f := buttons[in.What]
	if f == nil {
		http.Error(w, "no such button; there are phone, privacy, call, car and kill", http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	if err := f(ctx, in.Arg); err != nil {
		p.say("%s %s: %v", in.What, in.Arg, err)
		http.Error(w, err.Error(), http.StatusConflict)
		return
	} else if in.What != "phone" {
		p.say("%s %s: ok", in.What, in.Arg)
	}
	w.WriteHeader(http.StatusNoContent)
}

// press is a button of the phone.
func (p *page) press(ctx context.Context, operation string) error {
	var args []byte
	if operation == "ventilation-start" {
		var err error
		if args, err = phone.Minutes(10); err != nil {
			return err
		}
	}
	if c, _ := p.backend.Car(p.identity.Name); !c.Online {
		return fmt.Errorf("the car is offline (%s); let the driver choose a level other than Maximum", cmp.Or(c.Left, "never heard"))
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	began := time.Now()
	p.say("phone %s: on its way", operation)
	r, err := p.phone.Do(ctx, operation, args)
	if err == nil && r.Reason == wire.CommandEpoch {
		r, err = p.phone.Do(ctx, operation, args)
	}
	if err != nil {
		return err
	}
	p.say("phone %s: %s %s after %s", operation, r.State, r.Reason, ms(time.Since(began)))
	return nil
}
