package exchanger

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
)

// equalTokens compares Tokens with their plaintexts.
func equalTokens(want, got Tokens) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b seal.Plaintext) bool { return a.Equal(b) }))
}

func TestGrantAnswers(t *testing.T) {
	t.Parallel()
	const date = "Mon, 06 Jul 2026 10:00:00 GMT"
	at := func(after time.Duration) int64 { return time.Date(2026, 7, 6, 10, 0, 0, 0, time.UTC).Add(after).Unix() }
	jwt := func(exp int64) string {
		part := base64.RawURLEncoding.EncodeToString
		return part([]byte(`{}`)) + "." + part(fmt.Appendf(nil, `{"exp":%d}`, exp)) + ".x"
	}
	access := seal.NewPlaintext("a")
	tests := []struct {
		name, contentType, body string
		edit                    func(*provider.Descriptor)
		want                    Tokens
		reason                  events.Reason // of a failure
	}{
		{
			name: "all there is", body: `{"access_token":"a","refresh_token":"r","expires_in":"3600.9","refresh_token_expires_in":86400,"scope":"x y","who":{"id":7},"url":"u"}`,
			edit: func(d *provider.Descriptor) {
				d.Subject = provider.Subject{From: provider.PlaceAnswer, Field: "who.id"}
				d.Answer.Keep = []string{"url", "gone"}
			},
			want: Tokens{
				Access: access, Refresh: seal.NewPlaintext("r"), Lifetime: time.Hour, RefreshLifetime: 24 * time.Hour,
				Scopes: []string{"x", "y"}, Subject: "7", Extra: map[string]string{"url": "u"},
			},
		},
		{
			name: "a form", contentType: "application/x-www-form-urlencoded", body: "access_token=a&expires_in=60",
			want: Tokens{Access: access, Lifetime: time.Minute},
		},
		{
			name: "fixed lifetime", body: `{"access_token":"a","expires_in":60}`,
			edit: func(d *provider.Descriptor) { d.Expiry.Fixed = time.Hour },
			want: Tokens{Access: access, Lifetime: time.Hour},
		},
		{
			name: "a moment", body: fmt.Sprintf(`{"access_token":"a","until":%d}`, at(time.Hour)),
			edit: func(d *provider.Descriptor) { d.Expiry.At = "until" },
			want: Tokens{Access: access, Lifetime: time.Hour},
		},
		{
			name: "a moment before the lifetime", body: fmt.Sprintf(`{"access_token":"a","expires_in":7200,"until":%d}`, at(time.Hour)),
			edit: func(d *provider.Descriptor) { d.Expiry.At = "until" },
			want: Tokens{Access: access, Lifetime: time.Hour},
		},
		{
			name: "a lifetime before the moment", body: fmt.Sprintf(`{"access_token":"a","expires_in":60,"until":%d}`, at(time.Hour)),
			edit: func(d *provider.Descriptor) { d.Expiry.At = "until" },
			want: Tokens{Access: access, Lifetime: time.Minute},
		},
		{
			name: "a moment that has passed", body: fmt.Sprintf(`{"access_token":"a","expires_in":60,"until":%d}`, at(-time.Hour)),
			edit: func(d *provider.Descriptor) { d.Expiry.At = "until" },
			want: Tokens{Access: access, Lifetime: time.Minute},
		},
		{
			name: "in the token", body: `{"access_token":"` + jwt(at(time.Hour)) + `"}`,
			want: Tokens{Access: seal.NewPlaintext(jwt(at(time.Hour))), Lifetime: time.Hour},
		},
		{
			name: "default", body: `{"access_token":"a"}`,
			edit: func(d *provider.Descriptor) { d.Expiry.Default = 2 * time.Hour },
			want: Tokens{Access: access, Lifetime: 2 * time.Hour},
		},
		{
			name: "endless", body: `{"access_token":"a"}`,
			edit: func(d *provider.Descriptor) { d.Expiry.Endless = true },
			want: Tokens{Access: access, Endless: true},
		},
		{
			name: "not endless after all", body: `{"access_token":"a","expires_in":60}`,
			edit: func(d *provider.Descriptor) { d.Expiry.Endless = true },
			want: Tokens{Access: access, Lifetime: time.Minute},
		},
		// What has replaced the refresh token is not lost with the error.
		{
			name: "no lifetime", body: `{"access_token":"a","refresh_token":"r","expires_in":0.5}`, reason: events.ReasonNoLifetime,
			want: Tokens{Access: access, Refresh: seal.NewPlaintext("r")},
		},
		{
			name: "no access token", body: `{"expires_in":60,"refresh_token":"r"}`, reason: events.ReasonMalformed,
			want: Tokens{Refresh: seal.NewPlaintext("r"), Lifetime: time.Minute},
		},
		{name: "a page", contentType: "text/html", body: "<html>" + canaryBody, reason: events.ReasonMalformed},
		{name: "too long", body: strings.Repeat(canaryBody, 1<<14), reason: events.ReasonTooLarge},
	}
	c := newClientFor(t, EgressConfig{Allow: loopback})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(t, reply(200, tt.body, "Date", date, "Content-Type", tt.contentType))
			e.Start()
			app := newApp(t, e.URL)
			if tt.edit != nil {
				tt.edit(&app.Provider)
			}
			got, err := c.refresh(t, app)
			if tt.reason != "" {
				wantReason(t, err, tt.reason)
			} else if err != nil {
				t.Fatal(err)
			}
			if diff := equalTokens(tt.want, got); diff != "" {
				t.Errorf("tokens (-want +got):\n%s", diff)
			}
			e.wants(t, 1)
			neverShown(t, got, err)
			access := got.Access
			got.Wipe()
			if !access.IsZero() {
				t.Error("the token is still there")
			}
		})
	}
}

