package exchanger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

const (
	acme   = "acme"
	dialog = time.Hour // how long one is open
)

// plantedScope is what people consent to here, besides openid.
const plantedScope = "mail"

// acmeOAuth is the provider of these tests: by the RFCs, and with id tokens.
func (w *world) acmeOAuth(id string) provider.Descriptor {
	return provider.Descriptor{
		Name: acme, Label: "Acme", AuthorizeURL: w.provider.url + "/authorize", TokenURL: w.provider.url + "/token?secret=" + id,
		AuthStyle: provider.AuthParams, PKCE: provider.S256,
		Scopes:  provider.Scopes{Always: []string{"openid"}},
		Subject: provider.Subject{From: provider.PlaceIDToken, Field: "sub"},
	}
}

// consenting stores a secret to which nobody has consented, at an app of its
// own at acme, which treats codes and tokens as flow says.
func (w *world) consenting(flow sandbox.CodeFlow, edits ...func(*provider.Descriptor)) *secret.Secret {
	w.t.Helper()
	s := w.create(secret.ProviderKind(acme), func(s *secret.Secret) { s.Credentials.Scopes = []string{plantedScope} })
	d := w.acmeOAuth(s.ID)
	for _, edit := range edits {
		edit(&d)
	}
	w.register(s, d, flow)
	return s
}

// register registers the app of a secret, on both sides.
func (w *world) register(s *secret.Secret, d provider.Descriptor, flow sandbox.CodeFlow) {
	w.t.Helper()
	if err := d.Validate(); err != nil {
		w.t.Fatal(err)
	}
	flow.RedirectURIs = []string{testRedirect}
	if err := w.provider.Put(sandbox.Client{ID: s.ID, Secret: plantedSecret, CodeFlow: &flow}); err != nil {
		w.t.Fatal(err)
	}
	w.apps[s.Kind.Provider()] = App{Provider: d, ClientID: s.ID, Secret: seal.NewPlaintext(plantedSecret)}
}

// people are the accounts that consent, one after the other.
func people(accounts ...string) (list []sandbox.Consent) {
	for _, a := range accounts {
		list = append(list, sandbox.Consent{Account: a})
	}
	return list
}

// consent has the person who is next consent to the secret, as api and browser
// do it: the dialog is opened, and then answered, unless another consent waits.
func (w *world) consent(id string) {
	w.t.Helper()
	if w.secret(id).ConsentWaits() {
		w.t.Fatal("the api would refuse this consent")
	}
	verifier := rand.Text() + rand.Text()
	d := secret.Dialog{State: []byte("hash"), RedirectURI: testRedirect, ClientID: w.secret(id).Credentials.ClientID, Until: w.now().Add(dialog)}
	w.edit(id, func(draft *secret.Draft) {
		d.Number = 1
		if draft.Consent == nil {
			draft.Consent = new(secret.Consent)
		}
		d.Number = draft.Consent.Opened + 1
		d.Verifier = w.sealFor(id, secret.FieldVerifier, d.Number, verifier)
		draft.Consent = draft.Consent.Clone()
		draft.Consent.Begin(d, w.now())
		draft.OpenDialog(w.now(), d.Until)
	})
	code := w.browse(id, verifier)
	w.edit(id, func(draft *secret.Draft) {
		draft.Consent = draft.Consent.Clone()
		draft.Consent.End(d)
		draft.Consent.Answered, draft.Consent.Code = &d, w.sealFor(id, secret.FieldCode, d.Number, code)
		draft.Consented(w.now())
		draft.Consent.AnsweredAt = draft.Authorization.ConsentedAt
	})
}

// browse goes to the provider and returns the code that comes back.
func (w *world) browse(id, verifier string) (code string) {
	w.t.Helper()
	s := w.secret(id)
	challenge := sha256.Sum256([]byte(verifier))
	to, err := w.apps[s.Kind.Provider()].Provider.AuthorizationURL(provider.Dialog{
		ClientID: s.Credentials.ClientID, RedirectURI: testRedirect, Scopes: s.Credentials.Scopes,
		State: "state", Challenge: base64.RawURLEncoding.EncodeToString(challenge[:]), Force: s.Authorization != nil && s.Authorization.ForceConsent,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	w.provider.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, to, nil))
	back, err := url.Parse(rec.Header().Get("Location"))
	if code = back.Query().Get("code"); err != nil || code == "" {
		w.t.Fatalf("%d, and back to %v: %v", rec.Code, back, err)
	}
	return code
}

