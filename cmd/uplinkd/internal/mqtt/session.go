package mqtt

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// answerTime is how long a broker may take for CONNACK and for each SUBACK.
const answerTime = 15 * time.Second

// inFlight is how many QoS 1 publishes may wait for their PUBACK.
const inFlight = 8

// attempt connects, subscribes, and serves until the connection ends, for
// whatever reason. upFor is 0 if the broker never accepted it.
func (l *Link) attempt(ctx context.Context) (upFor time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := l.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer conn.finish(net.ErrClosed) // without DISCONNECT, unless there was one
	client := paho.NewClient(l.options(conn))
	if err := l.greet(ctx, conn, client); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := l.subscribe(ctx, conn, client); err != nil {
		if l.isClosing() {
			l.goodbye(conn, client)
		}
		return max(time.Since(began), 1), err
	}
	l.setUp(true)
	defer l.setUp(false)
	l.log.Info().Msg("uplink up")
	go l.send(ctx, conn, client)
	select {
	case <-conn.ended:
		err = conn.cause
	case <-ctx.Done():
		err = ctx.Err()
	case <-l.closing:
		l.setUp(false)
		cancel() // nothing more is begun
		l.goodbye(conn, client)
	}
	return max(time.Since(began), 1), err
}

func (l *Link) connect(ctx context.Context) (*guarded, error) {
	address, err := Check(l.cfg.Broker)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	go func() { // closing ends an attempt, too
		select {
		case <-l.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	c, err := l.dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	topics := make([]string, 0, len(l.cfg.Subscribe))
	for _, s := range l.cfg.Subscribe {
		topics = append(topics, l.cfg.Prefix+s)
	}
	return guardConn(c, topics), nil
}

// options are the remedies for what paho 1.5.1 does if it is not told.
func (l *Link) options(conn *guarded) *paho.ClientOptions {
	o := paho.NewClientOptions()
	o.AddBroker(l.cfg.Broker)
	o.SetClientID(l.cfg.ClientID)
	o.SetProtocolVersion(4) // no falling back to 3.1
	o.SetCleanSession(true)
	o.SetOrderMatters(true) // no goroutine for each message
	o.SetAutoReconnect(false)
	o.SetConnectRetry(false)
	o.SetResumeSubs(false)
	o.SetKeepAlive(l.cfg.KeepAlive)
	o.SetConnectTimeout(answerTime)
	o.SetWriteTimeout(writeTimeout)
	o.SetPingTimeout(10 * time.Second)
	o.SetStore(noStore{})
	l.mu.Lock()
	o.SetBinaryWill(l.cfg.Prefix+l.cfg.Bye, l.will, 1, false)
	l.mu.Unlock()
	o.SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) { return conn, nil })
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { // for all: one without a handler is never acknowledged
		select {
		case <-conn.ended:
			return
		default:
		}
		l.deliver(Message{m.Topic()[len(l.cfg.Prefix):], m.Qos(), m.Retained(), m.Payload()})
	})
	return o
}

// await waits for a token, but not longer than for anything that makes it
// meaningless.
func (l *Link) await(ctx context.Context, conn *guarded, t paho.Token, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-t.Done():
	case <-conn.ended:
		return conn.cause
	case <-timer.C:
		return errSlow
	case <-l.closing:
		return net.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-conn.ended: // the token may have ended for that very reason, and without an error
		return conn.cause
	default:
		return t.Error()
	}
}

func (l *Link) greet(ctx context.Context, conn *guarded, client paho.Client) error {
	t := client.Connect()
	err := l.await(ctx, conn, t, answerTime+time.Second)
	if code := conn.guard.refusal(); code != 0 {
		return fmt.Errorf("%w: code %d", errConnect, code)
	}
	return err
}

// subscribe asks for one filter at a time and looks at what was granted: a
// token without an error is no subscription.
func (l *Link) subscribe(ctx context.Context, conn *guarded, client paho.Client) error {
	for _, suffix := range l.cfg.Subscribe {
		t := client.Subscribe(l.cfg.Prefix+suffix, 1, nil)
		if err := l.await(ctx, conn, t, answerTime); err != nil {
			return err
		}
		s, is := t.(*paho.SubscribeToken)
		if !is || s.Result()[l.cfg.Prefix+suffix] != 1 {
			return fmt.Errorf("%w: %s", errGrant, suffix)
		}
	}
	return nil
}

// send passes publishes on until ctx ends. paho may hold it up for
// writeTimeout, so it has a goroutine of its own that nobody waits for.
func (l *Link) send(ctx context.Context, conn *guarded, client paho.Client) {
	slots := make(chan struct{}, inFlight)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		select {
		case p := <-l.publishes:
			t := client.Publish(l.cfg.Prefix+p.topic, p.qos, false, p.payload)
			go func() {
				defer func() { <-slots }()
				l.delivered(ctx, conn, t, p)
			}()
		case <-ctx.Done():
			return
		}
	}
}

// delivered waits for the end of a publish and reports only what the guard saw
// acknowledged.
func (l *Link) delivered(ctx context.Context, conn *guarded, t paho.Token, p outgoing) {
	select {
	case <-t.Done():
	case <-conn.ended:
	case <-ctx.Done():
		return
	}
	if m, is := t.(*paho.PublishToken); is && p.qos == 1 && conn.guard.took(m.MessageID()) {
		l.sink.Published(p.n)
	}
}

func (l *Link) isClosing() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

// goodbye sends the last message and DISCONNECT, and gives up after closeTime.
func (l *Link) goodbye(conn *guarded, client paho.Client) {
	giveUp := time.AfterFunc(closeTime, func() { conn.finish(errSlow) })
	defer giveUp.Stop()
	if len(l.last) > 0 {
		sent := make(chan struct{})
		go func() { // Publish may wait longer than we do
			defer close(sent)
			<-client.Publish(l.cfg.Prefix+l.cfg.Bye, 1, false, l.last).Done()
		}()
		select {
		case <-sent:
		case <-conn.ended:
		}
	}
	client.Disconnect(250)
	<-conn.ended // paho closes after DISCONNECT, or the timer does
	if !conn.guard.parted() {
		l.log.Warn().Err(conn.cause).Msg("disconnected without a goodbye")
	}
}

// noStore keeps nothing: what waits belongs to headunitd, and what is lost
// with a connection is sent again by it.
type noStore struct{}

func (noStore) Open()                             {}
func (noStore) Put(string, packets.ControlPacket) {}
func (noStore) Get(string) packets.ControlPacket  { return nil }
func (noStore) All() []string                     { return nil }
func (noStore) Del(string)                        {}
func (noStore) Close()                            {}
func (noStore) Reset()                            {}
