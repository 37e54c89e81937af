package reactor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// patch makes a body that changes a secret.
func patch(members string) string { return `{"data":{` + members + `}}` }

func action(kind, action string) string {
	return patch(fmt.Sprintf(`"type":"secrets","attributes":{"type_of":%q},"meta":{"action":%q}`, kind, action))
}

// badChanges are requests that must be refused. Besides the ids of the tree there
// are {token}, {oauth2}, {google} and {attached}, which is in {development}.
func badChanges() []bad {
	const nobody = "00000000000040008000000000000000"
	row := func(id, name, body string, want ...string) bad {
		return bad{name: name, request: "PATCH /secrets/{" + id + "}", body: body, status: 422, want: want}
	}
	with := func(status int, b bad) bad {
		b.status = status
		return b
	}
	changed := func(members string) string { return patch(`"attributes":{` + members + `}`) }
	creds := func(members string) string { return changed(`"credentials":{` + members + `}`) }
	env := func(data string) string { return patch(`"relationships":{"environment":{"data":` + data + `}}`) }
	const at, credential, relation = "invalid-secret /data/attributes/", "invalid-secret /data/attributes/credentials/", "/data/relationships/environment"
	rows := []bad{
		// Not a document, or not about this secret.
		with(400, bad{name: "no body", request: "PATCH /secrets/{token}", headers: []string{"Content-Type: application/json"}, want: []string{"invalid-json /data"}}),
		with(400, row("token", "cut off", `{"data":{`, "invalid-json /data")),
		with(400, row("token", "a list", `[]`, "invalid-json /data")),
		with(400, row("token", "no data", `{"meta":{"action":"retry"}}`, "invalid-json /data")),
		with(400, row("token", "something behind", patch("")+"x", "invalid-json /data")),
		with(415, bad{name: "form", request: "PATCH /secrets/{token}", body: "a=b", headers: []string{"Content-Type: application/x-www-form-urlencoded"}, want: []string{"unknown-error"}}),
		with(401, bad{name: "no token", request: "PATCH /secrets/{token}", body: "{}", headers: []string{"Authorization:"}, want: []string{"authentication-failure"}}),
		with(403, bad{name: "may only read", request: "PATCH /secrets/{token}", body: action("token", "retry"), headers: []string{"Authorization: Bearer " + readToken}, want: []string{"not-authorized"}}),
		with(404, bad{name: "of another organisation", request: "PUT /secrets/{token}", body: action("token", "retry"), headers: []string{"Authorization: Bearer " + elsewhere}, want: []string{"not-found"}}),
		with(404, bad{name: "nobody's", request: "PATCH /secrets/SE" + nobody, body: action("token", "retry"), want: []string{"not-found"}}),
		with(404, bad{name: "malformed", request: "PATCH /secrets/crm", body: action("token", "retry"), want: []string{"not-found"}}),
		with(409, row("token", "another type", patch(`"type":"environments"`), "conflict /data/type")),
		with(409, row("token", "another id", patch(`"id":"{oauth2}"`), "conflict /data/id")),
		with(409, row("token", "an id of none", patch(`"id":""`), "conflict /data/id")),
		row("token", "an id that is a number", patch(`"id":7`), "invalid-secret /data/id"),
		row("token", "attributes a list", patch(`"attributes":[]`), "invalid-secret /data/attributes"),
		row("token", "an attribute twice", changed(`"name":"a","name":"b"`), "invalid-secret /data/attributes"),

		// Actions and types.
		row("token", "unknown action", action("token", "rotate"), "invalid-action /data/meta/action"),
		row("token", "action in another case", action("token", "Retry"), "invalid-action /data/meta/action"),
		row("token", "a test of a token", action("token", "test"), "invalid-action /data/meta/action"),
		row("simple", "a test of a password", action("simple-http", "test"), "invalid-action /data/meta/action"),
		row("google", "a test of a consent", action("oauth2-google", "test"), "invalid-action /data/meta/action"),
		row("oauth2", "a dialog for nobody", action("oauth2", "reauthorize"), "invalid-action /data/meta/action"),
		row("oauth2", "nothing to accept ever", action("oauth2", "accept"), "invalid-action /data/meta/action"),
		row("google", "nothing to accept now", action("oauth2-google", "accept"), "invalid-action /data/meta/action"),
		row("oauth2", "action a number", patch(`"attributes":{"type_of":"oauth2"},"meta":{"action":1}`), "invalid-secret /data/meta/action"),
		row("oauth2", "meta a text", patch(`"attributes":{"type_of":"oauth2"},"meta":"retry"`), "invalid-secret /data/meta"),
		row("oauth2", "action without a type", patch(`"meta":{"action":"retry"}`), at+"type_of"),
		row("oauth2", "action with type null", patch(`"attributes":{"type_of":null},"meta":{"action":"retry"}`), at+"type_of"),
		row("oauth2", "action with another type", action("oauth2-jwt", "retry"), at+"type_of"),
		row("oauth2", "type changed", changed(`"type_of":"token"`), at+"type_of"),
		row("oauth2", "type a number", changed(`"type_of":1`), at+"type_of"),
		row("token", "both are wrong", action("oauth2", "test"), "invalid-action /data/meta/action", at+"type_of"),

		// Names.
		row("token", "name null", changed(`"name":null`), at+"name"),
		row("token", "name empty", changed(`"name":""`), at+"name"),
		row("token", "name a number", changed(`"name":1`), at+"name"),
		row("token", "name too long", changed(`"name":"`+strings.Repeat("n", 513)+`"`), at+"name"),
		with(409, row("token", "name taken", changed(`"name":"attached"`), "not-unique /data/attributes/name")),
		with(409, row("token", "name taken, all else fine", changed(`"name":"attached","credentials":{"token":"hunter2"}`), "not-unique /data/attributes/name")),

		// Credentials.
		row("token", "credentials a text", changed(`"credentials":"hunter2"`), at+"credentials"),
		row("token", "a credential twice", creds(`"token":"hunter2","token":"hunter2"`), at+"credentials"),
		row("token", "token empty", creds(`"token":""`), credential+"token"),
		row("token", "token a number", creds(`"token":7`), credential+"token"),
		row("token", "token a list", creds(`"token":["hunter2"]`), credential+"token"),
		row("token", "token redacted", creds(`"token":"[redacted]"`), credential+"token"),
		row("simple", "colon", creds(`"username":"a:b"`), credential+"username"),
		row("simple", "no user", creds(`"username":null`), credential+"username"),
		row("simple", "password of two lines", creds(`"password":"hunter2\n"`), credential+"password"),
		row("oauth2", "client secret redacted", creds(`"client_secret":"[redacted]"`), credential+"client_secret"),
		row("oauth2", "client secret of half a pair", creds(`"client_secret":"hunter2\ud800"`), credential+"client_secret"),
		row("oauth2", "no client id", creds(`"client_id":null`), credential+"client_id"),
		row("oauth2", "no URL", creds(`"token_url":null`), credential+"token_url"),
		row("oauth2", "another server", creds(`"token_url":"https://evil.test/t"`), credential+"client_secret"),
		row("oauth2", "another server by the old name", creds(`"authorization_url":"https://evil.test/t"`), credential+"client_secret"),
		row("oauth2", "another port", creds(`"token_url":"https://idp.test:8443/t"`), credential+"client_secret"),
		row("oauth2", "without TLS", creds(`"token_url":"http://idp.test/t"`), credential+"client_secret"),
		row("oauth2", "another server and secret null", creds(`"token_url":"https://evil.test/t","client_secret":null`), credential+"client_secret"),
		row("oauth2", "another server and no secret", creds(`"token_url":"https://evil.test/t","client_secret":""`), credential+"client_secret"),
		row("oauth2", "password in the URL", creds(`"token_url":"https://u:hunter2@idp.test/t"`), credential+"token_url"),
		row("oauth2", "another server that is none", creds(`"token_url":"ftp://evil.test/t"`), credential+"token_url"),
		row("oauth2", "another server that is none by the old name", creds(`"authorization_url":"ftp://evil.test/t"`), credential+"authorization_url"),
		row("oauth2", "two URLs", creds(`"token_url":"https://idp.test/a","authorization_url":"https://idp.test/b"`), credential+"authorization_url"),
		row("oauth2", "offset", creds(`"refresh_offset":-1`), credential+"refresh_offset"),
		row("oauth2", "options a list", creds(`"options":[]`), credential+"options"),
		row("oauth2", "option client_secret", creds(`"options":{"client_secret":"hunter2"}`), credential+"options/client_secret"),
		row("google", "scopes null", creds(`"scopes":null`), credential+"scopes"),
		row("google", "scope of something else", creds(`"scopes":["openid"]`), credential+"scopes"),
		row("oauth2", "everything at once", patch(`"attributes":{"name":"","credentials":{"client_id":7,"client_secret":8,"refresh_offset":"9"}},"relationships":{"environment":{"data":{"type":"environments"}}}`),
			at+"name", credential+"client_secret", "invalid-secret "+relation+"/data/id", credential+"client_id", credential+"refresh_offset"),

		// Environments.
		with(409, row("attached", "another environment", env(`{"id":"{staging}","type":"environments"}`), "read-only "+relation)),
		with(409, row("attached", "no environment", env(`null`), "read-only "+relation)),
		row("attached", "environment elsewhere", env(`{"id":"{foreign}","type":"environments"}`), "environment-required "+relation),
		row("token", "environment elsewhere for one without", env(`{"id":"{foreign}"}`), "environment-required "+relation),
		with(404, row("token", "environment unknown", env(`{"id":"EN`+nobody+`"}`), "not-found "+relation)),
		with(404, row("attached", "environment unknown for one with", env(`{"id":"EN`+nobody+`"}`), "not-found "+relation)),
		with(404, row("token", "environment malformed", env(`{"id":"x"}`), "not-found "+relation)),
		with(409, row("token", "a host", env(`{"id":"{staging}","type":"hosts"}`), "conflict "+relation+"/data/type")),
		row("token", "environments", env(`[]`), "invalid-secret "+relation+"/data"),
		row("attached", "environment a text", patch(`"relationships":{"environment":"{staging}"}`), "invalid-secret "+relation),
		row("attached", "relationships a list", patch(`"relationships":[]`), "invalid-secret /data/relationships"),
		with(400, row("attached", "of different kinds", patch(`"attributes":{"name":""},"relationships":{"environment":{"data":null}}`),
			"422 "+at+"name", "409 read-only "+relation)),
	}
	for _, key := range []string{" ", strings.Repeat("k", 257), "clé", "a\tb"} {
		for _, request := range []string{"POST /properties/{edge}/secrets", "PUT /secrets/{token}", "DELETE /secrets/{token}"} {
			body := changed(`"name":"n","type_of":"token","credentials":{"token":"t"}`)
			if strings.HasPrefix(request, "DELETE") {
				body = ""
			}
			rows = append(rows, bad{fmt.Sprintf("key %.4q", key), request, body, []string{"Idempotency-Key: " + key}, 400, []string{"invalid-header"}})
		}
	}
	return rows
}

