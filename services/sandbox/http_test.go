package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rekindle-dev/rekindle/services/sandbox"
)

func TestControl(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := start(t, sandbox.Config{Now: func() time.Time { return now }})
	doc := `{"secret":"s","auth_style":"client_secret_post","script":[{"lifetime":60},{"fault":"reset","times":2}]}`
	if r := e.control("PUT", "/sandbox/clients/a%2Fb", doc); r.status != 200 {
		t.Fatalf("put: %d %s", r.status, r.body)
	}
	for range 3 {
		e.form("/token", credentials("a/b", "s"))
	}
	e.form("/token", credentials("a/b", "wrong"))

	r := e.control("GET", "/sandbox/clients/a%2Fb", "")
	want := `{"id":"a/b","auth_style":"client_secret_post","script":[{"lifetime":60},{"times":2,"fault":"reset"}],"step":2,` +
		`"counters":{"requests":4,"issued":1,"refused":1,"in_flight":0,"max_in_flight":1,"last_request":"2026-01-02T03:04:05Z","faults":{"reset":2}}}`
	if diff := cmp.Diff(want, strings.TrimSpace(r.body)); diff != "" {
		t.Error(diff)
	}
	e.script()
	list := decode[struct{ Clients []sandbox.State }](t, e.control("GET", "/sandbox/clients", ""))
	if len(list.Clients) != 2 || list.Clients[0].ID != "a" || list.Clients[1].Counters.Requests != 4 {
		t.Errorf("list %v", list)
	}
	for _, step := range []struct {
		method, path string
		want         int
	}{
		{"DELETE", "/sandbox/clients/a%2Fb", 204},
		{"DELETE", "/sandbox/clients/a%2Fb", 404},
		{"GET", "/sandbox/clients/a%2Fb", 404},
		{"POST", "/sandbox/clients/a%2Fb/release", 404},
		{"GET", "/sandbox/requests?client=a%2Fb", 404},
		{"GET", "/sandbox/requests?client=a&wait=x", 400},
		{"GET", "/sandbox/requests?client=a&wait=0", 200},
		{"GET", "/sandbox/requests?client=b&wait=1", 404},
		{"POST", "/sandbox/reset", 204},
		{"GET", "/sandbox/clients/a", 404},
		{"GET", "/healthz", 200},
		{"GET", "/nowhere", 404},
		{"POST", "/sandbox/clients", 405},
	} {
		if r := e.control(step.method, step.path, ""); r.status != step.want {
			t.Errorf("%s %s: %d, want %d: %s", step.method, step.path, r.status, step.want, r.body)
		}
	}
}

func TestReplacedClientKeepsItsCounters(t *testing.T) {
	t.Parallel()
	e := start(t, sandbox.Config{})
	e.script(sandbox.Step{}, sandbox.Step{Error: "x"})
	e.exchange()
	e.exchange()
	e.script(sandbox.Step{Error: "y"})
	if a := decode[tokenAnswer](t, e.exchange()); a.Error != "y" {
		t.Errorf("answered %q", a.Error)
	}
	if c := e.counters(); c.Requests != 3 || c.Issued != 1 {
		t.Errorf("counters %+v", c)
	}
}

