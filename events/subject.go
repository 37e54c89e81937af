package events

import (
	"fmt"
	"strings"
)

// Root is the first part of every subject; its last token is the version of
// the grammar.
const Root = "rekindle.v1"

// Wildcards that streams and consumers bind to.
const (
	AllEvents = Root + ".event.>"
	AllJobs   = Root + ".job.*"
	AllParked = Root + ".parked.>"
)

// EventSubject is where an event of type t about a secret of org travels.
func EventSubject(org string, t Type, secret string) string {
	return strings.Join([]string{Root, "event", Token(org), string(t), Token(secret)}, ".")
}

// JobSubject is where jobs for a secret travel. There is one subject for each
// secret because the stream keeps at most one job per subject.
func JobSubject(secret string) string { return Root + ".job." + Token(secret) }

// ParkedSubject is where a message of the lane ("job", "intake") about a secret
// is kept for a person.
func ParkedSubject(lane, secret string) string {
	return strings.Join([]string{Root, "parked", Token(lane), Token(secret)}, ".")
}

// Token makes one subject token of any text. Letters, digits, "-" and "_" stay;
// every other byte, "=" included, becomes "=" and two hex digits, so different
// texts never share a token. The empty text becomes "=".
func Token(s string) string {
	if s == "" {
		return "="
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

func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