// What refusals mean, of a code and of a refresh token.
func TestGrantRefusals(t *testing.T) {
	t.Parallel()
	said := func(code string) string {
		return `{"error":"` + code + `","error_description":"FORM ` + canaryBody + `"}`
	}
	shipped := func(name string) func(*provider.Descriptor) {
		return func(d *provider.Descriptor) {
			s, ok := provider.Defaults().Get(name)
			if !ok {
				t.Fatal(name)
			}
			d.Errors, d.Answer = s.Errors, s.Answer
		}
	}
	const (
		ended   = events.ReasonGrantEnded
		refused = events.ReasonConsentRefused
	)
	tests := []struct {
		name          string
		answer        http.HandlerFunc
		edit          func(*provider.Descriptor)
		code, refresh events.Reason
		detail        string
		retryAfter    time.Duration
	}{
		{
			name: "revoked", answer: reply(400, said("invalid_grant")), code: refused, refresh: ended,
			detail: `the token endpoint answered 400 and the error "invalid_grant". The grant has ended or was revoked: authorize again`,
		},
		{
			name: "revoked, by 403", answer: reply(403, said("invalid_grant")), code: refused, refresh: ended,
			detail: `the token endpoint answered 403 and the error "invalid_grant". The grant has ended or was revoked: authorize again`,
		},
		{
			name: "without a hint", answer: reply(400, said("login_required")), code: refused, refresh: ended,
			detail: `the token endpoint answered 400 and the error "login_required". Authorize again`,
		},
		{
			name: "policy (Google)", answer: reply(400, `{"error":"invalid_grant","error_subtype":"invalid_rapt"}`), edit: shipped("google"), code: events.ReasonAdminPolicy, refresh: events.ReasonAdminPolicy,
			detail: `the token endpoint answered 400 and the error "invalid_rapt". The session policy of the Google Workspace organisation ended the grant: its administrator has to trust the app, then authorize again`,
		},
		{
			name: "with 200 (GitHub)", answer: reply(200, said("bad_refresh_token")), edit: shipped("github"), code: refused, refresh: ended,
			detail: `the token endpoint answered 200 and the error "bad_refresh_token". The grant has ended, was used or was revoked: authorize again`,
		},
		{
			name: "with 200 (Slack)", answer: reply(200, `{"ok":false,"error":"ratelimited"}`, "Retry-After", "30"), edit: shipped("slack"),
			code: events.ReasonThrottled, refresh: events.ReasonThrottled, retryAfter: 30 * time.Second,
			detail: `the token endpoint answered 200 and the error "ratelimited". Too many requests`,
		},
		{
			name: "the app", answer: reply(401, said("invalid_client")), code: events.ReasonAppRefused, refresh: events.ReasonAppRefused,
			detail: `the token endpoint answered 401 and the error "invalid_client". Check client id and client secret of the app, and whether its secret has expired`,
		},
		{
			name: "passing", answer: reply(400, said("temporarily_unavailable")), code: events.ReasonProviderError, refresh: events.ReasonProviderError,
			detail: `the token endpoint answered 400 and the error "temporarily_unavailable". The provider has a fault of its own`,
		},
		{
			name: "unknown", answer: reply(400, said(canaryBody)), code: events.ReasonRejected, refresh: events.ReasonRejected,
			detail: `the token endpoint refused the request (400, an error that is not known). Authorize again if it does not pass`,
		},
		{
			name: "unknown with 200", answer: reply(200, said(canaryRefresh)), code: events.ReasonRejected, refresh: events.ReasonRejected,
			detail: `the token endpoint refused the request (200, an error that is not known). Authorize again if it does not pass`,
		},
		{
			name: "throttled", answer: reply(429, said("invalid_grant"), "Retry-After", "120"), code: events.ReasonThrottled, refresh: events.ReasonThrottled,
			detail: "the token endpoint answered 429: too many requests", retryAfter: 2 * time.Minute,
		},
		{
			name: "down", answer: reply(503, said("invalid_grant"), "Retry-After", "60"), code: events.ReasonProviderError, refresh: events.ReasonProviderError,
			detail: "the token endpoint answered 503: the provider has a fault of its own", retryAfter: time.Minute,
		},
		{
			name: "moved", answer: reply(302, said("invalid_grant"), "Location", "/elsewhere"), code: events.ReasonRedirected, refresh: events.ReasonRedirected,
			detail: "the token endpoint answered with a redirect (302), which is not followed: set token_url to where it leads",
		},
		{
			name: "firewall", answer: reply(403, "<html>invalid_grant FORM"), code: events.ReasonProviderError, refresh: events.ReasonProviderError,
			detail: "the token endpoint answered 403 without an OAuth error: check the endpoints of the provider",
		},
		{
			name: "firewall at length", answer: reply(403, strings.Repeat(canaryBody, 1<<14)), code: events.ReasonProviderError, refresh: events.ReasonProviderError,
			detail: "the token endpoint answered 403 without an OAuth error: check the endpoints of the provider",
		},
		{
			name: "a page with 400", answer: reply(400, "<html>FORM"), code: events.ReasonRejected, refresh: events.ReasonRejected,
			detail: "the token endpoint answered 400 without an OAuth error: check the endpoints of the provider",
		},
	}
	c := newClientFor(t, EgressConfig{Allow: loopback})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(t, tt.answer)
			e.Start()
			app := newApp(t, e.URL)
			if tt.edit != nil {
				tt.edit(&app.Provider)
			}
			check := func(got Tokens, err error, want events.Reason) {
				t.Helper()
				failure := wantReason(t, err, want)
				if detail, _, _ := strings.Cut(failure.Detail, " (the answer:"); detail != tt.detail || failure.RetryAfter != tt.retryAfter || failure.Status == 0 {
					t.Errorf("got  %+v\nwant %s, again after %v", *failure, tt.detail, tt.retryAfter)
				}
				if diff := equalTokens(Tokens{}, got); diff != "" {
					t.Errorf("tokens came with the error:\n%s", diff)
				}
				neverShown(t, err)
			}
			got, err := c.code(t, app)
			check(got, err, tt.code)
			got, err = c.refresh(t, app)
			check(got, err, tt.refresh)
			e.wants(t, 2)
		})
	}
}

