package main

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/cmd/ecalld/internal/ecall"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/modem"
)

// What an order may take. A call does not wait longer for its MSD, and not
// longer for the call before it to end.
const (
	loadLimit   = 400 * time.Millisecond
	hangupLimit = time.Second
)

// A verb is what the crew can do.
type verb string

const (
	dial   verb = "dial"
	load   verb = "load"
	hangup verb = "hangup"
	answer verb = "answer"
	reset  verb = "reset"
)

// An order is one thing to do with the modem.
type order struct {
	do     verb
	call   modem.Call
	msd    []byte // of dial and load; nil: none
	serial uint32
}

// A crew does with the modem what the loop decides: orders one after the other,
// questions and settings beside them. It never keeps the loop waiting.
type crew struct {
	modem modem.Modem
	log   zerolog.Logger
	tell  func(any) // to the loop

	mu     sync.Mutex
	orders []order
	some   chan struct{} // holds a token while there are orders
	cut    func()        // ends what is being done, if a call must not wait for it; else nil
	ctx    context.Context
	done   sync.WaitGroup
	asking bool
	busy   bool // preparing

	loaded []byte // by the last dial, so that it need not be loaded again; used by work only
}

func newCrew(ctx context.Context, m modem.Modem, log zerolog.Logger, tell func(any)) *crew {
	c := &crew{modem: m, log: log, tell: tell, some: make(chan struct{}, 1), ctx: ctx}
	c.done.Go(c.work)
	return c
}

// post hands an order over. What a newer one makes pointless is dropped, so
// that there are never more than a few.
func (c *crew) post(o order) {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.orders[:0]
	for _, old := range c.orders {
		pointless := old.do == load && (o.do == load || o.do == dial) || // an older MSD
			old.do == dial && (o.do == dial || o.do == hangup) || // a call nobody waits for
			old.do == o.do && o.do != dial
		if !pointless {
			kept = append(kept, old)
		}
	}
	c.orders = append(kept, o)
	if c.cut != nil && (o.do == dial || o.do == hangup) {
		c.cut()
	}
	select {
	case c.some <- struct{}{}:
	default:
	}
}

func (c *crew) work() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-c.some:
		}
		for {
			ctx, o, ok := c.take()
			if !ok {
				break
			}
			if err := c.do(ctx, o); err != nil {
				c.log.Warn().Err(err).Str("do", string(o.do)).Msg("modem")
			}
		}
	}
}

// take is the next order. A newer call or hanging up cuts short a dial or load.
func (c *crew) take() (ctx context.Context, o order, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut != nil {
		c.cut()
		c.cut = nil
	}
	if len(c.orders) == 0 {
		return nil, order{}, false
	}
	o = c.orders[0]
	c.orders = append(c.orders[:0], c.orders[1:]...)
	if o.do != dial && o.do != load {
		return c.ctx, o, true
	}
	ctx, c.cut = context.WithCancel(c.ctx)
	return ctx, o, true
}

func (c *crew) do(ctx context.Context, o order) error {
	//exhaustive:enforce
	switch o.do {
	case dial:
		return c.dial(ctx, o)
	case load:
		if o.msd == nil || bytes.Equal(o.msd, c.loaded) {
			c.loaded = nil
			return nil
		}
		return c.modem.LoadMSD(ctx, o.msd)
	case hangup:
		ctx, cancel := context.WithTimeout(ctx, hangupLimit)
		defer cancel()
		return c.modem.Hangup(ctx)
	case answer:
		return c.modem.Answer(ctx)
	case reset:
		return c.modem.Reset(ctx, modem.ResetFunctionality)
	}
	return nil
}

// dial places a call. Where the MSD cannot be loaded while the call is being
// placed it goes first, and whatever comes of it, the call follows.
func (c *crew) dial(ctx context.Context, o order) error {
	c.loaded = nil
	if o.msd != nil && !c.modem.Caps().LateMSD {
		short, cancel := context.WithTimeout(ctx, loadLimit)
		err := c.modem.LoadMSD(short, o.msd)
		cancel()
		if err == nil {
			c.loaded = o.msd
		} else {
			c.log.Warn().Err(err).Msg("call without a fresh MSD")
		}
	}
	err := c.modem.Dial(ctx, o.call)
	switch {
	case err == nil, errors.Is(err, modem.ErrSilent): // it may have been taken: events or a deadline will tell
	default:
		refused := errors.Is(err, modem.ErrRefused) || errors.Is(err, modem.ErrNumber) || errors.Is(err, modem.ErrUnsupported)
		c.tell(failed{ecall.Failed{Serial: o.serial, Refused: refused}})
	}
	return err
}

// look asks the modem how it is. The answer comes with why: what was so when it
// was asked.
func (c *crew) look(why question) {
	c.beside(&c.asking, why.ready, func() {
		s, err := c.modem.Status(c.ctx)
		if err != nil {
			c.log.Warn().Err(err).Msg("modem status")
		}
		c.tell(looked{s, why, err != nil})
	})
}

// prepare makes the modem's settings.
func (c *crew) prepare() {
	c.beside(&c.busy, false, func() { c.tell(prepared{c.modem.Prepare(c.ctx)}) })
}

// beside runs f unless the same runs already.
func (c *crew) beside(running *bool, always bool, f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *running && !always {
		return
	}
	*running = true
	c.done.Go(func() {
		f()
		c.mu.Lock()
		defer c.mu.Unlock()
		*running = false
	})
}
