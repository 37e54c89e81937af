package api_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// TestTimelineIsTheCallersOwn: others' time-lines are not there, before and after
// the secret is deleted; what is not an id comes near no log.
func TestTimelineIsTheCallersOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "mine"))
	other := api.Caller{Org: "OTHER@TestOrg"}
	look := func(when string, who api.Caller, id string, want error, entries int) {
		t.Helper()
		for after := range uint64(3) {
			got, err := w.Service.Timeline(t.Context(), who, id, after, 10)
			if !errors.Is(err, want) {
				t.Errorf("%s, after %d: error %v, want %v", when, after, err, want)
			} else if n := max(0, entries-int(after)); err == nil && len(got.Entries) != n {
				t.Errorf("%s, after %d: %d entries, want %d", when, after, len(got.Entries), n)
			}
		}
	}
	look("mine", apitest.Caller(), made.ID, nil, 1)
	look("another's", other, made.ID, api.ErrNotFound, 0)
	if err := w.Service.DeleteSecret(t.Context(), apitest.Caller(), made.ID); err != nil {
		t.Fatal(err)
	}
	look("mine, deleted", apitest.Caller(), made.ID, nil, 2)
	look("another's, deleted", other, made.ID, api.ErrNotFound, 0)
	look("nobody's", apitest.Caller(), "SE00000000000040008000000000000001", api.ErrNotFound, 0)
	for _, id := range []string{"", "*", ">", "SE1", made.Property} {
		look("no id", apitest.Caller(), id, api.ErrNotFound, 0)
	}
	w.Events.Break(errors.New("broken"))
	look("without a log", apitest.Caller(), made.ID, api.ErrUnavailable, 0)
}

// stored is a ledger of what is put into it.
type stored []events.Entry

func (s stored) History(_ context.Context, _, _ string, after uint64, most int) (part []events.Entry, more bool, err error) {
	for _, e := range s {
		if e.Sequence <= after {
			continue
		}
		if len(part) == most {
			return part, true, nil
		}
		part = append(part, e)
	}
	return part, false, nil
}

func (s stored) Last(_ context.Context, _, _ string, t events.Type) (last events.Entry, found bool, err error) {
	for _, e := range s {
		if e.Type == t {
			last, found = e, true
		}
	}
	return last, found, nil
}

// TestTimelineTellsOnce: what was announced again, too late for the log to know, is
// left out, in the part that it is in and in every later one.
func TestTimelineTellsOnce(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var log stored
	put := func(id string, happened, stored time.Duration, data events.Data) {
		log = append(log, events.Entry{
			Sequence: uint64(len(log) + 1), Stored: noon.Add(stored), Type: data.Type(), Event: events.Event{ID: id, Time: noon.Add(happened), Data: data},
		})
	}
	put("a", 0, 0, events.ExchangeFailed{})
	put("b", time.Second, time.Second, events.ExchangeInterrupted{})
	put("c", time.Minute, time.Minute, events.ExchangeSucceeded{})
	put("a", 0, 3*time.Minute, events.ExchangeFailed{})
	put("d", 4*time.Minute, 4*time.Minute, events.RetryRequested{})
	put("b", 5*time.Minute, 5*time.Minute, events.ExchangeInterrupted{})
	put("e", 5*time.Minute, time.Hour, events.ExchangeSucceeded{})
	put("f", time.Hour, time.Hour, events.CredentialExpired{})
	put("f", 2*time.Hour, 2*time.Hour, events.CredentialExpired{})
	log = append(log, events.Entry{Sequence: 10, Err: events.ErrUnknownType}, events.Entry{Sequence: 11, Err: events.ErrUnknownType})
	service := over(t, api.Deps{Ledger: log})
	for size := range len(log) + 1 {
		var got []string
		for line := (&api.Timeline{More: true}); line.More; {
			var err error
			line, err = service.Timeline(t.Context(), apitest.Caller(), "SE00000000000040008000000000000001", line.After, size+1)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range line.Entries {
				got = append(got, fmt.Sprint(e.Sequence, e.ID))
			}
		}
		if want := []string{"1a", "2b", "3c", "5d", "7e", "8f", "10", "11"}; !slices.Equal(got, want) {
			t.Errorf("in parts of %d: %v, want %v", size+1, got, want)
		}
	}
}

