package reactor_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/api/auth"
	"github.com/rekindle-dev/rekindle/services/api/reactor"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

// TestOneTrace follows a client's trace into the span, the record and the event.
func TestOneTrace(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	s.spans.Reset()
	a := s.call(t, http.MethodPost, "/properties/"+tr.edge+"/secrets",
		attributes(`"name":"traced","type_of":"token","credentials":{"token":"t"}`), "Traceparent: "+parent)
	id := decode[struct{ Data shape }](t, a).Data.ID

	spans := s.spans.GetSpans()
	if len(spans) != 1 || spans[0].Name != "POST /properties/{id}/secrets" || spans[0].Parent.SpanID().String() != "b7ad6b7169203331" {
		t.Fatalf("spans are %v", spans)
	}
	want := fmt.Sprintf("00-0af7651916cd43dd8448eb211c80319c-%s-01", spans[0].SpanContext.SpanID())
	record, _, err := secret.Store{State: s.State}.Get(t.Context(), id)
	if err != nil || record.Trace != want {
		t.Errorf("the record's trace is %s (%v), want %s", record.Trace, err, want)
	}
	if published := s.Events.Published(); published[0].Trace != want {
		t.Errorf("the event's trace is %s, want %s", published[0].Trace, want)
	}
	for _, kv := range spans[0].Attributes {
		if strings.Contains(kv.Value.String(), id) || strings.Contains(kv.Value.String(), tr.edge) {
			t.Errorf("the attribute %s tells an id", kv.Key)
		}
	}
}

func TestMetricsAndLogsTellRoutes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tr := s.plant(t)
	s.call(t, http.MethodGet, "/properties/"+tr.edge, "")
	s.call(t, http.MethodGet, "/properties/"+tr.web+"?page[size]=1", "")
	s.call(t, http.MethodGet, "/properties/nobody", "")
	s.call(t, http.MethodHead, "/properties/"+tr.edge, "")
	s.call(t, "BREW", "/a/"+tr.edge, "")
	s.call(t, http.MethodPut, "/companies", "")
	s.call(t, http.MethodGet, "/heartbeat", "", "Authorization:")
	want := `
# HELP rekindle_http_requests_total Requests answered, by route pattern, method and status code.
# TYPE rekindle_http_requests_total counter
rekindle_http_requests_total{code="200",method="GET",route="/companies"} 1
rekindle_http_requests_total{code="200",method="GET",route="/properties/{id}"} 2
rekindle_http_requests_total{code="200",method="HEAD",route="/properties/{id}"} 1
rekindle_http_requests_total{code="201",method="POST",route="/companies/{id}/properties"} 3
rekindle_http_requests_total{code="201",method="POST",route="/properties/{id}/environments"} 3
rekindle_http_requests_total{code="204",method="GET",route="/heartbeat"} 1
rekindle_http_requests_total{code="404",method="GET",route="/properties/{id}"} 1
rekindle_http_requests_total{code="404",method="other",route="unmatched"} 1
rekindle_http_requests_total{code="405",method="PUT",route="unmatched"} 1
`
	if err := testutil.GatherAndCompare(s.Metrics, strings.NewReader(want), "rekindle_http_requests_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(s.Metrics); err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
	keys := []string{"time", "level", "msg", "method", "path", "code", "took", "request"}
	lines := bufio.NewScanner(strings.NewReader(s.Log.String()))
	for lines.Scan() {
		var line map[string]any
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		for key := range line {
			if !slices.Contains(keys, key) {
				t.Errorf("a request's line has the key %s", key)
			}
		}
		if len(line) != len(keys) || strings.Contains(fmt.Sprint(line["path"]), "PR") {
			t.Errorf("line %v", line)
		}
	}
}

