package courier_test

import (
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/egress"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
	"github.com/rekindle-dev/rekindle/services/courier"
)

// Receivers of every kind, on real connections.
func TestPost(t *testing.T) {
	t.Parallel()
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if body, err := io.ReadAll(r.Body); err != nil || string(body) != "{}" || r.Method != http.MethodPost || r.Header.Get("Webhook-Id") != "msg_1" {
				t.Errorf("got %s %q: %v", r.Method, body, err)
			}
			w.WriteHeader(code)
		}
	}
	tests := []struct {
		name    string
		receive http.HandlerFunc
		allow   []netip.Prefix
		secure  bool
		status  int
		problem webhook.Problem
	}{
		{"200", status(200), loopback, false, 200, ""},
		{"201", status(201), loopback, true, 201, ""},
		{"202", status(202), loopback, false, 202, webhook.ProblemStatus},
		{"204", status(204), loopback, false, 204, webhook.ProblemStatus},
		{"500", status(500), loopback, false, 500, webhook.ProblemStatus},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/hook" {
				t.Error("the redirect was followed")
			}
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, loopback, false, 307, webhook.ProblemStatus},
		{"huge answer", func(w http.ResponseWriter, r *http.Request) {
			part := make([]byte, 64<<10)
			for range 1 << 14 { // a GiB: the sender has to hang up
				if _, err := w.Write(part); err != nil {
					return
				}
			}
			t.Error("all of the answer was read")
		}, loopback, false, 200, ""},
		{"huge header", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("x", 2*egress.MaxHeaderBytes))
		}, loopback, false, 0, webhook.ProblemBroken},
		{"time-out", func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body) // a server notices only then that the client has gone
			<-r.Context().Done()
		}, loopback, false, 0, webhook.ProblemTimeout},
		{"no answer", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, loopback, false, 0, webhook.ProblemBroken},
		{"private address", status(200), nil, true, 0, webhook.ProblemAddress},
		{"plain http", status(200), nil, false, 0, webhook.ProblemAddress},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(tt.receive)
			roots := x509.NewCertPool()
			if tt.secure {
				server.StartTLS()
				roots.AddCert(server.Certificate())
			} else {
				server.Start()
			}
			t.Cleanup(server.Close)
			patience := time.Minute
			if tt.problem == webhook.ProblemTimeout {
				patience = 200 * time.Millisecond
			}
			c := courier.NewClient(egress.Config{Allow: tt.allow, RootCAs: roots}, patience)
			t.Cleanup(c.Close)
			code, problem := c.Post(t.Context(), server.URL+"/hook", http.Header{"Webhook-Id": {"msg_1"}}, []byte("{}"))
			if code != tt.status || problem != tt.problem {
				t.Errorf("got %d %q, want %d %q", code, problem, tt.status, tt.problem)
			}
		})
	}
}

// What stands in the way is told in a word, never in the network's own.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := "http://" + ln.Addr().String()
	ln.Close()
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(untrusted.Close)
	c := courier.NewClient(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, time.Minute)
	t.Cleanup(c.Close)
	for url, want := range map[string]webhook.Problem{
		refusing:                   webhook.ProblemConnect,
		untrusted.URL:              webhook.ProblemTLS,
		"https://[::1]:1/":         webhook.ProblemAddress,
		"https://169.254.169.254/": webhook.ProblemAddress,
		"http://169.254.169.254/":  webhook.ProblemAddress,
		"https://10.0.0.1/":        webhook.ProblemAddress,
		"https://2130706433/":      webhook.ProblemAddress,
		strings.Replace(untrusted.URL, "https", "http", 1): webhook.ProblemStatus,
	} {
		code, problem := c.Post(t.Context(), url, http.Header{}, nil)
		if problem != want {
			t.Errorf("%s: %d %q, want %q", url, code, problem, want)
		}
	}
}
