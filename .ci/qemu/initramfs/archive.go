package main

import (
	"fmt"
	"io"
	"os"
	"path"
)

// The file types of an entry's mode.
const (
	typeDir    = 0o040000
	typeDevice = 0o020000
	typeFile   = 0o100000
)

// An archive writes cpio's "newc" form, the one that a kernel unpacks: a header
// of 13 numbers in hexadecimal, the name, the content, each padded to 4 octets.
// The first error stays in err; what follows it writes nothing.
type archive struct {
	w       io.Writer
	n       int64 // octets written
	inode   int
	folders map[string]bool
	err     error
}

func newArchive(w io.Writer) *archive { return &archive{w: w, folders: map[string]bool{".": true}} }

func (a *archive) write(b []byte) {
	if a.err == nil {
		var n int
		n, a.err = a.w.Write(b)
		a.n += int64(n)
	}
}

func (a *archive) pad(to int64) {
	if rest := a.n % to; rest != 0 {
		a.write(make([]byte, to-rest))
	}
}

// entry writes one entry, and the folders above it that were not yet there: the
// kernel makes none by itself, and leaves the entry out in silence.
func (a *archive) entry(name string, mode, major, minor int, content []byte) {
	if up := path.Dir(name); !a.folders[up] {
		a.folder(up)
	}
	a.inode++
	// ino mode uid gid nlink mtime size devmajor devminor rdevmajor rdevminor namesize check
	fields := [13]int{a.inode, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name) + 1, 0}
	a.write([]byte("070701"))
	for _, f := range fields {
		a.write(fmt.Appendf(nil, "%08X", f))
	}
	a.write(append([]byte(name), 0))
	a.pad(4)
	a.write(content)
	a.pad(4)
}

func (a *archive) folder(name string) {
	if !a.folders[name] {
		a.folders[name] = true
		a.entry(name, typeDir|0o755, 0, 0, nil)
	}
}

func (a *archive) device(name string, major, minor int) {
	a.entry(name, typeDevice|0o600, major, minor, nil)
}

func (a *archive) file(name string, perm int, content []byte) {
	a.entry(name, typeFile|perm, 0, 0, content)
}

// copy adds a file, with the permissions of its source.
func (a *archive) copy(name, src string) error {
	content, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	info, err := os.Stat(src)
	if err != nil {
		return err
	}
	a.file(name, int(info.Mode().Perm()), content)
	return a.err
}

// end writes the entry that closes an archive. Block devices wanted 512 octets.
func (a *archive) end() {
	a.entry("TRAILER!!!", 0, 0, 0, nil)
	a.pad(512)
}
