package reactor_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/api/reactor"
)

// told waits until everything is told that was done.
func (s *site) told(t testing.TB) {
	t.Helper()
	apitest.Watch(t, s.State, state.OutboxKey("*"), func(records map[string][]byte) bool { return len(records) == 0 })
}

type auditEntry struct {
	ID            string
	Attributes    map[string]any
	Relationships map[string]struct {
		Links map[string]string
		Data  *struct{ ID, Type string }
	}
	Meta map[string]string
}

// auditDoc is as much of a list of audit events as tests look at.
type auditDoc struct {
	Data  []auditEntry
	Links map[string]*string
	Meta  struct {
		Pagination    map[string]*int
		SearchedUntil *string `json:"searched_until"`
	}
}

func (s *site) audited(t testing.TB, query string) auditDoc {
	t.Helper()
	s.told(t)
	a := s.call(t, http.MethodGet, "/audit_events?"+query, "")
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	return decode[auditDoc](t, a)
}

// TestEveryChangeLeavesAnEntry walks the routes that change something: each leaves one entry
// of the type, with the caller, the request and the purpose. One that is not in the table
// fails.
func TestEveryChangeLeavesAnEntry(t *testing.T) {
	t.Parallel()
	const purpose = "a ticket: Ä 17"
	s := newSite(t)
	s.tester.Answer(events.TestAnswer{Exchange: json.RawMessage(`{"access_token":"shown-token-canary"}`)})
	tr := s.plant(t)
	secretBody := func(name string) string {
		return attributes(`"name":"` + name + `","type_of":"oauth2","credentials":{"client_id":"c","client_secret":"hidden-canary","token_url":"https://idp.test/t"}`)
	}
	made := s.make(t, "/properties/"+tr.edge+"/secrets", secretBody("made"))
	doomed := s.make(t, "/properties/"+tr.edge+"/secrets", secretBody("doomed"))
	host := s.make(t, "/properties/"+tr.edge+"/hosts", `{"data":{"type":"hosts","attributes":{"name":"other","type_of":"akamai"}}}`)
	extension := "EX" + tr.edge[2:]
	libraries, elements := "/properties/"+tr.edge+"/libraries", "/properties/"+tr.edge+"/data_elements"
	element1, library1 := s.make(t, elements, element(extension, `"name":"e"`)), s.make(t, libraries, attributes(`"name":"l"`))
	element2 := s.make(t, elements, element(extension, `"name":"e2"`))
	inPlace := s.make(t, libraries, `{"data":{"attributes":{"name":"in"},"relationships":{"environment":{"data":`+named("environments", s.make(t, "/properties/"+tr.edge+"/environments", attributes(`"name":"place"`)))+`}}}}`)
	spare := s.make(t, libraries, attributes(`"name":"spare"`))
	built := (&tenant{site: s, company: tr.company, admin: token}).build(t)
	linkage := "/libraries/" + library1 + "/relationships/"
	bearer := s.make(t, "/tokens", `{"data":{"type":"tokens","attributes":{"name":"other","rights":["develop"]}}}`)
	callback := s.make(t, "/properties/"+tr.edge+"/callbacks", attributes(`"url":"https://hook.test/?hidden-canary","subscriptions":["*"]`))
	gone := s.make(t, "/properties/"+tr.edge+"/callbacks", attributes(`"url":"https://hook.test/","subscriptions":["*"]`))
	change := func(action string) string {
		return `{"data":{"id":"` + made + `","type":"secrets","attributes":{"type_of":"oauth2"},"meta":{"action":"` + action + `"}}}`
	}
	rename := func(name string) string {
		return `{"data":{"id":"` + made + `","type":"secrets","attributes":{"name":"` + name + `"}}}`
	}
	park := func() string {
		id := s.Parked.Park(work.Parked{At: time.Now(), Lane: "job", Secret: made, Type: string(events.TypeRefreshDue)})
		return strconv.FormatUint(id, 10)
	}
	requeued := park()
	// What cannot be made here is refused, or changes nothing.
	nothing := []string{
		"POST /properties/{id}/extensions", "PATCH /extensions/{id}", "POST /properties/{id}/rules",
		"POST /libraries/{id}/relationships/rules", "PATCH /libraries/{id}/relationships/rules", "DELETE /libraries/{id}/relationships/rules",
	}
	type step struct{ path, body, want, action string }
	steps := map[string][]step{
		"POST /companies/{id}/properties": {{"/companies/" + tr.company + "/properties", `{"data":{"attributes":{"name":"new","platform":"edge"}}}`, "property.created", ""}},
		"DELETE /properties/{id}":         {{"/properties/" + tr.web, "", "property.deleted", ""}},
		"POST /properties/{id}/environments": {{
			"/properties/" + tr.edge + "/environments", `{"data":{"attributes":{"name":"new"}}}`, "environment.created", "",
		}},
		"PATCH /properties/{id}":   {{"/properties/" + tr.edge, `{"data":{"id":"` + tr.edge + `","type":"properties","attributes":{"name":"renamed"}}}`, "property.updated", ""}},
		"PATCH /environments/{id}": {{"/environments/" + tr.staging, `{"data":{"id":"` + tr.staging + `","type":"environments","attributes":{"archive":true,"archive_passphrase":"hidden-canary"}}}`, "environment.updated", ""}},
		"POST /properties/{id}/hosts": {{
			"/properties/" + tr.edge + "/hosts",
			`{"data":{"type":"hosts","attributes":{"name":"h","type_of":"sftp","server":"h.test","username":"u","encrypted_private_key":"hidden-canary"}}}`, "host.created", "",
		}},
		"PATCH /hosts/{id}":              {{"/hosts/" + host, `{"data":{"id":"` + host + `","type":"hosts","attributes":{"name":"renamed"}}}`, "host.updated", ""}},
		"DELETE /hosts/{id}":             {{"/hosts/" + host, "", "host.deleted", ""}},
		"POST /properties/{id}/notes":    {{"/properties/" + tr.edge + "/notes", `{"data":{"type":"notes","attributes":{"text":"hidden-canary"}}}`, "note.created", ""}},
		"POST /secrets/{id}/notes":       {{"/secrets/" + made + "/notes", `{"data":{"type":"notes","attributes":{"text":"hidden-canary"}}}`, "note.created", ""}},
		"POST /data_elements/{id}/notes": {{"/data_elements/" + element1 + "/notes", attributes(`"text":"hidden-canary"`), "note.created", ""}},
		"POST /libraries/{id}/notes":     {{"/libraries/" + inPlace + "/notes", attributes(`"text":"hidden-canary"`), "note.created", ""}},
		"POST /extensions/{id}/notes":    {{"/extensions/" + extension + "/notes", attributes(`"text":"hidden-canary"`), "note.created", ""}},
		"POST /properties/{id}/callbacks": {{
			"/properties/" + tr.edge + "/callbacks", attributes(`"url":"https://hook.test/?hidden-canary","subscriptions":["*"]`), "callback.created", "",
		}},
		"PATCH /callbacks/{id}":         {{"/callbacks/" + callback, `{"data":{"meta":{"action":"rotate"}}}`, "callback.updated", "rotate"}},
		"PUT /callbacks/{id}":           {{"/callbacks/" + callback, attributes(`"subscriptions":["secret.created"]`), "callback.updated", ""}},
		"DELETE /callbacks/{id}":        {{"/callbacks/" + gone, "", "callback.deleted", ""}},
		"DELETE /environments/{id}":     {{"/environments/" + tr.foreign, "", "environment.deleted", ""}},
		"POST /properties/{id}/secrets": {{"/properties/" + tr.edge + "/secrets", secretBody("new"), "secret.created", ""}},
		"POST /properties/{id}/imports": {{"/properties/" + tr.edge + "/imports", secretBody("imported"), "secret.created", ""}},
		"PATCH /secrets/{id}": {
			{"/secrets/" + made, rename("patched"), "secret.updated", ""},
			{"/secrets/" + made, change("test"), "secret.read", "test"},
		},
		"PUT /secrets/{id}":                   {{"/secrets/" + made, rename("put"), "secret.updated", ""}},
		"DELETE /secrets/{id}":                {{"/secrets/" + doomed, "", "secret.deleted", ""}},
		"POST /properties/{id}/data_elements": {{elements, element(extension, `"name":"new"`), "data_element.created", ""}},
		"PATCH /data_elements/{id}": {
			{"/data_elements/" + element1, `{"data":{"id":"` + element1 + `","type":"data_elements","attributes":{"name":"renamed"}}}`, "data_element.updated", ""},
			{"/data_elements/" + element1, `{"data":{"id":"` + element1 + `","type":"data_elements","meta":{"action":"revise"}}}`, "data_element.updated", "revise"},
		},
		"DELETE /data_elements/{id}":                       {{"/data_elements/" + element2, "", "data_element.deleted", ""}},
		"POST /properties/{id}/libraries":                  {{libraries, attributes(`"name":"new"`), "library.created", ""}},
		"PATCH /libraries/{id}":                            {{"/libraries/" + spare, `{"data":{"id":"` + spare + `","type":"libraries","meta":{"action":"submit"}}}`, "library.updated", "submit"}},
		"DELETE /libraries/{id}":                           {{"/libraries/" + spare, "", "library.deleted", ""}},
		"POST /libraries/{id}/builds":                      {{"/libraries/" + inPlace + "/builds", "", "build.created", ""}},
		"PATCH /builds/{id}":                               {{"/builds/" + built, `{"data":{"id":"` + built + `","type":"builds","meta":{"action":"republish"}}}`, "build.updated", "republish"}},
		"PATCH /libraries/{id}/relationships/environment":  {{linkage + "environment", `{"data":{"id":"` + tr.development + `","type":"environments"}}`, "library.updated", ""}},
		"DELETE /libraries/{id}/relationships/environment": {{"/libraries/" + inPlace + "/relationships/environment", "", "library.updated", ""}},
		"POST /libraries/{id}/relationships/data_elements": {{linkage + "data_elements", `{"data":[{"id":"` + element1 + `","type":"data_elements","meta":{"action":"revise"}}]}`, "library.updated", ""}},
		"PATCH /libraries/{id}/relationships/data_elements": {
			{linkage + "data_elements", `{"data":[{"id":"` + element1 + `","type":"data_elements","meta":{"action":"revise"}}]}`, "library.updated", ""},
			{linkage + "data_elements", `{"data":[{"id":"` + element1 + `","type":"data_elements"}]}`, "library.updated", ""},
		},
		"DELETE /libraries/{id}/relationships/data_elements": {{linkage + "data_elements", `{"data":[{"id":"` + element1 + `","type":"data_elements"}]}`, "library.updated", ""}},
		"POST /libraries/{id}/relationships/extensions":      {{linkage + "extensions", `{"data":[{"id":"` + extension + `","type":"extensions"}]}`, "library.updated", ""}},
		"PATCH /libraries/{id}/relationships/extensions": {
			{linkage + "extensions", `{"data":[]}`, "library.updated", ""},
			{linkage + "extensions", `{"data":[{"id":"` + extension + `","type":"extensions"}]}`, "library.updated", ""},
		},
		"DELETE /libraries/{id}/relationships/extensions": {{linkage + "extensions", `{"data":[{"id":"` + extension + `","type":"extensions"}]}`, "library.updated", ""}},
		"POST /tokens":        {{"/tokens", `{"data":{"type":"tokens","attributes":{"name":"new","rights":["develop"]}}}`, "token.created", ""}},
		"PATCH /tokens/{id}":  {{"/tokens/" + bearer, `{"data":{"id":"` + bearer + `","type":"tokens","meta":{"action":"revoke"}}}`, "token.updated", ""}},
		"DELETE /tokens/{id}": {{"/tokens/" + bearer, "", "token.deleted", ""}},
		"PATCH /parked/{id}":  {{"/parked/" + requeued, `{"data":{"id":"` + requeued + `","type":"parked_messages","meta":{"action":"requeue"}}}`, "parked_message.updated", "requeue"}},
		"DELETE /parked/{id}": {{"/parked/" + park(), "", "parked_message.deleted", ""}},
	}
	for _, r := range reactor.Routes() {
		pattern := r.Pattern
		if strings.HasPrefix(pattern, "GET ") {
			continue
		}
		if slices.Contains(nothing, pattern) {
			continue
		}
		if len(steps[pattern]) == 0 {
			t.Errorf("%s changes something, and nobody has tried what is told of it", pattern)
		}
		method, _, _ := strings.Cut(pattern, " ")
		for _, step := range steps[pattern] {
			a := s.call(t, method, step.path, step.body, "X-Rekindle-Purpose: "+purpose)
			if a.status >= 300 {
				t.Errorf("%s: status %d: %s", pattern, a.status, a.body)
				continue
			}
			// What goes with it is told as nobody's doing.
			list := slices.DeleteFunc(s.audited(t, "page[size]=50").Data, func(e auditEntry) bool {
				return e.Meta["request_id"] != a.header.Get("X-Request-Id")
			})
			if len(list) != 1 {
				t.Errorf("%s left %d entries, want 1", pattern, len(list))
				continue
			}
			got := list[0]
			if got.Attributes["type_of"] != step.want || got.Attributes["attributed_to_email"] != "admin@localhost" ||
				got.Meta["principal"] != "bootstrap "+api.DefaultOrg || got.Meta["purpose"] != purpose || got.Meta["action"] != step.action {
				t.Errorf("%s left %v, %v; want %s", pattern, got.Attributes, got.Meta, step.want)
			}
			if link := got.Relationships["entity"].Links["related"]; strings.HasSuffix(step.want, ".created") &&
				s.call(t, http.MethodGet, strings.TrimPrefix(link, publicURL), "").status != http.StatusOK {
				t.Errorf("%s: the link %q does not lead to what was made", pattern, link)
			}
			if of := got.Relationships["property"].Data; strings.Contains(pattern, "/notes") && (of == nil || of.ID != tr.edge) {
				t.Errorf("%s left an entry of the property %v", pattern, of)
			}
			if text := fmt.Sprint(got.Attributes["entity"]); strings.Contains(text, "canary") {
				t.Errorf("%s shows what is hidden: %s", pattern, text)
			}
		}
	}
	for _, p := range s.Audit.Pages(api.DefaultOrg) {
		if strings.Contains(string(p.Body), "canary") {
			t.Errorf("what is hidden stands in the trail: %s", p.Body)
		}
	}
}

