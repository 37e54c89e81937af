package exchanger

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
)

// Values that must not be seen anywhere but at the token endpoint.
const (
	canarySecret = "canary-client-secret-7f3a"
	canaryToken  = "canary-access-token-91bc"
	canaryQuery  = "canary-query-55e0"
	canaryBody   = "canary-body-c2d8"
)

const goodAnswer = `{"access_token":"` + canaryToken + `","expires_in":36000,"token_type":"bearer"}`

// rawAnswer is goodAnswer with its header.
var rawAnswer = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(goodAnswer), goodAnswer)

// loopback is what a deployment allows that has its token endpoints at hand.
var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// countedServer is a real token endpoint that counts what reaches it.
type countedServer struct {
	*httptest.Server
	requests, conns atomic.Int64
}

// newEndpoint makes an endpoint that is still to be started.
func newEndpoint(t testing.TB, answer http.HandlerFunc) *countedServer {
	e := &countedServer{}
	e.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.requests.Add(1)
		answer(w, r)
	}))
	e.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	e.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			e.conns.Add(1)
		}
	}
	t.Cleanup(e.Close)
	return e
}

// wants fails the test unless exactly n requests have come.
func (e *countedServer) wants(t testing.TB, n int64) {
	t.Helper()
	if got := e.requests.Load(); got != n {
		t.Errorf("%d requests reached the endpoint, want %d", got, n)
	}
}

func succeed(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, goodAnswer)
}

// rawEndpoint answers on bare connections.
type rawEndpoint struct {
	listener        net.Listener
	url             string
	requests, conns atomic.Int64
}

// newRawEndpoint hands each connection to serve and closes it afterwards.
func newRawEndpoint(t testing.TB, serve func(*rawEndpoint, *net.TCPConn)) *rawEndpoint {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &rawEndpoint{listener: ln, url: "http://" + ln.Addr().String() + "/token?" + canaryQuery}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			e.conns.Add(1)
			go func() {
				defer func() { _ = conn.Close() }()
				serve(e, conn.(*net.TCPConn))
			}()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return e
}

// read takes one whole request from a connection.
func (e *rawEndpoint) read(r *bufio.Reader) bool {
	req, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return false
	}
	e.requests.Add(1)
	return true
}

func newClientFor(t testing.TB, cfg EgressConfig) *Client {
	c := NewClient(cfg)
	t.Cleanup(c.Close)
	return c
}

func newRequest(url string) TokenRequest {
	return TokenRequest{Grant: grantClientCredentials, URL: url, ClientID: "c1", ClientSecret: seal.NewPlaintext(canarySecret)}
}

// wantReason returns the error as what it must be.
func wantReason(t testing.TB, err error, want events.Reason) *ExchangeError {
	t.Helper()
	failure, ok := errors.AsType[*ExchangeError](err)
	if !ok {
		t.Fatalf("error is %v, want an *ExchangeError", err)
	}
	if failure.Reason != want {
		t.Errorf("reason is %v, want %s", failure, want)
	}
	return failure
}

// newResolver returns a resolver that asks a name server of the test's own.
// Names it is not told of do not exist; the zero address makes it fail.
func newResolver(t testing.TB, names map[string]netip.Addr) *net.Resolver {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		query := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(query)
			if err != nil {
				return
			}
			if answer := resolve(query[:n], names); answer != nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() { _ = conn.Close(); <-done })
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}
	return &net.Resolver{PreferGo: true, Dial: dial}
}

func resolve(query []byte, names map[string]netip.Addr) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil
	}
	question, err := p.Question()
	if err != nil {
		return nil
	}
	addr, known := names[question.Name.String()]
	header.Response, header.RecursionAvailable = true, true
	switch {
	case !known:
		header.RCode = dnsmessage.RCodeNameError
	case !addr.IsValid():
		header.RCode = dnsmessage.RCodeServerFailure
	}
	b := dnsmessage.NewBuilder(nil, header)
	_ = b.StartQuestions()
	_ = b.Question(question)
	_ = b.StartAnswers()
	rr := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET, TTL: 1}
	switch {
	case addr.Is4() && question.Type == dnsmessage.TypeA:
		_ = b.AResource(rr, dnsmessage.AResource{A: addr.As4()})
	case addr.Is6() && question.Type == dnsmessage.TypeAAAA:
		_ = b.AAAAResource(rr, dnsmessage.AAAAResource{AAAA: addr.As16()})
	}
	answer, err := b.Finish()
	if err != nil {
		return nil
	}
	return answer
}

