package exchanger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// Tokens are what a provider gave. They come with the error of a flawed answer, or of
// another region, too, as far as they can be used: the refresh token may have taken the
// place of the one that was sent, which is then of no use any more. Whoever gets them
// wipes them.
type Tokens struct {
	// Access is zero when the answer has none that can be used.
	Access seal.Plaintext
	// Refresh is zero when the answer has none.
	Refresh seal.Plaintext
	// Lifetime is of the access token, in whole seconds: the earliest end that
	// the answer names, else, if completed, what introspection says, else the
	// descriptor's default. 0 is Endless, or not known.
	Lifetime time.Duration
	Endless  bool
	// RefreshLifetime is of the refresh token; 0 when the answer does not say.
	RefreshLifetime time.Duration
	// Scopes are the granted ones; nil is as asked.
	Scopes []string
	// Subject is whose grant it is; empty when it is not known.
	Subject string
	// Issuer is at which of the provider's servers the account is; empty when the
	// answer does not tell.
	Issuer string
	// Extra are the members of the answer to keep, by path.
	Extra map[string]string
}

// newTokens takes what was read, at the time now of the provider's clock. The
// Lifetime is 0 if the answer names none.
func newTokens(f provider.Fields, now time.Time) Tokens {
	t := Tokens{
		Lifetime: whole(f.Lifetime), Endless: f.Endless,
		RefreshLifetime: f.RefreshLifetime, Scopes: f.Scopes, Subject: f.Subject, Issuer: f.Issuer, Extra: f.Extra,
	}
	if f.AccessToken != "" {
		t.Access = seal.NewPlaintext(f.AccessToken)
	}
	if f.RefreshToken != "" {
		t.Refresh = seal.NewPlaintext(f.RefreshToken)
	}
	// A moment that has passed is a mistake and not a token that has expired.
	if left := whole(f.ExpiresAt.Sub(now)); left > 0 && (t.Lifetime == 0 || left < t.Lifetime) {
		t.Lifetime = left
	}
	return t
}

// whole rounds down to whole seconds, and what is negative up to 0.
func whole(d time.Duration) time.Duration { return secret.Lifetime(int64(d / time.Second)) }

// refusedBy says what an answer without success means. A descriptor's rules are
// about what OAuth servers say: what a gateway in front of one says, too many
// requests or a fault, is told by its status, and a page is no refusal.
func refusedBy(d provider.Descriptor, got response, over events.Reason) error {
	e := byStatus(got.status)
	if e == nil {
		e = verdict(d.Refused(got.header.Get("Content-Type"), got.body), got.status, over)
	}
	e.RetryAfter = retryAfter(got.header)
	return e
}

// unread says what kept an answer from being read.
func unread(err error, got response, over events.Reason) error {
	if r, ok := errors.AsType[*provider.RefusedError](err); ok {
		e := verdict(r, got.status, over)
		e.RetryAfter = retryAfter(got.header)
		return e
	}
	if m, ok := errors.AsType[*provider.MalformedError](err); ok {
		return answered(got.status, events.ReasonMalformed, "%s: check token_url", m.Error())
	}
	return answered(got.status, events.ReasonMalformed, "the answer of the token endpoint cannot be read: check token_url")
}

// verdict says what a refusal means; nil is an answer without one. Of what the
// provider said, it has only what a rule has.
func verdict(r *provider.RefusedError, status int, over events.Reason) *ExchangeError {
	if r == nil {
		return unexplained(status)
	}
	reason, advice := meaning(r.Meaning, over)
	if r.Hint != "" {
		advice = strings.TrimSuffix(r.Hint, ".")
	}
	if r.Code == "" {
		return answered(status, reason, "the token endpoint refused the request (%d, an error that is not known). %s", status, advice)
	}
	return answered(status, reason, "the token endpoint answered %d and the error %q. %s", status, r.Code, advice)
}

// meaning is the reason for a meaning, and what to do where a rule does not say.
func meaning(m provider.Meaning, over events.Reason) (events.Reason, string) {
	switch m {
	case provider.NeedsHuman:
		return over, "Authorize again"
	case provider.AdminPolicy:
		return events.ReasonAdminPolicy, "The administrator of the account's organisation has to allow the app, then authorize again"
	case provider.NeedsConfig:
		return events.ReasonAppRefused, "Check the app's registration, here and at the provider"
	case provider.Retry:
		return events.ReasonProviderError, "The provider has a fault of its own"
	case provider.Wait:
		return events.ReasonThrottled, "Too many requests"
	default:
		return events.ReasonRejected, "Authorize again if it does not pass"
	}
}

// unexplained is for an answer without success that says nothing of the grant.
func unexplained(status int) *ExchangeError {
	reason := events.ReasonProviderError // perhaps a firewall's (403) or a web server's (404)
	if status == http.StatusBadRequest || status == http.StatusUnauthorized {
		reason = events.ReasonRejected
	}
	return answered(status, reason, "the token endpoint answered %d without an OAuth error: check the endpoints of the provider", status)
}

// account asks the userinfo endpoint whose token it is; empty when it does not
// tell. It asks by GET, which changes nothing however often it is sent.
func (c *Client) account(ctx context.Context, s provider.Subject, access seal.Plaintext) string {
	got, err := c.send(ctx, func(ctx context.Context) (*http.Request, error) {
		req, err := newHTTPRequest(http.MethodGet, s.URL)
		if err != nil {
			return nil, err
		}
		token := access.Reveal()
		defer clear(token)
		req.Header["Authorization"] = []string{"Bearer " + string(token)} // RFC 6750 section 2.1
		return req.WithContext(ctx), nil
	}, nil)
	defer clear(got.body)
	if err != nil || got.status != http.StatusOK {
		return ""
	}
	return member(got.body, s.Field)
}

const maxSubjectBytes = 2 << 10

// member returns the text or number at a path of a JSON object; empty when there
// is none, or none that could name an account.
func member(body []byte, path string) string {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return ""
	}
	for name := range strings.SplitSeq(path, ".") {
		object, _ := v.(map[string]any) //nolint:errcheck // nil has no members
		v = object[name]
	}
	var text string
	switch v := v.(type) {
	case string:
		text = v
	case json.Number:
		text = v.String()
	}
	if len(text) > maxSubjectBytes || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return ""
	}
	return text
}

// introspect asks how long a token lives (RFC 7662); 0 when there is no answer to
// use.
func (c *Client) introspect(ctx context.Context, app App, access seal.Plaintext) time.Duration {
	r, err := app.sign(TokenRequest{
		URL: app.Provider.IntrospectURL, Fields: []Field{{"token", access}},
		Options: map[string]string{"token_type_hint": "access_token"}, Rename: map[string]string{"grant_type": ""},
	}, c.now())
	if err != nil {
		return 0
	}
	r.Format = provider.FormatForm // section 2.1
	got, err := c.send(ctx, r.build, nil)
	defer clear(got.body)
	var said struct {
		Active bool  `json:"active"`
		Exp    int64 `json:"exp"`
	}
	if err != nil || got.status != http.StatusOK || json.Unmarshal(got.body, &said) != nil || !said.Active {
		return 0
	}
	return whole(time.Unix(said.Exp, 0).Sub(answeredAt(got.header)))
}
