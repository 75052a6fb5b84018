package slcan

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Dialect is a family of adapters that understand the same commands.
type Dialect string

// The dialects, told apart by the answer to V.
const (
	Lawicel Dialect = "lawicel" // V and four characters, or no V but an answer to it: L listens, S7 is 800 kbit/s
	Canable Dialect = "canable" // free text: M1 and O listen, S7 is 750 kbit/s and S9 83.3
	Mute    Dialect = "mute"    // no answer at all
)

// The commands that are ever sent, beside S, s, Y and frames. Never Q, U, W (kept
// in the adapter for good), A, E or X (on CANable, the last is the way into its
// boot loader), P (frames come by themselves), nor an empty line, by which a
// CANable 2 sends its last frame again.
const (
	cmdClose   = "C"
	cmdVersion = "V"
	cmdStatus  = "F"
	cmdStamps  = "Z1"
	cmdOpen    = "O"
	cmdListen  = "L"
	cmdNormal  = "M0"
	cmdSilent  = "M1"
)

// Times of the start sequence.
const (
	closePause   = 50 * time.Millisecond
	versionLimit = 2 * time.Second
	versionAgain = 500 * time.Millisecond // a V that came while the adapter started is lost
)

// An answer is a line that the start sequence may wait for.
type answer struct {
	kind    Kind
	text    string
	odd     bool // it is malformed, but for free text
	refused bool // BEL
}

// tell passes an answer to the start sequence; mu is held.
func (b *Bus) tell(a answer) {
	select {
	case b.answers <- a:
	default: // a flood of something else
	}
}

// start brings the adapter from whatever state it is in to an open channel.
func (b *Bus) start(ctx context.Context) error {
	// An adapter that was left open goes on sending, and may have half a command
	// in its buffer: the first C ends that.
	for range 3 {
		if err := b.order(ctx, cmdClose); err != nil {
			return err
		}
		if err := b.pause(ctx, closePause); err != nil {
			return err
		}
	}
	b.drain()
	if err := b.version(ctx); err != nil {
		return err
	}
	for _, set := range []func(context.Context) error{b.setBitrate, b.setData, b.setStamps, b.openChannel} {
		if err := set(ctx); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.info.Acknowledges {
		b.learnt = [classes]confirm{never, never}
	}
	b.phase = open
	return b.err
}

func (b *Bus) drain() {
	for {
		select {
		case <-b.answers:
		default:
			return
		}
	}
}

// version waits for an answer to V, and learns the dialect from it.
func (b *Bus) version(ctx context.Context) error {
	text, alive, tries := "", false, 0
	for begun := time.Now(); !alive && time.Since(begun) < versionLimit; tries++ {
		if err := b.order(ctx, cmdVersion); err != nil {
			return err
		}
		var err error
		if text, alive, err = b.awaitVersion(ctx, versionAgain); err != nil {
			return err
		}
	}
	if tries > 1 { // it was starting: it has not heard C, and may still answer some V
		if err := b.order(ctx, cmdClose); err != nil {
			return err
		}
	}
	if err := b.pause(ctx, closePause); err != nil {
		return err
	}
	b.drain()
	if !alive && !b.opts.Mute {
		return ErrMute
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.info.Version, b.info.Dialect = text, dialect(text, alive)
	return nil
}

// awaitVersion waits for text. alive says that anything was answered.
func (b *Bus) awaitVersion(ctx context.Context, limit time.Duration) (text string, alive bool, err error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case a := <-b.answers:
			switch {
			case a.refused || !a.odd && a.kind < Version:
				alive = true
			case strings.IndexFunc(a.text, unreadable) < 0: // else noise of an open line
				return strings.TrimSpace(a.text), true, nil
			}
		case <-timer.C:
			return "", alive, nil
		case <-b.gone:
			return "", false, b.why()
		case <-ctx.Done():
			return "", false, ctx.Err()
		}
	}
}

func unreadable(r rune) bool { return r < ' ' || r > '~' }

