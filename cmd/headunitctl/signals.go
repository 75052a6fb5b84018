package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/headunit-agent/headunit/agent/profile"
	"github.com/headunit-agent/headunit/agent/watch"
)

type signalsCmd struct {
	Profile string            `required:"" help:"Profile (YAML); its DBC files lie beside it." placeholder:"FILE"`
	Bus     map[string]string `required:"" help:"Device of a bus of the profile, such as drive=socketcand:unix:/run/can0; once for each." placeholder:"NAME=DEVICE"`
	Once    bool              `help:"Listen for --for, print once and end."`
	For     time.Duration     `help:"How long --once listens; it ends sooner when every value is good." default:"3s"`
	Every   time.Duration     `help:"How often the screen is drawn." default:"500ms"`
	Good    bool              `help:"Leave out what has no value."`
	JSON    bool              `help:"One JSON object for each time."`
	Path    []string          `arg:"" optional:"" help:"Only names that begin so; Vehicle. may be left out."`
}

// Run shows values until it is interrupted, or once.
func (c *signalsCmd) Run(out output, err complaints) error {
	p, fail := load(output{err}, c.Profile, true)
	if fail != nil {
		return fail
	}
	most := time.Duration(0)
	if c.Once {
		most = c.For
	}
	ctx, stop := whileWanted(most)
	defer stop()
	// The buses are followed until the last picture is drawn.
	follow, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	car, ended := watch.New(p, time.Now), make(chan error, len(c.Bus))
	for name, device := range c.Bus {
		if _, ok := p.Bus(name); !ok {
			return errUse{fmt.Sprintf("--bus %s: the profile has no such bus; it has %s", name, busNames(p))}
		}
		d, _, err := open(ctx, device)
		if err != nil {
			return err
		}
		defer d.Close()
		go func() { ended <- car.Follow(follow, name, d) }()
	}
	return c.show(ctx, car, p, ended, out)
}

func busNames(p *profile.Profile) string {
	names := make([]string, len(p.Buses))
	for i, b := range p.Buses {
		names[i] = b.Name
	}
	return strings.Join(names, ", ")
}

func (c *signalsCmd) show(ctx context.Context, car *watch.Car, p *profile.Profile, ended <-chan error, out output) error {
	tick := time.NewTicker(max(c.Every, 50*time.Millisecond))
	defer tick.Stop()
	home := ""
	if terminal(out.Writer) && !c.Once && !c.JSON {
		home = "\x1b[H\x1b[J"
	}
	for {
		select {
		case err := <-ended:
			return errors.Join(c.write(car, p, out, ""), over(ctx, err))
		case <-ctx.Done():
			return c.write(car, p, out, home)
		case <-tick.C:
		}
		switch all := c.wanted(car); {
		case !c.Once:
			if err := c.write(car, p, out, home); err != nil {
				return err
			}
		case len(all) > 0 && !slices.ContainsFunc(all, func(r watch.Reading) bool { return r.Quality != "good" }):
			return c.write(car, p, out, "")
		}
	}
}

// terminal reports whether w is a screen that can be drawn on.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (c *signalsCmd) wanted(car *watch.Car) []watch.Reading {
	return slices.DeleteFunc(car.Readings(), func(r watch.Reading) bool {
		return len(c.Path) > 0 && !slices.ContainsFunc(c.Path, func(name string) bool {
			return strings.HasPrefix(r.Path.String(), name) || strings.HasPrefix(r.Path.String(), "Vehicle."+name)
		})
	})
}

func (c *signalsCmd) write(car *watch.Car, p *profile.Profile, out io.Writer, home string) error {
	readings := c.wanted(car)
	if c.Good {
		readings = slices.DeleteFunc(readings, func(r watch.Reading) bool { return r.Quality != "good" })
	}
	buf := bytes.NewBufferString(home)
	if c.JSON {
		writeJSON(buf, readings)
	} else {
		c.text(buf, car, p, readings)
	}
	_, err := out.Write(buf.Bytes())
	return err
}

func (c *signalsCmd) text(buf *bytes.Buffer, car *watch.Car, p *profile.Profile, readings []watch.Reading) {
	w := tabwriter.NewWriter(buf, 0, 8, 2, ' ', 0)
	for _, r := range readings {
		value := "-"
		if r.Value.Kind() != profile.NoValue {
			value = strings.TrimSpace(readable(r.Value) + " " + r.Path.Leaf().Unit)
		}
		note := r.Quality
		if r.Age >= 0 {
			note += fmt.Sprintf(", %.1f s", r.Age.Seconds())
		}
		fmt.Fprintf(w, "%s\t%s\t(%s)\n", r.Path, value, note)
	}
	for _, b := range p.Buses {
		if _, ok := c.Bus[b.Name]; ok {
			state, stats := car.Health(b.Name)
			fmt.Fprintf(w, "bus %s\t%s\t%d frames, %d lost\n", b.Name, state, stats.Received, stats.Lost+stats.LostByUs)
		}
	}
	for _, x := range car.Protections() {
		if x.Failed() {
			fmt.Fprintf(w, "protection of %s/%s\t%d good\t%d wrong, %d repeated, %d jumped, %d begun anew; %d of them taken\n", x.Bus, x.Message,
				x.OK, x.Wrong, x.Repeated, x.Jumped, x.First, x.Taken)
		}
	}
	_ = w.Flush()
}

// readable is a value without the digits that only float64 knows.
func readable(v profile.Value) string {
	if v.Kind() == profile.FloatKind {
		return strconv.FormatFloat(v.Float(), 'g', 10, 64)
	}
	return plain(v.String())
}

// shownValue is one value in JSON; the VIN hides itself.
type shownValue struct {
	Value   profile.Value `json:"value"`
	Unit    string        `json:"unit,omitempty"`
	Quality string        `json:"quality"`
	Age     *float64      `json:"age,omitempty"` // seconds; absent: never
}

func writeJSON(buf *bytes.Buffer, readings []watch.Reading) {
	all := make(map[string]shownValue, len(readings))
	for _, r := range readings {
		v := shownValue{Value: r.Value, Unit: r.Path.Leaf().Unit, Quality: r.Quality}
		if r.Age >= 0 {
			s := r.Age.Seconds()
			v.Age = &s
		}
		all[r.Path.String()] = v
	}
	_ = json.NewEncoder(buf).Encode(all) // every Value has JSON, and a Buffer takes it
}
