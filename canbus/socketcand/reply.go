package socketcand

import (
	"bytes"
	"strconv"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

// A reply is what a server says. Which fields count depends on the kind.
type reply struct {
	kind kind
	rx   canbus.Rx // kindFrame
	text string    // kindRefused: what stands after "error"; kindOrigin
	lost uint64    // kindLost
}

type kind string

const (
	kindHi      kind = "hi"
	kindOK      kind = "ok"
	kindEcho    kind = "echo"
	kindRefused kind = "error"
	kindFrame   kind = "frame" // data, remote and error frames
	kindLost    kind = "fdlost"
	kindOrigin  kind = "origin"
)

// The texts of a server that are always the same.
const (
	textHi      = "< hi >"
	textOK      = "< ok >"
	textEcho    = "< echo >"
	textUnknown = "< error unknown command >"
	textNoBus   = "< error could not open bus >"
)

// parseReply reads the text between < and >. It is false for everything that a
// server would not write.
func parseReply(text []byte) (r reply, ok bool) {
	w := words{text}
	switch string(w.next()) {
	case "hi":
		return reply{kind: kindHi}, w.end()
	case "ok":
		return reply{kind: kindOK}, w.end()
	case "echo":
		return reply{kind: kindEcho}, w.end()
	case "frame":
		r.kind = kindFrame
		f := &r.rx.Frame
		return r, w.id(f) && w.stamp(&r.rx.At) && w.data(f) && f.Check() == nil
	case "fdframe":
		r.kind = kindFrame
		return r, w.id(&r.rx.Frame) && w.stamp(&r.rx.At) && w.fdFrame(&r.rx)
	case "fdlost":
		r.kind = kindLost
		r.lost, ok = w.decimal(18)
		return r, ok && w.end()
	case "origin":
		r.kind, r.text = kindOrigin, string(w.next())
		return r, validName(r.text) && w.end()
	case "error":
		return w.error()
	}
	return r, false
}

// error tells an error frame from a refusal, which has no time stamp.
func (w *words) error() (r reply, ok bool) {
	free := string(bytes.TrimSpace(w.rest))
	word := w.next()
	class, isHex := hex(word, 8)
	if isHex && len(word) >= 3 && class <= canbus.MaxExtendedID && w.stamp(&r.rx.At) && w.end() {
		r.kind = kindFrame
		r.rx.Frame = canbus.Frame{ID: class, Flags: canbus.Error, Len: canbus.MaxLen}
		return r, true
	}
	for _, c := range []byte(free) {
		if c < ' ' || c > '~' {
			return reply{}, false
		}
	}
	return reply{kind: kindRefused, text: free}, len(word) > 0
}

// stamp reads seconds, a point and six digits.
func (w *words) stamp(t *time.Time) bool {
	word := w.next()
	n := len(word) - 7
	if n < 1 || word[n] != '.' {
		return false
	}
	sec, ok := decimal(word[:n], 12)
	usec, okToo := decimal(word[n+1:], 6)
	*t = time.Unix(int64(sec), int64(usec)*1000)
	return ok && okToo
}

// data reads octets without blanks between them, or nothing.
func (w *words) data(f *canbus.Frame) bool {
	word := w.next()
	if len(word)%2 != 0 || len(word)/2 > len(f.Data) {
		return false
	}
	for i := 0; i < len(word); i += 2 {
		hi, ok := hexDigit(word[i])
		lo, okToo := hexDigit(word[i+1])
		if !ok || !okToo {
			return false
		}
		f.Data[i/2] = hi<<4 | lo
	}
	f.Len = uint8(len(word) / 2)
	return w.end()
}

func (w *words) fdFrame(rx *canbus.Rx) bool {
	bits, ok := hex(w.next(), 2)
	rx.Own = bits&bitOwn != 0
	flags, known := flagsOf(bits &^ bitOwn)
	n, okLen := w.decimal(2)
	if !ok || !known || !okLen || n > canbus.MaxLenFD {
		return false
	}
	rx.Flags |= flags
	if flags&canbus.Remote != 0 {
		rx.Len = uint8(n)
		return w.end() && rx.Check() == nil
	}
	return w.data(&rx.Frame) && int(rx.Len) == int(n) && rx.Check() == nil
}

// appendFrame is "frame" or, for an error frame, "error". ok is false for what
// these cannot carry: FD and remote frames.
func appendFrame(dst []byte, rx *canbus.Rx) (_ []byte, ok bool) {
	switch {
	case rx.Flags&canbus.Error != 0:
		dst = append(dst, "< error "...)
		dst = appendHex(dst, rx.ID, 3)
		dst = append(dst, ' ')
		dst = appendStamp(dst, rx.At)
		return append(dst, " >"...), true
	case rx.Flags&(canbus.FD|canbus.Remote) != 0:
		return dst, false
	}
	dst = append(dst, "< frame "...)
	dst = appendID(dst, &rx.Frame)
	dst = append(dst, ' ')
	dst = appendStamp(dst, rx.At)
	return appendData(dst, &rx.Frame), true
}

// appendFD is "fdframe", for every frame but an error frame, which has no
// octet of flags and stays "error".
func appendFD(dst []byte, rx *canbus.Rx) []byte {
	if rx.Flags&canbus.Error != 0 {
		dst, _ = appendFrame(dst, rx)
		return dst
	}
	bits := flagBits(rx.Flags)
	if rx.Own {
		bits |= bitOwn
	}
	dst = append(dst, "< fdframe "...)
	dst = appendID(dst, &rx.Frame)
	dst = append(dst, ' ')
	dst = appendStamp(dst, rx.At)
	dst = append(dst, ' ')
	dst = appendHex(dst, uint32(bits), 2)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, uint64(rx.Len), 10)
	return appendData(dst, &rx.Frame)
}

// appendData ends a message. No data leaves two blanks before the >.
func appendData(dst []byte, f *canbus.Frame) []byte {
	dst = append(dst, ' ')
	for _, b := range f.Payload() {
		dst = append(dst, upper[b>>4], upper[b&15])
	}
	return append(dst, " >"...)
}

func appendStamp(dst []byte, t time.Time) []byte {
	dst = strconv.AppendInt(dst, max(t.Unix(), 0), 10)
	dst = append(dst, '.')
	usec := t.Nanosecond() / 1000
	for n := 100_000; n > 0; n /= 10 {
		dst = append(dst, byte('0'+usec/n%10))
	}
	return dst
}

func appendLost(dst []byte, n uint64) []byte {
	dst = append(dst, "< fdlost "...)
	dst = strconv.AppendUint(dst, n, 10)
	return append(dst, " >"...)
}
