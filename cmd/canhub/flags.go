package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/headunit-agent/headunit/canbus"
)

// A config is what the flags say.
type config struct {
	device     device
	iface      string // of the recording; "": see [recording.choose]
	listen     string
	name       string
	listenOnly bool
	allow      map[frameKey]bool
	record     string
	wait       bool // play when the first client listens
	exit       bool // end when the recording was played
}

// A device is what stands behind the bus: a recording.
type device struct {
	file  string
	speed float64 // of its own pace; 0: as fast as the clients read
	loop  bool
}

// A frameKey tells messages apart: 123 and 00000123 are two.
type frameKey struct {
	id       uint32
	extended bool
}

func keyOf(f *canbus.Frame) frameKey { return frameKey{f.ID, f.Flags&canbus.Extended != 0} }

const usage = `Usage: canhub --device DEVICE [flags]

Shares one CAN bus among the programs of this machine (socketcand protocol).
Now there is one kind of device: replay:FILE, a recording in candump text.

`

func parseFlags(args []string, stdout io.Writer) (cfg config, err error) {
	fs := flag.NewFlagSet("canhub", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	name := fs.String("device", "", "`DEVICE` to share: replay:FILE[?speed=N&loop=1]")
	file := fs.String("replay", "", "`FILE` to play: short for --device replay:FILE")
	speed := fs.Float64("speed", 1, "pace of --replay, in multiples of its own; 0: as fast as the clients read")
	allow := fs.String("allow", "", "`IDS` that clients may send although --listen-only is set, such as 5A7,17330301")
	fs.StringVar(&cfg.iface, "interface", "", "`NAME` of the one interface of the recording to play (default: the one called like\nthe bus, or all if there is none)")
	fs.StringVar(&cfg.listen, "listen", "127.0.0.1:29536", "`ADDRESS` to serve: 127.0.0.1:PORT or unix:PATH")
	fs.StringVar(&cfg.name, "name", "can0", "`NAME` of the bus, 1 to 16 characters")
	fs.BoolVar(&cfg.listenOnly, "listen-only", true, "drop and count what clients send; --listen-only=false: all may be sent")
	fs.StringVar(&cfg.record, "record", "", "`FILE` to append to, in candump text, what is on the bus")
	fs.BoolVar(&cfg.wait, "wait", true, "begin a recording when the first client listens")
	fs.BoolVar(&cfg.exit, "exit", false, "end once the recording was played and every client has read it")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(stdout, usage)
			fs.SetOutput(stdout)
			fs.PrintDefaults()
			return cfg, err
		}
		return cfg, usagef("%w; canhub --help lists the flags", err)
	}
	if fs.NArg() > 0 {
		return cfg, usagef("%q is no flag; canhub --help lists them", fs.Arg(0))
	}
	set := make(map[string]bool)
	fs.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if cfg.device, err = chooseDevice(*name, *file, *speed, set); err != nil {
		return cfg, err
	}
	if cfg.device.loop && cfg.exit {
		return cfg, usagef("a recording that loops has no end to exit at: drop loop=1 or --exit")
	}
	if n := len(cfg.name); n == 0 || n > 16 || strings.ContainsAny(cfg.name, "<>/ \t\r\n") {
		return cfg, usagef("--name %q: a bus has a name of 1 to 16 characters without blanks, such as can0", cfg.name)
	}
	cfg.allow, err = parseAllow(*allow)
	return cfg, err
}

func chooseDevice(name, file string, speed float64, set map[string]bool) (device, error) {
	switch {
	case set["device"] && set["replay"]:
		return device{}, usagef("--device and --replay are two devices: give one")
	case set["device"] && set["speed"]:
		return device{}, usagef("--speed goes with --replay; with --device write replay:FILE?speed=%g", speed)
	case set["device"]:
		return parseDevice(name)
	case !set["replay"]:
		return device{}, usagef("no device: say what to share, with --device replay:FILE or --replay FILE")
	case file == "":
		return device{}, usagef("--replay needs a file")
	}
	return device{file: file, speed: speed}, checkSpeed(speed)
}

// parseDevice reads "replay:FILE?speed=N&loop=1". A file whose name holds a
// question mark is given with --replay.
func parseDevice(name string) (device, error) {
	kind, rest, ok := strings.Cut(name, ":")
	switch {
	case ok && kind == "replay":
	case ok && (kind == "slcan" || kind == "socketcan" || kind == "socketcand" || kind == "mem"):
		return device{}, usagef("--device %q: canhub cannot share %s devices, only recordings: replay:FILE", name, kind)
	default:
		return device{}, usagef("--device %q: there is no such device, only replay:FILE", name)
	}
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

func checkSpeed(speed float64) error {
	if speed >= 0 && speed <= 1e6 && (speed == 0 || speed >= 1e-6) && !math.IsNaN(speed) {
		return nil
	}
	return usagef("speed %g: 1 is the recording's own pace, 0 as fast as the clients read, at most 1000000", speed)
}

// parseAllow reads identifiers in hexadecimal: 3 digits are 11 bits, 8 digits 29.
func parseAllow(list string) (map[frameKey]bool, error) {
	allow := make(map[frameKey]bool)
	if list == "" {
		return allow, nil
	}
	for word := range strings.SplitSeq(list, ",") {
		id, err := strconv.ParseUint(word, 16, 32)
		k := frameKey{uint32(id), len(word) == 8}
		switch {
		case err != nil, len(word) != 3 && len(word) != 8, !k.extended && id > canbus.MaxStandardID, id > canbus.MaxExtendedID:
			return nil, usagef("--allow %q: an identifier has 3 hexadecimal digits up to 7FF, or 8 up to 1FFFFFFF", word)
		}
		allow[k] = true
	}
	return allow, nil
}
