// Command initramfs writes the root file system of a test guest: /init, the
// kernel modules asked for with all they depend on, and any further files.
//
//	initramfs -o FILE -modules DIR -load "vcan 9p" DST=SRC...
//
// A file is executable when its source is. It exits with 69 when the kernel has
// no module of a wanted name, so that a newer kernel is told apart from a guest
// that hangs.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

// Exit codes, after sysexits.h.
const (
	exitFault   = 1
	exitUsage   = 64
	exitMissing = 69
)

func main() {
	out := flag.String("o", "", "the archive, a `file`")
	dir := flag.String("modules", "", "a kernel's modules, a `folder` lib/modules/VERSION")
	load := flag.String("load", "", "`names` of modules to load, in this order, separated by spaces")
	flag.Parse()
	if *out == "" || *dir == "" || flag.NArg() == 0 {
		flag.Usage()
		os.Exit(exitUsage)
	}
	err := build(*out, *dir, strings.Fields(*load), flag.Args())
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "initramfs:", err)
	if _, ok := errors.AsType[*MissingError](err); ok {
		os.Exit(exitMissing)
	}
	os.Exit(exitFault)
}

// build writes the archive: the bare tree, the modules, the files.
func build(out, dir string, load, files []string) (err error) {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buffered := bufio.NewWriterSize(f, 1<<20)
	a := newArchive(buffered)
	for _, d := range []string{"dev", "proc", "sys", "tmp", "run", "etc", "root", "mnt", "modules"} {
		a.folder(d)
	}
	// before devtmpfs is mounted the kernel opens the first process's console there
	a.device("dev/console", 5, 1)
	a.device("dev/null", 1, 3)
	if err := addModules(a, dir, load); err != nil {
		return err
	}
	for _, arg := range files {
		dst, src, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is no DST=SRC", arg)
		}
		if err := a.copy(strings.TrimPrefix(dst, "/"), src); err != nil {
			return err
		}
	}
	a.end()
	return errors.Join(a.err, buffered.Flush())
}

// addModules adds the modules under /modules, and their order of loading in
// /modules/order.
func addModules(a *archive, dir string, load []string) error {
	set, err := openModules(dir)
	if err != nil {
		return err
	}
	paths, err := set.order(load)
	if err != nil {
		return err
	}
	var list strings.Builder
	for i, p := range paths {
		name := fmt.Sprintf("%03d-%s.ko", i, moduleName(p))
		if err := a.copy("modules/"+name, p); err != nil {
			return err
		}
		fmt.Fprintln(&list, name)
	}
	a.file("modules/order", 0o644, []byte(list.String()))
	return nil
}
