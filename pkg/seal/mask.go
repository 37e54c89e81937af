package seal

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The rule of [Mask], in runes.
const (
	maskStars    = "****" // always four: the mask does not tell the length
	maskMinRunes = 12     // anything shorter shows nothing (contract C3)
	maskMaxEnd   = 4      // shown at each end, at most (contract C3)
	maskShare    = 5      // and at most this part of the value at each end
)

// Mask returns what may be shown of p to somebody who knows it already: a few
// runes from each end around four asterisks, "sk-p****z789".
//
// At each end a fifth of the runes is shown, four at most, so never more than
// two fifths of the value: four from 20 runes on, three from 15, two from 12,
// and below 12 nothing but "****". A value that is not printable text on one
// line (keys in PEM, binary, terminal control) also shows nothing.
func Mask(p Plaintext) string {
	b := p.bytes()
	n := utf8.RuneCount(b)
	if n < maskMinRunes || !printable(b) {
		return maskStars
	}
	end := min(maskMaxEnd, n/maskShare)
	var mask strings.Builder
	mask.Write(b[:runesLen(b, end)])
	mask.WriteString(maskStars)
	mask.Write(b[runesLen(b, n-end):])
	return mask.String()
}

// runesLen returns how many bytes the first n runes of b take.
func runesLen(b []byte, n int) int {
	at := 0
	for range n {
		_, size := utf8.DecodeRune(b[at:])
		at += size
	}
	return at
}

// printable reports whether b is valid UTF-8 of printable runes and spaces.
func printable(b []byte) bool {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		if (r == utf8.RuneError && size <= 1) || !unicode.IsPrint(r) {
			return false
		}
		b = b[size:]
	}
	return true
}
