package status

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

func at(minute int) time.Time { return time.Date(2026, 5, 1, 12, minute, 0, 0, time.UTC) }

// full is a secret of which everything is known, with what must not be shown.
func full() *secret.Secret {
	offset := int64(1800)
	person := secret.Actor{Email: "CANARY@example.com", DisplayName: "CANARY"}
	return &secret.Secret{
		ID: "SE1", Org: "org", Property: "PR1", Environment: "EN1", Stage: "production", Name: "mine", Kind: secret.OAuth2Google,
		Credentials: secret.Credentials{
			Username: "CANARY", ClientID: "CANARY", Iss: "CANARY", Aud: "CANARY", Sub: "CANARY", PrivateKeyID: "CANARY",
			CustomClaims: json.RawMessage(`{"CANARY":1}`), TokenURL: "https://CANARY.example", RefreshOffset: &offset,
			Options: map[string]string{"CANARY": "CANARY"}, Scopes: []string{"CANARY"},
		},
		Status: secret.Succeeded, RefreshStatus: secret.Failed,
		RefreshStatusDetails: &secret.Failure{ID: "f", Reason: "throttled", Detail: "asked for patience", RequestID: "CANARY", At: at(5)},
		Warnings:             []secret.Warning{{Code: "short_life", Detail: "lives short"}},
		CreatedAt:            at(0), UpdatedAt: at(1), CreatedBy: person, UpdatedBy: person,
		ActivatedAt: at(2), ExpiresAt: at(40), RefreshAt: at(30), Generation: 3, Decision: 4, NextAttemptAt: at(31),
		Elsewhere: time.Time{}, Deployed: "EN1", Trace: "CANARY",
		Authorization: &secret.Authorization{
			AskedUntil: at(59), AuthorizedAt: at(0), Account: "CANARY", Scopes: []string{"CANARY"}, ReauthorizeBy: at(50), Required: true,
		},
	}
}

// What is shown is what everyone may know, and nothing that is hidden or about people.
func TestStatusOf(t *testing.T) {
	t.Parallel()
	got := statusOf(full(), 77)
	want := &events.Status{
		Secret: "SE1", Org: "org", Property: "PR1", Environment: "EN1", Name: "mine", Kind: "oauth2-google",
		Status: "succeeded", RefreshStatus: "failed", CreatedAt: at(0), UpdatedAt: at(1), ActivatedAt: at(2), ExpiresAt: at(40), RefreshAt: at(30),
		NextAttemptAt: at(31), ReauthorizeBy: at(50), AuthorizationRequired: true,
		Failure:    &events.Failure{Reason: "throttled", Verdict: events.Wait, Detail: "asked for patience", At: at(5)},
		Warnings:   []events.Warning{{Code: events.WarningShortLife, Detail: "lives short"}},
		Generation: 3, Revision: 77,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	body, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body), "CANARY") {
		t.Errorf("it shows too much: %s", body)
	}
}

// Of several failures the last counts.
func TestStatusOfFailures(t *testing.T) {
	t.Parallel()
	asked := &secret.Failure{Reason: "timeout", At: at(1)}
	due := &secret.Failure{Reason: "throttled", At: at(2)}
	for _, test := range []struct {
		asked, due *secret.Failure
		want       events.Reason
	}{
		{nil, nil, ""},
		{asked, nil, "timeout"},
		{nil, due, "throttled"},
		{asked, due, "throttled"},
		{due, asked, "throttled"},
	} {
		s := full()
		s.StatusDetails, s.RefreshStatusDetails = test.asked, test.due
		var got events.Reason
		if f := statusOf(s, 1).Failure; f != nil {
			got = f.Reason
		}
		if got != test.want {
			t.Errorf("%v and %v: %q, want %q", test.asked, test.due, got, test.want)
		}
	}
}

func TestStampOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]state.Revision{
		stamp(7): 7, "7.0": 6, "7.1000": 7, "18446744073709551615.1": 1<<64 - 1,
		"": foreign, "7": foreign, "7.": foreign, ".1": foreign, "-7.1": foreign, "7.x": foreign, "0.1": foreign, "1.0": foreign, "7.1.1": foreign,
	} {
		if got := stampOf([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	if got := stampOf(nil); got != 0 {
		t.Errorf("no stamp: %d", got)
	}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	id := secret.NewID(secret.PrefixSecret)
	s := full()
	s.ID, s.Org, s.Kind = id, "b.c@Org", secret.OAuth2ClientCredentials
	p, u, ok := parseKey(placeOf(s).key(mustID(t, id)))
	if !ok || u.String() != id || p != placeOf(s) || p != "b=2Ec=40Org.PR1.oauth2" {
		t.Errorf("%q %s %v", p, u, ok)
	}
	for _, key := range []string{"", ".", "a.b.c.d", "a.b." + id, "a.b.c.d." + id, id, "a.b.c." + id + "0"} {
		if _, _, ok := parseKey(key); ok {
			t.Errorf("%q is a key", key)
		}
	}
}

func mustID(t *testing.T, id string) uid {
	t.Helper()
	u, ok := parseID(id)
	if !ok {
		t.Fatal(id)
	}
	return u
}
