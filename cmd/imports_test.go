// Package cmd_test holds the drawing of who may import whom against the sources.
package cmd_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/headunit-agent/headunit/"

// A rule says what the packages in some folders may import beyond the standard
// library, and why no more. A folder is judged by the first rule that matches
// it; ** stands for a folder and everything below it. In may, a word without a
// dot in its first element is a folder here, the others are modules.
type rule struct{ folders, may, because string }

// The drawing:
//
//	cmd/headunitd        cmd/uplinkd            cmd/ecalld (+ its internal)
//	     │                    │                      │
//	   agent ──► agent/internal/*   agent/pipe       │         nothing imports cmd/*
//	     │             │                             │         leaves never import each other
//	enroll  privacy  agent/{wire,pipe,gnss,profile}  canbus ◄┘
var drawing = []rule{
	{"canbus", "", "a frame is a value: everything else stands on it"},
	{"canbus/dbc canbus/e2e canbus/isotp canbus/uds", "canbus", "decoding is arithmetic"},
	{"canbus/socketcan", "canbus golang.org/x/sys", "the kernel's sockets enter here"},
	{"canbus/slcan", "canbus github.com/rs/zerolog", "an adapter is a stream"},
	{"canbus/socketcand", "canbus github.com/rs/zerolog golang.org/x/sys", "a bus does not know what its frames mean"},
	{"privacy", "", "the gate needs nothing that could open it"},
	{"enroll/user", "", "who may do what is data"},
	{"agent/gnss", "", "ecalld uses it too"},
	{"agent/wire", "github.com/fxamacker/cbor/v2 github.com/veraison/go-cose", "what is said outside depends on nothing inside"},
	{"agent/pipe", "github.com/fxamacker/cbor/v2", "uplinkd speaks it and knows no meaning"},
	{"agent/profile", "canbus canbus/dbc github.com/goccy/go-yaml github.com/rs/zerolog", "a profile can be checked without a car"},
	{"agent/internal/vehicle", "canbus canbus/dbc canbus/e2e agent/profile github.com/rs/zerolog", "the way up ends in a State"},
	{"agent/internal/outbox", "privacy", "it takes only what the gate cleared"},
	{"agent/internal/store", "github.com/fxamacker/cbor/v2 go.etcd.io/bbolt golang.org/x/crypto", "flash knows octets, not meanings"},
	{"agent/internal/command", "canbus canbus/dbc canbus/e2e agent/wire agent/profile agent/internal/vehicle enroll/user privacy golang.org/x/time github.com/fxamacker/cbor/v2", "who opens the car talks to nobody outside"},
	{"agent/internal/hmi", "privacy github.com/rs/zerolog golang.org/x/sys", "the screen decides nothing"},
	{"agent/watch", "agent/profile agent/internal/vehicle canbus", "a tool sees what the agent would see, and can do nothing more"},
	{"agent", "agent/** canbus/** privacy enroll/** github.com/rs/zerolog github.com/cenkalti/backoff/v5 github.com/coreos/go-systemd/v22 golang.org/x/sync golang.org/x/sys golang.org/x/time github.com/fxamacker/cbor/v2", "the one place where headunitd is put together"},
	{"cmd/headunitd", "agent github.com/alecthomas/kong github.com/rs/zerolog", "main parses and runs"},
	{"cmd/headunitctl", "agent/profile agent/watch canbus canbus/dbc canbus/e2e canbus/socketcand github.com/alecthomas/kong", "it speaks the local API, and checks profiles offline"},
	{"cmd/uplinkd/**", "cmd/uplinkd/** agent/pipe github.com/eclipse/paho.mqtt.golang github.com/rs/zerolog github.com/coreos/go-systemd/v22 golang.org/x/sys golang.org/x/time", "who parses what strangers send reaches neither CAN nor the state"},
	{"cmd/ecalld/**", "cmd/ecalld/** canbus/** agent/gnss golang.org/x/sys go.bug.st/serial github.com/rs/zerolog", "a call needs nothing it can do without"},
	{"cmd/canhub", "canbus/** go.bug.st/serial golang.org/x/sys github.com/rs/zerolog", "it shares a bus and knows no car"},
	{"cmd/carsim cmd/internal/sim/car cmd/internal/sim/modem cmd/internal/sim/slcan", "canbus/** cmd/internal/sim/** github.com/rs/zerolog golang.org/x/sys", "the world around the agent shares no decision with it"},
	{"cmd/internal/sim/mqtt", "agent/wire github.com/mochi-mqtt/server/v2", "paho is uplinkd's alone"},
	{"cmd/internal/sim/backend cmd/internal/sim/phone", "agent/wire cmd/internal/sim/** github.com/rs/zerolog", "they know the contract and nothing else"},
	{"cmd/demo", "agent agent/wire enroll/user canbus/** cmd/internal/sim/** github.com/mochi-mqtt/server/v2 github.com/rs/zerolog", "it observes from outside"},
}

