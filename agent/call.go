package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/headunit-agent/headunit/agent/internal/hmi"
)

// callStatus is what the agent reads of ecalld's status file: never a position,
// because there is none in it.
type callStatus struct {
	Phase  string   `json:"phase"`
	Kind   string   `json:"kind"`
	Lamp   string   `json:"lamp"`
	Net    string   `json:"net"`
	Armed  string   `json:"armed"`
	MSD    string   `json:"msd"`
	Faults []string `json:"faults"`
}

// livePhases are those in which the car belongs to the emergency call.
var livePhases = []string{"dialling", "connected", "sending", "acking", "voice", "redial"}

func (c callStatus) live() bool { return slices.Contains(livePhases, c.Phase) }

const (
	callEvery  = 200 * time.Millisecond // the file is looked at
	callSilent = 30 * time.Second       // older, and ecalld is not running
	mostCall   = 4 << 10                // octets of the file
)

// A callFile is the status file, and when it was last seen to be written: the
// wall clock that dates it may jump by years while a call is running.
type callFile struct {
	path    string
	written time.Time // by the wall clock; zero: not looked at yet
	seen    time.Time // written, by the clock that does not jump
}

// read reads the file. One that is missing, too old, too long or not understood
// is a call that is not running: nothing is guessed, and a command is not
// refused for it.
func (c *callFile) read(now time.Time) (callStatus, bool) {
	f, err := os.Open(c.path)
	if err != nil {
		return callStatus{}, false
	}
	defer f.Close()
	i, err := f.Stat()
	if err != nil {
		return callStatus{}, false
	}
	switch at := i.ModTime(); {
	case c.written.IsZero() && now.Sub(at) > callSilent: // left by a program that is gone
		c.written, c.seen = at, now.Add(-2*callSilent)
	case !at.Equal(c.written):
		c.written, c.seen = at, now
	}
	if now.Sub(c.seen) > callSilent {
		return callStatus{}, false
	}
	b, err := io.ReadAll(io.LimitReader(f, mostCall))
	var s callStatus
	if err != nil || json.Unmarshal(b, &s) != nil || s.Phase == "" {
		return callStatus{}, false
	}
	return s, true
}

// watchCall tells the loop when the emergency call changes.
func watchCall(ctx context.Context, file string, events chan<- event) error {
	tick := time.NewTicker(callEvery)
	defer tick.Stop()
	status := callFile{path: file}
	var last callChanged
	for first := true; ; first = false {
		c, running := status.read(time.Now())
		next := callChanged{c, running}
		if first || next.running != last.running || !sameCall(next.call, last.call) {
			select {
			case events <- next:
			case <-ctx.Done():
				return nil
			}
			last = next
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func sameCall(a, b callStatus) bool {
	return a.Phase == b.Phase && a.Kind == b.Kind && a.Lamp == b.Lamp && a.Net == b.Net && a.Armed == b.Armed &&
		a.MSD == b.MSD && slices.Equal(a.Faults, b.Faults)
}

var callRequests = []string{"sos", "cancel", "hangup", "answer", "test", "breakdown", "service"}

// askCall hands one line to ecalld, which judges it.
func askCall(ctx context.Context, socket, request string) error {
	if !slices.Contains(callRequests, request) {
		return fmt.Errorf("no request %q; there are %s", request, strings.Join(callRequests, ", "))
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("ecalld does not answer: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, request+"\n"); err != nil {
		return err
	}
	b := make([]byte, 64)
	n, err := conn.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	switch answer := strings.TrimSpace(string(b[:n])); {
	case answer == "ok":
		return nil
	case strings.HasPrefix(answer, "no "):
		return &hmi.Refused{Reason: strings.TrimPrefix(answer, "no ")}
	default:
		return errors.New("ecalld answered something else")
	}
}