// TestAPanicIsAnAnswer lets the publisher panic in the midst of a request.
func TestAPanicIsAnAnswer(t *testing.T) {
	t.Parallel()
	log := new(apitest.Log)
	handler := reactor.New(reactor.Deps{
		Gate: auth.NewGate(), Logger: log.Logger(), Metrics: prometheus.NewRegistry(), Tracer: noop.NewTracerProvider(),
	}) // without a Service every request is a nil dereference
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/companies", nil))
	a := answer{w.Code, w.Header(), w.Body.Bytes()}
	if got := refusals(t, a); a.status != http.StatusInternalServerError || len(got) != 1 || got[0] != "internal-error" {
		t.Errorf("status %d, errors %v", a.status, got)
	}
	if strings.Contains(w.Body.String(), "nil pointer") || !strings.Contains(log.String(), "nil pointer") {
		t.Error("the cause must be in the log and nowhere else")
	}
	if !strings.Contains(log.String(), a.header.Get("X-Request-Id")) {
		t.Error("the log does not tell the request id")
	}
}

func TestAStateThatFails(t *testing.T) {
	t.Parallel()
	inner := statetest.New()
	apitest.PublishKeyset(t, inner)
	faulty := statetest.NewFaulty(inner)
	s := newSiteOver(t, faulty)
	tr := s.plant(t)
	faulty.FailCommit(len(faulty.Commits())+1, statetest.Before)
	a := s.call(t, http.MethodPost, "/properties/"+tr.edge+"/secrets", attributes(`"name":"x","type_of":"token","credentials":{"token":"t"}`))
	if got := refusals(t, a); a.status != http.StatusServiceUnavailable || got[0] != "timeout-error" || a.header.Get("Retry-After") != "1" {
		t.Errorf("status %d, errors %v", a.status, got)
	}
	if !strings.Contains(s.Log.String(), statetest.ErrFault.Error()) {
		t.Error("the log does not tell the cause")
	}
}

func TestWithoutAKeyset(t *testing.T) {
	t.Parallel()
	s := newSiteOver(t, statetest.New())
	tr := s.plant(t)
	a := s.call(t, http.MethodPost, "/properties/"+tr.edge+"/secrets", attributes(`"name":"x","type_of":"token","credentials":{"token":"t"}`))
	got := refusals(t, a)
	if a.status != http.StatusServiceUnavailable || got[0] != "not-ready" || !strings.Contains(string(a.body), "keyset is not known yet") {
		t.Errorf("status %d: %s", a.status, a.body)
	}
	// What is wrong with a request is told all the same.
	a = s.call(t, http.MethodPost, "/properties/"+tr.edge+"/secrets", `{"data":{}}`)
	if a.status != http.StatusUnprocessableEntity {
		t.Errorf("status %d: %s", a.status, a.body)
	}
}

// TestAServerThatIsHardToHoldUp sends what no client library would.
func TestAServerThatIsHardToHoldUp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	address := strings.TrimPrefix(s.url, "http://")
	long := strings.Repeat("x", 64<<10)
	for name, row := range map[string]struct{ request, status string }{
		"a long header":       {"GET /companies HTTP/1.1\r\nHost: a\r\nX-Long: " + long + "\r\n\r\n", "431"},
		"two lengths":         {"POST /companies/x/properties HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400"},
		"no host":             {"GET /companies HTTP/1.1\r\n\r\n", "400"},
		"an absolute path":    {"GET http://elsewhere/heartbeat HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "204"},
		"a path of no path":   {"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "200"},
		"two tokens":          {"GET /companies HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + token + "\r\nAuthorization: Bearer x\r\nConnection: close\r\n\r\n", "401"},
		"a body with no end":  {"POST /companies/x/properties HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + token + "\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n", "400"},
		"a body that is cut":  {"POST /companies/x/properties HTTP/1.0\r\nAuthorization: Bearer " + token + "\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{", "400"},
		"another HTTP method": {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte(row.request)); err != nil {
				t.Fatal(err)
			}
			if tcp, ok := conn.(*net.TCPConn); ok {
				tcp.CloseWrite()
			}
			line, _ := bufio.NewReader(conn).ReadString('\n')
			if row.status != "" && !strings.Contains(line, " "+row.status+" ") {
				t.Errorf("answered %q, want %s", line, row.status)
			}
		})
	}
}