// onlyIn keeps libraries where they entered.
var onlyIn = map[string]string{
	"github.com/eclipse/paho.mqtt.golang": "cmd/uplinkd/internal/mqtt",
	"go.etcd.io/bbolt":                    "agent/internal/store",
	"go.bug.st/serial":                    "cmd/ecalld/internal/modem cmd/canhub",
	"github.com/veraison/go-cose":         "agent/wire",
	"github.com/goccy/go-yaml":            "agent/profile",
}

// sources are the imports of each folder with Go files that are no tests. It
// reads the files itself: a test that asks another program stays green from
// the cache.
func sources(t *testing.T) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && (name == "testdata" || strings.HasPrefix(name, ".") && name != ".."):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder := filepath.ToSlash(strings.TrimPrefix(filepath.Dir(file), ".."+string(filepath.Separator)))
		if _, seen := imports[folder]; !seen {
			imports[folder] = nil
		}
		for _, i := range f.Imports {
			p, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			imports[folder] = append(imports[folder], p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return imports
}

// within reports whether p is named by one of the patterns.
func within(p string, patterns []string, below bool) bool {
	return slices.ContainsFunc(patterns, func(q string) bool {
		root, deep := strings.CutSuffix(q, "/**")
		return p == root || (deep || below) && strings.HasPrefix(p, root+"/")
	})
}

func TestImports(t *testing.T) {
	used := make([]bool, len(drawing))
	for folder, imports := range sources(t) {
		n := slices.IndexFunc(drawing, func(r rule) bool { return within(folder, strings.Fields(r.folders), false) })
		if n < 0 {
			t.Errorf("%s is not in the drawing: give it a rule, and say why", folder)
			continue
		}
		used[n] = true
		r := drawing[n]
		may := strings.Fields(r.may)
		for _, p := range imports {
			inside, ours := strings.CutPrefix(p, module)
			switch {
			case !ours && !strings.Contains(strings.SplitN(p, "/", 2)[0], "."): // standard library
			case ours && within(inside, may, false):
			case !ours && within(p, may, true):
			default:
				t.Errorf("%s imports %s: it may import %q, because %s", folder, strings.TrimPrefix(p, module), r.may, r.because)
			}
			for lib, home := range onlyIn {
				if (p == lib || strings.HasPrefix(p, lib+"/")) && !slices.Contains(strings.Fields(home), folder) {
					t.Errorf("%s imports %s, which enters in %s and nowhere else", folder, p, home)
				}
			}
		}
	}
	for n, r := range drawing {
		if !used[n] {
			t.Errorf("the rule for %s matches no file", r.folders)
		}
		for m := range strings.FieldsSeq(r.may) {
			if path.Clean(m) != m {
				t.Errorf("the rule for %s names %s", r.folders, m)
			}
		}
	}
}
