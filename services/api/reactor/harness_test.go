package reactor_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/api/auth"
	"github.com/rekindle-dev/rekindle/services/api/reactor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	token     = "an-admin-token-of-the-tests"
	readToken = "a-token-that-may-only-read"
	elsewhere = "a-token-of-another-organisation"
	publicURL = "https://api.example.org"
)

// only is the token that has one right.
func only(right auth.Right) string { return "a-token-that-may-only-" + string(right) }

// site is the API on a server of its own.
type site struct {
	*apitest.Process
	opener  *seal.Opener
	spans   *tracetest.InMemoryExporter
	tester  *apitest.Tester
	handler http.Handler
	url     string
	client  *http.Client
	calls   atomic.Int64
}

// newSite starts the API over an empty state. Its clock moves on by a second
// with every call.
func newSite(t testing.TB) *site {
	t.Helper()
	st := statetest.New()
	opener := apitest.PublishKeyset(t, st)
	s := newSiteOver(t, st)
	s.opener = opener
	return s
}

func newSiteOver(t testing.TB, st state.Store) *site {
	t.Helper()
	s := &site{spans: tracetest.NewInMemoryExporter(), tester: new(apitest.Tester)}
	start := time.Date(2025, 11, 3, 8, 15, 0, 120e6, time.UTC)
	now := func() time.Time { return start.Add(time.Duration(s.calls.Load()) * time.Second) }
	s.Process = apitest.StartWith(t, api.Config{Apps: apitest.Apps(t)}, api.Deps{State: st, Tester: s.tester, Now: now})
	tracer := trace.NewTracerProvider(trace.WithSyncer(s.spans))
	reader := auth.Administrator(api.DefaultOrg)
	reader.Rights = nil
	verifiers := []auth.Verifier{
		auth.NewBootstrap(token, auth.Administrator(api.DefaultOrg)),
		auth.NewBootstrap(readToken, reader),
		auth.NewBootstrap(elsewhere, auth.Administrator("ELSE@WhereOrg")),
	}
	for _, right := range auth.AllRights() {
		one := auth.Administrator(api.DefaultOrg)
		one.Rights = auth.Rights{right}
		verifiers = append(verifiers, auth.NewBootstrap(only(right), one))
	}
	verifiers = append(verifiers, s.Service)
	s.handler = reactor.New(reactor.Deps{
		Service:   s.Service,
		Gate:      auth.NewGate(verifiers...),
		PublicURL: publicURL + "/",
		Logger:    s.Log.Logger(),
		Metrics:   s.Metrics,
		Tracer:    tracer,
		Now:       now,
	})
	server := httptest.NewUnstartedServer(nil)
	server.Config = reactor.NewServer(s.handler, s.Log.Logger())
	server.Start()
	t.Cleanup(func() {
		server.Close()
		tracer.Shutdown(context.Background())
	})
	s.url, s.client = server.URL, server.Client()
	s.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return s
}

// answer is an answer with its body read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// call sends a request as clients do; a header "Name: value" replaces what is
// sent by default, "Name:" leaves it out.
func (s *site) call(t testing.TB, method, path, body string, headers ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Accept", "application/vnd.api+json;revision=1")
	if body != "" {
		r.Header.Set("Content-Type", "application/vnd.api+json")
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ":")
		r.Header.Del(name)
		if value != "" {
			r.Header.Set(name, strings.TrimSpace(value))
		}
	}
	s.calls.Add(1)
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(upToPresent(response))
	if err != nil {
		t.Fatal(err)
	}
	a := answer{response.StatusCode, response.Header, read}
	check(t, r, body, a)
	return a
}

// upToPresent returns the body of an answer; of a stream, which has no end, up to where
// everything there was has been told.
func upToPresent(r *http.Response) io.Reader {
	if r.Header.Get("Content-Type") != "text/event-stream" {
		return r.Body
	}
	lines, out := bufio.NewReader(r.Body), new(bytes.Buffer)
	for {
		line, err := lines.ReadString('\n')
		out.WriteString(line)
		if err != nil || strings.HasSuffix(out.String(), "event: present\ndata: {}\n\n") {
			return out
		}
	}
}

