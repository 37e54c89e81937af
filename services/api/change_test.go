package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

const oauthCredentials = `{"client_id":"c1","client_secret":"s1","token_url":"https://idp.test/t?a=1","refresh_offset":14401,"options":{"scope":"read"}}`

// opened are the hidden fields of a secret, opened as an exchanger opens them.
func (w *consentWorld) opened(t testing.TB, id string) map[string]string {
	t.Helper()
	s := w.stored(t, id)
	c, err := secret.Vault{State: w.State}.Credential(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if c.Generation != s.CredentialGeneration {
		t.Errorf("the credential is of generation %d and the secret of %d", c.Generation, s.CredentialGeneration)
	}
	fields := map[string]string{}
	for name, f := range c.Fields {
		plain, err := w.opener.Open(seal.Binding{Secret: id, Field: s.Credentials.SealedAs(name), Generation: f.Generation}, f.Sealed)
		if err != nil {
			t.Fatalf("%s does not open any more: %v", name, err)
		}
		fields[name] = string(plain.Reveal())
	}
	return fields
}

// settle lets an exchange succeed, as an exchanger does.
func (w *consentWorld) settle(t testing.TB, id string) *secret.Secret {
	t.Helper()
	s, _, err := secret.Store{State: w.State}.Update(t.Context(), id, func(s *secret.Secret) error {
		o := &secret.Outcome{Decision: s.Decision, Action: secret.Exchange, At: w.clock.now(), Environment: s.Environment}
		if s.Kind.Expires() {
			o.ExpiresAt, o.RefreshAt = secret.Dates(w.clock.now(), 10*time.Hour, 4*time.Hour)
		}
		if s.Kind.Interactive() {
			o.Action, o.Authorized = secret.Authorize, &secret.Authorized{At: w.clock.now()}
		}
		s.Apply(o, w.clock.now())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestUpdates: what is not sent is kept, and what is changed is exchanged anew.
func TestUpdates(t *testing.T) {
	t.Parallel()
	const simple, token = `{"username":"u","password":"p"}`, `{"token":"t"}`
	fresh, kept := uint64(2), uint64(1)
	for _, row := range []struct {
		name, kind, credentials, attributes string
		// public is what becomes of the public credentials, as JSON.
		public     string
		hidden     map[string]string
		generation uint64
		changed    []string // as the event tells
	}{
		{"nothing", "oauth2", oauthCredentials, `{}`, "", nil, kept, nil},
		{"the same", "oauth2", oauthCredentials, `{"name":"n","type_of":"oauth2","credentials":{"client_id":"c1","options":{"scope":"read"}}}`, "", nil, kept, nil},
		{"credentials null", "oauth2", oauthCredentials, `{"credentials":null}`, "", nil, kept, nil},
		{"hidden null", "oauth2", oauthCredentials, `{"credentials":{"client_secret":null}}`, "", nil, kept, nil},
		{"what was read", "oauth2", oauthCredentials, `{"status":"pending","created_at":"x","credentials":{"client_id":"c1","token_url":"https://idp.test/t?a=1","refresh_offset":14401.0,"options":{"scope":"read"}}}`, "", nil, kept, nil},
		{"name", "oauth2", oauthCredentials, `{"name":"m"}`, "", nil, kept, []string{"name"}},
		{"its other name", "oauth2", oauthCredentials, `{"type_of":"oauth2-client_credentials","name":"m"}`, "", nil, kept, []string{"name"}},
		{"client id", "oauth2", oauthCredentials, `{"credentials":{"client_id":"c2"}}`, `{"client_id":"c2","token_url":"https://idp.test/t?a=1","refresh_offset":14401,"options":{"scope":"read"}}`, nil, fresh, []string{"credentials"}},
		{"client secret", "oauth2", oauthCredentials, `{"credentials":{"client_secret":"s2"}}`, "", map[string]string{"client_secret": "s2"}, fresh, []string{"credentials"}},
		{"client secret again", "oauth2", oauthCredentials, `{"credentials":{"client_secret":"s1"}}`, "", nil, fresh, []string{"credentials"}},
		{"path of the URL", "oauth2", oauthCredentials, `{"credentials":{"token_url":"https://IDP.test/other"}}`, `{"client_id":"c1","token_url":"https://IDP.test/other","refresh_offset":14401,"options":{"scope":"read"}}`, nil, fresh, []string{"credentials"}},
		{"URL by its old name", "oauth2", oauthCredentials, `{"credentials":{"authorization_url":"https://idp.test/other"}}`, `{"client_id":"c1","token_url":"https://idp.test/other","refresh_offset":14401,"options":{"scope":"read"}}`, nil, fresh, []string{"credentials"}},
		{"old name null", "oauth2", oauthCredentials, `{"credentials":{"authorization_url":null}}`, "", nil, kept, nil},
		{"server with its secret", "oauth2", oauthCredentials, `{"credentials":{"token_url":"https://b.test/t","client_secret":"s2"}}`, `{"client_id":"c1","token_url":"https://b.test/t","refresh_offset":14401,"options":{"scope":"read"}}`, map[string]string{"client_secret": "s2"}, fresh, []string{"credentials"}},
		{"optional ones null", "oauth2", oauthCredentials, `{"credentials":{"refresh_offset":null,"options":null}}`, `{"client_id":"c1","token_url":"https://idp.test/t?a=1","refresh_offset":14400}`, nil, fresh, []string{"credentials"}},
		{"options as a whole", "oauth2", oauthCredentials, `{"credentials":{"options":{"audience":"x"}}}`, `{"client_id":"c1","token_url":"https://idp.test/t?a=1","refresh_offset":14401,"options":{"audience":"x"}}`, nil, fresh, []string{"credentials"}},
		{"all at once", "oauth2", oauthCredentials, `{"name":"m","credentials":{"client_secret":"s2"}}`, "", map[string]string{"client_secret": "s2"}, fresh, []string{"name", "credentials"}},
		{"user name", "simple-http", simple, `{"credentials":{"username":"v"}}`, `{"username":"v"}`, nil, fresh, []string{"credentials"}},
		{"password", "simple-http", simple, `{"credentials":{"password":"q"}}`, "", map[string]string{"password": "q"}, fresh, []string{"credentials"}},
		{"token", "token", token, `{"credentials":{"token":"u"}}`, "", map[string]string{"token": "u"}, fresh, []string{"credentials"}},
		{"no token", "token", token, `{"credentials":{}}`, "", nil, kept, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newConsentWorld(t)
			made := w.create(t, row.kind, "n", row.credentials)
			before, sealed := w.settle(t, made.ID), w.opened(t, made.ID)
			w.clock.move(time.Minute)
			got := must[*api.Changed](t)(w.change(t, made.ID, `"attributes":`+row.attributes))

			want := *before
			if row.public != "" {
				want.Credentials = secret.Credentials{}
				if err := json.Unmarshal([]byte(row.public), &want.Credentials); err != nil {
					t.Fatal(err)
				}
			}
			want.CredentialGeneration = row.generation
			if row.changed != nil {
				want.UpdatedAt, want.UpdatedBy = w.clock.now(), apitest.Caller().Actor
			}
			if slices.Contains(row.changed, "name") {
				want.Name = "m"
			}
			if row.generation == fresh { // the dates stay until there are others
				want.Status, want.Decision, want.NextAttemptAt, want.AskedAt = secret.Pending, before.Decision+1, w.clock.now(), w.clock.now()
			}
			if diff := cmp.Diff(&want, got.Secret); diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(&want, w.stored(t, made.ID)); diff != "" {
				t.Errorf("the record (-want +got):\n%s", diff)
			}
			hidden := maps.Clone(sealed)
			maps.Copy(hidden, row.hidden)
			if diff := cmp.Diff(hidden, w.opened(t, made.ID)); diff != "" {
				t.Errorf("what was sealed (-want +got):\n%s", diff)
			}
			w.checkUpdated(t, row.changed)
		})
	}
}

// checkUpdated checks the event about an update, or that there is none.
func (w *consentWorld) checkUpdated(t *testing.T, changed []string) {
	t.Helper()
	var got []string
	for _, e := range w.Events.Published() {
		if u, ok := e.Data.(events.SecretUpdated); ok {
			got = append(got, u.Changed...)
		}
	}
	if !slices.Equal(got, changed) {
		t.Errorf("the event tells of %v, want %v", got, changed)
	}
}

// TestUpdatesOfAJWT: the same for the kind that has two modes.
func TestUpdatesOfAJWT(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	key, other := keyPEM(t, 2048, true), keyPEM(t, 2048, false)
	made := w.create(t, "oauth2-jwt", "j", fmt.Sprintf(
		`{"iss":"i","aud":"a","sub":"s","ttl":3600,"alg":"RS256","custom_claims":{"b":"<&>", "a":[1]},"private_key":%q,"token_url":"https://h/t"}`, key))
	for i, row := range []struct {
		credentials string
		url, key    string
		generation  uint64
	}{
		{`{"custom_claims":{ "a":[1],"b":"<&>"},"authorization_url":"https://elsewhere"}`, "https://h/t", key, 1},
		{`{"token_url":null}`, "", key, 2},
		{`{"token_url":"https://another/t"}`, "https://another/t", key, 3}, // the key is never sent
		{fmt.Sprintf(`{"private_key":%q}`, other), "https://another/t", other, 4},
	} {
		got := must[*api.Changed](t)(w.change(t, made.ID, fmt.Sprintf(`"attributes":{"credentials":%s}`, row.credentials)))
		if got.Credentials.TokenURL != row.url || got.CredentialGeneration != row.generation || got.Credentials.Sub != "s" {
			t.Errorf("update %d: %+v of generation %d", i, got.Credentials, got.CredentialGeneration)
		}
		if w.opened(t, made.ID)["private_key"] != row.key {
			t.Errorf("update %d: another private key", i)
		}
	}
}

// TestEnvironmentRules are those of contract A14.
func TestEnvironmentRules(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	staging := must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, "staging"))
	other := must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, "development"))
	relation := func(data string) string { return `"relationships":{"environment":{"data":` + data + `}}` }
	in := func(e *api.Environment) string {
		return relation(fmt.Sprintf(`{"id":%q,"type":"environments"}`, e.ID))
	}
	made := w.create(t, "oauth2", "n", oauthCredentials)
	before := w.settle(t, made.ID)
	steps := []struct {
		name, members, environment string
		refused                    api.Code
		asks                       uint64
	}{
		{"none there to clear", relation("null"), "", "", 0},
		{"set", in(staging), staging.ID, "", 1},
		{"set again", in(staging), staging.ID, "", 0},
		{"another", in(other), staging.ID, api.ReadOnly, 0},
		{"cleared", relation("null"), staging.ID, api.ReadOnly, 0},
		{"cleared while something else is changed", relation("null") + `,"attributes":{"name":"m","credentials":{"client_id":"c2"}}`, staging.ID, api.ReadOnly, 0},
		{"not sent", `"relationships":{"environment":{}}`, staging.ID, "", 0},
	}
	asked := before.Decision
	for _, step := range steps {
		_, err := w.change(t, made.ID, step.members)
		if code(err) != step.refused || err != nil && step.refused == "" {
			t.Fatalf("%s: %v", step.name, err)
		}
		asked += step.asks
		if s := w.stored(t, made.ID); s.Environment != step.environment || s.Decision != asked || s.Name != "n" {
			t.Fatalf("%s: it is in %q, with decision %d, want %q and %d", step.name, s.Environment, s.Decision, step.environment, asked)
		}
	}
	w.settle(t, made.ID)
	w.attachElsewhere(t, made.ID, staging, in(other), other.ID)
}

