package api_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// moved is a secret whose consent was given to another system.
func moved(name, meta string) string {
	return `{"data":{"attributes":{"name":"` + name + `","type_of":"oauth2-acme","grant":{
		"refresh_token":"canary-refresh-token","authorized_at":"2023-05-01T12:00:00Z","reauthorize_by":"2050-05-01T12:00:00Z",
		"account":"ada","scopes":["all"],"extra":{"shard":"7"}}},"meta":{` + meta + `}}}`
}

// TestImportSealsTheConsent: what an exchanger finds is the consent as it was given,
// with its refresh token sealed for the generation before its first exchange.
func TestImportSealsTheConsent(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	done := must[*api.Imported](t)(w.Service.ImportSecret(t.Context(), apitest.Caller(), w.property.ID, document(t, "%s", moved("books", `"exchange_in":60`))))
	stored, _, err := secret.Store{State: w.State}.Get(t.Context(), done.Secret.ID)
	if err != nil {
		t.Fatal(err)
	}
	given := time.Date(2023, 5, 1, 12, 0, 0, 0, time.UTC)
	want := &secret.Authorization{AuthorizedAt: given, Scopes: []string{"all"}, Imported: 1}
	if diff := cmp.Diff(want, stored.Authorization); diff != "" || stored.Decision != 2 {
		t.Errorf("decision %d, authorization (-want +got):\n%s", stored.Decision, diff)
	}
	if due := stored.Plan(); due.Action != secret.Exchange || !due.At.Equal(stored.CreatedAt.Add(time.Minute)) {
		t.Errorf("planned: %v", due)
	}
	consent, err := secret.Vault{State: w.State}.Consent(t.Context(), done.Secret.ID)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := w.opener.Open(seal.Binding{Secret: stored.ID, Field: secret.FieldRefreshToken, Generation: 1}, consent.Imported.Sealed)
	if err != nil || !opened.Equal(seal.NewPlaintext("canary-refresh-token")) {
		t.Errorf("the refresh token does not open: %v", err)
	}
	consent.Imported.Sealed = nil
	if diff := cmp.Diff(&secret.ConsentGrant{
		Generation: 1, ClientID: "acme-app", Account: secret.Account("acme", "ada"), AuthorizedAt: given,
		EndsAt: given.AddDate(27, 0, 0), Scopes: []string{"all"}, Extra: map[string]string{"shard": "7"},
	}, consent.Imported); diff != "" {
		t.Errorf("consent (-want +got):\n%s", diff)
	}
	w.canary(t)
}

// canary looks for refresh tokens where they must not be.
func (w *consentWorld) canary(t *testing.T) {
	t.Helper()
	apitest.Watch(t, w.State, ">", func(records map[string][]byte) bool {
		for key, value := range records {
			if bytes.Contains(value, []byte("canary-refresh-token")) {
				t.Errorf("%s has the refresh token", key)
			}
		}
		return true
	})
	if strings.Contains(w.Log.String(), "canary-refresh-token") {
		t.Error("the log has the refresh token")
	}
}

// TestImportCheckChangesNothing, whatever there is to check.
func TestImportCheckChangesNothing(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	imported := func(mode string) (*api.Imported, error) {
		return w.Service.ImportSecret(t.Context(), apitest.Caller(), w.property.ID, document(t, "%s", moved("books", mode)))
	}
	if got := must[*api.Imported](t)(imported(`"mode":"check"`)); got.Result != api.ImportNew || len(w.Events.Published()) != 0 {
		t.Errorf("result %s, events %v", got.Result, w.Events.Published())
	}
	if _, err := (secret.Store{State: w.State}).Holder(t.Context(), w.property.ID, "books"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("the name: %v", err)
	}
	for i, want := range []api.ImportResult{api.ImportCreated, api.ImportExists} {
		if got := must[*api.Imported](t)(imported("")); got.Result != want {
			t.Errorf("import %d: %s, want %s", i+1, got.Result, want)
		}
	}
	if got := must[*api.Imported](t)(imported(`"mode":"check"`)); got.Result != api.ImportExists {
		t.Errorf("checked again: %s", got.Result)
	}
}

// TestElsewhereIsLeftAlone: whatever is asked of a secret that another system keeps
// fresh, nothing is decided until it is taken over.
func TestElsewhereIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	done := must[*api.Imported](t)(w.Service.ImportSecret(t.Context(), apitest.Caller(), w.property.ID, document(t, "%s", moved("books", `"elsewhere":true`))))
	id := done.Secret.ID
	for _, action := range []string{"retry", "reauthorize", "accept"} {
		_, err := w.Service.ChangeSecret(t.Context(), apitest.Caller(), id, document(t, `{"data":{"id":%q,"attributes":{"type_of":"oauth2-acme"},"meta":{"action":%q}}}`, id, action))
		if refused, ok := errors.AsType[*api.RefusedError](err); !ok || refused.Problems[0].Code != api.Conflict {
			t.Errorf("%s: %v", action, err)
		}
	}
	changed := must[*api.Changed](t)(w.Service.ChangeSecret(t.Context(), apitest.Caller(), id, document(t, `{"data":{"id":%q,"attributes":{"credentials":{"scopes":["all","more"]}}}}`, id)))
	if changed.Dialog != nil || changed.Plan().Action != secret.Rest {
		t.Errorf("an update opened a dialog or planned %v", changed.Plan())
	}
	now := `{"data":{"attributes":{"name":"books","grant":{"refresh_token":"the-last-one","authorized_at":"2023-05-01T12:00:00Z"}},"meta":{"mode":"take_over"}}}`
	taken := must[*api.Imported](t)(w.Service.ImportSecret(t.Context(), apitest.Caller(), w.property.ID, document(t, "%s", now)))
	if taken.Result != api.ImportTakenOver || taken.Secret.Plan().Action != secret.Exchange {
		t.Errorf("%s, planned %v", taken.Result, taken.Secret.Plan())
	}
	consent, err := secret.Vault{State: w.State}.Consent(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	use := consent.Imported
	opened, err := w.opener.Open(seal.Binding{Secret: id, Field: secret.FieldRefreshToken, Generation: use.Generation}, use.Sealed)
	if err != nil || !opened.Equal(seal.NewPlaintext("the-last-one")) || use.Generation != taken.Secret.Authorization.Imported {
		t.Errorf("the refresh token of the take-over is not the one to use: generation %d: %v", use.Generation, err)
	}
}
