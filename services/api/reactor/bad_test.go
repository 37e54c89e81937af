package reactor_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
)

// bad is a request that must be refused. Names in braces stand for ids.
type bad struct {
	name    string
	request string // method and path
	body    string
	headers []string
	status  int
	// want are the errors, as "code pointer" or, where statuses differ, as
	// "status code pointer".
	want []string
}

// attributes makes a body that creates a secret.
func attributes(members string) string { return `{"data":{"attributes":{` + members + `}}}` }

func credentials(kind, members string) string {
	return attributes(fmt.Sprintf(`"name":"bad","type_of":%q,"credentials":{%s}`, kind, members))
}

// oauth makes a body with good credentials but for one member.
func oauth(name, value string) string {
	members := []string{`"client_id":"c"`, `"client_secret":"s"`, `"token_url":"https://idp.test/t"`}
	members = slices.DeleteFunc(members, func(m string) bool { return strings.HasPrefix(m, `"`+name+`"`) })
	if value != "" {
		members = append(members, fmt.Sprintf(`%q:%s`, name, value))
	}
	return credentials("oauth2", strings.Join(members, ","))
}

func quoted(s string) string { return `"` + s + `"` }

func linked(relationships string) string {
	return `{"data":{"attributes":{"name":"bad","type_of":"token","credentials":{"token":"t"}},"relationships":` + relationships + `}}`
}

// requeue makes the body of the action on a parked message.
func requeue(id string) string {
	return `{"data":{"id":"` + id + `","type":"parked_messages","meta":{"action":"requeue"}}}`
}

