package modem

import (
	"bufio"
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// The same modem behind a real terminal, opened twice as a driver may.
func TestOverAPty(t *testing.T) {
	master, name, err := OpenPty()
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	m, err := New(Fast())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- m.Serve(ctx, master) }()
	for range 2 {
		line, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(10*time.Second, func() { _ = line.Close() })
		if _, err := line.WriteString("ATE0+CGMI\r"); err != nil {
			t.Fatal(err)
		}
		for in := bufio.NewScanner(line); in.Scan() && !strings.Contains(in.Text(), Manufacturer); {
		}
		if !timer.Stop() {
			t.Fatal("no answer in 10 s")
		}
		_ = line.Close()
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	if _, err := New(Options{Dialect: "semaphore"}); err == nil {
		t.Error("a dialect nobody speaks is accepted")
	}
}
