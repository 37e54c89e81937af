package intake_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/rekindle-dev/rekindle/events"
	upstream "github.com/rekindle-dev/rekindle/events/intake"
	"github.com/rekindle-dev/rekindle/events/sealing"
	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/api/auth"
	"github.com/rekindle-dev/rekindle/services/api/reactor"
)

// asked is something that can be asked for through both doors. Words in braces stand for ids,
// {sealed FIELD ABOUT} for a value that is sealed.
type asked struct {
	name string
	typ  upstream.Type
	data string
	// want is "" for what is carried out, or the problems, as code and pointer.
	want string
}

// bothWays is what is asked for, one after the other. What a step makes, later ones may name.
func bothWays() []asked {
	const create, update, remove = upstream.TypeSecretCreated, upstream.TypeSecretUpdated, upstream.TypeSecretDeleted
	const retry, reauthorize = upstream.TypeRetryRequested, upstream.TypeReauthorizeRequested
	oauth2 := func(name, more string) string {
		return `{"property":"{property}","name":"` + name + `","type_of":"oauth2","credentials":{"client_id":"c","client_secret":{sealed client_secret {property}/` + name + `}` + more + `}}`
	}
	credentials := func(kind, members string) string {
		return `{"property":"{property}","name":"bad","type_of":"` + kind + `","credentials":{` + members + `}}`
	}
	crm := func(members string) string { return `{"secret":"{crm}"` + members + `}` }
	return []asked{
		{"oauth2", create, oauth2("crm", `,"token_url":"https://idp.test/t","refresh_offset":14400,"options":{"scope":"read"}`), ""},
		{"token", create, `{"property":"{property}","name":"static","type_of":"token","environment":"{environment}","credentials":{"token":{sealed token {property}/static}}}`, ""},
		{"simple-http", create, `{"property":"{property}","name":"basic","type_of":"simple-http","credentials":{"username":"u","password":{sealed password {property}/basic}}}`, ""},
		{"interactive", create, `{"property":"{property}","name":"ads","type_of":"oauth2-acme","credentials":{"scopes":["all"]}}`, ""},
		{"a name that is taken", create, oauth2("crm", `,"token_url":"https://idp.test/t"`), "not-unique /name"},
		{"no type", create, `{"property":"{property}","name":"bad"}`, "invalid-secret /type_of"},
		{"a type that is none", create, `{"property":"{property}","name":"bad","type_of":"saml","credentials":{}}`, "invalid-secret /type_of"},
		{"no name", create, `{"property":"{property}","type_of":"oauth2-acme"}`, "invalid-secret /name"},
		{"a name of blanks", create, `{"property":"{property}","name":"  ","type_of":"oauth2-acme"}`, "invalid-secret /name"},
		{"too long a name", create, `{"property":"{property}","name":"` + strings.Repeat("n", 513) + `","type_of":"oauth2-acme"}`, "invalid-secret /name"},
		{"no credentials", create, `{"property":"{property}","name":"bad","type_of":"token"}`, "invalid-secret /credentials/token"},
		{"credentials a list", create, `{"property":"{property}","name":"bad","type_of":"token","credentials":[]}`, "invalid-secret /credentials"},
		{"a member twice", create, credentials("oauth2-acme", `"scopes":["a"],"scopes":["b"]`), "invalid-secret /credentials"},
		{"nothing of oauth2", create, credentials("oauth2", ``), "invalid-secret /credentials/client_id, invalid-secret /credentials/client_secret, invalid-secret /credentials/token_url"},
		{"a URL that is none", create, oauth2("bad", `,"token_url":"idp"`), "invalid-secret /credentials/token_url"},
		{"a URL with a password", create, oauth2("bad", `,"token_url":"https://a:b@idp.test/t"`), "invalid-secret /credentials/token_url"},
		{"an offset that is none", create, oauth2("bad", `,"token_url":"https://idp.test/t","refresh_offset":-1`), "invalid-secret /credentials/refresh_offset"},
		{"an option that is hidden", create, oauth2("bad", `,"token_url":"https://idp.test/t","options":{"client_secret":"s"}`), "invalid-secret /credentials/options/client_secret"},
		{"a scope twice", create, credentials("oauth2-acme", `"scopes":["a","a"]`), "invalid-secret /credentials/scopes"},
		{"a user name with a colon", create, credentials("simple-http", `"username":"a:b","password":{sealed password {property}/bad}`), "invalid-secret /credentials/username"},
		{"sealed to nobody", create, credentials("token", `"token":{"sealed":"AAAA"}`), "invalid-secret /credentials/token"},
		{"sealed twice", create, credentials("token", `"token":{"sealed":"AAAA","sealed":"AAAA"}`), "invalid-secret /credentials/token"},
		{"nobody's environment", create, `{"property":"{property}","name":"bad","type_of":"oauth2-acme","environment":"EN00000000000040008000000000000000"}`, "not-found /environment"},
		{"an environment elsewhere", create, `{"property":"{property}","name":"bad","type_of":"oauth2-acme","environment":"{elsewhere}"}`, "environment-required /environment"},
		{"a property for the web", create, `{"property":"{web}","name":"bad","type_of":"oauth2-acme"}`, "invalid-property-platform "},

		{"another name", update, crm(`,"new_name":"crm-2"`), ""},
		{"the same name", update, crm(`,"new_name":"crm-2"`), ""},
		{"an environment", update, crm(`,"environment":"{environment}"`), ""},
		{"another environment", update, crm(`,"environment":"{staging}"`), "read-only /environment"},
		{"other options", update, crm(`,"credentials":{"options":{"scope":"write"}}`), ""},
		{"another secret", update, crm(`,"credentials":{"client_secret":{sealed client_secret {crm}}}`), ""},
		{"another server", update, crm(`,"credentials":{"token_url":"https://other.test/t"}`), "invalid-secret /credentials/client_secret"},
		{"another's name", update, crm(`,"new_name":"static"`), "not-unique /new_name"},
		{"a name that is empty", update, crm(`,"new_name":""`), "invalid-secret /new_name"},
		{"two things wrong", update, crm(`,"new_name":7,"credentials":{"refresh_offset":"x"}`), "invalid-secret /credentials/refresh_offset, invalid-secret /new_name"},
		{"other scopes", update, `{"secret":"{ads}","credentials":{"scopes":["all","more"]}}`, ""},
		{"nothing", update, crm(``), ""},

		{"again", retry, crm(``), ""},
		{"again, while one is asked for", retry, crm(``), ""},
		{"a consent", retry, `{"secret":"{ads}"}`, ""},
		{"another consent", reauthorize, `{"secret":"{ads}"}`, ""},
		{"a consent to what needs none", reauthorize, crm(``), "invalid-action "},
		{"nobody's", retry, `{"secret":"SE00000000000040008000000000000000"}`, "not-found /secret"},

		{"away", remove, crm(``), ""},
		{"away again", remove, crm(``), "not-found /secret"},
		{"away, and consented to no more", remove, `{"secret":"{ads}"}`, ""},
		{"changed after it is gone", update, crm(`,"new_name":"x"`), "not-found /secret"},
	}
}

