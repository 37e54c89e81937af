package exchanger

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/egress"
)

// neverShown puts values through every printer there is and looks for what a
// token endpoint was told and what it said.
func neverShown(t testing.TB, values ...any) {
	t.Helper()
	var out bytes.Buffer
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			_, _ = fmt.Fprintf(&out, verb+"\n", v)
		}
		for err, ok := v.(error); ok && err != nil; err = errors.Unwrap(err) {
			_, _ = fmt.Fprintf(&out, "%+v %#v\n", err, err)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("exchanged", "error", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("exchanged", "error", v)
		_ = json.NewEncoder(&out).Encode(v)
	}
	for _, canary := range []string{canarySecret, canaryToken, canaryQuery, canaryBody} {
		if strings.Contains(out.String(), canary) || strings.Contains(out.String(), fmt.Sprintf("%x", canary)) {
			t.Errorf("%s is shown:\n%s", canary, out.String())
		}
	}
}

// reply answers with status and body, and with the request's own form behind
// the body: what an unkind provider would do.
func reply(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		form, _ := io.ReadAll(r.Body)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("X-Echo", string(form))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, strings.ReplaceAll(body, "FORM", string(form)))
	}
}

// What a token endpoint answers, and what that is for us.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const date = "Mon, 06 Jul 2026 10:00:00 GMT"
	said := func(code string) string {
		return `{"error":"` + code + `","error_description":"FORM ` + canaryBody + `","error_uri":"https://x.test/` + canaryBody + `"}`
	}
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   ExchangeError
	}{
		{"wrong secret", reply(401, said("invalid_client")), ExchangeError{
			Reason: events.ReasonRejected, Detail: "the token endpoint answered 401 and the OAuth error invalid_client: check client_id and client_secret", Status: 401,
		}},
		{"wrong secret by 400", reply(400, said("invalid_client")), ExchangeError{
			Reason: events.ReasonRejected, Detail: "the token endpoint answered 400 and the OAuth error invalid_client: check client_id and client_secret", Status: 400,
		}},
		{"revoked, by 403", reply(403, said("invalid_grant")), ExchangeError{
			Reason: events.ReasonRejected, Detail: "the token endpoint answered 403 and the OAuth error invalid_grant: the grant has ended or was revoked", Status: 403,
		}},
		{"error of its own", reply(400, said(canaryBody)), ExchangeError{
			Reason: events.ReasonRejected, Detail: "the token endpoint refused the request (400, no registered OAuth error): check client_id, client_secret and the options", Status: 400,
		}},
		{"error that is the secret", reply(400, `{"error":"`+canarySecret+`"}`), ExchangeError{
			Reason: events.ReasonRejected, Detail: "the token endpoint refused the request (400, no registered OAuth error): check client_id, client_secret and the options", Status: 400,
		}},
		{"401 with a page", reply(401, "<html>FORM"), ExchangeError{
			Reason: events.ReasonRejected, Detail: "the token endpoint refused the request (401, no registered OAuth error): check client_id, client_secret and the options", Status: 401,
		}},
		{"firewall", reply(403, "<html>FORM "+canaryBody), ExchangeError{
			Reason: events.ReasonProviderError, Detail: "the token endpoint answered 403 without an OAuth error: check token_url", Status: 403,
		}},
		{"wrong path", reply(404, canaryBody), ExchangeError{
			Reason: events.ReasonProviderError, Detail: "the token endpoint answered 404 without an OAuth error: check token_url", Status: 404,
		}},
		{"busy by an OAuth error", reply(400, said("slow_down")), ExchangeError{
			Reason: events.ReasonThrottled, Detail: "the token endpoint answered 400 and the OAuth error slow_down: too many requests", Status: 400,
		}},
		{"down by an OAuth error", reply(400, said("temporarily_unavailable")), ExchangeError{
			Reason: events.ReasonProviderError, Detail: "the token endpoint answered 400 and the OAuth error temporarily_unavailable: the provider has a fault of its own", Status: 400,
		}},
		{"throttled", reply(429, said("rate_limited")), ExchangeError{
			Reason: events.ReasonThrottled, Detail: "the token endpoint answered 429: too many requests", Status: 429,
		}},
		{"throttled for seconds", reply(429, "FORM", "Retry-After", "120"), ExchangeError{
			Reason: events.ReasonThrottled, Detail: "the token endpoint answered 429: too many requests", Status: 429, RetryAfter: 2 * time.Minute,
		}},
		{"throttled until a date", reply(429, "FORM", "Date", date, "Retry-After", "Mon, 06 Jul 2026 10:05:00 GMT"), ExchangeError{
			Reason: events.ReasonThrottled, Detail: "the token endpoint answered 429: too many requests", Status: 429, RetryAfter: 5 * time.Minute,
		}},
		{"fault", reply(500, said("invalid_client")), ExchangeError{
			Reason: events.ReasonProviderError, Detail: "the token endpoint answered 500: the provider has a fault of its own", Status: 500,
		}},
		{"down", reply(503, "FORM", "Retry-After", "30"), ExchangeError{
			Reason: events.ReasonProviderError, Detail: "the token endpoint answered 503: the provider has a fault of its own", Status: 503, RetryAfter: 30 * time.Second,
		}},
		{"redirect", reply(302, "", "Location", "/token?"+canaryQuery), ExchangeError{
			Reason: events.ReasonRedirected, Detail: "the token endpoint answered with a redirect (302), which is not followed: set token_url to where it leads", Status: 302,
		}},
		{"redirect of a POST", reply(307, "", "Location", "/token"), ExchangeError{
			Reason: events.ReasonRedirected, Detail: "the token endpoint answered with a redirect (307), which is not followed: set token_url to where it leads", Status: 307,
		}},
		{"redirect without a place", reply(303, ""), ExchangeError{
			Reason: events.ReasonRedirected, Detail: "the token endpoint answered with a redirect (303), which is not followed: set token_url to where it leads", Status: 303,
		}},
		{"not exactly 200", reply(201, goodAnswer), ExchangeError{
			Reason: events.ReasonProviderError, Detail: "the token endpoint answered 201 without an OAuth error: check token_url", Status: 201,
		}},
		{"nothing", reply(204, ""), ExchangeError{
			Reason: events.ReasonProviderError, Detail: "the token endpoint answered 204 without an OAuth error: check token_url", Status: 204,
		}},
		{"log-in page", reply(200, "<html>FORM", "Content-Type", "text/html"), ExchangeError{
			Reason: events.ReasonMalformed, Detail: "the token endpoint answered 200 with a page (HTML or XML) in place of JSON: check token_url", Status: 200,
		}},
		{"the form back", reply(200, "FORM"), ExchangeError{
			Reason: events.ReasonMalformed, Detail: "the token endpoint answered 200 with something that is not JSON: check token_url", Status: 200,
		}},
		{"no lifetime", reply(200, `{"access_token":"`+canaryToken+`"}`), ExchangeError{
			Reason: events.ReasonNoLifetime, Detail: "the answer of the token endpoint has no expires_in: without a lifetime the token cannot be kept fresh", Status: 200,
		}},
		{"200 with an error", reply(200, said("unauthorized_client")), ExchangeError{
			Reason: events.ReasonRejected, Detail: "the token endpoint answered 200 and the OAuth error unauthorized_client: the provider does not permit this client the grant", Status: 200,
		}},
		{"one byte too many", reply(200, goodAnswer+strings.Repeat(" ", maxAnswerBytes+1-len(goodAnswer))), ExchangeError{
			Reason: events.ReasonTooLarge, Detail: "the answer of the token endpoint is longer than 65536 bytes: check token_url", Status: 200,
		}},
		{"far too many", reply(200, strings.Repeat(canaryBody, 1<<16)), ExchangeError{
			Reason: events.ReasonTooLarge, Detail: "the answer of the token endpoint is longer than 65536 bytes: check token_url", Status: 200,
		}},
		{"refusal at length", reply(401, strings.Repeat(canaryBody, 1<<16)), ExchangeError{
			Reason: events.ReasonRejected, Detail: "the token endpoint refused the request (401, no registered OAuth error): check client_id, client_secret and the options", Status: 401,
		}},
		{"header too long", reply(200, goodAnswer, "X-Long", strings.Repeat("x", egress.MaxHeaderBytes)), ExchangeError{
			Reason: events.ReasonMalformed, Detail: "the answer of the token endpoint is not HTTP, or its header is longer than 32768 bytes: check token_url", Sent: true,
		}},
	}
	c := newClientFor(t, EgressConfig{Allow: loopback})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(t, tt.answer)
			e.Start()
			answer, err := c.Exchange(t.Context(), newRequest(e.URL+"/token?"+canaryQuery))
			got := *wantReason(t, err, tt.want.Reason)
			got.ProviderTime = time.Time{}                              // by the real clock
			got.Detail, _, _ = strings.Cut(got.Detail, " (the answer:") // TestExcerpt
			if got != tt.want {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
			e.wants(t, 1)
			neverShown(t, answer, err, newRequest(""))
		})
	}
}

