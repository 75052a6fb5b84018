package main

import (
	"context"
	"sync"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/socketcand"
)

// traffic counts what the broker hears from each client.
type traffic struct {
	mu      sync.Mutex
	packets map[string]int // by client id, CONNECT included
	online  map[string]bool
}

func newTraffic() *traffic { return &traffic{packets: map[string]int{}, online: map[string]bool{}} }

func (t *traffic) heard(client string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.packets[client]++
	t.online[client] = true
}

func (t *traffic) left(client string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.online[client] = false
}

// of is the number of packets a client has sent, and whether it is connected.
func (t *traffic) of(client string) (int, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.packets[client], t.online[client]
}

// Identifiers on the body bus.
const (
	idRequest = 0x5A7 // what the telematics unit asks the body controller
	idHeater  = 0x6F0 // and the heater
)

// A buswatch sees the body bus as any other ECU does.
type buswatch struct {
	mu    sync.Mutex
	asked map[uint32]int // frames that ask for something, by identifier
	total int
	tail  []string // the last frames that ask, as candump text
}

func watchBus(ctx context.Context, socket string, done *sync.WaitGroup) (*buswatch, error) {
	bus, err := socketcand.Dial(ctx, "unix:"+socket)
	if err != nil {
		return nil, err
	}
	w := &buswatch{asked: map[uint32]int{}}
	done.Go(func() {
		defer bus.Close()
		frames := make([]canbus.Rx, 64)
		for {
			n, err := bus.Receive(ctx, frames)
			if err != nil {
				return
			}
			w.saw(frames[:n])
		}
	})
	return w, nil
}

func (w *buswatch) saw(frames []canbus.Rx) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range frames {
		w.total++
		if asks(f.Frame) {
			w.asked[f.ID]++
			w.tail = append(w.tail, canbus.Line{At: f.At, HasTime: true, Interface: "can1", Frame: f.Frame}.String())
			w.tail = w.tail[max(0, len(w.tail)-8):]
		}
	}
}

// asks reports whether a frame asks the car to do something: its rest state has
// nothing beyond checksum and counter.
func asks(f canbus.Frame) bool {
	if f.Flags&canbus.Extended != 0 || f.ID != idRequest && f.ID != idHeater {
		return false
	}
	data := f.Data
	if f.ID == idHeater {
		data[0] = 0
		data[1] &= 0xF0
	}
	return data != [64]byte{}
}

// count is how many frames have asked for something.
func (w *buswatch) count(id uint32) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[id]
}

func (w *buswatch) last() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.tail...)
}
