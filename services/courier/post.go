package courier

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/egress"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

const (
	// PostIn bounds a try, from the look-up of the name to the end of the answer.
	PostIn = 10 * time.Second
	// maxAnswer is how much of an answer is read, which nobody looks at: a connection is
	// used again only when all of it was.
	maxAnswer = 16 << 10
	userAgent = "rekindle"
)

// Client posts to wherever a callback says, and trusts that with nothing: see package
// egress. It follows no redirects, and looks at nothing of an answer but its status. It is
// safe for concurrent use.
type Client struct {
	timeout       time.Duration
	secure, plain *http.Transport
}

// NewClient returns a Client whose tries take no longer than the timeout; Close it when done.
func NewClient(cfg egress.Config, timeout time.Duration) *Client {
	cfg.DialTimeout = timeout
	return &Client{timeout, cfg.Secure(), cfg.Plain()}
}

// Close closes the connections no try is using.
func (c *Client) Close() {
	c.secure.CloseIdleConnections()
	c.plain.CloseIdleConnections()
}

// Post implements Poster.
func (c *Client) Post(ctx context.Context, url string, header http.Header, body []byte) (int, webhook.Problem) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, webhook.ProblemConnect
	}
	r.Header = header.Clone()
	r.Header.Set("User-Agent", userAgent)
	transport := c.secure
	if r.URL.Scheme == "http" {
		transport = c.plain
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return 0, problemOf(ctx, err)
	}
	defer answer.Body.Close()
	io.CopyN(io.Discard, answer.Body, maxAnswer) //nolint:errcheck // what it has said, it has said
	if !webhook.Taken(answer.StatusCode) {
		return answer.StatusCode, webhook.ProblemStatus
	}
	return answer.StatusCode, ""
}

// problemOf says what kept an answer from coming. The words of the network are not told.
func problemOf(ctx context.Context, err error) webhook.Problem {
	var timeout interface{ Timeout() bool }
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	dns, isDNS := errors.AsType[*net.DNSError](err)
	op, isOp := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, egress.ErrAddress), errors.Is(err, egress.ErrPlainHTTP), isDNS && dns.IsNotFound:
		return webhook.ProblemAddress
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return webhook.ProblemTimeout
	case untrusted, alert, unknown, noTLS:
		return webhook.ProblemTLS
	case isDNS, isOp && op.Op == "dial":
		return webhook.ProblemConnect
	default:
		return webhook.ProblemBroken
	}
}
