package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/agent/gnss"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/ecall"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/modem"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/msd"
)

const testConfig = `{"v":1,"vin":"WM9VDSVDSYA123456","type":"M1","storage":["gasoline","electric"],
 "numbers":{"test":"+46700000001","breakdown":"+46700000002"},
 "crash":[{"bus":"drive","id":64,"len":8,"e2e":{"kind":"vw","const":"40"},"any":[16,17,18,19,20],"zero":[28,29]}],
 "ignition":{"bus":"drive","id":960,"len":4,"e2e":{"kind":"vw","const":"C3"},"any":[17]},
 "sos":{"bus":"body","id":1000,"len":1,"any":[0],"screen":true}}
`

const autoDial = "dial automatic  armed=simulator number=false"

// TestCrashToCallback is the whole way.
func TestCrashToCallback(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		r.in <- fix{gnss.Fix{Valid: true, Time: time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC), Latitude: 57.7, Longitude: 11.97, Accuracy: 5}}
		synctest.Wait()
		time.Sleep(3 * time.Second)
		r.crash()
		r.expect("crash", r.did(), autoDial+", load 1 automatic=true test=false")
		m := r.modem.lastMSD()
		if string(m.VIN[:]) != "WM9VDSVDSYA123456" || m.Timestamp != uint32(time.Date(2026, 5, 1, 10, 0, 3, 0, time.UTC).Unix()) ||
			!m.Trusted || m.Position != (msd.Position{Latitude: 207720000, Longitude: 43092000}) {
			t.Errorf("the MSD of the crash: %v", m)
		}
		r.says(modem.Dialling, modem.Ringing, modem.Answered, modem.Codec, modem.Start, modem.LLAck, modem.ALAck, modem.Codec)
		r.expect("voice", r.did(), "load 2 automatic=true test=false")
		r.in <- fix{gnss.Fix{Valid: true, Time: time.Date(2026, 5, 1, 10, 0, 9, 0, time.UTC), Latitude: 57.8, Longitude: 11.97, Accuracy: 5}}
		time.Sleep(5 * time.Second)
		r.expect("5 s later", r.did(), "load 2 automatic=true test=false")
		if next := r.modem.lastMSD(); next.Timestamp != m.Timestamp || next.Position == m.Position {
			t.Error("a fresh MSD has the newest place and the time of the incident")
		}
		r.says(modem.Start, modem.LLAck, modem.ALAck)
		r.expect("asked again", r.did(), "load 3 automatic=true test=false")
		r.modem.events <- modem.Event{Kind: modem.Ended, Cause: modem.Normal}
		r.expect("phases", r.phases(), "idle dialling connected sending acking voice sending acking voice callback")
		if s := r.now(); s.MSD != ecall.Delivered || s.Kind != ecall.Automatic || s.Armed != "simulator" || s.CallbackEnd == 0 {
			t.Errorf("status %+v", s)
		}
		r.says(modem.Incoming)
		r.expect("call-back", r.did(), "answer, load 3 automatic=true test=false")
		r.modem.events <- modem.Event{Kind: modem.Ended, Cause: modem.Normal}
		time.Sleep(12*time.Hour + time.Second)
		r.expect("afterwards", r.phases()[len(r.phases())-4:], "idle")
	})
}

// TestKeyOnTheBus: held 3 s, and again 2 s.
func TestKeyOnTheBus(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		r.send(1000, 0)
		time.Sleep(2900 * time.Millisecond)
		r.expect("not yet", r.did(), "")
		time.Sleep(200 * time.Millisecond)
		r.expect("held", r.did(), "dial manual  armed=simulator number=false, load 1 automatic=false test=false")
		r.send(1000, -1)
		r.send(1000, 0)
		time.Sleep(2100 * time.Millisecond)
		r.expect("held again", r.did(), "hangup")
		time.Sleep(time.Minute)
		if s := r.now(); !slices.Contains(s.Faults, "sos") {
			t.Errorf("stuck for a minute: faults %v", s.Faults)
		}
		r.expect("phases", r.phases(), "idle pressed dialling idle")
	})
}

