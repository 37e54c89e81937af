package exchanger

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/egress"
)

// ExchangeError is why a token endpoint gave no token, in words that are ours:
// numbers, registered OAuth error codes, and what to do. Whatever else the
// provider said may hold a credential and is not in here, and no foreign error
// is wrapped. The same cause always gives the same text, but for what an answer can
// be known by that is no token response (excerpt.go).
type ExchangeError struct {
	Reason events.Reason
	// Detail is a sentence without its full stop, fit for anyone who may see
	// the secret.
	Detail string
	// Status is the HTTP status of the answer, 0 when there was none.
	Status int
	// RetryAfter is for how long the provider asked to be left alone, counted
	// from its answer; 0 when it did not ask.
	RetryAfter time.Duration
	// Foreign tells that the grant is another app's.
	Foreign bool
	// ProviderTime is the provider's clock when it refused a grant, which it may
	// have done for the times in it; zero where it did not say, and for all else.
	ProviderTime time.Time
	// Sent tells that the request was sent and not answered.
	Sent bool
}

// uncertain reports whether the provider may have carried out what a grant was sent
// for: what was used up by it may be gone. It may, unless the request was not sent, or
// an OAuth server refused it by an error that is known (RFC 6749 section 5.2, the
// descriptor's rules), or would not have it now, or the answer is one. A fault of the
// server's own says nothing, by whatever status or error it is told.
func (e *ExchangeError) uncertain() bool {
	switch e.Reason {
	case events.ReasonGrantEnded, events.ReasonConsentRefused, events.ReasonAdminPolicy, events.ReasonAppRefused,
		events.ReasonThrottled, events.ReasonNoLifetime:
		return false
	default:
		return e.Sent || e.Status != 0
	}
}

// unanswered is failed for a request that was sent.
func unanswered(reason events.Reason, format string, args ...any) *ExchangeError {
	e := failed(reason, format, args...)
	e.Sent = true
	return e
}

func (e *ExchangeError) Error() string { return string(e.Reason) + ": " + e.Detail }

func failed(reason events.Reason, format string, args ...any) *ExchangeError {
	return &ExchangeError{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}

// answered is failed for an answer of this status.
func answered(status int, reason events.Reason, format string, args ...any) *ExchangeError {
	e := failed(reason, format, args...)
	e.Status = status
	return e
}

// progress is how far an exchange has come. net/http tells it from goroutines
// of its own.
type progress struct {
	connected, answering, late atomic.Bool
	expired                    func() bool // whether it may come no further; nil: it may
}

func (p *progress) watch(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:              func(string) { p.connected.Store(false) }, // again after a dead connection
		GotConn:              p.gotConn,
		GotFirstResponseByte: func() { p.answering.Store(true) },
	})
}

// gotConn is told of the connection that the request is about to be written to. To
// one that is closed nothing is written.
func (p *progress) gotConn(got httptrace.GotConnInfo) {
	p.connected.Store(true)
	if p.expired != nil && p.expired() {
		p.late.Store(true)
		_ = got.Conn.Close()
	}
}

// broken says why an exchange ended without a whole answer. It returns errLate, or
// ctx's error when ctx has ended: then it was us.
func (c *Client) broken(ctx, bounded context.Context, err error, reached *progress) error {
	if reached.late.Load() {
		return errLate
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	timedOut := bounded.Err() != nil || isTimeout(err)
	switch {
	case !reached.connected.Load():
		return c.notConnected(err, timedOut)
	case timedOut:
		return unanswered(events.ReasonTimeout, "the token endpoint gave no complete answer within %v", c.timeout)
	case reached.answering.Load() && !isConnectionLoss(err):
		return unanswered(events.ReasonMalformed, "the answer of the token endpoint is not HTTP, or its header is longer than %d bytes: check token_url", egress.MaxHeaderBytes)
	default:
		return unanswered(events.ReasonDisconnected, "the token endpoint closed the connection after the request was sent and before the answer was complete")
	}
}

// notConnected says why there was no connection to send the request on: each of
// these means that the provider has not seen it.
func (c *Client) notConnected(err error, timedOut bool) error {
	switch {
	case errors.Is(err, egress.ErrPlainHTTP):
		return failed(events.ReasonAddressRefused, "plain http is not allowed to the address of the token endpoint: use https")
	case errors.Is(err, egress.ErrAddress):
		return failed(events.ReasonAddressRefused, "the token endpoint has a private or special address, which this deployment does not allow")
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return failed(events.ReasonNoSuchHost, "nxdomain") // contract A5.2
		}
		return failed(events.ReasonUnreachable, "the host name of the token endpoint could not be looked up: the name server failed")
	}
	if timedOut {
		return failed(events.ReasonTimeout, "no connection to the token endpoint could be made within %v: check host and port of token_url", c.timeout)
	}
	dial, ok := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return failed(events.ReasonUnreachable, "the token endpoint refused the connection: check host and port of token_url")
	case ok && dial.Op == "dial":
		return failed(events.ReasonUnreachable, "the token endpoint cannot be reached: check host and port of token_url")
	case isConnectionLoss(err):
		return failed(events.ReasonUnreachable, "the token endpoint closed the connection during the TLS handshake")
	default:
		return failed(events.ReasonUntrusted, "%s", distrust(err))
	}
}