// TestBothDoors carries out the same through both doors, each into a room of its own, and wants
// the same: records, events, the audit trail but for who, refusals with their codes and pointers.
func TestBothDoors(t *testing.T) {
	t.Parallel()
	byHTTP, byEvent := newRoom(t), newRoom(t)
	for i, step := range bothWays() {
		here := byHTTP.request(t, step)
		there := byEvent.event(t, fmt.Sprint("step-", i), step)
		if here != step.want || there != step.want {
			t.Errorf("%s %s: HTTP says %q, the event %q, want %q", step.typ, step.name, here, there, step.want)
		}
		byHTTP.learn(t)
		byEvent.learn(t)
		if diff := cmp.Diff(byHTTP.records(t), byEvent.records(t)); diff != "" {
			t.Errorf("%s %s: the records (-HTTP +event):\n%s", step.typ, step.name, diff)
		}
	}
	if diff := cmp.Diff(byHTTP.facts(), byEvent.facts()); diff != "" {
		t.Errorf("the events (-HTTP +event):\n%s", diff)
	}
	if diff := cmp.Diff(byHTTP.entries(t), byEvent.entries(t)); diff != "" {
		t.Errorf("the audit trail (-HTTP +event):\n%s", diff)
	}
}

// room is what a door leads to, with what is in it.
type room struct {
	*site
	keyset sealing.Keyset
	ids    map[string]string
	url    string
}

