package slcan

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

const (
	done    = "\r"
	refused = "\a"
)

// Flags of F.
const (
	rxFull   = 0x01
	busError = 0x80
)

// heard carries out one line of the host.
func (a *Adapter) heard(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.commands) == keptCommands {
		a.commands = append(a.commands[:0], a.commands[keptCommands/4:]...)
	}
	a.commands = append(a.commands, line)
	if a.served == nil || time.Now().Before(a.deaf) || a.faults.take(&a.faults.swallow) {
		return
	}
	answer := refused
	if line != "" {
		answer = a.command(line)
	}
	if !a.acks && (answer == done || answer == refused) || a.faults.mute {
		return
	}
	if a.faults.lf {
		answer = strings.ReplaceAll(answer, "\r", "\r\n")
	}
	a.served.send(answer)
}

// command is the answer to one line.
func (a *Adapter) command(line string) string {
	switch arg := line[1:]; line[0] {
	case 'S', 's', 'Y', 'Z', 'M', 'm', 'X':
		if !a.open && a.set(line[0], arg) {
			return done
		}
	case 'O', 'L':
		return a.openAs(line[0], arg)
	case 'C':
		if a.open || !a.listen { // a CANUSB refuses to close what is closed
			a.open = false
			return done
		}
	case 'V':
		return a.version + "\r"
	case 'N':
		if a.serial != "" {
			return a.serial + "\r"
		}
	case 'F':
		if a.status && a.open {
			f := a.flags
			a.flags = 0
			return fmt.Sprintf("F%02X\r", f)
		}
	case 't', 'T', 'r', 'R', 'd', 'D', 'b', 'B':
		return a.transmit(line)
	}
	return refused
}

// set is a command for a closed channel.
func (a *Adapter) set(letter byte, arg string) bool {
	switch letter {
	case 'S':
		n, err := strconv.Atoi(arg)
		if len(arg) != 1 || err != nil || n >= len(a.rates) {
			return false
		}
		a.bitrate = a.rates[n]
	case 's':
		b, err := hex.DecodeString(arg)
		if !a.listen || err != nil || len(b) != 2 {
			return false
		}
		a.bitrate = 8_000_000 / ((int(b[0]&0x3F) + 1) * (3 + int(b[1]&0x0F) + int(b[1]>>4&7)))
	case 'Y':
		n, err := strconv.Atoi(arg)
		if !a.fd || err != nil || !slices.Contains([]int{1, 2, 4, 5}, n) {
			return false
		}
		a.data = n * 1_000_000
	case 'Z':
		if !a.stamps || arg != "0" && arg != "1" {
			return false
		}
		a.stamping = arg == "1"
	case 'M':
		if a.listen {
			_, err := strconv.ParseUint(arg, 16, 32)
			return len(arg) == 8 && err == nil
		}
		a.silent = arg == "1"
	case 'm':
		_, err := strconv.ParseUint(arg, 16, 32)
		return a.listen && len(arg) == 8 && err == nil
	default:
		return a.listen && (arg == "0" || arg == "1")
	}
	return true
}

func (a *Adapter) openAs(letter byte, arg string) string {
	if a.open || a.bitrate == 0 || arg != "" || letter == 'L' && !a.listen {
		return refused
	}
	if a.listen {
		a.silent = letter == 'L'
	}
	a.open, a.flags = true, 0
	return done
}

// onBus reports whether the bus can be understood at all.
func (a *Adapter) onBus() bool { return a.open && (a.rate == 0 || a.rate == a.bitrate) }

// transmit puts the frame in line on the bus.
func (a *Adapter) transmit(line string) string {
	f, ok := parse(line)
	if !ok || !a.open || a.silent || f.Flags&canbus.FD != 0 && (!a.fd || a.data == 0) || a.faults.take(&a.faults.refuse) {
		return refused
	}
	switch {
	case a.faults.take(&a.faults.vanish):
	case !a.onBus():
		a.flags |= busError
	case a.bus.Send(context.Background(), f) != nil:
		return refused
	}
	switch {
	case !a.z:
		return done
	case f.Flags&canbus.Extended != 0:
		return "Z\r"
	}
	return "z\r"
}

// saw is a frame on the bus.
func (a *Adapter) saw(s *session, rx *canbus.Rx) {
	switch {
	case rx.Own || rx.Flags&canbus.Error != 0 || time.Now().Before(a.deaf) || !a.open:
		return
	case !a.onBus(), rx.Flags&canbus.FD != 0 && !a.fd:
		a.flags |= busError // it cannot read that
		return
	case s.frames >= a.fifo, a.faults.take(&a.faults.overflow):
		a.flags |= rxFull
		return
	}
	text := format(&rx.Frame)
	if a.stamping {
		text += fmt.Sprintf("%04X", time.Since(a.begun).Milliseconds()%60000)
	}
	s.frames++
	s.send(a.faults.spoil(text))
}

// parse and format are written anew here, for what both sides of one codec get
// wrong goes unseen.
func parse(line string) (f canbus.Frame, ok bool) {
	digits := 3
	if strings.Contains("TRDB", line[:1]) {
		digits, f.Flags = 8, canbus.Extended
	}
	switch line[0] {
	case 'r', 'R':
		f.Flags |= canbus.Remote
	case 'd', 'D':
		f.Flags |= canbus.FD
	case 'b', 'B':
		f.Flags |= canbus.FD | canbus.BRS
	}
	if len(line) < digits+2 {
		return f, false
	}
	id, err1 := strconv.ParseUint(line[1:1+digits], 16, 32)
	dlc, err2 := strconv.ParseUint(line[1+digits:2+digits], 16, 8)
	data, err3 := hex.DecodeString(line[2+digits:])
	if err1 != nil || err2 != nil || err3 != nil || dlc > 8 && f.Flags&canbus.FD == 0 {
		return f, false
	}
	f.ID, f.Len = uint32(id), uint8([]int{0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64}[dlc])
	if want := int(f.Len); f.Flags&canbus.Remote == 0 && len(data) != want || f.Flags&canbus.Remote != 0 && len(data) != 0 {
		return f, false
	}
	copy(f.Data[:], data)
	return f, f.Check() == nil
}

func format(f *canbus.Frame) string {
	letter := "t"
	switch {
	case f.Flags&canbus.BRS != 0:
		letter = "b"
	case f.Flags&canbus.FD != 0:
		letter = "d"
	case f.Flags&canbus.Remote != 0:
		letter = "r"
	}
	dlc := strings.IndexByte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x0C\x10\x14\x18\x20\x30\x40", f.Len)
	data := ""
	if f.Flags&canbus.Remote == 0 {
		data = strings.ToUpper(hex.EncodeToString(f.Data[:f.Len]))
	}
	if f.Flags&canbus.Extended != 0 {
		return fmt.Sprintf("%s%08X%X%s", strings.ToUpper(letter), f.ID, dlc, data)
	}
	return fmt.Sprintf("%s%03X%X%s", letter, f.ID, dlc, data)
}