func TestLongestAnswerIsRead(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, reply(200, goodAnswer+strings.Repeat(" ", maxAnswerBytes-len(goodAnswer))))
	e.Start()
	answer, err := newClientFor(t, EgressConfig{Allow: loopback}).Exchange(t.Context(), newRequest(e.URL))
	if err != nil {
		t.Fatal(err)
	}
	neverShown(t, answer)
}

// What connections do.
func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	patient := newClientFor(t, EgressConfig{Allow: loopback})
	hasty := newClientFor(t, EgressConfig{Allow: loopback, Timeout: 500 * time.Millisecond})
	const (
		disconnected = "the token endpoint closed the connection after the request was sent and before the answer was complete"
		late         = "the token endpoint gave no complete answer within 500ms"
	)
	say := func(text string) func(*net.TCPConn) {
		return func(conn *net.TCPConn) { _, _ = io.WriteString(conn, text) }
	}
	tests := []struct {
		name   string
		answer func(*net.TCPConn)
		reason events.Reason
		detail string
	}{
		{"closed unanswered", func(*net.TCPConn) {}, events.ReasonDisconnected, disconnected},
		{"reset", func(c *net.TCPConn) { _ = c.SetLinger(0) }, events.ReasonDisconnected, disconnected},
		{"closed in the header", say("HTTP/1.1 200 OK\r\nX-A: " + canaryBody), events.ReasonDisconnected, disconnected},
		{"closed in the body", say(rawAnswer[:len(rawAnswer)-9]), events.ReasonDisconnected, disconnected},
		{"closed in a chunk", say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n" + canaryBody), events.ReasonDisconnected, disconnected},
		{"not HTTP", say("220 mail.test ESMTP " + canaryBody + "\r\n"), events.ReasonMalformed, "the answer of the token endpoint is not HTTP, or its header is longer than 32768 bytes: check token_url"},
		{"not a chunk", say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + canaryBody + "\r\n"), events.ReasonMalformed, "the answer of the token endpoint is not HTTP, or its header is longer than 32768 bytes: check token_url"},
		{"never answered", func(*net.TCPConn) { <-hold }, events.ReasonTimeout, late},
		{"half an answer", func(c *net.TCPConn) { say(rawAnswer[:len(rawAnswer)-9])(c); <-hold }, events.ReasonTimeout, late},
		{"slow drip", drip, events.ReasonTimeout, late},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := patient
			if tt.reason == events.ReasonTimeout {
				c = hasty
			}
			e := newRawEndpoint(t, func(e *rawEndpoint, conn *net.TCPConn) {
				if e.read(bufio.NewReader(conn)) {
					tt.answer(conn)
				}
			})
			answer, err := c.Exchange(t.Context(), newRequest(e.url))
			if got := wantReason(t, err, tt.reason); got.Detail != tt.detail || got.Status != 0 {
				t.Errorf("status %d, detail %q\nwant detail %q", got.Status, got.Detail, tt.detail)
			}
			if n := e.requests.Load(); n != 1 {
				t.Errorf("%d requests reached the endpoint, want 1", n)
			}
			neverShown(t, answer, err)
		})
	}
}