// TestTimelineOfADeletedSecret: it says when and by whom, also where the entry that
// says so is far from what was asked for.
func TestTimelineOfADeletedSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := must[*secret.Secret](t)(newToken(t, w.Service, w.property.ID, "", "s"))
	if err := w.Service.DeleteSecret(t.Context(), apitest.Caller(), made.ID); err != nil {
		t.Fatal(err)
	}
	published := w.Events.Published()
	end := published[len(published)-1].Time.Format("2006-01-02 15:04:05 UTC")
	want := "It was deleted at " + end + " by ada@example.org. Nothing tries again, and it cannot be brought back."
	for after := range uint64(3) {
		got, err := w.Service.Timeline(t.Context(), apitest.Caller(), made.ID, after, 1)
		if err != nil || got.Explanation != want {
			t.Errorf("after %d: %v, %v, want %s", after, got, err, want)
		}
	}
	untold := over(t, api.Deps{Ledger: stored{{Sequence: 1, Type: events.TypeSecretDeleted, Err: events.ErrUnknownType}}})
	got, err := untold.Timeline(t.Context(), apitest.Caller(), made.ID, 0, 1)
	if want := "It is deleted; when and by whom was not told. Nothing tries again, and it cannot be brought back."; err != nil || got.Explanation != want {
		t.Errorf("without the event: %v, %v, want %s", got, err, want)
	}
}

