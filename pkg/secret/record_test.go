package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	secretID   = "SE0123456789ab4cde8f0123456789abcd"
	propertyID = "PR0123456789ab4cde8f0123456789abcd"
)

// fullSecret has every member set.
func fullSecret() *secret.Secret {
	offset := int64(14400)
	person := secret.Actor{Email: "ada@example.com", DisplayName: "Ada"}
	return &secret.Secret{
		ID: secretID, Org: "acme", Property: propertyID, Environment: env, Stage: "production",
		Name: "billing API", Kind: secret.OAuth2ClientCredentials,
		Credentials: secret.Credentials{
			Username: "ada", ClientID: "client", TokenURL: "https://issuer.example/token?x=1",
			RefreshOffset: &offset, Options: map[string]string{"scope": "read write", "audience": "billing"},
			Iss: "issuer", Aud: "audience", Sub: "ada", TTL: 3600, Alg: "RS256", PrivateKeyID: "key-1",
			CustomClaims: json.RawMessage(`{"role":"reader"}`), Scopes: []string{"read", "write"},
		},
		CredentialGeneration: 2,
		Status:               secret.Succeeded, StatusDetails: failure(),
		RefreshStatus: secret.Pending, RefreshStatusDetails: failure(), Warnings: warnings(),
		CreatedAt: noon(), UpdatedAt: noon().Add(time.Millisecond), CreatedBy: person, UpdatedBy: person,
		ActivatedAt: noon(), ExpiresAt: noon().Add(24 * time.Hour), RefreshAt: noon().Add(20 * time.Hour),
		Generation: 6, Decision: 8, NextAttemptAt: noon().Add(20*time.Hour + 40*time.Minute), Attempts: 1, RefreshLate: true,
		FailingSince: noon().Add(20 * time.Hour), AlarmedAt: noon().Add(22 * time.Hour),
		AskedAt: noon().Add(-time.Hour), ReplayAt: noon().Add(-time.Minute),
		Parked: &secret.Parked{Decision: 8, Action: secret.Refresh, At: noon()},
		Authorization: &secret.Authorization{
			AskedUntil: noon().Add(time.Hour), ConsentedAt: noon(), Accept: true, HeldAt: noon(), Failure: failure(), ForceConsent: true,
			AuthorizedAt: noon(), Scopes: []string{"read"}, Account: "fingerprint", Strikes: 1, AliveAt: noon().Add(time.Minute), EndedAt: noon().Add(time.Hour), ReauthorizeBy: noon().Add(year),
			Notices: notices(), Required: true, Imported: 1, Lived: 16 * time.Hour, Observed: 15 * time.Hour,
		},
		Elsewhere: noon(), Deployed: env, DeployedRevision: 12, DeletedAt: noon(), Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
}

func fullGrant() *secret.Grant {
	return &secret.Grant{
		Claim: fullClaim(8), Lost: fullClaim(5),
		Outcome: &secret.Outcome{
			Decision: 7, Action: secret.Authorize, Answered: true, Ended: true, Foreign: true,
			RetryAt: noon().Add(time.Minute), Down: true, Replay: true, Held: true,
			Warnings: warnings(), ForceConsent: true,
			Authorized: &secret.Authorized{At: noon(), ReauthorizeBy: noon().Add(year), Reminders: secret.DefaultReminders(), Scopes: []string{"read"}, Account: "fingerprint"},
			StartedAt:  noon().Add(-time.Second), At: noon(), Failure: failure(), Environment: env, Sealed: []byte("sealed"),
			ExpiresAt: noon().Add(24 * time.Hour), RefreshAt: noon().Add(20 * time.Hour), NextAt: noon().Add(19 * time.Hour),
		},
		Consent: fullConsentGrant(6), Held: fullConsentGrant(7), Credential: fullCredential(),
	}
}

func warnings() []secret.Warning {
	return []secret.Warning{{Code: "short_life", Detail: "the token lives for 60 s"}}
}

func fullClaim(decision uint64) *secret.Claim {
	return &secret.Claim{
		Decision: decision, Holder: "exchanger-1", StartedAt: noon(), Until: noon().Add(time.Minute),
		Token: 6, Fingerprint: "0123456789abcdef", Attempt: 2, Replays: 1, LostAt: noon().Add(time.Second), Last: 4,
	}
}

func fullConsentGrant(generation uint64) *secret.ConsentGrant {
	return &secret.ConsentGrant{
		Generation: generation, Sealed: []byte("sealed"), ClientID: "app", Account: "fingerprint",
		AuthorizedAt: noon(), EndsAt: noon().Add(year), Scopes: []string{"read"}, Extra: map[string]string{"realm": "1"},
		Rotated: true,
	}
}

func fullConsent() *secret.Consent {
	answered := dialog(1, noon())
	return &secret.Consent{
		Opened: 2, Open: []secret.Dialog{dialog(2, noon())},
		Answered: &answered, AnsweredAt: noon(), Code: []byte("sealed"), Callback: map[string]string{"realm": "1"},
		Imported: fullConsentGrant(1),
	}
}

func fullCredential() *secret.Credential {
	return &secret.Credential{Generation: 2, Fields: map[string]secret.SealedField{
		"client_secret": {Generation: 1, Sealed: []byte("sealed")},
	}}
}

func fullArtifact() *secret.Artifact {
	return &secret.Artifact{Secret: secretID, Environment: env, Generation: 6, Sealed: []byte("sealed"), ExpiresAt: noon().Add(24 * time.Hour)}
}

// TestRecordGolden holds the stored form of every record still: other versions
// of the program read it. It does not run in parallel, because -update writes
// what other tests read.
func TestRecordGolden(t *testing.T) {
	for name, record := range map[string]any{
		"secret": fullSecret(), "secret-new": &secret.Secret{
			ID: secretID, Org: "acme", Property: propertyID, Name: "n", Kind: secret.Token,
			Status: secret.Pending, CreatedAt: noon(), UpdatedAt: noon(), Decision: 1, NextAttemptAt: noon(),
		},
		"grant": fullGrant(), "grant-empty": new(secret.Grant),
		"credential": fullCredential(),
		"consent":    fullConsent(), "consent-empty": new(secret.Consent),
		"artifact": fullArtifact(), "artifact-endless": &secret.Artifact{Secret: secretID, Environment: env, Generation: 1, Sealed: []byte("sealed")},
	} {
		body, err := json.MarshalIndent(record, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".golden.json", append(body, '\n'))
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// TestReadsGolden reads what was stored, with members that a later version
// added.
func TestReadsGolden(t *testing.T) {
	t.Parallel()
	reads(t, "secret.golden.json", fullSecret())
	reads(t, "grant.golden.json", fullGrant())
	reads(t, "credential.golden.json", fullCredential())
	reads(t, "consent.golden.json", fullConsent())
	reads(t, "artifact.golden.json", fullArtifact())
}

// The golden records show every member: one that is added shows here.
func TestGoldenRecordsAreFull(t *testing.T) {
	t.Parallel()
	for _, record := range []any{fullSecret(), fullGrant(), fullCredential(), fullConsent(), fullArtifact()} {
		full(t, reflect.TypeOf(record).Elem().Name(), reflect.ValueOf(record))
	}
}

// full fails the test for every member of v, at any depth, that is not set.
func full(t *testing.T, path string, v reflect.Value) {
	t.Helper()
	switch {
	case v.IsZero() || v.Kind() == reflect.Slice && v.Len() == 0:
		t.Errorf("%s is not set", path)
	case v.Kind() == reflect.Pointer:
		full(t, path, v.Elem())
	case v.Kind() == reflect.Slice:
		full(t, path+"[0]", v.Index(0))
	case v.Kind() == reflect.Struct && v.Type() != reflect.TypeFor[time.Time]():
		for i := range v.NumField() {
			full(t, path+"."+v.Type().Field(i).Name, v.Field(i))
		}
	}
}

func reads[T any](t *testing.T, name string, want *T) {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	later := strings.Replace(string(body), "{\n", "{\"added_later\": {\"x\": [1]},\n", 1)
	var stored bytes.Buffer // golden files are indented, records are not
	got := new(T)
	if err := errors.Join(json.Compact(&stored, []byte(later)), json.Unmarshal(stored.Bytes(), got)); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// Zero times are absent, not "0001-01-01": the api turns absence into null.
func TestZeroTimesAreAbsent(t *testing.T) {
	t.Parallel()
	body, err := json.Marshal([]any{
		secret.Secret{CreatedAt: noon(), UpdatedAt: noon(), Authorization: new(secret.Authorization)},
		secret.Outcome{At: noon()},
		secret.Authorized{At: noon()},
		secret.ConsentGrant{AuthorizedAt: noon()},
		secret.Artifact{},
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(body), "0001-01-01") {
		t.Errorf("a zero time is stored: %s", body)
	}
}

func TestSealedAs(t *testing.T) {
	sealedAs := func(field, tokenURL string) string {
		return secret.Credentials{TokenURL: tokenURL}.SealedAs(field)
	}
	first := sealedAs("client_secret", "https://IDP.test/token?tenant=1")
	if same := sealedAs("client_secret", "https://idp.test/oauth/token?tenant=2"); same != first {
		t.Errorf("another path of the same server: %q, want %q", same, first)
	}
	for _, other := range []string{"http://idp.test/token", "https://idp.test:8443/token", "https://idp.test.evil.test/token", "https://evil.test/?idp.test", ""} {
		if sealedAs("client_secret", other) == first {
			t.Errorf("a secret for idp.test is sealed as one for %q", other)
		}
	}
	if got := sealedAs("password", "https://idp.test"); got != "password" {
		t.Errorf("a password is sealed as %q, want password", got)
	}
}
