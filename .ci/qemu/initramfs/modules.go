package main

import (
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A MissingError says that this kernel has no module of that name.
type MissingError struct {
	Module string // as asked for
	Kernel string // the folder looked into
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("the kernel of %s has no module %s", e.Kernel, e.Module)
}

// modules are what one kernel can load. There is no modules.dep to read, for
// depmod runs when a kernel is installed and ours is only unpacked.
type modules struct {
	dir     string
	builtin map[string]bool
	paths   map[string]string
	depends func(path string) ([]string, error)
}

func openModules(dir string) (*modules, error) {
	m := &modules{dir: dir, builtin: map[string]bool{}, paths: map[string]string{}, depends: depends}
	list, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(list)) {
		m.builtin[moduleName(strings.TrimSpace(line))] = true
	}
	err = filepath.WalkDir(filepath.Join(dir, "kernel"), func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".ko" {
			m.paths[moduleName(path)] = path
		}
		return err
	})
	return m, err
}

// moduleName is the name that the kernel knows a module's file by: "-" and "_"
// are the same to it.
func moduleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")
}

// order is the files to load for the wanted modules, what a module needs before
// it, each once. What is built into the kernel is left out.
func (m *modules) order(wanted []string) ([]string, error) {
	var list []string
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		key := moduleName(name)
		if seen[key] || m.builtin[key] {
			return nil
		}
		seen[key] = true
		path, ok := m.paths[key]
		if !ok {
			return &MissingError{Module: name, Kernel: m.dir}
		}
		first, err := m.depends(path)
		if err != nil {
			return err
		}
		for _, d := range first {
			if err := add(d); err != nil {
				return fmt.Errorf("%s needs: %w", name, err)
			}
		}
		list = append(list, path)
		return nil
	}
	for _, name := range wanted {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// depends reads what a module says of itself, in strings that end with NUL.
func depends(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer func() { _ = f.Close() }() // only read
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("%s: no section .modinfo: not a kernel module", path)
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for s := range strings.SplitSeq(string(info), "\x00") {
		if names, ok := strings.CutPrefix(s, "depends="); ok && names != "" {
			return strings.Split(names, ","), nil
		}
	}
	return nil, nil
}
