package intake

import (
	"strings"

	"github.com/rekindle-dev/rekindle/events/internal/subject"
)

const (
	prefix  = subject.Root + ".intake."
	replies = subject.Root + ".reply."
)

// AllIntake is the wildcard of all subjects that upstream events travel on.
const AllIntake = prefix + "*.*.*"

// Subject is where an upstream event of type t travels. The key is the publisher's
// choice: events of an organisation that have the same are carried out in order.
func Subject(org string, t Type, key string) string {
	return prefix + strings.Join([]string{subject.Token(org), string(t), subject.Token(key)}, ".")
}

// SubjectsOf is the pattern of the subjects of all upstream events of an
// organisation: what its publishers may publish on.
func SubjectsOf(org string) string { return prefix + subject.Token(org) + ".*.*" }

// parse returns what a subject says, false when it is none of [Subject], or of an organisation
// too long for the subject of an answer: a server closes the connection of who publishes on one
// of 4 KiB. The key may be any token; it is of no more meaning.
func parse(s string) (org, t string, ok bool) {
	rest, ok := strings.CutPrefix(s, prefix)
	parts := strings.Split(rest, ".")
	if !ok || len(parts) != 3 || parts[2] == "" {
		return "", "", false
	}
	org, ok = subject.Untoken(parts[0])
	return org, parts[1], ok && org != "" && len(org) <= MaxText
}

// NewReplySubject makes up the subject where the answer to one event is awaited.
// Nobody can guess it, and an organisation's are under [RepliesTo].
func NewReplySubject(org string) string { return replies + subject.Token(org) + "." + subject.Random() }

// RepliesTo is the pattern of the subjects of all replies to an organisation: what
// its publishers may subscribe to.
func RepliesTo(org string) string { return replies + subject.Token(org) + ".*" }

// IsReplySubject reports whether s has the form of what [NewReplySubject] returns
// for the organisation. The fleet answers nowhere else, whatever an event asks for.
func IsReplySubject(org, s string) bool {
	token, ok := strings.CutPrefix(s, replies+subject.Token(org)+".")
	return ok && subject.IsRandom(token)
}
