//go:build !linux

package socketcan

import (
	"context"
	"fmt"

	"github.com/headunit-agent/headunit/canbus"
)

// A Bus does not exist on this system: [Open] makes none.
type Bus struct{ canbus.Bus }

// Open fails with [ErrNoCAN]: only Linux has CAN sockets.
func Open(_ context.Context, iface string, _ Options) (*Bus, error) {
	return nil, fmt.Errorf("%s: %w: it works on Linux; use slcan or socketcand", iface, ErrNoCAN)
}

// Name is empty.
func (*Bus) Name() string { return "" }

// Origin is unknown.
func (*Bus) Origin() canbus.Origin { return "" }

// FD is false.
func (*Bus) FD() bool { return false }

// Buffer is 0.
func (*Bus) Buffer() int { return 0 }
