package sandbox_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/services/sandbox"
)

// FuzzDecodeClient: no document crashes, and one that is accepted is served, and
// survives being written and read again.
func FuzzDecodeClient(f *testing.F) {
	for _, doc := range []string{
		`{}`, `{"id":"a","secret":"s","auth_style":"client_secret_basic"}`,
		`{"id":"a","script":[{"lifetime":"1m","times":2},{"fault":"slow-drip","bytes_per_second":1048576}]}`,
		`{"id":"a","default":{"fields":{"expires_in":null},"omit":["scope"],"headers":{"Retry-After":"1"}}}`,
		`{"id":"a","default":{"fault":"redirect","status":302}}`, `{"id":"a","default":{"body":"{{access_token}}"}}`,
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
