// Package hmi is what people in the car see and ask through: for now the local
// API, HTTP and JSON on a unix socket. It decides nothing; whatever changes
// state goes to the agent's loop, and the answer is given when it is in force:
// for a lowered level after it was saved.
package hmi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/privacy"
)

// A Car is what the API speaks for.
type Car interface {
	// Show is everything there is to see now.
	Show() Show
	// Choose asks for a level of privacy, and returns when it is in force, or a
	// *Refused.
	Choose(ctx context.Context, c privacy.Choice) error
	// Call hands one request to the emergency call's program, which judges it:
	// sos, cancel, hangup, answer, test, breakdown or service.
	Call(ctx context.Context, request string) error
}

// A Refused is a no, with the reason by which screens find their text.
type Refused struct {
	Reason  string
	Driving bool // it is not for a car that moves, or may move
}

func (r *Refused) Error() string { return "refused: " + r.Reason }

// Show is the state of the car as the screens see it. Times are ages, in
// seconds.
type Show struct {
	Profile string         `json:"profile"`
	Privacy Privacy        `json:"privacy"`
	Uplink  Uplink         `json:"uplink"`
	Call    Call           `json:"call"`
	Users   int            `json:"users"`
	Job     string         `json:"job"`
	Waiting int            `json:"waiting"` // messages in the outbox
	Faults  []string       `json:"faults"`
	Buses   map[string]Bus `json:"buses"`
	Signals []Signal       `json:"signals"`
}

// Privacy is the driver's choice in force.
type Privacy struct {
	Level   privacy.Level     `json:"level"`
	Closing bool              `json:"closing"`
	Off     []privacy.Service `json:"off"`
}

// Uplink is the way to the backend.
type Uplink struct {
	Wanted bool   `json:"wanted"` // the level allows it
	Up     bool   `json:"up"`
	Reason string `json:"reason"` // why not
}

// Call is the emergency call as its program tells it; Running is false when it
// has not said anything for 30 s.
type Call struct {
	Running bool     `json:"running"`
	Phase   string   `json:"phase"`
	Kind    string   `json:"kind"`
	Lamp    string   `json:"lamp"`
	Net     string   `json:"net"`
	Armed   string   `json:"armed"`
	MSD     string   `json:"msd"`
	Faults  []string `json:"faults"`
}

// Bus is the health of one CAN bus.
type Bus struct {
	State string  `json:"state"`
	Lost  uint64  `json:"lost"`
	Age   float64 `json:"age"` // since its last frame; negative: never one
}

// Signal is one value with what it is worth. Value is empty unless the quality
// is good or stale.
type Signal struct {
	Path    string  `json:"path"`
	Value   any     `json:"value"`
	Unit    string  `json:"unit,omitempty"`
	Quality string  `json:"quality"`
	Age     float64 `json:"age"`
}

// Handler answers the local API:
//
//	GET /v1/show      the state, as [Show]
//	PUT /v1/privacy   {"level": "use-location", "off": ["theft-alert"]}
//	POST /v1/call     {"request": "sos"}
//
// A refusal is {"reason": "…"} with status 423 for what a moving car must not
// do, else 409. A request that cannot be read is 400 with what is wrong.
func Handler(c Car, log zerolog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/show", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, log, http.StatusOK, c.Show())
	})
	mux.HandleFunc("PUT /v1/privacy", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Level string            `json:"level"`
			Off   []privacy.Service `json:"off"`
		}
		if !read(w, log, r, &in) {
			return
		}
		level, err := privacy.ParseLevel(in.Level)
		if err != nil {
			wrong(w, log, err)
			return
		}
		off, err := privacy.NewSwitches(in.Off...)
		if err != nil {
			wrong(w, log, err)
			return
		}
		done(w, log, c.Choose(r.Context(), privacy.Choice{Level: level, Off: off}))
	})
	mux.HandleFunc("POST /v1/call", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Request string `json:"request"`
		}
		if read(w, log, r, &in) {
			done(w, log, c.Call(r.Context(), in.Request))
		}
	})
	return mux
}

// mostBody bounds what a client may send, in octets.
const mostBody = 16 << 10

func read(w http.ResponseWriter, log zerolog.Logger, r *http.Request, v any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, mostBody))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		wrong(w, log, err)
		return false
	}
	return true
}

func done(w http.ResponseWriter, log zerolog.Logger, err error) {
	if err == nil {
		answer(w, log, http.StatusOK, struct{}{})
		return
	}
	if no, ok := errors.AsType[*Refused](err); ok {
		status := http.StatusConflict
		if no.Driving {
			status = http.StatusLocked
		}
		answer(w, log, status, map[string]string{"reason": no.Reason})
		return
	}
	answer(w, log, http.StatusServiceUnavailable, map[string]string{"error": err.Error()})
}

func wrong(w http.ResponseWriter, log zerolog.Logger, err error) {
	answer(w, log, http.StatusBadRequest, map[string]string{"error": err.Error()})
}

func answer(w http.ResponseWriter, log zerolog.Logger, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		log.Debug().Err(err).Msg("local API: the answer did not arrive")
	}
}

// Server is an HTTP server with limits that suit a car.
func Server(c Car, log zerolog.Logger) *http.Server {
	return &http.Server{
		Handler:           Handler(c, log),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    mostBody,
	}
}