// drip writes a byte at a time for as long as there is somebody to read it.
func drip(conn *net.TCPConn) {
	_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
	for tick := time.Tick(5 * time.Millisecond); err == nil; <-tick {
		_, err = io.WriteString(conn, " ")
	}
}

// What keeps a connection from being made: the provider has seen nothing.
func TestNoConnection(t *testing.T) {
	t.Parallel()
	resolver := newResolver(t, map[string]netip.Addr{
		"provider.test.": netip.MustParseAddr("127.0.0.1"),
		"broken.test.":   {},
	})
	plain := newEndpoint(t, succeed)
	plain.Start()
	secure := newEndpoint(t, succeed)
	secure.StartTLS()
	expired := newEndpoint(t, succeed)
	expiredPool := expiredCertificate(t, expired)
	expired.StartTLS()
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	silent := newRawEndpoint(t, func(*rawEndpoint, *net.TCPConn) { <-hold })
	closing := newRawEndpoint(t, func(_ *rawEndpoint, conn *net.TCPConn) {
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.SetLinger(0)
	})
	roots := secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	https := func(url string) string { return "https" + strings.TrimPrefix(url, "http") }
	tests := []struct {
		name, url string
		roots     *x509.CertPool
		want      string
	}{
		{"no such host", "https://nowhere.test/token", roots, "no_such_host: nxdomain"},
		{"name server down", "https://broken.test/token", roots, "unreachable: the host name of the token endpoint could not be looked up: the name server failed"},
		{"refused", "http://" + closedPort(t), roots, "unreachable: the token endpoint refused the connection: check host and port of token_url"},
		{"no such port", "http://127.0.0.1:99999", roots, "unreachable: the token endpoint cannot be reached: check host and port of token_url"},
		{"unknown authority", secure.URL, x509.NewCertPool(), "untrusted: the certificate of the token endpoint is from an authority that is not trusted here"},
		{"other host", strings.Replace(secure.URL, "127.0.0.1", "provider.test", 1), roots, "untrusted: the certificate of the token endpoint is for another host: check token_url"},
		{"expired", expired.URL, expiredPool, "untrusted: the certificate of the token endpoint has expired or is not valid yet"},
		{"no TLS", https(plain.URL), roots, "untrusted: the token endpoint does not speak TLS on this port: check token_url"},
		{"closed in the handshake", https(closing.url), roots, "unreachable: the token endpoint closed the connection during the TLS handshake"},
		{"silent in the handshake", https(silent.url), roots, "timeout: no connection to the token endpoint could be made within 500ms: check host and port of token_url"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := EgressConfig{Allow: loopback, RootCAs: tt.roots, resolver: resolver}
			if strings.HasPrefix(tt.want, "timeout") {
				cfg.Timeout = 500 * time.Millisecond
			}
			c := newClientFor(t, cfg)
			_, err := c.Exchange(t.Context(), newRequest(tt.url))
			if failure, ok := errors.AsType[*ExchangeError](err); !ok || err.Error() != tt.want || failure.Status != 0 {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			neverShown(t, err)
		})
	}
	plain.wants(t, 0)
	secure.wants(t, 0)
	expired.wants(t, 0)
}

