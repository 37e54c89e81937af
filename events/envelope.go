package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// Event is one event or job with its context. All but Org and Trace is
// required.
type Event struct {
	// ID is unique per Source. An event that has to be said again keeps it.
	ID string
	// Source says who published it, as a URI reference: "/rekindle/api".
	Source string
	// Org is the organisation the secret belongs to (extension attribute "org");
	// empty for what is about the deployment.
	Org string
	// Time is when it happened.
	Time time.Time
	// Trace is a W3C traceparent, or empty.
	Trace string
	Data  Data
}

// check reports what keeps e from being an event.
func (e Event) check() error {
	switch {
	case e.Data == nil:
		return errors.New("event without data")
	case e.ID == "" || e.Source == "" || e.Data.About() == "":
		return fmt.Errorf("%s needs %s, %s and %s", e.Data.Type(), HeaderID, HeaderSource, HeaderSubject)
	case !utf8.ValidString(e.ID + e.Source + e.Org + e.Data.About()):
		return fmt.Errorf("%s has a header that is not UTF-8", e.Data.Type())
	case e.Time.IsZero() || e.Time.UTC().Year() < 0 || e.Time.UTC().Year() > 9999:
		return fmt.Errorf("%s needs a time that RFC 3339 can write", e.Data.Type())
	default:
		return nil
	}
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

// MaxBody bounds the body of an event, in bytes.
const MaxBody = 64 << 10

// ErrUnknownType is returned for an event of a type this version of the package
// does not know. A reader of the event log skips such events.
var ErrUnknownType = errors.New("unknown event type")

// Encode returns the header and the body of e.
func Encode(e Event) (Header, []byte, error) {
	if err := e.check(); err != nil {
		return nil, nil, err
	}
	body, err := json.Marshal(e.Data)
	if err != nil {
		return nil, nil, fmt.Errorf("encode %s: %w", e.Data.Type(), err)
	}
	if len(body) > MaxBody {
		return nil, nil, tooLong(e.Data.Type(), body)
	}
	return e.header(), body, nil
}

// header is the header of e. Its values lie side by side, in one piece of memory.
func (e Event) header() Header {
	all := [...]struct{ name, value string }{
		{HeaderSpecVersion, specVersion},
		{HeaderID, escape(e.ID)},
		{HeaderSource, escape(e.Source)},
		{HeaderType, TypePrefix + string(e.Data.Type())},
		{HeaderSubject, escape(e.Data.About())},
		{HeaderTime, e.Time.UTC().Format(time.RFC3339Nano)},
		{HeaderContentType, contentJSON},
		{HeaderOrg, escape(e.Org)},
		{HeaderTrace, traceOrNone(e.Trace)},
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

// Decode is the reverse of Encode. Members of the body it does not know are
// ignored, and so is a trace that is none; anything else it cannot make sense of
// is an error that names the header or member.
func Decode(h Header, body []byte) (Event, error) {
	if v := h.Get(HeaderSpecVersion); v != specVersion {
		return Event{}, fmt.Errorf("header %s is %.20q, want %q", HeaderSpecVersion, v, specVersion)
	}
	var e Event
	var subject string
	for _, a := range [...]struct {
		name string
		to   *string
	}{{HeaderID, &e.ID}, {HeaderSource, &e.Source}, {HeaderSubject, &subject}, {HeaderOrg, &e.Org}} {
		var err error
		if *a.to, err = url.PathUnescape(h.Get(a.name)); err != nil {
			return Event{}, fmt.Errorf("header %s is not percent-encoded", a.name)
		}
	}
	var err error
	if e.Time, err = time.Parse(time.RFC3339Nano, h.Get(HeaderTime)); err != nil {
		return Event{}, fmt.Errorf("header %s is not an RFC 3339 time", HeaderTime)
	}
	if e.Data, err = decodeData(h.Get(HeaderType), body); err != nil {
		return Event{}, err
	}
	if subject != e.Data.About() {
		return Event{}, fmt.Errorf("header %s differs from what the body is about", HeaderSubject)
	}
	e.Trace = traceOrNone(h.Get(HeaderTrace))
	if err := e.check(); err != nil {
		return Event{}, err
	}
	return e, nil
}

func decodeData(ceType string, body []byte) (Data, error) {
	name, ok := strings.CutPrefix(ceType, TypePrefix)
	dec := decoder(Type(name))
	if !ok || dec == nil {
		return nil, fmt.Errorf("%w: %.60q", ErrUnknownType, ceType)
	}
	return dec(body)
}

func decode[T Data](body []byte) (Data, error) { return unmarshal[T](body) }

// unmarshal names the type but never quotes the body: a publisher may have put
// into it what must not be shown.
func unmarshal[T Data](body []byte) (T, error) {
	var d, none T
	if len(body) > MaxBody {
		return none, tooLong(d.Type(), body)
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return none, fmt.Errorf("body of %s: %s", d.Type(), jsonProblem(err))
	}
	return d, nil
}

func tooLong(t Type, body []byte) error {
	return fmt.Errorf("body of %s has %d bytes, at most %d are allowed", t, len(body), MaxBody)
}

func jsonProblem(err error) string {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Sprintf("member %q must be %s", t.Field, t.Type)
	}
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Sprintf("not JSON at byte %d", s.Offset)
	}
	return "not a JSON object of this type"
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
