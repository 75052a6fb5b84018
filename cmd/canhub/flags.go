package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
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

// A frameKey tells messages apart: 123 and 00000123 are two.
type frameKey struct {
	id       uint32
	extended bool
}

func keyOf(f *canbus.Frame) frameKey { return frameKey{f.ID, f.Flags&canbus.Extended != 0} }

const usage = `Usage: canhub --device DEVICE [flags]

Shares one CAN bus among the programs of this machine (socketcand protocol).

Devices:
  slcan:/dev/serial/by-id/…?bitrate=500000   a serial adapter (LAWICEL, CANable);
       &data=2000000 CAN FD at that second bit rate   &listen=1 never sends
       &btr=001C another bit rate   &baud=921600 speed of a real serial line
       &stamps=1 times of the adapter   &mute=1 an adapter that answers nothing
  socketcan:can0                             an interface of the kernel, which the
       system has set up: ip link set can0 up type can bitrate 500000
  socketcand:127.0.0.1:29536/can0            another server of this machine, and
  socketcand:unix:/run/headunit/canhub/can0  one whose socket is named like the bus
  replay:FILE?speed=N&loop=1                 a recording in candump text

Clients are served once the device was opened for the first time. When it goes
they stay, get error frame 040, and 100 when it is back: it is opened anew after
0.1 s, then ever more seldom up to every 5 s. Unless something may be sent, an
adapter is opened listen-only: it does not even acknowledge.

`

func parseFlags(args []string, stdout io.Writer) (cfg config, err error) {
	fs := flag.NewFlagSet("canhub", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	name := fs.String("device", "", "`DEVICE` to share, one of those above")
	file := fs.String("replay", "", "`FILE` to play: short for --device replay:FILE")
	speed := fs.Float64("speed", 1, "pace of --replay, in multiples of its own; 0: as fast as the clients read")
	allow := fs.String("allow", "", "`IDS` that clients may send although --listen-only is set, such as 5A7,17330301")
	fs.StringVar(&cfg.iface, "interface", "", "`NAME` of the one interface of the recording to play (default: the one called like\nthe bus, or all if there is none)")
	fs.StringVar(&cfg.listen, "listen", "127.0.0.1:29536", "`ADDRESS` to serve: 127.0.0.1:PORT or unix:PATH")
	fs.StringVar(&cfg.name, "name", "can0", "`NAME` of the bus, 1 to 16 characters")
	fs.BoolVar(&cfg.listenOnly, "listen-only", true, "drop and count what clients send; --listen-only=false: all may be sent")
	fs.StringVar(&cfg.record, "record", "", "`FILE` to append to, in candump text, what is on the bus; the secret in VIN_01\n(6B4) is written as zeros")
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
	if cfg.device.live != nil {
		for _, name := range []string{"exit", "wait", "interface"} {
			if set[name] {
				return cfg, usagef("--%s goes with a recording, and there is none", name)
			}
		}
		if cfg.device.live.loops(cfg.listen) {
			return cfg, usagef("--device %q is what --listen serves: canhub cannot be its own device", *name)
		}
	}
	if n := len(cfg.name); n == 0 || n > 16 || strings.ContainsAny(cfg.name, "<>/ \t\r\n") {
		return cfg, usagef("--name %q: a bus has a name of 1 to 16 characters without blanks, such as can0", cfg.name)
	}
	if cfg.allow, err = parseAllow(*allow); err != nil {
		return cfg, err
	}
	return cfg, cfg.silence()
}

// silence lets a live device listen only, if nothing may be sent.
func (c *config) silence() error {
	quiet := c.listenOnly && len(c.allow) == 0
	switch l := c.device.live; {
	case l == nil:
	case l.listen && !quiet:
		return usagef("the device has listen=1 and can send nothing: drop that, or --allow and --listen-only=false")
	default:
		l.listen = quiet
	}
	return nil
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
		return device{}, usagef("no device: say what to share, with --device slcan:…, socketcan:…, socketcand:… or --replay FILE")
	case file == "":
		return device{}, usagef("--replay needs a file")
	}
	return device{file: file, speed: speed}, checkSpeed(speed)
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
