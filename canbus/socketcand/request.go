package socketcand

import (
	"strconv"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// A request is what a client says. Which fields count depends on the verb.
type request struct {
	verb  verb
	name  string        // open
	frame canbus.Frame  // send fdsend add update; only the identifier of subscribe unsubscribe delete; filter: Data is the mask
	every time.Duration // subscribe filter add
}

type verb string

const (
	verbOpen        verb = "open"
	verbRawmode     verb = "rawmode"
	verbBcmmode     verb = "bcmmode"
	verbFdmode      verb = "fdmode"
	verbEcho        verb = "echo"
	verbOrigin      verb = "origin"
	verbSend        verb = "send"
	verbFdsend      verb = "fdsend"
	verbSubscribe   verb = "subscribe"
	verbUnsubscribe verb = "unsubscribe"
	verbFilter      verb = "filter"
	verbAdd         verb = "add"
	verbUpdate      verb = "update"
	verbDelete      verb = "delete"
)

// parseRequest reads the text between < and >. It is false for what this server
// does not know and for what could not be on a bus.
func parseRequest(text []byte) (r request, ok bool) {
	w := words{text}
	switch r.verb = verb(w.next()); r.verb {
	case verbRawmode, verbBcmmode, verbFdmode, verbEcho, verbOrigin:
		return r, w.end()
	case verbOpen:
		r.name = string(w.next())
		return r, validName(r.name) && w.end()
	case verbSend, verbUpdate:
		return r, w.id(&r.frame) && w.payload(&r.frame)
	case verbFdsend:
		return r, w.id(&r.frame) && w.fdPayload(&r.frame)
	case verbAdd:
		return r, w.interval(&r.every) && r.every >= minEvery && w.id(&r.frame) && w.payload(&r.frame)
	case verbFilter:
		return r, w.interval(&r.every) && w.id(&r.frame) && w.payload(&r.frame)
	case verbSubscribe:
		return r, w.interval(&r.every) && w.id(&r.frame) && w.end()
	case verbUnsubscribe, verbDelete:
		return r, w.id(&r.frame) && w.end()
	}
	return r, false
}

// payload reads "4 1a 22 3 44".
func (w *words) payload(f *canbus.Frame) bool {
	n, ok := w.decimal(1)
	if !ok || n > canbus.MaxLen {
		return false
	}
	f.Len = uint8(n)
	return w.octets(f, int(n))
}

// fdPayload reads "05 12 d d d …". A remote frame has a length and no data.
func (w *words) fdPayload(f *canbus.Frame) bool {
	bits, ok := hex(w.next(), 2)
	flags, known := flagsOf(bits)
	n, okLen := w.decimal(2)
	if !ok || !known || !okLen || n > canbus.MaxLenFD {
		return false
	}
	f.Flags |= flags
	f.Len = uint8(n)
	if flags&canbus.Remote != 0 {
		n = 0
	}
	return w.octets(f, int(n)) && f.Check() == nil
}

// interval reads seconds and microseconds.
func (w *words) interval(d *time.Duration) bool {
	sec, ok := w.decimal(6)
	usec, okToo := w.decimal(6)
	*d = time.Duration(sec)*time.Second + time.Duration(usec)*time.Microsecond
	return ok && okToo
}

// appendSend is the client's text for f: "send" where that can carry it.
func appendSend(dst []byte, f *canbus.Frame) []byte {
	bits := flagBits(f.Flags)
	if bits == 0 {
		dst = append(dst, "< send "...)
		dst = appendID(dst, f)
	} else {
		dst = append(dst, "< fdsend "...)
		dst = appendID(dst, f)
		dst = append(dst, ' ')
		dst = appendHex(dst, uint32(bits), 2)
	}
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, uint64(f.Len), 10)
	for _, b := range f.Payload() {
		dst = append(dst, ' ')
		dst = strconv.AppendUint(dst, uint64(b), 16)
	}
	return append(dst, " >"...)
}
