package sandbox_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/services/sandbox"
)

func TestTokenAnswer(t *testing.T) {
	t.Parallel()
	e := start(t, sandbox.Config{TokenPrefix: "canary-"})
	e.script()
	form := credentials("a", "s")
	form.Set("scope", "read write")
	r := e.form("/token", form)
	a := decode[tokenAnswer](t, r)
	if r.status != 200 || a.TokenType != "Bearer" || a.Scope != "read write" || string(a.ExpiresIn) != "36000" {
		t.Errorf("got %d %s", r.status, r.body)
	}
	if !strings.HasPrefix(a.AccessToken, "canary-") {
		t.Errorf("token without its prefix")
	}
	if r.header.Get("Cache-Control") != "no-store" || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", r.header)
	}
	if again := decode[tokenAnswer](t, e.exchange()); again.AccessToken == a.AccessToken {
		t.Error("two tokens are alike")
	}
}

func TestClientAuthentication(t *testing.T) {
	t.Parallel()
	const odd = "s:+% &é" // each byte of it needs the encoding of RFC 6749 §2.3.1
	e := start(t, sandbox.Config{})
	for _, c := range []sandbox.Client{
		{ID: "post", Secret: odd, AuthStyle: sandbox.AuthPost},
		{ID: "basic:id", Secret: odd, AuthStyle: sandbox.AuthBasic},
		{ID: "either", Secret: odd},
		{ID: "lax"},
		{ID: "lax-post", AuthStyle: sandbox.AuthPost},
	} {
		if err := e.Put(c); err != nil {
			t.Fatal(err)
		}
	}
	grant := url.Values{"grant_type": {"client_credentials"}}
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(id, secret) }
	}
	encoded := func(id, secret string) func(*http.Request) {
		return basic(url.QueryEscape(id), url.QueryEscape(secret))
	}
	nothing := func(*http.Request) {}
	bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }
	for name, tc := range map[string]struct {
		form url.Values
		edit func(*http.Request)
		want string
	}{
		"post in body":          {credentials("post", odd), nothing, "200"},
		"post in header":        {grant, encoded("post", odd), "401 invalid_client"},
		"basic in header":       {grant, encoded("basic:id", odd), "200"},
		"basic not encoded":     {grant, basic("either", odd), "401 invalid_client"},
		"basic in body":         {credentials("basic:id", odd), nothing, "401 invalid_client"},
		"either in body":        {credentials("either", odd), nothing, "200"},
		"either in header":      {grant, encoded("either", odd), "200"},
		"both at once":          {credentials("either", odd), encoded("either", odd), "400 invalid_request"},
		"two ids":               {url.Values{"grant_type": {"client_credentials"}, "client_id": {"post"}}, encoded("either", odd), "400 invalid_request"},
		"id twice alike":        {url.Values{"grant_type": {"client_credentials"}, "client_id": {"either"}}, encoded("either", odd), "200"},
		"wrong secret":          {credentials("post", "x"), nothing, "401 invalid_client"},
		"no secret":             {url.Values{"grant_type": {"client_credentials"}, "client_id": {"post"}}, nothing, "401 invalid_client"},
		"no client":             {grant, nothing, "401 invalid_client"},
		"unknown client":        {credentials("who", odd), nothing, "401 invalid_client"},
		"another scheme":        {credentials("either", odd), bearer, "401 invalid_client"},
		"lax takes anything":    {credentials("lax", "whatever"), nothing, "200"},
		"lax takes no secret":   {url.Values{"grant_type": {"client_credentials"}, "client_id": {"lax"}}, nothing, "200"},
		"lax but for the style": {grant, encoded("lax-post", "x"), "401 invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			r := e.form("/token", tc.form, tc.edit)
			if got := verdict(t, r); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			challenged := r.header.Get("WWW-Authenticate") != ""
			if want := strings.Contains(name, "header") && r.status == 401; want && !challenged {
				t.Error("no challenge to a refused header")
			}
		})
	}
}

// verdict is the status and the OAuth error code of an answer.
func verdict(t *testing.T, r reply) string {
	t.Helper()
	return strings.TrimSpace(fmt.Sprint(r.status, " ", decode[tokenAnswer](t, r).Error))
}

