// Package mqtt keeps one connection to an MQTT broker and believes nothing the
// broker says before a guard has seen it.
//
// It is the only package that uses paho, and works around what paho 1.5.1
// leaves open: the guard around the connection, a new client for each attempt,
// no store, no reconnecting of its own. A panic in one of paho's goroutines
// cannot be recovered; it costs the process, which holds nothing.
package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// The reasons of a link that is down.
const (
	Lost        = "uplink.lost"        // the connection ended
	Unreachable = "uplink.unreachable" // no connection
	Refused     = "uplink.refused"     // the broker said no, or granted no subscription
	Guarded     = "uplink.guard"       // the broker broke the protocol
	Closed      = "uplink.closed"      // on request
)

// Errors of [Check] and of a link.
var (
	ErrBroker = errors.New("broker address is not usable")

	errGrant   = errors.New("subscription was not granted with QoS 1")
	errConnect = errors.New("broker refused the connection")
	errSlow    = errors.New("broker did not answer in time")
)

// A Config is one connection that is wanted.
type Config struct {
	Broker    string   // tcp://, loopback only until TLS is built
	ClientID  string   // also the car's name in the topics
	Prefix    string   // before every suffix
	Subscribe []string // suffixes, in order; QoS 1 each
	Bye       string   // suffix of the will
	Will      []byte   // until SetWill
	KeepAlive time.Duration
	Limits    Limits
}

// A Message is what came on a subscribed topic.
type Message struct {
	Topic    string // suffix
	QoS      byte
	Retained bool
	Payload  []byte
}

// A Sink hears what a [Link] has to say. Its methods must not wait: they are
// called from paho's goroutines, which deadlock if one does.
type Sink interface {
	State(up bool, reason string)
	Message(m Message)
	Published(n uint64)
}

// Check says whether the address of a broker can be used, without using it.
func Check(broker string) (address string, err error) {
	u, err := url.Parse(broker)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: not a URL", ErrBroker)
	case u.Scheme != "tcp":
		return "", fmt.Errorf("%w: scheme %q: only tcp:// on loopback is built, TLS is not", ErrBroker, u.Scheme)
	case u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Port() == "":
		return "", fmt.Errorf("%w: want tcp://127.0.0.1:PORT", ErrBroker)
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("%w: %q is not a loopback address, and nothing leaves the machine without TLS", ErrBroker, u.Hostname())
	}
	return u.Host, nil
}

// queued is how many publishes, and how many messages, may wait here; the newest
// is dropped.
const queued = 16

// closeTime is what a clean end may take, the last message included.
const closeTime = 2500 * time.Millisecond

type outgoing struct {
	n       uint64
	topic   string
	qos     byte
	payload []byte
}

// A Link is one wish for a connection, kept up by [Link.Run].
type Link struct {
	cfg  Config
	sink Sink
	log  zerolog.Logger
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	publishes chan outgoing
	closing   chan struct{}
	closeOnce sync.Once
	last      []byte // set before closing is closed

	mu      sync.Mutex
	will    []byte
	up      bool
	early   []Message // came before the link was up
	dropped uint64
}

// New prepares a link; nothing happens before [Link.Run].
func New(cfg Config, sink Sink, log zerolog.Logger) *Link {
	return &Link{
		cfg:       cfg,
		will:      cfg.Will,
		sink:      sink,
		log:       log,
		dial:      (&net.Dialer{}).DialContext, // no proxy from the environment
		publishes: make(chan outgoing, queued),
		closing:   make(chan struct{}),
	}
}

// SetWill is what the broker says when a connection that is yet to be made is
// lost.
func (l *Link) SetWill(will []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.will = will
}

// Publish hands over a payload. It does not wait; what comes while the link is
// down or the queue is full is dropped. QoS 1 is answered by [Sink.Published].
func (l *Link) Publish(n uint64, topic string, qos byte, payload []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up {
		select {
		case l.publishes <- outgoing{n, topic, qos, payload}:
			return
		default:
		}
	}
	l.drop()
}

// Close sends last as the goodbye, unless it is empty, disconnects, and makes
// [Link.Run] return. What waits is discarded. It does not wait.
func (l *Link) Close(last []byte) {
	l.closeOnce.Do(func() {
		l.last = last
		close(l.closing)
	})
}

// Run keeps the link up until [Link.Close], or until ctx ends: then the
// connection is dropped without DISCONNECT, and the broker publishes the will.
func (l *Link) Run(ctx context.Context) {
	var b backoff
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.closing:
			l.sink.State(false, Closed)
			return
		case <-ctx.Done():
			return
		}
		upFor, err := l.attempt(ctx)
		select {
		case <-ctx.Done():
			return
		case <-l.closing:
			l.sink.State(false, Closed)
			return
		default:
		}
		reason := reasonOf(err, upFor)
		wait, kicked := b.next(l.cfg.Limits, time.Now(), upFor, rand.Float64())
		if kicked {
			l.log.Warn().Msg("lost often in short time: somebody else may be using this name")
		}
		l.log.Info().Str("reason", reason).Err(err).Dur("up_for", upFor).Dur("wait", wait).Msg("uplink down")
		l.sink.State(false, reason)
		timer.Reset(wait)
	}
}

func reasonOf(err error, upFor time.Duration) string {
	if _, bad := errors.AsType[*Violation](err); bad {
		return Guarded
	}
	switch {
	case errors.Is(err, errGrant) || errors.Is(err, errConnect):
		return Refused
	case upFor > 0:
		return Lost
	}
	return Unreachable
}

// setUp opens or shuts the way up, and tells that it is open before anything
// that came on the new connection.
func (l *Link) setUp(up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up = up
	if up {
		l.sink.State(true, "")
		for _, m := range l.early {
			l.sink.Message(m)
		}
	}
	l.early = nil
	for !up && len(l.publishes) > 0 { // not for the next connection: whoever sent it sends it again
		<-l.publishes
	}
}

// deliver passes a message on, or keeps it until the link is up: a broker may
// send as soon as the first subscription is granted.
func (l *Link) deliver(m Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.up:
		l.sink.Message(m)
	case len(l.early) < queued:
		l.early = append(l.early, m)
	default:
		l.drop()
	}
}

// drop counts what is lost here, and says so rarely: at 1, 2, 4, 8 …
func (l *Link) drop() {
	l.dropped++
	if l.dropped&(l.dropped-1) == 0 {
		l.log.Warn().Uint64("dropped", l.dropped).Bool("up", l.up).Msg("dropped: the link is down or busy")
	}
}
