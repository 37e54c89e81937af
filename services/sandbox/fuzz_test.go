package sandbox_test

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// FuzzDecodeClient: no document crashes, and one that is accepted is served, and
// survives being written and read again.
func FuzzDecodeClient(f *testing.F) {
	for _, doc := range []string{
		`{}`, `{"id":"a","secret":"s","auth_style":"client_secret_basic"}`,
		`{"id":"a","auth_style":"tls_client_auth","certificate":"00","key":"-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----\n"}`,
		`{"id":"a","script":[{"lifetime":"1m","times":2},{"fault":"slow-drip","bytes_per_second":1048576}]}`,
		`{"id":"a","default":{"fields":{"expires_in":null},"omit":["scope"],"headers":{"Retry-After":"1"}}}`,
		`{"id":"a","default":{"fault":"redirect","status":302}}`, `{"id":"a","default":{"body":"{{access_token}}"}}`,
		`{"id":"a","code_flow":{"redirect_uris":["http://h/?a=b"],"dialog":"page","consents":[{"account":"x","params":{"a":"b"}}],"lifetime":"1h"}}`,
		`{"id":"a","code_flow":{"any_redirect":true,"refresh_tokens":{"issue":"offline","rotation":"rotate","grace":30,"detect_reuse":true}}}`,
	} {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		c, err := sandbox.DecodeClient(doc)
		if err != nil {
			return
		}
		s := sandbox.New(sandbox.Config{})
		if s.Put(c) != nil {
			return
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if c, err = sandbox.DecodeClient(again); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if err := s.Put(c); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}

// FuzzToken: no body and no header crashes the token endpoint, and every request
// is counted.
func FuzzToken(f *testing.F) {
	f.Add("grant_type=client_credentials&client_id=a&client_secret=s", "", "")
	f.Add("grant_type=client_credentials", "Basic YTpz", "tenant=x")
	f.Add("grant_type=authorization_code&client_id=a&code=sandbox-token-AAAA", "", "")
	f.Add("grant_type=refresh_token&client_id=a&refresh_token=sandbox-token-AAAA", "", "")
	f.Add("grant_type=client_credentials&client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=e30.e30.AA", "", "")
	f.Add("a=%zz&b;c", "Basic !", "%")
	f.Fuzz(func(t *testing.T, body, authorization, query string) {
		s := sandbox.New(sandbox.Config{OpenClients: true})
		r := httptest.NewRequest("POST", "/token", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Authorization", authorization)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code >= 500 || len(s.AllRequests()) != 1 {
			t.Errorf("status %d, %d entries", w.Code, len(s.AllRequests()))
		}
		var a struct {
			Token string `json:"access_token"`
		}
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		if w.Code == 200 && !s.Introspect(a.Token).Active {
			t.Error("issued a dead token")
		}
	})
}

// FuzzAuthorize: no query crashes the authorization endpoint or leads a browser
// to where the client is not, and what comes back is what was asked with.
func FuzzAuthorize(f *testing.F) {
	const back = "http://client.example/back?x=1"
	f.Add("response_type=code&client_id=a&redirect_uri=http%3A%2F%2Fclient.example%2Fback%3Fx%3D1&state=s", "")
	f.Add("response_type=code&client_id=a&redirect_uri=http%3A%2F%2Fclient.example%2Fback%3Fx%3D1&scope=a,b+c&access_type=offline", "decision=allow&account=x")
	f.Add("client_id=a&redirect_uri=http%3A%2F%2Fclient.example%2Fback%3Fx%3D1%0d%0a", "decision=deny")
	f.Add("%zz&client_id=%00", "decision=")
	f.Fuzz(func(t *testing.T, query, body string) {
		s := sandbox.New(sandbox.Config{})
		if err := s.Put(sandbox.Client{ID: "a", CodeFlow: &sandbox.CodeFlow{RedirectURIs: []string{back}}}); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/authorize", strings.NewReader(body))
		if body != "" {
			r.Method = "POST"
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		location := w.Header().Get("Location")
		switch w.Code {
		case 400:
			if location != "" {
				t.Errorf("a refusal leads to %q", location)
			}
		case 302, 303:
			u, err := url.Parse(location)
			if err != nil || !strings.HasPrefix(location, back+"&") {
				t.Fatalf("%q leads to %q: %v", query, location, err)
			}
			asked, _ := url.ParseQuery(query)
			if got := u.Query(); got.Get("state") != asked.Get("state") || got.Has("code") == got.Has("error") {
				t.Errorf("%q came back with %v", query, got)
			}
		default:
			t.Errorf("status %d", w.Code)
		}
	})
}

// FuzzIntrospect: nothing but an issued token is active.
func FuzzIntrospect(f *testing.F) {
	s := sandbox.New(sandbox.Config{OpenClients: true})
	f.Add("")
	f.Add("sandbox-token-")
	f.Add("sandbox-token-" + strings.Repeat("A", 80))
	f.Fuzz(func(t *testing.T, token string) {
		if s.Introspect(token).Active {
			t.Error("active")
		}
	})
}

// FuzzControl: no request to the control surface crashes it, and none but a
// registration registers.
func FuzzControl(f *testing.F) {
	for _, target := range []string{
		"/sandbox/clients/a?x", "/sandbox/clients/a/grants", "/sandbox/clients/a/revoke?grant=1", "/sandbox/clients/a/expire?grant=-1",
		"/sandbox/requests?client=b&wait=1", "/sandbox/requests?client=a&wait=x", "/sandbox/reset", "/userinfo", "/%00", "/sandbox/clients/%2f",
	} {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE"} {
			f.Add(method, target, []byte(`{"secret":"s","script":[{"fault":"reset"}]}`))
		}
	}
	f.Fuzz(func(t *testing.T, method, target string, body []byte) {
		u, err := url.ParseRequestURI(target)
		if err != nil || u.Path == "/sandbox/requests" && u.Query().Get("wait") > "0" && u.Query().Get("client") == "a" {
			return // no request, or one that waits
		}
		s := sandbox.New(sandbox.Config{})
		if err := s.Put(sandbox.Client{ID: "a"}); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", bytes.NewReader(body))
		r.Method, r.URL, r.RequestURI = method, u, target
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code == 500 {
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}

// BenchmarkToken is one exchange without the network.
func BenchmarkToken(b *testing.B) {
	s := sandbox.New(sandbox.Config{OpenClients: true})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Handler().ServeHTTP(httptest.NewRecorder(), tokenRequest(b.Context()))
		}
	})
}
