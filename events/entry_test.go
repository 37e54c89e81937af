package events_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
)

// Every event makes an entry of itself where it belongs, and of nothing where
// it does not.
func TestReadEntry(t *testing.T) {
	t.Parallel()
	for name, e := range samples() {
		h, body, err := events.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		subject := events.EventSubject(e.Org, e.Data.Type(), e.Data.About())
		got := events.ReadEntry(7, noon(), subject, h, body)
		if got.Err != nil || got.Sequence != 7 || !got.Stored.Equal(noon()) || got.Type != e.Data.Type() || got.Event.ID != e.ID {
			t.Errorf("%s: %+v", name, got)
		}
		if !maps.EqualFunc(got.Header, h, slices.Equal) || !bytes.Equal(got.Body, body) {
			t.Errorf("%s cannot be passed on: %+v", name, got)
		}
		for _, other := range []string{
			events.EventSubject("another", e.Data.Type(), e.Data.About()),
			events.EventSubject(e.Org, "SecretForgotten", e.Data.About()),
			events.EventSubject(e.Org, e.Data.Type(), "SE2"),
			"", "rekindle.v1.event", subject + ".x",
		} {
			if got := events.ReadEntry(7, noon(), other, h, body); got.Err == nil || got.Event.Data != nil || got.Header != nil || got.Body != nil {
				t.Errorf("%s on the subject %q: %+v", name, other, got)
			}
		}
	}
}

func TestReadEntryOfWhatIsNone(t *testing.T) {
	t.Parallel()
	h, body, err := events.Encode(samples()["SecretCreated"])
	if err != nil {
		t.Fatal(err)
	}
	subject := events.EventSubject(samples()["SecretCreated"].Org, "SecretForgotten", secretID)
	h[events.HeaderType] = []string{events.TypePrefix + "SecretForgotten"}
	got := events.ReadEntry(7, noon(), subject, h, body)
	if got.Type != "SecretForgotten" || !errors.Is(got.Err, events.ErrUnknownType) || got.Header == nil || got.Body == nil {
		t.Errorf("of a later version: %+v", got)
	}
	got = events.ReadEntry(7, noon(), "something else", nil, []byte("CANARY"))
	if got.Type != "" || got.Err == nil || strings.Contains(got.Err.Error(), "CANARY") {
		t.Errorf("of none: %+v", got)
	}
}

// An event of a type that is not known here can be passed on; what is no event of the
// fleet cannot.
func TestEventSubject(t *testing.T) {
	t.Parallel()
	whole := events.Attributes{ID: "1", Source: "/s", Type: events.TypePrefix + "SecretForgotten", Subject: "SE.1", Org: "o"}
	if got, err := whole.EventSubject(); got != "rekindle.v1.event.o.SecretForgotten.SE=2E1" || err != nil {
		t.Errorf("subject %q, error %v", got, err)
	}
	for name, damage := range map[string]func(*events.Attributes){
		"no id":            func(a *events.Attributes) { a.ID = "" },
		"no source":        func(a *events.Attributes) { a.Source = "" },
		"no subject":       func(a *events.Attributes) { a.Subject = "" },
		"no type":          func(a *events.Attributes) { a.Type = events.TypePrefix },
		"another prefix":   func(a *events.Attributes) { a.Type = "dev.rekindle.intake.v1.SecretCreated" },
		"a type of tokens": func(a *events.Attributes) { a.Type = events.TypePrefix + "a.b" },
		"any type":         func(a *events.Attributes) { a.Type = events.TypePrefix + "*" },
	} {
		a := whole
		damage(&a)
		if got, err := a.EventSubject(); got != "" || err == nil {
			t.Errorf("%s: subject %q", name, got)
		}
	}
}
