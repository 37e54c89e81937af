package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding/spec"
	cloudevent "github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/intake"
)

// published is a message of a golden file.
type published struct {
	path, subject string // subject only of upstream events
	header        events.Header
	body          []byte
}

func goldenMessages(t *testing.T) (all []published) {
	t.Helper()
	for _, dir := range []string{"testdata", "intake/testdata"} {
		files := must(filepath.Glob(inRepository(t, "events", dir, "*.golden")))(t)
		if len(files) < 10 {
			t.Fatalf("%d golden files in %s", len(files), dir)
		}
		for _, path := range files {
			head, body, _ := strings.Cut(string(must(os.ReadFile(path))(t)), "\n\n")
			m := published{path: filepath.Base(path), header: events.Header{}, body: []byte(strings.TrimSuffix(body, "\n"))}
			for line := range strings.Lines(head) {
				if name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ": "); ok {
					m.header[name] = []string{value}
				} else {
					m.subject = name
				}
			}
			all = append(all, m)
		}
	}
	return all
}

// received makes of a message what somebody else's library holds an event to be: the
// NATS binding is its own reading of the headers that begin with "ce-".
func received(t *testing.T, h events.Header, body []byte) cloudevent.Event {
	t.Helper()
	versions := spec.WithPrefix("ce-")
	version := versions.Version(h.Get(versions.PrefixedSpecVersionName()))
	if version == nil {
		t.Fatalf("%v has no version", h)
	}
	e := cloudevent.Event{Context: version.NewContext()}
	for name := range h {
		if !strings.HasPrefix(name, versions.Prefix()) || name == versions.PrefixedSpecVersionName() {
			continue
		}
		text := must(url.PathUnescape(h.Get(name)))(t)
		if attribute := version.Attribute(name); attribute != nil {
			if err := attribute.Set(e.Context, text); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if err := e.Context.SetExtension(strings.TrimPrefix(name, "ce-"), text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	e.DataEncoded = body
	return e
}

// TestCloudEventsAreRead has somebody else's library read every golden file: each is a
// CloudEvent that says what this module says it does.
func TestCloudEventsAreRead(t *testing.T) {
	t.Parallel()
	for _, m := range goldenMessages(t) {
		got := received(t, m.header, m.body)
		if err := got.Validate(); err != nil {
			t.Errorf("%s is no CloudEvent: %v", m.path, err)
			continue
		}
		want, problems := events.ReadAttributes(m.header)
		if len(problems) > 0 {
			t.Fatalf("%s: %v", m.path, problems)
		}
		org, _ := got.Extensions()["org"].(string)
		read := events.Attributes{
			ID: got.ID(), Source: got.Source(), Type: got.Type(), Subject: got.Subject(), Org: org, Time: got.Time(),
			ContentType: got.DataContentType(), Trace: want.Trace,
		}
		if read != want {
			t.Errorf("%s is read as\n%+v, want\n%+v", m.path, read, want)
		}
		structured, err := json.Marshal(got)
		var data struct{ Data any }
		if err != nil || json.Unmarshal(structured, &data) != nil || !reflect.DeepEqual(data.Data, tree(t, m.body)) {
			t.Errorf("%s: its data is %s, error %v", m.path, structured, err)
		}
	}
}

// TestCloudEventsOfOthers reads events that were made with somebody else's library, with
// all that CloudEvents allow and this module never writes.
func TestCloudEventsOfOthers(t *testing.T) {
	t.Parallel()
	for _, m := range goldenMessages(t) {
		want := decoded(t, m)
		for name, change := range map[string]func(e *cloudevent.Event) error{
			"as it is": func(*cloudevent.Event) error { return nil },
			"with extensions": func(e *cloudevent.Event) error {
				return setAll(e, map[string]any{"later": "Ünï\tcode %", "n": 7, "b": true})
			},
			"with a type of its data": func(e *cloudevent.Event) error { e.SetDataContentType("application/json; charset=utf-8"); return nil },
			"with a schema":           func(e *cloudevent.Event) error { e.SetDataSchema("https://example.test/schema"); return nil },
		} {
			e := received(t, m.header, m.body)
			if err := change(&e); err != nil {
				t.Fatal(err)
			}
			for _, escape := range []func(string) string{url.PathEscape, func(s string) string { return s }, everyByte} {
				other := m
				other.header, other.body = binary(t, e, escape), e.Data()
				for _, ours := range []string{events.HeaderTrace, intake.HeaderReply} { // no attributes
					if v := m.header.Get(ours); v != "" {
						other.header[ours] = []string{v}
					}
				}
				if escape("%") == "%" && strings.Contains(fmt.Sprint(other.header), "%") {
					continue // nobody may leave that as it is
				}
				if got := decoded(t, other); !reflect.DeepEqual(got, want) {
					t.Errorf("%s %s is read as\n%+v, want\n%+v", m.path, name, got, want)
				}
			}
		}
	}
}

// A time is the same in each zone, and however exact.
func TestCloudEventsTimes(t *testing.T) {
	t.Parallel()
	noon := time.Date(2024, time.May, 1, 12, 0, 0, 0, time.UTC)
	m := goldenMessages(t)[0]
	for text, want := range map[string]time.Time{
		"2024-05-01T12:00:00Z":                noon,
		"2024-05-01T14:00:00+02:00":           noon,
		"2024-05-01T06:30:00.000000000-05:30": noon,
		"2024-05-01T12:00:00.000000001Z":      noon.Add(1),
	} {
		m.header[events.HeaderTime] = []string{text}
		theirs := received(t, m.header, m.body)
		ours, problems := events.ReadAttributes(m.header)
		if len(problems) > 0 || !ours.Time.Equal(want) || !theirs.Time().Equal(want) {
			t.Errorf("%s is %v to us and %v to others, want %v: %v", text, ours.Time, theirs.Time(), want, problems)
		}
	}
}

// binary writes the attributes of an event as headers.
func binary(t *testing.T, e cloudevent.Event, escape func(string) string) events.Header {
	t.Helper()
	versions := spec.WithPrefix("ce-")
	h := events.Header{}
	for _, attribute := range versions.Version(e.SpecVersion()).Attributes() {
		if value := attribute.Get(e.Context); value != nil {
			h[attribute.PrefixedName()] = []string{escape(must(types.Format(value))(t))}
		}
	}
	for name, value := range e.Extensions() {
		h["ce-"+name] = []string{escape(must(types.Format(value))(t))}
	}
	return h
}

// everyByte escapes more than has to be.
func everyByte(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, "%%%02x", c)
	}
	return b.String()
}

func setAll(e *cloudevent.Event, extensions map[string]any) error {
	for name, value := range extensions {
		if err := e.Context.SetExtension(name, value); err != nil {
			return err
		}
	}
	return nil
}

// decoded is a message as this module reads it, with its time in UTC.
func decoded(t *testing.T, m published) any {
	t.Helper()
	if m.subject != "" {
		e, err := intake.Decode(m.subject, m.header, m.body)
		if err != nil {
			t.Errorf("%s: %v: %v", m.path, err, m.header)
		}
		e.Time = e.Time.UTC()
		return e
	}
	e, err := events.Decode(m.header, m.body)
	if err != nil {
		t.Errorf("%s: %v: %v", m.path, err, m.header)
	}
	e.Time = e.Time.UTC()
	return e
}

func tree(t *testing.T, raw []byte) (v any) {
	t.Helper()
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}
