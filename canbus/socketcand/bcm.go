package socketcand

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

const (
	minEvery = time.Millisecond // of a cyclic frame
	maxBcm   = 64               // subscriptions, and cyclic frames, of one connection
)

// A bcm is what a connection in broadcast manager mode asked for. The session's
// mu guards it, except for what the jobs read.
type bcm struct {
	wanted map[key]*subscription
	cyclic map[key]*job
}

type key struct {
	id       uint32
	extended bool
}

func keyOf(f *canbus.Frame) key { return key{f.ID, f.Flags&canbus.Extended != 0} }

// A subscription passes a frame on when every has gone by since the last one
// and, with a mask, when something under the mask changed.
type subscription struct {
	every  time.Duration
	masked bool
	mask   [64]byte
	seen   bool
	last   canbus.Frame // masked
	at     time.Time
}

// A job sends one frame cyclically.
type job struct {
	frame  atomic.Pointer[canbus.Frame]
	cancel context.CancelFunc
}

// takeBcm does what has no answer unless it is wrong.
func (c *session) takeBcm(r *request) error {
	k := keyOf(&r.frame)
	c.mu.Lock()
	defer c.mu.Unlock()
	known := true
	switch r.verb {
	case verbSubscribe, verbFilter:
		if known = c.bcm.subscribe(k, r); known {
			c.attach()
		}
	case verbUnsubscribe:
		_, known = c.bcm.wanted[k]
		delete(c.bcm.wanted, k)
	case verbAdd:
		c.attach()
		known = c.addJob(k, r)
	case verbUpdate:
		j := c.bcm.cyclic[k]
		if known = j != nil; known {
			j.frame.Store(&r.frame)
		}
	case verbDelete:
		j := c.bcm.cyclic[k]
		if known = j != nil; known {
			j.cancel()
			delete(c.bcm.cyclic, k)
		}
	}
	if !known {
		return c.write(append(c.out[:0], textUnknown...))
	}
	return nil
}

func (b *bcm) subscribe(k key, r *request) bool {
	if _, again := b.wanted[k]; !again && len(b.wanted) >= maxBcm {
		return false
	}
	if b.wanted == nil {
		b.wanted = make(map[key]*subscription)
	}
	b.wanted[k] = &subscription{every: r.every, masked: r.verb == verbFilter, mask: r.frame.Data}
	return true
}

func (b *bcm) wants(rx *canbus.Rx) bool {
	if rx.Flags&canbus.Error != 0 {
		return len(b.wanted) > 0
	}
	s := b.wanted[keyOf(&rx.Frame)]
	if s == nil || s.seen && s.every > 0 && rx.At.Sub(s.at) < s.every {
		return false
	}
	f := rx.Frame
	if s.masked {
		for i := range f.Data {
			f.Data[i] &= s.mask[i]
		}
		if s.seen && f == s.last {
			return false
		}
	}
	s.seen, s.last, s.at = true, f, rx.At
	return true
}

// addJob starts a cyclic frame, or gives a running one a new cycle. The first
// frame goes out at once.
func (c *session) addJob(k key, r *request) bool {
	if old := c.bcm.cyclic[k]; old != nil {
		old.cancel()
	} else if len(c.bcm.cyclic) >= maxBcm {
		return false
	}
	if c.bcm.cyclic == nil {
		c.bcm.cyclic = make(map[key]*job)
	}
	ctx, cancel := context.WithCancel(c.ctx)
	j := &job{cancel: cancel}
	j.frame.Store(&r.frame)
	c.bcm.cyclic[k] = j
	every := r.every
	c.wg.Go(func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for ctx.Err() == nil {
			c.send(*j.frame.Load())
			select {
			case <-t.C:
			case <-ctx.Done():
			}
		}
	})
	return true
}
