package socketcan

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/canbus"
)

func TestFiltersAreExactMatches(t *testing.T) {
	got, err := filters([]Filter{{ID: 0x123}, {ID: 0x123, Extended: true}})
	want := []unix.CanFilter{{Id: 0x123, Mask: 0xC000_07FF}, {Id: 0x8000_0123, Mask: 0xDFFF_FFFF}}
	if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%X, %v; want %X", got, err, want)
	}
	for _, bad := range []Filter{{ID: 0x800}, {ID: 1 << 29, Extended: true}} {
		if _, err := filters([]Filter{bad}); !errors.Is(err, canbus.ErrFrame) {
			t.Errorf("%X: %v", bad.ID, err)
		}
	}
}

// sysfs makes a tree like the kernel's: where the interface lies among the
// devices, and which device it has.
func sysfs(t *testing.T, name, ifindex, lies, device string) string {
	t.Helper()
	root := t.TempDir()
	at := filepath.Join(root, "devices", lies, "net", name)
	err := errors.Join(
		os.MkdirAll(at, 0o755),
		os.MkdirAll(filepath.Join(root, "class/net"), 0o755),
		os.WriteFile(filepath.Join(at, "ifindex"), []byte(ifindex+"\n"), 0o644),
		os.Symlink(at, filepath.Join(root, "class/net", name)),
	)
	if err == nil && device != "" {
		err = errors.Join(os.MkdirAll(filepath.Join(root, device), 0o755), os.Symlink(filepath.Join(root, device), filepath.Join(at, "device")))
	}
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestOnlyADeviceIsHardware(t *testing.T) {
	for _, c := range []struct {
		name, kind, ifindex, lies, device string
		want                              canbus.Origin
	}{
		{"a controller on PCI", "can", "3", "pci0000:00/0000:00:02.0", "devices/pci0000:00/0000:00:02.0", canbus.Kernel},
		{"a controller, netlink forbidden", "", "3", "platform/can", "devices/platform/can", canbus.Kernel},
		{"vcan", "vcan", "3", "virtual", "", canbus.Simulation},
		{"vcan, netlink forbidden", "", "3", "virtual", "", ""},
		{"vcan, whatever sysfs shows", "vcan", "3", "platform/can", "devices/platform/can", canbus.Simulation},
		{"vxcan", "vxcan", "3", "virtual", "", canbus.Simulation},
		{"slcan", "can", "3", "virtual", "", ""},
		{"slcan with its pty as device", "can", "3", "virtual", "devices/virtual/tty/ptyp0", ""},
		{"a device elsewhere", "can", "3", "virtual", "elsewhere", ""},
		{"sysfs of another namespace", "can", "4", "platform/can", "devices/platform/can", ""},
	} {
		root := sysfs(t, "can7", c.ifindex, c.lies, c.device)
		l := link{name: "can7", index: 3, kind: c.kind}
		if got := l.origin(root); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	l := link{name: "can7", index: 3, kind: "can"}
	if got := l.origin(filepath.Join(t.TempDir(), "none")); got != "" {
		t.Errorf("no sysfs: %q", got)
	}
}

func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func TestTheControllerIsAskedWhenItIsOpened(t *testing.T) {
	about := append(attribute(unix.IFLA_CAN_STATE, words(4, unix.CAN_STATE_BUS_OFF)),
		append(attribute(unix.IFLA_CAN_BERR_COUNTER, []byte{0, 0, 0, 0}), attribute(unix.IFLA_CAN_CTRLMODE, words(4, 0xFF, unix.CAN_CTRLMODE_LISTENONLY))...)...)
	binary.NativeEndian.PutUint16(about[12:], 256) // more than fits is shown as the most
	binary.NativeEndian.PutUint16(about[14:], 7)
	info := append(attribute(unix.IFLA_INFO_KIND, []byte("can\x00")), attribute(unix.IFLA_INFO_DATA|1<<15, about)...)
	var l link
	l.learn(info)
	if l.kind != "can" || l.state != canbus.Off || l.tec != 255 || l.rec != 7 || !l.listenOnly {
		t.Errorf("%+v", l)
	}
	for n := range info { // whatever is cut off
		new(link).learn(info[:n])
	}
	other := append(attribute(unix.IFLA_INFO_KIND, []byte("vxcan\x00")), attribute(unix.IFLA_INFO_DATA, about)...)
	l = link{}
	l.learn(other)
	if l != (link{kind: "vxcan"}) {
		t.Errorf("%+v", l)
	}
}
