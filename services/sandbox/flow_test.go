package sandbox_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// verifier is a code verifier of the least length (RFC 7636 §4.1).
const verifier = "0123456789-0123456789_0123456789.0123456789~"

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// app is client "a" of a sandbox, with the address that its people come back to
// and a browser that follows every redirect.
type app struct {
	env
	callback string
	browser  *http.Client
	clock    *clock
}

// clock is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

func startApp(t *testing.T, flow sandbox.CodeFlow, edits ...func(*sandbox.Client)) app {
	t.Helper()
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(r.URL.Query())
	}))
	t.Cleanup(back.Close)
	c := &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	a := app{start(t, sandbox.Config{Now: c.Now}), back.URL + "/oauth2/callback?kept=%2f", &http.Client{Transport: transport}, c}
	a.put(flow, edits...)
	return a
}

// put registers client "a" with the flow.
func (a app) put(flow sandbox.CodeFlow, edits ...func(*sandbox.Client)) {
	a.t.Helper()
	flow.RedirectURIs = append(flow.RedirectURIs, a.callback)
	client := sandbox.Client{ID: "a", Secret: "s", CodeFlow: &flow}
	for _, edit := range edits {
		edit(&client)
	}
	if err := a.Put(client); err != nil {
		a.t.Fatal(err)
	}
}

// ask is an authorization request of client "a"; pairs are parameters to set, or
// with an empty value to leave out.
func (a app) ask(pairs ...string) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {"a"}, "redirect_uri": {a.callback}, "state": {"st&te"},
		"scope": {"read write"}, "code_challenge": {challengeOf(verifier)}, "code_challenge_method": {"S256"},
	}
	set(q, pairs)
	return "/authorize?" + q.Encode()
}