func TestBadDocuments(t *testing.T) {
	t.Parallel()
	e := start(t, sandbox.Config{MaxClients: 1})
	for doc, want := range map[string]string{
		``:                      "EOF",
		`[]`:                    "cannot unmarshal array",
		`{} {}`:                 "data after the document",
		`{"script": {}}`:        "cannot unmarshal object",
		`{"scripts": []}`:       `unknown field "scripts"`,
		`{"id": "b"}`:           "differs from the path",
		`{"auth_style": "jwt"}`: "auth_style: want",
		`{"secret": "` + strings.Repeat("x", 1025) + `"}`:                            "secret: want at most",
		`{"script": [` + strings.Repeat("{},", 1000) + `{}]}`:                        "at most 1000 steps",
		`{"script": [{}, {"fault": "rst"}]}`:                                         `script[1].fault: unknown; want one of ["reset"`,
		`{"default": {"times": 1}}`:                                                  "default.times",
		`{"default": {"status": 100}}`:                                               "default.status: want 200",
		`{"default": {"delay": -1}}`:                                                 "default.delay",
		`{"default": {"delay": "soon"}}`:                                             "duration: want seconds",
		`{"default": {"delay": true}}`:                                               "duration: want seconds",
		`{"default": {"lifetime": 1e300}}`:                                           "duration: want at most",
		`{"default": {"size": 1}}`:                                                   "size: only with",
		`{"default": {"fault": "huge-body", "size": 1000000000}}`:                    "size: want 0 to",
		`{"default": {"bytes_per_second": 1}}`:                                       "bytes_per_second: only with",
		`{"default": {"body": "", "error": "x"}}`:                                    "body: not with",
		`{"default": {"fault": "html", "body": ""}}`:                                 "body: not with the fault",
		`{"default": {"fault": "200-with-error", "status": 400}}`:                    "of its own",
		`{"default": {"fault": "redirect", "status": 200}}`:                          "status: want 300",
		`{"default": {"fault": "never-answer", "hold": true}}`:                       "hold: not with",
		`{"default": {"headers": {"a b": "c"}}}`:                                     "not a header",
		`{"default": {"headers": {"a": "b\r\nc"}}}`:                                  "not a header",
		`{"default": {"headers": {"content-length": "3"}}}`:                          "is computed",
		`{"default": {"content_type": "a\nb"}}`:                                      "content_type",
		`{"default": {"fields": {` + strings.Repeat(`"x":1,`, 9) + `"y":}}}`:         "invalid character",
		`{"code_flow": {}}`:                                                          "code_flow.redirect_uris: want at least one",
		`{"code_flow": {"redirect_uris": ["http://h/", "/back"]}}`:                   "code_flow.redirect_uris[1]: want",
		`{"code_flow": {"any_redirect": true, "dialog": "box"}}`:                     "code_flow.dialog: want",
		`{"code_flow": {"any_redirect": true, "code_lifetime": -1}}`:                 "code_flow.code_lifetime: want",
		`{"code_flow": {"any_redirect": true, "lifetime": -1}}`:                      "code_flow.lifetime: want",
		`{"code_flow": {"any_redirect": true, "scopes": [""]}}`:                      "code_flow.scopes: want",
		`{"code_flow": {"any_redirect": true, "scope_separator": "--"}}`:             "code_flow.scope_separator: want",
		`{"code_flow": {"any_redirect": true, "consents": [{}, {"scopes": [""]}]}}`:  "code_flow.consents[1]: want",
		`{"code_flow": {"any_redirect": true, "refresh_tokens": {"issue": "x"}}}`:    "code_flow.refresh_tokens.issue: want",
		`{"code_flow": {"any_redirect": true, "refresh_tokens": {"rotation": "x"}}}`: "code_flow.refresh_tokens.rotation: want",
		`{"code_flow": {"any_redirect": true, "refresh_tokens": {"lifetime": -1}}}`:  "code_flow.refresh_tokens.grace, lifetime",
		`{"code_flow": {"any_redirect": true, "refresh_tokens": {"grace": 1}}}`:      "only with the rotation",
		`{"default": {"body": "` + strings.Repeat("x", 256<<10) + `"}}`:              "too large",
	} {
		r := e.control("PUT", "/sandbox/clients/a", doc)
		got := decode[map[string]string](t, r)["error"]
		if r.status != 400 || !strings.Contains(got, want) {
			t.Errorf("%.60s: %d %s; want %q", doc, r.status, got, want)
		}
	}
	if n := len(e.Clients()); n != 0 {
		t.Errorf("%d clients after refusals", n)
	}
	e.script()
	if r := e.control("PUT", "/sandbox/clients/b", `{}`); r.status != 507 {
		t.Errorf("one too many: %d %s", r.status, r.body)
	}
	if r := e.control("PUT", "/sandbox/clients/"+strings.Repeat("x", 129), `{}`); r.status != 400 {
		t.Errorf("long id: %d %s", r.status, r.body)
	}
}

