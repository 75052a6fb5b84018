package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/gnss"
)

// quiet is how long a receiver may say nothing before it is asked anew.
const quiet = 30 * time.Second

// errLoopback is returned for a gpsd that is not on this machine: where the car
// is goes over no network.
var errLoopback = errors.New("gpsd must be on loopback")

// receive reads fixes from "gpsd:HOST:PORT" until ctx ends.
func receive(ctx context.Context, device string, log zerolog.Logger, tell func(any)) {
	address, known := strings.CutPrefix(device, "gpsd:")
	if !known {
		log.Warn().Msg("GNSS device is of a kind that is not known; known: gpsd")
		return
	}
	wait, ok := retryLeast, true
	for told := false; ok; wait, ok = backoff(ctx, wait) {
		conn, err := dialLoopback(ctx, address)
		if err == nil {
			wait, told = retryLeast, false
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			err = fixes(conn, log, tell)
			stop()
			_ = conn.Close() // it said why it ended
		}
		if !told && ctx.Err() == nil {
			log.Warn().Err(err).Msg("no GNSS receiver")
		}
		told = true
	}
}

func dialLoopback(ctx context.Context, address string) (net.Conn, error) {
	ap, err := netip.ParseAddrPort(strings.Replace(address, "localhost:", "127.0.0.1:", 1))
	if err != nil {
		return nil, fmt.Errorf("gpsd address: %w", err)
	}
	if !ap.Addr().IsLoopback() {
		return nil, errLoopback
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return new(net.Dialer).DialContext(ctx, "tcp", ap.String())
}

// fixes reads one connection until it ends. A line that is no report is passed
// over; a receiver whose lines never end is given up.
func fixes(conn net.Conn, log zerolog.Logger, tell func(any)) error {
	if _, err := io.WriteString(conn, gnss.Watch); err != nil {
		return err
	}
	var d gnss.Decoder
	lines := bufio.NewScanner(conn)
	lines.Buffer(make([]byte, 0, 2048), gnss.MaxReport)
	for bad := 0; ; {
		if err := conn.SetReadDeadline(time.Now().Add(quiet)); err != nil {
			return err
		}
		if !lines.Scan() {
			return errors.Join(errors.New("gpsd ended"), lines.Err())
		}
		f, ok, err := d.Line(lines.Bytes())
		switch {
		case err != nil:
			if bad++; bad == 1 {
				log.Warn().Err(err).Msg("GNSS line")
			}
		case ok:
			tell(fix{f})
		}
	}
}
