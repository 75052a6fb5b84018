package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

type statsCmd struct {
	Device      string        `arg:"" help:"socketcand:HOST:PORT/BUS or socketcand:unix:PATH."`
	For         time.Duration `help:"Count for so long; 0 until interrupted." default:"5s"`
	Every       time.Duration `help:"Say how it goes as often as this, such as 1s." placeholder:"1s"`
	Bitrate     int           `help:"Bit rate of the bus, in bit/s." default:"500000"`
	DataBitrate int           `help:"Bit rate of the data phase of FD frames, in bit/s." default:"2000000"`
	IDs         bool          `name:"ids" help:"A line for each identifier."`
}

// Run counts, and sums up.
func (c *statsCmd) Run(out output) error {
	if c.Bitrate < 1000 || c.DataBitrate < 1000 {
		return errUse{"a bit rate below 1000 bit/s: write it in bit/s, such as 500000"}
	}
	ctx, stop := whileWanted(c.For)
	defer stop()
	d, _, err := open(ctx, c.Device)
	if err != nil {
		return err
	}
	defer d.Close()
	return c.count(ctx, d, out)
}

func (c *statsCmd) count(ctx context.Context, d canbus.Bus, out io.Writer) error {
	sum := counted{ids: map[key]*seen{}, began: time.Now()}
	part := counted{ids: map[key]*seen{}, began: sum.began}
	var batch [64]canbus.Rx
	for {
		wait, cancel := ctx, context.CancelFunc(func() {})
		if c.Every > 0 {
			wait, cancel = context.WithDeadline(ctx, part.began.Add(c.Every))
		}
		n, err := d.Receive(wait, batch[:])
		due := wait.Err() != nil && ctx.Err() == nil
		cancel()
		now := time.Now()
		for i := range batch[:n] {
			sum.add(&batch[i], now, c)
			if c.Every > 0 {
				part.add(&batch[i], now, c)
			}
		}
		if c.Every > 0 && (due || now.Sub(part.began) >= c.Every) {
			part.line(out, now, d.Stats())
			part = counted{ids: map[key]*seen{}, began: now}
		}
		if err != nil && !due {
			sum.report(out, now, d.Stats(), c)
			return over(ctx, err)
		}
	}
}

type key struct {
	id       uint32
	extended bool
}

// seen is what came of one identifier.
type seen struct {
	frames      int
	first, last time.Time
	f           canbus.Frame // the newest
}

// counted is a time of listening.
type counted struct {
	began        time.Time
	frames       int
	errors       int
	least, worst float64 // seconds on the bus, without stuffing and with the most
	ids          map[key]*seen
}

func (k *counted) add(r *canbus.Rx, now time.Time, c *statsCmd) {
	if r.Flags&canbus.Error != 0 {
		k.errors++
		return
	}
	k.frames++
	least, worst := onBus(&r.Frame, c.Bitrate, c.DataBitrate)
	k.least += least
	k.worst += worst
	at := key{r.ID, r.Flags&canbus.Extended != 0}
	s := k.ids[at]
	if s == nil {
		s = &seen{first: now}
		k.ids[at] = s
	}
	s.frames++
	s.last, s.f = now, r.Frame
}

func (k *counted) line(out io.Writer, now time.Time, s canbus.Stats) {
	t := max(now.Sub(k.began).Seconds(), 1e-9)
	fmt.Fprintf(out, "%.0f frames/s, %d identifiers, load %.1f to %.1f %%, %d lost, %d error frames, %s\n", float64(k.frames)/t, len(k.ids),
		100*k.least/t, 100*k.worst/t, s.Lost+s.LostByUs, k.errors, s.State)
}

func (k *counted) report(out io.Writer, now time.Time, s canbus.Stats, c *statsCmd) {
	t := max(now.Sub(k.began).Seconds(), 1e-9)
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "frames\t%d in %.1f s, %.1f/s\n", k.frames, t, float64(k.frames)/t)
	fmt.Fprintf(w, "identifiers\t%d\n", len(k.ids))
	fmt.Fprintf(w, "load\t%.1f to %.1f %% of %d kbit/s, by how many bits were stuffed\n", 100*k.least/t, 100*k.worst/t, c.Bitrate/1000)
	fmt.Fprintf(w, "lost\t%d before this program, %d in it\n", s.Lost, s.LostByUs)
	fmt.Fprintf(w, "error frames\t%d\n", k.errors)
	fmt.Fprintf(w, "state\t%s\n", s.State)
	_ = w.Flush()
	if c.IDs {
		k.table(out)
	}
}

// table has the busiest identifier first.
func (k *counted) table(out io.Writer) {
	keys := make([]key, 0, len(k.ids))
	for at := range k.ids {
		keys = append(keys, at)
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(k.ids[b].frames, k.ids[a].frames), cmp.Compare(a.id, b.id))
	})
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "id\tframes\tevery\tlength\tnewest")
	for _, at := range keys {
		s := k.ids[at]
		every, id := "-", fmt.Sprintf("%03X", at.id)
		if s.frames > 1 {
			every = (s.last.Sub(s.first) / time.Duration(s.frames-1)).Round(100 * time.Microsecond).String()
		}
		if at.extended {
			id = fmt.Sprintf("%08X", at.id)
		}
		blank(&s.f)
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%X\n", id, s.frames, every, s.f.Len, s.f.Payload())
	}
	_ = w.Flush()
}

// onBus is how long a frame takes, in seconds, without stuff bits and with the
// most that there can be (ISO 11898-1). FD frames are counted with their fixed
// stuff bits and none else.
func onBus(f *canbus.Frame, bitrate, dataBitrate int) (least, worst float64) {
	octets := int(f.Len)
	if f.Flags&canbus.Remote != 0 {
		octets = 0
	}
	wide := 0
	if f.Flags&canbus.Extended != 0 {
		wide = 1
	}
	if f.Flags&canbus.FD == 0 {
		nominal, stuffed := 47+20*wide+8*octets, 34+20*wide+8*octets
		least = float64(nominal) / float64(bitrate)
		return least, least + float64((stuffed-1)/4)/float64(bitrate)
	}
	nominal, data := 30+19*wide, 32+8*octets
	if octets > 16 { // the longer checksum, with one more fixed stuff bit
		data += 5
	}
	if f.Flags&canbus.BRS == 0 {
		dataBitrate = bitrate
	}
	least = float64(nominal)/float64(bitrate) + float64(data)/float64(dataBitrate)
	return least, least
}