func set(q url.Values, pairs []string) {
	for i := 0; i < len(pairs); i += 2 {
		if q.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
}

// browse sends a request through every redirect and returns what arrived at the
// callback.
func (a app) browse(req *http.Request) url.Values {
	a.t.Helper()
	r := env{t: a.t, http: a.browser}.do(req)
	if r.status != http.StatusOK {
		a.t.Fatalf("the browser ended at %d %s", r.status, r.body)
	}
	return decode[url.Values](a.t, r)
}

// consent walks through the dialog and returns the code.
func (a app) consent(pairs ...string) string {
	a.t.Helper()
	got := a.browse(a.request("GET", a.ask(pairs...), ""))
	if got.Get("code") == "" || got.Get("state") != "st&te" || got.Get("kept") != "/" {
		a.t.Fatalf("came back with %v", got)
	}
	return got.Get("code")
}

// flowAnswer is a token answer with what codes bring.
type flowAnswer struct {
	tokenAnswer
	RefreshToken string `json:"refresh_token"`
	RefreshFor   *int64 `json:"refresh_token_expires_in"`
	IDToken      string `json:"id_token"`
	Description  string `json:"error_description"`
}

func (a app) redeem(code string, pairs ...string) flowAnswer {
	a.t.Helper()
	form := credentials("a", "s")
	set(form, append([]string{"grant_type", "authorization_code", "code", code, "redirect_uri", a.callback, "code_verifier", verifier}, pairs...))
	return decode[flowAnswer](a.t, a.form("/token", form))
}

func (a app) refresh(token string, pairs ...string) flowAnswer {
	a.t.Helper()
	form := credentials("a", "s")
	set(form, append([]string{"grant_type", "refresh_token", "refresh_token", token}, pairs...))
	return decode[flowAnswer](a.t, a.form("/token", form))
}

// grant returns the newest grant of client "a".
func (a app) grant() sandbox.Grant {
	a.t.Helper()
	list, err := a.Grants("a")
	if err != nil || len(list) == 0 {
		a.t.Fatalf("%d grants, %v", len(list), err)
	}
	return list[len(list)-1]
}

func TestCodeFlow(t *testing.T) {
	t.Parallel()
	a := startApp(t, sandbox.CodeFlow{RequirePKCE: true})
	got := a.redeem(a.consent())
	if got.AccessToken == "" || got.RefreshToken == "" || got.Scope != "read write" || got.IDToken != "" || got.RefreshFor != nil {
		t.Errorf("answer to the code: %+v", got.tokenAnswer)
	}
	want := sandbox.Introspection{
		Active: true, ClientID: "a", Subject: "account-1", TokenType: "Bearer",
		IssuedAt: a.clock.Now().Unix(), ExpiresAt: a.clock.Now().Add(10 * time.Hour).Unix(),
	}
	if is := a.Introspect(got.AccessToken); is != want {
		t.Errorf("the token is %+v", is)
	}
	for range 2 {
		again := a.refresh(got.RefreshToken, "scope", "read")
		if again.AccessToken == "" || again.AccessToken == got.AccessToken || again.RefreshToken != "" || again.Scope != "read" {
			t.Errorf("answer to the refresh token: %+v", again.tokenAnswer)
		}
	}
	if c := a.counters(); c.Authorizations != 1 || c.Codes != 1 || c.Refreshes != 2 || c.Requests != 3 {
		t.Errorf("counters %+v", c)
	}
	if a.Introspect(got.RefreshToken).Active {
		t.Error("a refresh token is taken for an access token")
	}
}

// TestClientAuthenticationOfCodes: both styles hold for codes as for the rest.
func TestClientAuthenticationOfCodes(t *testing.T) {
	t.Parallel()
	a := startApp(t, sandbox.CodeFlow{})
	basic := func(secret string) reply {
		form := url.Values{"grant_type": {"authorization_code"}, "code": {a.consent()}, "redirect_uri": {a.callback}, "code_verifier": {verifier}}
		return a.form("/token", form, func(r *http.Request) { r.SetBasicAuth("a", secret) })
	}
	if r := basic("s"); r.status != 200 {
		t.Errorf("by header: %d %s", r.status, r.body)
	}
	if r := basic("x"); verdict(t, r) != "401 invalid_client" {
		t.Errorf("wrong secret: %d %s", r.status, r.body)
	}
	if a.grant().CodePresented != 0 {
		t.Error("a code was looked at before its client was known")
	}
}

// TestAuthorizeRefusals tells what is shown from what is sent back.
func TestAuthorizeRefusals(t *testing.T) {
	t.Parallel()
	a := startApp(t, sandbox.CodeFlow{RequirePKCE: true, Scopes: []string{"read", "write"}})
	if err := a.Put(sandbox.Client{ID: "machine"}); err != nil {
		t.Fatal(err)
	}
	const shown = ""
	for name, tc := range map[string]struct{ ask, want string }{
		"no client":         {a.ask("client_id", ""), shown},
		"unknown client":    {a.ask("client_id", "who"), shown},
		"client, no codes":  {a.ask("client_id", "machine"), shown},
		"client twice":      {a.ask() + "&client_id=a", shown},
		"no redirect":       {a.ask("redirect_uri", ""), shown},
		"other redirect":    {a.ask("redirect_uri", a.callback+"&"), shown},
		"redirect twice":    {a.ask() + "&redirect_uri=x", shown},
		"bad query":         {a.ask() + "&%zz", shown},
		"many parameters":   {a.ask() + "&" + manyFields(65), shown},
		"scope twice":       {a.ask() + "&scope=read", "invalid_request"},
		"no type":           {a.ask("response_type", ""), "invalid_request"},
		"token":             {a.ask("response_type", "token"), "unsupported_response_type"},
		"other scope":       {a.ask("scope", "read admin"), "invalid_scope"},
		"long state":        {a.ask("state", strings.Repeat("x", 4097)), "invalid_request"},
		"no challenge":      {a.ask("code_challenge", "", "code_challenge_method", ""), "invalid_request"},
		"method alone":      {a.ask("code_challenge", ""), "invalid_request"},
		"plain":             {a.ask("code_challenge_method", "plain"), "invalid_request"},
		"plain, as default": {a.ask("code_challenge_method", ""), "invalid_request"},
		"short challenge":   {a.ask("code_challenge", "abc"), "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			r := a.control("GET", tc.ask, "")
			location := r.header.Get("Location")
			if tc.want == shown {
				if r.status != 400 || location != "" || !strings.Contains(r.body, `role="alert"`) {
					t.Errorf("%d to %q: %s", r.status, location, r.body)
				}
				return
			}
			u, err := url.Parse(location)
			if err != nil || r.status != 302 || !strings.HasPrefix(location, a.callback+"&") {
				t.Fatalf("%d to %q", r.status, location)
			}
			if q := u.Query(); q.Get("error") != tc.want || q.Has("code") || q.Get("state") == "" {
				t.Errorf("came back with %v", q)
			}
		})
	}
	if list, _ := a.Grants("a"); len(list) != 0 {
		t.Errorf("%d grants", len(list))
	}
}