// attachElsewhere deletes the environment of a secret and gives it another at
// once, whether a healer has come to it or not. What the deleted one holds is
// withdrawn first.
func (w *consentWorld) attachElsewhere(t *testing.T, id string, gone *api.Environment, members, environment string) {
	t.Helper()
	if err := w.Service.DeleteEnvironment(t.Context(), apitest.Caller(), gone.ID); err != nil {
		t.Fatal(err)
	}
	got := must[*api.Changed](t)(w.change(t, id, members))
	if got.Environment != environment || !got.ActivatedAt.IsZero() || got.Deployed != gone.ID || got.Plan().Action != secret.Withdraw {
		t.Errorf("it is in %q, still deployed to %q, and planned is %v", got.Environment, got.Deployed, got.Plan())
	}
	got.Withdrawn()
	if next := got.Plan(); next.Action != secret.Exchange || got.Status != secret.Pending {
		t.Errorf("after that it is %s and planned is %v", got.Status, next)
	}
}

// unhealed is a state in which nobody detaches a secret: that is a commit of its
// record alone.
type unhealed struct{ state.Store }

func (u unhealed) Commit(ctx context.Context, writes ...state.Write) (state.Revision, error) {
	if kind, _ := state.Split(writes[0].Key); kind == "secret" && len(writes) == 1 {
		return 0, errors.New("not now")
	}
	return u.Store.Commit(ctx, writes...)
}

