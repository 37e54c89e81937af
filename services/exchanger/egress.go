package exchanger

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/egress"
)

// EgressConfig says where token requests may go and what they may take. Its
// zero value means: by https, to public addresses, with the contract's bounds.
type EgressConfig struct {
	// Allow lists the networks beside the public ones that token endpoints may
	// be in. They may be reached by plain http too.
	Allow []netip.Prefix
	// Timeout bounds an exchange as a whole, from the look-up of the name to
	// the last byte of the answer. Default 10 s (contract A10).
	Timeout time.Duration
	// MaxConnsPerHost bounds the connections to one host; an exchange that
	// finds none free waits within its Timeout. Default 512.
	MaxConnsPerHost int
	// RootCAs are who may vouch for a token endpoint; nil means the system's.
	RootCAs *x509.CertPool
	// Dial connects in place of the system, for exchanges on a network that is
	// not the machine's own. It is asked for addresses alone, and only for those
	// that may be reached: names are not looked up.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Now is the clock of what apps sign; nil means time.Now.
	Now func() time.Time

	resolver *net.Resolver // nil: the system's
}

const (
	defaultTimeout = 10 * time.Second
	maxAnswerBytes = 64 << 10 // contract A10
	userAgent      = "rekindle"
)

func (c EgressConfig) withDefaults() EgressConfig {
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Client sends token requests. A token endpoint's URL is chosen by whoever
// created the secret, so a Client trusts it with nothing:
//
//   - https goes to public addresses and to those of Allow, plain http to those
//     of Allow only. What counts is the address that is dialled, whatever the
//     URL or a name server said.
//   - Redirects are not followed, and no proxy is taken from the environment.
//   - An answer is bounded in time and in bytes and is not decompressed.
//   - A request is sent at most once; see below.
//
// net/http resends a request on its own when a connection it had kept turns
// out to be dead. For a POST without an Idempotency-Key over HTTP/1.1, one case
// is left ([http.Transport], shouldRetryRequest in Go 1.26): not one byte of it
// was written. Over HTTP/2 it would also resend what the server says it has not
// processed (GOAWAY, REFUSED_STREAM), and a single connection that dies would
// take every exchange of a provider with it, so HTTP/2 is not spoken.
//
// A Client is safe for concurrent use.
type Client struct {
	timeout time.Duration
	secure  *http.Transport // https
	plain   *http.Transport // http
	now     func() time.Time
}

// NewClient returns a Client; Close it when done.
func NewClient(cfg EgressConfig) *Client {
	cfg = cfg.withDefaults()
	return &Client{timeout: cfg.Timeout, secure: cfg.egress().Secure(), plain: cfg.egress().Plain(), now: cfg.Now}
}

// egress is the way out.
func (c EgressConfig) egress() egress.Config {
	return egress.Config{
		Allow: c.Allow, DialTimeout: c.Timeout, MaxConnsPerHost: c.MaxConnsPerHost,
		RootCAs: c.RootCAs, Dial: c.Dial, Resolver: c.resolver,
	}
}

// Close closes the connections no exchange is using.
func (c *Client) Close() {
	c.secure.CloseIdleConnections()
	c.plain.CloseIdleConnections()
}

// do sends req without any of http.Client's additions: redirects, cookies, and
// errors that quote the URL with its query.
func (c *Client) do(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "http" {
		return c.plain.RoundTrip(req)
	}
	return c.secure.RoundTrip(req)
}

// response is what came back for a request.
type response struct {
	status int
	header http.Header
	body   []byte // may hold tokens: whoever has it clears it
}

// successful reports whether a status is of a success. Contract A10 has client
// credentials and JWTs succeed with 200 alone.
func successful(status int) bool { return status >= 200 && status < 300 }

// send sends the request that build makes, once, and reads what comes back: all
// of a success, and as much of anything else as came in time. Late is as of
// [TokenRequest], and errors are as of [Client.Exchange].
func (c *Client) send(ctx context.Context, build func(context.Context) (*http.Request, error), late func() bool) (response, error) {
	bounded, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	reached := progress{expired: late}
	req, err := build(reached.watch(bounded))
	if err != nil {
		return response{}, err
	}
	resp, err := c.do(req)
	if err != nil {
		return response{}, c.broken(ctx, bounded, err, &reached)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := readAnswer(resp)
	if successful(resp.StatusCode) && err != nil {
		clear(body)
		return response{}, c.broken(ctx, bounded, err, &reached)
	}
	if successful(resp.StatusCode) && len(body) > maxAnswerBytes {
		clear(body)
		return response{}, tooLarge(resp.StatusCode)
	}
	return response{resp.StatusCode, resp.Header, body}, nil
}

// readAnswer reads the body to its end, so that the connection can be used
// again, or to one byte more than is accepted. What it returns with an error is
// the part that came.
func readAnswer(resp *http.Response) ([]byte, error) {
	size := 4 << 10
	if n := resp.ContentLength; n >= 0 && n <= maxAnswerBytes {
		size = int(n) + bytes.MinRead // read without growing, which would leave copies
	}
	buf := bytes.NewBuffer(make([]byte, 0, size))
	_, err := buf.ReadFrom(io.LimitReader(resp.Body, maxAnswerBytes+1))
	return buf.Bytes(), err
}
