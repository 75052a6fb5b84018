package car

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"time"
)

// A fix is what the car's GNSS receiver knows.
type fix struct {
	position
	at    time.Time
	speed float64 // m/s
}

const (
	gnssDevice = "/dev/carsim"
	fixEvery   = time.Second
)

// ServeGNSS speaks gpsd's JSON protocol with every connection of l until ctx
// ends: VERSION at once, DEVICES and WATCH after ?WATCH, and from then on one TPV
// a second. Without a fix a TPV has mode 1 and no position.
func (c *Car) ServeGNSS(ctx context.Context, l net.Listener) error {
	return accept(ctx, l, c.gpsd)
}

const (
	gpsdVersion = `{"class":"VERSION","release":"3.25","rev":"carsim","proto_major":3,"proto_minor":15}`
	gpsdDevices = `{"class":"DEVICES","devices":[{"class":"DEVICE","path":"` + gnssDevice + `","driver":"carsim","activated":"1970-01-01T00:00:00.000Z"}]}`
	gpsdWatch   = `{"class":"WATCH","enable":true,"json":true,"nmea":false,"raw":0,"scaled":false,"timing":false,"split24":false,"pps":false}`
	gpsdWatched = `{"class":"WATCH","enable":false,"json":false,"nmea":false,"raw":0,"scaled":false,"timing":false,"split24":false,"pps":false}`
)

func (c *Car) gpsd(ctx context.Context, conn net.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	var reports sync.WaitGroup
	defer reports.Wait()
	defer cancel()
	var mu sync.Mutex // guards writing to conn
	say := func(lines ...string) bool {
		mu.Lock()
		defer mu.Unlock()
		return write(conn, strings.Join(lines, "\r\n")+"\r\n")
	}
	stop := func() {}
	say(gpsdVersion)
	requests := bufio.NewScanner(conn)
	requests.Buffer(make([]byte, 0, 256), MaxLine)
	requests.Split(splitRequests)
	for requests.Scan() {
		name, arg, _ := strings.Cut(strings.TrimSpace(requests.Text()), "=")
		switch name {
		case "":
		case "?VERSION":
			say(gpsdVersion)
		case "?DEVICES":
			say(gpsdDevices)
		case "?WATCH":
			stop()
			enabled, ok := watchEnabled(arg)
			switch {
			case !ok:
				say(`{"class":"ERROR","message":"WATCH with arguments that are not understood"}`)
			case !enabled:
				say(gpsdWatched)
			case say(gpsdDevices, gpsdWatch):
				var watching context.Context
				watching, stop = context.WithCancel(ctx)
				reports.Go(func() { c.report(watching, say) })
			}
		default:
			say(`{"class":"ERROR","message":"Unrecognized request"}`)
		}
	}
	stop()
}

// splitRequests cuts at line ends and at semicolons, with which gpsd's clients
// end requests that have arguments.
func splitRequests(data []byte, atEOF bool) (advance int, token []byte, err error) {
	for i, b := range data {
		if b == '\n' || b == ';' {
			return i + 1, data[:i], nil
		}
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// watchEnabled reads the argument of ?WATCH; without one, or without a word on
// it, watching is meant.
func watchEnabled(arg string) (enabled, ok bool) {
	want := struct {
		Enable *bool `json:"enable"`
	}{}
	if arg == "" {
		return true, true
	}
	if json.Unmarshal([]byte(arg), &want) != nil {
		return false, false
	}
	return want.Enable == nil || *want.Enable, true
}

// report says once a second where the car is.
func (c *Car) report(ctx context.Context, say func(...string) bool) {
	tick := time.NewTicker(fixEvery)
	defer tick.Stop()
	for {
		var f fix
		if c.turn(ctx, func(w *world) { f = fix{w.position, w.now, w.speed / 3.6} }) != nil {
			return
		}
		if !say(f.tpv()) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// tpv is f as gpsd writes it.
func (f fix) tpv() string {
	report := map[string]any{"class": "TPV", "device": gnssDevice, "mode": 1, "time": f.at.UTC().Format("2006-01-02T15:04:05.000Z")}
	if f.valid {
		report["mode"] = 3
		report["lat"], report["lon"], report["altHAE"] = f.lat, f.lon, 50.0
		report["track"], report["speed"] = f.track, f.speed
		report["epx"], report["epy"], report["epv"], report["eps"] = 3.0, 3.0, 6.0, 0.5
	}
	b, err := json.Marshal(report)
	if err != nil {
		return `{"class":"ERROR","message":"no report"}` // not reached: all of it is numbers and words
	}
	return string(b)
}
