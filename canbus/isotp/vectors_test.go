package isotp

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/headunit-agent/headunit/canbus"
)

var start = time.Unix(1_700_000_000, 0)

type vectorFrame struct {
	ID   uint32
	Ext  bool
	FD   bool
	Data string
}

func (v vectorFrame) frame(t *testing.T) canbus.Frame {
	t.Helper()
	f := canbus.Frame{ID: v.ID, Len: uint8(len(v.Data) / 2)}
	if v.Ext {
		f.Flags |= canbus.Extended
	}
	if v.FD {
		f.Flags |= canbus.FD
	}
	if _, err := hex.Decode(f.Data[:], []byte(v.Data)); err != nil {
		t.Fatal(err)
	}
	return f
}

type vectorParams struct {
	STmin  uint8 `json:"stmin"`
	Block  uint8 `json:"blocksize"`
	Length int   `json:"tx_data_length"`
	Pad    *byte `json:"tx_padding"`
	FD     bool  `json:"can_fd"`
	Most   int   `json:"max_frame_size"`
}

func (p vectorParams) link() *Link {
	l := &Link{FD: p.FD, Length: p.Length, Most: p.Most, Block: p.Block, STmin: p.STmin, Padding: Short}
	if p.Pad != nil {
		l.Padding = Pad(*p.Pad)
	}
	return l
}

type vector struct {
	Mode     string
	Params   vectorParams
	RxParams vectorParams
	Payload  string
	TxFrames []vectorFrame `json:"tx_frames"`
	FcFrames []vectorFrame `json:"fc_frames"`
}

// modes are the addresses of the sender.
var modes = map[string]Address{
	"normal11":         Normal(0x7E0, 0x7E8),
	"normal11_pad55":   Normal(0x7E0, 0x7E8),
	"normal11_bs8_st1": Normal(0x7E0, 0x7E8),
	"normal29":         Normal29(0x17FC007B, 0x17FE007B),
	"normal29fixed":    Fixed(0x10, 0xF1),
	"extended11":       Normal(0x6F1, 0x612).Extend(0x12, 0xF1),
	"mixed11":          Normal(0x7E0, 0x7E8).Mix(0x99),
	"fd64":             Normal(0x7E0, 0x7E8),
}

func vectors(t testing.TB) []vector {
	t.Helper()
	file, err := os.Open("../../../shared/data/vectors/isotp_vectors.jsonl")
	if err != nil {
		t.Skipf("no reference values: %v", err)
	}
	defer file.Close()
	var all []vector
	s := bufio.NewScanner(file)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var v vector
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

// TestVectors has a sender and a receiver of ours make, and understand, every
// frame that another implementation made.
func TestVectors(t *testing.T) {
	all := vectors(t)
	if len(all) != 49 {
		t.Errorf("%d transfers", len(all))
	}
	for i, v := range all {
		payload, err := hex.DecodeString(v.Payload)
		if err != nil {
			t.Fatal(err)
		}
		a, known := modes[v.Mode]
		if !known {
			t.Fatalf("mode %q", v.Mode)
		}
		w := wire{t: t, now: start}
		w.join(v.Params.link(), v.RxParams.link(), a, payload)
		got := w.run()
		if w.sendErr != nil || len(got) != 1 || !bytes.Equal(got[0].payload, payload) {
			t.Fatalf("%d %s: %v, %d payloads", i, v.Mode, w.sendErr, len(got))
		}
		compare(t, v.Mode+" sent", v.TxFrames, w.there)
		compare(t, v.Mode+" flow", v.FcFrames, w.back)
	}
}

func compare(t *testing.T, what string, want []vectorFrame, got []canbus.Frame) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%s: %d frames, want %d", what, len(got), len(want))
	}
	for i := range want {
		if w := want[i].frame(t); w != got[i] {
			t.Fatalf("%s, frame %d:\n got %+v\nwant %+v", what, i, got[i], w)
		}
	}
}
