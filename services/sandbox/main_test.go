package sandbox_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rekindle-dev/rekindle/services/sandbox"
	"github.com/rekindle-dev/rekindle/services/sandbox/sandboxtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// env is one sandbox and an HTTP client that neither follows redirects nor
// keeps connections.
type env struct {
	*sandbox.Server
	t    testing.TB
	url  string
	http *http.Client
}

func start(t testing.TB, cfg sandbox.Config) env {
	srv, base := sandboxtest.Start(t, cfg)
	transport := &http.Transport{DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	return env{Server: srv, t: t, url: base, http: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// reply is an answer read to its end.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // of the transport
}

func (e env) do(req *http.Request) reply {
	resp, err := e.http.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(body), err}
}

func (e env) request(method, path, body string) *http.Request {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), method, e.url+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	return req
}

func (e env) control(method, path, body string) reply {
	e.t.Helper()
	return e.do(e.request(method, path, body))
}

// form posts to a form endpoint; edits change the request before it leaves.
func (e env) form(path string, form url.Values, edits ...func(*http.Request)) reply {
	e.t.Helper()
	req := e.request("POST", path, form.Encode())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, edit := range edits {
		edit(req)
	}
	return e.do(req)
}

// exchange asks for a token as client "a" with the secret "s".
func (e env) exchange() reply {
	e.t.Helper()
	return e.form("/token", credentials("a", "s"))
}

func credentials(id, secret string) url.Values {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {id}, "client_secret": {secret}}
}

// script registers client "a" with the steps.
func (e env) script(steps ...sandbox.Step) {
	e.t.Helper()
	if err := e.Put(sandbox.Client{ID: "a", Secret: "s", Script: steps}); err != nil {
		e.t.Fatal(err)
	}
}

func (e env) counters() sandbox.Counters {
	e.t.Helper()
	state, err := e.Client("a")
	if err != nil {
		e.t.Fatal(err)
	}
	return state.Counters
}

func decode[T any](t testing.TB, r reply) T {
	t.Helper()
	var v T
	if r.err != nil {
		t.Fatalf("no answer: %v", r.err)
	}
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Fatalf("answer %d %q: %v", r.status, r.body, err)
	}
	return v
}

// tokenAnswer is what RFC 6749 §5.1 and §5.2 have in an answer.
type tokenAnswer struct {
	AccessToken string          `json:"access_token"`
	TokenType   string          `json:"token_type"`
	ExpiresIn   json.RawMessage `json:"expires_in"`
	Scope       string          `json:"scope"`
	Error       string          `json:"error"`
}