// TestBench: without an armed unit and a physical trigger no emergency number is
// dialled.
func TestBench(t *testing.T) {
	if _, err := modem.Arm(&fakeModem{}, modem.ScreenTrigger(true)); err == nil {
		t.Skip("a build for the road is armed")
	}
	for _, c := range []struct{ config, did, phases string }{
		{testConfig, "dial test  armed=bench number=true, load 1 automatic=true test=true", "idle dialling idle"},
		{strings.Replace(testConfig, `"test":"+46700000001",`, "", 1), "load 1 automatic=true test=false", "idle dialling idle"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, t.Context(), c.config, &fakeModem{caps: modem.Caps{LateMSD: true}})
			r.says(modem.Ready)
			r.did()
			r.crash()
			if got := r.did(); !strings.HasSuffix(got, c.did) || strings.Contains(got, "dial automatic") || strings.Contains(got, "dial manual") {
				t.Errorf("did %s, want %s", got, c.did)
			}
			if s := r.now(); s.Armed != "bench" {
				t.Errorf("armed %s", s.Armed)
			}
			time.Sleep(21 * time.Second)
			r.expect("phases", r.phases(), c.phases)
			r.stop()
		})
	}
}

// TestLateModem: a crash before the modem is there is not forgotten.
func TestLateModem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, t.Context(), testConfig, &fakeModem{caps: modem.Caps{Simulator: false, LateMSD: true}})
		r.crash()
		time.Sleep(7 * time.Second)
		r.did()
		if s := r.now(); s.Phase != ecall.Redial || !slices.Contains(s.Faults, "modem") {
			t.Errorf("status %+v", s)
		}
		r.modem.be(func(f *fakeModem) { f.caps.Simulator = true })
		r.says(modem.Ready)
		r.expect("ready", r.did(), autoDial+", load 1 automatic=true test=false")
		r.stop()
	})
}

// TestOnePort: the MSD goes first, and may not hold up the call.
func TestOnePort(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		r.modem.be(func(f *fakeModem) { f.caps.LateMSD = false })
		r.crash()
		r.expect("one port", r.did(), "load 1 automatic=true test=false, "+autoDial)
		r.says(modem.Dialling)
		r.modem.events <- modem.Event{Kind: modem.Ended, Cause: modem.Busy}
		synctest.Wait()
		r.did()
		r.modem.be(func(f *fakeModem) { f.stuck["load"] = true })
		r.says(modem.Dialling)
		r.modem.events <- modem.Event{Kind: modem.Ended, Cause: modem.Busy}
		time.Sleep(5*time.Second + 399*time.Millisecond)
		r.expect("the MSD does not go", r.did(), "load 1 automatic=true test=false")
		time.Sleep(2 * time.Millisecond)
		r.expect("the call goes", r.did(), autoDial+", load 1 automatic=true test=false")
	})
}

// TestLadder: a modem that refuses the command is asked otherwise, and reset in
// the end.
func TestLadder(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		r.modem.be(func(f *fakeModem) { f.fail["dial"] = fmt.Errorf("+CME ERROR: 4: %w", modem.ErrRefused) })
		r.crash()
		time.Sleep(40 * time.Second)
		var got []string
		for s := range strings.SplitSeq(r.did(), ", ") {
			if !strings.HasPrefix(s, "load") {
				got = append(got, strings.TrimSuffix(s, " armed=simulator number=false"))
			}
		}
		r.expect("ladder", strings.Join(got, ", "),
			"dial automatic , dial automatic , dial automatic , dial automatic other, dial automatic voice, reset functionality")
	})
}

