package sandbox

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The refusals of codes and refresh tokens (RFC 6749 §5.2).
var (
	noCode        = &refusal{http.StatusBadRequest, "invalid_request", "code is missing"}
	unknownCode   = &refusal{http.StatusBadRequest, "invalid_grant", "the code is unknown here, or another client's"}
	usedCode      = &refusal{http.StatusBadRequest, "invalid_grant", "the code was used before, and what it gave is revoked"}
	lateCode      = &refusal{http.StatusBadRequest, "invalid_grant", "the code has expired"}
	wrongRedirect = &refusal{http.StatusBadRequest, "invalid_grant", "redirect_uri is not that of the authorization request"}
	wrongVerifier = &refusal{http.StatusBadRequest, "invalid_grant", "code_verifier does not match the code challenge"}
	noRefresh     = &refusal{http.StatusBadRequest, "invalid_request", "refresh_token is missing"}
	unknownToken  = &refusal{http.StatusBadRequest, "invalid_grant", "the refresh token is unknown here, or another client's"}
	replacedToken = &refusal{http.StatusBadRequest, "invalid_grant", "the refresh token was replaced"}
	endedGrant    = &refusal{http.StatusBadRequest, "invalid_grant", "the grant was revoked"}
	expiredGrant  = &refusal{http.StatusBadRequest, "invalid_grant", "the refresh token has expired"}
	tooEarly      = &refusal{http.StatusBadRequest, "invalid_request", "the access token is not near its end"}
	widerScope    = &refusal{http.StatusBadRequest, "invalid_scope", "more is asked for than was granted"}
)

// basis is what a call presented. It is guarded by the record's lock.
type basis struct {
	grant *grant        // nil: the client itself is enough
	token *RefreshToken // nil: the code, or a token that is forgotten
}

// given is what a call is given besides an access token.
type given struct {
	grant      uint64 // 0 is none
	account    string
	scope      string
	nonce      string
	openid     bool          // an id token is due
	lifetime   time.Duration // of the access token; 0 is the server's
	accessEnds time.Time     // the access token must not outlive it; zero is no limit
	refresh    uint64        // number of the refresh token to answer with; 0 is none
	refreshFor time.Duration // how long refresh tokens live from now; 0 is unsaid
}

// present counts what the call presents and tells whether it may be used. A
// misuse that ends the grant has ended it.
func (r *record) present(c *call, now time.Time) (basis, *refusal) {
	switch c.grant {
	case grantCode:
		return r.presentCode(c, now)
	case grantRefresh:
		return r.presentToken(c, now)
	default:
		return basis{}, nil
	}
}

func (r *record) presentCode(c *call, now time.Time) (basis, *refusal) {
	if c.code == "" {
		return basis{}, noCode
	}
	g := r.grantOf(c.said)
	if g == nil {
		return basis{}, unknownCode
	}
	g.CodePresented++
	var why *refusal
	switch {
	case g.redeemed:
		g.end(EndedCodeReused)
		why = usedCode
	case g.Ended != "":
		why = endedGrant
	case !now.Before(g.codeEnds):
		why = lateCode
	case c.redirectURI != g.redirectURI:
		why = wrongRedirect
	case !g.proves(c.verifier):
		why = wrongVerifier
	}
	return basis{grant: g}, why
}

func (r *record) presentToken(c *call, now time.Time) (basis, *refusal) {
	if c.refreshToken == "" {
		return basis{}, noRefresh
	}
	g := r.grantOf(c.said)
	if g == nil {
		return basis{}, unknownToken
	}
	on := basis{grant: g, token: g.token(c.said.number)}
	if on.token != nil {
		on.token.Presented++
	}
	rules := r.client.CodeFlow.RefreshTokens
	switch {
	case g.Ended != "":
		return on, endedGrant
	case g.expired(now):
		return on, expiredGrant
	case !g.works(on.token, rules, now):
		if rules.DetectReuse {
			g.end(EndedRefreshReused)
		}
		return on, replacedToken
	case rules.Early > 0 && g.accessEnds.Sub(now) > time.Duration(rules.Early):
		return on, tooEarly
	case !subset(splitScopes(c.scope), g.Scopes):
		return on, widerScope
	}
	return on, nil
}

// grantOf returns the grant that a code or token of this client is from, or nil.
func (r *record) grantOf(said claims) *grant {
	if said.owner != r.client.ID || said.incarnation != r.incarnation {
		return nil
	}
	return r.grants.find(said.grant)
}

func subset(some, all []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

// give commits what a call in order brings about, and says what it is given.
func (r *record) give(on basis, c *call, now time.Time) given {
	if on.grant == nil {
		return given{scope: c.scope}
	}
	g, flow := on.grant, r.client.CodeFlow
	refresh := g.commit(on.token, flow.RefreshTokens, now)
	if most := flow.RefreshTokens.PerAccount; most > 0 {
		r.grants.cap(g.Account, most, now)
	}
	scopes := g.Scopes
	if c.grant == grantRefresh && c.scope != "" {
		scopes = splitScopes(c.scope)
	}
	what := given{
		grant: g.Number, account: g.Account, nonce: g.nonce,
		scope:    strings.Join(scopes, cmp.Or(flow.ScopeSeparator, " ")),
		openid:   slices.Contains(scopes, "openid"),
		lifetime: time.Duration(flow.Lifetime),
		refresh:  refresh,
	}
	if !g.ExpiresAt.IsZero() {
		what.refreshFor = g.ExpiresAt.Sub(now)
		if flow.RefreshTokens.EndsAccess {
			what.accessEnds = g.ExpiresAt
		}
	}
	return what
}

// commit uses up the code, or the refresh token used, and returns the number of
// the refresh token to answer with, 0 for none.
func (g *grant) commit(used *RefreshToken, rules RefreshTokens, now time.Time) uint64 {
	life := time.Duration(rules.Lifetime)
	if used == nil {
		g.redeemed = true
		if !g.refreshes {
			return 0
		}
		if life > 0 {
			g.ExpiresAt = now.Add(life)
		}
		return g.add(0)
	}
	if rules.Sliding && life > 0 {
		g.ExpiresAt = now.Add(life)
	}
	switch rules.Rotation {
	case RotationRepeat:
		return used.Number
	case RotationRotate:
		if used.ReplacedAt.IsZero() {
			used.ReplacedAt = now
		} else if next := g.successor(used.Number); rules.Replay && next != nil {
			return next.Number
		}
		return g.add(used.Number)
	default:
		return 0
	}
}
