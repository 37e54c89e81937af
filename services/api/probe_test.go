package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// TestTests: what an exchanger finds is told, to others only how it went, and
// nothing is changed.
func TestTests(t *testing.T) {
	t.Parallel()
	const token = "canary-7f3a9c"
	for _, row := range []struct {
		name    string
		answer  func(*apitest.Tester)
		want    string // the exchange
		warning string
		err     error // by errors.Is; nil with want "" is any other
		outcome events.TestOutcome
	}{
		{"answered", func(a *apitest.Tester) {
			a.Answer(events.TestAnswer{Exchange: json.RawMessage(`{"access_token":"` + token + `","expires_in":36000}`), Warning: "too short"})
		}, `{"access_token":"` + token + `","expires_in":36000}`, "too short", nil, events.TestSucceeded},
		{"refused", func(a *apitest.Tester) {
			a.Answer(events.TestAnswer{Exchange: json.RawMessage(`{"error":"invalid_client","status":401}`)})
		}, `{"error":"invalid_client","status":401}`, "", nil, events.TestFailed},
		{
			"busy", func(a *apitest.Tester) { a.Answer(events.TestAnswer{Busy: true}) },
			`{"error":"busy","error_description":"another exchange of this secret is under way: try again"}`, "", nil, events.TestNotMade,
		},
		{
			"late", func(a *apitest.Tester) { a.Break(fmt.Errorf("asking: %w", context.DeadlineExceeded)) },
			`{"error":"timeout","error_description":"no exchanger has made the test in time: they may be busy or down; try again"}`, "", nil, events.TestUnknown,
		},
		{"no stream", func(a *apitest.Tester) { a.Break(errors.New("no stream")) }, "", "", api.ErrUnavailable, events.TestUnknown},
		{"nonsense", func(a *apitest.Tester) { a.Say(token) }, "", "", nil, events.TestUnknown},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newConsentWorld(t)
			made := w.create(t, "oauth2", "n", oauthCredentials)
			row.answer(w.tester)
			before, told := records(t, w.State), len(w.Events.Published())
			got, err := w.change(t, made.ID, act("oauth2-client_credentials", "test"))
			switch {
			case row.want == "":
				if err == nil || row.err != nil && !errors.Is(err, row.err) {
					t.Errorf("got %v, want %v", err, row.err)
				}
			case err != nil:
				t.Fatal(err)
			case string(got.Test.Exchange) != row.want || got.Test.Warning != row.warning:
				t.Errorf("the test found %s, warning %q", got.Test.Exchange, got.Test.Warning)
			}
			if diff := cmp.Diff(before, records(t, w.State)); diff != "" {
				t.Errorf("something has changed:\n%s", diff)
			}
			tested := events.SecretTested{
				Secret: made.ID, Property: made.Property, Kind: "oauth2", Outcome: row.outcome, By: apitest.Caller().Actor.Email,
			}
			if published := w.Events.Published()[told:]; len(published) != 1 || published[0].Data != tested {
				t.Errorf("announced %+v, want %+v", published, tested)
			}
			metrics, _ := w.Metrics.Gather()
			if strings.Contains(fmt.Sprint(err, w.Log.String(), metrics), token) {
				t.Error("the token has come out")
			}
			w.checkAsked(t, made.ID)
		})
	}
}

// checkAsked checks the one job that was given.
func (w *consentWorld) checkAsked(t *testing.T, id string) {
	t.Helper()
	asked := w.tester.Asked()
	if len(asked) != 1 {
		t.Fatalf("%d jobs, want 1", len(asked))
	}
	job := asked[0].Data.(events.TestRequested)
	if left := job.Before.Sub(w.clock.now()); job.Secret != id || asked[0].Org != api.DefaultOrg || left <= 0 || left > 13*time.Second {
		t.Errorf("the job is about %s of %s, to be done within %v", job.Secret, asked[0].Org, left)
	}
}

// TestTooManyTests are refused before anybody is asked; waiting as long as told
// is enough, and other secrets do not suffer.
func TestTooManyTests(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	w.tester.Answer(events.TestAnswer{Exchange: json.RawMessage(`{}`)})
	made, other := w.create(t, "oauth2", "n", oauthCredentials), w.create(t, "oauth2", "m", oauthCredentials)
	try := func(id string) time.Duration {
		t.Helper()
		_, err := w.change(t, id, act("oauth2", "test"))
		if many, ok := errors.AsType[*api.TooManyError](err); ok {
			return many.Wait
		}
		if err != nil {
			t.Fatal(err)
		}
		return 0
	}
	var waits []time.Duration
	for range 5 {
		waits = append(waits, try(made.ID))
	}
	waits = append(waits, try(other.ID))
	w.clock.move(waits[4])
	waits = append(waits, try(made.ID))
	const s20 = 20 * time.Second
	if diff := cmp.Diff([]time.Duration{0, 0, 0, s20, s20, 0, 0}, waits); diff != "" {
		t.Errorf("waits (-want +got):\n%s", diff)
	}
	if n := len(w.tester.Asked()); n != 5 {
		t.Errorf("%d tests were made, want 5", n)
	}
}
