package auth

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Issuer is an OpenID provider whose access tokens are taken (RFC 9068), as the
// deployment has configured it.
type Issuer struct {
	// URL is its identifier, as it stands in the claim iss.
	URL string
	// Audience must be among those of a token.
	Audience string
	// Org is the organisation of all its tokens, unless OrgClaim says which claim
	// has a token's organisations: one, or a list.
	Org, OrgClaim string
	// RightsClaim has what a token may do, as a list or as words, and Rights what
	// each of them means here. A token that has none of them gives no access.
	RightsClaim string
	Rights      map[string]Rights
	// EmailClaim and NameClaim say who is shown to have made a change.
	EmailClaim, NameClaim string
	// Loopback allows plain http to this machine itself.
	Loopback bool
}

// OIDCDeps is what an OIDC stands on.
type OIDCDeps struct {
	Logger *slog.Logger
	// Now is the clock that the ends of tokens are compared with. Default time.Now.
	Now func() time.Time
	// RootCAs are who may vouch for issuers; nil means the system's.
	RootCAs *x509.CertPool
}

// OIDC verifies the access tokens of issuers. What an issuer signs with is fetched
// beside the requests, by [OIDC.Run], and again when a token names a key that is
// not known, but not as often as a stranger might like. It is safe for concurrent
// use.
type OIDC struct {
	issuers map[string]*issuer
	now     func() time.Time
}

var _ Verifier = (*OIDC)(nil)

// NewOIDC returns a verifier that knows no keys until Run.
func NewOIDC(issuers []Issuer, d OIDCDeps) *OIDC {
	if d.Now == nil {
		d.Now = time.Now
	}
	o := &OIDC{issuers: make(map[string]*issuer), now: d.Now}
	for _, cfg := range issuers {
		o.issuers[cfg.URL] = newIssuer(cfg, d)
	}
	return o
}

// Run keeps the keys of all issuers until ctx ends, and returns ctx's error. That
// an issuer is away is no error: it is asked again.
func (o *OIDC) Run(ctx context.Context) error {
	var running sync.WaitGroup
	for _, i := range o.issuers {
		running.Go(func() { i.run(ctx) })
	}
	running.Wait()
	<-ctx.Done()
	return context.Cause(ctx)
}

const (
	// maxJWT bounds a token, in bytes.
	maxJWT = 16 << 10
	// leeway is how far the clocks of an issuer and of this fleet may be apart.
	leeway = time.Minute
)

// Algorithms are those that an issuer may sign with: with keys of which only the
// issuer has the private half. "None" and the HMACs are not among them (RFC 8725,
// sections 3.1 and 3.2).
func algorithms() []string {
	return []string{
		oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512,
		oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA,
	}
}

// Verify implements [Verifier].
func (o *OIDC) Verify(ctx context.Context, token string) (Principal, error) {
	i, ok := o.issuers[issuerOf(token)]
	if !ok {
		return Principal{}, ErrUnknownToken
	}
	verified, err := i.verify(ctx, token)
	if err != nil {
		return Principal{}, err
	}
	var claims map[string]any
	if err := verified.Claims(&claims); err != nil {
		return Principal{}, ErrUnknownToken // it was read before
	}
	if err := timely(verified, claims, o.now()); err != nil {
		return Principal{}, err
	}
	return i.principal(verified.Subject, claims)
}

// issuerOf returns who a token says that it is of, "" for what is no JWT (RFC 7519).
// Nothing is believed of it.
func issuerOf(token string) string {
	parts := strings.Split(token, ".")
	if len(token) > maxJWT || len(parts) != 3 {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return ""
	}
	return claims.Issuer
}

// timely refuses a token before and after its time (RFC 7519, sections 4.1.4 and
// 4.1.5). One without an end is refused as well.
func timely(verified *oidc.IDToken, claims map[string]any, now time.Time) error {
	begins, bounded := claims["nbf"].(float64)
	switch {
	case verified.Expiry.Unix() <= 0:
		return &RefusedError{"has no end (claim exp)"}
	case !now.Before(verified.Expiry.Add(leeway)):
		return &RefusedError{"is expired"}
	case bounded && begins > float64(now.Add(leeway).Unix()):
		return &RefusedError{"is not valid yet"}
	default:
		return nil
	}
}
