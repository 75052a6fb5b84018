package isotp

import (
	"slices"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// A Message is what a [Monitor] put together, or the end of what it could not.
type Message struct {
	ID       uint32
	Extended bool
	Payload  []byte // valid until the next step
	Err      error
}

// A Monitor reassembles what others send with normal addressing, on every
// identifier at once, and sends nothing: it is for recordings and for looking
// on. It holds at most [MaxReceptions] at a time and forgets an identifier when
// its payload ends. Frames that are no ISO-TP at all may look like it: choose
// the identifiers before.
type Monitor struct {
	link   Link
	active []*Receiver
	spare  []*Receiver
}

// NewMonitor makes a Monitor that accepts payloads of up to most octets; 0
// means 4,095.
func NewMonitor(most int) *Monitor { return &Monitor{link: Link{Quiet: true, Most: most}} }

// Step looks at f, or only at the clock if f is nil, and calls found for
// everything that ended. Times must not go backwards.
func (m *Monitor) Step(now time.Time, f *canbus.Frame, found func(Message)) {
	m.expire(now, found)
	if f == nil || f.Len == 0 || f.Flags&(canbus.Remote|canbus.Error) != 0 {
		return
	}
	a := Address{Receive: f.ID, Extended: f.Flags&canbus.Extended != 0}
	i := slices.IndexFunc(m.active, func(r *Receiver) bool { return r.from == a })
	full := len(m.active) >= MaxReceptions
	r := m.take(a)
	if i >= 0 {
		r = m.active[i]
	}
	next, o := r.Step(now, Event{Kind: Heard, Frame: f, Full: full})
	*r = next
	m.tell(r, o, found)
	switch {
	case i < 0 && r.Receiving():
		m.active, m.spare = append(m.active, r), m.spare[:len(m.spare)-1]
	case i >= 0 && !r.Receiving():
		m.drop(i)
	}
}

func (m *Monitor) expire(now time.Time, found func(Message)) {
	for i, r := range slices.Backward(m.active) {
		if next, o := r.Step(now, Event{}); o.Err != nil {
			*r = next
			m.tell(r, o, found)
			m.drop(i)
		}
	}
}

// take makes the last spare receiver listen to a.
func (m *Monitor) take(a Address) *Receiver {
	if len(m.spare) == 0 {
		m.spare = append(m.spare, new(Receiver))
	}
	r := m.spare[len(m.spare)-1]
	*r = Receiver{Phase: Idle, link: &m.link, from: a, got: r.got}
	return r
}

func (m *Monitor) drop(i int) {
	m.spare = append(m.spare, m.active[i])
	m.active = slices.Delete(m.active, i, i+1)
}

func (m *Monitor) tell(r *Receiver, o Output, found func(Message)) {
	if o.Err != nil {
		found(Message{ID: r.from.Receive, Extended: r.from.Extended, Err: o.Err})
	}
	if o.Done {
		found(Message{ID: r.from.Receive, Extended: r.from.Extended, Payload: o.Payload})
	}
}
