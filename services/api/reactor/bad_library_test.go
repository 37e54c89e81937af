package reactor_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// shelf is what requests about libraries are about.
type shelf struct {
	tree
	extension, element, revision, deleted, strange  string // of the edge property, the last of another
	library, submitted, published, strangers, build string
	production, occupied                            string // environments
}

// stock fills the edge property of a tree.
func (s *site) stock(t testing.TB) shelf {
	t.Helper()
	sh := shelf{tree: s.plant(t)}
	sh.extension = "EX" + sh.edge[2:]
	other := decode[struct{ Data shape }](t, s.call(t, http.MethodGet, "/environments/"+sh.foreign, "")).Data.Relationships["property"].Data.ID
	sh.element = s.make(t, "/properties/"+sh.edge+"/data_elements", element("EX"+sh.edge[2:], `"name":"e"`))
	sh.deleted = s.make(t, "/properties/"+sh.edge+"/data_elements", element("EX"+sh.edge[2:], `"name":"e"`))
	sh.strange = s.make(t, "/properties/"+other+"/data_elements", element("EX"+other[2:], `"name":"e"`))
	sh.revision = decode[struct{ Data shape }](t, s.call(t, http.MethodPatch, "/data_elements/"+sh.element, acting("revise"))).Data.ID
	s.call(t, http.MethodDelete, "/data_elements/"+sh.deleted, "")
	libraries := "/properties/" + sh.edge + "/libraries"
	sh.library = s.make(t, libraries, attributes(`"name":"l"`))
	sh.submitted = s.make(t, libraries, attributes(`"name":"l"`))
	sh.published = s.make(t, libraries, attributes(`"name":"l"`))
	sh.strangers = s.make(t, "/properties/"+other+"/libraries", attributes(`"name":"l"`))
	sh.production = s.make(t, "/properties/"+sh.edge+"/environments", attributes(`"name":"p","stage":"production"`))
	sh.occupied = s.make(t, "/properties/"+sh.edge+"/environments", attributes(`"name":"o"`))
	occupier := s.make(t, libraries, `{"data":{"attributes":{"name":"l"},"relationships":{"environment":{"data":`+named("environments", sh.occupied)+`}}}}`)
	sh.build = s.make(t, "/libraries/"+occupier+"/builds", "")
	s.end(t, sh.build)
	for _, done := range []string{"PATCH /libraries/" + sh.submitted + " submit", "PATCH /libraries/" + sh.published + " approve"} {
		parts := strings.Fields(done)
		s.call(t, parts[0], parts[1], acting(parts[2]))
	}
	s.call(t, http.MethodPatch, "/libraries/"+sh.published+"/relationships/environment", `{"data":`+named("environments", sh.production)+`}`)
	s.end(t, s.make(t, "/libraries/"+sh.published+"/builds", ""))
	return sh
}

func (sh *shelf) names() *strings.Replacer {
	return strings.NewReplacer(
		"{company}", sh.company, "{edge}", sh.edge, "{web}", sh.web, "{development}", sh.development, "{staging}", sh.staging, "{foreign}", sh.foreign,
		"{extension}", sh.extension, "{element}", sh.element, "{revision}", sh.revision, "{deleted}", sh.deleted, "{strange}", sh.strange,
		"{library}", sh.library, "{submitted}", sh.submitted, "{published}", sh.published, "{strangers}", sh.strangers, "{build}", sh.build,
		"{production}", sh.production, "{occupied}", sh.occupied)
}

func acting(name string) string { return `{"data":{"meta":{"action":"` + name + `"}}}` }

func named(typ, id string) string { return `{"type":"` + typ + `","id":"` + id + `"}` }

// element makes the body of a secret data element that has further attributes.
func element(extension, members string) string {
	return `{"data":{"attributes":{"delegate_descriptor_id":"core::dataElements::secret",` + members +
		`},"relationships":{"extension":{"data":` + named("extensions", extension) + `}}}}`
}

// settings makes one with these settings.
func settings(text string) string {
	encoded, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return element("{extension}", `"name":"n","settings":`+string(encoded))
}

