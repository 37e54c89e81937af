package events_test

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/internal/golden"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	secretID = "SE0123456789ab4cde8f0123456789abcd"
	property = "PR0123456789ab4cde8f0123456789abcd"
	env      = "EN0123456789ab4cde8f0123456789abcd"
	// upstreamID is the id of an event that another system has published.
	upstreamID = "order 7/2024"
)

func noon() time.Time { return time.Date(2024, time.May, 1, 12, 0, 0, 0, time.UTC) }

func wrap(id string, d events.Data) events.Event {
	return events.Event{
		ID: id, Source: "/rekindle/exchanger", Org: "0123456789ABCDEF@TestOrg",
		Time: noon().Add(123 * time.Millisecond), Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Data: d,
	}
}

// samples holds an event of each type with all it can say, and some with the
// least; by the name of their golden file.
func samples() map[string]events.Event {
	least := wrap("least", events.SecretCreated{Secret: secretID, Property: property, Name: "n", Kind: "token"})
	least.Org, least.Trace = "", ""
	strange := wrap("a b/%\"é\n€😀", events.SecretDeleted{Secret: secretID, Property: property, Name: "<b>&\u2028", Kind: "token"})
	strange.Org = "My Company, Ünited"
	expiring := wrap("registration.google.30", events.RegistrationExpiring{
		Provider: "google", ClientID: "42.apps.example.test", SecretExpiresAt: noon().Add(30 * 24 * time.Hour), DaysLeft: 30,
	})
	expiring.Org = ""
	return map[string]events.Event{
		"SecretCreated": wrap(secretID+".created", events.SecretCreated{
			Secret: secretID, Property: property, Environment: env, Name: "billing API", Kind: "oauth2-client_credentials",
			By: "ada@example.test",
		}),
		"SecretCreated-least": least,
		"SecretUpdated": wrap(secretID+".updated", events.SecretUpdated{
			Secret: secretID, Property: property, Environment: env, Name: "billing API", Kind: "oauth2",
			Changed: []string{"name", "credentials", "environment"}, By: "Ada",
		}),
		"SecretUpdated-least": wrap(secretID+".updated", events.SecretUpdated{
			Secret: secretID, Property: property, Name: "n", Kind: "token", Changed: []string{"environment"},
		}),
		"SecretDeleted": wrap(secretID+".deleted", events.SecretDeleted{
			Secret: secretID, Property: property, Environment: env, Name: "billing API", Kind: "oauth2", By: "ada@example.test",
		}),
		"SecretDeleted-strange": strange,
		"RefreshDue": wrap(secretID+".7.due", events.RefreshDue{
			Secret: secretID, Action: "refresh", Decision: 7, DueAt: noon(),
		}),
		"ExchangeSucceeded": wrap(secretID+".7.succeeded", events.ExchangeSucceeded{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2", Action: "refresh",
			Generation: 7, ExpiresAt: noon().Add(24 * time.Hour), RefreshAt: noon().Add(20 * time.Hour),
		}),
		"ExchangeSucceeded-early": wrap(secretID+".9.succeeded", events.ExchangeSucceeded{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2", Action: "refresh",
			Generation: 9, ExpiresAt: noon().Add(24 * time.Hour), RefreshAt: noon().Add(20 * time.Hour), NextAttemptAt: noon().Add(19 * time.Hour),
		}),
		"ExchangeSucceeded-least": wrap(secretID+".1.succeeded", events.ExchangeSucceeded{
			Secret: secretID, Property: property, Kind: "token", Action: "exchange", Generation: 1,
		}),
		"ExchangeSucceeded-authorize": wrap(secretID+".2.succeeded", events.ExchangeSucceeded{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2-google", Action: "authorize",
			Generation: 2, ExpiresAt: noon().Add(time.Hour), RefreshAt: noon().Add(30 * time.Minute),
			Warnings: []events.Warning{{Code: events.WarningFewerScopes, Detail: "not granted: mail"}},
		}),
		"ExchangeFailed": wrap(secretID+".8.failed", events.ExchangeFailed{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2", Action: "refresh",
			Reason: events.ReasonTimeout, Verdict: events.Retry, Detail: "no complete answer came within 10 s",
			Attempts: 1, NextAttemptAt: noon().Add(40 * time.Minute), WorksUntil: noon().Add(4 * time.Hour),
		}),
		"ExchangeFailed-least": wrap(secretID+".1.failed", events.ExchangeFailed{
			Secret: secretID, Property: property, Kind: "oauth2", Action: "exchange",
			Reason: events.ReasonRejected, Verdict: events.NeedsConfiguration, Detail: "the provider refused the credentials",
		}),
		"ExchangeInterrupted": wrap(secretID+".8.interrupted", events.ExchangeInterrupted{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2", Action: "refresh",
			Generation: 8, Cause: events.CauseKeptBack, NextAttemptAt: noon().Add(2 * time.Hour), WorksUntil: noon().Add(4 * time.Hour),
		}),
		"ExchangeInterrupted-least": wrap(secretID+".1.interrupted", events.ExchangeInterrupted{
			Secret: secretID, Property: property, Kind: "token", Action: "exchange", Generation: 1,
		}),
		"JobParked": wrap(secretID+".8.parked.1", events.JobParked{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2", Action: "refresh",
			Generation: 8, WorksUntil: noon().Add(4 * time.Hour),
		}),
		"RetryRequested": wrap(secretID+".9.retry", events.RetryRequested{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2", By: "ada@example.test",
		}),
		"SecretCreated-imported": wrap(secretID+".created", events.SecretCreated{
			Secret: secretID, Property: property, Environment: env, Name: "billing API", Kind: "oauth2-google",
			Imported: true, By: "ada@example.test",
		}),
		"SecretTakenOver": wrap(secretID+".taken_over.12", events.SecretTakenOver{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2",
			NextAttemptAt: noon().Add(time.Minute), By: "ada@example.test",
		}),
		"SecretTakenOver-least": wrap(secretID+".taken_over.13", events.SecretTakenOver{
			Secret: secretID, Property: property, Kind: "oauth2-google",
		}),
		"SecretExported": wrap(secretID+".exported.1", events.SecretExported{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2",
			Recipient: "0123456789abcdef", HandedOver: true, By: "ada",
		}),
		"SecretExported-least": wrap(secretID+".exported.2", events.SecretExported{
			Secret: secretID, Property: property, Kind: "token", Recipient: "0123456789abcdef",
		}),
		"SecretTested": wrap(secretID+".tested.1", events.SecretTested{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2",
			Outcome: events.TestSucceeded, By: "ada@example.test",
		}),
		"SecretTested-least": wrap(secretID+".tested.2", events.SecretTested{
			Secret: secretID, Property: property, Kind: "oauth2", Outcome: events.TestNotMade,
		}),
		"ReauthorizeRequested": wrap(secretID+".dialog.1", events.ReauthorizeRequested{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2-google", Until: noon().Add(time.Hour),
			By: "ada@example.test",
		}),
		"ConsentReceived": wrap(secretID+".dialog.1.consent", events.ConsentReceived{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2-google",
		}),
		"ConsentReceived-accepted": wrap(secretID+".consent.12", events.ConsentReceived{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2-google", By: "ada@example.test",
		}),
		"ConsentHeld": wrap(secretID+".10.held", events.ConsentHeld{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2-google",
		}),
		"ReauthorizationDue": wrap(secretID+".due.30", events.ReauthorizationDue{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2-linkedin",
			ReauthorizeBy: noon().Add(30 * 24 * time.Hour), DaysLeft: 30,
		}),
		"ReauthorizationDue-ended": wrap(secretID+".due.ended", events.ReauthorizationDue{
			Secret: secretID, Property: property, Kind: "oauth2-linkedin", Ended: true,
		}),
		"RegistrationExpiring": expiring,
		"CredentialExpiring": wrap(secretID+".expiring.4", events.CredentialExpiring{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2", ExpiresAt: noon().Add(4 * time.Hour), HoursLeft: 4,
			FailingSince: noon().Add(-time.Hour), Reason: events.ReasonTimeout, NextAttemptAt: noon().Add(2 * time.Hour),
		}),
		"CredentialExpiring-least": wrap(secretID+".expiring.0", events.CredentialExpiring{
			Secret: secretID, Property: property, Kind: "token", ExpiresAt: noon().Add(time.Second),
		}),
		"CredentialExpired": wrap(secretID+".expired.7", events.CredentialExpired{
			Secret: secretID, Property: property, Environment: env, Kind: "oauth2", ExpiredAt: noon(),
			Reason: events.ReasonGrantEnded, NextAttemptAt: noon().Add(2 * time.Hour),
		}),
		"CredentialExpired-least": wrap(secretID+".expired.1", events.CredentialExpired{
			Secret: secretID, Property: property, Kind: "oauth2", ExpiredAt: noon(),
		}),
		"Accepted": wrap(upstreamID+".accepted", events.Accepted{
			Event: upstreamID, EventSource: "/crm", EventType: "dev.rekindle.intake.v1.SecretCreated",
			Secret: secretID, Property: property, Environment: env, Name: "billing API", Kind: "oauth2-google",
			Duplicate: true, AuthorizationURL: "https://rekindle.example.test/authorize", AuthorizeUntil: noon().Add(time.Hour),
		}),
		"Accepted-least": wrap(upstreamID+".accepted", events.Accepted{
			Event: upstreamID, EventSource: "/crm", EventType: "dev.rekindle.intake.v1.SecretDeleted",
			Secret: secretID, Property: property, Kind: "token",
		}),
		"Rejected": wrap(upstreamID+".rejected", events.Rejected{
			Event: upstreamID, EventSource: "/crm", EventType: "dev.rekindle.intake.v1.SecretCreated",
			Problems: []events.Problem{
				{Code: "not-unique", Pointer: "/name", Detail: "another secret of the property has this name"},
				{Code: "invalid-secret", Pointer: "/credentials/client_secret", Detail: "client_secret is required"},
			},
		}),
		"Rejected-least": wrap("INTAKE.12.rejected", events.Rejected{
			Event: "INTAKE.12", Problems: []events.Problem{{Code: "invalid-event", Detail: "header ce-id is missing"}},
		}),
		"TestRequested": wrap(secretID+".test", events.TestRequested{
			Secret: secretID, Key: []byte(`{"type":"rekindle.keyset.v1"}`), Before: noon().Add(20 * time.Second),
		}),
	}
}

