package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

func kernel() *modules {
	needs := map[string][]string{"a/9p.ko": {"9pnet", "netfs"}, "a/9pnet_virtio.ko": {"9pnet", "virtio"}, "a/bad.ko": {"gone"}}
	return &modules{
		dir:     "a",
		builtin: map[string]bool{"virtio": true},
		paths: map[string]string{
			"9p": "a/9p.ko", "9pnet": "a/9pnet.ko", "9pnet_virtio": "a/9pnet_virtio.ko", "netfs": "a/netfs.ko", "bad": "a/bad.ko",
		},
		depends: func(path string) ([]string, error) { return needs[path], nil },
	}
}

func TestWhatAModuleNeedsComesFirstAndOnce(t *testing.T) {
	got, err := kernel().order([]string{"9pnet-virtio", "9p", "virtio", "9p"})
	want := []string{"a/9pnet.ko", "a/9pnet_virtio.ko", "a/netfs.ko", "a/9p.ko"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("order %v, %v; want %v", got, err, want)
	}
}

func TestAMissingModuleIsNamed(t *testing.T) {
	for _, wanted := range []string{"gone", "bad"} {
		_, err := kernel().order([]string{wanted})
		missing, ok := errors.AsType[*MissingError](err)
		if !ok || missing.Module != "gone" {
			t.Errorf("%s: %v", wanted, err)
		}
	}
}

// The guest that boots is the proof of the whole; here only what a kernel would
// pass over in silence: a file without its folder, and a shifted header.
func TestArchiveHasFoldersAndIsAligned(t *testing.T) {
	var b bytes.Buffer
	a := newArchive(&b)
	a.file("usr/bin/tool", 0o755, []byte("five!"))
	a.file("usr/bin/other", 0o644, nil)
	a.end()
	if a.err != nil || b.Len()%512 != 0 {
		t.Fatalf("%d octets, %v", b.Len(), a.err)
	}
	var names []string
	for at := 0; ; {
		i := strings.Index(b.String()[at:], "070701")
		if i < 0 {
			break
		}
		at += i
		if at%4 != 0 {
			t.Errorf("a header at octet %d", at)
		}
		name, _, _ := strings.Cut(b.String()[at+110:], "\x00")
		names = append(names, name)
		at += 110
	}
	want := []string{"usr", "usr/bin", "usr/bin/tool", "usr/bin/other", "TRAILER!!!"}
	if !slices.Equal(names, want) {
		t.Errorf("entries %q, want %q", names, want)
	}
}
