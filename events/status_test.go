package events_test

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
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
		path := "testdata/" + name + ".json"
		got = append(got, '\n')
		if *update {
			if err := os.WriteFile(path, got, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", path, got, want)
		}
		var read events.Status
		if err := json.Unmarshal(want, &read); err != nil || !reflect.DeepEqual(read, s) {
			t.Errorf("%s: read as %+v, error %v", path, read, err)
		}
	}
}
