package intake

import (
	"fmt"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rekindle-dev/rekindle/events"
)

// Envelope is what an upstream event says of itself beside its data. What cannot be
// used is empty.
type Envelope struct {
	// Org is the organisation that its subject names, which permissions hold its
	// publisher to.
	Org string
	// Type is its type, CEType its CloudEvents type as it was sent.
	Type   Type
	CEType string
	// ID and Source are at most MaxText bytes of printable characters.
	ID, Source string
	// About is what it says it is about. It may be absent; if it is there, it is that
	// of its data.
	About string
	// Time is when it happened; zero when it does not say.
	Time time.Time
	// Trace is a W3C traceparent, or empty.
	Trace string
	// Reply is the subject where its answer is awaited, or empty. It is one of its
	// organisation.
	Reply string
}

// CodeInvalidEvent is the code of problems with an event as a whole or its headers.
const CodeInvalidEvent = "invalid-event"

// ReadEnvelope reads all of an upstream event but its data. It says all that is
// wrong with it; whatever it says, what is in the envelope can be used.
func ReadEnvelope(subject string, h events.Header) (Envelope, []events.Problem) {
	var r reader
	r.readSubject(subject)
	r.once(h)
	a, errs := events.ReadAttributes(h)
	for _, err := range errs {
		r.fault("%s", err)
	}
	r.Time, r.Trace = a.Time, a.Trace
	r.ID = r.text(h, events.HeaderID, a.ID)
	r.Source = r.text(h, events.HeaderSource, a.Source)
	r.CEType = r.text(h, events.HeaderType, a.Type)
	if r.CEType != "" && r.Type != "" && r.CEType != TypePrefix+string(r.Type) {
		r.fault("header %s is not %s, as the subject says", events.HeaderType, TypePrefix+string(r.Type))
	}
	if a.Org != "" && r.Org != "" && a.Org != r.Org {
		r.fault("header %s is another organisation than that of the subject", events.HeaderOrg)
	}
	r.readAbout(a.Subject)
	r.readContentType(a.ContentType)
	r.readReply(h)
	return r.Envelope, r.problems
}

// reader notes what is wrong with an event while it reads it.
type reader struct {
	Envelope
	problems []events.Problem
}

func (r *reader) fault(format string, args ...any) {
	r.problems = append(r.problems, events.Problem{Code: CodeInvalidEvent, Detail: fmt.Sprintf(format, args...)})
}

func (r *reader) readSubject(s string) {
	org, t, ok := parse(s)
	if !ok {
		r.fault("the subject is not %s<org>.<type>.<key>", prefix)
		return
	}
	r.Org = org
	if !slices.Contains(Types(), Type(t)) {
		r.fault("the subject names a type that is not known: there are %s", listed(Types()))
		return
	}
	r.Type = Type(t)
}

// once faults headers that are there twice: which of them is meant is anybody's
// guess.
func (r *reader) once(h events.Header) {
	for _, name := range []string{
		events.HeaderSpecVersion, events.HeaderID, events.HeaderSource, events.HeaderType, events.HeaderSubject, events.HeaderTime,
		events.HeaderOrg, events.HeaderContentType, HeaderReply,
	} {
		if len(h[name]) > 1 {
			r.fault("header %s is there %d times", name, len(h[name]))
		}
	}
}

// text returns the value of a header that an event must have, "" with a fault for
// one that cannot be used.
func (r *reader) text(h events.Header, name, value string) string {
	switch {
	case h.Get(name) == "":
		r.fault("header %s is missing", name)
	case value == "": // which has been said
	case !isText(value):
		r.fault("header %s must be %s", name, textForm)
	default:
		return value
	}
	return ""
}

const textForm = "1 to 256 bytes of printable characters"

func isText(s string) bool {
	return s != "" && len(s) <= MaxText && utf8.ValidString(s) && strings.IndexFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) < 0
}

// maxAbout bounds what an event says it is about: a property and a name.
const maxAbout = 1 << 10

func (r *reader) readAbout(about string) {
	if len(about) > maxAbout {
		r.fault("header %s is longer than %d bytes", events.HeaderSubject, maxAbout)
		return
	}
	r.About = about
}

// readContentType faults data that is no JSON. Without the header it is (CloudEvents
// JSON format, section 3.1).
func (r *reader) readContentType(sent string) {
	if sent == "" {
		return
	}
	media, _, err := mime.ParseMediaType(sent)
	if err != nil || media != "application/json" && !strings.HasSuffix(media, "+json") {
		r.fault("header %s must be application/json", events.HeaderContentType)
	}
}

func (r *reader) readReply(h events.Header) {
	switch sent := h.Get(HeaderReply); {
	case sent == "" || r.Org == "":
	case IsReplySubject(r.Org, sent):
		r.Reply = sent
	default:
		r.fault("header %s must be %s and a random token of 26 to 64 letters", HeaderReply, strings.TrimSuffix(RepliesTo(r.Org), "*"))
	}
}

func listed(types []Type) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = string(t)
	}
	return strings.Join(names, ", ")
}
