package socketcan

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	batchSize   = 64  // frames to a call of the kernel
	controlSize = 128 // octets; two messages take 88 at most

	wordSize = int(unsafe.Sizeof(uintptr(0)))
)

// A mmsghdr is struct mmsghdr: 64 octets on a 64-bit machine, 32 on a 32-bit one.
type mmsghdr struct {
	head   unix.Msghdr
	length uint32
}

// A batch is where one call puts up to batchSize frames. It points into itself:
// it must not be copied.
type batch struct {
	heads   [batchSize]mmsghdr
	vectors [batchSize]unix.Iovec
	frames  [batchSize][sizeFD]byte
	control [batchSize][controlSize]byte
}

func newBatch() *batch {
	b := new(batch)
	for i := range b.heads {
		b.vectors[i].Base = &b.frames[i][0]
		b.vectors[i].SetLen(sizeFD)
		b.heads[i].head.Iov = &b.vectors[i]
		b.heads[i].head.SetIovlen(1)
		b.heads[i].head.Control = &b.control[i][0]
	}
	return b
}

// read takes up to most frames from a socket and does not wait: with nothing to
// take it is EAGAIN.
func (b *batch) read(fd uintptr, most int) (int, error) {
	most = min(most, batchSize)
	for i := range most {
		b.heads[i].head.SetControllen(controlSize) // the kernel writes there what it used
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.heads)), uintptr(most), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// message is the i-th of what was read: its octets, what the kernel says beside
// them, and its flags.
func (b *batch) message(i int) (octets, control []byte, flags int32) {
	h := &b.heads[i]
	return b.frames[i][:min(int(h.length), sizeFD)], b.control[i][:min(int(h.head.Controllen), controlSize)], h.head.Flags
}