func newRoom(t *testing.T) *room {
	t.Helper()
	s := newSite(t)
	r := &room{site: s, ids: map[string]string{"property": s.property}}
	body, _, err := s.State.Get(t.Context(), state.KeysetKey)
	if err != nil {
		t.Fatal(err)
	}
	if r.keyset, err = sealing.Parse(body); err != nil {
		t.Fatal(err)
	}
	handler := reactor.New(reactor.Deps{
		Service: s.Service, Gate: auth.NewGate(auth.NewBootstrap("token-of-the-test", auth.Administrator(api.DefaultOrg))),
		PublicURL: "https://api.example.org", Logger: s.Log.Logger(), Metrics: s.metrics, Tracer: noop.NewTracerProvider(), Now: time.Now,
	})
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	r.url = server.URL
	company := s.Service.Companies(apitest.Caller(), api.Query[*api.Company]{Number: 1, Size: 1}).Items[0].ID
	properties, environments := "/companies/"+company+"/properties", "/environments"
	r.ids["web"] = r.made(t, properties, `"name":"web","platform":"web","domains":["example.org"]`)
	other := r.made(t, properties, `"name":"other","platform":"edge"`)
	r.ids["elsewhere"] = r.made(t, "/properties/"+other+environments, `"name":"elsewhere"`)
	r.ids["environment"] = r.made(t, "/properties/"+s.property+environments, `"name":"e"`)
	r.ids["staging"] = r.made(t, "/properties/"+s.property+environments, `"name":"s","stage":"staging"`)
	return r
}

func (r *room) made(t *testing.T, path, attributes string) string {
	t.Helper()
	status, body := r.send(t, http.MethodPost, path, `{"data":{"attributes":{`+attributes+`}}}`)
	var made struct{ Data struct{ ID string } }
	if err := json.Unmarshal(body, &made); err != nil || status != http.StatusCreated {
		t.Fatalf("POST %s: %d %s", path, status, body)
	}
	return made.Data.ID
}