func badRequests() []bad {
	const create = "POST /properties/{edge}/secrets"
	const nobody = "00000000000040008000000000000000"
	secretRow := func(name, body string, want ...string) bad {
		return bad{name: name, request: create, body: body, status: 422, want: want}
	}
	at := func(pointer string) string { return "invalid-secret /data/attributes/" + pointer }
	rows := []bad{
		// Not a document.
		{"no body", create, "", []string{"Content-Type: application/json"}, 400, []string{"invalid-json /data"}},
		{"cut off", create, `{"data":{"type"`, nil, 400, []string{"invalid-json /data"}},
		{"not JSON", create, `name=bad`, nil, 400, []string{"invalid-json /data"}},
		{"an array", create, `[{"data":{}}]`, nil, 400, []string{"invalid-json /data"}},
		{"null", create, `null`, nil, 400, []string{"invalid-json /data"}},
		{"trailing comma", create, `{"data":{"attributes":{"name":"x",}}}`, nil, 400, []string{"invalid-json /data"}},
		{"something behind", create, `{"data":{}} {"data":{}}`, nil, 400, []string{"invalid-json /data"}},
		{"not UTF-8", create, "{\"data\":{\"attributes\":{\"name\":\"\xff\"}}}", nil, 400, []string{"invalid-json /data"}},
		{"too deep", create, `{"data":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, nil, 400, []string{"invalid-json /data"}},
		{"no data", create, `{"meta":{}}`, nil, 400, []string{"invalid-json /data"}},
		{"data null", create, `{"data":null}`, nil, 400, []string{"invalid-json /data"}},
		{"data a list", create, `{"data":[]}`, nil, 400, []string{"invalid-json /data"}},
		{"data a text", create, `{"data":"secrets"}`, nil, 400, []string{"invalid-json /data"}},
		{"data twice", create, `{"data":{},"data":{}}`, nil, 400, []string{"invalid-json /data"}},
		{"member of data twice", create, `{"data":{"type":"secrets","type":"secrets"}}`, nil, 400, []string{"invalid-json /data"}},
		{"too large", create, `{"data":"` + strings.Repeat("x", 256<<10) + `"}`, nil, 413, []string{"payload-too-large"}},

		// Transport.
		{"form", create, `a=b`, []string{"Content-Type: application/x-www-form-urlencoded"}, 415, []string{"unknown-error"}},
		{"no media type", create, `{}`, []string{"Content-Type:"}, 415, []string{"unknown-error"}},
		{"broken media type", create, `{}`, []string{"Content-Type: application/"}, 415, []string{"unknown-error"}},
		{"another revision", "GET /companies", "", []string{"Accept: application/vnd.api+json;revision=2"}, 406, []string{"unknown-error"}},
		{"XML", "GET /companies", "", []string{"Accept: application/xml"}, 406, []string{"unknown-error"}},
		{"not wanted", "GET /companies", "", []string{"Accept: */*, application/vnd.api+json;q=0"}, 406, []string{"unknown-error"}},
		{"no token", create, `{}`, []string{"Authorization:"}, 401, []string{"authentication-failure"}},
		{"basic", create, `{}`, []string{"Authorization: Basic YTpi"}, 401, []string{"authentication-failure"}},
		{"empty token", create, `{}`, []string{"Authorization: Bearer "}, 401, []string{"authentication-failure"}},
		{"another token", create, `{}`, []string{"Authorization: Bearer " + token + "x"}, 401, []string{"authentication-failure"}},
		{"another organisation", create, `{}`, []string{"X-Gw-Ims-Org-Id: OTHER@AdobeOrg"}, 403, []string{"not-authorized"}},
		{"may only read", create, `{}`, []string{"Authorization: Bearer " + readToken}, 403, []string{"not-authorized"}},
		{"may not delete", "DELETE /properties/{edge}", "", []string{"Authorization: Bearer " + readToken}, 403, []string{"not-authorized"}},

		{"compressed", create, `{"data":{}}`, []string{"Content-Encoding: gzip"}, 415, []string{"unknown-error"}},

		// Paths and ids.
		{"method", "PUT /properties/{edge}", "{}", nil, 405, []string{"not-found"}},
		{"made-up method", "BREW /companies", "", nil, 405, []string{"not-found"}},
		{"malformed id", "GET /secrets/crm-dev", "", nil, 404, []string{"not-found"}},
		{"id of another kind", "GET /secrets/{edge}", "", nil, 404, []string{"not-found"}},
		{"upper case id", "GET /properties/PRABCDEF000000400080000000000000000", "", nil, 404, []string{"not-found"}},
		{"encoded slash", "GET /secrets/{secret}%2Fproperty", "", nil, 404, []string{"not-found"}},
		{"dots", "GET /secrets/../companies", "", nil, 404, []string{"not-found"}},
		{"wildcard", "GET /secrets/*", "", nil, 404, []string{"not-found"}},
		{"nobody's property", "POST /properties/PR" + nobody + "/secrets", `{"data":{}}`, nil, 404, []string{"not-found"}},
		{"nobody's company", "POST /companies/CO" + nobody + "/properties", `{"data":{}}`, nil, 404, []string{"not-found"}},
		{"nobody's environment", "GET /environments/EN" + nobody + "/secrets", "", nil, 404, []string{"not-found"}},
		{"nobody's secret", "DELETE /secrets/SE" + nobody, "", nil, 404, []string{"not-found"}},
		{"notes of nobody's secret", "GET /secrets/SE" + nobody + "/notes", "", nil, 404, []string{"not-found"}},

		// Parked messages. The first is about a secret, the second about a deleted
		// one, the third about none, the fourth about one that has a job, the fifth
		// another organisation's.
		{"parked for readers", "GET /parked", "", []string{"Authorization: Bearer " + readToken}, 403, []string{"not-authorized"}},
		{"parked, may only read", "GET /parked/1", "", []string{"Authorization: Bearer " + readToken}, 403, []string{"not-authorized"}},
		{"requeue, may only read", "PATCH /parked/1", requeue("1"), []string{"Authorization: Bearer " + readToken}, 403, []string{"not-authorized"}},
		{"discard, may only read", "DELETE /parked/1", "", []string{"Authorization: Bearer " + readToken}, 403, []string{"not-authorized"}},
		{"parked, made", "POST /parked", "{}", nil, 405, []string{"not-found"}},
		{"nobody's parked", "GET /parked/99", "", nil, 404, []string{"not-found"}},
		{"parked, no number", "GET /parked/one", "", nil, 404, []string{"not-found"}},
		{"parked 0", "DELETE /parked/0", "", nil, 404, []string{"not-found"}},
		{"parked 01", "GET /parked/01", "", nil, 404, []string{"not-found"}},
		{"parked -1", "GET /parked/-1", "", nil, 404, []string{"not-found"}},
		{"parked, too large", "GET /parked/18446744073709551616", "", nil, 404, []string{"not-found"}},
		{"others' parked", "DELETE /parked/5", "", nil, 404, []string{"not-found"}},
		{"requeue others'", "PATCH /parked/5", requeue("5"), nil, 404, []string{"not-found"}},
		{"requeue of nothing", "PATCH /parked/1", `{"data":{}}`, nil, 422, []string{"invalid-action /data/meta/action"}},
		{"parked action unknown", "PATCH /parked/1", `{"data":{"meta":{"action":"retry"}}}`, nil, 422, []string{"invalid-action /data/meta/action"}},
		{"parked action a number", "PATCH /parked/1", `{"data":{"meta":{"action":1}}}`, nil, 422, []string{"invalid-action /data/meta/action"}},
		{"parked meta a list", "PATCH /parked/1", `{"data":{"meta":[]}}`, nil, 422, []string{"invalid-action /data/meta"}},
		{"parked type", "PATCH /parked/1", `{"data":{"type":"secrets"}}`, nil, 409, []string{"conflict /data/type"}},
		{"parked id", "PATCH /parked/1", requeue("2"), nil, 409, []string{"conflict /data/id"}},
		{"requeue of a deleted secret", "PATCH /parked/2", requeue("2"), nil, 422, []string{"invalid-action /data/meta/action"}},
		{"requeue of no secret", "PATCH /parked/3", requeue("3"), nil, 422, []string{"invalid-action /data/meta/action"}},
		{"requeue into a lane that is taken", "PATCH /parked/4", requeue("4"), nil, 409, []string{"conflict /data/meta/action"}},

		// The resource.
		{"type of another resource", create, `{"data":{"type":"properties"}}`, nil, 409, []string{"conflict /data/type"}},
		secretRow("type a number", `{"data":{"type":1}}`, "invalid-secret /data/type"),
		secretRow("nothing", `{"data":{}}`, at("name"), at("type_of")),
		secretRow("attributes a list", `{"data":{"attributes":[]}}`, "invalid-secret /data/attributes"),
		{"attribute twice", create, attributes(`"name":"a","name":"b"`), nil, 422, []string{"invalid-secret /data/attributes"}},
		{"web property", "POST /properties/{web}/secrets", credentials("token", `"token":"t"`), nil, 422, []string{"invalid-property-platform /data"}},
		{"name taken", create, attributes(`"name":"taken","type_of":"token","credentials":{"token":"t"}`), nil, 409, []string{"not-unique /data/attributes/name"}},
		secretRow("name a number", attributes(`"name":1,"type_of":"token","credentials":{"token":"t"}`), at("name")),
		secretRow("name null", attributes(`"name":null,"type_of":"token","credentials":{"token":"t"}`), at("name")),
		secretRow("name blank", attributes(`"name":" \t ","type_of":"token","credentials":{"token":"t"}`), at("name")),
		secretRow("name too long", attributes(`"name":"`+strings.Repeat("n", 513)+`","type_of":"token","credentials":{"token":"t"}`), at("name")),
		secretRow("name of two lines", attributes(`"name":"a\nb","type_of":"token","credentials":{"token":"t"}`), at("name")),
		secretRow("name of half a pair", attributes(`"name":"\ud800","type_of":"token","credentials":{"token":"t"}`), at("name")),
		secretRow("Name in another case", attributes(`"Name":"a","type_of":"token","credentials":{"token":"t"}`), at("name")),
		secretRow("type_of unknown", credentials("oauth3", `"token":"t"`), at("type_of")),
		secretRow("type_of without an app", credentials("oauth2-hubspot", `"scopes":["x"]`), at("type_of")),
		secretRow("no scopes", credentials("oauth2-google", ``), at("credentials/scopes")),
		secretRow("scope of something else", credentials("oauth2-google", `"scopes":["openid"]`), at("credentials/scopes")),
		secretRow("scopes a text", credentials("oauth2-acme", `"scopes":"x y"`), at("credentials/scopes")),
		secretRow("no scope among the scopes", credentials("oauth2-acme", `"scopes":[]`), at("credentials/scopes")),
		secretRow("scopes that are none", credentials("oauth2-acme", `"scopes":["","a b","a","a","\\","é",7]`), at("credentials/scopes")),
		secretRow("scopes with faults", credentials("oauth2-acme", `"scopes":["","a b","a","a","\\","é"]`),
			at("credentials/scopes"), at("credentials/scopes"), at("credentials/scopes"), at("credentials/scopes"), at("credentials/scopes")),
		secretRow("type_of in another case", credentials("Token", `"token":"t"`), at("type_of")),
		secretRow("type_of a list", attributes(`"name":"bad","type_of":["token"],"credentials":{"token":"t"}`), at("type_of")),
		secretRow("no credentials", attributes(`"name":"bad","type_of":"token"`), at("credentials/token")),
		secretRow("credentials a text", attributes(`"name":"bad","type_of":"token","credentials":"t"`), at("credentials")),
		secretRow("credential twice", credentials("token", `"token":"a","token":"b"`), at("credentials")),

		// Credentials.
		secretRow("token empty", credentials("token", `"token":""`), at("credentials/token")),
		secretRow("token a number", credentials("token", `"token":12345`), at("credentials/token")),
		secretRow("token an object", credentials("token", `"token":{"value":"t"}`), at("credentials/token")),
		secretRow("token redacted", credentials("token", `"token":"[redacted]"`), at("credentials/token")),
		secretRow("token too long", credentials("token", `"token":"`+strings.Repeat("t", 16<<10+1)+`"`), at("credentials/token")),
		secretRow("token of half a pair", credentials("token", `"token":"\udc00"`), at("credentials/token")),
		secretRow("all of simple-http", credentials("simple-http", ``), at("credentials/username"), at("credentials/password")),
		secretRow("colon", credentials("simple-http", `"username":"a:b","password":"p"`), at("credentials/username")),
		secretRow("password of two lines", credentials("simple-http", `"username":"a","password":"p\n"`), at("credentials/password")),
		secretRow("password empty", credentials("simple-http", `"username":"a","password":""`), at("credentials/password")),
		secretRow("all of oauth2", credentials("oauth2-client_credentials", `"refresh_offset":"14400"`),
			at("credentials/client_id"), at("credentials/token_url"), at("credentials/refresh_offset"), at("credentials/client_secret")),
		secretRow("client_id too long", oauth("client_id", quoted(strings.Repeat("c", 1025))), at("credentials/client_id")),
		secretRow("client_secret null", oauth("client_secret", "null"), at("credentials/client_secret")),
		secretRow("client_secret a truth value", oauth("client_secret", "true"), at("credentials/client_secret")),
		secretRow("old name of the URL", credentials("oauth2", `"client_id":"c","client_secret":"s","authorization_url":"ftp://idp.test"`), at("credentials/authorization_url")),
		secretRow("two URLs", credentials("oauth2", `"client_id":"c","client_secret":"s","token_url":"https://a.test","authorization_url":"https://b.test"`), at("credentials/authorization_url")),
		secretRow("options a list", oauth("options", "[]"), at("credentials/options")),
		secretRow("option a number", oauth("options", `{"scope":1}`), at("credentials/options/scope")),
		secretRow("option a list", oauth("options", `{"scope":["a"]}`), at("credentials/options/scope")),
		secretRow("option without a name", oauth("options", `{"":"x"}`), at("credentials/options")),
		secretRow("option client_id", oauth("options", `{"client_id":"x"}`), at("credentials/options/client_id")),
		secretRow("option client_secret", oauth("options", `{"client_secret":"x"}`), at("credentials/options/client_secret")),
		secretRow("option too long", oauth("options", `{"scope":"`+strings.Repeat("s", 2<<10+1)+`"}`), at("credentials/options/scope")),
		secretRow("option's name too long", oauth("options", `{"`+strings.Repeat("n", 129)+`":"x"}`), at("credentials/options")),
		secretRow("too many options", oauth("options", manyOptions(33)), at("credentials/options")),
		secretRow("option to be escaped", oauth("options", `{"a/b~c":1}`), at("credentials/options/a~1b~0c")),
		secretRow("everything at once", attributes(`"name":"","type_of":"simple-http","credentials":{"username":7,"password":8}`),
			at("name"), at("credentials/password"), at("credentials/username")),

		// The environment.
		{"environment unknown", create, linked(`{"environment":{"data":{"id":"EN` + nobody + `","type":"environments"}}}`), nil, 404, []string{"not-found /data/relationships/environment"}},
		{"environment malformed", create, linked(`{"environment":{"data":{"id":"development","type":"environments"}}}`), nil, 404, []string{"not-found /data/relationships/environment"}},
		secretRow("environment elsewhere", linked(`{"environment":{"data":{"id":"{foreign}","type":"environments"}}}`), "environment-required /data/relationships/environment"),
		secretRow("environment without id", linked(`{"environment":{"data":{"type":"environments"}}}`), "invalid-secret /data/relationships/environment/data/id"),
		secretRow("environment a text", linked(`{"environment":"{development}"}`), "invalid-secret /data/relationships/environment"),
		secretRow("environments", linked(`{"environment":{"data":[{"id":"{development}","type":"environments"}]}}`), "invalid-secret /data/relationships/environment/data"),
		secretRow("relationships a list", linked(`[]`), "invalid-secret /data/relationships"),
		{"environment of another type", create, linked(`{"environment":{"data":{"id":"{development}","type":"hosts"}}}`), nil, 409, []string{"conflict /data/relationships/environment/data/type"}},
		{"a host for an environment", create, linked(`{"environment":{"data":{"id":"HT` + nobody + `","type":"hosts"}}}`), nil, 409, []string{"conflict /data/relationships/environment/data/type"}},
		{"of different kinds", create, `{"data":{"attributes":{"type_of":"token","credentials":{"token":"t"}},"relationships":{"environment":{"data":{"id":"EN` + nobody + `","type":"environments"}}}}}`, nil, 400, []string{"422 invalid-secret /data/attributes/name", "404 not-found /data/relationships/environment"}},

		// Properties and environments.
		{"property of nothing", "POST /companies/{company}/properties", `{"data":{}}`, nil, 422, []string{"invalid-property /data/attributes/name", "invalid-property /data/attributes/platform"}},
		{"property of no platform", "POST /companies/{company}/properties", attributes(`"name":"x","platform":"tv"`), nil, 422, []string{"invalid-property /data/attributes/platform"}},
		{"web without domains", "POST /companies/{company}/properties", attributes(`"name":"x","platform":"web"`), nil, 422, []string{"invalid-property /data/attributes/domains"}},
		{"no domain", "POST /companies/{company}/properties", attributes(`"name":"x","platform":"web","domains":[]`), nil, 422, []string{"invalid-property /data/attributes/domains"}},
		{"domain a number", "POST /companies/{company}/properties", attributes(`"name":"x","platform":"web","domains":["a",1]`), nil, 422, []string{"invalid-property /data/attributes/domains"}},
		{"environment as property", "POST /companies/{company}/properties", `{"data":{"type":"environments"}}`, nil, 409, []string{"conflict /data/type"}},
		{"environment of nothing", "POST /properties/{edge}/environments", `{"data":{}}`, nil, 422, []string{"invalid-environment /data/attributes/name"}},
		{"stage unknown", "POST /properties/{edge}/environments", attributes(`"name":"x","stage":"testing"`), nil, 422, []string{"invalid-environment /data/attributes/stage"}},
		{"archive a text", "POST /properties/{edge}/environments", attributes(`"name":"x","archive":"yes"`), nil, 422, []string{"invalid-environment /data/attributes/archive"}},
		{"path a number", "POST /properties/{edge}/environments", attributes(`"name":"x","path":1`), nil, 422, []string{"invalid-environment /data/attributes/path"}},
		{"second staging", "POST /properties/{edge}/environments", attributes(`"name":"x","stage":"staging"`), nil, 409, []string{"conflict /data/attributes/stage"}},
		{"host unknown", "POST /properties/{edge}/environments", `{"data":{"attributes":{"name":"x"},"relationships":{"host":{"data":{"id":"HT` + nobody + `","type":"hosts"}}}}}`, nil, 404, []string{"not-found /data/relationships/host"}},
	}
	for _, url := range []string{
		"", "idp.test/t", "/t", "//idp.test/t", "ftp://idp.test/t", "file:///etc/passwd", "http:", "http://", "http:///t", "https://:443/t",
		"http:idp.test", "javascript:alert(1)", "https://idp.test:0/", "https://idp.test:65536/", "https://idp.test:http/",
		"https://idp.test/ t", "https://idp.test\\\\@evil.test/", "https://user@idp.test/", "https://user:hunter2@idp.test/", "https://@idp.test/",
		"https://idp.test/#", "https://idp.test/t#fragment", "https://idp.test/%zz", "https://idp.test/\\u0000", "https://[::1/",
		"https://idp.test/" + strings.Repeat("x", 2<<10),
	} {
		rows = append(rows, secretRow(fmt.Sprintf("URL %.40s", url), oauth("token_url", quoted(url)), at("credentials/token_url")))
	}
	for _, offset := range []string{"-1", "0.5", "14400.5", `"14400"`, "true", "[]", "{}", "1e30", "1e999", "3153600001"} {
		rows = append(rows, secretRow("offset "+offset, oauth("refresh_offset", offset), at("credentials/refresh_offset")))
	}
	return rows
}

func manyOptions(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"o%d":"x"`, i)
	}
	return "{" + strings.Join(members, ",") + "}"
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	secret := s.make(t, "/properties/"+tr.edge+"/secrets", attributes(`"name":"taken","type_of":"token","credentials":{"token":"t"}`))
	ids := strings.NewReplacer(
		"{company}", tr.company, "{edge}", tr.edge, "{web}", tr.web, "{secret}", secret,
		"{development}", tr.development, "{foreign}", tr.foreign)
	s.parkBad(t, tr.company, secret)
	before := everything(t, s.State)
	rows := badRequests()
	if len(rows) < 60 {
		t.Fatalf("only %d rows", len(rows))
	}
	s.refuseAll(t, rows, ids)
	if !same(before, everything(t, s.State)) {
		t.Error("the state has changed")
	}
	if strings.Contains(s.Log.String(), `"level":"ERROR"`) {
		t.Error("a bad request is logged as an error of ours")
	}
}

