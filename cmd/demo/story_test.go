package main

import (
	"bytes"
	"io"
	"testing"
)

// TestStory: the demo without hands, every step observed.
func TestStory(t *testing.T) {
	t.Parallel()
	b := newTestBench(t)
	var out bytes.Buffer
	code := command([]string{"--story", "--bin", b.bin, "--keep", b.dir}, io.MultiWriter(&out, t.Output()), t.Output())
	if code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for _, s := range steps {
		if !bytes.Contains(out.Bytes(), []byte(" "+s.name+" ")) {
			t.Errorf("nothing is told of %q", s.name)
		}
	}
}
