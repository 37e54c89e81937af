package events_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/events/internal/golden"
)

func TestStatusKeys(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		events.StatusKey("ORG@TestOrg", property, "oauth2-google", secretID): "ORG=40TestOrg." + property + ".oauth2-google." + secretID,
		events.StatusKey("", "*", ">", "a.b"):                                "=.=2A.=3E.a=2Eb",
		events.StatusKeys("ORG@TestOrg", "", "", ""):                         "ORG=40TestOrg.*.*.*",
		events.StatusKeys("o", property, "", ""):                             "o." + property + ".*.*",
		events.StatusKeys("o", "", "oauth2", ""):                             "o.*.oauth2.*",
		events.StatusKeys("o", "", "", secretID):                             "o.*.*." + secretID,
		events.StatusKeys("*", "", "", ">"):                                  "=2A.*.*.=3E",
	} {
		if got != want {
			t.Errorf("key %q, want %q", got, want)
		}
	}
}

// statuses are a status with all it can say and one with the least, by the name of
// their golden file.
func statuses() map[string]events.Status {
	return map[string]events.Status{
		"Status": {
			Secret: secretID, Org: "0123456789ABCDEF@TestOrg", Property: property, Environment: env, Name: "billing API", Kind: "oauth2-google",
			Status: "succeeded", RefreshStatus: "failed", CreatedAt: noon(), UpdatedAt: noon().Add(time.Second), ActivatedAt: noon().Add(time.Second),
			ExpiresAt: noon().Add(24 * time.Hour), RefreshAt: noon().Add(20 * time.Hour), NextAttemptAt: noon().Add(21 * time.Hour),
			ElsewhereSince: noon(), ReauthorizeBy: noon().Add(30 * 24 * time.Hour), AuthorizationRequired: true,
			Failure: &events.Failure{
				Reason: events.ReasonTimeout, Verdict: events.Retry, Detail: "no complete answer came within 10 s", At: noon().Add(20 * time.Hour),
			},
			Warnings:   []events.Warning{{Code: events.WarningFewerScopes, Detail: "not granted: mail"}},
			Generation: 7, Revision: 42,
		},
		"Status-least": {
			Secret: secretID, Org: "o", Property: property, Name: "n", Kind: "token", Status: "pending", CreatedAt: noon(), UpdatedAt: noon(), Revision: 1,
		},
	}
}

// What is written of a secret's status is held still, as events are. It does not run
// in parallel, because -update writes what other tests read.
func TestStatusGolden(t *testing.T) {
	for name, s := range statuses() {
		got, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, "testdata/"+name+".json", append(got, '\n'), *update)
		var read events.Status
		if err := json.Unmarshal(got, &read); err != nil || !reflect.DeepEqual(read, s) {
			t.Errorf("%s: read as %+v, error %v", name, read, err)
		}
	}
}
