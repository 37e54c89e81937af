package api_test

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// clock is a clock that stands still until it is moved.
type clock struct{ moved atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Date(2025, 11, 3, 8, 15, 0, 120e6, time.UTC).Add(time.Duration(c.moved.Load()))
}

func (c *clock) move(d time.Duration) { c.moved.Add(int64(d)) }

// consentWorld is a world with apps, a tester and a clock of its own.
type consentWorld struct {
	*world
	tester *apitest.Tester
	clock  *clock
	cfg    api.Config
}

func newConsentWorld(t testing.TB) *consentWorld {
	t.Helper()
	return consentWorldOver(t, statetest.New())
}

// consentWorldOver makes the world over a state that is empty.
func consentWorldOver(t testing.TB, st state.Store) *consentWorld {
	t.Helper()
	w := &consentWorld{
		world: &world{opener: apitest.PublishKeyset(t, st)}, tester: new(apitest.Tester), clock: new(clock),
		cfg: api.Config{Apps: apitest.Apps(t)},
	}
	w.Process = w.another(t, st)
	w.company = w.Service.Companies(apitest.Caller(), everything[*api.Company]()).Items[0]
	w.property = w.newProperty(t, "edge")
	return w
}

// another starts a process over the same state.
func (w *consentWorld) another(t testing.TB, st state.Store) *apitest.Process {
	t.Helper()
	return apitest.StartWith(t, w.cfg, api.Deps{State: st, Tester: w.tester, Now: w.clock.now})
}

// create makes a secret with these further attributes.
func (w *consentWorld) create(t testing.TB, kind, name, credentials string) *api.Changed {
	t.Helper()
	return must[*api.Changed](t)(w.Service.CreateSecret(t.Context(), apitest.Caller(), w.property.ID,
		document(t, `{"data":{"attributes":{"name":%q,"type_of":%q,"credentials":%s}}}`, name, kind, credentials)))
}

// change sends a PATCH with these members of data.
func (w *consentWorld) change(t testing.TB, id, members string) (*api.Changed, error) {
	t.Helper()
	return w.Service.ChangeSecret(t.Context(), apitest.Caller(), id, document(t, `{"data":{%s}}`, members))
}

func act(kind, action string) string {
	return fmt.Sprintf(`"attributes":{"type_of":%q},"meta":{"action":%q}`, kind, action)
}

