package sandbox_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// TestLookalikes walks each provider's people through the flow as its descriptor
// says, and reads the answers with that descriptor.
func TestLookalikes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		like     func(string, ...string) sandbox.Client
		refresh  time.Duration // life of the refresh token
		life     time.Duration
		repeated bool // the refresh token comes again
		subject  string
	}{
		"google":   {sandbox.LikeGoogle, 0, time.Hour, false, "account-1"},
		"linkedin": {sandbox.LikeLinkedIn, 365 * 24 * time.Hour, 60 * 24 * time.Hour, true, "account-1"},
		"amazon":   {sandbox.LikeAmazon, 0, time.Hour, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, ok := provider.Defaults().Get(name)
			if !ok {
				t.Fatal("no such provider")
			}
			a := startApp(t, sandbox.CodeFlow{})
			if err := a.Put(tc.like("a", a.callback)); err != nil {
				t.Fatal(err)
			}
			scopes := append(append([]string{}, d.Scopes.Default...), d.Scopes.Always...)
			pairs := []string{"scope", d.Scopes.Separator.Join(scopes)}
			for name, value := range d.AuthorizeParams {
				pairs = append(pairs, name, value)
			}
			code := a.consent(pairs...)

			read := func(form url.Values) provider.Fields {
				t.Helper()
				r := a.form("/token", form)
				f, err := d.Read(r.header.Get("Content-Type"), []byte(r.body))
				if err != nil {
					t.Fatalf("%d: %v", r.status, err)
				}
				return f
			}
			form := credentials("a", "any")
			set(form, []string{"grant_type", "authorization_code", "code", code, "redirect_uri", a.callback, "code_verifier", verifier})
			first := read(form)
			if first.RefreshToken == "" || first.Lifetime != tc.life || first.RefreshLifetime != tc.refresh || first.Subject != tc.subject {
				t.Errorf("code: lives %v, refresh token %v, %v; of %q", first.Lifetime, first.RefreshToken != "", first.RefreshLifetime, first.Subject)
			}
			if diff := cmp.Diff(scopes, first.Scopes); diff != "" && name != "amazon" {
				t.Error(diff)
			}
			form = credentials("a", "any")
			set(form, []string{"grant_type", "refresh_token", "refresh_token", first.RefreshToken})
			if again := read(form); again.AccessToken == first.AccessToken || (again.RefreshToken == first.RefreshToken) != tc.repeated {
				t.Errorf("refresh token in the answer to itself: %v", again.RefreshToken != "")
			}
			if d.Subject.From == provider.PlaceUserinfo {
				req := a.request(http.MethodGet, "/userinfo", "")
				req.Header.Set("Authorization", "Bearer "+first.AccessToken)
				if who := decode[map[string]string](t, a.do(req)); who[d.Subject.Field] != "account-1" {
					t.Errorf("userinfo: %v", who)
				}
			}
			if err := a.Revoke("a", 0); err != nil {
				t.Fatal(err)
			}
			r := a.form("/token", form)
			if refused := d.Refused(r.header.Get("Content-Type"), []byte(r.body)); refused == nil || refused.Meaning != provider.NeedsHuman {
				t.Errorf("after a revocation: %d %v", r.status, refused)
			}
		})
	}
}
