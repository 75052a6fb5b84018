package agent

import (
	"slices"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/agent/wire"
	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/dbc"
)

// BenchmarkCommandToFrame is the way of a command from the pipe to the bus: it
// is opened, verified, authorized and journaled, and the first frame is seen.
// Give it a few hundred rounds (-benchtime=300x): the tail is what counts.
func BenchmarkCommandToFrame(b *testing.B) {
	r := newRig(b)
	asked := make(chan time.Time, 64)
	r.car.mu.Lock()
	r.car.onAsk = func(f canbus.Frame) {
		asked <- time.Now()
		locked := int64(f.Data[6] >> 1 & 1) // TM_Door_Lock
		r.car.say("body/ZV_02", dbc.Raw("ZV_ist_Zustand_verfuegbar", 1), dbc.Raw("ZV_verriegelt_extern_ist", locked))
	}
	r.car.mu.Unlock()
	r.start()
	h := r.online()
	began := time.Now()
	var took []time.Duration
	operation := uint64(opLock)
	for b.Loop() {
		for len(asked) > 0 {
			<-asked
		}
		sent := time.Now()
		r.command(h, operation, func(c *wire.Command) { c.Expires = h.Now + uint32(time.Since(began).Seconds()) + 20 })
		took = append(took, (<-asked).Sub(sent))
		for r.result().State == wire.InProgress {
			continue
		}
		operation = opLock + opUnlock - operation
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