// distrust says what was wrong with a TLS handshake.
func distrust(err error) string {
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return "the token endpoint does not speak TLS on this port: check token_url"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate of the token endpoint is for another host: check token_url"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the certificate of the token endpoint is from an authority that is not trusted here"
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "the certificate of the token endpoint has expired or is not valid yet"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "the certificate of the token endpoint is not acceptable"
	}
	return "the TLS handshake with the token endpoint failed: TLS 1.2 or later is required"
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// isConnectionLoss reports whether err is from the connection and not about
// what came over it. A TLS alert is a *net.OpError too, of no system call.
func isConnectionLoss(err error) bool {
	_, system := errors.AsType[syscall.Errno](err)
	return system || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// badTokenURL is for what a secret should never have been created with.
func badTokenURL() error {
	return failed(events.ReasonAddressRefused, "token_url is not an https or http URL of a host without user name and password")
}

func tooLarge(status int) error {
	return answered(status, events.ReasonTooLarge, "the answer of the token endpoint is longer than %d bytes: check token_url", maxAnswerBytes)
}

// malformed is for an answer of 200 that holds what it must not hold.
func malformed(format string, args ...any) error {
	return answered(http.StatusOK, events.ReasonMalformed, "the token endpoint answered 200 with "+format, args...)
}

func notJSON(body []byte) error {
	switch body = bytes.TrimSpace(body); {
	case len(body) == 0:
		return malformed("nothing: check token_url")
	case body[0] == '<':
		return malformed("a page (HTML or XML) in place of JSON: check token_url")
	default:
		return malformed("something that is not JSON: check token_url")
	}
}

// noLifetime is for an answer with a token and no way to tell when it ends.
func noLifetime(flaw string) error {
	return answered(http.StatusOK, events.ReasonNoLifetime, "the answer of the token endpoint %s: without a lifetime the token cannot be kept fresh", flaw)
}

// refused says what an answer other than 200 means.
func refused(status int, header http.Header, body []byte) error {
	m, _ := readMembers(body) //nolint:errcheck // what could be read counts; the status says that it is a failure
	e := refusal(status, m.errorCode())
	e.RetryAfter = retryAfter(header)
	if e.Reason == events.ReasonRejected && aboutGrant(m.errorCode()) {
		e.ProviderTime, _ = http.ParseTime(header.Get("Date")) //nolint:errcheck // zero is that it did not say
	}
	return e
}

// aboutGrant reports whether an error code may be about what was presented rather
// than about who asked and for what: one that is not registered may.
func aboutGrant(code string) bool {
	switch code {
	case "invalid_grant", "invalid_token", "expired_token":
		return true
	default:
		_, _, registered := oauthError(code)
		return !registered
	}
}

func refusal(status int, code string) *ExchangeError {
	if e := byStatus(status); e != nil {
		return e
	}
	if _, _, registered := oauthError(code); registered || status == http.StatusBadRequest || status == http.StatusUnauthorized {
		return rejected(status, code)
	}
	// Not the OAuth server's word: perhaps a firewall's (403) or a web server's (404).
	return answered(status, events.ReasonProviderError, "the token endpoint answered %d without an OAuth error: check token_url", status)
}

// byStatus says what a status means that means the same whatever came with it;
// nil for the others.
func byStatus(status int) *ExchangeError {
	switch {
	case status >= 300 && status < 400:
		return answered(status, events.ReasonRedirected, "the token endpoint answered with a redirect (%d), which is not followed: set token_url to where it leads", status)
	case status == http.StatusTooManyRequests:
		return answered(status, events.ReasonThrottled, "the token endpoint answered 429: too many requests")
	case status >= 500:
		return answered(status, events.ReasonProviderError, "the token endpoint answered %d: the provider has a fault of its own", status)
	default:
		return nil
	}
}

// rejected says what an answer means that refuses the request, with its OAuth
// error code if that is a registered one.
func rejected(status int, code string) *ExchangeError {
	reason, advice, registered := oauthError(code)
	if !registered {
		return answered(status, reason, "the token endpoint refused the request (%d, no registered OAuth error): %s", status, advice)
	}
	return answered(status, reason, "the token endpoint answered %d and the OAuth error %s: %s", status, code, advice)
}

// oauthError tells what an error code means and whether it may be named, which
// is when it is registered (IANA, OAuth Extensions Errors) or from RFC 6749
// sections 4.1.2.1 and 5.2.
func oauthError(code string) (reason events.Reason, advice string, registered bool) {
	switch code {
	case "invalid_client":
		return events.ReasonRejected, "check client_id and client_secret", true
	case "unauthorized_client", "access_denied":
		return events.ReasonRejected, "the provider does not permit this client the grant", true
	case "invalid_grant", "invalid_token", "expired_token":
		return events.ReasonRejected, "the grant has ended or was revoked", true
	case "invalid_scope", "insufficient_scope":
		return events.ReasonRejected, "check the option scope", true
	case "invalid_target", "invalid_authorization_details":
		return events.ReasonRejected, "check the options audience, resource and authorization_details", true
	case "unsupported_grant_type", "unsupported_response_type", "unsupported_token_type":
		return events.ReasonRejected, "check token_url and the option grant_type", true
	case "invalid_request":
		return events.ReasonRejected, "check token_url and the options", true
	case "invalid_dpop_proof", "use_dpop_nonce":
		return events.ReasonRejected, "the provider wants a proof of possession for this client", true
	case "login_required", "consent_required", "interaction_required", "account_selection_required", "authorization_pending":
		return events.ReasonRejected, "the provider wants a person to act", true
	case "slow_down":
		return events.ReasonThrottled, "too many requests", true
	case "server_error", "temporarily_unavailable":
		return events.ReasonProviderError, "the provider has a fault of its own", true
	default:
		return events.ReasonRejected, "check client_id, client_secret and the options", false
	}
}
