package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"
)

var (
	errTaken = errors.New("another uplinkd serves this socket: stop it, or choose another --socket")
	errPeer  = errors.New("peer has another user id")
)

// listen opens the socket, for our own user only. A socket that a killed
// process left behind is removed, anything else in its place is not.
func listen(path string) (*net.UnixListener, error) {
	address := &net.UnixAddr{Name: path, Net: "unixpacket"}
	switch st, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case st.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is there and is no socket: remove it, or choose another --socket", path)
	default:
		if c, err := net.DialUnix("unixpacket", nil, address); err == nil {
			_ = c.Close()
			return nil, fmt.Errorf("%s: %w", path, errTaken)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	old := unix.Umask(0o177) // the mode must be right from the start
	defer unix.Umask(old)
	return net.ListenUnix("unixpacket", address)
}

// serve takes one peer after another until ctx ends. The next one waits until
// the socket of the one before is closed.
func serve(ctx context.Context, cfg config, l *net.UnixListener, log zerolog.Logger) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if err := samePeer(c, os.Geteuid()); err != nil {
			log.Warn().Err(err).Msg("peer refused")
			_ = c.Close()
			continue
		}
		log.Info().Msg("headunitd is here")
		err = newPeer(c, cfg, log).run(ctx)
		log.Info().Err(err).Msg("headunitd is gone")
	}
}

// samePeer checks by the kernel's word that the peer runs as that user.
func samePeer(c *net.UnixConn, uid int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	if err := errors.Join(raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}), err); err != nil {
		return err
	}
	if int(cred.Uid) != uid {
		return fmt.Errorf("%w: %d", errPeer, cred.Uid)
	}
	return nil
}