// closedPort returns an address nobody listens on.
func closedPort(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return ln.Addr().String()
}

// expiredCertificate gives e one, and returns who vouches for it.
func expiredCertificate(t *testing.T, e *countedServer) *x509.CertPool {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-48 * time.Hour),
		NotAfter:     time.Now().Add(-24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	e.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

// An end of the caller's context is no outcome.
func TestInterruption(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // from here on the server notices that we leave
		if r.URL.Path == "/half" {
			_, _ = io.WriteString(w, goodAnswer[:9])
			_ = http.NewResponseController(w).Flush()
		}
		arrived <- struct{}{}
		<-r.Context().Done()
	})
	e.Start()
	c := newClientFor(t, EgressConfig{Allow: loopback})
	for _, path := range []string{"/none", "/half"} {
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-arrived
			cancel(errors.New("shutting down"))
		}()
		_, err := c.Exchange(ctx, newRequest(e.URL+path))
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: cancelled: %v", path, err)
		}
	}
	ended, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := c.Exchange(ended, newRequest(e.URL)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("past the deadline: %v", err)
	}
	e.wants(t, 2)
}

// In what forms a provider says for how long it wants to be left alone.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const date = "Sun, 22 Nov 2026 12:00:00 GMT"
	for _, tt := range retryAfters() {
		header := http.Header{"Retry-After": tt.values, "Date": {date}}
		if got := retryAfter(header); got != tt.want {
			t.Errorf("%q is %v, want %v", tt.values, got, tt.want)
		}
	}
	if got := retryAfter(http.Header{"Retry-After": {"Mon, 06 Jul 2099 10:00:00 GMT"}}); got != maxRetryAfter {
		t.Errorf("without a Date: %v", got)
	}
}

