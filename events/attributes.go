package events

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// Attributes are the context of an event: what its header says, whatever its body
// holds (CloudEvents 1.0, section 3; "org" is an extension).
type Attributes struct {
	ID, Source, Type, Subject, Org string
	// Time is zero for none.
	Time time.Time
	// ContentType is the media type of the body; empty for JSON.
	ContentType string
	// Trace is a W3C traceparent, or empty.
	Trace string
}

// Header is the header of a message: the form net/http and NATS share, but
// with names compared case by case.
type Header map[string][]string

// Get returns the first value of the header, or "".
func (h Header) Get(name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// The headers of an event.
const (
	HeaderSpecVersion = "ce-specversion"
	HeaderID          = "ce-id"
	HeaderSource      = "ce-source"
	HeaderType        = "ce-type"
	HeaderSubject     = "ce-subject"
	HeaderTime        = "ce-time"
	HeaderOrg         = "ce-org"
	HeaderContentType = "ce-datacontenttype"
	HeaderTrace       = "traceparent"
)

const (
	specVersion = "1.0"
	contentJSON = "application/json"
)

// Header writes the attributes. What is empty is left out, and so is a trace that is
// none. The values lie side by side, in one piece of memory.
func (a Attributes) Header() Header {
	all := [...]struct{ name, value string }{
		{HeaderSpecVersion, specVersion},
		{HeaderID, escape(a.ID)},
		{HeaderSource, escape(a.Source)},
		{HeaderType, escape(a.Type)},
		{HeaderSubject, escape(a.Subject)},
		{HeaderTime, timeOrNone(a.Time)},
		{HeaderContentType, escape(cmp.Or(a.ContentType, contentJSON))},
		{HeaderOrg, escape(a.Org)},
		{HeaderTrace, traceOrNone(a.Trace)},
	}
	h, values := make(Header, len(all)+1), make([]string, len(all)) // one more, for whoever publishes
	for i, a := range all {
		if a.value != "" {
			values[i] = a.value
			h[a.name] = values[i : i+1 : i+1]
		}
	}
	return h
}

// ReadAttributes is the reverse of [Attributes.Header]. What it cannot make sense of
// is empty, and there is an error for each that names the header. What is absent is
// no error, but for the version of CloudEvents; headers it does not know are none of
// its business.
func ReadAttributes(h Header) (a Attributes, problems []error) {
	note := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	var version, when string
	for _, t := range [...]struct {
		name string
		to   *string
	}{
		{HeaderSpecVersion, &version},
		{HeaderID, &a.ID},
		{HeaderSource, &a.Source},
		{HeaderType, &a.Type},
		{HeaderSubject, &a.Subject},
		{HeaderOrg, &a.Org},
		{HeaderTime, &when},
		{HeaderContentType, &a.ContentType},
	} {
		switch text, err := url.PathUnescape(h.Get(t.name)); {
		case err != nil:
			note("header %s is not percent-encoded", t.name)
		case !utf8.ValidString(text):
			note("header %s is not UTF-8", t.name)
		default:
			*t.to = text
		}
	}
	if version != specVersion {
		note("header %s is %.20q, want %q", HeaderSpecVersion, version, specVersion)
	}
	if when != "" {
		var err error
		if a.Time, err = time.Parse(time.RFC3339Nano, when); err != nil {
			note("header %s is not an RFC 3339 time", HeaderTime)
		}
	}
	a.Trace = traceOrNone(h.Get(HeaderTrace))
	return a, problems
}

// EventSubject is where an event with these attributes travels, also one of a type
// that this version of the package does not know: so it can be passed on, with its
// header and its body as they are. It returns [ErrUnknownType] for what is no event
// of the fleet.
func (a Attributes) EventSubject() (string, error) {
	name, ok := strings.CutPrefix(a.Type, TypePrefix)
	if !ok || name == "" || Token(name) != name {
		return "", fmt.Errorf("%w: %.60q", ErrUnknownType, a.Type)
	}
	if a.ID == "" || a.Source == "" || a.Subject == "" {
		return "", fmt.Errorf("%s needs %s, %s and %s", name, HeaderID, HeaderSource, HeaderSubject)
	}
	return EventSubject(a.Org, Type(name), a.Subject), nil
}

func timeOrNone(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// escape writes an attribute so that a header can carry it: what is not
// printable ASCII, and space, quote and percent, is percent-encoded (CloudEvents
// NATS binding 3.1.3.2).
func escape(s string) string {
	for i := range len(s) {
		if special(s[i]) {
			return escapeFrom(s, i)
		}
	}
	return s // as most are
}

func special(c byte) bool { return c <= ' ' || c > '~' || c == '"' || c == '%' }

func escapeFrom(s string, first int) string {
	b := []byte(s[:first])
	for _, c := range []byte(s[first:]) {
		if special(c) {
			b = fmt.Appendf(b, "%%%02X", c)
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// traceOrNone is s if it has the letters of a W3C traceparent. Whoever uses it looks
// closer.
func traceOrNone(s string) string {
	if len(s) > 128 || strings.Trim(s, "0123456789abcdef-") != "" {
		return ""
	}
	return s
}