// TestADeletedEnvironmentBindsNobody, also when no healer has come to the secret.
func TestADeletedEnvironmentBindsNobody(t *testing.T) {
	t.Parallel()
	healed := statetest.New()
	w := consentWorldOver(t, unhealed{healed})
	w.State = healed
	gone := must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, "staging"))
	other := must[*api.Environment](t)(newEnvironment(t, w.Service, w.property.ID, "development"))
	made := w.create(t, "oauth2-acme", "n", `{}`)
	relation := `"relationships":{"environment":{"data":{"id":%q}}}`
	must[*api.Changed](t)(w.change(t, made.ID, fmt.Sprintf(relation, gone.ID)))
	w.settle(t, made.ID)
	w.attachElsewhere(t, made.ID, gone, fmt.Sprintf(relation, other.ID), other.ID)
}

// TestRetries: one exchange is asked for, however often it is asked for.
func TestRetries(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	second := w.another(t, w.State)
	doors := []*api.Service{w.Service, second.Service}
	made := w.create(t, "oauth2-client_credentials", "n", oauthCredentials)
	before := w.settle(t, made.ID)
	w.clock.move(time.Minute)
	var pending atomic.Int64
	errs := together(16, func(i int) error {
		got, err := doors[i%2].ChangeSecret(t.Context(), apitest.Caller(), made.ID, document(t, `{"data":{%s}}`, act("oauth2", "retry")))
		if err == nil && got.Status == secret.Pending && got.ExpiresAt.Equal(before.ExpiresAt) {
			pending.Add(1)
		}
		return err
	})
	if ok, _ := tally(t, errs, ""); ok != 16 || pending.Load() != 16 {
		t.Errorf("%d were answered, %d of them with pending and the old dates", ok, pending.Load())
	}
	if s := w.stored(t, made.ID); s.Decision != before.Decision+1 || !s.NextAttemptAt.Equal(w.clock.now()) || s.Kind != secret.OAuth2ClientCredentials {
		t.Errorf("decision %d at %v of a %s, want one decision more", s.Decision, s.NextAttemptAt, s.Kind)
	}
	announced := 0
	for _, e := range append(w.Events.Published(), second.Events.Published()...) {
		if _, ok := e.Data.(events.RetryRequested); ok {
			announced++
		}
	}
	if announced != 1 {
		t.Errorf("%d events, want 1", announced)
	}
}

