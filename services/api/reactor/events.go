package reactor

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/ledger"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
)

// What happens, as server-sent events (WHATWG HTML, section 9.2): an addition to the
// contract. It is the one answer that is no document and has no end.

// eventsPattern is the route of it.
const eventsPattern = "GET /events"

const (
	// headerLastEvent is how a client says behind which event it goes on; parameterLastEvent
	// is for those who cannot send headers.
	headerLastEvent    = "Last-Event-ID"
	parameterLastEvent = "lastEventId"
	parameterSince     = "since"
	wantLastEvent      = "the id of an event: a whole number"
)

// errLastEvent: a header Last-Event-ID that cannot be read.
var errLastEvent = errors.New("the header " + headerLastEvent + " must be " + wantLastEvent + ", once")

// parameterErrors are all that is wrong with the parameters of a URL.
type parameterErrors []*parameterError

func (e parameterErrors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = one.Error()
	}
	return strings.Join(texts, "; ")
}

// followEvents answers with what happens in the caller's organisation.
func (d *door) followEvents(_ context.Context, r *request) (reply, error) {
	q, err := eventQuery(r.http, d.now())
	if err != nil {
		return reply{}, err
	}
	leave, err := d.streams.enter(r.caller.Principal, d.now())
	if err != nil {
		return reply{}, err
	}
	return reply{stream: func(w http.ResponseWriter) {
		defer leave()
		d.stream(w, r, q)
	}}, nil
}

// eventQuery reads which events are asked for, and from where on. It returns an
// errLastEvent or parameterErrors.
func eventQuery(r *http.Request, now time.Time) (q api.EventQuery, err error) {
	params := r.URL.Query()
	var wrong parameterErrors
	read := func(name, want string, good func(string) bool) []string {
		values, ok := named(params, name)
		if !ok || slices.ContainsFunc(values, func(v string) bool { return !good(v) }) {
			wrong = append(wrong, &parameterError{"filter[" + name + "]", want})
		}
		return values
	}
	for _, t := range read("type_of", "EQ and types of events, separated by commas: "+typeNames(), isEventType) {
		q.Types = append(q.Types, events.Type(t))
	}
	q.Secrets = read("secret", "EQ and ids of secrets, separated by commas", func(id string) bool { return secret.ValidID(secret.PrefixSecret, id) })
	q.Properties = read("property", "EQ and ids of properties, separated by commas", func(id string) bool { return secret.ValidID(secret.PrefixProperty, id) })
	if max(1, len(q.Types))*max(1, len(q.Secrets)) > ledger.MaxSubjects {
		wrong = append(wrong, &parameterError{"filter[secret]", "such that there are at most " + strconv.Itoa(ledger.MaxSubjects) + " pairs of a secret and a type"})
	}
	if q.From, err = startOf(r.Header, params, now); err != nil {
		if one, ok := errors.AsType[*parameterError](err); ok {
			wrong, err = append(wrong, one), nil
		}
	}
	if err == nil && len(wrong) > 0 {
		err = wrong
	}
	return q, err
}

// named reads a condition that an attribute is one of some values; none if nothing is asked
// of it. It reports false for any other condition.
func named(params url.Values, name string) (values []string, ok bool) {
	e := expression(params, name)
	if e == "" {
		return nil, true
	}
	op, values, ok := parseOperands(e)
	return values, ok && op == opEqual
}

func isEventType(name string) bool { return slices.Contains(events.EventTypes(), events.Type(name)) }

func typeNames() string {
	var all []string
	for _, t := range events.EventTypes() {
		all = append(all, string(t))
	}
	return strings.Join(all, ", ")
}

// startOf reads where to begin. Behind which event wins over since when: a client that
// connects again sends the URL it had. The header wins over the parameter, which stays as it
// is, too.
func startOf(h http.Header, params url.Values, now time.Time) (ledger.Start, error) {
	if lines := h.Values(headerLastEvent); len(lines) > 1 || len(lines) == 1 && lines[0] != "" {
		after, err := strconv.ParseUint(lines[0], 10, 64)
		if err != nil || len(lines) > 1 {
			return ledger.Start{}, errLastEvent
		}
		return ledger.Start{After: &after}, nil
	}
	if text := last(params[parameterLastEvent]); text != "" {
		after, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return ledger.Start{}, &parameterError{parameterLastEvent, wantLastEvent}
		}
		return ledger.Start{After: &after}, nil
	}
	since, err := sinceOf(last(params[parameterSince]), now)
	if err != nil || since.After(now) {
		return ledger.Start{}, err
	}
	return ledger.Start{Since: since}, nil
}

// sinceOf reads a time, or how long ago it was; zero for nothing.
func sinceOf(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || at.Year() < 1970 {
		return time.Time{}, &parameterError{parameterSince, "a time like 2026-11-01T00:00:00Z, or how long ago it was, like 2h"}
	}
	return at, nil
}
