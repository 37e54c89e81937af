package events

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rekindle-dev/rekindle/events/internal/body"
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
		return fmt.Errorf("%s needs a %s that RFC 3339 can write", e.Data.Type(), HeaderTime)
	default:
		return nil
	}
}

// MaxBody bounds the body of an event, in bytes.
const MaxBody = body.Max

// ErrUnknownType is returned for an event of a type this version of the package
// does not know. A reader of the event log skips such events.
var ErrUnknownType = errors.New("unknown event type")

// Encode returns the header and the body of e.
func Encode(e Event) (Header, []byte, error) {
	if err := e.check(); err != nil {
		return nil, nil, err
	}
	raw, err := body.Encode(string(e.Data.Type()), e.Data)
	if err != nil {
		return nil, nil, err
	}
	return e.attributes().Header(), raw, nil
}

// attributes are the context of e.
func (e Event) attributes() Attributes {
	return Attributes{
		ID: e.ID, Source: e.Source, Type: TypePrefix + string(e.Data.Type()), Subject: e.Data.About(), Org: e.Org, Time: e.Time, Trace: e.Trace,
	}
}

// Decode is the reverse of Encode. Members of the body it does not know are
// ignored, and so is a trace that is none; anything else it cannot make sense of
// is an error that names the header or member.
func Decode(h Header, raw []byte) (Event, error) {
	a, problems := ReadAttributes(h)
	if len(problems) > 0 {
		return Event{}, problems[0]
	}
	e := Event{ID: a.ID, Source: a.Source, Org: a.Org, Time: a.Time, Trace: a.Trace}
	var err error
	if e.Data, err = decodeData(a.Type, raw); err != nil {
		return Event{}, err
	}
	if a.Subject != e.Data.About() {
		return Event{}, fmt.Errorf("header %s differs from what the body is about", HeaderSubject)
	}
	if err := e.check(); err != nil {
		return Event{}, err
	}
	return e, nil
}

func decodeData(ceType string, raw []byte) (Data, error) {
	name, ok := strings.CutPrefix(ceType, TypePrefix)
	dec := decoder(Type(name))
	if !ok || dec == nil {
		return nil, fmt.Errorf("%w: %.60q", ErrUnknownType, ceType)
	}
	return dec(raw)
}

func decode[T Data](raw []byte) (Data, error) { return unmarshal[T](raw) }

func unmarshal[T Data](raw []byte) (T, error) {
	var d T
	return body.Decode[T](string(d.Type()), raw)
}
