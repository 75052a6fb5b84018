package uds_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headunit-agent/headunit/canbus"
	"github.com/headunit-agent/headunit/canbus/isotp"
	"github.com/headunit-agent/headunit/canbus/uds"
)

// The transport fits without knowing of it.
var (
	_ uds.Conn  = (*isotp.Conn)(nil)
	_ uds.Group = (*isotp.Group)(nil)
)

// replay hands the payloads of a recording to found.
func replay(t *testing.T, name string, found func(id uint32, b []byte)) {
	t.Helper()
	file, err := os.Open("../../../shared/data/logs/" + name)
	if err != nil {
		t.Skipf("no recording: %v", err)
	}
	defer file.Close()
	m := isotp.NewMonitor(0)
	lines := canbus.NewReader(name, file)
	for {
		l, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		m.Step(l.At, &l.Frame, func(m isotp.Message) {
			if m.Err == nil {
				found(m.ID, m.Payload)
			}
		})
	}
}

// kind names a payload: a request by its first octets, an answer by what it
// decodes to. ok is false where a decoder says that it is none.
func kind(b []byte) (name string, ok bool) {
	var err error
	if n, is := uds.DecodeNegative(b); is {
		return fmt.Sprintf("7F %02X %02X", uint8(n.Service), uint8(n.Code)), true
	}
	switch b[0] {
	case 0x41:
		pids := []byte{b[1]}
		_, err = uds.DecodePIDs(b, pids)
	case 0x43, 0x47, 0x4A:
		_, err = uds.DecodeCodes(b, uds.Service(b[0]-0x40))
	case 0x49:
		_, err = uds.DecodeVehicle(b, b[1])
	case 0x50:
		_, err = uds.DecodeSession(b)
	case 0x59:
		_, err = uds.DecodeDTCList(b)
	case 0x62:
		_, err = uds.DecodeData(b, []uint16{uint16(b[1])<<8 | uint16(b[2])}, nil)
	case 0x01, 0x03, 0x07, 0x09, 0x0A, 0x10, 0x19:
		_, err = uds.DecodeRequest(b)
	}
	name = fmt.Sprintf("%02X", b[0])
	switch b[0] {
	case 0x10, 0x50:
		name += fmt.Sprintf(" %02X", b[1])
	}
	return name, err == nil || name == "10 90" // which is KWP 2000
}

// TestRecordings: the figures were counted by another program from the same
// files. 18 and 58, 20 and 60 are KWP 2000, an older protocol than UDS.
func TestRecordings(t *testing.T) {
	for name, want := range map[string]map[string]int{
		"hyundai_kona/221210-1-2021-dcan-car-scanner-elm327.log": {
			"01": 359, "03": 2, "07": 2, "09": 5, "0A": 1, "10 03": 127, "10 90": 99, "18": 82, "19": 54, "20": 138,
			"41": 657, "43": 8, "47": 8, "49": 8, "4A": 3, "50 03": 35, "50 90": 13, "58": 21, "59": 43, "60": 36,
			"7F 10 12": 10, "7F 18 11": 41, "7F 18 12": 9, "7F 18 21": 3, "7F 19 11": 12, "7F 19 12": 7, "7F 19 22": 2, "7F 19 31": 6,
			"7F 19 78": 12, "7F 19 7F": 1, "7F 20 00": 2, "7F 20 11": 5, "7F 20 78": 2, "7F 20 7F": 1,
		},
		"hyundai_kona/221210-2-2021-dcan-car-scanner-elm327-vcu-mcu-only.log": {
			"01": 124, "03": 2, "07": 2, "0A": 2, "10 03": 12, "10 90": 6, "18": 45, "19": 21, "20": 12,
			"41": 246, "43": 8, "47": 8, "4A": 6, "50 03": 4, "50 90": 4, "58": 26, "59": 28, "60": 12,
			"7F 10 12": 8, "7F 18 11": 17, "7F 18 12": 11, "7F 18 21": 3, "7F 19 11": 12, "7F 19 12": 9, "7F 19 22": 1, "7F 19 31": 2, "7F 19 78": 5,
		},
		"css_mf4/17BD1DB7_00000006_00000170.log": {"62": 270},
	} {
		got := map[string]int{}
		bad := map[string]int{}
		replay(t, name, func(id uint32, b []byte) {
			k, ok := kind(b)
			got[k]++
			if !ok {
				bad[fmt.Sprintf("%03X %x", id, b)]++
			}
		})
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v", name, got)
		}
		if len(bad) > 0 {
			t.Errorf("%s: cannot be decoded: %v", name, bad)
		}
	}
}