// refuseAll sends the requests of the rows and checks the answers: their errors with the
// rows, and all that is in them with the file of the test in testdata. Nothing hidden that
// was sent comes back.
func (s *site) refuseAll(t *testing.T, rows []bad, ids *strings.Replacer) {
	t.Helper()
	var told strings.Builder
	ran := 0
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			ran++
			method, path, _ := strings.Cut(ids.Replace(row.request), " ")
			a := s.call(t, method, path, hide(ids.Replace(row.body)), row.headers...)
			if a.status != row.status || a.header.Get("Content-Type") != "application/vnd.api+json" {
				t.Fatalf("status %d of type %s, want %d: %.300s", a.status, a.header.Get("Content-Type"), row.status, a.body)
			}
			if diff := difference(row.want, refusals(t, a)); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(string(a.body), hunter) || strings.Contains(string(a.body), token) {
				t.Error("the answer quotes a password or the bearer token")
			}
			fmt.Fprintf(&told, "# %s: %s\n%s\n", row.name, row.request, exactly(t, a))
		})
	}
	if ran < len(rows) {
		return // only some were asked for
	}
	file := "testdata/" + t.Name() + ".refusals"
	if *update {
		if err := os.WriteFile(file, []byte(told.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), told.String()); diff != "" {
		t.Errorf("%s differs; if it should, run the test with -update (-want +got):\n%s", file, diff)
	}
}

