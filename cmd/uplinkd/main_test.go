package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var all = flag.Bool("all", false, "fail where a tool is missing, instead of skipping")

const scripts = "../../testdata/script/uplinkd"

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"uplinkd": main})
}

// Each script runs against each kind of broker.
func runScripts(t *testing.T, kind string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(scripts, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s: %v", scripts, err)
	}
	testscript.Run(t, testscript.Params{
		Dir:   scripts,
		Setup: func(env *testscript.Env) error { return setUp(env, kind) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"broker":    onWorld((*world).broker),
			"hostile":   onWorld((*world).hostile),
			"backend":   onWorld((*world).backend),
			"pipe":      onWorld((*world).pipe),
			"send":      onWorld((*world).send),
			"expect":    onWorld((*world).expect),
			"memory":    onWorld((*world).memory),
			"terminate": onWorld((*world).terminate),
		},
	})
}

func TestScripts(t *testing.T) { runScripts(t, "mochi") }

func TestMosquitto(t *testing.T) {
	if mosquitto() == "" {
		const why = "mosquitto is not installed (Debian package mosquitto)"
		if *all {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	runScripts(t, "mosquitto")
}

func TestExitCodes(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"--help", 0, "-socket path"},
		{"--nonsense", 2, "nonsense"},
		{"--log-level=loud", 2, "loud"},
		{"--keepalive=1h", 2, "take 1s to 120s"},
		{"--keepalive=soon", 2, "soon"},
		{"--backoff-min=2s --backoff-max=1s", 2, "larger or equal"},
		{"--backoff-min=0s", 2, "positive"},
		{"--socket=", 2, "name the socket"},
		{"extra", 2, "flags only"},
		{"--socket=" + plain, 1, "is no socket"},
		{"--socket=/nonexistent/socket", 1, "uplinkd ends"},
	} {
		var out bytes.Buffer
		if code := program(strings.Fields(c.args), &out); code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: exit %d, %s", c.args, code, out.String())
		}
	}
}
