package main

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"headunitctl": main, "simulated": simulated, "shelf": shelf, "there": there})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "../../testdata/script/headunitctl", Deadline: time.Now().Add(time.Minute),
		Setup: func(e *testscript.Env) error {
			wd, err := os.Getwd()
			e.Setenv("REFCAR", wd+"/../../testdata/refcar")
			e.Setenv("PROFILES", wd+"/../../testdata/profiles")
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"vouched": vouched},
	})
}

// vouched FILE checks the last line of a configuration with its own arithmetic.
func vouched(ts *testscript.TestScript, neg bool, args []string) {
	text := []byte(ts.ReadFile(args[0]))
	i := bytes.LastIndex(text, []byte("\ncrc32:")) + 1
	if want := fmt.Sprintf("crc32:%08X\n", crc32.ChecksumIEEE(text[:i])); (string(text[i:]) == want) == neg {
		ts.Fatalf("last line is %q, the checksum %q", text[i:], want)
	}
}
