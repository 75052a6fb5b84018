package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What the kernel's headers name and x/sys does not.
const (
	vxcanPeer     = 1         // VXCAN_INFO_PEER, linux/can/vxcan.h
	tcaKind       = 1         // TCA_KIND, linux/rtnetlink.h
	tcaOptions    = 2         // TCA_OPTIONS
	tcRoot        = 1<<32 - 1 // TC_H_ROOT, linux/pkt_sched.h
	ticks         = 15        // of the packet scheduler to a microsecond, a little under
	mtuClassic    = 16
	mtuFD         = 72
	sizeBitTiming = 32 // struct can_bittiming, the bit rate first
)

// setUpCAN makes the CAN interfaces that the tests look for, and tells them by
// the environment which these are: there a test must not pass them over.
//
//	vcan0 vcan1    carry FD
//	vcan2          classic; its send queue holds 4 frames for 50 ms each
//	vcan3          classic, to be taken away
//	vxcan0 vxcan1  a line with an end for each, FD
//	can0 can1      two controllers on one bus, classic, where the machine has them
func setUpCAN(controllers bool) error {
	names := []string{"vcan0", "vcan1", "vcan2", "vcan3", "vxcan0", "vxcan1"}
	peer := attribute(vxcanPeer, append(make([]byte, unix.SizeofIfInfomsg), attribute(unix.IFLA_IFNAME, []byte("vxcan1\x00"))...))
	err := errors.Join(
		add("vcan0", "vcan", nil), add("vcan1", "vcan", nil), add("vcan2", "vcan", nil), add("vcan3", "vcan", nil),
		add("vxcan0", "vxcan", peer),
	)
	for name, mtu := range map[string]uint32{ // kernels differ in what they begin with
		"vcan0": mtuFD, "vcan1": mtuFD, "vcan2": mtuClassic, "vcan3": mtuClassic, "vxcan0": mtuFD, "vxcan1": mtuFD,
	} {
		err = errors.Join(err, change(name, attribute(unix.IFLA_MTU, number(mtu))))
	}
	err = errors.Join(err, delay("vcan2", 50*time.Millisecond, 4))
	if controllers {
		names = append(names, "can0", "can1")
		timing := make([]byte, sizeBitTiming)
		binary.NativeEndian.PutUint32(timing, 500_000)
		rate := linkInfo("can", attribute(unix.IFLA_CAN_BITTIMING, timing))
		err = errors.Join(err, change("can0", rate), change("can1", rate))
	}
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := linkUp(name); err != nil {
			return err
		}
	}
	return os.Setenv("QEMU_TEST_CAN", strings.Join(names, " "))
}

// add makes an interface of a kind, with what is said about it.
func add(name, kind string, about []byte) error {
	body := append(make([]byte, unix.SizeofIfInfomsg), attribute(unix.IFLA_IFNAME, append([]byte(name), 0))...)
	body = append(body, linkInfo(kind, about)...)
	if err := request(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, body); err != nil {
		return fmt.Errorf("add %s: %w", name, err)
	}
	return nil
}

// change sets attributes of an interface that is there.
func change(name string, attributes []byte) error {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	body := append(make([]byte, unix.SizeofIfInfomsg), attributes...)
	binary.NativeEndian.PutUint32(body[4:], uint32(i.Index))
	if err := request(unix.RTM_NEWLINK, 0, body); err != nil {
		return fmt.Errorf("change %s: %w", name, err)
	}
	return nil
}

// delay gives an interface a send queue that holds so many frames, each for a
// while. Without it vcan has no queue, and sending never has to wait.
func delay(name string, each time.Duration, limit uint32) error {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	body := make([]byte, 20) // struct tcmsg: interface, handle, parent
	binary.NativeEndian.PutUint32(body[4:], uint32(i.Index))
	binary.NativeEndian.PutUint32(body[12:], tcRoot)
	options := number(uint32(each.Microseconds())*ticks, limit, 0, 0, 0, 0) // struct tc_netem_qopt
	body = append(body, attribute(tcaKind, []byte("netem\x00"))...)
	body = append(body, attribute(tcaOptions, options)...)
	if err := request(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_REPLACE, body); err != nil {
		return fmt.Errorf("delay on %s: %w", name, err)
	}
	return nil
}

func linkInfo(kind string, about []byte) []byte {
	info := attribute(unix.IFLA_INFO_KIND, []byte(kind))
	if about != nil {
		info = append(info, attribute(unix.IFLA_INFO_DATA, about)...)
	}
	return attribute(unix.IFLA_LINKINFO, info)
}

// attribute is one of netlink's: length, type, value, padding to 4.
func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func number(values ...uint32) (b []byte) {
	for _, v := range values {
		b = binary.NativeEndian.AppendUint32(b, v)
	}
	return b
}

// request asks the kernel by rtnetlink and waits for its answer.
func request(kind, flags uint16, body []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	b := number(uint32(unix.SizeofNlMsghdr + len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	b = append(append(b, number(1, 0)...), body...)
	if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	if n < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("rtnetlink answers % X", answer[:n])
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
