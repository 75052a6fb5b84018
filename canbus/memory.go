package canbus

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// DefaultQueue is how many received frames an [End] holds where nothing else
// was asked for: 1 s of a full classic bus at 500 kbit/s.
const DefaultQueue = 4096

// A Memory is a CAN bus inside this process. Every [End] attached to it gets
// every frame in the same order; its own frames come back with Own set, as they
// do from a controller. It has no bit rate: a frame is on the bus when Send
// returns.
type Memory struct {
	mu   sync.Mutex // guards what follows, and every End's fields but ready and gone
	ends []*End
	over bool
}

// NewMemory makes a bus that nothing is attached to.
func NewMemory() *Memory { return new(Memory) }

// Attach adds an end that holds at most queue frames which were not received
// yet; 0 means [DefaultQueue]. When it is full the oldest frame is dropped and
// counted in LostByUs.
func (m *Memory) Attach(queue int) *End {
	if queue <= 0 {
		queue = DefaultQueue
	}
	e := &End{bus: m, most: queue, ready: make(chan struct{}, 1), gone: make(chan struct{})}
	e.stats.State = OK
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		e.stats.State = Gone
	}
	m.ends = append(m.ends, e)
	return e
}

// Close ends the bus for everybody: nothing can be sent, and once an end has
// received what it has queued, it gets [ErrClosed].
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.over = true
	for _, e := range m.ends {
		e.stats.State = Gone
		e.wake()
	}
	return nil
}

// An End is one end of a [Memory]; it is a [Bus].
type End struct {
	bus   *Memory
	ready chan struct{} // holds a token while the queue may hold frames
	gone  chan struct{}
	once  sync.Once

	// guarded by bus.mu
	queue []Rx // a ring that grows up to most
	first int
	count int
	most  int
	stats Stats
}

var _ Bus = (*End)(nil)

// Send puts f on the bus. It fails for what could not be on one ([Frame.Check],
// error frames) and on an end that was closed.
func (e *End) Send(ctx context.Context, f Frame) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.Flags&Error != 0 {
		return errors.Join(ErrFrame, errors.New("an error frame cannot be sent"))
	}
	if err := f.Check(); err != nil {
		return err
	}
	return e.put(Rx{Frame: f}, true)
}

// Relay puts on the bus what a device behind e received: error frames too, with
// the device's time stamp (now where it has none), and never as Own.
func (e *End) Relay(rx Rx) error {
	if err := rx.Check(); err != nil {
		return err
	}
	rx.Own = false
	return e.put(rx, false)
}

func (e *End) put(rx Rx, own bool) error {
	m := e.bus
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over || e.closed() {
		return ErrClosed
	}
	if rx.At.IsZero() {
		rx.At = time.Now() // under the lock: times are in the order of the frames
	}
	for _, to := range m.ends {
		if to == e && !own {
			continue
		}
		rx.Own = to == e
		to.push(&rx)
	}
	if own {
		e.stats.Sent++
	}
	return nil
}

func (e *End) push(rx *Rx) {
	switch {
	case e.count < len(e.queue):
	case e.count < e.most:
		e.grow()
	default:
		e.first = (e.first + 1) % len(e.queue)
		e.count--
		e.stats.LostByUs++
	}
	e.queue[(e.first+e.count)%len(e.queue)] = *rx
	e.count++
	e.wake()
}

func (e *End) grow() {
	ring := make([]Rx, min(max(64, 2*len(e.queue)), e.most))
	for i := range e.count {
		ring[i] = e.queue[(e.first+i)%len(e.queue)]
	}
	e.queue, e.first = ring, 0
}

func (e *End) wake() {
	select {
	case e.ready <- struct{}{}:
	default:
	}
}

// Receive waits for a frame and returns as many as are queued and fit.
func (e *End) Receive(ctx context.Context, dst []Rx) (int, error) {
	for {
		if e.closed() {
			return 0, ErrClosed
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, over := e.pop(dst)
		if n > 0 || len(dst) == 0 {
			return n, nil
		}
		if over {
			return 0, ErrClosed
		}
		select {
		case <-e.ready:
		case <-e.gone:
		case <-ctx.Done():
		}
	}
}

// pop takes what is queued; over says that nothing will follow.
func (e *End) pop(dst []Rx) (n int, over bool) {
	e.bus.mu.Lock()
	defer e.bus.mu.Unlock()
	for ; n < len(dst) && e.count > 0; n++ {
		dst[n] = e.queue[e.first]
		e.first = (e.first + 1) % len(e.queue)
		e.count--
		if dst[n].Flags&Error != 0 {
			e.stats.Errors++
		} else {
			e.stats.Received++
		}
	}
	return n, e.bus.over && e.count == 0
}

// Queued is how many frames wait to be received.
func (e *End) Queued() int {
	e.bus.mu.Lock()
	defer e.bus.mu.Unlock()
	return e.count
}

// Stats are the totals of this end; Lost is always 0.
func (e *End) Stats() Stats {
	e.bus.mu.Lock()
	defer e.bus.mu.Unlock()
	return e.stats
}

// Close takes e off the bus; a Receive that waits returns [ErrClosed].
func (e *End) Close() error {
	e.bus.mu.Lock()
	defer e.bus.mu.Unlock()
	e.once.Do(func() {
		close(e.gone)
		e.stats.State = Gone
		e.bus.ends = slices.DeleteFunc(e.bus.ends, func(o *End) bool { return o == e })
	})
	return nil
}

func (e *End) closed() bool {
	select {
	case <-e.gone:
		return true
	default:
		return false
	}
}
