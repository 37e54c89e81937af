package reactor_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/pkg/work"
)

// hiddenCanary is the value of all that is hidden on a surface. No request has it, so
// that no answer may.
const hiddenCanary = "canary-4be1d0-must-stay-where-it-is"

// surface is a site with at least one of everything, which requests name by words in
// braces: so they mean something still after what they name was deleted and made anew.
type surface struct {
	*site
	ids  *strings.Replacer
	worn int // how many changes it has taken since it was furnished
}

// maxWorn is how many changes a surface takes before it is furnished anew.
const maxWorn = 100

// oneOfEach is what the id in a route stands for, by the first part of the path.
func oneOfEach() map[string]string {
	return map[string]string{
		"companies": "{company}", "properties": "{edge}", "environments": "{staging}", "hosts": "{host}", "notes": "{note}", "callbacks": "{callback}",
		"secrets": "{oauth2}", "extensions": "{extension}", "data_elements": "{element}", "libraries": "{library}",
		"builds": "{build}", "tokens": "{bearer}", "parked": "{parked}",
	}
}

// refurnish deletes what there is and makes one of everything.
func (s *surface) refurnish(t testing.TB) {
	t.Helper()
	company := decode[shapes](t, s.call(t, http.MethodGet, "/companies", "")).Data[0].ID
	for _, old := range []struct{ list, resource string }{{"/companies/" + company + "/properties", "/properties/"}, {"/tokens", "/tokens/"}} {
		for _, p := range decode[shapes](t, s.call(t, http.MethodGet, old.list+"?page[size]=999", "")).Data {
			s.call(t, http.MethodDelete, old.resource+p.ID, "")
		}
	}
	sh := s.stock(t)
	under := func(kind, members string) string {
		return s.make(t, "/properties/"+sh.edge+"/"+kind, attributes(members))
	}
	secretOf := func(name, kind, members string) string {
		return under("secrets", `"name":"`+name+`","type_of":"`+kind+`","credentials":{`+members+`}`)
	}
	token := secretOf("token", "token", `"token":"`+hiddenCanary+`"`)
	s.Parked.Park(work.Parked{Lane: "job", Secret: token})
	parked := decode[shapes](t, s.call(t, http.MethodGet, "/parked?page[size]=999", "")).Data
	s.ids = strings.NewReplacer(
		"{token}", token, "{attached}", token,
		"{simple}", secretOf("simple", "simple-http", `"username":"u","password":"`+hiddenCanary+`"`),
		"{oauth2}", secretOf("oauth2", "oauth2", `"client_id":"c","client_secret":"`+hiddenCanary+`","token_url":"https://idp.test/t"`),
		"{google}", secretOf("google", "oauth2-google", `"scopes":["https://www.googleapis.com/auth/pubsub"]`),
		"{host}", under("hosts", `"name":"h","type_of":"sftp","server":"s","username":"u","encrypted_private_key":"`+hiddenCanary+`"`),
		"{callback}", under("callbacks", `"url":"https://hooks.example.com/","subscriptions":["secret.created"]`),
		"{note}", under("notes", `"text":"n"`), "{bearer}", s.make(t, "/tokens", attributes(`"name":"b","rights":[]`)),
		"{parked}", parked[0].ID, "{locked}", under("environments", `"name":"l","archive":true,"archive_passphrase":"`+hiddenCanary+`"`),
		"{company}", sh.company, "{edge}", sh.edge, "{web}", sh.web, "{development}", sh.development, "{staging}", sh.staging, "{foreign}", sh.foreign,
		"{extension}", sh.extension, "{element}", sh.element, "{revision}", sh.revision, "{deleted}", sh.deleted, "{strange}", sh.strange,
		"{library}", sh.library, "{submitted}", sh.submitted, "{published}", sh.published, "{strangers}", sh.strangers, "{build}", sh.build,
		"{production}", sh.production, "{occupied}", sh.occupied)
	s.worn = 0
}

