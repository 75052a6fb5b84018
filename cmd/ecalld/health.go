package main

import (
	"time"

	"github.com/headunit-agent/headunit/cmd/ecalld/internal/ecall"
	"github.com/headunit-agent/headunit/cmd/ecalld/internal/modem"
)

// publish hands a new status over when it changed, and now and then.
func (l *loop) publish(now time.Time) {
	st := ecall.Status{Net: string(l.net), Armed: l.armed(), Faults: l.faults(now), Unmonitored: l.unmonitored()}
	if st.Net == "" {
		st.Net = "unknown"
	}
	st.Fill(l.state)
	if text := string(st.Encode()); text != l.told || now.Sub(l.toldAt) >= statusEvery {
		l.told, l.toldAt = text, now
		l.toldSeq++
		st.Seq = l.toldSeq
		l.status(st.Encode())
	}
}

// armed says whether any trigger that this unit has could reach an emergency
// number.
func (l *loop) armed() string {
	best := modem.ScreenTrigger(l.config.SOS.Screen)
	for _, t := range l.triggers {
		if t.Physical() {
			best = t
		}
	}
	a, _ := modem.Arm(l.modem, best) // not armed: the zero value, "bench"
	return a.String()
}

// faults are the codes of the self-test (EU 2017/79, Annex VII, and ours).
func (l *loop) faults(now time.Time) []string {
	var list []string
	for _, f := range []struct {
		is   bool
		code string
	}{
		{l.state.Lost, "modem"},
		{!l.state.Lost && l.sim != "" && l.sim != "ready", "sim"},
		{l.detector.Silent(now), "crash"},
		{!all(l.up), "bus"},
		{l.fixAt.IsZero() || now.Sub(l.fixAt) > fixAge, "gnss"},
		{l.state.Stuck, "sos"},
		{l.wrong, "config"},
		{l.config.Test == "", "numbers"},
	} {
		if f.is {
			list = append(list, f.code)
		}
	}
	return list
}

func all(list []bool) bool {
	for _, is := range list {
		if !is {
			return false
		}
	}
	return true
}

// unmonitored is what nothing here measures. It is never said to be good.
func (l *loop) unmonitored() []string {
	list := []string{"antenna_net", "antenna_gnss", "power", "battery"}
	if l.sim == "" {
		list = append(list, "sim")
	}
	return list
}
