package slcan

import "github.com/headunit-agent/headunit/canbus"

// A queue holds received frames until somebody asks for them. When it is full
// the oldest is dropped.
type queue struct {
	ring  []canbus.Rx // grows up to most
	first int
	count int
	most  int
}

// push reports whether a frame was dropped for rx.
func (q *queue) push(rx *canbus.Rx) (dropped bool) {
	switch {
	case q.count < len(q.ring):
	case q.count < q.most:
		q.grow()
	default:
		q.first = (q.first + 1) % len(q.ring)
		q.count--
		dropped = true
	}
	q.ring[(q.first+q.count)%len(q.ring)] = *rx
	q.count++
	return dropped
}

func (q *queue) grow() {
	ring := make([]canbus.Rx, min(max(64, 2*len(q.ring)), q.most))
	for i := range q.count {
		ring[i] = q.ring[(q.first+i)%len(q.ring)]
	}
	q.ring, q.first = ring, 0
}

func (q *queue) pop(dst []canbus.Rx) (n int) {
	for ; n < len(dst) && q.count > 0; n++ {
		dst[n] = q.ring[q.first]
		q.first = (q.first + 1) % len(q.ring)
		q.count--
	}
	return n
}
