package exchanger

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/provider"
	"github.com/rekindle-dev/rekindle/pkg/seal"
)

// App is an app registration with what an exchanger alone knows of it.
type App struct {
	// Provider has values in place of its placeholders ([provider.Descriptor.At]).
	Provider provider.Descriptor
	ClientID string
	// The app proves itself by one of these, as the provider's auth_style says:
	// its client secret, a key that it signs with, or a certificate that it shows.
	Secret   seal.Plaintext
	Key      *ClientKey
	Identity *Identity
}

// The grant types of RFC 6749 sections 4.1.3 and 6.
const (
	grantAuthorizationCode = "authorization_code"
	grantRefreshToken      = "refresh_token"
)

// Code exchanges the code of a consent (RFC 6749 section 4.1.3). RedirectURI is
// the one the consent was asked for with; the verifier (RFC 7636 section 4.5) is
// sent to providers with PKCE only. What was spent on the request is as of
// [Client.Exchange], and so are errors: a code that is not honoured is
// [events.ReasonConsentRefused].
func (c *Client) Code(ctx context.Context, app App, code, verifier seal.Plaintext, redirectURI string) (Tokens, error) {
	d := app.Provider
	fields := []Field{{"code", code}, {"redirect_uri", seal.NewPlaintext(redirectURI)}}
	if d.PKCE != "" {
		fields = append(fields, Field{"code_verifier", verifier})
	}
	return c.grant(ctx, app, events.ReasonConsentRefused, TokenRequest{
		URL: d.TokenURL, Grant: grantAuthorizationCode, Fields: fields, Options: d.TokenParams,
	})
}

// Refresh asks for new tokens (RFC 6749 section 6), unless it is late by the time the
// request could leave; late is nil if that cannot be. Errors are as of
// [Client.Exchange]; that the grant is over is [events.ReasonGrantEnded].
func (c *Client) Refresh(ctx context.Context, app App, refreshToken seal.Plaintext, late func() bool) (Tokens, error) {
	d := app.Provider
	return c.grant(ctx, app, events.ReasonGrantEnded, TokenRequest{
		URL: cmp.Or(d.RefreshURL, d.TokenURL), Grant: grantRefreshToken,
		Fields: []Field{{"refresh_token", refreshToken}}, Options: d.RefreshParams, Late: late,
	})
}

// grant sends r as the app and reads the answer as the provider's descriptor
// says. Over is the reason when only a person can help.
func (c *Client) grant(ctx context.Context, app App, over events.Reason, r TokenRequest) (Tokens, error) {
	d := app.Provider
	r, err := app.sign(r, c.now())
	if err != nil {
		return Tokens{}, err
	}
	c = c.as(app)
	got, err := c.send(ctx, r.build, r.Late)
	if err != nil {
		return Tokens{}, err
	}
	defer clear(got.body)
	if !successful(got.status) {
		return Tokens{}, r.described(refusedBy(d, got, over), got)
	}
	fields, err := d.Read(got.header.Get("Content-Type"), got.body)
	t := newTokens(fields, answeredAt(got.header))
	if err != nil {
		return t, r.described(unread(err, got, over), got)
	}
	if d.Elsewhere(t.Issuer) {
		return t, elsewhere(app)
	}
	return t, nil
}

// introspects reports whether the provider is to be asked how long a token lives.
func (a App) introspects(t Tokens) bool {
	return t.Lifetime == 0 && !t.Endless && a.Provider.IntrospectURL != ""
}

// Complete adds to what a provider gave how long the token lives, if the answer did
// not tell: by introspection, else by the descriptor. The error is that nobody tells.
func (c *Client) Complete(ctx context.Context, app App, t Tokens) (Tokens, error) {
	if app.introspects(t) {
		t.Lifetime = c.as(app).introspect(ctx, app, t.Access)
	}
	if t.Lifetime == 0 && !t.Endless {
		t.Lifetime = app.Provider.Expiry.Default
	}
	if t.Lifetime == 0 && !t.Endless {
		return t, noLifetime("names no lifetime, and neither does the descriptor of the provider")
	}
	return t, nil
}

// Identify adds to what a provider gave for a code whose it is, where only its
// userinfo endpoint tells: what fails there leaves the subject unknown.
func (c *Client) Identify(ctx context.Context, app App, t Tokens) Tokens {
	if s := app.Provider.Subject; s.From == provider.PlaceUserinfo {
		t.Subject = c.as(app).account(ctx, s, t.Access)
	}
	return t
}

// assertionJWT is the type of an assertion that is a JWT (RFC 7523 section 2.2).
const assertionJWT = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// without is for an app that has not got what its auth_style proves it by.
func (a App) without(setting string) error {
	return failed(events.ReasonNotRegistered, "the app at %s has nothing to authenticate with: set providers.%s.%s in the configuration of the exchangers",
		a.label(), a.Provider.Name, setting)
}

// sign adds to a request who sends it at the time now, and how the provider wants it
// written.
func (a App) sign(r TokenRequest, now time.Time) (TokenRequest, error) {
	switch a.Provider.AuthStyle {
	case provider.AuthParams:
		r.Style = InParams
	case provider.AuthHeader:
		r.Style = InHeader
	case provider.AuthPrivateKeyJWT:
		if a.Key == nil {
			return r, a.without("private_key_file")
		}
		proof, err := a.Key.assertion(a.ClientID, a.Provider.TokenURL, now)
		if err != nil {
			return r, err
		}
		r.Style = Identified
		r.Fields = append(slices.Clip(r.Fields), Field{"client_assertion_type", seal.NewPlaintext(assertionJWT)}, Field{"client_assertion", proof})
	case provider.AuthTLS:
		if a.Identity == nil {
			return r, a.without("certificate_file")
		}
		r.Style = Identified
	default:
		return r, failed(events.ReasonUnsupported, "this exchanger cannot authenticate by %q to the provider %s", a.Provider.AuthStyle, a.Provider.Name)
	}
	r.ClientID, r.ClientSecret = a.ClientID, a.Secret
	r.Format = a.Provider.RequestFormat
	if r.Rename == nil {
		r.Rename = a.Provider.Rename.Token
	}
	return r, nil
}
