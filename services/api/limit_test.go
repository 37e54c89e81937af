package api_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// TestAccountLimit: from nine tenths of the grants on that an account may have with
// an app, its secrets warn, alone and in lists; others, and those whose grant has
// ended, do not count.
func TestAccountLimit(t *testing.T) {
	t.Parallel()
	w := newConsentWorld(t)
	granted := func(id string, change func(*secret.Authorization)) {
		t.Helper()
		_, _, err := secret.Store{State: w.State}.Update(t.Context(), id, func(s *secret.Secret) error {
			s.Authorization.AuthorizedAt, s.Authorization.Account = w.clock.now(), "of google 1"
			change(s.Authorization)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	as := func(*secret.Authorization) {}
	warns := func(id string, want int) {
		t.Helper()
		w.newProperty(t, "edge") // seen after all that was written before
		one := must[*secret.Secret](t)(w.Service.Secret(t.Context(), apitest.Caller(), id))
		page, err := w.Service.SecretsOfProperty(t.Context(), apitest.Caller(), w.property.ID, allSecrets())
		if err != nil {
			t.Fatal(err)
		}
		inList := 0
		for _, s := range page.Items {
			inList += len(s.Warnings)
		}
		if wants := min(want, 1); len(one.Warnings) != wants || inList != want {
			t.Fatalf("%d warnings, %d in the list; want %d, %d", len(one.Warnings), inList, wants, want)
		}
		if want > 0 && (one.Warnings[0].Code != "account_limit" || !strings.HasPrefix(one.Warnings[0].Detail, fmt.Sprint(want, " secrets "))) {
			t.Errorf("warned: %+v", one.Warnings)
		}
	}
	var ids []string
	for i := range 91 {
		made := w.create(t, "oauth2-google", fmt.Sprint(i), fmt.Sprintf(`{"scopes":[%q]}`, adwords))
		ids = append(ids, made.ID)
	}
	other := w.create(t, "oauth2-linkedin", "no limit", `{}`)
	granted(other.ID, as)
	granted(ids[90], func(a *secret.Authorization) { a.Account = "of google 2" })
	for _, id := range ids[:89] {
		granted(id, as)
	}
	granted(ids[89], func(a *secret.Authorization) { a.EndedAt = w.clock.now() })
	warns(ids[0], 0)
	granted(ids[89], func(a *secret.Authorization) { a.EndedAt = w.clock.now().AddDate(-1, 0, 0) })
	warns(ids[0], 0)
	granted(ids[90], as)
	warns(ids[0], 90)
	if err := w.Service.DeleteSecret(t.Context(), apitest.Caller(), ids[1]); err != nil {
		t.Fatal(err)
	}
	warns(ids[0], 0)
}
