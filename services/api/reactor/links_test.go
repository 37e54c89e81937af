package reactor_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/services/api/reactor"
)

// notLinked are the questions that no link leads to.
var notLinked = map[string]string{
	"GET /audit_events":              "the organisation's, of which there is no document",
	"GET /audit_events/{id}":         "as above; TestAuditFilters follows the links of those",
	"GET /audit_pages":               "as above",
	"GET /environments/{id}/secrets": "the contract's environment has no such relationship (A15.3)",
	"GET /events":                    "the organisation's, and no document",
	"GET /parked":                    "the fleet's, not a company's: whoever runs it knows where to ask",
	"GET /parked/{id}":               "as above",
	"GET /profile":                   "the caller's own",
	"GET /tokens":                    "those of an organisation: whoever manages them knows where to ask",
	"GET /tokens/{id}":               "as above",
}

// TestLinks follows every link of every document there is, beginning at the companies:
// each leads to a document.
func TestLinks(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.furnish(t)
	mux := http.NewServeMux()
	for _, pattern := range patterns() {
		mux.HandleFunc(pattern, func(http.ResponseWriter, *http.Request) {})
	}
	reached := map[string]bool{}
	seen := map[string]bool{publicURL + "/companies": true}
	for queue := []string{publicURL + "/companies"}; len(queue) > 0; {
		link := queue[0]
		queue = queue[1:]
		path := strings.TrimPrefix(link, publicURL)
		a := s.call(t, http.MethodGet, path, "")
		if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/vnd.api+json" {
			t.Errorf("%s: status %d of type %s", path, a.status, a.header.Get("Content-Type"))
			continue
		}
		_, pattern := mux.Handler(httptest.NewRequest(http.MethodGet, path, nil))
		reached[pattern] = true
		for _, next := range links(decode[any](t, a), false) {
			if !strings.HasPrefix(next, publicURL+"/") {
				t.Errorf("%s has a link to %s, which is none of ours", path, next)
			} else if !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
	}
	for _, pattern := range patterns() {
		if reason := notLinked[pattern]; strings.HasPrefix(pattern, "GET ") && !reached[pattern] && reason == "" {
			t.Errorf("no link leads to %s", pattern)
		}
	}
	for pattern, reason := range notLinked {
		if reached[pattern] || !slices.Contains(patterns(), pattern) {
			t.Errorf("%s is in the table as not linked (%s), but it is linked, or no route", pattern, reason)
		}
	}
}

// furnish makes at least one of everything there can be.
func (s *site) furnish(t *testing.T) {
	t.Helper()
	sh := s.stock(t)
	tr := sh.tree
	secret := s.make(t, "/properties/"+tr.edge+"/secrets", `{"data":{"attributes":{"name":"attached","type_of":"token","credentials":{"token":"t"}},
		"relationships":{"environment":{"data":{"id":"`+tr.staging+`","type":"environments"}}}}}`)
	s.make(t, "/properties/"+tr.edge+"/secrets", attributes(`"name":"loose","type_of":"token","credentials":{"token":"t"}`))
	s.make(t, "/properties/"+tr.edge+"/hosts", attributes(`"name":"h","type_of":"sftp","server":"s","username":"u","encrypted_private_key":"k"`))
	s.make(t, "/properties/"+tr.edge+"/callbacks", attributes(`"url":"https://hook.example.com/","subscriptions":["*"]`))
	s.make(t, "/properties/"+tr.edge+"/notes", attributes(`"text":"on a property"`))
	s.make(t, "/secrets/"+secret+"/notes", attributes(`"text":"on a secret"`))
	for _, owner := range []string{"/data_elements/" + sh.element, "/libraries/" + sh.library, "/extensions/" + sh.extension} {
		s.make(t, owner+"/notes", attributes(`"text":"on `+owner+`"`))
	}
}

// links returns all texts within the members of a document that are called links.
func links(v any, within bool) (found []string) {
	switch v := v.(type) {
	case map[string]any:
		for name, member := range v {
			found = append(found, links(member, within || name == "links")...)
		}
	case []any:
		for _, member := range v {
			found = append(found, links(member, within)...)
		}
	case string:
		if within {
			found = append(found, v)
		}
	}
	return found
}

// TestLinksAreFound: the walk above would find nothing wrong with documents it does
// not understand.
func TestLinksAreFound(t *testing.T) {
	t.Parallel()
	var document any
	if err := json.Unmarshal([]byte(`{"data":[{"id":"a","links":{"self":"1"},"relationships":{"x":{"links":{"related":"2","self":"3"},"data":null}}}],"links":{"next":"4"}}`), &document); err != nil {
		t.Fatal(err)
	}
	if got := slices.Sorted(slices.Values(links(document, false))); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
		t.Errorf("found %v, want all four", got)
	}
}

// patterns are those of the API's routes.
func patterns() (all []string) {
	for _, r := range reactor.Routes() {
		all = append(all, r.Pattern)
	}
	return all
}