// TestTimelineOfEveryEvent: there is something to read of every event about a
// secret, and of what is none.
func TestTimelineOfEveryEvent(t *testing.T) {
	t.Parallel()
	const id = "SE00000000000040008000000000000001"
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	later := noon.Add(time.Hour)
	long := strings.Repeat("é", 1000)
	tests := []struct {
		data events.Data
		want api.TimelineEntry
	}{
		{events.SecretCreated{Name: "crm", Kind: "token", By: "ada"}, api.TimelineEntry{By: "ada", Detail: `"crm", of the type token`}},
		{
			events.SecretUpdated{Name: "crm", Environment: "EN1", Changed: []string{"name", "credentials", "environment"}, By: "ada"},
			api.TimelineEntry{By: "ada", Detail: `its name, to "crm"; its credentials; its environment`},
		},
		{events.SecretUpdated{Changed: []string{"environment"}}, api.TimelineEntry{Detail: "its environment, which is gone"}},
		{events.SecretDeleted{By: "ada"}, api.TimelineEntry{By: "ada"}},
		{events.RetryRequested{By: "ada"}, api.TimelineEntry{By: "ada"}},
		{
			events.SecretTested{By: "ada", Outcome: events.TestSucceeded},
			api.TimelineEntry{By: "ada", Detail: "the provider gave a token, which was shown and not kept"},
		},
		{events.SecretTested{Outcome: events.TestFailed}, api.TimelineEntry{Detail: "there was no token; why was shown"}},
		{events.SecretTested{Outcome: events.TestNotMade}, api.TimelineEntry{Detail: "not made, because another exchange was under way"}},
		{events.SecretTested{Outcome: events.TestUnknown}, api.TimelineEntry{Detail: "no answer came in time; a request may have been made"}},
		{events.SecretTested{Outcome: "later"}, api.TimelineEntry{}},
		{
			events.ExchangeSucceeded{Environment: "EN1", Action: "refresh", Generation: 7, RefreshAt: noon, ExpiresAt: later},
			api.TimelineEntry{Action: "refresh", Generation: 7, NextAttemptAt: noon, WorksUntil: later},
		},
		{
			events.ExchangeSucceeded{Environment: "EN1", Action: "refresh", RefreshAt: later, NextAttemptAt: noon, ExpiresAt: later},
			api.TimelineEntry{Action: "refresh", NextAttemptAt: noon, WorksUntil: later},
		},
		{
			events.ExchangeSucceeded{Environment: "EN1", Action: "refresh", Warnings: []events.Warning{
				{Code: events.WarningShortLife, Detail: "it is short"}, {Code: "later", Detail: "and more"},
			}},
			api.TimelineEntry{Action: "refresh", Detail: "it is short; and more"},
		},
		{
			events.ExchangeSucceeded{Action: "exchange", Generation: 1, RefreshAt: noon, ExpiresAt: later},
			api.TimelineEntry{Action: "exchange", Generation: 1, Detail: "the value was not kept, because the secret has no environment"},
		},
		{
			events.ExchangeFailed{Action: "refresh", Reason: events.ReasonTimeout, Detail: "no answer", Attempts: 2, NextAttemptAt: noon, WorksUntil: later},
			api.TimelineEntry{Action: "refresh", Reason: events.ReasonTimeout, Detail: "no answer", Attempts: 2, NextAttemptAt: noon, WorksUntil: later},
		},
		{
			events.ExchangeFailed{Reason: events.ReasonNoSuchHost, Detail: "nxdomain"},
			api.TimelineEntry{Reason: events.ReasonNoSuchHost, Detail: "the host of the token URL does not exist"},
		},
		{events.ExchangeFailed{Detail: "x" + long}, api.TimelineEntry{Detail: "x" + long[:1022] + "…"}},
		{
			events.ExchangeInterrupted{Action: "refresh", Generation: 7, WorksUntil: later},
			api.TimelineEntry{
				Action: "refresh", Generation: 7, WorksUntil: later,
				Detail: "nobody knows how it ended: its exchanger died or was stopped; it is decided anew when the next is",
			},
		},
		{
			events.ExchangeInterrupted{Action: "authorize", Generation: 7},
			api.TimelineEntry{
				Action: "authorize", Generation: 7,
				Detail: "nobody knows how it ended: its exchanger died or was stopped; a code is not sent twice (RFC 6749 section 4.1.2), so a person may have to consent again",
			},
		},
		{
			events.ExchangeInterrupted{Action: "refresh", Generation: 7, NextAttemptAt: noon, WorksUntil: later},
			api.TimelineEntry{
				Action: "refresh", Generation: 7, NextAttemptAt: noon, WorksUntil: later,
				Detail: "nobody knows how it ended: its exchanger died or was stopped; the provider may have replaced the refresh token, so it is kept back",
			},
		},
		{
			events.ExchangeInterrupted{Action: "refresh", Cause: events.CauseKeptBack, NextAttemptAt: noon},
			api.TimelineEntry{
				Action: "refresh", NextAttemptAt: noon,
				Detail: "not made: an answer was lost before, and the provider may have replaced the refresh token, so it is kept back",
			},
		},
		{
			events.ExchangeInterrupted{Action: "authorize", Cause: events.CauseVoid},
			api.TimelineEntry{Action: "authorize", Detail: "its outcome is void, because something else was decided while it was made"},
		},
		{
			events.JobParked{Action: "refresh", Generation: 7, WorksUntil: later},
			api.TimelineEntry{
				Action: "refresh", Generation: 7, WorksUntil: later,
				Detail: "it could not be brought to an end: nothing tries again until an administrator requeues its job (rekindle parked)",
			},
		},
		{
			events.CredentialExpiring{ExpiresAt: later, HoursLeft: 1, Reason: events.ReasonTimeout, NextAttemptAt: noon},
			api.TimelineEntry{
				Reason: events.ReasonTimeout, NextAttemptAt: noon, WorksUntil: later, Detail: "nothing has taken the place of the value in use",
			},
		},
		{
			events.CredentialExpiring{ExpiresAt: later},
			api.TimelineEntry{
				WorksUntil: later, Detail: "nothing has taken the place of the value in use, and nothing tries again by itself",
			},
		},
		{
			events.CredentialExpired{ExpiredAt: later, Reason: events.ReasonTimeout, NextAttemptAt: noon},
			api.TimelineEntry{Reason: events.ReasonTimeout, NextAttemptAt: noon, Detail: "the value in use ended at 2026-11-22 13:00:00 UTC"},
		},
		{
			events.CredentialExpired{ExpiredAt: later},
			api.TimelineEntry{Detail: "the value in use ended at 2026-11-22 13:00:00 UTC, and nothing tries again by itself"},
		},
		{events.ReauthorizeRequested{By: "ada", Until: later}, api.TimelineEntry{By: "ada", Detail: "the link is open until 2026-11-22 13:00:00 UTC"}},
		{events.ConsentReceived{}, api.TimelineEntry{Detail: "a person consented in the provider's dialog"}},
		{events.ConsentReceived{By: "ada"}, api.TimelineEntry{By: "ada", Detail: "the consent of another account, which was held, is accepted"}},
		{events.ConsentHeld{}, api.TimelineEntry{Detail: "another account than before consented: that consent is not used until somebody accepts it"}},
		{
			events.ReauthorizationDue{ReauthorizeBy: later},
			api.TimelineEntry{Detail: "a person has to consent again by 2026-11-22 13:00:00 UTC"},
		},
		{events.ReauthorizationDue{}, api.TimelineEntry{Detail: "a person has to consent again"}},
		{events.ReauthorizationDue{ReauthorizeBy: later, Ended: true}, api.TimelineEntry{Detail: "the consent has ended: a person has to consent again"}},
		{events.RegistrationExpiring{Provider: "google"}, api.TimelineEntry{}},
	}
	var log stored
	var want []api.TimelineEntry
	for i, test := range tests {
		n := uint64(i + 1)
		log = append(log, events.Entry{
			Sequence: n, Stored: later, Type: test.data.Type(), Event: events.Event{ID: fmt.Sprint(n), Time: noon, Data: test.data},
		})
		test.want.Sequence, test.want.ID, test.want.At, test.want.Event = n, fmt.Sprint(n), noon, test.data.Type()
		want = append(want, test.want)
	}
	log = append(log,
		events.Entry{Sequence: 90, Stored: later, Type: "SecretForgotten", Err: fmt.Errorf("CANARY %w", events.ErrUnknownType)},
		events.Entry{Sequence: 91, Stored: later, Err: errors.New("CANARY")})
	want = append(want,
		api.TimelineEntry{Sequence: 90, At: later, Event: "SecretForgotten", Detail: "a later version of Rekindle knows what this is"},
		api.TimelineEntry{Sequence: 91, At: later, Detail: "what is stored here is not an event of Rekindle"})
	service := over(t, api.Deps{Ledger: log})
	got, err := service.Timeline(t.Context(), apitest.Caller(), id, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Entries); diff != "" || got.After != 91 || !strings.HasPrefix(got.Explanation, "It was deleted at 2026-11-22 12:00:00 UTC by ada. ") {
		t.Errorf("after %d, %q; entries (-want +got):\n%s", got.After, got.Explanation, diff)
	}
	if _, err := over(t, api.Deps{}).Timeline(t.Context(), apitest.Caller(), id, 0, 100); !errors.Is(err, api.ErrNotReady) {
		t.Errorf("without a log: %v", err)
	}
}

// over returns a service that is not running, over an empty state.
func over(t *testing.T, d api.Deps) *api.Service {
	t.Helper()
	d.State, d.Events, d.Logger, d.Metrics = statetest.New(), new(apitest.Events), slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	return api.New(api.Config{}, d)
}