// Whose grant it is, is asked with the code only, and costs nothing if it fails.
func TestUserinfo(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"text", reply(200, `{"data":{"id":"amzn1.account.A"}}`), "amzn1.account.A"},
		{"number", reply(200, `{"data":{"id":12345678901234567890}}`), "12345678901234567890"},
		{"not there", reply(200, `{"id":"x"}`), ""},
		{"an object", reply(200, `{"data":{"id":{}}}`), ""},
		{"not an object", reply(200, `{"data":"x"}`), ""},
		{"control characters", reply(200, `{"data":{"id":"a\nb"}}`), ""},
		{"too long", reply(200, `{"data":{"id":"`+strings.Repeat("x", 2049)+`"}}`), ""},
		{"a page", reply(200, "<html>"), ""},
		{"too large", reply(200, strings.Repeat(canaryBody, 1<<14)), ""},
		{"refused", reply(403, `{"data":{"id":"x"}}`), ""},
		{"redirect", reply(302, "", "Location", "/token"), ""},
		{"gone", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			asked := make(chan string, 10)
			e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/token" {
					_, _ = io.WriteString(w, grantAnswer)
					return
				}
				asked <- r.Method + " " + r.RequestURI + " " + r.Header.Get("Authorization")
				tt.answer(w, r)
			})
			e.Start()
			c := newClientFor(t, EgressConfig{Allow: loopback}) // of its own: a broken connection may be tried again
			app := newApp(t, e.URL, func(d *provider.Descriptor) {
				d.Subject = provider.Subject{From: provider.PlaceUserinfo, Field: "data.id", URL: e.URL + "/me?v=1"}
			})
			if got, err := c.refresh(t, app); err != nil || got.Subject != "" || len(asked) > 0 {
				t.Fatalf("refresh: subject %q, %d questions, %v", got.Subject, len(asked), err)
			}
			got, err := c.code(t, app)
			if err != nil || got.Subject != tt.want || got.Access.IsZero() {
				t.Errorf("subject %q, want %q: %v", got.Subject, tt.want, err)
			}
			if got, want := <-asked, "GET /me?v=1 Bearer "+canaryToken; got != want {
				t.Errorf("asked %s, want %s", got, want)
			}
		})
	}
}