// TestGolden holds the form of every event still: programs of others read it.
// It does not run in parallel, because -update writes what other tests read.
func TestGolden(t *testing.T) {
	for name, e := range samples() {
		h, body, err := events.Encode(e)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		golden.Check(t, filepath.Join("testdata", name+".golden"), golden.Format(h, body), *update)
	}
}

// TestGoldenFiles decodes what is in testdata, a file that no sample writes any
// more included.
func TestGoldenFiles(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	want := samples()
	for _, path := range files {
		h, body := readGolden(t, path)
		e, err := events.Decode(h, body)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		name := strings.TrimSuffix(filepath.Base(path), ".golden")
		if !reflect.DeepEqual(e, want[name]) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", path, e, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("without a golden file: %v", slices.Sorted(maps.Keys(want)))
	}
}

func readGolden(t testing.TB, path string) (events.Header, []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return golden.Parse(t, string(text))
}

// TestUnknownMembers reads what later versions may write: members and headers
// that are not known are ignored, in every type.
func TestUnknownMembers(t *testing.T) {
	t.Parallel()
	for name, want := range samples() {
		h, body, err := events.Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		h["ce-later"] = []string{"x"}
		h["Nats-Msg-Id"] = []string{"y"}
		body = append([]byte(`{"later":{"deep":[1,{"x":null}]},"Type":"x",`), body[1:]...)
		got, err := events.Decode(h, body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
}

// A time is written in UTC, wherever it was taken.
func TestTimesAreUTC(t *testing.T) {
	t.Parallel()
	e := samples()["SecretCreated"]
	e.Time = e.Time.In(time.FixedZone("", 7200))
	h, _, err := events.Encode(e)
	if err != nil || h.Get(events.HeaderTime) != "2024-05-01T12:00:00.123Z" {
		t.Errorf("time is %q, error %v", h.Get(events.HeaderTime), err)
	}
}

// No event has a member that could hold secret material.
func TestMembers(t *testing.T) {
	t.Parallel()
	allowed := []string{
		"action", "attempts", "before", "by", "cause", "changed", "client_id", "days_left", "decision", "detail", "due_at", "ended",
		"handed_over", "imported", "recipient",
		"authorization_url", "authorize_until", "duplicate", "event", "event_source", "event_type", "problems",
		"expired_at", "failing_since", "hours_left",
		"environment", "expires_at", "generation", "key", "kind", "name", "next_attempt_at", "outcome", "property", "provider",
		"reason", "verdict", "reauthorize_by", "refresh_at", "secret", "secret_expires_at", "until", "warnings",
		"works_until",
	}
	for name, e := range samples() {
		body, err := json.Marshal(e.Data)
		if err != nil {
			t.Fatal(err)
		}
		var members map[string]any
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatal(err)
		}
		for member := range members {
			if !slices.Contains(allowed, member) {
				t.Errorf("%s has the new member %q: list it here if everyone may see it", name, member)
			}
		}
	}
}