func TestCodeMisuse(t *testing.T) {
	t.Parallel()
	a := startApp(t, sandbox.CodeFlow{RefreshTokens: sandbox.RefreshTokens{Rotation: sandbox.RotationRotate}})
	if err := a.Put(sandbox.Client{ID: "b", Secret: "s", CodeFlow: &sandbox.CodeFlow{AnyRedirect: true}}); err != nil {
		t.Fatal(err)
	}
	if err := a.Put(sandbox.Client{ID: "machine", Secret: "s"}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		use  func() flowAnswer
		want string
	}{
		"no code":              {func() flowAnswer { return a.redeem("") }, "invalid_request"},
		"another code":         {func() flowAnswer { return a.redeem(a.consent() + "A") }, "invalid_grant"},
		"another client":       {func() flowAnswer { return a.redeem(a.consent(), "client_id", "b") }, "invalid_grant"},
		"a client for no code": {func() flowAnswer { return a.redeem(a.consent(), "client_id", "machine") }, "unauthorized_client"},
		"another redirect":     {func() flowAnswer { return a.redeem(a.consent(), "redirect_uri", a.callback+"x") }, "invalid_grant"},
		"no redirect":          {func() flowAnswer { return a.redeem(a.consent(), "redirect_uri", "") }, "invalid_grant"},
		"another verifier":     {func() flowAnswer { return a.redeem(a.consent(), "code_verifier", verifier+"x") }, "invalid_grant"},
		"no verifier":          {func() flowAnswer { return a.redeem(a.consent(), "code_verifier", "") }, "invalid_grant"},
		"verifier unasked": {func() flowAnswer {
			return a.redeem(a.consent("code_challenge", "", "code_challenge_method", ""))
		}, "invalid_grant"},
		"without PKCE": {func() flowAnswer {
			return a.redeem(a.consent("code_challenge", "", "code_challenge_method", ""), "code_verifier", "")
		}, ""},
		"just in time": {func() flowAnswer { code := a.consent(); a.clock.advance(time.Minute - 1); return a.redeem(code) }, ""},
		"too late":     {func() flowAnswer { code := a.consent(); a.clock.advance(time.Minute); return a.redeem(code) }, "invalid_grant"},
		"revoked":      {func() flowAnswer { code := a.consent(); _ = a.Revoke("a", 0); return a.redeem(code) }, "invalid_grant"},
		"code as token": {func() flowAnswer {
			return a.refresh(a.consent())
		}, "invalid_grant"},
		"token as code": {func() flowAnswer { return a.redeem(a.redeem(a.consent()).RefreshToken) }, "invalid_grant"},
		"access as refresh": {func() flowAnswer {
			return a.refresh(a.redeem(a.consent()).AccessToken)
		}, "invalid_grant"},
		"no refresh token": {func() flowAnswer { return a.refresh("") }, "invalid_request"},
		"wider scope": {func() flowAnswer {
			return a.refresh(a.redeem(a.consent()).RefreshToken, "scope", "read admin")
		}, "invalid_scope"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.use(); got.Error != tc.want || (got.AccessToken == "") != (tc.want != "") {
				t.Errorf("got %q %q, want %q", got.Error, got.Description, tc.want)
			}
		})
	}
}

// TestCodeTwice: the second use of a code ends what the first gave (RFC 6749
// §4.1.2).
func TestCodeTwice(t *testing.T) {
	t.Parallel()
	a := startApp(t, sandbox.CodeFlow{})
	code := a.consent()
	got := a.redeem(code)
	if again := a.redeem(code); again.Error != "invalid_grant" {
		t.Errorf("second use: %q", again.Error)
	}
	if a.Introspect(got.AccessToken).Active || a.refresh(got.RefreshToken).Error != "invalid_grant" {
		t.Error("what the first use gave still works")
	}
	if g := a.grant(); g.Ended != sandbox.EndedCodeReused || g.CodePresented != 2 {
		t.Errorf("grant %+v", g)
	}
}