// TestUpdatesOfTwoProcesses: each update keeps what the others have changed.
func TestUpdatesOfTwoProcesses(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	second := w.another(t, w.State)
	doors := []*api.Service{w.Service, second.Service}
	made := w.create(t, "oauth2", "n", oauthCredentials)
	updates := []string{
		`"attributes":{"name":"m"}`, `"attributes":{"credentials":{"client_id":"c2"}}`,
		`"attributes":{"credentials":{"client_secret":"s2"}}`, `"attributes":{"credentials":{"options":{"x":"y"}}}`,
		`"attributes":{"credentials":{"refresh_offset":0}}`, act("oauth2", "retry"),
	}
	tally(t, together(len(updates), func(i int) error {
		_, err := doors[i%2].ChangeSecret(t.Context(), apitest.Caller(), made.ID, document(t, `{"data":{%s}}`, updates[i]))
		return err
	}), "")
	got := w.stored(t, made.ID)
	want := secret.Credentials{ClientID: "c2", TokenURL: "https://idp.test/t?a=1", RefreshOffset: new(int64(0)), Options: map[string]string{"x": "y"}}
	if diff := cmp.Diff(want, got.Credentials); diff != "" || got.Name != "m" || got.CredentialGeneration != 5 {
		t.Errorf("it is called %s, of generation %d (-want +got):\n%s", got.Name, got.CredentialGeneration, diff)
	}
	if opened := w.opened(t, made.ID); opened["client_secret"] != "s2" {
		t.Errorf("the client secret is %q", opened["client_secret"])
	}
	var changed []string // of each event what it alone has changed
	for _, e := range append(w.Events.Published(), second.Events.Published()...) {
		if u, ok := e.Data.(events.SecretUpdated); ok {
			changed = append(changed, u.Changed...)
		}
	}
	slices.Sort(changed)
	if fmt.Sprint(changed) != "[credentials credentials credentials credentials name]" {
		t.Errorf("events tell of %v", changed)
	}
}

