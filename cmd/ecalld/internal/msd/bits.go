package msd

// A writer appends bits, the most significant first.
type writer struct {
	dst  []byte
	acc  uint64
	have uint // bits in acc, below 8 between calls
}

// put appends the n low bits of v; n is at most 32.
func (w *writer) put(v uint32, n uint) {
	w.acc = w.acc<<n | uint64(v)&(1<<n-1)
	for w.have += n; w.have >= 8; {
		w.have -= 8
		w.dst = append(w.dst, byte(w.acc>>w.have))
	}
}

func (w *writer) bit(v bool) {
	if v {
		w.put(1, 1)
	} else {
		w.put(0, 1)
	}
}

// octets appends a length and octets (X.691, 11.9: one octet below 128, else two).
func (w *writer) octets(length int) {
	if length < 128 {
		w.put(uint32(length), 8)
	} else {
		w.put(1<<15|uint32(length), 16)
	}
}

// fill ends the last octet with zero bits.
func (w *writer) fill() {
	if w.have > 0 {
		w.put(0, 8-w.have)
	}
}

// A reader takes bits, the most significant first. Reading beyond the end sets
// short and gives zeros, so that a decoder checks once.
type reader struct {
	src   []byte
	at    int // in bits
	short bool
	odd   bool // a length stood in a longer form than needed
}

func (r *reader) get(n uint) uint32 {
	if r.short || r.at+int(n) > 8*len(r.src) {
		r.short = true
		return 0
	}
	var v uint64
	for end := r.at + int(n); r.at < end; {
		take := min(8-r.at&7, end-r.at)
		b := r.src[r.at>>3] << (r.at & 7) >> (8 - take)
		v = v<<take | uint64(b)
		r.at += take
	}
	return uint32(v)
}

func (r *reader) bit() bool { return r.get(1) == 1 }

// length reads a length; a fragment marker counts as short.
func (r *reader) length() int {
	switch {
	case !r.bit():
		return int(r.get(7))
	case !r.bit():
		n := int(r.get(14))
		r.odd = r.odd || n < 128
		return n
	}
	r.short = true
	return 0
}

// octets reads a length and that many octets into new memory.
func (r *reader) octets() []byte {
	n := r.length()
	if r.short || r.at+8*n > 8*len(r.src) {
		r.short = true
		return nil
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.get(8))
	}
	return b
}

// skip passes over a length and octets.
func (r *reader) skip() {
	if n := r.length(); r.short || r.at+8*n > 8*len(r.src) {
		r.short = true
	} else {
		r.at += 8 * n
	}
}

// additions passes over the extension additions of a sequence (X.691, 19.7 to
// 19.9): their number less one, a bit for each, then those present.
func (r *reader) additions() {
	var n int
	if !r.bit() {
		n = int(r.get(6)) + 1
	} else {
		n = r.length()
	}
	present := *r
	if r.at += n; r.at > 8*len(r.src) {
		r.short = true
	}
	for ; n > 0 && !r.short; n-- {
		if present.bit() {
			r.skip()
		}
	}
}

// zeros reports whether nothing but zero bits is left.
func (r *reader) zeros() bool {
	if n := uint(-r.at & 7); r.get(n) != 0 {
		return false
	}
	for _, b := range r.src[min(r.at>>3, len(r.src)):] {
		if b != 0 {
			return false
		}
	}
	return true
}
