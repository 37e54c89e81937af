package exchanger

import (
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rekindle-dev/rekindle/pkg/seal"
)

// What is shown of a page are words of its title, and nothing that could be a
// credential: none of what was sent, and nothing that looks like a token.
func TestExcerpt(t *testing.T) {
	t.Parallel()
	sent := []string{"client", "opensesame", "Ab1-refresh.token", "id:weak"}
	for _, tt := range []struct{ media, body, want string }{
		{"text/html", "<TITLE lang=en>Log&nbsp;in &amp; more</Title>", `text/html, 45 bytes, sha256 fd991597, titled "Log in … more"`},
		{"text/html", "<title>403 Forbidden - WAF</title>", `text/html, 34 bytes, sha256 992d2d34, titled "403 Forbidden - WAF"`},
		{"text/html", "<title>Hello opensesame, OPENSESAME open 1234 a1 tokEn https://x</title>", `text/html, 72 bytes, titled "Hello …"`},
		{"text/html", "<title>Ab1-refresh.token</title>", `text/html, 32 bytes`},
		{"text/html", "<title>deadbeefcafe01 abcdefghijklmno</title>", `text/html, 45 bytes, sha256 64425705`},
		{"text/html", "<title>" + strings.Repeat("many words ", 100), `text/html, 1107 bytes, sha256 a87e1bdd`},
		{"text/html", "<title>" + strings.Repeat("ten signs ", 100) + "</title>", `text/html, 1015 bytes, sha256 9c93e9c5, titled "` + strings.TrimSpace(strings.Repeat("ten signs ", 8)) + `"`},
		{"text/plain", "no page", `text/plain, 7 bytes, sha256 0c42d5bf`},
		{"text/plain", "you sent aWQ6d2Vhaw==", `text/plain, 21 bytes`},
		{"x/planted-type", "<titles", `of another type, 7 bytes, sha256 f0d5f8f6`},
	} {
		if got := excerpt(tt.media, []byte(tt.body), sent); got != tt.want {
			t.Errorf("%.60s:\ngot  %s\nwant %s", tt.body, got, tt.want)
		}
	}
}

// An answer that is JSON or a form, or none, is not described; nor is one that says
// that there is nothing wrong with it.
func TestOnlyPagesAreDescribed(t *testing.T) {
	t.Parallel()
	c := newClientFor(t, EgressConfig{Allow: loopback})
	for _, tt := range []struct {
		status      int
		media, body string
		described   bool
	}{
		{200, "text/html; charset=utf-8", "<title>Log in</title>", true},
		{403, "text/html", "<title>Log in</title>", true},
		{502, "text/plain", "bad gateway", true},
		{200, "application/json", `{"a":`, true},
		{200, "application/json", `{"token":"a"}`, false},
		{400, "application/json", `{"error":"invalid_grant"}`, false},
		{200, "application/json", " \n", false},
		{400, "application/x-www-form-urlencoded", "error=invalid_grant", false},
		{302, "text/html", "<title>Log in</title>", false},
		{429, "text/html", "<title>Log in</title>", false},
	} {
		e := newEndpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", tt.media)
			w.WriteHeader(tt.status)
			_, _ = w.Write([]byte(tt.body))
		})
		e.Start()
		_, plain := c.Exchange(t.Context(), newRequest(e.URL))
		_, granted := c.Refresh(t.Context(), newApp(t, e.URL), seal.NewPlaintext("r"), nil)
		for _, err := range []error{plain, granted} {
			if got := strings.Contains(wantAnyReason(t, err).Detail, "(the answer: "); got != tt.described {
				t.Errorf("%d %s: %v", tt.status, tt.body, err)
			}
		}
	}
}

// FuzzExcerpt: whatever a page says, what is shown of it is short, one line, and has
// none of what was sent in it.
func FuzzExcerpt(f *testing.F) {
	f.Add("text/html", "<title>Hello SeCrEt-1 opensesame</title>", "opensesame")
	f.Add("text/plain", "<title x='>'>a</title", "a")
	f.Add("", "<TITLE>\x00\xff&#10;&#x202e;b</TITLE>", "b")
	f.Fuzz(func(t *testing.T, media, body, secret string) {
		r := TokenRequest{Fields: []Field{{"refresh_token", seal.NewPlaintext(secret)}}}
		err := r.described(malformed("something"), response{http.StatusOK, http.Header{"Content-Type": {media}}, []byte(body)})
		_, got, _ := strings.Cut(err.Error(), " (the answer: ")
		if len(got) > 400 || utf8.RuneCountInString(got) > 160 || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%q", got)
		}
		_, words, _ := strings.Cut(got, "titled ")
		if len(secret) > 3 && !strings.ContainsAny(secret, " …\"\\") && strings.Contains(words, secret) {
			t.Errorf("%q is in %q", secret, words)
		}
	})
}