// TestNoEntryNoAnswer: a token that cannot be noted is not shown.
func TestNoEntryNoAnswer(t *testing.T) {
	t.Parallel()
	st := statetest.New()
	apitest.PublishKeyset(t, st)
	faulty := statetest.NewFaulty(st)
	s := newSiteOver(t, faulty)
	s.tester.Answer(events.TestAnswer{Exchange: json.RawMessage(`{"access_token":"shown-token-canary"}`)})
	tr := s.plant(t)
	made := s.make(t, "/properties/"+tr.edge+"/secrets", attributes(`"name":"n","type_of":"oauth2","credentials":{"client_id":"c","client_secret":"s","token_url":"https://idp.test/t"}`))
	s.told(t)
	faulty.FailCommit(len(faulty.Commits())+1, statetest.Before)
	a := s.call(t, http.MethodPatch, "/secrets/"+made, `{"data":{"id":"`+made+`","type":"secrets","attributes":{"type_of":"oauth2"},"meta":{"action":"test"}}}`)
	if a.status != http.StatusServiceUnavailable || strings.Contains(string(a.body), "canary") {
		t.Errorf("status %d: %s", a.status, a.body)
	}
}

// TestPurpose is refused when nobody could read it, before anything is done.
func TestPurpose(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	for purpose, want := range map[string]int{
		"": http.StatusOK, strings.Repeat("x", 256): http.StatusOK, strings.Repeat("x", 257): http.StatusBadRequest, "\xff": http.StatusBadRequest,
	} {
		if a := s.call(t, http.MethodGet, "/properties/"+tr.edge, "", "X-Rekindle-Purpose: "+purpose); a.status != want {
			t.Errorf("%.20q: status %d, want %d", purpose, a.status, want)
		} else if want == http.StatusBadRequest && !strings.Contains(string(a.body), "X-Rekindle-Purpose") {
			t.Errorf("the answer does not name the header: %s", a.body)
		}
	}
}

