package reactor_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/services/api/reactor"
)

// Rules of the contract that hold for each route, tested on each.

// TestMediaTypes on the wire (contract A1): which of them an answer has, too.
func TestMediaTypes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	const api = "application/vnd.api+json"
	body := `{"data":{"attributes":{"name":"x"}}}`
	path := "/properties/" + tr.edge + "/secrets"
	made := func() string {
		return "/secrets/" + s.make(t, path, attributes(`"name":"m","type_of":"token","credentials":{"token":"t"}`))
	}
	secret := made()
	for _, row := range []struct {
		method, path, body string
		headers            []string
		status             int
		contentType        string
	}{
		{"GET", "/companies", "", []string{"Accept:"}, 200, api},
		{"GET", "/companies", "", []string{"Accept: */*"}, 200, api},
		{"GET", "/companies", "", []string{"Accept: application/vnd.api+json"}, 200, api},
		{"GET", "/companies", "", []string{"Accept: application/vnd.api+json;revision=1"}, 200, api},
		{"GET", "/companies", "", []string{"Accept: application/vnd.api+json;revision=1", "Content-Type: application/vnd.api+json"}, 200, api},
		{"GET", "/companies", "", []string{"Content-Type: text/plain"}, 200, api},
		{"GET", "/companies", "", []string{"Accept: application/vnd.api+json;revision=2"}, 406, api},
		{"GET", "/companies", "", []string{"Accept: text/html, */*;q=0"}, 406, api},
		{"GET", "/companies", "", []string{"Accept: application/vnd.api+json;q=0, */*"}, 406, api},
		{"HEAD", "/companies", "", nil, 200, api},
		{"GET", "/companies", "", []string{"Authorization:", "Accept: text/html"}, 401, api},
		{"GET", "/nowhere", "", []string{"Accept: text/html"}, 404, api},
		{"PATCH", secret, body, []string{"Content-Type: application/json"}, 200, api},
		{"PUT", secret, body, []string{"Content-Type: application/vnd.api+json; revision=1"}, 200, api},
		{"PATCH", secret, body, []string{"Content-Type: text/plain"}, 415, api},
		{"PUT", secret, body, []string{"Content-Type: text/plain"}, 415, api},
		{"PUT", secret, body, []string{"Content-Encoding: gzip"}, 415, api},
		{"DELETE", secret, body, []string{"Content-Type: text/plain"}, 415, api},
		{"POST", path, body, []string{"Content-Type:"}, 415, api},
		{"DELETE", secret, "", []string{"Content-Type: application/vnd.api+json"}, 204, ""},
		{"GET", "/heartbeat", "", []string{"Authorization:", "Accept: text/html"}, 204, ""},
	} {
		a := s.call(t, row.method, row.path, row.body, row.headers...)
		if a.status != row.status || a.header.Get("Content-Type") != row.contentType || row.contentType == "" && len(a.body) > 0 {
			t.Errorf("%s %s %v: status %d of type %q with %d bytes, want %d of %q",
				row.method, row.path, row.headers, a.status, a.header.Get("Content-Type"), len(a.body), row.status, row.contentType)
		}
	}
}

// TestUnknownIdsAreNotFound, whatever is wrong with them (contract A2): not 400, and with
// every method.
func TestUnknownIdsAreNotFound(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	const rest = "0000000000004000800000000000000"
	prefixes := map[string]string{
		"companies": "CO", "properties": "PR", "environments": "EN", "hosts": "HT", "notes": "NT", "secrets": "SE", "extensions": "EX",
		"data_elements": "DE", "libraries": "LB", "builds": "BL", "callbacks": "CB", "tokens": "AT", "audit_events": "AE",
	}
	before := everything(t, s.State)
	for _, r := range reactor.Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		if !strings.Contains(path, "{id}") {
			continue
		}
		body := ""
		if method != http.MethodGet && method != http.MethodDelete || strings.Contains(path, "/relationships/") && method != http.MethodGet {
			body = `{"data":{}}`
		}
		switch {
		case strings.HasSuffix(path, "/relationships/environment") && body != "":
			body = `{"data":null}`
		case strings.Contains(path, "/relationships/") && body != "":
			body = `{"data":[]}`
		}
		kind := strings.Split(path, "/")[1]
		ids := []string{prefixes[kind] + rest + "1", prefixes[kind] + rest, strings.ToLower(prefixes[kind]) + rest + "1", "UR" + rest + "1", "%2E%2E", "%00%F0%9F%94%91"}
		if kind != "properties" {
			ids = append(ids, tr.edge)
		}
		for _, id := range ids {
			a := s.call(t, method, strings.Replace(path, "{id}", id, 1), body)
			if got := refusals(t, a); a.status != http.StatusNotFound || !slices.Equal(got, []string{"not-found"}) {
				t.Errorf("%s of %s: status %d, %v", r.Pattern, id, a.status, got)
			}
		}
	}
	if !same(before, everything(t, s.State)) {
		t.Error("something has changed")
	}
}

// TestOtherMethodsAreNotAllowed: the answer is an error of the API and names those that are
// (contract A5.1).
func TestOtherMethodsAreNotAllowed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	allowed := map[string]map[string]bool{}
	for _, r := range reactor.Routes() {
		method, path, _ := strings.Cut(r.Pattern, " ")
		if allowed[path] == nil {
			allowed[path] = map[string]bool{}
		}
		allowed[path][method] = true
		if method == http.MethodGet {
			allowed[path][http.MethodHead] = true
		}
	}
	for path, methods := range allowed {
		want := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
		for _, method := range []string{"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "SWIM"} {
			if methods[method] {
				continue
			}
			a := s.call(t, method, strings.Replace(path, "{id}", "x", 1), "")
			if got := refusals(t, a); a.status != http.StatusMethodNotAllowed || !slices.Equal(got, []string{"not-found"}) || a.header.Get("Allow") != want {
				t.Errorf("%s %s: status %d, %v, Allow %q, want %q", method, path, a.status, got, a.header.Get("Allow"), want)
			}
		}
	}
}
