package socketcan

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/headunit-agent/headunit/canbus"
)

// Open opens a CAN interface by name, such as can0. It fails with [ErrNoCAN]
// where the kernel has no CAN, and for an interface that is missing, down or of
// another kind; the caller tries again later. ctx is looked at once: nothing
// here waits.
func Open(ctx context.Context, iface string, opts Options) (*Bus, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_CAN, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.CAN_RAW)
	if err != nil {
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EPROTONOSUPPORT) {
			err = fmt.Errorf("%w: load the kernel modules can and can_raw", ErrNoCAN)
		}
		return nil, fmt.Errorf("%s: %w", iface, err)
	}
	l, granted, err := prepare(fd, iface, &opts)
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("%s: %w", iface, err)
	}
	b, err := newBus(iface, fd)
	if err != nil {
		return nil, err
	}
	b.fd, b.buffer = opts.FD, granted
	b.listen = opts.ListenOnly || l.listenOnly
	b.origin = l.origin("/sys")
	if l.state != "" {
		b.health = health{state: l.state, tec: l.tec, rec: l.rec}
	}
	return b, nil
}

// prepare sets the socket up, and says about which interface and with how much
// buffer. It takes FD out of opts where the interface does not carry it.
func prepare(fd int, iface string, opts *Options) (l *link, granted int, err error) {
	if l, err = find(fd, iface); err != nil {
		return nil, 0, err
	}
	opts.FD = opts.FD && l.mtu >= sizeFD
	if err = configure(fd, opts); err != nil {
		return nil, 0, err
	}
	if granted, err = enlarge(fd, opts.Buffer); err != nil {
		return nil, 0, err
	}
	if err = bind(fd, l.index); err != nil {
		return nil, 0, err
	}
	l.ask()
	return l, granted, nil
}

// configure sets what has to be in force before the first frame comes.
func configure(fd int, opts *Options) error {
	if err := setFilters(fd, opts); err != nil {
		return fmt.Errorf("filters: %w", err)
	}
	for _, o := range []struct {
		what              string
		level, opt, value int
		wanted            bool
	}{
		{"error frames", unix.SOL_CAN_RAW, unix.CAN_RAW_ERR_FILTER, unix.CAN_ERR_MASK, true},
		{"own frames", unix.SOL_CAN_RAW, unix.CAN_RAW_RECV_OWN_MSGS, 1, true},
		{"loss counter", unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1, true},
		{"FD frames", unix.SOL_CAN_RAW, unix.CAN_RAW_FD_FRAMES, 1, opts.FD},
	} {
		if !o.wanted {
			continue
		}
		if err := unix.SetsockoptInt(fd, o.level, o.opt, o.value); err != nil {
			return fmt.Errorf("%s: %w", o.what, err)
		}
	}
	const stamps = unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE |
		unix.SOF_TIMESTAMPING_RX_HARDWARE | unix.SOF_TIMESTAMPING_RAW_HARDWARE
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING_NEW, stamps) == nil {
		return nil
	}
	// before Linux 5.1; without any of them the time of arrival here is used
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPING, stamps)
	return nil
}

func setFilters(fd int, opts *Options) error {
	if opts.All || len(opts.Filters) > MaxFilters {
		return nil // the kernel's default
	}
	list, err := filters(opts.Filters)
	if err != nil {
		return err
	}
	return unix.SetsockoptCanRawFilter(fd, unix.SOL_CAN_RAW, unix.CAN_RAW_FILTER, list)
}

// filters are exact matches, which the kernel finds by hash and not by search.
// Format and remote bit are compared too.
func filters(wanted []Filter) ([]unix.CanFilter, error) {
	list := make([]unix.CanFilter, 0, len(wanted))
	for _, w := range wanted {
		f := unix.CanFilter{Id: w.ID, Mask: unix.CAN_EFF_FLAG | unix.CAN_RTR_FLAG | canbus.MaxStandardID}
		limit := uint32(canbus.MaxStandardID)
		if w.Extended {
			limit = canbus.MaxExtendedID
			f.Id |= unix.CAN_EFF_FLAG
			f.Mask |= canbus.MaxExtendedID
		}
		if w.ID > limit {
			return nil, fmt.Errorf("%w: identifier %X is too large for its format", canbus.ErrFrame, w.ID)
		}
		list = append(list, f)
	}
	return list, nil
}

// enlarge asks for a receive buffer and returns what was granted. More than the
// system's limit takes a privilege.
func enlarge(fd, octets int) (int, error) {
	if octets <= 0 {
		octets = DefaultBuffer
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, octets) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, octets); err != nil {
			return 0, fmt.Errorf("receive buffer: %w", err)
		}
	}
	return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
}

func bind(fd, index int) error {
	err := unix.Bind(fd, &unix.SockaddrCAN{Ifindex: index})
	if errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("this is no CAN interface: %w", err)
	}
	if err != nil {
		return err
	}
	// an interface that is down can be bound; the kernel leaves a note
	note, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	switch {
	case err != nil:
		return err
	case note == int(unix.ENETDOWN):
		return fmt.Errorf("the interface is down, set its bit rate and bring it up: %w", unix.ENETDOWN)
	case note != 0:
		return unix.Errno(note)
	}
	return nil
}