// What is checked is the address that is dialled, however it is spelled or
// looked up, and nothing connects to one that is refused.
func TestDialledAddressIsChecked(t *testing.T) {
	t.Parallel()
	plain := newEndpoint(t, succeed)
	plain.Start()
	secure := newEndpoint(t, succeed)
	secure.StartTLS()
	_, port, err := net.SplitHostPort(secure.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	resolver := newResolver(t, map[string]netip.Addr{
		"inside.test.":  netip.MustParseAddr("127.0.0.1"),
		"inside6.test.": netip.IPv6Loopback(),
		"mapped.test.":  netip.MustParseAddr("::ffff:127.0.0.1"),
	})
	const useHTTPS = "plain http is not allowed to the address of the token endpoint: use https"
	const notAllowed = "the token endpoint has a private or special address, which this deployment does not allow"
	tests := []struct{ name, url, detail string }{
		{"literal", secure.URL, notAllowed},
		{"IPv6 literal", "https://[::1]:" + port, notAllowed},
		{"mapped literal", "https://[::ffff:127.0.0.1]:" + port, notAllowed},
		{"NAT64 literal", "https://[64:ff9b::7f00:1]:" + port, notAllowed},
		{"hosts file", "https://localhost:" + port, notAllowed},
		{"name server", "https://inside.test:" + port, notAllowed},
		{"name server, IPv6", "https://inside6.test:" + port, notAllowed},
		{"name server, mapped", "https://mapped.test:" + port, notAllowed},
		{"plain http", plain.URL, useHTTPS},
		{"plain http to a public address", "http://9.9.9.9/token", useHTTPS},
	}
	c := newClientFor(t, EgressConfig{resolver: resolver})
	for _, tt := range tests {
		_, err := c.Exchange(t.Context(), newRequest(tt.url))
		if failure := wantReason(t, err, events.ReasonAddressRefused); failure.Detail != tt.detail {
			t.Errorf("%s: detail is %q", tt.name, failure.Detail)
		}
	}
	if n := plain.conns.Load() + secure.conns.Load(); n != 0 {
		t.Errorf("%d connections were made", n)
	}
}

func TestAllowedAddresses(t *testing.T) {
	t.Parallel()
	plain := newEndpoint(t, succeed)
	plain.Start()
	secure := newEndpoint(t, succeed)
	secure.StartTLS()
	roots := secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	resolver := newResolver(t, map[string]netip.Addr{"example.com.": netip.MustParseAddr("127.0.0.1")})
	_, port, err := net.SplitHostPort(secure.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := newClientFor(t, EgressConfig{Allow: loopback, RootCAs: roots, resolver: resolver})
	for _, url := range []string{plain.URL, secure.URL, "https://example.com:" + port} {
		if _, err := c.Exchange(t.Context(), newRequest(url)); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// A dial of somebody else's is asked only for what the system would be.
func TestDialIsGated(t *testing.T) {
	t.Parallel()
	var dialled []string
	c := newClientFor(t, EgressConfig{
		Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		Dial: func(_ context.Context, _, address string) (net.Conn, error) {
			dialled = append(dialled, address)
			return nil, &net.OpError{Op: "dial", Err: errors.New("nobody there")}
		},
	})
	tests := []struct {
		url  string
		want events.Reason
	}{
		{"http://10.1.2.3/token", events.ReasonUnreachable},
		{"https://9.9.9.9/token", events.ReasonUnreachable},
		{"http://9.9.9.9/token", events.ReasonAddressRefused},
		{"https://10.2.0.1/token", events.ReasonAddressRefused},
		{"https://169.254.169.254/token", events.ReasonAddressRefused},
		{"https://example.com/token", events.ReasonAddressRefused},
		{"http://localhost/token", events.ReasonAddressRefused},
	}
	for _, tt := range tests {
		_, err := c.Exchange(t.Context(), newRequest(tt.url))
		wantReason(t, err, tt.want)
	}
	if want := []string{"10.1.2.3:80", "9.9.9.9:443"}; !slices.Equal(dialled, want) {
		t.Errorf("dialled %v, want %v", dialled, want)
	}
}

// No proxy of the environment sees a token request.
func TestEnvironmentProxyIsIgnored(t *testing.T) {
	proxy := newRawEndpoint(t, func(*rawEndpoint, *net.TCPConn) {})
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, proxy.url)
	}
	e := newEndpoint(t, succeed)
	e.Start()
	_, port, err := net.SplitHostPort(e.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// Not "localhost" and not 127.0.0.1, which net/http would never proxy.
	resolver := newResolver(t, map[string]netip.Addr{"provider.test.": netip.MustParseAddr("127.0.0.1")})
	c := newClientFor(t, EgressConfig{Allow: loopback, resolver: resolver})
	if _, err := c.Exchange(t.Context(), newRequest("http://provider.test:"+port)); err != nil {
		t.Error(err)
	}
	e.wants(t, 1)
	if n := proxy.conns.Load(); n != 0 {
		t.Errorf("the proxy saw %d connections", n)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	answers := []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"token", succeed},
		{"refusal", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
		}},
		{"redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }},
	}
	for _, tt := range answers {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e := newEndpoint(t, tt.answer)
			e.Start()
			c := newClientFor(t, EgressConfig{Allow: loopback})
			for range 20 {
				_, _ = c.Exchange(t.Context(), newRequest(e.URL))
			}
			e.wants(t, 20)
			if n := e.conns.Load(); n != 1 {
				t.Errorf("20 exchanges took %d connections, want 1", n)
			}
		})
	}
}

