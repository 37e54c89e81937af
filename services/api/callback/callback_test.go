package callback_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/callback"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write the pages into testdata")

// Queries of redirects: with a code, and with a no.
const good, refusal = "?code=c&state=s", "?error=access_denied&state=s"

// serviceFunc is a Service of one function.
type serviceFunc func(context.Context, api.Consent) (api.Verdict, error)

func (f serviceFunc) Consent(ctx context.Context, c api.Consent) (api.Verdict, error) {
	return f(ctx, c)
}

// verdict is a Service that always says the same.
func verdict(v api.Verdict) serviceFunc {
	return func(context.Context, api.Consent) (api.Verdict, error) { return v, nil }
}

func failure(err error) serviceFunc {
	return func(context.Context, api.Consent) (api.Verdict, error) { return api.Verdict{}, err }
}

// unasked fails the test when it is asked.
func unasked(t *testing.T) serviceFunc {
	return func(context.Context, api.Consent) (api.Verdict, error) {
		t.Error("the service was asked")
		return api.Verdict{}, nil
	}
}

// site is the handler on a server of its own.
type site struct {
	server  *httptest.Server
	log     bytes.Buffer
	metrics *prometheus.Registry
	spans   *tracetest.InMemoryExporter
}

func newSite(t *testing.T, service callback.Service, publicURL string) *site {
	t.Helper()
	return newLimitedSite(t, service, publicURL, nil)
}

func newLimitedSite(t *testing.T, service callback.Service, publicURL string, admit func(*http.Request) error) *site {
	t.Helper()
	s := &site{metrics: prometheus.NewRegistry(), spans: tracetest.NewInMemoryExporter()}
	tracer := trace.NewTracerProvider(trace.WithSyncer(s.spans))
	s.server = httptest.NewServer(callback.New(callback.Deps{
		Service: service, Admit: admit, PublicURL: publicURL, Names: map[string]string{"spapi_oauth_code": "code"},
		Logger: slog.New(slog.NewJSONHandler(&s.log, nil)), Metrics: s.metrics, Tracer: tracer,
	}))
	t.Cleanup(func() {
		s.server.Close()
		tracer.Shutdown(context.Background())
	})
	return s
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (s *site) call(t *testing.T, method, query string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.server.URL+callback.Path+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := s.server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{response.StatusCode, response.Header, string(body)}
	check(t, a)
	return a
}

// counted is what the metric says; the server must have been closed.
func (s *site) counted(t *testing.T, result string) {
	t.Helper()
	want := "# HELP rekindle_callbacks_total Redirects from providers that were answered, by how the consent ended.\n" +
		"# TYPE rekindle_callbacks_total counter\n" +
		"rekindle_callbacks_total{result=\"" + result + "\"} 1\n"
	if err := testutil.GatherAndCompare(s.metrics, strings.NewReader(want), "rekindle_callbacks_total"); err != nil {
		t.Error(err)
	}
}

// TestPages compares every page with the one in testdata, and what goes with it.
func TestPages(t *testing.T) {
	t.Parallel()
	with := func(v api.Verdict) serviceFunc {
		v.Secret, v.Provider, v.Known = &secret.Secret{Name: "ads-production"}, "Google", true
		return verdict(v)
	}
	because := func(detail string) *secret.Failure { return &secret.Failure{Detail: detail} }
	for name, row := range map[string]struct {
		service serviceFunc
		method  string
		query   string
		status  int
	}{
		"authorized":  {with(api.Verdict{}), "GET", good, 200},
		"held":        {with(api.Verdict{Held: true}), "GET", good, 200},
		"refused":     {with(api.Verdict{Failure: because("")}), "GET", refusal, 200},
		"failed":      {with(api.Verdict{Failure: because("The provider's answer was too long.")}), "GET", good, 200},
		"working":     {verdict(api.Verdict{}), "GET", good, 200},
		"unknown":     {failure(fmt.Errorf("wrapped: %w", api.ErrNoDialog)), "GET", good, 400},
		"invalid":     {unasked(t), "GET", "", 400},
		"method":      {unasked(t), "POST", good, 405},
		"unavailable": {failure(fmt.Errorf("wrapped: %w", api.ErrUnavailable)), "GET", good, 503},
		"not ready":   {failure(fmt.Errorf("wrapped: %w", api.ErrNotReady)), "GET", good, 503},
		"error":       {failure(errors.New("the cause")), "GET", good, 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			result := name
			if name == "not ready" {
				result = "unavailable"
			}
			s := newSite(t, row.service, "https://api.example")
			a := s.call(t, row.method, row.query)
			s.server.Close()
			if a.status != row.status {
				t.Errorf("status %d, want %d", a.status, row.status)
			}
			s.counted(t, result)
			id := a.header.Get("X-Request-Id")
			if id == "" || !strings.Contains(s.log.String(), id) {
				t.Errorf("request %q is not in the log", id)
			}
			golden(t, result, strings.ReplaceAll(a.body, id, "REQUEST"))
		})
	}
}

