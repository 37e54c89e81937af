package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// TestRequestFormats: a client's requests are read in its own format, and in no
// other.
func TestRequestFormats(t *testing.T) {
	t.Parallel()
	named := map[string]string{"client_id": "client_key", "client_secret": "app_secret", "grant_type": ""}
	for name, tc := range map[string]struct {
		requests            *sandbox.Requests
		query, kind, body   string
		want                string
		fields, queryFields []string // of the ledger
	}{
		"json":            {&sandbox.Requests{Format: sandbox.FormatJSON}, "", "application/json", `{"grant_type":"client_credentials","client_id":"a","client_secret":"s"}`, "200", []string{"client_id", "client_secret", "grant_type"}, nil},
		"json, not texts": {&sandbox.Requests{Format: sandbox.FormatJSON}, "", "application/json", `{"client_id":7}`, "400 invalid_request", nil, nil},
		"json for a form": {nil, "", "application/json", `{"grant_type":"client_credentials","client_id":"a","client_secret":"s"}`, "400 invalid_request", []string{"client_id", "client_secret", "grant_type"}, nil},
		"form for json":   {&sandbox.Requests{Format: sandbox.FormatJSON}, "", "application/x-www-form-urlencoded", credentials("a", "s").Encode(), "400 invalid_request", []string{"client_id", "client_secret", "grant_type"}, nil},
		"query":           {&sandbox.Requests{Format: sandbox.FormatQuery}, "?" + credentials("a", "s").Encode(), "", "", "200", nil, []string{"client_id", "client_secret", "grant_type"}},
		"query, repeated": {&sandbox.Requests{Format: sandbox.FormatQuery}, "?" + credentials("a", "s").Encode() + "&scope=x&scope=y", "", "", "400 invalid_request", nil, []string{"client_id", "client_secret", "grant_type", "scope"}},
		"other names":     {&sandbox.Requests{Names: named}, "", "application/x-www-form-urlencoded", "client_key=a&app_secret=s", "200", []string{"app_secret", "client_key"}, nil},
		"another client":  {&sandbox.Requests{Names: named}, "", "application/x-www-form-urlencoded", "client_key=b&app_secret=s", "401 invalid_client", []string{"app_secret", "client_key"}, nil},
		"wrong secret":    {&sandbox.Requests{Names: named}, "", "application/x-www-form-urlencoded", "client_key=a&app_secret=x", "401 invalid_client", []string{"app_secret", "client_key"}, nil},
		"a grant besides": {&sandbox.Requests{Grants: []string{"own"}}, "", "application/x-www-form-urlencoded", strings.Replace(credentials("a", "s").Encode(), "client_credentials", "own", 1), "200", []string{"client_id", "client_secret", "grant_type"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := start(t, sandbox.Config{})
			if err := e.Put(sandbox.Client{ID: "a", Secret: "s", Requests: tc.requests}); err != nil {
				t.Fatal(err)
			}
			req := e.request("POST", "/token"+tc.query, tc.body)
			if tc.kind != "" {
				req.Header.Set("Content-Type", tc.kind)
			}
			if got := verdict(t, e.do(req)); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			entry := e.AllRequests()[0]
			if diff := cmp.Diff([][]string{tc.fields, tc.queryFields}, [][]string{entry.Fields, entry.Query}); diff != "" {
				t.Errorf("ledger (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRenamedFlow: codes and refresh tokens come by other names, too, and what
// has another name does not come by its own.
func TestRenamedFlow(t *testing.T) {
	t.Parallel()
	names := map[string]string{"code": "auth_code", "refresh_token": "renewal", "grant_type": ""}
	a := startApp(t, sandbox.CodeFlow{}, func(c *sandbox.Client) { c.Requests = &sandbox.Requests{Names: names} })
	send := func(pairs ...string) tokenAnswer {
		form := url.Values{"client_id": {"a"}, "client_secret": {"s"}, "redirect_uri": {a.callback}, "code_verifier": {verifier}}
		set(form, pairs)
		r := a.form("/token", form)
		return decode[tokenAnswer](t, r)
	}
	code := a.consent()
	if got := send("code", code); got.AccessToken == "" {
		// Without a code that it knows, it is a request of the client's own.
		t.Errorf("by its own name: %s", got.Error)
	}
	if g := a.grant(); g.CodePresented != 0 {
		t.Error("the code was taken by its own name")
	}
	if got := send("auth_code", code); got.AccessToken == "" {
		t.Errorf("code: %s", got.Error)
	}
	if got := send("renewal", "x"); got.Error != "invalid_grant" {
		t.Errorf("refresh token: %q", got.Error)
	}
}

func TestBadRequestStyles(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 65)
	for name, q := range map[string]sandbox.Requests{
		"format": {Format: "xml"}, "grants": {Grants: []string{""}}, "names": {Names: map[string]string{"code": long}},
	} {
		e := start(t, sandbox.Config{})
		err := e.Put(sandbox.Client{ID: "a", Requests: &q})
		if err == nil || !strings.Contains(err.Error(), "requests."+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestReplay: within its grace a token that is used again gives what it gave.
func TestReplay(t *testing.T) {
	t.Parallel()
	a := startApp(t, rotating(sandbox.RefreshTokens{Grace: sandbox.Duration(time.Minute), Replay: true, DetectReuse: true}))
	first := a.redeem(a.consent()).RefreshToken
	lost, again := a.refresh(first), a.refresh(first)
	if lost.RefreshToken == "" || again.RefreshToken == "" || len(a.grant().RefreshTokens) != 2 {
		t.Errorf("refresh tokens: %+v", a.grant().RefreshTokens)
	}
	if got := a.refresh(again.RefreshToken); got.AccessToken == "" {
		t.Errorf("what came again is refused: %s", got.Error)
	}
}

// TestEarly: a refresh that comes too early is refused and changes nothing.
func TestEarly(t *testing.T) {
	t.Parallel()
	a := startApp(t, sandbox.CodeFlow{Lifetime: sandbox.Duration(10 * time.Minute), RefreshTokens: sandbox.RefreshTokens{Early: sandbox.Duration(30 * time.Second)}})
	token := a.redeem(a.consent()).RefreshToken
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, "invalid_request"}, {569 * time.Second, "invalid_request"}, {time.Second, ""}, {0, "invalid_request"}, {11 * time.Minute, ""}} {
		a.clock.advance(step.after)
		if got := a.refresh(token); got.Error != step.want {
			t.Errorf("after %v: %q, want %q", step.after, got.Error, step.want)
		}
	}
}

// TestPerAccount: with one grant too many the oldest ends.
func TestPerAccount(t *testing.T) {
	t.Parallel()
	a := startApp(t, sandbox.CodeFlow{
		RefreshTokens: sandbox.RefreshTokens{PerAccount: 2},
		Consents:      []sandbox.Consent{{Account: "x"}, {Account: "y"}, {Account: "x"}, {Account: "x"}},
	})
	for range 4 {
		a.redeem(a.consent())
	}
	list, err := a.Grants("a")
	if err != nil {
		t.Fatal(err)
	}
	var ended []string
	for _, g := range list {
		ended = append(ended, fmt.Sprint(g.Account, " ", g.Ended))
	}
	if diff := cmp.Diff([]string{"x " + string(sandbox.EndedTooMany), "y ", "x ", "x "}, ended); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestIssuer: redirects name the issuer, as id tokens do, errors too.
func TestIssuer(t *testing.T) {
	t.Parallel()
	a := startApp(t, sandbox.CodeFlow{Issuer: true, Consents: []sandbox.Consent{{}, {Error: "access_denied"}}})
	for range 2 {
		if got := a.browse(a.request("GET", a.ask(), "")); got.Get("iss") != a.url {
			t.Errorf("came back with %v", got)
		}
	}
}

// TestRequestsInDocuments: the style survives a document, and a script.
func TestRequestsInDocuments(t *testing.T) {
	t.Parallel()
	doc := `{"id":"a","requests":{"format":"json","names":{"client_id":"client_key"},"grants":["own"]}}`
	c, err := sandbox.DecodeClient([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	e := start(t, sandbox.Config{})
	if err := e.Put(c); err != nil {
		t.Fatal(err)
	}
	c.Requests.Names["client_id"] = "changed"
	state, err := e.Client("a")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(state.Requests)
	if want := `{"format":"json","names":{"client_id":"client_key"},"grants":["own"]}`; err != nil || string(got) != want {
		t.Errorf("%s, want %s: %v", got, want, err)
	}
}

// TestRenamedWithoutBody: who is known by the header and sends nothing to rename
// is refused like anybody.
func TestRenamedWithoutBody(t *testing.T) {
	t.Parallel()
	e := start(t, sandbox.Config{})
	if err := e.Put(sandbox.Client{ID: "a", Secret: "s", Requests: &sandbox.Requests{Names: map[string]string{"grant_type": ""}}}); err != nil {
		t.Fatal(err)
	}
	req := e.request("POST", "/token", "x")
	req.SetBasicAuth("a", "s")
	if got := verdict(t, e.do(req)); got != "400 invalid_request" {
		t.Errorf("got %s", got)
	}
}