// TestAuditFilters asks for parts of a trail.
func TestAuditFilters(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	whole := s.audited(t, "page[size]=100")
	total := len(whole.Data)
	if total < 7 || whole.Data[total-1].Attributes["type_of"] != "company.created" || whole.Data[total-1].Attributes["attributed_to_display_name"] != "Rekindle" {
		t.Fatalf("%d entries, the first %v", total, whole.Data[total-1].Attributes)
	}
	at := func(i int) string { return url.QueryEscape(fmt.Sprint(whole.Data[i].Attributes["created_at"])) }
	for query, want := range map[string]int{
		"filter[type_of]=EQ%20property.created":                3,
		"filter[type_of]=CONTAINS+environment":                 3,
		"type_of=company.created":                              1,
		"filter[property]=EQ%20" + tr.edge:                     3,
		"filter[property]=NOT%20null":                          6,
		"filter[created_at]=GT%20" + at(1):                     1,
		"filter[created_at]=LT%20" + at(total-2):               1,
		"filter[created_at]=EQ%20" + at(2):                     1,
		"filter[created_at]=BETWEEN%20" + at(3) + "," + at(1):  3,
		"filter[updated_at]=GT%202999-01-01T00:00:00Z":         0,
		"filter[updated_at]=LT%202001-01-01T00:00:00Z":         0,
		"filter[updated_at]=nonsense":                          total,
		"filter[type_of]=EQ%20secret.read&page[number]=2":      0,
		"filter[type_of]=EQ%20property.created&page[number]=9": 0,
	} {
		got := s.audited(t, query+"&page[size]=100")
		if len(got.Data) != want {
			t.Errorf("%s: %d entries, want %d", query, len(got.Data), want)
		}
	}
	var walked []string
	for next := publicURL + "/audit_events?page[size]=2"; next != ""; {
		doc := decode[auditDoc](t, s.call(t, http.MethodGet, strings.TrimPrefix(next, publicURL), ""))
		for _, e := range doc.Data {
			walked = append(walked, e.ID)
		}
		next = ""
		if n := doc.Links["next"]; n != nil {
			next = *n
		}
	}
	if len(walked) != total || walked[0] != whole.Data[0].ID || walked[total-1] != whole.Data[total-1].ID {
		t.Errorf("following the links led to %v", walked)
	}
	for _, e := range whole.Data {
		if a := s.call(t, http.MethodGet, "/audit_events/"+e.ID, ""); a.status != http.StatusOK {
			t.Errorf("%s: status %d", e.ID, a.status)
		}
		for name, r := range e.Relationships {
			if link := r.Links["related"]; link != "" {
				if a := s.call(t, http.MethodGet, strings.TrimPrefix(link, publicURL), ""); a.status != http.StatusOK {
					t.Errorf("%s of %s leads to %s: status %d", name, e.ID, link, a.status)
				}
			}
		}
	}
}