// A connection that was kept and dies once the request was read leaves the
// outcome unknown; sending again could spend a grant twice.
func TestRequestIsNotResent(t *testing.T) {
	t.Parallel()
	e := newRawEndpoint(t, func(e *rawEndpoint, conn *net.TCPConn) {
		r := bufio.NewReader(conn)
		if e.read(r) {
			_, _ = io.WriteString(conn, rawAnswer)
			e.read(r)
		}
	})
	c := newClientFor(t, EgressConfig{Allow: loopback})
	for round := range int64(50) {
		if _, err := c.Exchange(t.Context(), newRequest(e.url)); err != nil {
			t.Fatal(err)
		}
		_, err := c.Exchange(t.Context(), newRequest(e.url))
		wantReason(t, err, events.ReasonDisconnected)
		if n := e.requests.Load(); n != 2*(round+1) {
			t.Fatalf("%d requests reached the endpoint, want %d", n, 2*(round+1))
		}
		if n := e.conns.Load(); n != round+1 {
			t.Fatalf("%d connections, want %d: the second exchange did not reuse the first one's", n, round+1)
		}
	}
}

// A kept connection that takes not one byte is replaced, for nothing was sent
// yet; and where there is no other to be had, that is known to be so.
func TestUnsentRequestTakesAnotherConnection(t *testing.T) {
	t.Parallel()
	for _, reachable := range []bool{true, false} {
		hold := make(chan struct{})
		t.Cleanup(func() { close(hold) })
		e := newRawEndpoint(t, func(e *rawEndpoint, conn *net.TCPConn) {
			if e.read(bufio.NewReader(conn)) {
				_, _ = io.WriteString(conn, rawAnswer)
			}
			<-hold // keeps its side open when ours is shut
		})
		c := newClientFor(t, EgressConfig{Allow: loopback})
		var used *net.TCPConn
		traced := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) { used = info.Conn.(*net.TCPConn) },
		})
		if _, err := c.Exchange(traced, newRequest(e.url)); err != nil {
			t.Fatal(err)
		}
		if err := used.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if !reachable {
			if err := e.listener.Close(); err != nil {
				t.Fatal(err)
			}
		}
		_, err := c.Exchange(t.Context(), newRequest(e.url))
		want := int64(1)
		if reachable {
			want = 2
			if err != nil {
				t.Error(err)
			}
		} else {
			wantReason(t, err, events.ReasonUnreachable)
		}
		if requests, conns := e.requests.Load(), e.conns.Load(); requests != want || conns != want {
			t.Errorf("%d requests on %d connections, want %d on as many", requests, conns, want)
		}
	}
}

// HTTP/2 would resend what the server says it has not processed.
func TestHTTP2IsNotSpoken(t *testing.T) {
	t.Parallel()
	protocol := make(chan string, 1)
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		protocol <- r.Proto
		succeed(w, r)
	})
	e.EnableHTTP2 = true
	e.StartTLS()
	roots := e.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	c := newClientFor(t, EgressConfig{Allow: loopback, RootCAs: roots})
	if _, err := c.Exchange(t.Context(), newRequest(e.URL)); err != nil {
		t.Fatal(err)
	}
	if got := <-protocol; got != "HTTP/1.1" {
		t.Errorf("protocol is %s", got)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	t.Parallel()
	e := newEndpoint(t, succeed)
	e.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
	e.StartTLS()
	roots := e.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	c := newClientFor(t, EgressConfig{Allow: loopback, RootCAs: roots})
	_, err := c.Exchange(t.Context(), newRequest(e.URL))
	wantReason(t, err, events.ReasonUntrusted)
	e.wants(t, 0)
}

func TestMaxConnsPerHost(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	e := newEndpoint(t, func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		succeed(w, r)
	})
	e.Start()
	c := newClientFor(t, EgressConfig{Allow: loopback, MaxConnsPerHost: 1})
	done := make(chan error)
	for range 2 {
		go func() {
			_, err := c.Exchange(t.Context(), newRequest(e.URL))
			done <- err
		}()
	}
	for range 2 {
		<-arrived
		release <- struct{}{}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := e.conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}