// TestRecordedCodes are some that can be read in the recording with the eye.
func TestRecordedCodes(t *testing.T) {
	codes := map[string]int{}
	names := map[string]bool{}
	replay(t, "hyundai_kona/221210-1-2021-dcan-car-scanner-elm327.log", func(id uint32, b []byte) {
		if l, err := uds.DecodeDTCList(b); err == nil {
			for _, c := range l.Codes {
				codes[fmt.Sprintf("%03X %v %02X", id, c.DTC, uint8(c.Status))]++
			}
		}
		for _, item := range []byte{uds.ItemVIN, uds.ItemName} {
			texts, err := uds.DecodeVehicle(b, item)
			if err != nil {
				continue
			}
			for _, text := range texts {
				if _, err := uds.ParseVIN(text); err == nil {
					t.Errorf("%03X has a VIN", id)
				}
				names[strings.TrimSpace(text)] = true
			}
		}
	})
	for _, want := range []string{"7BF C1812-87 28", "778 B1603-00 08", "778 B2801-00 08", "7CE B1001-52 09"} {
		if codes[want] == 0 {
			t.Errorf("no %s in %v", want, codes)
		}
	}
	for _, want := range []string{"OSEV__ BMS", "BECM-B+EnergyCtrl", "BCCM-B+ChargerCtrl"} {
		if !names[want] {
			t.Errorf("no %q in %v", want, names)
		}
	}
}

// ecu answers requests from a script; "…" waits.
func ecu(ctx context.Context, t *testing.T, e *isotp.Endpoint, a uds.Address, script map[string][]string) {
	c, err := e.Listen(isotp.Normal(a.Answer, a.Request))
	if err != nil {
		t.Error(err)
		return
	}
	for {
		b, err := c.Receive(ctx, time.Hour)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		for _, answer := range script[hex.EncodeToString(b)] {
			out, err := hex.DecodeString(answer)
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(30 * time.Millisecond)                            // of the bubble
			if err := c.Send(ctx, out); err != nil && ctx.Err() == nil { // the report may end before this does
				t.Errorf("%x: %v", b, err)
			}
		}
	}
}

// TestHealthReport: a whole report over a bus in memory, as the agent runs one:
// a unit that answers in many frames and slowly, one that needs more time, one
// that is silent.
func TestHealthReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		m := canbus.NewMemory()
		endpoint := func(l isotp.Link) *isotp.Endpoint {
			e, err := isotp.NewEndpoint(m.Attach(0), isotp.Config{Link: l})
			if err != nil {
				t.Fatal(err)
			}
			all.Go(func() { _ = e.Run(ctx) })
			synctest.Wait()
			return e
		}
		const vin = "TMBJJ7NE8L0123456" // made up
		units := append([]uds.ECU(nil), uds.VWUnits[:4]...)
		many := "5902ff" + strings.Repeat("c1210008", 200)
		cars, tester := endpoint(isotp.Link{STmin: 1}), endpoint(isotp.Link{STmin: 5})
		scripts := []map[string][]string{
			{"22f190": {"62f190" + hex.EncodeToString([]byte(vin))}, "19020d": {"5902ff"}, "222af7": {"622af72134fffffe0c005f3c"}},
			{"19020d": {many}, "222203": {"7f2231"}},
			{"19020d": {"7f1978", "7f1978", "5902ff900a1309"}},
		}
		for i, s := range scripts {
			all.Go(func() { ecu(ctx, t, cars, units[i].Address, s) })
		}
		synctest.Wait() // until they listen
		seen := []uds.Sighting{{Source: "broadcast"}}
		seen[0].VIN, _ = uds.ParseVIN(vin)
		r, err := uds.NewReport(uds.Plan{ECUs: units, Seen: seen}, uds.DefaultReportLimits)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		f := drive(t, r, tester, units)
		if took := time.Since(began); took < 1400*time.Millisecond || took > 4*time.Second {
			t.Errorf("took %v", took)
		}
		if f.Stopped != "" || f.VIN.Reveal() != vin || f.Supply == nil {
			t.Errorf("%+v", f)
		}
		for i, want := range []struct {
			state uds.OutcomeKind
			codes int
		}{{uds.Heard, 0}, {uds.Heard, 200}, {uds.Heard, 1}, {uds.Silent, 0}} {
			if u := f.Units[i]; u.State != want.state || len(u.Codes) != want.codes {
				t.Errorf("%s: %s, %d codes", u.Name, u.State, len(u.Codes))
			}
		}
		cancel()
		all.Wait()
	})
}

// drive is the loop around a report.
func drive(t *testing.T, r *uds.Report, e *isotp.Endpoint, units []uds.ECU) uds.Findings {
	t.Helper()
	outcomes := make([]uds.Outcome, len(r.Questions()))
	pace := &uds.Pace{Gap: 200 * time.Millisecond}
	s, acts := r.Step(uds.ReportState{}, time.Now(), uds.Start{})
	for {
		var ev uds.ReportEvent = uds.Tick{}
		for _, a := range acts {
			switch a.Do {
			case uds.Finish:
				return r.Findings(s, outcomes)
			case uds.Ask:
				q := r.Questions()[a.Number]
				addr := units[q.ECU].Address
				c, err := e.Open(isotp.Normal(addr.Request, addr.Answer))
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithDeadline(t.Context(), s.Deadline)
				outcomes[a.Number] = uds.Judge(uds.NewClient(c, uds.DefaultLimits, pace).Ask(ctx, q.Request))
				cancel()
				if err := c.Close(); err != nil {
					t.Error(err)
				}
				ev = uds.Answered{Number: a.Number, Outcome: outcomes[a.Number]}
			}
		}
		if _, tick := ev.(uds.Tick); tick {
			time.Sleep(time.Until(s.Deadline)) // of the bubble
		}
		s, acts = r.Step(s, time.Now(), ev)
	}
}