// changeable makes a secret of each sort that the rows speak of.
func (s *site) changeable(t testing.TB) *strings.Replacer {
	t.Helper()
	tr := s.plant(t)
	path := "/properties/" + tr.edge + "/secrets"
	names := []string{
		"{edge}", tr.edge, "{development}", tr.development, "{staging}", tr.staging, "{foreign}", tr.foreign,
		"{attached}", s.make(t, path, fmt.Sprintf(`{"data":{"attributes":{"name":"attached","type_of":"token","credentials":{"token":"t"}},"relationships":{"environment":{"data":{"id":%q,"type":"environments"}}}}}`, tr.development)),
	}
	for name, kind := range map[string]string{
		"token": `"type_of":"token","credentials":{"token":"t"}`, "simple": `"type_of":"simple-http","credentials":{"username":"u","password":"p"}`,
		"oauth2": `"type_of":"oauth2","credentials":{"client_id":"c","client_secret":"s","token_url":"https://idp.test/t"}`,
		"google": `"type_of":"oauth2-google","credentials":{"scopes":["https://www.googleapis.com/auth/pubsub"]}`,
	} {
		names = append(names, "{"+name+"}", s.make(t, path, attributes(fmt.Sprintf(`"name":%q,`, name)+kind)))
	}
	return strings.NewReplacer(names...)
}