func (w *world) edit(id string, change func(*secret.Draft)) {
	w.t.Helper()
	_, _, err := secret.Store{State: w.store}.Edit(context.Background(), id, func(d *secret.Draft) error {
		change(d)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) sealFor(id, field string, number uint64, text string) []byte {
	w.t.Helper()
	sealed, err := w.sealer.Seal(seal.ShortLived, seal.Binding{Secret: id, Field: field, Generation: number}, seal.NewPlaintext(text))
	if err != nil {
		w.t.Fatal(err)
	}
	return sealed
}

// consented is consenting with a consent that was exchanged.
func (w *world) consented(x *Exchanger, flow sandbox.CodeFlow, edits ...func(*provider.Descriptor)) *secret.Secret {
	w.t.Helper()
	s := w.consenting(flow, edits...)
	w.consent(s.ID)
	w.run(x, w.job(s.ID))
	if got := w.secret(s.ID); got.Status != secret.Succeeded {
		w.t.Fatalf("record: %s", show(got))
	}
	return s
}

// grants are those of the secret's app, by the provider's books.
func (w *world) grants(id string) []sandbox.Grant {
	w.t.Helper()
	list, err := w.provider.Grants(id)
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// checkRefreshable fails the test unless the stored refresh token works. It is
// used by that: nothing can follow.
func (w *world) checkRefreshable(id string) {
	w.t.Helper()
	consent := w.grant(id).Consent
	if consent == nil {
		w.t.Error("there is no grant")
		return
	}
	token, err := seal.NewOpener(w.ring).Open(seal.Binding{Secret: id, Field: fieldRefreshToken, Generation: consent.Generation}, consent.Sealed)
	if err != nil {
		w.t.Error(err)
		return
	}
	app := w.apps[w.secret(id).Kind.Provider()]
	app.Provider.TokenURL, _, _ = strings.Cut(app.Provider.TokenURL, "?") // not on the account of the secret
	w.script(&secret.Secret{Credentials: secret.Credentials{ClientID: id}})
	tokens, err := w.provider.client.Refresh(context.Background(), app, token, nil)
	tokens.Wipe()
	if err != nil {
		w.t.Errorf("the stored refresh token does not work: %v", err)
	}
}

// brief shows what is sealed by its sum.
func brief() cmp.Option {
	return cmp.Transformer("sum", func(sealed []byte) string { return fmt.Sprintf("%x", sha256.Sum256(sealed)) })
}

// The first consent, from its code to the event.
func TestFirstConsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	created := w.consenting(sandbox.CodeFlow{RequirePKCE: true, Lifetime: sandbox.Duration(time.Hour)})
	w.advance(time.Hour)
	w.consent(created.ID)
	answered := w.secret(created.ID)
	if got := answered.Plan(); got != (secret.Next{Action: secret.Authorize, At: w.now()}) {
		t.Fatalf("planned is %v", got)
	}
	w.advance(40 * time.Millisecond)
	w.run(w.exchanger(), w.job(created.ID))

	want := *answered
	want.Status, want.Decision, want.Generation, want.UpdatedAt, want.ActivatedAt = secret.Succeeded, 2, 1, w.now(), w.now()
	want.ExpiresAt, want.RefreshAt = w.now().Add(time.Hour), w.now().Add(30*time.Minute)
	want.NextAttemptAt = want.RefreshAt
	consentedAt := answered.Authorization.ConsentedAt
	want.Authorization = &secret.Authorization{
		AuthorizedAt: consentedAt, AliveAt: consentedAt, Scopes: []string{plantedScope, "openid"}, Account: w.grant(created.ID).Consent.Account,
	}
	want.DeployedRevision = w.deployed(&want)
	if diff := cmp.Diff(&want, w.secret(created.ID)); diff != "" {
		t.Errorf("record (-want +got):\n%s", diff)
	}
	w.checkValue(&want)
	grant := w.grant(created.ID)
	wantGrant := &secret.ConsentGrant{
		Generation: 1, Sealed: grant.Consent.Sealed, ClientID: created.ID, Account: grant.Consent.Account,
		AuthorizedAt: consentedAt, Scopes: want.Authorization.Scopes,
	}
	if diff := cmp.Diff(wantGrant, grant.Consent, brief()); diff != "" || len(wantGrant.Account) != 32 || grant.Held != nil {
		t.Errorf("account %q, grant (-want +got):\n%s", wantGrant.Account, diff)
	}
	event := events.ExchangeSucceeded{
		Secret: want.ID, Property: want.Property, Environment: want.Environment, Kind: "oauth2-acme", Action: "authorize",
		Generation: 1, ExpiresAt: want.ExpiresAt, RefreshAt: want.RefreshAt,
	}
	if list := w.events.about(want.ID); len(list) != 1 || !cmp.Equal(list[0].Data, events.Data(event)) {
		t.Errorf("events: %+v", list)
	}
	if n, _ := w.metric(`rekindle_exchanges_total{action="authorize",kind="oauth2-acme",outcome="succeeded"}`); n != 1 {
		t.Error("not counted as authorize")
	}
	w.checkClaims(want.ID)
	w.checkRefreshable(want.ID)
	w.wantRequests(want.ID, 1)
}

// What was granted is what the answer names, and where it names nothing what was
// asked for. A refresh that names nothing changes nothing.
func TestGrantedScopes(t *testing.T) {
	t.Parallel()
	asked := []string{plantedScope, "openid"}
	for name, tt := range map[string]struct{ code, refresh []string }{
		"named":          {[]string{"openid"}, []string{"openid", "phone"}},
		"not named":      {asked, asked},
		"fewer later on": {asked, []string{"openid"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			x := w.exchanger()
			s := w.consenting(sandbox.CodeFlow{})
			w.script(s, naming(tt.code, asked), naming(tt.refresh, tt.code))
			w.consent(s.ID)
			w.run(x, w.job(s.ID))
			w.checkScopes(s.ID, tt.code)
			w.runDue(x, s.ID)
			w.checkScopes(s.ID, tt.refresh)
		})
	}
}

// naming is an answer that names these scopes, unless they are those that are
// in force anyway.
func naming(scopes, inForce []string) sandbox.Step {
	if slices.Equal(scopes, inForce) {
		return sandbox.Step{Times: 1, Omit: []string{"scope"}}
	}
	return sandbox.Step{Times: 1, Fields: map[string]json.RawMessage{"scope": json.RawMessage(strconv.Quote(strings.Join(scopes, " ")))}}
}

func (w *world) checkScopes(id string, want []string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.secret(id).Authorization.Scopes); diff != "" {
		w.t.Errorf("scopes of the record (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, w.grant(id).Consent.Scopes); diff != "" {
		w.t.Errorf("scopes of the grant (-want +got):\n%s", diff)
	}
}

// Details point to where the token endpoint is set, which is not in the secret.
func TestConsentDetailNamesTheSetting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.consenting(sandbox.CodeFlow{})
	w.consent(s.ID)
	app := w.apps[acme]
	app.Provider.TokenURL = w.nobody()
	w.apps[acme] = app
	w.run(w.exchanger(), w.job(s.ID))
	const want = "the token endpoint refused the connection: check host and port of providers.acme.token_url"
	if f := w.secret(s.ID).Authorization.Failure; f == nil || f.Detail != want {
		t.Errorf("failure: %s", show(f))
	}
}

// A consent of which nothing comes: a secret that never worked fails, and one
// that works is what it was, and is refreshed when it was to be.
func TestConsentFails(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		spoil    func(w *world, s *secret.Secret)
		reason   events.Reason
		requests int
	}{
		{"another verifier", func(w *world, s *secret.Secret) {
			w.edit(s.ID, func(d *secret.Draft) {
				answered := *d.Consent.Answered
				answered.Verifier = w.sealFor(s.ID, secret.FieldVerifier, answered.Number, rand.Text()+rand.Text())
				d.Consent = d.Consent.Clone()
				d.Consent.Answered = &answered
			})
		}, events.ReasonConsentRefused, 1},
		{"the code of another dialog", func(w *world, s *secret.Secret) {
			w.edit(s.ID, func(d *secret.Draft) {
				d.Consent = d.Consent.Clone()
				d.Consent.Code = w.sealFor(s.ID, secret.FieldCode, 7, "stolen")
			})
		}, events.ReasonCannotOpen, 0},
		{"too late", func(w *world, _ *secret.Secret) { w.advance(time.Minute) }, events.ReasonConsentRefused, 1},
		{"another keyring", func(w *world, _ *secret.Secret) { w.useRing(newRing(w.t, w.now())) }, events.ReasonCannotOpen, 0},
		{"no refresh token, nor whose", func(w *world, s *secret.Secret) {
			w.script(s, sandbox.Step{Omit: []string{"refresh_token", "id_token"}})
		}, events.ReasonNoRefreshToken, 1},
		{"client secret refused", func(w *world, s *secret.Secret) { w.script(s, sandbox.Step{Error: "invalid_client"}) }, events.ReasonAppRefused, 1},
		{"no lifetime", func(w *world, s *secret.Secret) { w.script(s, sandbox.Step{Omit: []string{"expires_in"}}) }, events.ReasonNoLifetime, 1},
		{"provider down", func(w *world, s *secret.Secret) { w.script(s, sandbox.Step{Status: 503}) }, events.ReasonProviderError, 1},
		{"no app any more", func(w *world, _ *secret.Secret) { delete(w.apps, acme) }, events.ReasonNotRegistered, 0},
		{"another app since", func(w *world, _ *secret.Secret) {
			app := w.apps[acme]
			app.ClientID = "another"
			w.apps[acme] = app
		}, events.ReasonAppRefused, 0},
	}
	for _, tt := range tests {
		for _, works := range []bool{false, true} {
			name := tt.name + ", new"
			if works {
				name = tt.name + ", works"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				var s *secret.Secret
				if works {
					s = w.consented(w.exchanger(), sandbox.CodeFlow{RequirePKCE: true})
					w.advance(2 * dialog)
				} else {
					s = w.consenting(sandbox.CodeFlow{RequirePKCE: true})
				}
				before, grant, requests := w.secret(s.ID), w.grant(s.ID), len(w.provider.AllRequests())
				w.consent(s.ID)
				tt.spoil(w, s)
				w.run(w.exchanger(), w.job(s.ID))

				got := w.secret(s.ID)
				f := got.Authorization.Failure
				if f == nil || f.Reason != string(tt.reason) {
					t.Fatalf("failed for %s, want %s", show(f), tt.reason)
				}
				if strings.Contains(show(f)+w.logs.String()+w.shownEvents(), plantedPrefix) {
					t.Error("a token is shown")
				}
				want := *before
				want.Decision, want.UpdatedAt = got.Decision, w.now()
				want.Authorization = new(secret.Authorization)
				if works {
					*want.Authorization = *before.Authorization
				}
				want.Authorization.Failure = f
				want.Authorization.ForceConsent = tt.reason == events.ReasonNoRefreshToken
				if !works {
					want.Status, want.StatusDetails = secret.Failed, f
				}
				if diff := cmp.Diff(&want, got); diff != "" {
					t.Errorf("record (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(grant.Consent, w.grant(s.ID).Consent, brief()); diff != "" {
					t.Errorf("grant in use (-before +after):\n%s", diff)
				}
				if n := len(w.provider.AllRequests()) - requests; n != tt.requests {
					t.Errorf("%d requests, want %d", n, tt.requests)
				}
				w.checkAnnounced(s.ID)
			})
		}
	}
}

// What cannot be read is read later: the code is not lost over it.
func TestConsentCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.consenting(sandbox.CodeFlow{})
	w.consent(s.ID)
	away := &unreadable{Store: w.store, key: state.ConsentKey(s.ID)}
	m := w.job(s.ID)
	if err := w.exchanger(using(away)).Handle(t.Context(), m); err == nil {
		t.Error("nothing failed")
	}
	m.Delivery++
	w.run(w.exchanger(), m)
	if got := w.secret(s.ID); got.Status != secret.Succeeded {
		t.Errorf("record: %s", show(got))
	}
	w.wantRequests(s.ID, 1)
}
