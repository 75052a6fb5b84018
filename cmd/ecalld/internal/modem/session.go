package modem

import (
	"sync"
	"time"
)

// A session is a device while it is open: a goroutine that reads it and one that
// writes it, for either may be held by the device for as long as it likes.
type session struct {
	dev    device
	in     chan []byte // closed when reading failed; then err says why
	err    error
	out    chan []byte
	failed chan error    // of writing
	stop   chan struct{} // the owner is done
	gone   chan struct{} // the device is closed
	once   sync.Once
}

func newSession(dev device) *session {
	s := &session{
		dev: dev, in: make(chan []byte), out: make(chan []byte, 4), failed: make(chan error, 1),
		stop: make(chan struct{}), gone: make(chan struct{}),
	}
	go s.read()
	go s.write()
	return s
}

func (s *session) read() {
	defer close(s.in)
	var buf [256]byte
	for {
		n, err := s.dev.Read(buf[:])
		if n > 0 {
			b := append([]byte(nil), buf[:n]...)
			select {
			case s.in <- b:
			case <-s.stop:
				return
			}
		}
		if err != nil {
			s.err = err
			return
		}
		select {
		case <-s.stop:
			return
		default: // nothing came for a while
		}
	}
}

func (s *session) write() {
	for {
		select {
		case b := <-s.out:
			if _, err := s.dev.Write(b); err != nil {
				s.failed <- err
				return
			}
		case <-s.stop:
			return
		}
	}
}

// wait returns when the device is closed, or after a while: it may be stuck.
func (s *session) wait() {
	if s == nil {
		return
	}
	limit := time.NewTimer(goneLimit)
	defer limit.Stop()
	select {
	case <-s.gone:
	case <-limit.C:
	}
}

// close returns at once; closing a device can take seconds.
func (s *session) close() {
	s.once.Do(func() {
		close(s.stop)
		go func() {
			defer close(s.gone)
			_ = s.dev.Close()
		}()
	})
}