// check holds a request and its answer against the description of the API, and has somebody
// else's library read the answer.
func check(t testing.TB, r *http.Request, body string, a answer) {
	t.Helper()
	if err := describe(t).holds(r, body, a); err != nil {
		t.Errorf("%s %s: status %d is not as described: %v\n%.1000s", r.Method, r.URL, a.status, err, body)
	}
	if err := understood(a); err != nil {
		t.Errorf("%s %s: status %d is misunderstood: %v", r.Method, r.URL, a.status, err)
	}
}

// answerTo has a request served that does not come over the network, as fuzzers make them.
func (s *site) answerTo(t testing.TB, r *http.Request, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := s.record(r)
	check(t, r, body, answer{w.Code, w.Header(), w.Body.Bytes()})
	return w
}

// record serves a request that does not come over the network.
func (s *site) record(r *http.Request) *httptest.ResponseRecorder {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(leaving{w, cancel}, r.WithContext(ctx))
	return w
}

// leaving is a client that goes away as soon as something is sent before the end: only
// streams do.
type leaving struct {
	*httptest.ResponseRecorder
	leave func()
}

func (l leaving) Flush() { l.leave() }

// shape is as much of a document as tests look at.
type shape struct {
	ID            string         `json:"id"`
	Attributes    map[string]any `json:"attributes"`
	Relationships map[string]struct {
		Data *struct{ ID string }
	} `json:"relationships"`
}

type shapes struct {
	Data []shape `json:"data"`
	Meta struct {
		Pagination map[string]*int `json:"pagination"`
	} `json:"meta"`
}

type problems struct {
	Errors []struct {
		ID, Status, Code, Title, Detail string
		Source                          map[string]string
		Meta                            map[string]string
	} `json:"errors"`
}

func decode[T any](t testing.TB, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("status %d: not JSON: %v: %.200s", a.status, err, a.body)
	}
	return v
}

// make creates a resource and returns its id.
func (s *site) make(t testing.TB, path, body string) string {
	t.Helper()
	a := s.call(t, http.MethodPost, path, body)
	if a.status != http.StatusCreated {
		t.Fatalf("POST %s: status %d: %s", path, a.status, a.body)
	}
	return decode[struct{ Data shape }](t, a).Data.ID
}

// tree is a company with what most tests need in it.
type tree struct {
	company, edge, web, staging, development, foreign string
}

func (s *site) plant(t testing.TB) tree {
	t.Helper()
	var tr tree
	tr.company = decode[shapes](t, s.call(t, http.MethodGet, "/companies", "")).Data[0].ID
	properties := "/companies/" + tr.company + "/properties"
	tr.edge = s.make(t, properties, `{"data":{"attributes":{"name":"edge","platform":"edge"}}}`)
	tr.web = s.make(t, properties, `{"data":{"attributes":{"name":"web","platform":"web","domains":["example.org"]}}}`)
	other := s.make(t, properties, `{"data":{"attributes":{"name":"other","platform":"edge"}}}`)
	environments := "/properties/" + tr.edge + "/environments"
	tr.staging = s.make(t, environments, `{"data":{"attributes":{"name":"staging","stage":"staging"}}}`)
	tr.development = s.make(t, environments, `{"data":{"attributes":{"name":"development"}}}`)
	tr.foreign = s.make(t, "/properties/"+other+"/environments", `{"data":{"attributes":{"name":"foreign"}}}`)
	return tr
}

// everything returns the whole state, for tests that nothing has changed.
func everything(t testing.TB, st state.Store) map[string][]byte {
	t.Helper()
	var all map[string][]byte
	apitest.Watch(t, st, ">", func(records map[string][]byte) bool {
		all = records
		maps.DeleteFunc(all, func(key string, _ []byte) bool { return state.Passing(key) })
		return true
	})
	return all
}

func same(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for key, body := range a {
		if !bytes.Equal(body, b[key]) {
			return false
		}
	}
	return true
}