func badLibraryRequests() []bad {
	const nobody = "00000000000040008000000000000000"
	const elements, libraries = "POST /properties/{edge}/data_elements", "POST /properties/{edge}/libraries"
	invalid := func(pointer string) string { return "invalid-data_element /data/attributes/" + pointer }
	row := func(name, request, body string, status int, want ...string) bad {
		return bad{name: name, request: request, body: body, status: status, want: want}
	}
	return append([]bad{
		// Extensions and rules.
		row("install", "POST /properties/{edge}/extensions", attributes(`"delegate_descriptor_id":"x"`), 422, "invalid-extension /data"),
		row("install nowhere", "POST /properties/PR"+nobody+"/extensions", `{"data":{}}`, 404, "not-found"),
		row("rule", "POST /properties/{edge}/rules", `{"data":{}}`, 422, "invalid-rule /data"),
		row("settings of an extension", "PATCH /extensions/{extension}", attributes(`"settings":"{}"`), 409, "read-only /data"),
		row("action on an extension", "PATCH /extensions/{extension}", acting("publish"), 422, "invalid-action /data/meta/action"),
		row("no extension", "GET /extensions/EX"+nobody, "", 404, "not-found"),
		row("extension's id malformed", "GET /extensions/EX*", "", 404, "not-found"),

		// Data elements.
		row("element of nothing", elements, `{"data":{}}`, 422, invalid("name"), invalid("delegate_descriptor_id"), "invalid-data_element /data/relationships/extension"),
		row("element as library", elements, `{"data":{"type":"libraries"}}`, 409, "conflict /data/type"),
		row("element of no extension", elements, `{"data":{"attributes":{"name":"n","delegate_descriptor_id":"core::dataElements::x"},"relationships":{"extension":{"data":null}}}}`, 422, "invalid-data_element /data/relationships/extension"),
		row("element of lists", elements, `{"data":{"attributes":[],"relationships":[]}}`, 422, "invalid-data_element /data/attributes", "invalid-data_element /data/relationships"),
		row("element of another extension", elements, element("EX"+nobody, `"name":"n"`), 404, "not-found /data/relationships/extension"),
		row("element of no extension's id", elements, element("core", `"name":"n"`), 404, "not-found /data/relationships/extension"),
		row("element of a host", elements, `{"data":{"attributes":{"name":"n","delegate_descriptor_id":"core::dataElements::x"},"relationships":{"extension":{"data":{"id":"{extension}","type":"hosts"}}}}}`, 409, "conflict /data/relationships/extension/data/type"),
		row("secret in the web", "POST /properties/{web}/data_elements", `{"data":{"attributes":{"name":"n","delegate_descriptor_id":"core::dataElements::secret"},"relationships":{"extension":{"data":{"id":"EX`+nobody+`","type":"extensions"}}}}}`, 400,
			"404 not-found /data/relationships/extension", "422 delegate-descriptor-unresolved /data/attributes/delegate_descriptor_id"),
		row("all of it", elements, element("{extension}", `"name":7,"clean_text":"yes","force_lower_case":1,"enabled":"no","storage_duration":"week","default_value":false,"settings":{}`), 422,
			invalid("name"), invalid("clean_text"), invalid("force_lower_case"), invalid("enabled"), invalid("storage_duration"), invalid("default_value"), invalid("settings")),
		row("default too long", elements, element("{extension}", `"name":"n","default_value":"`+strings.Repeat("x", 1025)+`"`), 422, invalid("default_value")),
		row("settings too long", elements, settings(`{"secrets":{}}`+strings.Repeat(" ", 16<<10)), 422, invalid("settings")),
		row("settings no JSON", elements, settings(`{"secrets":`), 422, "invalid-settings-syntax /data/attributes/settings"),
		row("settings a list", elements, settings(`[]`), 422, "invalid-settings-syntax /data/attributes/settings"),
		row("settings with a tail", elements, settings(`{} {}`), 422, "invalid-settings-syntax /data/attributes/settings"),
		row("settings too deep", elements, settings(strings.Repeat(`{"a":`, 10_001)), 422, invalid("settings")),
		row("secrets a text", elements, settings(`{"secrets":"SE1"}`), 422, invalid("settings/secrets")),
		row("more than secrets", elements, settings(`{"secrets":{},"path":"x"}`), 422, invalid("settings/path")),
		row("another stage", elements, settings(`{"secrets":{"testing":{"id":"SE1","name":"n"}}}`), 422, invalid("settings/secrets/testing")),
		row("a stage a text", elements, settings(`{"secrets":{"staging":"SE1"}}`), 422, invalid("settings/secrets/staging")),
		row("secret without id", elements, settings(`{"secrets":{"staging":{"name":"n"}}}`), 422, invalid("settings/secrets/staging/id")),
		row("secret without name", elements, settings(`{"secrets":{"staging":{"id":"SE1"}}}`), 422, invalid("settings/secrets/staging/name")),
		row("secret with nothing in it", elements, settings(`{"secrets":{"staging":{"id":"","name":" "}}}`), 422, invalid("settings/secrets/staging/name"), invalid("settings/secrets/staging/id")),
		row("secret with a value", elements, settings(`{"secrets":{"production":{"id":"SE1","name":"n","token":"hunter2"}}}`), 422, invalid("settings/secrets/production/token")),
		row("all settings at once", elements, settings(`{"x":1,"secrets":{"y":{},"development":{"id":7},"staging":[]}}`), 422,
			invalid("settings/x"), invalid("settings/secrets/y"), invalid("settings/secrets/development/name"), invalid("settings/secrets/development/id"), invalid("settings/secrets/staging")),
		row("update of another", "PATCH /data_elements/{element}", `{"data":{"id":"{deleted}"}}`, 409, "conflict /data/id"),
		row("update to what was no secret's", "PATCH /data_elements/{element}", attributes(`"settings":"{\"path\":1}"`), 422, invalid("settings/path")),
		row("delegate of another extension", "PATCH /data_elements/{element}", attributes(`"delegate_descriptor_id":"other::dataElements::x"`), 422, "delegate-descriptor-unresolved /data/attributes/delegate_descriptor_id"),
		row("name taken away", "PATCH /data_elements/{element}", attributes(`"name":""`), 422, invalid("name")),
		row("name and delegate null", "PATCH /data_elements/{element}", attributes(`"name":null,"delegate_descriptor_id":null`), 422, invalid("name"), invalid("delegate_descriptor_id")),
		row("note on no element", "POST /data_elements/DE"+nobody+"/notes", attributes(`"text":"x"`), 404, "not-found"),
		row("note on a library as element", "POST /data_elements/{library}/notes", attributes(`"text":"x"`), 404, "not-found"),
		row("note of nothing on an element", "POST /data_elements/{element}/notes", `{"data":{}}`, 422, "invalid-note /data/attributes/text"),
		row("note on no library", "POST /libraries/LB"+nobody+"/notes", attributes(`"text":"x"`), 404, "not-found"),
		row("note on no extension", "POST /extensions/EX"+nobody+"/notes", attributes(`"text":"x"`), 404, "not-found"),
		row("note on a rule", "POST /rules/RL"+nobody+"/notes", attributes(`"text":"x"`), 404, "not-found"),
		row("update of a revision", "PATCH /data_elements/{revision}", attributes(`"name":"n"`), 409, "read-only /data/id"),
		row("revision of a revision", "PATCH /data_elements/{revision}", acting("revise"), 409, "read-only /data/id"),
		row("update of a deleted one", "PATCH /data_elements/{deleted}", attributes(`"name":"n"`), 409, "deleted-resources /data/id"),
		row("revision of a deleted one", "PATCH /data_elements/{deleted}", acting("revise"), 409, "deleted-resources /data/id"),
		row("another action", "PATCH /data_elements/{element}", acting("test"), 422, "invalid-action /data/meta/action"),
		row("no element", "DELETE /data_elements/DE"+nobody, "", 404, "not-found"),

		// Libraries.
		row("library of nothing", libraries, `{"data":{}}`, 422, "invalid-library /data/attributes/name"),
		row("library in an unknown environment", libraries, `{"data":{"attributes":{"name":"l"},"relationships":{"environment":{"data":`+named("environments", "EN"+nobody)+`}}}}`, 404, "not-found /data/relationships/environment"),
		row("library in staging", libraries, `{"data":{"attributes":{"name":"l"},"relationships":{"environment":{"data":`+named("environments", "{staging}")+`}}}}`, 422, "invalid-library /data/relationships/environment"),
		row("library in an environment that has one", libraries, `{"data":{"attributes":{"name":"l"},"relationships":{"environment":{"data":`+named("environments", "{occupied}")+`}}}}`, 409, "conflict /data/relationships/environment"),
		row("name a number", "PATCH /libraries/{library}", attributes(`"name":1`), 422, "invalid-library /data/attributes/name"),
		row("name null", "PATCH /libraries/{library}", attributes(`"name":null`), 422, "invalid-library /data/attributes/name"),
		row("reject in development", "PATCH /libraries/{library}", acting("reject"), 422, "invalid-action /data/meta/action"),
		row("develop in development", "PATCH /libraries/{library}", acting("develop"), 422, "invalid-action /data/meta/action"),
		row("submit twice", "PATCH /libraries/{submitted}", acting("submit"), 422, "invalid-action /data/meta/action"),
		row("develop what is published", "PATCH /libraries/{published}", acting("develop"), 422, "invalid-action /data/meta/action"),
		row("publish by hand", "PATCH /libraries/{library}", acting("publish"), 422, "invalid-action /data/meta/action"),
		row("environment in an update", "PATCH /libraries/{library}", `{"data":{"relationships":{"environment":{"data":null}}}}`, 422, "invalid-library /data/relationships/environment"),
		row("delete what is published", "DELETE /libraries/{published}", "", 409, "read-only /data/id"),

		// Where a library is.
		row("no place", "PATCH /libraries/{library}/relationships/environment", `{}`, 400, "invalid-json /data"),
		row("places", "PATCH /libraries/{library}/relationships/environment", `{"data":[]}`, 400, "invalid-json /data"),
		row("place without id", "PATCH /libraries/{library}/relationships/environment", `{"data":{}}`, 400, "invalid-json /data/id"),
		row("place of another type", "PATCH /libraries/{library}/relationships/environment", `{"data":`+named("hosts", "{development}")+`}`, 409, "conflict /data/type"),
		row("place unknown", "PATCH /libraries/{library}/relationships/environment", `{"data":`+named("environments", "EN"+nobody)+`}`, 404, "not-found /data/id"),
		row("place of another property", "PATCH /libraries/{library}/relationships/environment", `{"data":`+named("environments", "{foreign}")+`}`, 422, "environment-required /data/id"),
		row("place of another stage", "PATCH /libraries/{library}/relationships/environment", `{"data":`+named("environments", "{staging}")+`}`, 422, "invalid-library /data/id"),
		row("place of another library", "PATCH /libraries/{library}/relationships/environment", `{"data":`+named("environments", "{occupied}")+`}`, 409, "conflict /data/id"),
		row("place of what is published", "DELETE /libraries/{published}/relationships/environment", "", 409, "read-only /data"),

		// What is in a library.
		row("no list", "POST /libraries/{library}/relationships/data_elements", `{"data":{}}`, 400, "invalid-json /data"),
		row("nothing", "POST /libraries/{library}/relationships/data_elements", `{}`, 400, "invalid-json /data"),
		row("texts", "POST /libraries/{library}/relationships/data_elements", `{"data":["{element}"]}`, 400, "invalid-json /data/0"),
		row("of every kind", "PATCH /libraries/{library}/relationships/data_elements", `{"data":[{"type":"data_elements"},{"id":7},`+named("rules", "x")+`,{"id":"x","meta":{"action":"test"}}]}`, 400,
			"invalid-json /data/0/id", "invalid-json /data/1/id", "409 conflict /data/2/type", "invalid-json /data/3/meta/action"),
		row("unknown elements", "POST /libraries/{library}/relationships/data_elements", `{"data":[`+named("data_elements", "x")+`,`+named("data_elements", "DE"+nobody)+`,`+named("data_elements", "{strange}")+`]}`, 404,
			"not-found /data/0/id", "not-found /data/1/id", "not-found /data/2/id"),
		row("one twice", "POST /libraries/{library}/relationships/data_elements", `{"data":[`+named("data_elements", "{element}")+`,`+named("data_elements", "{element}")+`]}`, 409, "conflict /data/1/id", "multiple-revisions /data/1/id"),
		row("two revisions", "POST /libraries/{library}/relationships/data_elements", `{"data":[`+named("data_elements", "{element}")+`,`+named("data_elements", "{revision}")+`]}`, 409, "multiple-revisions /data/1/id"),
		row("a deleted one", "POST /libraries/{library}/relationships/data_elements", `{"data":[`+named("data_elements", "{deleted}")+`]}`, 409, "deleted-resources /data/0/id"),
		row("a revision revised", "POST /libraries/{library}/relationships/data_elements", `{"data":[{"id":"{revision}","meta":{"action":"revise"}}]}`, 409, "read-only /data/0/id"),
		row("too many", "PATCH /libraries/{library}/relationships/data_elements", `{"data":[`+strings.Repeat(`{"id":"x"},`, 200)+`{"id":"x"}]}`, 400, "invalid-json /data"),
		row("into what is submitted", "POST /libraries/{submitted}/relationships/data_elements", `{"data":[`+named("data_elements", "{element}")+`]}`, 409, "read-only /data"),
		row("out of what is published", "DELETE /libraries/{published}/relationships/data_elements", `{"data":[]}`, 409, "read-only /data"),
		row("another extension", "POST /libraries/{library}/relationships/extensions", `{"data":[`+named("extensions", "EX"+nobody)+`]}`, 404, "not-found /data/0/id"),
		row("a rule", "POST /libraries/{library}/relationships/rules", `{"data":[`+named("rules", "RL"+nobody)+`]}`, 404, "not-found /data/0/id"),
		row("post of a place", "POST /libraries/{library}/relationships/environment", `{"data":null}`, 405, "not-found"),
		row("other relationships", "GET /libraries/{library}/relationships/notes", "", 404, "not-found"),

		// Builds.
		row("build nowhere", "POST /libraries/{library}/builds", "", 422, "environment-required /data"),
		row("update of a build", "PATCH /builds/{build}", attributes(`"status":"succeeded"`), 422, "invalid-action /data/meta/action"),
		row("another action on a build", "PATCH /builds/{build}", acting("revise"), 422, "invalid-action /data/meta/action"),
		row("build of another id", "PATCH /builds/{build}", `{"data":{"id":"BL`+nobody+`","meta":{"action":"republish"}}}`, 409, "conflict /data/id"),
		row("no build", "GET /builds/BL"+nobody, "", 404, "not-found"),
	}, notAsSeen()...)
}