func (w *consentWorld) stored(t testing.TB, id string) *secret.Secret {
	t.Helper()
	s, _, err := secret.Store{State: w.State}.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (w *consentWorld) dialogs(t testing.TB, id string) *secret.Consent {
	t.Helper()
	c, err := secret.Vault{State: w.State}.Consent(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// params are the parameters of a dialog's URL, which must start with at.
func params(t testing.TB, d *api.Dialog, at string) url.Values {
	t.Helper()
	if d == nil {
		t.Fatal("there is no dialog")
	}
	u, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Scheme + "://" + u.Host + u.Path; at != "" && got != at {
		t.Errorf("the dialog is at %s, want %s", got, at)
	}
	return u.Query()
}

func stateOf(t testing.TB, d *api.Dialog) string {
	t.Helper()
	return params(t, d, "").Get("state")
}

const adwords, pubsub = "https://www.googleapis.com/auth/adwords", "https://www.googleapis.com/auth/pubsub"

// TestDialogURLs checks each parameter of contract A13, step 3, and that nothing
// else is sent.
func TestDialogURLs(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	for _, row := range []struct {
		kind, credentials, at string
		pkce                  bool
		want                  map[string]string
	}{
		{
			"oauth2-google", fmt.Sprintf(`{"scopes":[%q,%q]}`, adwords, pubsub), "https://accounts.google.com/o/oauth2/auth", true,
			map[string]string{
				"access_type": "offline", "approval_prompt": "force", "client_id": "google-app",
				"scope": adwords + " " + pubsub + " openid",
			},
		},
		{
			"oauth2-linkedin", `{}`, "https://www.linkedin.com/oauth/v2/authorization", false,
			map[string]string{"client_id": "linkedin-app", "scope": "openid profile"},
		},
		{
			"oauth2-linkedin", `{"scopes":["r_ads"]}`, "https://www.linkedin.com/oauth/v2/authorization", false,
			map[string]string{"client_id": "linkedin-app", "scope": "r_ads"},
		},
		{
			"oauth2-amazon", `null`, "https://www.amazon.com/ap/oa", true,
			map[string]string{"client_id": "amazon-app", "scope": "profile:user_id"},
		},
		{
			"oauth2-acme", `{}`, "https://acme.test/authorize", true,
			map[string]string{"client_id": "acme-app", "scope": "all", "tenant": "7"},
		},
	} {
		t.Run(row.kind+row.credentials, func(t *testing.T) {
			made := w.create(t, row.kind, row.kind+row.credentials, row.credentials)
			if made.Status != secret.Pending || made.Plan().Action != secret.Rest || made.Decision != 0 {
				t.Errorf("the secret is %s and planned is %v, want it to wait for a person", made.Status, made.Plan())
			}
			if want := w.clock.now().Add(time.Hour); !made.Dialog.Until.Equal(want) {
				t.Errorf("the dialog is open until %v, want %v", made.Dialog.Until, want)
			}
			sent := params(t, made.Dialog, row.at)
			kept := w.dialogs(t, made.ID)
			row.want["response_type"], row.want["redirect_uri"] = "code", apitest.Callback
			row.want["state"] = sent.Get("state")
			if row.pkce {
				row.want["code_challenge_method"], row.want["code_challenge"] = "S256", w.challenge(t, made.ID, kept.Open[0])
			}
			got := map[string]string{}
			for name, values := range sent {
				got[name] = strings.Join(values, " AND ")
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("parameters (-want +got):\n%s", diff)
			}
			w.checkDialog(t, kept, sent)
		})
	}
}

// challenge opens the code verifier and computes its challenge (RFC 7636 section
// 4.2).
func (w *consentWorld) challenge(t *testing.T, id string, d secret.Dialog) string {
	t.Helper()
	verifier, err := w.opener.Open(seal.Binding{Secret: id, Field: secret.FieldVerifier, Generation: d.Number}, d.Verifier)
	if err != nil || verifier.Len() != 43 {
		t.Fatalf("the code verifier has %d bytes: %v", verifier.Len(), err)
	}
	sum := sha256.Sum256(verifier.Reveal())
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// checkDialog checks what is kept of the one dialog that was opened.
func (w *consentWorld) checkDialog(t *testing.T, kept *secret.Consent, sent url.Values) {
	t.Helper()
	state := sha256.Sum256([]byte(sent.Get("state")))
	want := &secret.Consent{Opened: 1, Open: []secret.Dialog{{
		Number: 1, State: state[:], Verifier: kept.Open[0].Verifier, RedirectURI: apitest.Callback,
		ClientID: sent.Get("client_id"), Until: w.clock.now().Add(time.Hour), Asked: true,
	}}}
	if diff := cmp.Diff(want, kept); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
}

// TestDialogForcesConsent: when a consent brought no refresh token, the dialogs
// that follow do not go by it, until one brings one.
func TestDialogForcesConsent(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	made := w.create(t, "oauth2-acme", "a", `{}`)
	for _, force := range []bool{true, false} {
		_, _, err := secret.Store{State: w.State}.Update(t.Context(), made.ID, func(s *secret.Secret) error {
			s.Authorization.ForceConsent = force
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		asked, err := w.change(t, made.ID, act("oauth2-acme", "reauthorize"))
		if err != nil {
			t.Fatal(err)
		}
		if got := params(t, asked.Dialog, "").Get("prompt") == "consent"; got != force {
			t.Errorf("the dialog forces consent: %t, want %t", got, force)
		}
	}
}

// TestStatesDiffer: every dialog has a state, a verifier and a number of its own,
// and nobody who has one state can tell another.
func TestStatesDiffer(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	made := w.create(t, "oauth2-google", "g", fmt.Sprintf(`{"scopes":[%q]}`, adwords))
	seen := map[string]bool{stateOf(t, made.Dialog): true}
	for range 20 {
		again := must[*api.Changed](t)(w.change(t, made.ID, act("oauth2-google", "reauthorize")))
		sent := params(t, again.Dialog, "")
		for _, fresh := range []string{sent.Get("state"), sent.Get("code_challenge")} {
			if seen[fresh] {
				t.Fatal("a dialog repeats what was in another")
			}
			seen[fresh] = true
		}
	}
	kept := w.dialogs(t, made.ID)
	if len(kept.Open) != secret.MaxDialogs || kept.Opened != 21 || kept.Open[0].Number != 14 {
		t.Errorf("%d dialogs are open of %d, the first is number %d", len(kept.Open), kept.Opened, kept.Open[0].Number)
	}
}

func TestKindsOfUnregisteredProvidersAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // without apps
	for kind, want := range map[string]string{
		"oauth2-google": "providers.google.client_id", "oauth2-linkedin": "providers.linkedin.client_id",
		"oauth2-amazon": "providers.amazon.client_id", "oauth2-acme": "must be one of",
	} {
		_, err := w.Service.CreateSecret(t.Context(), apitest.Caller(), w.property.ID,
			document(t, `{"data":{"attributes":{"name":"n","type_of":%q,"credentials":{}}}}`, kind))
		if code(err) != api.InvalidSecret || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestAnAppThatIsNotRegisteredAnyMore: a secret of it can be renamed, but nobody
// can consent to it.
func TestAnAppThatIsNotRegisteredAnyMore(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	made := w.create(t, "oauth2-acme", "a", `{}`)
	w.Stop()
	w.cfg.Apps = provider.Apps{}
	w.Process = w.another(t, w.State)
	before := w.dialogs(t, made.ID)
	for _, members := range []string{
		act("oauth2-acme", "retry"), act("oauth2-acme", "reauthorize"), `"attributes":{"credentials":{"scopes":["other"]}}`,
	} {
		if _, err := w.change(t, made.ID, members); code(err) != api.InvalidSecret || !strings.Contains(err.Error(), "no app is registered") {
			t.Errorf("%s: %v", members, err)
		}
	}
	renamed := must[*api.Changed](t)(w.change(t, made.ID, `"attributes":{"name":"b"}`))
	if renamed.Dialog != nil || renamed.Name != "b" {
		t.Errorf("the secret is called %s, with a dialog: %v", renamed.Name, renamed.Dialog != nil)
	}
	if diff := cmp.Diff(before, w.dialogs(t, made.ID)); diff != "" {
		t.Errorf("dialogs have changed:\n%s", diff)
	}
}

// TestWithoutATester: a test is not to be had, and nothing else suffers.
func TestWithoutATester(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := must[*api.Changed](t)(w.Service.CreateSecret(t.Context(), apitest.Caller(), w.property.ID,
		document(t, `{"data":{"attributes":{"name":"n","type_of":"oauth2","credentials":{"client_id":"c","client_secret":"s","token_url":"https://h/t"}}}}`)))
	_, err := w.Service.ChangeSecret(t.Context(), apitest.Caller(), made.ID, document(t, `{"data":{%s}}`, act("oauth2", "test")))
	if !errors.Is(err, api.ErrNotReady) {
		t.Errorf("got %v, want ErrNotReady", err)
	}
}