func dialect(version string, alive bool) Dialect {
	switch {
	case !alive:
		return Mute
	case version == "":
		return Lawicel
	case len(version) != 5 || version[0] != 'V':
		return Canable
	}
	for _, c := range []byte(version[1:]) {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return Canable
		}
	}
	return Lawicel
}

func (b *Bus) setBitrate(ctx context.Context) error {
	text := "s" + b.opts.BTR
	if b.opts.BTR == "" {
		rates := lawicelRates
		if b.dialect() == Canable {
			rates = canableRates
		}
		digit := rates[b.opts.Bitrate]
		if digit == 0 {
			return fmt.Errorf("%w: an adapter that calls itself %q has no %d bit/s, only %s",
				ErrRefused, b.Info().Version, b.opts.Bitrate, list(rates, nil))
		}
		text = "S" + string(digit)
	}
	got, err := b.ask(ctx, text)
	if err != nil {
		return fmt.Errorf("bit rate: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.info.Acknowledges = got
	return nil
}

func (b *Bus) setData(ctx context.Context) error {
	if b.opts.Data == 0 {
		return nil
	}
	// Some adapters take it without an answer although they give one to others.
	if _, err := b.ask(ctx, "Y"+string(dataRates[b.opts.Data])); err != nil {
		return fmt.Errorf("CAN FD at %d bit/s: %w", b.opts.Data, err)
	}
	return nil
}

// setStamps asks for time stamps. Without them the time of arrival serves. They
// are not switched off where they are not wanted: the adapter would write that
// to its EEPROM each time, and stamps that come nevertheless are understood.
func (b *Bus) setStamps(ctx context.Context) error {
	if !b.opts.Stamps {
		return nil
	}
	_, err := b.ask(ctx, cmdStamps)
	if err != nil && ctx.Err() == nil && b.why() == nil {
		return nil // it has none
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.info.Stamps = err == nil
	return err
}

// openChannel opens for listening or for both. Listening must not fail into the
// other: on a CANable M1 and O do it, and where M1 was refused or, by an adapter
// that answers, passed over in silence, L is tried, which opens nothing on an
// adapter that does not know it. So it is with a mute one.
func (b *Bus) openChannel(ctx context.Context) error {
	command := cmdOpen
	switch d := b.dialect(); {
	case d == Canable && b.opts.Listen:
		if err := b.must(ctx, cmdSilent); errors.Is(err, ErrRefused) {
			command = cmdListen
		} else if err != nil {
			return err
		}
	case d == Canable:
		if err := b.must(ctx, cmdNormal); err != nil && !errors.Is(err, ErrRefused) {
			return err // refused: it has no modes, and is in the normal one
		}
	case b.opts.Listen:
		command = cmdListen
	}
	b.mu.Lock()
	b.phase = opening // frames may come before the answer
	b.mu.Unlock()
	if err := b.must(ctx, command); err != nil {
		return fmt.Errorf("cannot open the channel: %w", err)
	}
	return nil
}

// must is ask, where an adapter that answers has to answer.
func (b *Bus) must(ctx context.Context, command string) error {
	got, err := b.ask(ctx, command)
	if err == nil && !got && b.Info().Acknowledges {
		return fmt.Errorf("%w: no answer to %s", ErrRefused, command)
	}
	return err
}

func (b *Bus) dialect() Dialect {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.info.Dialect
}

// ask writes a command and waits 200 ms for its answer. Silence is no error.
func (b *Bus) ask(ctx context.Context, command string) (answered bool, err error) {
	if err := b.order(ctx, command); err != nil {
		return false, err
	}
	timer := time.NewTimer(answerLimit)
	defer timer.Stop()
	for {
		select {
		case a := <-b.answers:
			switch {
			case a.refused:
				return true, fmt.Errorf("%w: it answers %s with BEL", ErrRefused, command)
			case !a.odd && a.kind == OK:
				return true, nil
			}
		case <-timer.C:
			return false, nil
		case <-b.gone:
			return false, b.why()
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}
