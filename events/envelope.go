package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Event is one event or job with its context.
type Event struct {
	// ID is unique per Source. An event that has to be said again keeps it.
	ID string
	// Source says who published it, as a URI reference: "/rekindle/api".
	Source string
	// Org is the organisation the secret belongs to (extension attribute "org").
	Org string
	// Time is when it happened.
	Time time.Time
	// Trace is a W3C traceparent, or empty.
	Trace string
	Data  Data
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
	HeaderContentType = "content-type"
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
	if e.Data == nil {
		return nil, nil, errors.New("event without data")
	}
	body, err := json.Marshal(e.Data)
	if err != nil {
		return nil, nil, fmt.Errorf("encode %s: %w", e.Data.Type(), err)
	}
	h := Header{
		HeaderSpecVersion: {specVersion},
		HeaderID:          {e.ID},
		HeaderSource:      {e.Source},
		HeaderType:        {TypePrefix + string(e.Data.Type())},
		HeaderSubject:     {e.Data.About()},
		HeaderTime:        {e.Time.UTC().Format(time.RFC3339Nano)},
		HeaderContentType: {contentJSON},
	}
	if e.Org != "" {
		h[HeaderOrg] = []string{e.Org}
	}
	if e.Trace != "" {
		h[HeaderTrace] = []string{e.Trace}
	}
	return h, body, nil
}

// Decode is the reverse of Encode. Members of the body it does not know are
// ignored; anything else it cannot make sense of is an error that names the
// header or member.
func Decode(h Header, body []byte) (Event, error) {
	if v := h.Get(HeaderSpecVersion); v != specVersion {
		return Event{}, fmt.Errorf("header %s is %.20q, want %q", HeaderSpecVersion, v, specVersion)
	}
	e := Event{ID: h.Get(HeaderID), Source: h.Get(HeaderSource), Org: h.Get(HeaderOrg), Trace: h.Get(HeaderTrace)}
	if e.ID == "" || e.Source == "" {
		return Event{}, fmt.Errorf("headers %s and %s must not be empty", HeaderID, HeaderSource)
	}
	var err error
	if e.Time, err = time.Parse(time.RFC3339Nano, h.Get(HeaderTime)); err != nil {
		return Event{}, fmt.Errorf("header %s is not an RFC 3339 time", HeaderTime)
	}
	e.Data, err = decodeData(h.Get(HeaderType), body)
	if err != nil {
		return Event{}, err
	}
	if s := h.Get(HeaderSubject); s != e.Data.About() {
		return Event{}, fmt.Errorf("header %s differs from the secret in the body", HeaderSubject)
	}
	return e, nil
}

func decodeData(ceType string, body []byte) (Data, error) {
	name, ok := strings.CutPrefix(ceType, TypePrefix)
	dec := decoder(Type(name))
	if !ok || dec == nil {
		return nil, fmt.Errorf("%w: %.60q", ErrUnknownType, ceType)
	}
	if len(body) > MaxBody {
		return nil, fmt.Errorf("body of %s has %d bytes, at most %d are read", name, len(body), MaxBody)
	}
	return dec(body)
}

// decode names the type but never quotes the body: a publisher may have put
// into it what must not be shown.
func decode[T Data](body []byte) (Data, error) {
	var d T
	if err := json.Unmarshal(body, &d); err != nil {
		return nil, fmt.Errorf("body of %s: %s", d.Type(), jsonProblem(err))
	}
	return d, nil
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