func TestConsentScript(t *testing.T) {
	t.Parallel()
	a := startApp(t, sandbox.CodeFlow{Consents: []sandbox.Consent{
		{Account: "alice", Scopes: []string{"openid"}},
		{Error: "access_denied"},
		{Account: "bob", Params: map[string]string{"realmId": "7", "state": "forged"}},
	}})
	got := a.redeem(a.consent("nonce", "n-1"))
	if got.Scope != "openid" || a.Introspect(got.AccessToken).Subject != "alice" {
		t.Errorf("first: %+v", got.tokenAnswer)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(got.IDToken, ".")[1])
	for _, want := range []string{`"sub":"alice"`, `"aud":"a"`, `"nonce":"n-1"`, `"iss":"` + a.url + `"`} {
		if err != nil || !strings.Contains(string(payload), want) {
			t.Errorf("no %s in the id token: %s %v", want, payload, err)
		}
	}
	back := a.browse(a.request("GET", a.ask(), ""))
	if back.Get("error") != "access_denied" || back.Get("state") != "st&te" || back.Has("code") {
		t.Errorf("second: %v", back)
	}
	for range 2 { // the last repeats
		back = a.browse(a.request("GET", a.ask(), ""))
		if back.Get("realmId") != "7" || back.Get("state") != "forged" || a.Introspect(a.redeem(back.Get("code")).AccessToken).Subject != "bob" {
			t.Errorf("third: %v", back)
		}
	}
	if c := a.counters(); c.Authorizations != 4 {
		t.Errorf("%d authorization requests", c.Authorizations)
	}
}

// TestDialogPage is a person in front of the page.
func TestDialogPage(t *testing.T) {
	t.Parallel()
	a := startApp(t, sandbox.CodeFlow{Dialog: sandbox.DialogPage, Consents: []sandbox.Consent{{Account: `"><b>`}}})
	r := a.control("GET", a.ask("scope", "<script>"), "")
	if r.status != 200 || strings.Contains(r.body, "<script>") || strings.Contains(r.body, "<b>") || !strings.Contains(r.body, "Allow") {
		t.Errorf("%d %s", r.status, r.body)
	}
	if csp := r.header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("policy %q", csp)
	}
	press := func(form string) url.Values {
		req := a.request("POST", a.ask(), form)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return a.browse(req)
	}
	back := press("decision=allow&account=carol")
	if got := a.redeem(back.Get("code")); a.Introspect(got.AccessToken).Subject != "carol" {
		t.Errorf("allowed: %v", back)
	}
	if back := press("decision=deny&account=carol"); back.Get("error") != "access_denied" {
		t.Errorf("denied: %v", back)
	}
	if r := a.form(a.ask(), url.Values{"decision": {"perhaps"}}); r.status != 400 {
		t.Errorf("undecided: %d", r.status)
	}
	if r := a.control("GET", a.ask("response_type", ""), ""); r.status != 302 {
		t.Errorf("a request at fault is shown to a person: %d", r.status)
	}
	if c := a.counters(); c.Authorizations != 3 {
		t.Errorf("%d authorization requests", c.Authorizations)
	}
}

func TestUserinfo(t *testing.T) {
	t.Parallel()
	a := startApp(t, sandbox.CodeFlow{})
	who := func(authorization string) reply {
		req := a.request("GET", "/userinfo", "")
		req.Header.Set("Authorization", authorization)
		return a.do(req)
	}
	token := a.redeem(a.consent()).AccessToken
	if got := decode[map[string]string](t, who("Bearer "+token)); got["sub"] != "account-1" || got["user_id"] != "account-1" {
		t.Errorf("got %v", got)
	}
	machine := decode[tokenAnswer](t, a.exchange()).AccessToken
	for _, refused := range []string{"", "Bearer", "Bearer x", "Basic " + token, "Bearer " + machine} {
		if r := who(refused); r.status != 401 || r.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%.12s: %d", refused, r.status)
		}
	}
	if a.counters().Userinfo != 1 {
		t.Error("not counted")
	}
}

// TestOpenClientsMayAuthorize: what nobody registered sends people wherever it
// wants, as long as it is a web address.
func TestOpenClientsMayAuthorize(t *testing.T) {
	t.Parallel()
	a := app{env: start(t, sandbox.Config{OpenClients: true})}
	for uri, want := range map[string]int{
		"http://127.0.0.1:1/back": 302, "https://app.example/back?x=1": 302,
		"": 400, "/back": 400, "javascript:alert(1)": 400, "http://u@host/": 400, "http://host/#": 400, "http:///x": 400,
	} {
		a.callback = cmp.Or(uri, "x")
		if r := a.control("GET", a.ask("redirect_uri", uri), ""); r.status != want {
			t.Errorf("%q: %d, want %d", uri, r.status, want)
		}
	}
}