// retryAfters are values of the header, and what they mean at noon of 22 November 2026.
func retryAfters() []retryAfterForm {
	return []retryAfterForm{
		{nil, 0},
		{[]string{""}, 0},
		{[]string{"0"}, 0},
		{[]string{"86401"}, maxRetryAfter},
		{[]string{"-1"}, 0},
		{[]string{"soon"}, 0},
		{[]string{"0x10"}, 0},
		{[]string{"1e3"}, 0},
		{[]string{"NaN"}, 0},
		{[]string{"5"}, 5 * time.Second},
		{[]string{" 5 "}, 5 * time.Second},
		{[]string{`"120"`}, 2 * time.Minute},
		{[]string{"5.5"}, 5500 * time.Millisecond},
		{[]string{"5, 10"}, 10 * time.Second},
		{[]string{"10,5,"}, 10 * time.Second},
		{[]string{"5", "600"}, 10 * time.Minute},
		{[]string{"600", "5"}, 10 * time.Minute},
		{[]string{"junk", "600"}, 10 * time.Minute},
		{[]string{"5", "Sun, 22 Nov 2026 12:01:00 GMT"}, time.Minute},
		{[]string{"9223372036854775808"}, maxRetryAfter},
		{[]string{"99999999999999999999"}, maxRetryAfter},
		{[]string{strings.Repeat("9", 400)}, maxRetryAfter},
		{[]string{"1795348860"}, maxRetryAfter}, // a moment, by the look of it
		{[]string{"Sun, 22 Nov 2026 12:01:00 GMT"}, time.Minute},
		{[]string{"Sunday, 22-Nov-26 12:01:00 GMT"}, time.Minute},
		{[]string{"Sun Nov 22 12:01:00 2026"}, time.Minute},
		{[]string{"Sun, 22 Nov 2026 12:01:00 UTC"}, time.Minute},
		{[]string{"Sun, 22 Nov 2026 12:01:00 +0000"}, time.Minute},
		{[]string{"Sun, 22 Nov 2026 13:01:00 +0100"}, time.Minute},
		{[]string{"2026-11-22T12:01:00Z"}, time.Minute},
		{[]string{"Sun, 22 Nov 2026 11:00:00 GMT"}, 0},
		{[]string{"Sun, 22 Nov 9999 12:01:00 GMT"}, maxRetryAfter},
	}
}

type retryAfterForm struct {
	values []string
	want   time.Duration
}

// Every status there can be has an outcome of the closed set and a text that
// does not depend on what came with it.
func TestEveryStatusHasAnOutcome(t *testing.T) {
	t.Parallel()
	for status := 100; status < 1000; status++ {
		if status == http.StatusOK {
			continue
		}
		failure := wantAnyReason(t, refused(status, http.Header{}, []byte(canaryBody)))
		again := wantAnyReason(t, refused(status, http.Header{}, []byte(`{"error":"`+canarySecret+`"}`)))
		if failure.Status != status || !strings.Contains(failure.Detail, strconv.Itoa(status)) || *failure != *again {
			t.Errorf("%d: %+v and %+v", status, failure, again)
		}
		neverShown(t, failure, again)
	}
}

func wantAnyReason(t *testing.T, err error) *ExchangeError {
	t.Helper()
	failure, ok := errors.AsType[*ExchangeError](err)
	if !ok || !slices.Contains(events.Reasons(), failure.Reason) {
		t.Fatalf("%v is not of the closed set", err)
	}
	return failure
}