// hunter is in all that is hidden and sent by a bad request.
const hunter = "hunter2"

// hide puts it there where a row has something short.
func hide(body string) string {
	return regexp.MustCompile(`("(?:token|password|client_secret|private_key|encrypted_private_key|archive_passphrase|refresh_token)":")(\w)"`).
		ReplaceAllString(body, "${1}"+hunter+`-$2"`)
}

// exactly writes all that an answer tells of its errors, without what is random.
func exactly(t *testing.T, a answer) string {
	t.Helper()
	var lines strings.Builder
	fmt.Fprintln(&lines, a.status)
	for _, e := range decode[problems](t, a).Errors {
		fmt.Fprintf(&lines, "  %s %s (%s) %s\n    %s\n", e.Status, e.Code, e.Title, e.Source["pointer"]+e.Source["parameter"], e.Detail)
	}
	return random.ReplaceAllStringFunc(lines.String(), func(id string) string { return id[:2] + "…" })
}

// TestThereAreBadRequestsEnough in the tables of these tests together.
func TestThereAreBadRequestsEnough(t *testing.T) {
	t.Parallel()
	rows := 0
	for _, file := range must(filepath.Glob("testdata/*.refusals")) {
		rows += strings.Count("\n"+string(must(os.ReadFile(file))), "\n# ")
	}
	if rows < 250 {
		t.Errorf("there are %d", rows)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// parkBad parks what the rows about parked messages are about.
func (s *site) parkBad(t *testing.T, company, id string) {
	t.Helper()
	const other = "ELSE@WhereOrg"
	apitest.Start(t, s.State, api.Config{Org: other})
	s.make(t, "/companies/"+company+"/properties", attributes(`"name":"later","platform":"edge"`)) // by now the other one is known
	for _, about := range []string{id, "SE00000000000040008000000000000000", "x", id} {
		s.Parked.Park(work.Parked{Lane: "job", Secret: about, Org: "NOBODY@TestOrg"})
	}
	s.Parked.Park(work.Parked{Lane: "job", Secret: "x", Org: other})
	if taken, err := s.Parked.Offer(t.Context(), events.Event{Data: events.RefreshDue{Secret: id}}); !taken || err != nil {
		t.Fatal(taken, err)
	}
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

// refusals checks what all errors have in common, and returns them in the form
// of a row.
func refusals(t *testing.T, a answer) []string {
	t.Helper()
	var got []string
	for _, e := range decode[problems](t, a).Errors {
		if !uuid.MatchString(e.ID) || e.Title == "" || e.Detail == "" || e.Source == nil ||
			e.Meta["request_id"] != a.header.Get("X-Request-Id") {
			t.Errorf("an error lacks a member: %+v", e)
		}
		line := e.Code
		if pointer := e.Source["pointer"]; pointer != "" {
			line += " " + pointer
		}
		if e.Status != fmt.Sprint(a.status) {
			line = e.Status + " " + line
		}
		got = append(got, line)
	}
	if a.status == http.StatusMethodNotAllowed && a.header.Get("Allow") == "" {
		t.Error("the answer does not say which methods are allowed")
	}
	return got
}

func difference(want, got []string) string {
	if slices.Equal(want, got) {
		return ""
	}
	return fmt.Sprintf("errors are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
}