// TestAuditLeadsToWhatIsThere: from each entry to what it is about and to its property, as
// long as these are there.
func TestAuditLeadsToWhatIsThere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.furnish(t)
	led := make(map[string]bool)
	for _, e := range s.audited(t, "page[size]=100").Data {
		about, kind := e.Relationships["entity"], ""
		if kind = about.Data.Type; led[kind] {
			continue
		}
		led[kind] = true
		if kind == "companies" {
			continue // which has no property
		}
		of := e.Relationships["property"]
		for name, link := range map[string]string{"entity": about.Links["related"], "property": of.Links["related"]} {
			if a := s.call(t, http.MethodGet, strings.TrimPrefix(link, publicURL), ""); link == "" || a.status != http.StatusOK {
				t.Errorf("an entry about %s has the %s %q: status %d", kind, name, link, a.status)
			}
		}
		if of.Data != nil && len(s.audited(t, "filter[type_of]=EQ+"+url.QueryEscape(fmt.Sprint(e.Attributes["type_of"]))+"&filter[property]=EQ+"+of.Data.ID).Data) == 0 {
			t.Errorf("an entry about %s is not found by its property", kind)
		}
	}
	for _, kind := range []string{"properties", "environments", "hosts", "secrets", "notes", "data_elements", "libraries", "builds"} {
		if !led[kind] {
			t.Errorf("there is no entry about %s", kind)
		}
	}
}