// notAsSeen are changes of something else than what the caller has seen.
func notAsSeen() (rows []bad) {
	for _, row := range [][2]string{
		{"PATCH /data_elements/{element}", attributes(`"name":"n"`)},
		{"PATCH /data_elements/{element} ", acting("revise")},
		{"DELETE /data_elements/{element}", ""},
		{"PATCH /libraries/{library}", attributes(`"name":"n"`)},
		{"PATCH /libraries/{library} ", acting("submit")},
		{"DELETE /libraries/{library}", ""},
		{"POST /libraries/{library}/relationships/data_elements", `{"data":[` + named("data_elements", "{element}") + `]}`},
		{"PATCH /libraries/{library}/relationships/extensions", `{"data":[` + named("extensions", "{extension}") + `]}`},
		{"PATCH /libraries/{library}/relationships/environment", `{"data":` + named("environments", "{development}") + `}`},
	} {
		rows = append(rows, bad{row[0] + " of what is not there", strings.TrimSpace(row[0]), row[1], []string{`If-Match: "a"`}, 412, []string{"precondition-failed"}})
	}
	return rows
}

func TestBadLibraryRequests(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	sh := s.stock(t)
	before := everything(t, s.State)
	s.refuseAll(t, badLibraryRequests(), sh.names())
	if !same(before, everything(t, s.State)) {
		t.Error("the state has changed")
	}
	if strings.Contains(s.Log.String(), `"level":"ERROR"`) {
		t.Error("a bad request is logged as an error of ours")
	}
}