func TestBadTokenRequests(t *testing.T) {
	t.Parallel()
	e := start(t, sandbox.Config{})
	e.script()
	for name, tc := range map[string]struct{ contentType, body, want string }{
		"json":         {"application/json", `{}`, "400 invalid_request"},
		"no type":      {"", "grant_type=client_credentials", "400 invalid_request"},
		"bad escape":   {"application/x-www-form-urlencoded", "client_id=a&scope=%zz", "400 invalid_request"},
		"repeated":     {"application/x-www-form-urlencoded", "client_id=a&client_secret=s&grant_type=client_credentials&scope=x&scope=y", "400 invalid_request"},
		"no grant":     {"application/x-www-form-urlencoded", "client_id=a&client_secret=s", "400 invalid_request"},
		"other grant":  {"application/x-www-form-urlencoded; charset=utf-8", "client_id=a&client_secret=s&grant_type=password", "400 unsupported_grant_type"},
		"semicolons":   {"application/x-www-form-urlencoded", "client_id=a;client_secret=s", "400 invalid_request"},
		"many fields":  {"application/x-www-form-urlencoded", manyFields(65), "400 invalid_request"},
		"too large":    {"application/x-www-form-urlencoded", "x=" + strings.Repeat("y", 64<<10), "413 invalid_request"},
		"empty":        {"application/x-www-form-urlencoded", "", "401 invalid_client"},
		"just in size": {"application/x-www-form-urlencoded", "client_id=a&client_secret=s&grant_type=client_credentials&x=" + strings.Repeat("y", 63<<10), "200"},
	} {
		t.Run(name, func(t *testing.T) {
			req := e.request("POST", "/token", tc.body)
			if tc.contentType != "" {
				req.Header.Set("Content-Type", tc.contentType)
			}
			if got := verdict(t, e.do(req)); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	if r := e.control("GET", "/token", ""); r.status != 405 {
		t.Errorf("GET /token: %d", r.status)
	}
}

func manyFields(n int) string {
	form := url.Values{}
	for i := range n {
		form.Set(fmt.Sprint("f", i), "")
	}
	return form.Encode()
}

func TestOpenClients(t *testing.T) {
	t.Parallel()
	e := start(t, sandbox.Config{OpenClients: true, MaxClients: 2})
	if err := e.Put(sandbox.Client{ID: "strict", Secret: "s"}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ id, secret, want string }{
		{"any", "one", "200"},
		{"any", "other", "200"},
		{"strict", "wrong", "401 invalid_client"},
		{"third", "x", "503 temporarily_unavailable"},
		{strings.Repeat("x", 129), "x", "401 invalid_client"},
	} {
		if got := verdict(t, e.form("/token", credentials(tc.id, tc.secret))); got != tc.want {
			t.Errorf("%.9s: got %s, want %s", tc.id, got, tc.want)
		}
	}
	if n := len(e.Clients()); n != 2 {
		t.Errorf("%d clients", n)
	}
}

func TestIntrospection(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	advance := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
	e := start(t, sandbox.Config{Now: clock})
	minute := sandbox.Duration(time.Minute)
	e.script(sandbox.Step{Lifetime: &minute})
	token := decode[tokenAnswer](t, e.exchange()).AccessToken
	ask := func(token string) sandbox.Introspection {
		t.Helper()
		return decode[sandbox.Introspection](t, e.form("/introspect", url.Values{"token": {token}}))
	}

	want := sandbox.Introspection{Active: true, ClientID: "a", TokenType: "Bearer", IssuedAt: now.Unix(), ExpiresAt: now.Unix() + 60}
	if diff := cmp.Diff(want, ask(token)); diff != "" {
		t.Error(diff)
	}
	for _, forged := range []string{"", "x", token + "A", token[:len(token)-1], strings.Replace(token, "sandbox-token-", "sandbox-token-A", 1)} {
		if got := ask(forged); got != (sandbox.Introspection{}) {
			t.Errorf("forged token: %+v", got)
		}
	}
	advance(time.Minute - time.Millisecond)
	if !ask(token).Active {
		t.Error("dead before its time")
	}
	advance(time.Millisecond)
	if ask(token).Active {
		t.Error("alive after its time")
	}
	if r := e.form("/introspect", url.Values{}); verdict(t, r) != "400 invalid_request" {
		t.Errorf("no token: %d %s", r.status, r.body)
	}
}

func TestTokensDieWithTheirClient(t *testing.T) {
	t.Parallel()
	e := start(t, sandbox.Config{})
	e.script()
	token := decode[tokenAnswer](t, e.exchange()).AccessToken
	e.script(sandbox.Step{Error: "invalid_grant"})
	if !e.Introspect(token).Active {
		t.Error("a new script ended the token")
	}
	if err := e.Delete("a"); err != nil {
		t.Fatal(err)
	}
	e.script()
	if e.Introspect(token).Active {
		t.Error("the token outlived its client")
	}
	token = decode[tokenAnswer](t, e.exchange()).AccessToken
	if e.Reset(); e.Introspect(token).Active {
		t.Error("the token outlived a reset")
	}
}

func TestLogsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var logged bytes.Buffer
	log := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return logged.Write(p)
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	e := start(t, sandbox.Config{Log: log, OpenClients: true})
	e.form("/token", credentials("canary-id", "canary-secret"))
	e.form("/token", credentials("", "canary-secret"))
	e.form("/token", url.Values{"grant_type": {"canary-grant"}, "client_id": {"canary-id"}})
	a := app{env: e, callback: "http://canary.example/"}
	a.control("GET", a.ask("client_id", "canary-id", "state", "canary", "scope", "canary"), "")
	e.form("/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {"canary-id"}, "refresh_token": {"canary"}})
	log.Debug("printed", "secret", sandbox.Secret("canary-secret"))

	mu.Lock()
	defer mu.Unlock()
	if got := strings.Count(logged.String(), "token request"); got != 4 {
		t.Errorf("%d records of 4 requests", got)
	}
	if text := logged.String(); strings.Contains(text, "canary") || strings.Contains(text, "sandbox-token-") {
		t.Errorf("the log tells:\n%s", text)
	}
	c := sandbox.Client{Secret: "canary-secret"}
	if text := fmt.Sprintf("%v %+v %#v %s %x", c, c, c, c.Secret, c.Secret); strings.Contains(text, "canary") || strings.Contains(text, "63616e") {
		t.Errorf("printed: %s", text)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestServeReportsABrokenListener(t *testing.T) {
	t.Parallel()
	if err := sandbox.New(sandbox.Config{}).Serve(context.Background(), brokenListener{}); err == nil {
		t.Error("no error")
	}
}
