package main

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

type dumpCmd struct {
	Device string        `arg:"" help:"socketcand:HOST:PORT/BUS or socketcand:unix:PATH."`
	ID     []filter      `help:"Only these: ID, ID:MASK or ID-ID, hexadecimal; up to 3 digits are 11 bits, 8 are 29." placeholder:"FILTER"`
	Not    []filter      `help:"All but these." placeholder:"FILTER"`
	Errors bool          `help:"Error frames too."`
	Count  int           `help:"End after so many frames."`
	For    time.Duration `help:"End after so long, such as 10s."`
	Secret bool          `help:"Do not blank octets 1 to 4 of the first part of VIN_01 (identifier 6B4): in cars of the VW group they are a secret of the car."`
}

// Run prints frames until it is interrupted.
func (c *dumpCmd) Run(out output) error {
	ctx, stop := whileWanted(c.For)
	defer stop()
	d, name, err := open(ctx, c.Device)
	if err != nil {
		return err
	}
	defer d.Close()
	return c.dump(ctx, d, name, out)
}

func (c *dumpCmd) dump(ctx context.Context, d canbus.Bus, name string, out io.Writer) error {
	var batch [64]canbus.Rx
	var buf []byte
	for left := c.Count; ; {
		n, err := d.Receive(ctx, batch[:])
		buf = buf[:0]
		for i := range batch[:n] {
			f := &batch[i].Frame
			if !c.wants(f) {
				continue
			}
			if !c.Secret {
				blank(f)
			}
			buf = append(canbus.Line{At: batch[i].At, HasTime: true, Interface: name, Frame: *f}.Append(buf), '\n')
			if left--; left == 0 {
				_, err := out.Write(buf)
				return err
			}
		}
		if len(buf) > 0 {
			if _, err := out.Write(buf); err != nil {
				return err
			}
		}
		if err != nil {
			return over(ctx, err)
		}
	}
}

func (c *dumpCmd) wants(f *canbus.Frame) bool {
	has := func(f2 filter) bool { return f2.has(f) }
	if f.Flags&canbus.Error != 0 {
		return c.Errors
	}
	return (len(c.ID) == 0 || slices.ContainsFunc(c.ID, has)) && !slices.ContainsFunc(c.Not, has)
}

// blank zeroes what must not be kept or shown of a car of the VW group: the
// secret of its component protection, in the part 0 of VIN_01.
func blank(f *canbus.Frame) {
	if f.ID == 0x6B4 && f.Flags&(canbus.Extended|canbus.Error|canbus.Remote) == 0 && f.Data[0]&3 == 0 {
		clear(f.Data[1:5])
	}
}
