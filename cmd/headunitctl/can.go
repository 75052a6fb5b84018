package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/socketcand"
)

type canGroup struct {
	Decode  decodeCmd  `cmd:"" help:"Turn candump text into messages and signals."`
	Dump    dumpCmd    `cmd:"" help:"Print the frames of a bus as candump text."`
	Stats   statsCmd   `cmd:"" help:"Count the frames of a bus: rate, load, identifiers, losses."`
	Signals signalsCmd `cmd:"" help:"Show what the car says, in VSS names, live."`
	Send    sendCmd    `cmd:"" help:"Send one message that a profile allows."`
}

// device is an open bus, and what its server says stands behind it.
type device interface {
	canbus.Bus
	Origin() canbus.Origin
	FD() bool // the server confirms what went out, and tells losses
}

// open opens a device by name. short is its name in candump text.
func open(ctx context.Context, name string) (d device, short string, err error) {
	kind, addr, ok := strings.Cut(name, ":")
	if !ok || kind != "socketcand" {
		return nil, "", errUse{fmt.Sprintf("device %q: write socketcand:HOST:PORT/BUS or socketcand:unix:PATH; other devices are shared by canhub", name)}
	}
	c, err := socketcand.Dial(ctx, addr)
	if errors.Is(err, socketcand.ErrAddress) {
		return nil, "", errUse{fmt.Sprintf("device %q: %v", name, err)}
	}
	if err != nil {
		return nil, "", fmt.Errorf("device %s: %w", name, err)
	}
	return c, interfaceName(addr), nil
}

// interfaceName is the last element of an address, as far as candump takes it.
func interfaceName(addr string) string {
	last := addr[strings.LastIndexAny(addr, "/:")+1:]
	last = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == '#' || r == '(' {
			return -1
		}
		return r
	}, last)
	return last[:min(len(last), 16)]
}

// whileWanted ends with an interrupt, and after a time if that is not 0.
func whileWanted(most time.Duration) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	if most <= 0 {
		return ctx, stop
	}
	ctx, cancel := context.WithTimeout(ctx, most)
	return ctx, func() { cancel(); stop() }
}

// over is nil where a bus ended because nobody wants more of it.
func over(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// A filter is some identifiers of one format.
type filter struct {
	id, mask uint32 // the identifier under the mask
	to       uint32 // not 0: from id to this, and mask means nothing
	extended bool
}

// UnmarshalText reads ID, ID:MASK or ID-ID: up to three hexadecimal digits are
// 11 bits, eight are 29.
func (f *filter) UnmarshalText(b []byte) error {
	first, second, masked := strings.Cut(string(b), ":")
	ranged := false
	if !masked {
		first, second, ranged = strings.Cut(string(b), "-")
	}
	id, extended, err := identifier(first)
	if err != nil {
		return err
	}
	*f = filter{id: id, mask: canbus.MaxExtendedID, extended: extended}
	if !masked && !ranged {
		return nil
	}
	v, other, err := identifier(second)
	switch {
	case err != nil:
		return err
	case other != extended:
		return fmt.Errorf("%q has an identifier of 11 bits and one of 29: write both with 3 or both with 8 digits", b)
	case ranged && v < id:
		return fmt.Errorf("%q runs backwards", b)
	case ranged && v == id: // one identifier
	case ranged:
		f.to = v
	default:
		f.mask = v
	}
	return nil
}

func identifier(s string) (id uint32, extended bool, err error) {
	v, err := strconv.ParseUint(s, 16, 32)
	switch {
	case err != nil || len(s) > 3 && len(s) != 8:
		return 0, false, fmt.Errorf("%q is no identifier: up to 3 hexadecimal digits are 11 bits, 8 are 29", s)
	case len(s) == 8 && v > canbus.MaxExtendedID:
		return 0, false, fmt.Errorf("%s does not fit 29 bits", s)
	case len(s) < 8 && v > canbus.MaxStandardID:
		return 0, false, fmt.Errorf("%s does not fit 11 bits: with 8 digits it has 29", s)
	}
	return uint32(v), len(s) == 8, nil
}

func (f filter) has(r *canbus.Frame) bool {
	if r.Flags&canbus.Error != 0 || f.extended != (r.Flags&canbus.Extended != 0) {
		return false
	}
	if f.to != 0 {
		return f.id <= r.ID && r.ID <= f.to
	}
	return (r.ID^f.id)&f.mask == 0
}
