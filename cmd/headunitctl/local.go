package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// local reaches the running agent over its local API.
type local struct {
	Socket string `name:"api" default:"/run/headunit/api.sock" help:"Socket of the agent's local API."`
}

// errAnswer is a no of the agent, in its own words.
type errAnswer struct{ reason string }

func (e errAnswer) Error() string { return "refused: " + e.reason }

const apiWait = 10 * time.Second

func (l local) ask(method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(context.Background(), apiWait)
	defer cancel()
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
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", l.Socket)
	}}}
	resp, err := client.Do(r)
	if err != nil {
		if _, ok := errors.AsType[*net.OpError](err); ok {
			return fmt.Errorf("headunitd does not answer on %s: is it running, and may this user open the socket? (--api PATH names another)", l.Socket)
		}
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var no struct{ Reason, Error string }
		if json.Unmarshal(answer, &no) == nil && no.Reason+no.Error != "" {
			return errAnswer{no.Reason + no.Error}
		}
		return errAnswer{resp.Status}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// shown is what headunitctl reads of the agent's state.
type shown struct {
	Profile string
	Privacy struct {
		Level   string
		Closing bool
		Off     []string
	}
	Uplink struct {
		Wanted, Up bool
		Reason     string
	}
	Call struct {
		Running          bool
		Phase, Lamp, Net string
		Faults           []string
	}
	Users, Waiting int
	Job            string
	Faults         []string
	Buses          map[string]struct {
		State string
		Lost  uint64
		Age   float64
	}
	Signals []struct {
		Path, Unit, Quality string
		Value               any
		Age                 float64
	}
}

type showCmd struct {
	local
	JSON bool `help:"The answer of the API as it came."`
}

// Run prints what the agent knows.
func (c showCmd) Run(out output) error {
	var raw json.RawMessage
	if err := c.ask(http.MethodGet, "/v1/show", nil, &raw); err != nil {
		return err
	}
	if c.JSON {
		_, err := fmt.Fprintf(out, "%s\n", bytes.TrimSpace(raw))
		return err
	}
	var s shown
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("profile", "%s", s.Profile)
	row("privacy", "%s, switched off: %s", s.Privacy.Level, orNone(s.Privacy.Off))
	row("online", "%v %s", s.Uplink.Up, s.Uplink.Reason)
	if s.Call.Running {
		row("emergency call", "%s, tell-tale %s, network %s, faults: %s", s.Call.Phase, s.Call.Lamp, s.Call.Net, orNone(s.Call.Faults))
	} else {
		row("emergency call", "ecalld is not running")
	}
	row("command", "%s", s.Job)
	row("users", "%d", s.Users)
	row("waiting to leave", "%d", s.Waiting)
	row("faults", "%s", orNone(s.Faults))
	for _, name := range slices.Sorted(maps.Keys(s.Buses)) {
		row("bus "+name, "%s, %d lost", s.Buses[name].State, s.Buses[name].Lost)
	}
	for _, x := range s.Signals {
		if x.Quality == "good" || x.Quality == "stale" {
			row(x.Path, "%v %s (%s, %.1f s)", x.Value, x.Unit, x.Quality, x.Age)
		} else {
			row(x.Path, "– (%s)", x.Quality)
		}
	}
	return w.Flush()
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, " ")
}

type privacyCmd struct {
	local
	Level string   `arg:"" enum:"maximum,no-location,use-location,share-location" help:"maximum, no-location, use-location or share-location."`
	Off   []string `help:"Services to switch off, such as theft-alert."`
}

// Run asks for a level; it returns when the level is in force.
func (c privacyCmd) Run(out output) error {
	if c.Off == nil {
		c.Off = []string{}
	}
	if err := c.ask(http.MethodPut, "/v1/privacy", map[string]any{"level": c.Level, "off": c.Off}, nil); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "privacy is", c.Level)
	return err
}

type callCmd struct {
	local
	Request string `arg:"" enum:"sos,cancel,hangup,answer,test,breakdown,service" help:"sos, cancel, hangup, answer, test, breakdown or service."`
}

// Run hands a request to ecalld by way of the agent.
func (c callCmd) Run(out output) error {
	if err := c.ask(http.MethodPost, "/v1/call", map[string]string{"request": c.Request}, nil); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "ok")
	return err
}