// TestTooManyCallbacks: whoever comes too often is told so, and uses nothing up.
func TestTooManyCallbacks(t *testing.T) {
	t.Parallel()
	s := newLimitedSite(t, unasked(t), "", func(*http.Request) error { return errors.New("too many") })
	a := s.call(t, "GET", good)
	s.server.Close()
	if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Errorf("status %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	s.counted(t, "busy")
	golden(t, "busy", strings.ReplaceAll(a.body, a.header.Get("X-Request-Id"), "REQUEST"))
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".html")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("page (-%s +got):\n%s", file, diff)
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "MADEUP"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, unasked(t), "")
			if a := s.call(t, method, "?code=c&state=s"); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "GET" {
				t.Errorf("status %d, allowed %q", a.status, a.header.Get("Allow"))
			}
		})
	}
}

func TestQueries(t *testing.T) {
	t.Parallel()
	long := func(n int) string { return strings.Repeat("x", n) }
	for name, query := range map[string]string{
		"nothing":              "",
		"no state":             "?code=c",
		"an empty state":       "?code=c&state=",
		"an error alone":       "?error=access_denied",
		"a state alone":        "?state=s",
		"an empty code":        "?code=&state=s",
		"both":                 "?code=c&error=e&state=s",
		"a long state":         "?code=c&state=" + long(513),
		"a long code":          "?state=s&code=" + long(4097),
		"a long error":         "?state=s&error=" + long(4097),
		"another that is long": "?code=c&state=s&scope=" + long(4097),
		"a long name":          "?code=c&state=s&" + long(4097) + "=1",
		"too long in all":      "?code=c&state=s" + strings.Repeat("&a="+long(3000), 6),
		"two codes":            "?code=c&state=s&code=c",
		"two states":           "?code=c&state=s&state=s",
		"two scopes":           "?code=c&state=s&scope=a&scope=b",
		"two, one renamed":     "?code=c&state=s&spapi_oauth_code=c",
		"two, one disguised":   "?code=c&state=s&%73tate=s",
		"half an escape":       "?code=%&state=s",
		"a semicolon":          "?code=c;state=s",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, unasked(t), "")
			a := s.call(t, http.MethodGet, query)
			s.server.Close()
			if a.status != http.StatusBadRequest {
				t.Errorf("status %d, want 400", a.status)
			}
			s.counted(t, "invalid")
		})
	}
}

// TestWhatReachesTheService also keeps the code, to see it wiped.
func TestWhatReachesTheService(t *testing.T) {
	t.Parallel()
	type consent struct {
		State, Code, Error string
		Coded              bool
		Params             map[string]string
	}
	state, code := strings.Repeat("s", 512), strings.Repeat("c", 4096)
	for name, row := range map[string]struct {
		query string
		want  consent
	}{
		"a code": {
			"?code=4%2F0Ab_c%2Bd&state=s%20s&scope=a+b&iss=https%3A%2F%2Fidp.test&authuser=0",
			consent{State: "s s", Code: "4/0Ab_c+d", Coded: true, Params: map[string]string{"scope": "a b", "iss": "https://idp.test", "authuser": "0"}},
		},
		"an error": {
			"?error=access_denied&error_description=no&state=s",
			consent{State: "s", Error: "access_denied", Params: map[string]string{"error_description": "no"}},
		},
		"an error with an empty code": {
			"?error=access_denied&code=&state=s",
			consent{State: "s", Error: "access_denied", Params: map[string]string{}},
		},
		"by a name of the provider's": {
			"?spapi_oauth_code=c&state=s&selling_partner_id=A1",
			consent{State: "s", Code: "c", Coded: true, Params: map[string]string{"selling_partner_id": "A1"}},
		},
		"the longest": {
			"?code=" + code + "&state=" + state,
			consent{State: state, Code: code, Coded: true, Params: map[string]string{}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got consent
			var kept seal.Plaintext
			s := newSite(t, serviceFunc(func(_ context.Context, c api.Consent) (api.Verdict, error) {
				kept = c.Code
				got = consent{c.State, string(c.Code.Reveal()), c.Error, !c.Code.IsZero(), c.Params}
				return api.Verdict{Known: true}, nil
			}), "")
			a := s.call(t, http.MethodGet, row.query)
			s.server.Close()
			if a.status != http.StatusOK {
				t.Errorf("status %d", a.status)
			}
			if diff := cmp.Diff(row.want, got); diff != "" {
				t.Errorf("consent (-want +got):\n%s", diff)
			}
			if !kept.IsZero() {
				t.Error("the code was not wiped")
			}
		})
	}
}

// TestABrowserThatGoes: what has arrived is handled to its end.
func TestABrowserThatGoes(t *testing.T) {
	t.Parallel()
	ctx, leave := context.WithCancel(t.Context())
	s := newSite(t, serviceFunc(func(ctx context.Context, _ api.Consent) (api.Verdict, error) {
		leave()
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("the service may take for ever")
		}
		return api.Verdict{Known: true}, ctx.Err()
	}), "")
	w := httptest.NewRecorder()
	s.server.Config.Handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/?code=c&state=s", nil))
	if w.Code != http.StatusOK {
		t.Errorf("status %d", w.Code)
	}
	s.counted(t, "authorized")
}
