// Headunitd is the agent in the car: it knows the vehicle, keeps the driver's
// choice, verifies what comes from outside, and carries it out. It has no way to
// the network; uplinkd has.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent"
)

type flags struct {
	Profile     string            `required:"" type:"existingfile" help:"Vehicle profile (YAML), with its DBC files beside it."`
	Bus         map[string]string `required:"" placeholder:"NAME=DEVICE" help:"Device of a bus of the profile: socketcan:IFACE, socketcand:unix:PATH or socketcand:127.0.0.1:PORT/NAME. May be repeated."`
	Param       map[string]int64  `placeholder:"NAME=NUMBER" help:"A parameter of this very car, as the profile asks for. May be repeated."`
	State       string            `default:"/var/lib/headunit" type:"path" help:"Folder of what outlives the process."`
	Uplink      string            `default:"/run/headunit/uplink.sock" type:"path" help:"Socket of uplinkd."`
	API         string            `name:"api" default:"/run/headunit/api.sock" type:"path" help:"Socket of the local API, made here."`
	ECallStatus string            `name:"ecall-status" default:"/run/headunit/ecall" type:"path" help:"Status file of ecalld."`
	ECallSocket string            `name:"ecall-request" default:"/run/headunit/ecalld.sock" type:"path" help:"Request socket of ecalld."`
	Broker      string            `default:"tcp://127.0.0.1:1883" help:"MQTT broker that uplinkd connects to."`
	Cell        string            `default:"c1" help:"Shard of the fleet: 1 to 16 of a-z and 0-9."`
	CanSend     bool              `help:"Frames may be sent to a car whose profile is proven: operate. Without it the car is only listened to."`
	Simulated   bool              `name:"can-simulated" help:"Frames may be sent to the reference car, which is simulated."`
	LogLevel    string            `default:"info" enum:"debug,info,warn,error" help:"debug, info, warn or error."`
}

// Exit codes: systemd does not start the program again after exitUsage.
const (
	exitFault = 1
	exitUsage = 2
)

func main() {
	var f flags
	parser := kong.Must(&f, kong.Name("headunitd"),
		kong.Description("The head-unit agent: vehicle state, privacy, remote commands and the local API."),
		kong.Exit(func(code int) {
			if code != 0 {
				code = exitUsage
			}
			os.Exit(code)
		}))
	if _, err := parser.Parse(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "headunitd: %v; --help lists the flags\n", err)
		os.Exit(exitUsage)
	}
	level, _ := zerolog.ParseLevel(f.LogLevel) // the parser knows them
	log := zerolog.New(os.Stderr).Level(level).With().Timestamp().Str("program", "headunitd").Logger()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	err := agent.Run(ctx, agent.Config{
		State: f.State, Profile: f.Profile, Buses: f.Bus, Parameters: f.Param, Uplink: f.Uplink, API: f.API,
		CallStatus: f.ECallStatus, CallRequest: f.ECallSocket, Broker: f.Broker, Cell: f.Cell,
		Send: f.CanSend, Simulated: f.Simulated,
	}, log)
	if err == nil {
		return
	}
	log.Error().Err(err).Msg("stopped")
	stop()
	if errors.Is(err, agent.ErrConfig) {
		os.Exit(exitUsage)
	}
	os.Exit(exitFault)
}