// TestRightsOnLibraries: what takes which right, where that is not one for the whole
// route.
func TestRightsOnLibraries(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		request, body string
		take          auth.Right
	}{
		{"PATCH /libraries/{library}", attributes(`"name":"other"`), auth.Develop},
		{"PATCH /libraries/{library}", `{"data":{"attributes":{"name":"other"},"meta":{"action":"approve"}}}`, ""},
		{"PATCH /libraries/{library}", acting("submit"), auth.Develop},
		{"PATCH /libraries/{library}", acting("approve"), auth.Approve},
		{"PATCH /libraries/{submitted}", acting("reject"), auth.Approve},
		{"PATCH /libraries/{submitted}", acting("develop"), auth.Develop},
		{"POST /libraries/{library}/builds", "", auth.Develop},
		{"POST /libraries/{published}/builds", "", auth.Publish},
		{"PATCH /builds/{build}", acting("republish"), auth.Develop},
		{"POST /properties/{edge}/extensions", "{}", auth.ManageExtensions},
		{"POST /libraries/{library}/relationships/rules", `{"data":[]}`, auth.Develop},
	} {
		s := newSite(t)
		sh := s.stock(t)
		method, path, _ := strings.Cut(sh.names().Replace(row.request), " ")
		before := everything(t, s.State)
		rights := slices.DeleteFunc(auth.AllRights(), func(r auth.Right) bool { return r == row.take })
		for _, right := range append(rights, row.take) { // the one that may change something comes last
			a := s.call(t, method, path, row.body, "Authorization: Bearer "+only(right))
			if right == "" {
				continue // nobody's: it takes two
			}
			if allowed := a.status != http.StatusForbidden; allowed != (right == row.take) {
				t.Errorf("%s %s with %s: status %d", row.request, row.body, right, a.status)
			} else if !allowed && !same(before, everything(t, s.State)) {
				t.Errorf("%s %s with %s: refused, and the state has changed", row.request, row.body, right)
			}
		}
	}
}
