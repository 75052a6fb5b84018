package command

import "github.com/headunit-agent/headunit/agent/wire"

// window is how many numbers below the highest one of a key may still come, and
// how many results of a key are kept to be said again.
const window = 64

// A Book remembers which numbers of which keys are used up, and what came of
// them. It belongs to one epoch: with the process it ends, and so do all
// commands made for it. The zero value is ready.
type Book struct {
	pages map[wire.Kid]*page
}

type page struct {
	highest  uint32
	seen     uint64 // bit n: highest-n has come
	highestA uint32 // of class A
	lines    [window]line
}

type line struct {
	seq    uint32
	id     wire.ID
	hash   wire.Hash
	result []byte
}

// A mark is what the book says of a number.
type mark string

const (
	fresh    mark = "fresh"    // it is used up from now on
	repeat   mark = "repeat"   // the very same command came before
	replayed mark = "replayed" // another one has it, or it is too old, or out of order
)

// judge uses up the number seq of a key. Class A rises strictly: an older one
// that comes late is as good as replayed.
func (b *Book) judge(kid wire.Kid, seq uint32, id wire.ID, hash wire.Hash, classA bool) mark {
	if b.pages == nil {
		b.pages = map[wire.Kid]*page{}
	}
	p := b.pages[kid]
	if p == nil {
		p = &page{}
		b.pages[kid] = p
	}
	if l := &p.lines[seq%window]; l.seq == seq && p.has(seq) {
		if l.id == id && l.hash == hash {
			return repeat
		}
		return replayed
	}
	highest, seen, ok := slide(p.highest, p.seen, seq)
	if !ok || classA && seq <= p.highestA {
		return replayed
	}
	p.highest, p.seen = highest, seen
	if classA {
		p.highestA = seq
	}
	p.lines[seq%window] = line{seq: seq, id: id, hash: hash}
	return fresh
}

// has reports whether seq has come and is still within the window.
func (p *page) has(seq uint32) bool {
	return seq != 0 && seq <= p.highest && p.highest-seq < window && p.seen&(1<<(p.highest-seq)) != 0
}

// slide takes seq into the window below highest. It is refused when it has come
// already or is older than the window.
func slide(highest uint32, seen uint64, seq uint32) (uint32, uint64, bool) {
	if seq > highest {
		if by := seq - highest; by < window {
			return seq, seen<<by | 1, true
		}
		return seq, 1, true
	}
	back := highest - seq
	if seq == 0 || back >= window || seen&(1<<back) != 0 {
		return highest, seen, false
	}
	return highest, seen | 1<<back, true
}

// Highest is the highest number that a key has used up, 0 for none.
func (b *Book) Highest(kid wire.Kid) uint32 {
	if p := b.pages[kid]; p != nil {
		return p.highest
	}
	return 0
}

// Note keeps the signed result of a number, to be said again when the command
// comes again.
func (b *Book) Note(kid wire.Kid, seq uint32, result []byte) {
	if p := b.pages[kid]; p != nil {
		if l := &p.lines[seq%window]; l.seq == seq {
			l.result = result
		}
	}
}

func (b *Book) noted(kid wire.Kid, seq uint32) []byte {
	if p := b.pages[kid]; p != nil {
		if l := p.lines[seq%window]; l.seq == seq {
			return l.result
		}
	}
	return nil
}
