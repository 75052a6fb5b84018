package dbc

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// high holds the characters of Windows-1252 from 80 to 9F; from A0 on it is
// Latin-1. The five octets it does not define become U+FFFD.
var high = [32]rune{
	'€', 0xFFFD, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0xFFFD, 'Ž', 0xFFFD,
	0xFFFD, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0xFFFD, 'ž', 'Ÿ',
}

// readable makes UTF-8 without a byte order mark of src. It says what it met:
// whether there was a mark, and the offset of the first octet of a file that is
// not UTF-8 and was read as Windows-1252 (-1: it is UTF-8). One octet that is
// not UTF-8 decides for the whole file.
func readable(src []byte) (text string, marked bool, foreign int) {
	src, marked = bytes.CutPrefix(src, []byte("\xEF\xBB\xBF"))
	if utf8.Valid(src) {
		return string(src), marked, -1
	}
	foreign = bytes.IndexFunc(src, func(r rune) bool { return r >= utf8.RuneSelf })
	var b strings.Builder
	b.Grow(len(src) + len(src)/8)
	for _, c := range src {
		switch {
		case c < 0x80:
			b.WriteByte(c)
		case c < 0xA0:
			b.WriteRune(high[c-0x80])
		default:
			b.WriteRune(rune(c))
		}
	}
	return b.String(), marked, foreign
}