func (r *room) send(t *testing.T, method, path, body string) (status int, answer []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer token-of-the-test")
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

var (
	sealedWord = regexp.MustCompile(`\{sealed (\w+) ([^{} ]+)\}`)
	idWord     = regexp.MustCompile(`\{(\w+)\}`)
)

// fill puts ids and sealed values in the place of words.
func (r *room) fill(t *testing.T, data string) string {
	t.Helper()
	data = idWord.ReplaceAllStringFunc(data, func(word string) string {
		if id := r.ids[strings.Trim(word, "{}")]; id != "" {
			return id
		}
		return word
	})
	return sealedWord.ReplaceAllStringFunc(data, func(word string) string {
		m := sealedWord.FindStringSubmatch(word)
		value, err := r.keyset.Seal(sealing.Target{Org: api.DefaultOrg, About: m[2], Field: m[1], TokenURL: "https://idp.test/t"}, []byte("hunter2"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	})
}

// event asks by an event, and returns what is wrong with it.
func (r *room) event(t *testing.T, id string, a asked) string {
	t.Helper()
	switch answer := r.ask(t, a.typ, id, r.fill(t, a.data)).(type) {
	case events.Rejected:
		var problems []string
		for _, p := range answer.Problems {
			problems = append(problems, p.Code+" "+p.Pointer)
		}
		slices.Sort(problems)
		return strings.Join(problems, ", ")
	default:
		return ""
	}
}

// request asks by the request that matches the event, as docs/intake.md says, and returns
// what is wrong with it, by the members of the event.
func (r *room) request(t *testing.T, a asked) string {
	t.Helper()
	method, path, members := http.MethodPatch, "/secrets/", map[string]json.RawMessage{}
	data := r.fill(t, a.data)
	if err := json.Unmarshal([]byte(data), &members); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	text := func(name string) (s string) {
		_ = json.Unmarshal(members[name], &s) // "" for none
		return s
	}
	path += text("secret")
	attributes, document := map[string]json.RawMessage{}, map[string]any{}
	name := "/new_name"
	switch a.typ {
	case upstream.TypeSecretCreated:
		method, path, name = http.MethodPost, "/properties/"+text("property")+"/secrets", "/name"
	case upstream.TypeSecretDeleted:
		method = http.MethodDelete
	case upstream.TypeRetryRequested, upstream.TypeReauthorizeRequested:
		action := map[upstream.Type]string{upstream.TypeRetryRequested: "retry", upstream.TypeReauthorizeRequested: "reauthorize"}[a.typ]
		document["meta"] = map[string]string{"action": action}
		attributes["type_of"] = json.RawMessage(`"oauth2"`)
		if strings.Contains(a.data, "{ads}") {
			attributes["type_of"] = json.RawMessage(`"oauth2-acme"`)
		}
	}
	for member, raw := range members {
		switch member {
		case "secret", "property":
		case "environment":
			document["relationships"] = map[string]any{"environment": map[string]any{"data": map[string]any{"id": raw, "type": "environments"}}}
		default:
			attributes[strings.TrimPrefix(member, "new_")] = raw
		}
	}
	document["attributes"] = attributes
	body := ""
	if method != http.MethodDelete {
		body = encoded(t, map[string]any{"data": document})
	}
	status, answer := r.send(t, method, path, body)
	if status < 300 {
		return ""
	}
	return r.wrong(t, answer, name)
}

func encoded(t *testing.T, v any) string {
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// wrong reads the errors of an answer.
func (r *room) wrong(t *testing.T, answer []byte, name string) string {
	t.Helper()
	var document struct {
		Errors []struct {
			Code   string
			Source struct{ Pointer string }
		}
	}
	if err := json.Unmarshal(answer, &document); err != nil || len(document.Errors) == 0 {
		t.Fatalf("%s: %v", answer, err)
	}
	places := map[string]string{
		"/data/attributes/name": name, "/data/relationships/environment": "/environment", "/data": "", "/data/meta/action": "",
	}
	var problems []string
	for _, e := range document.Errors {
		pointer, known := places[e.Source.Pointer]
		if !known {
			pointer = strings.TrimPrefix(e.Source.Pointer, "/data/attributes")
		}
		if e.Code == "not-found" && e.Source.Pointer == "" {
			pointer = "/secret"
		}
		problems = append(problems, e.Code+" "+pointer)
	}
	slices.Sort(problems)
	return strings.Join(problems, ", ")
}

// learn gives names to the secrets that are there.
func (r *room) learn(t *testing.T) {
	t.Helper()
	for name, id := range r.secrets(t) {
		if !slices.Contains(slices.Collect(maps.Values(r.ids)), id) {
			r.ids[name] = id
		}
	}
}

// told leaves out what is never the same: ids by their names, moments, who it was, what is random.
func (r *room) told(body string) string {
	for name, id := range r.ids {
		body = strings.ReplaceAll(body, id, "{"+name+"}")
	}
	for _, never := range []string{
		`"(?:email|display_name|by|principal|request)":"[^"]*"`, `"(?:created_by|updated_by)":\{[^}]*\}`, `"(?:sealed|verifier|state|token)":"[^"]*"`,
		`"\d{4}-\d\d-\d\dT[^"]*"`, `"(?:trace|traceparent)":"[^"]*"`,
	} {
		body = regexp.MustCompile(never).ReplaceAllString(body, `"-":"-"`)
	}
	for strings.Contains(body, `"-":"-","-":"-"`) || strings.Contains(body, `,"-":"-"`) || strings.Contains(body, `"-":"-",`) {
		body = strings.NewReplacer(`"-":"-",`, "", `,"-":"-"`, "").Replace(body)
	}
	return body
}

// records are the records of the secrets.
func (r *room) records(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	apitest.Watch(t, r.State, ">", func(all map[string][]byte) bool {
		for key, body := range all {
			switch kind, _ := state.Split(key); kind {
			case "secret", "credential", "consent", "name":
				found[r.told(key)] = r.told(string(body))
			}
		}
		return true
	})
	return found
}

// facts are the events, but for the answers to upstream.
func (r *room) facts() (told []string) {
	for _, e := range r.Events.Published() {
		switch e.Data.(type) {
		case events.Accepted, events.Rejected:
		default:
			if _, body, err := events.Encode(e); err == nil {
				told = append(told, string(e.Data.Type())+" "+r.told(string(body)))
			}
		}
	}
	return told
}

// entries are those of the audit trail that are about secrets.
func (r *room) entries(t *testing.T) (told []string) {
	t.Helper()
	apitest.Watch(t, r.State, state.OutboxKey("*"), func(records map[string][]byte) bool { return len(records) == 0 })
	for _, stored := range r.Audit.Pages(api.DefaultOrg) {
		page, err := audit.ReadPage(stored.Body)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			if e.Resource == "secret" {
				told = append(told, fmt.Sprintf("%s %s %s %s", e.Type(), e.Action, r.told(e.Entity.ID), r.told(string(e.Entity.Public))))
			}
		}
	}
	return told
}
