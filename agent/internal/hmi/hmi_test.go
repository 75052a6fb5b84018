package hmi

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/privacy"
)

type fakeCar struct {
	chosen  privacy.Choice
	request string
	err     error
}

func (f *fakeCar) Show() Show {
	return Show{Profile: "refcar", Privacy: Privacy{Level: f.chosen.Level}}
}

func (f *fakeCar) Choose(_ context.Context, c privacy.Choice) error {
	f.chosen = c
	return f.err
}

func (f *fakeCar) Call(_ context.Context, r string) error {
	f.request = r
	return f.err
}

func TestAPI(t *testing.T) {
	moving := &Refused{Reason: "privacy.stationary-only", Driving: true}
	for _, c := range []struct {
		method, path, body string
		err                error
		status             int
		says               string
	}{
		{"GET", "/v1/show", "", nil, 200, `"profile":"refcar"`},
		{"PUT", "/v1/privacy", `{"level":"use-location","off":["theft-alert"]}`, nil, 200, "{}"},
		{"PUT", "/v1/privacy", `{"level":"use-location"}`, moving, http.StatusLocked, "privacy.stationary-only"},
		{"PUT", "/v1/privacy", `{"level":"use-location"}`, &Refused{Reason: "system.not-saved"}, http.StatusConflict, "system.not-saved"},
		{"PUT", "/v1/privacy", `{"level":"use-location"}`, errors.New("gone"), 503, "gone"},
		{"PUT", "/v1/privacy", `{"level":"open"}`, nil, 400, "no privacy level"},
		{"PUT", "/v1/privacy", `{"level":"maximum","off":["112"]}`, nil, 400, "no service"},
		{"PUT", "/v1/privacy", `{"levl":"maximum"}`, nil, 400, "unknown field"},
		{"PUT", "/v1/privacy", `{"level":"` + strings.Repeat("x", 20000) + `"}`, nil, 400, "too large"},
		{"POST", "/v1/privacy", `{}`, nil, 405, ""},
		{"POST", "/v1/call", `{"request":"sos"}`, nil, 200, "{}"},
		{"POST", "/v1/call", `sos`, nil, 400, "invalid"},
	} {
		car := &fakeCar{err: c.err}
		w := httptest.NewRecorder()
		Handler(car, zerolog.Nop()).ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s %.60s: %d %s", c.method, c.path, c.body, w.Code, w.Body)
		}
		if asked := car.chosen != (privacy.Choice{}) || car.request != ""; asked != (c.method != "GET" && c.status != 400 && c.status != 405) {
			t.Errorf("%s %s %.60s: the car was asked: %v", c.method, c.path, c.body, asked)
		}
	}
}