// TestModemLost: a call that did not survive the modem is placed again, one that
// did goes on.
func TestModemLost(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		r.modem.be(func(f *fakeModem) { f.call = modem.Active })
		r.crash()
		r.says(modem.Dialling, modem.Answered, modem.Start, modem.LLAck, modem.ALAck)
		r.did()
		r.says(modem.Lost, modem.Ready)
		r.expect("it lives", r.did(), "")
		r.modem.be(func(f *fakeModem) { f.call = modem.NoCall })
		r.says(modem.Lost, modem.Ready)
		r.expect("it does not", r.did(), autoDial+", load 2 automatic=true test=false")
	})
}

// TestSilentEnd: a call that the modem lists no more is over, even if it never
// said so. Without an AL-ACK it is placed again.
func TestSilentEnd(t *testing.T) {
	for _, c := range []struct {
		acked bool
		want  string
	}{{true, "voice callback"}, {false, "voice dialling"}} {
		simulated(t, testConfig, func(r *rig) {
			r.modem.be(func(f *fakeModem) { f.call = modem.Active })
			r.crash()
			r.says(modem.Dialling, modem.Answered, modem.Start, modem.LLAck)
			if c.acked {
				r.says(modem.ALAck)
			} else {
				r.says(modem.T6)
			}
			time.Sleep(time.Minute)
			r.expect("it lives", string(r.now().Phase), "voice")
			r.modem.be(func(f *fakeModem) { f.call = modem.NoCall })
			time.Sleep(21 * time.Second)
			if got := r.phases(); !strings.HasSuffix(got, c.want) {
				t.Errorf("acknowledged %v: %s, want %s", c.acked, got, c.want)
			}
		})
	}
}

// TestStuckModem: nothing that the modem does not answer holds up the loop, and
// a call does not wait for an assistance call.
func TestStuckModem(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		for _, verb := range []string{"dial", "load", "hangup", "status", "prepare", "answer"} {
			r.modem.be(func(f *fakeModem) { f.stuck[verb] = true })
		}
		r.expect("breakdown", r.ask(ecall.AskBreakdown), "ok")
		r.expect("a call", r.did(), "dial assist  armed=bench number=true")
		r.crash()
		r.expect("crash", r.did(), "hangup")
		time.Sleep(1001 * time.Millisecond)
		r.expect("a second later", r.did(), autoDial)
		r.expect("still there", r.ask(ecall.AskPing), "ok")
	})
}

// TestRequests is what the people in the car can ask for, and when not.
func TestRequests(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		for i, c := range []struct {
			ask  ecall.Request
			want string
		}{
			{ecall.AskPing, "ok"},
			{ecall.AskCancel, "no call"},
			{ecall.AskHangUp, "no call"},
			{ecall.AskAnswer, "no call"},
			{ecall.AskService, "no number"},
			{ecall.AskBreakdown, "ok"},
			{ecall.AskTest, "no busy"},
			{ecall.AskHangUp, "ok"},
			{ecall.AskTest, "ok"},
			{ecall.AskSOS, "ok"}, // ends the test
			{ecall.AskSOS, "no busy"},
			{ecall.AskHangUp, "no call"},
			{ecall.AskCancel, "ok"},
			{ecall.AskSOS, "no too soon"},
		} {
			if got := r.ask(c.ask); got != c.want {
				t.Errorf("%d: %s: %s, want %s", i, c.ask, got, c.want)
			}
			synctest.Wait()
		}
		time.Sleep(31 * time.Second)
		r.expect("later", r.ask(ecall.AskSOS), "ok")
		r.expect("called", r.did()[:4], "dial")
	})
	simulated(t, strings.Replace(testConfig, `"screen":true`, `"screen":false`, 1), func(r *rig) {
		r.expect("not installed", r.ask(ecall.AskSOS), "no screen")
	})
}

