// Package subject spells the parts of subjects.
package subject

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
)

// Root is the first part of every subject; its last token is the version of
// the grammar.
const Root = "rekindle.v1"

// A token of 128 random bits has 26 letters; longer ones leave room for more.
const minRandom, maxRandom = 26, 64

// Random makes up a token that nobody can guess.
func Random() string { return rand.Text() }

// IsRandom reports whether token has the form of what [Random] returns.
func IsRandom(token string) bool {
	return len(token) >= minRandom && len(token) <= maxRandom && strings.IndexFunc(token, special) < 0
}

// Token makes one token of any text. Letters, digits, "-" and "_" stay; every other
// byte, "=" included, becomes "=" and two hex digits, so different texts never share
// a token. The empty text becomes "=".
func Token(s string) string {
	switch {
	case s == "":
		return "="
	case strings.IndexFunc(s, special) < 0:
		return s // as ids are
	}
	var b strings.Builder
	for _, c := range []byte(s) {
		if plain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// Untoken returns the text that [Token] has made a token of, and false for what it
// has not made.
func Untoken(token string) (string, bool) {
	if token == "=" {
		return "", true
	}
	var b strings.Builder
	for rest := token; rest != ""; {
		if rest[0] != '=' {
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		if len(rest) < 3 {
			return "", false
		}
		c, err := strconv.ParseUint(rest[1:3], 16, 8)
		if err != nil {
			return "", false
		}
		b.WriteByte(byte(c))
		rest = rest[3:]
	}
	return b.String(), token != "" && Token(b.String()) == token
}

func special(r rune) bool { return r > '~' || !plain(byte(r)) }

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
