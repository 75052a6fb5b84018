package dbc

import (
	"errors"
	"fmt"
)

// An Error is why a file could not be parsed, and where. Lines and columns begin
// with 1; columns count characters.
type Error struct {
	File      string
	Line, Col int
	Text      string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Text)
}

// A Warning is something that [Parse] overlooked; the text says what it did
// instead.
type Warning struct {
	File      string
	Line, Col int
	Text      string
}

func (w Warning) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", w.File, w.Line, w.Col, w.Text)
}

// What [Compile], [Message.Encode] and [Message.Mask] refuse, for errors.Is.
var (
	// ErrUnknown: the file has no such message, signal or text.
	ErrUnknown = errors.New("not in the DBC file")
	// ErrRange: the value does not fit the signal, or the signal no frame.
	ErrRange = errors.New("does not fit")
	// ErrAbsent: the signal is multiplexed, and its switch has another value or
	// was not set.
	ErrAbsent = errors.New("multiplexer value was not chosen")
	// ErrTwice: a signal is set twice, or overlapping signals to values that
	// cannot both stand.
	ErrTwice = errors.New("the same bits are written twice")
)
