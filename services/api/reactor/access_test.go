package reactor_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/rekindle-dev/rekindle/pkg/state/statetest"
	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/apitest"
	"github.com/rekindle-dev/rekindle/services/api/auth"
	"github.com/rekindle-dev/rekindle/services/api/reactor"
)

// away is a verifier whose issuer does not answer.
type away struct{}

func (away) Verify(_ context.Context, token string) (auth.Principal, error) {
	if token == "of-an-issuer-that-is-away" {
		return auth.Principal{}, auth.ErrIssuerAway
	}
	return auth.Principal{}, auth.ErrUnknownToken
}

// newDoor returns a handler over an empty state, with these Deps besides.
func newDoor(t *testing.T, d reactor.Deps) http.Handler {
	t.Helper()
	d.Service = apitest.Start(t, statetest.New(), api.Config{}).Service
	d.Gate = auth.NewGate(
		auth.NewBootstrap(token, auth.Administrator(api.DefaultOrg)),
		auth.NewBootstrap(elsewhere, auth.Administrator("ELSE@WhereOrg")), away{})
	d.Logger, d.Metrics, d.Tracer = slog.New(slog.DiscardHandler), prometheus.NewRegistry(), noop.NewTracerProvider()
	return reactor.New(d)
}

// ask is a request from 192.0.2.1, as httptest has it; headers are "Name: value".
func ask(h http.Handler, method, path, body string, headers ...string) answer {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.Bytes()}
}

const (
	asAdmin = "Authorization: Bearer " + token
	asOther = "Authorization: Bearer " + elsewhere
)

func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	slow := auth.Rate{PerSecond: 0.001, Burst: 2}
	h := newDoor(t, reactor.Deps{Limiter: auth.NewLimiter(auth.Limits{Token: slow, Address: slow})})
	refused := func(name string, a answer) {
		t.Helper()
		got := refusals(t, a)
		if a.status != http.StatusTooManyRequests || !slices.Equal(got, []string{"rate-limited"}) || !regexp.MustCompile(`^(999|1000)$`).MatchString(a.header.Get("Retry-After")) {
			t.Errorf("%s: status %d, errors %v, Retry-After %q", name, a.status, got, a.header.Get("Retry-After"))
		}
	}
	for range 2 {
		if a := ask(h, "GET", "/companies", "", asAdmin); a.status != http.StatusOK {
			t.Errorf("within the limit: status %d", a.status)
		}
		if a := ask(h, "GET", "/companies", "", "Authorization: Bearer made-up"); a.status != http.StatusUnauthorized {
			t.Errorf("a made-up token within the limit: status %d", a.status)
		}
	}
	refused("a third with the token", ask(h, "GET", "/companies", "", asAdmin))
	refused("one that may not", ask(h, "GET", "/parked", "", asAdmin))
	refused("a third made-up token", ask(h, "GET", "/companies", "", "Authorization: Bearer made-up-too"))
	refused("no token", ask(h, "GET", "/companies", ""))
	if a := ask(h, "GET", "/companies", "", asOther); a.status != http.StatusNotFound {
		t.Errorf("another token from that address: status %d", a.status)
	}
	if a := ask(h, "GET", "/heartbeat", ""); a.status != http.StatusNoContent {
		t.Errorf("the heartbeat: status %d", a.status)
	}
}

