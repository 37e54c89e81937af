package exchanger

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/work"
)

// A job that nobody can bring to its end is noted in the record and announced, once.
func TestParked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.create(secret.OAuth2)
	w.run(x, w.job(s.ID))
	w.clock.Store(w.secret(s.ID).NextAttemptAt.UnixMilli())
	w.overwrite(state.GrantKey(s.ID), "damaged")
	m := w.job(s.ID)
	if err := x.Handle(t.Context(), m); err == nil {
		t.Error("a damaged grant is good enough")
	}
	for range 2 {
		if err := x.Parked(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	got := w.secret(s.ID)
	if want := (&secret.Parked{Decision: got.Decision, Action: secret.Refresh, At: w.now()}); !got.SetAside() || !cmp.Equal(want, got.Parked) {
		t.Errorf("record: %s", show(got))
	}
	told := w.events.about(s.ID)
	want := events.JobParked{
		Secret: s.ID, Property: got.Property, Environment: got.Environment, Kind: "oauth2", Action: "refresh",
		Generation: got.Decision, WorksUntil: got.ExpiresAt,
	}
	if diff := cmp.Diff(events.Data(want), told[len(told)-1].Data); diff != "" || len(told) != 2 {
		t.Errorf("%d events, the last (-want +got):\n%s", len(told), diff)
	}
}

// Of a job that is about nothing that is due, nothing is noted.
func TestParkedForNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.exchanger()
	s := w.create(secret.OAuth2)
	old := w.job(s.ID)
	w.run(x, old)
	before, gone := w.secret(s.ID), w.job(s.ID)
	gone.Data = bytes.ReplaceAll(gone.Data, []byte(s.ID), []byte(secret.NewID(secret.PrefixSecret)))
	for name, m := range map[string]work.Message{
		"an earlier decision": old,
		"not due yet":         w.job(s.ID),
		"a test":              {Type: string(events.TypeTestRequested), Subject: s.ID, Data: []byte(`{"secret":"` + s.ID + `"}`)},
		"unreadable":          {Type: string(events.TypeRefreshDue), Subject: s.ID, Data: []byte(`{`)},
		"no such secret":      gone,
	} {
		if err := x.Parked(t.Context(), m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.clock.Store(before.NextAttemptAt.UnixMilli())
	if err := x.Parked(t.Context(), old); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(before, w.secret(s.ID)); diff != "" || len(w.events.about(s.ID)) != 1 {
		t.Errorf("%d events, record (-before +after):\n%s", len(w.events.about(s.ID)), diff)
	}
}