func TestBadChanges(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ids := s.changeable(t)
	before, published := everything(t, s.State), len(s.Events.Published())
	s.refuseAll(t, badChanges(), ids)
	if !same(before, everything(t, s.State)) || len(s.Events.Published()) != published || len(s.tester.Asked()) > 0 {
		t.Error("the state has changed, an event was published, or an exchanger was asked")
	}
	for _, never := range []string{`"level":"ERROR"`, "hunter2"} {
		if strings.Contains(s.Log.String(), never) {
			t.Errorf("the log has %s", never)
		}
	}
}

// TestTooManyTests are refused with when to come again, and nobody is asked.
func TestTooManyTests(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.tester.Answer(events.TestAnswer{Exchange: json.RawMessage(`{"access_token":"a"}`)})
	path := s.changeable(t).Replace("/secrets/{oauth2}")
	var statuses []int
	for range 4 {
		a := s.call(t, http.MethodPatch, path, action("oauth2", "test"))
		if statuses = append(statuses, a.status); a.status != http.StatusTooManyRequests {
			continue
		}
		// A second has passed with each call.
		if got := refusals(t, a); len(got) != 1 || got[0] != "rate-limited" || a.header.Get("Retry-After") != "17" {
			t.Errorf("errors %v, Retry-After %q", got, a.header.Get("Retry-After"))
		}
	}
	if fmt.Sprint(statuses) != "[200 200 200 429]" || len(s.tester.Asked()) != 3 {
		t.Errorf("statuses %v with %d tests", statuses, len(s.tester.Asked()))
	}
}

