package intake

import (
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/internal/body"
)

// The headers of an upstream event, besides those of package events.
const (
	// HeaderReply is where its answer is to go, "" for nowhere. (A stream takes the
	// reply subject of NATS itself for its own acknowledgement.)
	HeaderReply = "Rekindle-Reply"
)

// Event is an upstream event with its context. All but Trace and Reply is required.
type Event struct {
	// ID is unique per Source. An event that has to be published again keeps it, and
	// is carried out once.
	ID string
	// Source says which system published it, as a URI reference: "/crm".
	Source string
	// Org is the organisation of the secret.
	Org string
	// Time is when it happened.
	Time time.Time
	// Trace is a W3C traceparent, or empty.
	Trace string
	// Reply is a subject of [NewReplySubject] that the publisher listens to, or empty.
	Reply string
	Data  Data
}

// MaxText bounds id, source and organisation of an event, in bytes.
const MaxText = 256

// check reports what keeps e from being an event.
func (e Event) check() error {
	which, named := e.Data.(interface{ twice() bool })
	switch {
	case e.Data == nil:
		return errors.New("event without data")
	case named && which.twice():
		return fmt.Errorf("%s names a secret by its id and otherwise: one of both", e.Data.Type())
	case e.Data.About() == "":
		return fmt.Errorf("%s names no secret: it takes an id, or a property and a name", e.Data.Type())
	case e.Org == "" || len(e.Org) > MaxText || !utf8.ValidString(e.Org+e.Data.About()):
		return fmt.Errorf("%s needs an organisation of at most %d bytes, and texts in UTF-8", e.Data.Type(), MaxText)
	case !isText(e.ID) || !isText(e.Source):
		return fmt.Errorf("%s needs %s and %s, %s", e.Data.Type(), events.HeaderID, events.HeaderSource, textForm)
	case e.Time.IsZero() || e.Time.UTC().Year() < 0 || e.Time.UTC().Year() > 9999:
		return fmt.Errorf("%s needs a %s that RFC 3339 can write", e.Data.Type(), events.HeaderTime)
	case e.Reply != "" && !IsReplySubject(e.Org, e.Reply):
		return fmt.Errorf("%s asks for an answer on a subject that is none of NewReplySubject", e.Data.Type())
	default:
		return nil
	}
}

// Encode returns the message that e is published as. Its key is what e is about. It has no
// Nats-Msg-Id: the server would drop an event that comes again, and nobody would answer
// whoever published that.
func Encode(e Event) (subject string, h events.Header, raw []byte, err error) {
	if err := e.check(); err != nil {
		return "", nil, nil, err
	}
	if raw, err = body.Encode(string(e.Data.Type()), e.Data); err != nil {
		return "", nil, nil, err
	}
	h = events.Attributes{
		ID: e.ID, Source: e.Source, Type: TypePrefix + string(e.Data.Type()), Subject: e.Data.About(), Org: e.Org, Time: e.Time, Trace: e.Trace,
	}.Header()
	if e.Reply != "" {
		h[HeaderReply] = []string{e.Reply}
	}
	return Subject(e.Org, e.Data.Type(), e.Data.About()), h, raw, nil
}

// Decode is the reverse of Encode. The key is of no meaning to it; whatever else it
// cannot make sense of is an error.
func Decode(subject string, h events.Header, raw []byte) (Event, error) {
	env, problems := ReadEnvelope(subject, h)
	if len(problems) > 0 {
		return Event{}, errors.New(problems[0].Detail)
	}
	data, err := decodeData(env.Type, raw)
	if err != nil {
		return Event{}, err
	}
	if env.About != "" && env.About != data.About() {
		return Event{}, fmt.Errorf("header %s differs from what the body is about", events.HeaderSubject)
	}
	e := Event{ID: env.ID, Source: env.Source, Org: env.Org, Time: env.Time, Trace: env.Trace, Reply: env.Reply, Data: data}
	if err := e.check(); err != nil {
		return Event{}, err
	}
	return e, nil
}

func decodeData(t Type, raw []byte) (Data, error) {
	switch t {
	case TypeSecretCreated:
		return decode[SecretCreated](raw)
	case TypeSecretUpdated:
		return decode[SecretUpdated](raw)
	case TypeSecretDeleted:
		return decode[SecretDeleted](raw)
	case TypeRetryRequested:
		return decode[RetryRequested](raw)
	case TypeReauthorizeRequested:
		return decode[ReauthorizeRequested](raw)
	default:
		return nil, events.ErrUnknownType
	}
}

func decode[T Data](raw []byte) (Data, error) {
	var d T
	return body.Decode[T](string(d.Type()), raw)
}