// TestAuditIsOnesOwn: who has not the right reads nothing, and nobody another's trail.
func TestAuditIsOnesOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.plant(t)
	id := s.audited(t, "").Data[0].ID
	for _, path := range []string{"/audit_events", "/audit_events/" + id, "/audit_pages"} {
		if a := s.call(t, http.MethodGet, path, "", "Authorization: Bearer "+readToken); a.status != http.StatusForbidden {
			t.Errorf("%s without the right: status %d", path, a.status)
		}
	}
	other := "Authorization: Bearer " + elsewhere
	if a := s.call(t, http.MethodGet, "/audit_events/"+id, "", other); a.status != http.StatusNotFound {
		t.Errorf("another's entry: status %d", a.status)
	}
	for _, path := range []string{"/audit_events", "/audit_pages"} {
		if doc := decode[shapes](t, s.call(t, http.MethodGet, path, "", other)); len(doc.Data) > 0 {
			t.Errorf("%s shows another's", path)
		}
	}
	for _, id := range []string{"x", "AE" + strings.Repeat("0", 32), strings.ToLower(id)} {
		if a := s.call(t, http.MethodGet, "/audit_events/"+id, ""); a.status != http.StatusNotFound {
			t.Errorf("%s: status %d", id, a.status)
		}
	}
}

