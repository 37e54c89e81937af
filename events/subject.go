package events

import (
	"cmp"
	"strings"

	"github.com/rekindle-dev/rekindle/events/internal/subject"
)

// Root is the first part of every subject; its last token is the version of
// the grammar.
const Root = subject.Root

// Wildcards that streams and consumers bind to.
const (
	AllEvents = Root + ".event.>"
	AllJobs   = Root + ".job.*"
	AllParked = Root + ".parked.>"
	AllAudit  = Root + ".audit.*"
)

// KeysetSubject is where the fleet's public keyset is asked for: a request with any
// body, or none, is answered with the JSON that sealing.Parse reads.
const KeysetSubject = Root + ".keyset"

// EventSubject is where an event of type t travels. About is as [Data] says; an
// event about the deployment has no org, which its subject writes as "=".
func EventSubject(org string, t Type, about string) string {
	return strings.Join([]string{Root, "event", Token(org), string(t), Token(about)}, ".")
}

// SubjectsIn is the pattern of the subjects of an organisation's events of a type about a
// secret, or whatever else [EventSubject] names. An empty type is any, and so is an empty
// about.
func SubjectsIn(org string, t Type, about string) string {
	last := "*"
	if about != "" {
		last = Token(about)
	}
	return strings.Join([]string{Root, "event", Token(org), cmp.Or(string(t), "*"), last}, ".")
}

// SubjectsOf is the pattern of the subjects of all events of a type.
func SubjectsOf(t Type) string {
	return strings.Join([]string{Root, "event", "*", string(t), "*"}, ".")
}

// JobSubject is where jobs for a secret travel. There is one subject for each
// secret because the stream keeps at most one job per subject.
func JobSubject(secret string) string { return Root + ".job." + Token(secret) }

// AuditSubject is where the pages of an organisation's audit trail are kept.
func AuditSubject(org string) string { return Root + ".audit." + Token(org) }

// ParkedSubject is where a message of the lane ("job", "intake") about a secret
// is kept for a person.
func ParkedSubject(lane, secret string) string {
	return strings.Join([]string{Root, "parked", Token(lane), Token(secret)}, ".")
}

const answers = Root + ".answer."

// NewAnswerSubject makes up the subject where the answer to one job is awaited.
// Nobody can guess it.
func NewAnswerSubject() string { return answers + subject.Random() }

// IsAnswerSubject reports whether s has the form of what [NewAnswerSubject]
// returns. Whoever answers a job publishes nowhere else, whatever a message asks
// for.
func IsAnswerSubject(s string) bool {
	token, ok := strings.CutPrefix(s, answers)
	return ok && subject.IsRandom(token)
}

// Token makes one subject token of any text. Letters, digits, "-" and "_" stay;
// every other byte, "=" included, becomes "=" and two hex digits, so different
// texts never share a token. The empty text becomes "=".
func Token(s string) string { return subject.Token(s) }
