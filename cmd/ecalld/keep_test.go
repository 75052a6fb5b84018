package main

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"github.com/headunit-agent/headunit/agent/gnss"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/ecall"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/modem"
)

// TestAnsweredUnheard: a call that the modem lists as active is not hung up,
// though nobody heard that it was answered.
func TestAnsweredUnheard(t *testing.T) {
	for _, lost := range []bool{false, true} {
		simulated(t, testConfig, func(r *rig) {
			r.crash()
			r.did()
			r.says(modem.Dialling)
			r.modem.be(func(f *fakeModem) { f.call = modem.Active })
			if lost {
				r.says(modem.Lost, modem.Ready)
			}
			time.Sleep(11 * time.Second)
			r.did()
			time.Sleep(3 * time.Minute)
			if got := r.did(); strings.Contains(got, "hangup") || strings.Contains(got, "dial") {
				t.Errorf("port lost %v: %s", lost, got)
			}
			r.expect("phases", r.phases(), "idle dialling connected voice")
		})
	}
}

// TestPlacingSurvives: a call that is being placed while the port was away has
// its time to be answered.
func TestPlacingSurvives(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		r.crash()
		r.did()
		r.modem.be(func(f *fakeModem) { f.call = modem.Alerting })
		time.Sleep(10 * time.Second)
		r.says(modem.Lost, modem.Ready)
		time.Sleep(89 * time.Second)
		r.expect("still", r.did(), "")
		time.Sleep(2 * time.Second)
		r.expect("nobody answers", r.did(), "hangup, "+autoDial+", load 1 automatic=true test=false")
	})
}

// TestListOfAnotherCall: what the modem listed before the newest Dial says
// nothing of that.
func TestListOfAnotherCall(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		r.crash()
		r.did()
		r.says(modem.Dialling)
		r.in <- looked{modem.Status{CallsKnown: true, Call: modem.Active}, question{}, false}
		r.expect("asked before the sign", string(r.now().Phase), "dialling")
		r.in <- looked{modem.Status{CallsKnown: true, Call: modem.Active}, question{serial: 1}, false}
		r.expect("asked after it", string(r.now().Phase), "connected")
	})
}

// TestCallInDoubt: a modem that came back and does not say which calls live may
// still have ours; it is asked again before another is placed.
func TestCallInDoubt(t *testing.T) {
	for _, c := range []struct {
		call modem.CallState
		want string
	}{{modem.Active, "voice"}, {modem.NoCall, "dialling"}} {
		simulated(t, testConfig, func(r *rig) {
			r.modem.be(func(f *fakeModem) { f.call = modem.Active })
			r.crash()
			r.says(modem.Dialling, modem.Answered, modem.T5)
			r.did()
			r.modem.be(func(f *fakeModem) { f.fail["status"] = modem.ErrSilent })
			r.says(modem.Lost, modem.Ready)
			r.expect("in doubt", string(r.now().Phase), "voice")
			r.modem.be(func(f *fakeModem) { f.fail["status"], f.call = nil, c.call })
			time.Sleep(21 * time.Second)
			r.expect("asked", string(r.now().Phase), c.want)
			if got := r.did(); strings.Contains(got, "dial") != (c.want == "dialling") {
				t.Errorf("%q: %s", c.call, got)
			}
		})
	}
}

// TestReadyAndGone: the answer of a modem that went meanwhile is nothing.
func TestReadyAndGone(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		r.crash()
		r.says(modem.Dialling, modem.Answered, modem.Lost)
		r.did()
		r.in <- looked{modem.Status{}, question{ready: true}, true}
		synctest.Wait()
		if s := r.now(); s.Faults[0] != "modem" || s.Phase != ecall.Connected {
			t.Errorf("status %+v", s)
		}
		r.expect("no call over nothing", r.did(), "")
	})
}

// TestTriggerOfItsOwn: a crash in a simulation that ends a test call is not
// vouched for by the key that was pressed before.
func TestTriggerOfItsOwn(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		r.expect("sos", r.ask(ecall.AskSOS), "ok")
		r.expect("cancel", r.ask(ecall.AskCancel), "ok")
		time.Sleep(31 * time.Second)
		r.expect("test", r.ask(ecall.AskTest), "ok")
		r.crash()
		synctest.Wait()
		r.stop()
		if r.loop.trigger.Physical() {
			t.Error("the crash counts as physical")
		}
	})
}