// A provider that names no lifetime may tell by introspection.
func TestIntrospection(t *testing.T) {
	t.Parallel()
	const date = "Mon, 06 Jul 2026 10:00:00 GMT"
	exp := time.Date(2026, 7, 6, 10, 30, 0, 0, time.UTC).Unix()
	const fallback = 2 * time.Hour
	tests := []struct {
		name, token string
		answer      http.HandlerFunc
		want        time.Duration
		asked       int
	}{
		{"told", `{"access_token":"a"}`, reply(200, fmt.Sprintf(`{"active":true,"exp":%d}`, exp), "Date", date), 30 * time.Minute, 1},
		{"not active", `{"access_token":"a"}`, reply(200, fmt.Sprintf(`{"active":false,"exp":%d}`, exp), "Date", date), fallback, 1},
		{"not told", `{"access_token":"a"}`, reply(200, `{"active":true}`), fallback, 1},
		{"refused", `{"access_token":"a"}`, reply(401, "<html>"), fallback, 1},
		{"not asked", `{"access_token":"a","expires_in":60}`, reply(500, ""), time.Minute, 0},
	}
	c := newClientFor(t, EgressConfig{Allow: loopback})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked []string
			e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/token" {
					_, _ = io.WriteString(w, tt.token)
					return
				}
				body, _ := io.ReadAll(r.Body)
				asked = append(asked, string(body))
				tt.answer(w, r)
			})
			e.Start()
			got, err := c.refresh(t, newApp(t, e.URL, func(d *provider.Descriptor) {
				d.IntrospectURL, d.Expiry.Default, d.RequestFormat = e.URL+"/introspect", fallback, provider.FormatJSON
			}))
			if err != nil || got.Lifetime != tt.want {
				t.Errorf("lifetime %v, want %v: %v", got.Lifetime, tt.want, err)
			}
			if len(asked) != tt.asked {
				t.Errorf("asked %q", asked)
			}
			for _, got := range asked {
				if want := "client_id=c+1&client_secret=" + canarySecret + "&token=a&token_type_hint=access_token"; got != want {
					t.Errorf("asked %s, want %s", got, want)
				}
			}
		})
	}
}

// The action test shows the answer as it came.
func TestProbe(t *testing.T) {
	t.Parallel()
	c := newClientFor(t, EgressConfig{Allow: loopback})
	body := " " + goodAnswer + "\n"
	e := newEndpoint(t, reply(200, body))
	e.Start()
	got, answer, err := c.Probe(t.Context(), newRequest(e.URL))
	if err != nil || string(got.Reveal()) != body || answer.Lifetime != 10*time.Hour || string(answer.AccessToken.Reveal()) != canaryToken {
		t.Errorf("%d bytes, lifetime %v, %v", got.Len(), answer.Lifetime, err)
	}
	neverShown(t, got, answer)
	for _, bad := range []http.HandlerFunc{reply(401, goodAnswer), reply(200, `{"access_token":"`+canaryToken+`"}`), reply(500, "")} {
		e := newEndpoint(t, bad)
		e.Start()
		got, answer, err := c.Probe(t.Context(), newRequest(e.URL))
		if wantAnyReason(t, err); !got.IsZero() || !answer.AccessToken.IsZero() {
			t.Error("a body or a token came with the error")
		}
	}
}

// Tokens that a provider gave are not given away by who stops us afterwards.
func TestInterruptedAfterTheTokens(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			_, _ = io.WriteString(w, grantAnswer)
			return
		}
		cancel()
		<-r.Context().Done()
	})
	e.Start()
	app := newApp(t, e.URL, func(d *provider.Descriptor) {
		d.Subject = provider.Subject{From: provider.PlaceUserinfo, Field: "id", URL: e.URL + "/me"}
	})
	c := newClientFor(t, EgressConfig{Allow: loopback})
	got, err := c.Code(ctx, app, seal.NewPlaintext(canaryCode), seal.NewPlaintext(canaryVerifier), testRedirect)
	got, err = c.completed(ctx, app, got, err, true)
	if err != nil || string(got.Refresh.Reveal()) != canaryRefresh || got.Subject != "" {
		t.Errorf("subject %q, %v", got.Subject, err)
	}
}

// Wipe overwrites the tokens.
func (t Tokens) Wipe() {
	t.Access.Wipe()
	t.Refresh.Wipe()
}
