package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/slcan"
	"github.com/headunit-agent/headunit/canbus/socketcan"
	"github.com/headunit-agent/headunit/canbus/socketcand"
)

// A device is what stands behind the bus: a recording, or something live.
type device struct {
	file  string  // of the recording
	speed float64 // of its own pace; 0: as fast as the clients read
	loop  bool
	live  *live // nil: a recording
}

// A live device is opened, goes, and is opened anew.
type live struct {
	name    string // as it was given
	listen  bool   // open it so that it cannot send
	ordered bool   // it confirms frames in the order in which it took them
	warning string // to be told before it is used
	open    func(ctx context.Context, listen bool) (opened, error)
	address string // of a server; "" for other devices
}

// An opened device is a bus, and what stands behind it.
type opened struct {
	canbus.Bus
	origin canbus.Origin
}

// parseDevice reads the name of a device. A recording whose name holds a
// question mark is given with --replay.
func parseDevice(name string) (device, error) {
	kind, rest, ok := strings.Cut(name, ":")
	var l *live
	var err error
	switch {
	case ok && kind == "replay":
		return parseReplay(name, rest)
	case ok && kind == "slcan":
		l, err = parseSlcan(name)
	case ok && kind == "socketcan":
		l, err = parseSocketcan(rest)
	case ok && kind == "socketcand":
		l, err = parseSocketcand(rest)
	case ok && kind == "mem":
		return device{}, usagef("--device %q: that bus lives inside one program and cannot be shared", name)
	default:
		return device{}, usagef("--device %q: there is no such device, only slcan:PATH?bitrate=N, socketcan:NAME, "+
			"socketcand:ADDRESS/NAME and replay:FILE", name)
	}
	if err != nil {
		return device{}, usagef("--device: %w", err)
	}
	l.name = name
	return device{live: l}, nil
}

// parseReplay reads "FILE?speed=N&loop=1".
func parseReplay(name, rest string) (device, error) {
	file, query, _ := strings.Cut(rest, "?")
	if file == "" {
		return device{}, usagef("--device %q names no file", name)
	}
	d := device{file: file, speed: 1}
	values, err := url.ParseQuery(query)
	if err != nil {
		return device{}, usagef("--device %q: %w", name, err)
	}
	for key, all := range values {
		value := all[0]
		switch {
		case len(all) > 1:
			return device{}, usagef("--device %q: %s is given twice", name, key)
		case key == "speed":
			if d.speed, err = strconv.ParseFloat(value, 64); err != nil {
				return device{}, usagef("--device %q: speed=%s is no number", name, value)
			}
		case key == "loop" && (value == "0" || value == "1"):
			d.loop = value == "1"
		default:
			return device{}, usagef("--device %q: %s=%s means nothing; replay knows speed=N and loop=0|1", name, key, value)
		}
	}
	return d, checkSpeed(d.speed)
}

// usualLoad is the share of the time in which the bus of a car is busy.
const usualLoad = 0.5

func parseSlcan(name string) (*live, error) {
	o, err := slcan.ParseOptions(name)
	if err != nil {
		return nil, err
	}
	o.Present = func() bool {
		_, err := os.Stat(o.Path)
		return !errors.Is(err, fs.ErrNotExist)
	}
	baud := o.Baud
	if baud == 0 {
		baud = slcan.DefaultBaud
	}
	open := func(ctx context.Context, listen bool) (opened, error) {
		line, origin, err := openLine(o.Path, baud)
		if err != nil {
			return opened{}, err
		}
		o := o
		o.Listen = listen
		b, err := slcan.Open(ctx, line, o)
		if err != nil {
			return opened{}, fmt.Errorf("%s: %w", o.Path, err)
		}
		return opened{b, origin}, nil
	}
	return &live{listen: o.Listen, ordered: true, warning: o.Warning(usualLoad), open: open}, nil
}

// maxInterface is how many characters the name of a kernel interface has, at most.
const maxInterface = 15

func parseSocketcan(iface string) (*live, error) {
	if iface == "" || len(iface) > maxInterface || strings.ContainsAny(iface, "/?& \t") {
		return nil, fmt.Errorf("%q is no interface of the kernel: write socketcan:can0; its bit rate is set by the system", iface)
	}
	open := func(ctx context.Context, listen bool) (opened, error) {
		b, err := socketcan.Open(ctx, iface, socketcan.Options{All: true, FD: true, ListenOnly: listen})
		if err != nil {
			return opened{}, err
		}
		return opened{b, b.Origin()}, nil
	}
	return &live{open: open}, nil
}

func parseSocketcand(addr string) (*live, error) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := socketcand.Dial(ended, addr); errors.Is(err, socketcand.ErrAddress) {
		return nil, err // the address alone was looked at
	}
	open := func(ctx context.Context, _ bool) (opened, error) {
		c, err := socketcand.Dial(ctx, addr)
		if err != nil {
			return opened{}, err
		}
		return opened{c, known(c.Origin())}, nil
	}
	return &live{open: open, address: addr}, nil
}

// known is an origin that is handed on; unknown is what has no name.
func known(o canbus.Origin) canbus.Origin {
	switch o {
	case canbus.Kernel, canbus.Adapter, canbus.Recording, canbus.Simulation:
		return o
	}
	return ""
}

// loops reports whether the device is the server at that address itself.
func (l *live) loops(listen string) bool {
	server, _, _ := strings.Cut(l.address, "/")
	return l.address == listen || !strings.HasPrefix(listen, "unix:") && server == listen
}