// TestCallOfTheProcessBefore: while a call lives that this program did not place,
// its MSD stays in the modem, and the settings are made later.
func TestCallOfTheProcessBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.Context(), testConfig, &fakeModem{
			caps: modem.Caps{Simulator: true, LateMSD: true}, call: modem.Active, fail: map[string]error{"prepare": modem.ErrCall},
		})
		r.says(modem.Ready)
		time.Sleep(time.Minute)
		r.says(modem.Answered)
		r.expect("hands off", r.did(), "")
		r.modem.be(func(f *fakeModem) { f.call, f.fail = modem.NoCall, nil })
		time.Sleep(6 * time.Second)
		r.expect("over", r.did(), "load 1 automatic=false test=false")
		r.stop()
	})
}

// TestCrashDuringSOS: from the crash on the call is automatic, in what the MSD
// says and in how it is dialled.
func TestCrashDuringSOS(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		r.expect("sos", r.ask(ecall.AskSOS), "ok")
		r.expect("manual", r.did(), "dial manual  armed=simulator number=false, load 1 automatic=false test=false")
		r.says(modem.Dialling)
		r.crash()
		r.expect("crash", r.did(), "load 1 automatic=true test=false")
		r.expect("cancel", r.ask(ecall.AskCancel), "no automatic")
		r.modem.events <- modem.Event{Kind: modem.Ended, Cause: modem.Busy}
		r.expect("again", r.did(), autoDial+", load 1 automatic=true test=false")
	})
}

// TestQuietReceiver: one that says nothing for 30 s is asked anew.
func TestQuietReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		go func() { _, _ = io.Copy(io.Discard, far) }() // a receiver that hears, and says nothing
		start := time.Now()
		err := fixes(near, zerolog.Nop(), func(any) {})
		if d := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || d != quiet {
			t.Errorf("%v after %v", err, d)
		}
		_ = near.Close()
		_ = far.Close()
	})
}

// TestForgotten: nothing of where the car was is left at the end.
func TestForgotten(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		r.in <- fix{gnss.Fix{Valid: true, Latitude: 57.7, Longitude: 11.97, Accuracy: 5}}
		synctest.Wait()
		r.crash()
		r.did()
		r.stop()
		if _, known := r.loop.course.Age(time.Now()); known {
			t.Error("a place is left")
		}
		for _, b := range r.loop.octets {
			if b != 0 {
				t.Fatal("an MSD is left")
			}
		}
	})
}

// TestWhoMayAsk: the user of this program, and root.
func TestWhoMayAsk(t *testing.T) {
	if !mayAsk(0, 1000) || !mayAsk(1000, 1000) || mayAsk(1001, 1000) || mayAsk(1001, 0) {
		t.Error("who may ask")
	}
}

// TestDialGoesFirst: an MSD that is being loaded, or waits to be, holds up no
// call.
func TestDialGoesFirst(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		r.modem.be(func(f *fakeModem) { f.stuck["load"] = true })
		r.in <- prepared{}
		r.expect("stuck", r.did(), "load 1 automatic=false test=false")
		r.crash()
		r.expect("the call", r.did(), autoDial+", load 1 automatic=true test=false")
	})
	simulated(t, testConfig, func(r *rig) {
		r.modem.be(func(f *fakeModem) { f.stuck["load"], f.stuck["hangup"] = true, true })
		r.loop.crew.post(order{do: hangup})
		r.expect("stuck", r.did(), "hangup")
		r.loop.crew.post(order{do: load, msd: r.loop.safetyNet()})
		r.loop.crew.post(order{do: dial, call: modem.Call{Kind: modem.Manual, Way: modem.Voice}}) // a rung without MSD
		r.expect("not yet", r.did(), "")
		time.Sleep(hangupLimit + time.Millisecond)
		r.expect("the call", r.did(), "dial manual voice armed=bench number=false")
	})
}

// TestOneCallForOneReturn: a modem that comes back and registers is told to call
// once, in whatever order it says so.
func TestOneCallForOneReturn(t *testing.T) {
	for _, net := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, t.Context(), testConfig, &fakeModem{caps: modem.Caps{Simulator: true, LateMSD: true}, fail: map[string]error{"dial": modem.ErrLost}})
			r.crash()
			time.Sleep(7 * time.Second)
			r.modem.be(func(f *fakeModem) { f.fail = nil })
			r.did()
			before := r.serial()
			r.modem.events <- modem.Event{Kind: modem.Ready}
			if net {
				r.modem.events <- modem.Event{Kind: modem.Net, Net: modem.Registered}
			}
			r.did()
			if n := r.serial() - before; n != 1 {
				t.Errorf("net %v: told to call %d times", net, n)
			}
			r.stop()
		})
	}
}