// FuzzSurface sends any method, path, headers and body to the whole API, with a token
// that may do everything. Whatever it is, the answer is a document of the contract, or
// none where there is none to be, and nothing hidden is in it.
func FuzzSurface(f *testing.F) {
	s := &surface{site: newSite(f)}
	s.refurnish(f)
	for _, path := range patterns() {
		method, path, _ := strings.Cut(path, " ")
		path = strings.Replace(path, "{id}", oneOfEach()[strings.Split(path, "/")[1]], 1)
		f.Add(method, path, "", "")
		f.Add(method, path+"?page[size]=2&sort=-name&filter[name]=CONTAINS e", "If-Match: *\nIdempotency-Key: k", attributes(`"name":"n","type_of":"token","platform":"edge","text":"t","rights":["develop"],"credentials":{"token":"t"}`))
	}
	for _, row := range slices.Concat(badRequests(), badTreeRequests(), badLibraryRequests(), badChanges(), badOperatorRequests()) {
		if method, path, _ := strings.Cut(row.request, " "); len(row.body) < 4<<10 {
			f.Add(method, path, strings.Join(row.headers, "\n"), row.body)
		}
	}
	f.Add(http.MethodOptions, "/secrets/{token}", "Origin: https://a.example\nAccess-Control-Request-Method: PATCH", "")
	f.Add(http.MethodHead, "/environments/{locked}", "Accept: */*", "")
	f.Cleanup(func() {
		if strings.Contains(s.Log.String(), hiddenCanary) {
			f.Error("what is hidden is in the log")
		}
	})
	f.Fuzz(func(t *testing.T, method, path, headers, body string) {
		r, ok := requestOf(s.ids.Replace(path), method, headers, s.ids.Replace(body))
		if !ok {
			return // no client could send it
		}
		s.calls.Add(1)
		s.spans.Reset()
		w := s.record(r)
		documented(t, answer{w.Code, w.Header(), w.Body.Bytes()})
		if w.Code < http.StatusMultipleChoices && method != http.MethodGet {
			s.worn++
		}
		if s.worn > maxWorn || w.Code == http.StatusNoContent && method == http.MethodDelete {
			s.refurnish(t)
		}
	})
}

// requestOf makes the request, if net/http would hand it to a handler.
func requestOf(target, method, headers, body string) (*http.Request, bool) {
	to, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, false
	}
	r, err := http.NewRequest(method, "http://api.example.org", strings.NewReader(body))
	if err != nil {
		return nil, false
	}
	r.URL, r.RequestURI = to, target
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for line := range strings.SplitSeq(headers, "\n") {
		name, value, _ := strings.Cut(line, ":")
		r.Header.Del(name)
		if value != "" {
			r.Header.Set(name, strings.TrimSpace(value))
		}
	}
	return r, true
}

// documented fails for what the contract knows no answer like.
func documented(t *testing.T, a answer) {
	t.Helper()
	switch {
	case a.status >= http.StatusInternalServerError:
		t.Fatalf("status %d: %s", a.status, a.body)
	case bytes.Contains(a.body, []byte(hiddenCanary)):
		t.Errorf("what is hidden is in the answer: %s", a.body)
	case a.status == http.StatusNoContent:
		if len(a.body) > 0 || a.header.Get("Content-Type") != "" {
			t.Errorf("no content, and %q of the type %q", a.body, a.header.Get("Content-Type"))
		}
		return
	case a.status == http.StatusOK && a.header.Get("Content-Type") == "text/event-stream":
		return
	case a.header.Get("Content-Type") != "application/vnd.api+json":
		t.Fatalf("status %d of the type %q: %.300s", a.status, a.header.Get("Content-Type"), a.body)
	case a.status >= http.StatusBadRequest:
		if len(refusals(t, a)) == 0 {
			t.Errorf("status %d without an error: %s", a.status, a.body)
		}
		return
	}
	var document struct {
		Data   json.RawMessage `json:"data"`
		Errors json.RawMessage `json:"errors"`
	}
	if err := json.Unmarshal(a.body, &document); err != nil || document.Data == nil || document.Errors != nil {
		t.Errorf("status %d with no document of data: %v: %.300s", a.status, err, a.body)
	}
}
