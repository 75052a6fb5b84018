package socketcan

import (
	"encoding/binary"
	"testing"
	"time"
)

// message is a control message as the kernel writes it on a machine with words
// of that many octets.
func message(word int, level, kind uint32, data []byte) []byte {
	b := make([]byte, word+8, 128)
	n := uint64(word + 8 + len(data))
	if word == 4 {
		binary.NativeEndian.PutUint32(b, uint32(n))
	} else {
		binary.NativeEndian.PutUint64(b, n)
	}
	binary.NativeEndian.PutUint32(b[word:], level)
	binary.NativeEndian.PutUint32(b[word+4:], kind)
	b = append(b, data...)
	for len(b)%word != 0 {
		b = append(b, 0xAA)
	}
	return b
}

func words(size int, values ...uint64) []byte {
	var b []byte
	for _, v := range values {
		if size == 4 {
			b = binary.NativeEndian.AppendUint32(b, uint32(v))
		} else {
			b = binary.NativeEndian.AppendUint64(b, v)
		}
	}
	return b
}

func TestControlMessagesOfBothWordSizes(t *testing.T) {
	const sec, nsec = 5_000_000_000, 123_456_789 // in 2128: 32 bits do not hold it
	for _, word := range []int{4, 8} {
		now := words(8, sec, nsec, 0, 0, 7, 8)
		drops := words(4, 0xFFFF_FFFE)
		got := parseControl(append(message(word, 1, 65, now), message(word, 1, 40, drops)...), word)
		if want := time.Unix(sec, nsec); !got.at.Equal(want) || !got.hasDrops || got.drops != 0xFFFF_FFFE {
			t.Errorf("words of %d: %+v, want %v", word, got, want)
		}
		// the drops first: four octets of padding between them on a 64-bit machine
		got = parseControl(append(message(word, 1, 40, drops), message(word, 1, 65, now)...), word)
		if !got.at.Equal(time.Unix(sec, nsec)) || got.drops != 0xFFFF_FFFE {
			t.Errorf("words of %d, drops first: %+v", word, got)
		}
		got = parseControl(message(word, 1, 37, words(word, 1000, 5, 0, 0, 0, 0)), word)
		if !got.at.Equal(time.Unix(1000, 5)) || got.hasDrops {
			t.Errorf("words of %d, old stamps: %+v", word, got)
		}
		got = parseControl(message(word, 1, 65, words(8, 0, 0, 0, 0, 1000, 5)), word)
		if !got.at.Equal(time.Unix(1000, 5)) {
			t.Errorf("words of %d, only the controller's stamp: %+v", word, got)
		}
	}
}

func TestControlThatSaysNothing(t *testing.T) {
	for _, word := range []int{4, 8} {
		whole := message(word, 1, 65, words(8, 1000, 5, 0, 0, 0, 0))
		for name, b := range map[string][]byte{
			"none":             nil,
			"no stamp":         message(word, 1, 65, make([]byte, 48)),
			"another level":    message(word, 101, 65, words(8, 1000, 5, 0, 0, 0, 0)),
			"another type":     message(word, 1, 29, words(8, 1000, 5)),
			"cut off":          whole[:len(whole)-1],
			"cut in the head":  whole[:word],
			"length of zero":   make([]byte, 64),
			"drops cut off":    message(word, 1, 40, []byte{1, 2}),
			"length too large": append(words(word, 1<<31-1), make([]byte, 8)...),
		} {
			if got := parseControl(b, word); got != (control{}) {
				t.Errorf("%s, words of %d: %+v", name, word, got)
			}
		}
	}
}

func FuzzControl(f *testing.F) {
	for _, word := range []int{4, 8} {
		f.Add(append(message(word, 1, 65, words(8, 1000, 5, 0, 0, 7, 8)), message(word, 1, 40, words(4, 9))...), word == 8)
		f.Add(message(word, 1, 37, words(word, 1000, 5, 0, 0, 0, 0)), word == 8)
		f.Add(append(words(word, 1<<31-1), make([]byte, 40)...), word == 8)
	}
	f.Fuzz(func(t *testing.T, b []byte, wide bool) {
		word := 4
		if wide {
			word = 8
		}
		if c := parseControl(b, word); c.drops != 0 && !c.hasDrops {
			t.Fatalf("%+v", c)
		}
	})
}
