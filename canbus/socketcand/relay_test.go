package socketcand

import (
	"slices"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// BenchmarkRelay is a frame from one client over the server to another one, both
// on unix sockets, as fast as it goes without loss.
func BenchmarkRelay(b *testing.B) {
	from, to := pair(b)
	f := frame(0x123, 0, 1, 2, 3, 4, 5, 6, 7, 8)
	batch := make([]canbus.Rx, 256)
	b.ReportAllocs()
	for sent, seen := 0, 0; b.Loop(); sent++ {
		if err := from.Send(b.Context(), f); err != nil {
			b.Fatal(err)
		}
		if sent-seen > 1024 { // both queues hold 4,096
			seen += drain(b, to, batch, 512)
			drain(b, from, batch, 512) // its own, confirmed
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
	if n := to.Stats().Lost + from.Stats().Lost; n > 0 {
		b.Errorf("%d lost", n)
	}
}

// BenchmarkRelayDelay is how long a frame takes from the bus to a client at
// 20,000 frames/s, 20 at a time, as adapters deliver them.
func BenchmarkRelayDelay(b *testing.B) {
	s := onSocket(b, "unix")
	c, err := Dial(b.Context(), s.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	const burst = 20
	batch := make([]canbus.Rx, 256)
	var delays []time.Duration
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for b.Loop() {
		<-tick.C
		start := time.Now()
		for n := range burst {
			if err := s.bus.Relay(canbus.Rx{Frame: frame(uint32(n), 0, 1, 2, 3, 4, 5, 6, 7, 8), At: start}); err != nil {
				b.Fatal(err)
			}
		}
		for got := 0; got < burst; {
			n, err := c.Receive(b.Context(), batch)
			if err != nil {
				b.Fatal(err)
			}
			for range n {
				delays = append(delays, time.Since(start))
			}
			got += n
		}
	}
	slices.Sort(delays)
	b.ReportMetric(float64(delays[len(delays)/2].Microseconds()), "µs-p50")
	b.ReportMetric(float64(delays[len(delays)*99/100].Microseconds()), "µs-p99")
}

func pair(b *testing.B) (from, to *Client) {
	s := onSocket(b, "unix")
	_ = s.bus.Close()
	var both [2]*Client
	for i := range both {
		c, err := Dial(b.Context(), s.addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		both[i] = c
	}
	return both[0], both[1]
}

func drain(b *testing.B, c *Client, batch []canbus.Rx, n int) (got int) {
	for got < n {
		k, err := c.Receive(b.Context(), batch[:min(len(batch), n-got)])
		if err != nil {
			b.Fatal(err)
		}
		got += k
	}
	return got
}

func BenchmarkParse(b *testing.B) {
	request, said := []byte(" send 123 8 1 2 3 4 5 6 7 8 "), []byte(" fdframe 123 1747900000.123456 00 8 0102030405060708 ")
	b.Run("request", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := parseRequest(request); !ok {
				b.Fatal("refused")
			}
		}
	})
	b.Run("reply", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := parseReply(said); !ok {
				b.Fatal("refused")
			}
		}
	})
}
