package provider

import (
	"net/url"
	"testing"
)

// A dialog that forces consent says so once, whatever the descriptor asks of the
// dialog besides.
func TestForcedConsent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		params        map[string]string
		prompt, older string
	}{
		{nil, "consent", ""},
		{map[string]string{"prompt": "consent"}, "consent", ""},
		{map[string]string{"prompt": "select_account"}, "select_account consent", ""},
		{map[string]string{"prompt": "none"}, "consent", ""},
		{map[string]string{"approval_prompt": "auto"}, "", "force"},
		{map[string]string{"approval_prompt": "force"}, "", "force"},
	} {
		d := google()
		d.AuthorizeParams = tt.params
		for _, forced := range []bool{true, false} {
			to, err := d.AuthorizationURL(Dialog{ClientID: "c", RedirectURI: "https://api.test/callback", State: "s", Force: forced})
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(to)
			if err != nil {
				t.Fatal(err)
			}
			want := [2]string{tt.params["prompt"], tt.params["approval_prompt"]}
			if forced {
				want = [2]string{tt.prompt, tt.older}
			}
			if got := [2]string{u.Query().Get("prompt"), u.Query().Get("approval_prompt")}; got != want {
				t.Errorf("%v, forced %t: %q, want %q", tt.params, forced, got, want)
			}
		}
	}
}
