// Package socketcand shares a CAN bus over a stream socket of this machine, in
// the text protocol of the socketcand project: a [Server] lends a bus to other
// programs, a [Client] is a [canbus.Bus] behind such a server, ours or another.
//
// Text is ASCII in messages between < and >, one connection is one bus. Between
// a client and a server of this package the protocol also carries CAN FD, remote
// frames, confirmation of the client's own frames, losses and the [canbus.Origin]
// (after "< fdmode >"); with others it is classic CAN.
package socketcand

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"strings"
	"time"
)

// The limits of both sides.
const (
	MaxLine        = 1024 // octets of a message with its < and >; a longer one ends the connection
	MaxConnections = 32   // of one server; further ones are closed at once
	MaxName        = 16   // characters of a bus name
)

var (
	// ErrProtocol is wrapped by the errors about a peer that does not speak
	// socketcand; the connection is of no more use.
	ErrProtocol = errors.New("the peer does not speak socketcand")

	// ErrRefused is wrapped by the error of [Dial] when the server has no such
	// bus, or has it and does not lend it.
	ErrRefused = errors.New("the socketcand server refuses")

	// ErrClassicOnly is returned by [Client.Send] for an FD or remote frame when
	// the server cannot carry it.
	ErrClassicOnly = errors.New("this socketcand server carries classic data frames only")

	// ErrAddress is wrapped by the errors about addresses that are not served:
	// the bus never leaves this machine.
	ErrAddress = errors.New("not an address of this machine")
)

// splitAddress gives the network and the address for package net. TCP is
// accepted on a loopback address only; a name is accepted if it is localhost.
func splitAddress(addr string) (network, address string, err error) {
	if p, ok := strings.CutPrefix(addr, "unix:"); ok {
		if p == "" {
			return "", "", fmt.Errorf("%w: %q names no socket, write unix:/path/to/socket", ErrAddress, addr)
		}
		return "unix", p, nil
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", "", fmt.Errorf("%w: %q is neither unix:PATH nor 127.0.0.1:PORT", ErrAddress, addr)
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.Unmap().IsLoopback() {
		return "", "", fmt.Errorf("%w: %q is not on loopback, write 127.0.0.1:%s or unix:PATH", ErrAddress, addr, port)
	}
	return "tcp", net.JoinHostPort(host, port), nil
}

// splitBus splits the address of a bus, "127.0.0.1:29536/can0" or
// "unix:/run/headunit/canhub/can0" (the socket is the whole path), into the
// address of its server and its name.
func splitBus(addr string) (server, bus string, err error) {
	if p, ok := strings.CutPrefix(addr, "unix:"); ok {
		server, bus = addr, path.Base(p)
	} else {
		server, bus, _ = strings.Cut(addr, "/")
	}
	if !validName(bus) {
		return "", "", fmt.Errorf("%w: %q must end with /BUS, a name of 1 to %d characters such as can0", ErrAddress, addr, MaxName)
	}
	return server, bus, nil
}

func validName(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '<' || c == '>' || c == '/' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= MaxName && s != "." && s != ".."
}

// Listen opens "127.0.0.1:29536" or "unix:PATH" for a [Server]. A socket that a
// killed program left behind is removed; one that somebody serves is not. A
// socket file is for the owner and the group. Other addresses are refused
// with [ErrAddress].
func Listen(addr string) (net.Listener, error) {
	network, address, err := splitAddress(addr)
	if err != nil {
		return nil, err
	}
	if network == "tcp" {
		return net.Listen(network, address)
	}
	if err := removeStale(address); err != nil {
		return nil, err
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(address, 0o660); err != nil {
		_ = l.Close()
		return nil, err
	}
	return l, nil
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s exists and is no socket: move it away", path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if c, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
		_ = c.Close()
		return fmt.Errorf("%s is served by another program: stop it, or listen elsewhere", path)
	}
	return os.Remove(path)
}
