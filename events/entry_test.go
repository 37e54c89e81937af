package events_test

import (
	"errors"
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
		for _, other := range []string{
			events.EventSubject("another", e.Data.Type(), e.Data.About()),
			events.EventSubject(e.Org, "SecretForgotten", e.Data.About()),
			events.EventSubject(e.Org, e.Data.Type(), "SE2"),
			"", "rekindle.v1.event", subject + ".x",
		} {
			if got := events.ReadEntry(7, noon(), other, h, body); got.Err == nil || got.Event.Data != nil {
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
	subject := events.EventSubject("org", "SecretForgotten", "SE1")
	h[events.HeaderType] = []string{events.TypePrefix + "SecretForgotten"}
	got := events.ReadEntry(7, noon(), subject, h, body)
	if got.Type != "SecretForgotten" || !errors.Is(got.Err, events.ErrUnknownType) {
		t.Errorf("of a later version: %+v", got)
	}
	got = events.ReadEntry(7, noon(), "something else", nil, []byte("CANARY"))
	if got.Type != "" || got.Err == nil || strings.Contains(got.Err.Error(), "CANARY") {
		t.Errorf("of none: %+v", got)
	}
}
