package command

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/headunit-agent/headunit/agent/wire"
)

// TestAtMostOnce: whatever comes in whatever order, no number of a key is fresh
// twice, class A rises, and a repeat is told from a replay.
func TestAtMostOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Book
		type use struct {
			id   wire.ID
			hash wire.Hash
		}
		used := map[uint32]use{}
		var highest, highestA uint32
		for range rapid.IntRange(1, 200).Draw(t, "commands") {
			seq := uint32(max(1, int(highest)+rapid.IntRange(-80, 5).Draw(t, "seq")))
			u := use{id: wire.ID{rapid.Byte().Draw(t, "id") % 2}, hash: wire.Hash{rapid.Byte().Draw(t, "hash") % 2}}
			classA := rapid.Bool().Draw(t, "A")
			got := b.judge(wire.Kid{1}, seq, u.id, u.hash, classA)
			before, was := used[seq]
			old := highest >= window && seq <= highest-window
			switch got {
			case fresh:
				if was || old || classA && seq <= highestA {
					t.Fatalf("%d is fresh: used %v, highest %d, class A %d", seq, was, highest, highestA)
				}
				used[seq] = u
				highest = max(highest, seq)
				if classA {
					highestA = max(highestA, seq)
				}
			case repeat:
				if !was || before != u {
					t.Fatalf("%d is a repeat of something else", seq)
				}
			case replayed:
				if !was && !old && (!classA || seq > highestA) {
					t.Fatalf("%d was new, highest %d, class A %d", seq, highest, highestA)
				}
			}
		}
		if b.Highest(wire.Kid{1}) != highest || b.Highest(wire.Kid{2}) != 0 {
			t.Fatalf("highest is %d", b.Highest(wire.Kid{1}))
		}
	})
}

func TestStoredResult(t *testing.T) {
	var b Book
	kid, id, hash := wire.Kid{1}, wire.ID{2}, wire.Hash{3}
	if b.judge(kid, 5, id, hash, true) != fresh || b.noted(kid, 5) != nil {
		t.Error("not fresh, or with a result")
	}
	b.Note(kid, 5, []byte("result"))
	b.Note(kid, 6, []byte("of nothing"))
	if b.judge(kid, 5, id, hash, true) != repeat || string(b.noted(kid, 5)) != "result" {
		t.Error("the result is lost")
	}
	if b.judge(wire.Kid{9}, 5, id, hash, true) != fresh {
		t.Error("keys share numbers")
	}
	for _, seq := range []uint32{0} {
		if b.judge(kid, seq, id, hash, false) != replayed {
			t.Errorf("%d was taken", seq)
		}
	}
}

func TestWindow(t *testing.T) {
	for _, c := range []struct {
		highest uint32
		seen    uint64
		seq     uint32
		ok      bool
	}{
		{0, 0, 1, true},
		{100, 1, 100, false},
		{100, 1, 99, true},
		{100, 1, 37, true},
		{100, 1, 36, false},
		{100, 1 | 1<<63, 37, false},
		{100, 1, 164, true},
		{100, 1, wire.MaxSeq, true},
	} {
		h, seen, ok := slide(c.highest, c.seen, c.seq)
		if ok != c.ok || ok && (h < c.seq || seen&(1<<(h-c.seq)) == 0) || !ok && (h != c.highest || seen != c.seen) {
			t.Errorf("%+v: %d %b %v", c, h, seen, ok)
		}
	}
}