// TestRenames: of many who want a name one gets it, and the old one is free.
func TestRenames(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	second := w.another(t, w.State)
	doors := []*api.Service{w.Service, second.Service}
	ids := make([]string, 8)
	for i := range ids {
		ids[i] = w.create(t, "token", fmt.Sprint("n", i), `{"token":"t"}`).ID
	}
	errs := together(len(ids), func(i int) error {
		_, err := doors[i%2].ChangeSecret(t.Context(), apitest.Caller(), ids[i], document(t, `{"data":{"attributes":{"name":"wanted"}}}`))
		return err
	})
	if ok, refused := tally(t, errs, api.NotUnique); ok != 1 || refused != len(ids)-1 {
		t.Fatalf("%d got the name and %d did not", ok, refused)
	}
	for i, err := range errs {
		_, again := newToken(t, w.Service, w.property.ID, "", fmt.Sprint("n", i))
		if free := again == nil; free != (err == nil) {
			t.Errorf("the name of secret %d: renamed with %v, taken again with %v", i, err, again)
		}
	}
}

// TestChangesOfADeletedSecret find nothing, also where it is not known yet.
func TestChangesOfADeletedSecret(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	made := w.create(t, "oauth2-acme", "n", `{}`)
	second := w.another(t, w.State)
	errs := together(17, func(i int) error {
		if i == 16 {
			return second.Service.DeleteSecret(t.Context(), apitest.Caller(), made.ID)
		}
		_, err := w.change(t, made.ID, act("oauth2-acme", []string{"reauthorize", "retry"}[i%2]))
		return err
	})
	for _, err := range errs {
		if err != nil && !errors.Is(err, api.ErrNotFound) {
			t.Error(err)
		}
	}
	if _, err := w.change(t, made.ID, act("oauth2-acme", "retry")); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if s := w.stored(t, made.ID); s.DeletedAt.IsZero() {
		t.Error("the secret is back")
	}
}

// TestAnUpdateWhoseOutcomeIsNotKnown is told as such, and happens as a whole or
// not at all.
func TestAnUpdateWhoseOutcomeIsNotKnown(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	faulty := statetest.NewFaulty(inner)
	w := consentWorldOver(t, faulty)
	made := w.create(t, "oauth2", "n", oauthCredentials)
	for _, when := range []statetest.When{statetest.Before, statetest.After} {
		faulty.FailCommit(len(faulty.Commits())+1, when)
		_, err := w.change(t, made.ID, `"attributes":{"name":"m","credentials":{"client_secret":"s2"}}`)
		if !errors.Is(err, api.ErrUnavailable) {
			t.Fatalf("%v: %v", when, err)
		}
		s, hidden := w.stored(t, made.ID), w.opened(t, made.ID)["client_secret"]
		if done := when == statetest.After; done != (s.Name == "m") || done != (hidden == "s2") || done != (s.CredentialGeneration == 2) {
			t.Errorf("%v: it is called %s with the client secret %s", when, s.Name, hidden)
		}
	}
}