func TestInvalidDocumentNamesEveryFault(t *testing.T) {
	t.Parallel()
	err := sandbox.New(sandbox.Config{}).Put(sandbox.Client{
		Secret: "canary",
		Script: []sandbox.Step{{Times: -1, Status: 7, Fields: map[string]json.RawMessage{"x": nil}}},
	})
	for _, want := range []string{"id:", "script[0].times:", "script[0].status:", `script[0].fields["x"]:`} {
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

func TestLedger(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e := start(t, sandbox.Config{Now: func() time.Time { return now }})
	e.script(sandbox.Step{}, sandbox.Step{Fault: sandbox.FaultOKWithError})
	form := credentials("a", "s")
	form.Set("scope", "read")
	form.Set("audience", strings.Repeat("é", 200))
	form.Set("assertion", "canary")
	e.form("/token?tenant=canary&b=", form)
	e.exchange()
	e.form("/token", credentials("a", "canary"))
	e.form("/token", credentials("who", "canary"))

	r := e.control("GET", "/sandbox/requests", "")
	if strings.Contains(r.body, "canary") {
		t.Error("the ledger tells secrets")
	}
	base := sandbox.Request{Time: now, Client: "a", Grant: "client_credentials", Auth: sandbox.AuthPost, Fields: []string{"client_id", "client_secret", "grant_type"}}
	want := []sandbox.Request{base, base, base, base}
	want[0].Seq, want[0].Outcome = 1, sandbox.OutcomeIssued
	want[0].Fields = []string{"assertion", "audience", "client_id", "client_secret", "grant_type", "scope"}
	want[0].Query = []string{"b", "tenant"}
	want[0].Options = map[string]string{"scope": "read", "audience": strings.Repeat("é", 128)}
	want[1].Seq, want[1].Outcome, want[1].Error, want[1].Fault = 2, sandbox.OutcomeFailed, "invalid_grant", sandbox.FaultOKWithError
	want[2].Seq, want[2].Outcome, want[2].Error = 3, sandbox.OutcomeRefused, "invalid_client"
	want[3].Seq, want[3].Outcome, want[3].Error, want[3].Client = 4, sandbox.OutcomeRefused, "invalid_client", "who"
	got := decode[struct{ Requests []sandbox.Request }](t, r)
	if diff := cmp.Diff(want, got.Requests); diff != "" {
		t.Error(diff)
	}
	mine, err := e.Requests("a")
	if diff := cmp.Diff(want[:3], mine); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestLedgerKeepsTheNewest(t *testing.T) {
	t.Parallel()
	e := start(t, sandbox.Config{LedgerSize: 3})
	e.script()
	if got := decode[struct{ Requests []sandbox.Request }](t, e.control("GET", "/sandbox/requests?client=a", "")); got.Requests == nil {
		t.Error("an empty ledger is no list")
	}
	for n := range 8 {
		e.exchange()
		var seqs []uint64
		list, _ := e.Requests("a")
		for _, r := range list {
			seqs = append(seqs, r.Seq)
		}
		want := []uint64{uint64(n) - 1, uint64(n), uint64(n) + 1}[max(0, 2-n):]
		if diff := cmp.Diff(want, seqs); diff != "" {
			t.Error(diff)
		}
	}
	if c := e.counters(); c.Requests != 8 {
		t.Errorf("counted %d", c.Requests)
	}
}

func TestWaitOverHTTP(t *testing.T) {
	t.Parallel()
	e := start(t, sandbox.Config{})
	e.script()
	answered := make(chan reply, 1)
	go func() { answered <- e.control("GET", "/sandbox/requests?client=a&wait=2", "") }()
	e.exchange()
	e.exchange()
	if got := decode[struct{ Requests []sandbox.Request }](t, <-answered); len(got.Requests) != 2 {
		t.Errorf("%d requests", len(got.Requests))
	}
}

// TestManyAtOnce counts what a crowd does while the controls are in use.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	s := sandbox.New(sandbox.Config{OpenClients: true, LedgerSize: 1000})
	const workers, each = 8, 100
	var crowd sync.WaitGroup
	for range workers {
		crowd.Go(func() {
			for range each {
				s.Handler().ServeHTTP(httptest.NewRecorder(), tokenRequest(t.Context()))
				s.Clients()
				s.AllRequests()
			}
		})
	}
	crowd.Wait()
	state, err := s.Client("a")
	if err != nil {
		t.Fatal(err)
	}
	want := sandbox.Counters{Requests: workers * each, Issued: workers * each}
	if diff := cmp.Diff(want, state.Counters, cmpopts.IgnoreFields(sandbox.Counters{}, "MaxInFlight", "LastRequest")); diff != "" {
		t.Error(diff)
	}
	if n := state.Counters.MaxInFlight; n < 1 || n > workers {
		t.Errorf("%d in flight", n)
	}
	for i, r := range s.AllRequests() {
		if r.Seq != uint64(i+1) {
			t.Fatalf("entry %d has number %d", i, r.Seq)
		}
	}
}

// TestPageExample does by hand what the front page's curl commands say.
func TestPageExample(t *testing.T) {
	t.Parallel()
	e := start(t, sandbox.Config{})
	page := e.control("GET", "/", "").body
	commands := regexp.MustCompile(`(?s)curl -X PUT (\S+) -d '([^']*)'\ncurl (\S+) -d (\S+) -d (\S+) -d (\S+)\n`).FindStringSubmatch(page)
	if commands == nil {
		t.Fatalf("no example in\n%s", page)
	}
	if r := e.control("PUT", strings.TrimPrefix(commands[1], e.url), commands[2]); r.status != 200 {
		t.Errorf("put: %d %s", r.status, r.body)
	}
	form, err := url.ParseQuery(strings.Join(commands[4:], "&"))
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(commands[3], e.url)
	var got []int
	for range 3 {
		got = append(got, e.form(path, form).status)
	}
	if diff := cmp.Diff([]int{503, 0, 200}, got); diff != "" {
		t.Error(diff)
	}
}