// TestStatus: every 10 s, and at each change; the faults come and go.
func TestStatus(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		first := r.now()
		if got := strings.Join(first.Faults, " "); got != "gnss" || first.Net != "registered" || first.Lamp != ecall.LampLimited {
			t.Errorf("faults %s, net %s, lamp %s", got, first.Net, first.Lamp)
		}
		time.Sleep(10 * time.Second)
		if s := r.now(); s.Seq != first.Seq+1 {
			t.Errorf("after 10 s: %d, was %d", s.Seq, first.Seq)
		}
		r.in <- fix{}
		r.in <- busDown{1}
		r.says(modem.Lost)
		if s := r.now(); strings.Join(s.Faults, " ") != "modem bus" || s.Net != "unknown" {
			t.Errorf("status %+v", s)
		}
	})
}

// TestClock: satellites before the system clock before nothing, and one time for
// one incident.
func TestClock(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		wall := time.Date(1970, 1, 1, 0, 1, 0, 0, time.UTC)
		r.mu.Lock()
		r.wall = func() time.Time { return wall }
		r.mu.Unlock()
		stamp := func() uint32 {
			synctest.Wait()
			return r.modem.lastMSD().Timestamp
		}
		r.crash()
		if got := stamp(); got != 0 {
			t.Errorf("in 1970: %d", got)
		}
		incident := time.Now()
		r.says(modem.Dialling, modem.Answered, modem.T5)
		time.Sleep(time.Second)
		utc := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
		r.in <- fix{gnss.Fix{Time: utc.Add(time.Since(incident))}}
		time.Sleep(5 * time.Second)
		if got := stamp(); got != uint32(utc.Unix()) {
			t.Errorf("corrected: %d, want %d", got, utc.Unix())
		}
		r.in <- fix{gnss.Fix{Time: utc.Add(time.Hour)}}
		time.Sleep(5 * time.Second)
		if got := stamp(); got != uint32(utc.Unix()) {
			t.Errorf("frozen: %d", got)
		}
	})
}

// TestOldReceiver: one that is 1024 weeks behind does not outdo the system clock.
func TestOldReceiver(t *testing.T) {
	simulated(t, testConfig, func(r *rig) {
		wall := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
		r.mu.Lock()
		r.wall = func() time.Time { return wall }
		r.mu.Unlock()
		r.in <- fix{gnss.Fix{Time: wall.AddDate(0, 0, -7*1024)}}
		synctest.Wait()
		r.crash()
		r.did()
		if got := r.modem.lastMSD().Timestamp; got != uint32(wall.Unix()) {
			t.Errorf("time of the incident %d, want %d", got, wall.Unix())
		}
	})
}

// BenchmarkCrashToDial is from the frame that completes the rule to the modem's
// Dial, in process.
func BenchmarkCrashToDial(b *testing.B) {
	dialled := make(chan struct{}, 1)
	f := &fakeModem{caps: modem.Caps{Simulator: true, LateMSD: true}}
	r := newRig(b, b.Context(), testConfig, f)
	defer r.stop()
	f.events <- modem.Event{Kind: modem.Ready}
	r.loop.crew.modem = dialSpy{f, dialled}
	wait := func(p ecall.Phase) {
		for {
			r.mu.Lock()
			is := r.status.Phase
			r.mu.Unlock()
			if is == p {
				return
			}
			r.ask(ecall.AskPing)
		}
	}
	for b.Loop() {
		b.StopTimer()
		r.send(960, 17)
		r.send(64, -1)
		r.send(64, 16)
		r.ask(ecall.AskPing)
		b.StartTimer()
		r.send(64, 16)
		<-dialled
		b.StopTimer()
		f.events <- modem.Event{Kind: modem.Answered}
		f.events <- modem.Event{Kind: modem.Ended, Cause: modem.Normal}
		wait(ecall.Callback)
		b.StartTimer()
	}
}

type dialSpy struct {
	*fakeModem
	dialled chan struct{}
}

func (d dialSpy) Dial(context.Context, modem.Call) error {
	d.dialled <- struct{}{}
	return nil
}
