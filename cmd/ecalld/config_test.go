package main

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"github.com/rs/zerolog"
)

// TestBestConfig: a copy takes the place of a file that is missing or damaged,
// and of no other.
func TestBestConfig(t *testing.T) {
	text := func(baud int, spoil string) []byte {
		s := fmt.Sprintf(`{"vin":"WM9VDSVDSYA123456","modem":{"baud":%d}}`+"\n", baud)
		return fmt.Appendf(nil, "%s%scrc32:%08X\n", spoil, s, crc32.ChecksumIEEE([]byte(s)))
	}
	sound, damaged, copied, broken := text(9600, ""), text(9600, " "), text(4800, ""), []byte("{")
	for i, c := range []struct {
		first, second []byte
		baud          int
		sound         bool
	}{
		{sound, copied, 9600, true},
		{damaged, copied, 4800, true},
		{broken, copied, 4800, true},
		{nil, copied, 4800, true},
		{damaged, broken, 9600, false},
		{damaged, nil, 9600, false},
		{nil, nil, 115200, false},
	} {
		dir := t.TempDir()
		paths := []string{filepath.Join(dir, "first"), filepath.Join(dir, "second")}
		for n, b := range [][]byte{c.first, c.second} {
			if b == nil {
				continue
			}
			if err := os.WriteFile(paths[n], b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got, ok := readConfig(paths, zerolog.Nop()); got.Baud != c.baud || ok != c.sound {
			t.Errorf("%d: baud %d, sound %v, want %d, %v", i, got.Baud, ok, c.baud, c.sound)
		}
	}
	if got := fmt.Sprint(places(defaultConfig), places("other")); got != "[/etc/headunit/ecall.json /usr/lib/headunit/ecall.json] [other]" {
		t.Errorf("places %s", got)
	}
}