// TestAuditPages are what is stored, byte by byte, and can be verified by who gets them.
func TestAuditPages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.plant(t)
	s.told(t)
	v := audit.NewVerifier(api.DefaultOrg, "")
	pages := 0
	for after := ""; ; {
		doc := decode[struct {
			Data []struct {
				ID         string
				Attributes struct{ Body string }
			}
		}](t, s.call(t, http.MethodGet, "/audit_pages"+after, ""))
		if len(doc.Data) == 0 {
			break
		}
		for _, p := range doc.Data {
			body, err := base64.StdEncoding.DecodeString(p.Attributes.Body)
			sequence, seqErr := strconv.ParseUint(p.ID, 10, 64)
			if err := errors.Join(err, seqErr); err != nil {
				t.Fatal(err)
			}
			v.Add(audit.Stored{Sequence: sequence, Body: body})
			after, pages = "?page[after]="+p.ID, pages+1
		}
	}
	if r := v.Report(); !r.Sound() || r.Pages != len(s.Audit.Pages(api.DefaultOrg)) || r.Entries < 7 {
		t.Errorf("%d pages: %+v", pages, r)
	}
	for _, after := range []string{"x", "-1"} {
		if a := s.call(t, http.MethodGet, "/audit_pages?page[after]="+after, ""); a.status != http.StatusBadRequest {
			t.Errorf("after %s: status %d", after, a.status)
		}
	}
}