// TestTestsLeaveNoTrace: the token is in the one answer and nowhere else, and the
// secret is as it was.
func TestTestsLeaveNoTrace(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	path := s.changeable(t).Replace("/secrets/{oauth2}")
	const canary = "canary-7f3a9c"
	s.tester.Answer(events.TestAnswer{Exchange: json.RawMessage(`{"access_token":"` + canary + `"}`), Warning: "it lives too short"})
	before, shown := everything(t, s.State), s.call(t, http.MethodGet, path, "")
	a := s.call(t, http.MethodPatch, path, action("oauth2", "test"))
	want := bytes.TrimSuffix(bytes.TrimSpace(shown.body), []byte("}}"))
	want = fmt.Append(want, `,"meta":{"test_exchange":{"access_token":"`+canary+`"},"test_warning":"it lives too short"}}}`)
	if !bytes.Equal(bytes.TrimSpace(a.body), want) {
		t.Errorf("the answer is\n%swant\n%s", a.body, want)
	}
	if after := s.call(t, http.MethodGet, path, ""); !bytes.Equal(after.body, shown.body) || !same(before, everything(t, s.State)) {
		t.Error("something has changed")
	}
	metrics, err := s.Metrics.Gather()
	if out := fmt.Sprint(s.Log.String(), metrics, s.spans.GetSpans(), s.Events.Published()); strings.Contains(out, canary) || err != nil {
		t.Errorf("the token has come out: %v", err)
	}
}

// TestOpenDialogsShowAsPending in lists and look-ups, as long as they are open.
func TestOpenDialogsShowAsPending(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ids := s.changeable(t)
	google := ids.Replace("{google}")
	_, _, err := secret.Store{State: s.State}.Update(t.Context(), google, func(g *secret.Secret) error {
		g.Consented(g.CreatedAt)
		g.Apply(&secret.Outcome{
			Decision: g.Decision, Action: secret.Authorize, At: g.CreatedAt, Authorized: &secret.Authorized{At: g.CreatedAt},
		}, g.CreatedAt)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	s.call(t, http.MethodPatch, "/secrets/"+google, patch(`"attributes":{"name":"later"}`)) // the API has seen it
	listed := func(status string) bool {
		a := s.call(t, http.MethodGet, ids.Replace("/properties/{edge}/secrets?filter[status]=EQ%20")+status, "")
		return bytes.Contains(a.body, []byte(google))
	}
	check := func(when string, status string) {
		t.Helper()
		got := decode[struct{ Data shape }](t, s.call(t, http.MethodGet, "/secrets/"+google, "")).Data.Attributes["status"]
		if pending, done := listed("pending"), listed("succeeded"); got != status || pending != (status == "pending") || done == pending {
			t.Errorf("%s: it shows as %s, listed as pending: %t, as succeeded: %t", when, got, pending, done)
		}
	}
	check("before", "succeeded")
	s.call(t, http.MethodPut, "/secrets/"+google, action("oauth2-google", "reauthorize"))
	check("open", "pending")
	s.calls.Add(3600)
	check("over", "succeeded")
}

// FuzzChangeSecret sends any body: the answer is a document of the contract, never
// a 500, and what is refused changes nothing.
func FuzzChangeSecret(f *testing.F) {
	s := newSite(f)
	s.tester.Answer(events.TestAnswer{Exchange: json.RawMessage(`{}`)})
	ids := s.changeable(f)
	targets := []string{ids.Replace("{token}"), ids.Replace("{oauth2}"), ids.Replace("{google}"), ids.Replace("{attached}")}
	for i, row := range badChanges() {
		f.Add(uint8(i), []byte(ids.Replace(row.body)))
	}
	for i, body := range []string{
		action("token", "retry"), action("oauth2-client_credentials", "test"), action("oauth2-google", "reauthorize"),
		patch(`"attributes":{"name":"m"}`), patch(`"attributes":{"credentials":{"client_secret":"x","options":{"a":"b"}}}`),
	} {
		f.Add(uint8(i), []byte(body))
	}
	f.Fuzz(func(t *testing.T, which uint8, body []byte) {
		key := "secret." + targets[int(which)%len(targets)]
		before, _, err := s.State.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPatch, "/secrets/"+strings.TrimPrefix(key, "secret."), bytes.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		w := s.answerTo(t, r, string(body))
		if w.Header().Get("Content-Type") != "application/vnd.api+json" || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("status %d with %q", w.Code, w.Body)
		}
		after, _, err := s.State.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		switch w.Code {
		case http.StatusOK:
			for _, hidden := range []string{`"client_secret"`, `"token":`} {
				if strings.Contains(w.Body.String(), hidden) {
					t.Errorf("the answer has the member %s", hidden)
				}
			}
		case http.StatusBadRequest, http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity, http.StatusTooManyRequests:
			refusals(t, answer{w.Code, w.Header(), w.Body.Bytes()})
			if !bytes.Equal(before, after) {
				t.Error("a refused change has changed the record")
			}
		default:
			t.Errorf("status %d: %s", w.Code, w.Body)
		}
	})
}
