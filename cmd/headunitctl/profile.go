package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/headunit-agent/headunit/agent/profile"
)

type profileGroup struct {
	Check   checkCmd   `cmd:"" help:"Say every mistake in a profile: file:line:column, what is wrong, what would be right."`
	Explain explainCmd `cmd:"" help:"Show the way of one value from its bits."`
	Ecall   ecallCmd   `cmd:"" help:"Write the emergency call's configuration."`
}

// load reads a profile. Mistakes are written to w, and the error is errSaid.
func load(w output, file string, quiet bool) (*profile.Profile, error) {
	p, warnings, err := profile.Load(file)
	if !quiet {
		for _, x := range warnings {
			fmt.Fprintf(w, "%v (warning)\n", x)
		}
	}
	mistakes, ok := errors.AsType[profile.Mistakes](err)
	switch {
	case ok:
		for _, m := range mistakes {
			fmt.Fprintln(w, m)
		}
		return nil, errSaid
	case err != nil:
		return nil, errUse{err.Error()}
	}
	return p, nil
}

type checkCmd struct {
	File  string `arg:"" help:"Profile (YAML); its DBC files lie beside it."`
	Quiet bool   `help:"Leave warnings out."`
}

// Run checks, and says in one line what was found.
func (c *checkCmd) Run(w output) error {
	p, err := load(w, c.File, c.Quiet)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s: %s, proven: %s; %d buses, %d values, %d operations, %d identifiers may be sent\n",
		c.File, p.ID, p.Proven, len(p.Buses), len(p.Paths()), len(p.Operations), len(p.Allowed()))
	return nil
}

type explainCmd struct {
	File string   `arg:"" help:"Profile (YAML)."`
	Path []string `arg:"" optional:"" help:"VSS names, in full; none: all that the profile fills."`
}

// Run writes one block for each path.
func (c *explainCmd) Run(w output) error {
	p, err := load(w, c.File, true)
	if err != nil {
		return err
	}
	var blocks []string
	if len(c.Path) == 0 {
		for _, path := range p.Paths() {
			blocks = append(blocks, p.Explain(path))
		}
	}
	for _, name := range c.Path {
		path, err := profile.Named(name)
		if err != nil {
			return errUse{err.Error()}
		}
		text := p.Explain(path)
		if text == "" {
			text = fmt.Sprintf("%s: the profile does not fill it\n", name)
		}
		blocks = append(blocks, text)
	}
	_, err = fmt.Fprint(w, strings.Join(blocks, "\n"))
	return err
}
