package socketcan

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/canbus"
)

// A link is what the system says of an interface.
type link struct {
	name  string
	index int
	mtu   int

	// by netlink; zero where that may not be used
	kind       string // vcan, vxcan; can for drivers of controllers
	state      canbus.BusState
	tec, rec   uint8
	listenOnly bool
}

// find looks an interface up through a socket, which needs no netlink.
func find(fd int, name string) (*link, error) {
	r, err := unix.NewIfreq(name)
	if err != nil || name == "" {
		return nil, fmt.Errorf("no interface can have this name: %w", unix.ENODEV)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, r); err != nil {
		return nil, fmt.Errorf("there is no such interface: %w", err)
	}
	l := &link{name: name, index: int(r.Uint32())}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFMTU, r); err != nil {
		return nil, err
	}
	l.mtu = int(r.Uint32())
	return l, nil
}

// ask asks by netlink what stands behind the interface, and how its controller
// is now: it may have been off the bus for long. A service that may not use
// netlink stays without.
func (l *link) ask() {
	table, err := syscall.NetlinkRIB(syscall.RTM_GETLINK, syscall.AF_UNSPEC)
	if err != nil {
		return
	}
	messages, err := syscall.ParseNetlinkMessage(table)
	if err != nil {
		return
	}
	for i := range messages {
		m := &messages[i]
		if m.Header.Type != syscall.RTM_NEWLINK || len(m.Data) < syscall.SizeofIfInfomsg ||
			int(int32(binary.NativeEndian.Uint32(m.Data[4:]))) != l.index {
			continue
		}
		for kind, value := range attributes(m.Data[syscall.SizeofIfInfomsg:]) {
			if kind == unix.IFLA_LINKINFO {
				l.learn(value)
			}
		}
	}
}

// learn reads IFLA_LINKINFO.
func (l *link) learn(info []byte) {
	var about []byte
	for kind, value := range attributes(info) {
		switch kind {
		case unix.IFLA_INFO_KIND:
			l.kind = strings.TrimRight(string(value), "\x00")
		case unix.IFLA_INFO_DATA:
			about = value
		}
	}
	if l.kind != "can" { // the attributes of others have other meanings
		return
	}
	for kind, value := range attributes(about) {
		switch {
		case kind == unix.IFLA_CAN_STATE && len(value) >= 4:
			l.state = controllerState(binary.NativeEndian.Uint32(value))
		case kind == unix.IFLA_CAN_BERR_COUNTER && len(value) >= 4:
			l.tec = uint8(min(binary.NativeEndian.Uint16(value), 255))
			l.rec = uint8(min(binary.NativeEndian.Uint16(value[2:]), 255))
		case kind == unix.IFLA_CAN_CTRLMODE && len(value) >= 8: // mask, flags
			l.listenOnly = binary.NativeEndian.Uint32(value[4:])&unix.CAN_CTRLMODE_LISTENONLY != 0
		}
	}
}

func controllerState(n uint32) canbus.BusState {
	switch n {
	case unix.CAN_STATE_ERROR_ACTIVE:
		return canbus.OK
	case unix.CAN_STATE_ERROR_WARNING:
		return canbus.Warning
	case unix.CAN_STATE_ERROR_PASSIVE:
		return canbus.Passive
	case unix.CAN_STATE_BUS_OFF:
		return canbus.Off
	}
	return "" // stopped, sleeping
}

// typeMask takes the flags off an attribute's type.
const typeMask = 1<<14 - 1

// attributes are the netlink attributes in b: 2 octets of length, 2 of type, the
// value, padding to 4. It ends at the first one that is cut off.
func attributes(b []byte) func(yield func(kind int, value []byte) bool) {
	return func(yield func(int, []byte) bool) {
		for len(b) >= unix.SizeofRtAttr {
			n := int(binary.NativeEndian.Uint16(b))
			kind := int(binary.NativeEndian.Uint16(b[2:]) & typeMask)
			if n < unix.SizeofRtAttr || n > len(b) || !yield(kind, b[unix.SizeofRtAttr:n]) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}

// origin decides whether a real car can be behind the interface. Hardware has a
// device in sysfs (root), and not among the virtual ones. Whatever does not
// prove that it is hardware, is not.
func (l *link) origin(root string) canbus.Origin {
	if l.kind == "vcan" || l.kind == "vxcan" {
		return canbus.Simulation
	}
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return ""
	}
	dir := filepath.Join(root, "class", "net", l.name)
	// sysfs may show another network namespace, with another interface of this name
	index, err := os.ReadFile(filepath.Join(dir, "ifindex"))
	if err != nil || strings.TrimSpace(string(index)) != strconv.Itoa(l.index) {
		return ""
	}
	device, err := filepath.EvalSymlinks(filepath.Join(dir, "device"))
	devices := filepath.Join(root, "devices")
	if err != nil || !strings.HasPrefix(device, devices+"/") || strings.HasPrefix(device, devices+"/virtual/") {
		return ""
	}
	return canbus.Kernel
}