// TestHeadersOfEveryAnswer asks for answers of all kinds.
func TestHeadersOfEveryAnswer(t *testing.T) {
	t.Parallel()
	secure, plain := newDoor(t, reactor.Deps{PublicURL: "https://api.example.org"}), newDoor(t, reactor.Deps{PublicURL: "http://localhost:8080"})
	seen := map[string]bool{}
	for status, send := range map[int]func(http.Handler) answer{
		200: func(h http.Handler) answer { return ask(h, "GET", "/companies", "", asAdmin) },
		204: func(h http.Handler) answer { return ask(h, "GET", "/heartbeat", "") },
		400: func(h http.Handler) answer {
			return ask(h, "POST", "/tokens", "{", asAdmin, "Content-Type: application/json")
		},
		401: func(h http.Handler) answer { return ask(h, "GET", "/companies", "") },
		403: func(h http.Handler) answer { return ask(h, "GET", "/companies", "", asAdmin, "X-Gw-Ims-Org-Id: other") },
		404: func(h http.Handler) answer { return ask(h, "GET", "/nothing//here", "", asAdmin) },
		405: func(h http.Handler) answer { return ask(h, "DELETE", "/companies", "", asAdmin) },
		406: func(h http.Handler) answer { return ask(h, "GET", "/companies", "", asAdmin, "Accept: text/html") },
		413: func(h http.Handler) answer {
			return ask(h, "POST", "/tokens", strings.Repeat(" ", 256<<10+1), asAdmin, "Content-Type: application/json")
		},
		415: func(h http.Handler) answer {
			return ask(h, "POST", "/tokens", "{}", asAdmin, "Content-Type: text/plain")
		},
		503: func(h http.Handler) answer {
			return ask(h, "GET", "/companies", "", "Authorization: Bearer of-an-issuer-that-is-away")
		},
	} {
		for _, h := range []http.Handler{secure, plain} {
			a := send(h)
			id := a.header.Get("X-Request-Id")
			if a.status != status || !regexp.MustCompile(`^[0-9a-zA-Z]{32}$`).MatchString(id) || seen[id] {
				t.Errorf("status %d, want %d, request id %q", a.status, status, id)
			}
			seen[id] = true
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
				"Access-Control-Allow-Origin": "", "Set-Cookie": "",
			} {
				if got := a.header.Get(name); got != want {
					t.Errorf("status %d: %s is %q, want %q", status, name, got, want)
				}
			}
		}
		if send(secure).header.Get("Strict-Transport-Security") == "" || send(plain).header.Get("Strict-Transport-Security") != "" {
			t.Errorf("status %d: HSTS must be where the public URL is https, and nowhere else", status)
		}
	}
}

// TestRequestIDsAreOurs: one that a client sends is neither told back nor used.
func TestRequestIDsAreOurs(t *testing.T) {
	t.Parallel()
	const sent = "0123456789abcdef0123456789abcdef"
	a := ask(newDoor(t, reactor.Deps{}), "GET", "/companies", "", "X-Request-Id: "+sent)
	if strings.Contains(string(a.body), sent) || a.header.Get("X-Request-Id") == sent {
		t.Errorf("the answer has the client's id: %s", a.body)
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	const console = "https://console.example.org"
	h := newDoor(t, reactor.Deps{Origins: []string{console}})
	preflight := func(origin string) answer {
		return ask(h, "OPTIONS", "/companies", "", "Origin: "+origin, "Access-Control-Request-Method: PATCH", "Access-Control-Request-Headers: authorization")
	}
	a := preflight(console)
	if a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Origin") != console || len(a.body) != 0 {
		t.Errorf("status %d, headers %v", a.status, a.header)
	}
	for _, name := range []string{"Authorization", "X-Api-Key", "X-Gw-Ims-Org-Id", "Accept", "Content-Type", "If-Match", "Idempotency-Key", "X-Rekindle-Purpose"} {
		if !slices.Contains(strings.Split(a.header.Get("Access-Control-Allow-Headers"), ", "), name) {
			t.Errorf("the header %s is not allowed", name)
		}
	}
	for _, method := range []string{"GET", "POST", "PATCH", "DELETE"} {
		if !slices.Contains(strings.Split(a.header.Get("Access-Control-Allow-Methods"), ", "), method) {
			t.Errorf("the method %s is not allowed", method)
		}
	}
	for name, a := range map[string]answer{
		"an answer":            ask(h, "GET", "/companies", "", asAdmin, "Origin: "+console),
		"an error":             ask(h, "GET", "/companies", "", "Origin: "+console),
		"options, not to know": ask(h, "OPTIONS", "/companies", "", asAdmin, "Origin: "+console),
	} {
		if a.header.Get("Access-Control-Allow-Origin") != console || a.header.Get("Access-Control-Expose-Headers") == "" || a.header.Get("Vary") != "Origin" {
			t.Errorf("%s: headers %v", name, a.header)
		}
	}
	for name, a := range map[string]answer{
		"another origin":  preflight("https://evil.example.org"),
		"no origin":       preflight("null"),
		"another scheme":  preflight("http://console.example.org"),
		"a longer name":   preflight(console + ".evil.example.org"),
		"off":             ask(newDoor(t, reactor.Deps{}), "OPTIONS", "/companies", "", "Origin: "+console, "Access-Control-Request-Method: GET"),
		"off, an answer":  ask(newDoor(t, reactor.Deps{}), "GET", "/companies", "", asAdmin, "Origin: "+console),
		"another, answer": ask(h, "GET", "/companies", "", asAdmin, "Origin: https://evil.example.org"),
	} {
		for header := range a.header {
			if strings.HasPrefix(header, "Access-Control-") {
				t.Errorf("%s: has %s", name, header)
			}
		}
	}
	if a.header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("cookies are allowed")
	}
}
