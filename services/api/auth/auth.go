// Package auth finds out on whose behalf a request is made.
//
// A request proves itself with a bearer token (RFC 6750). A [Gate] asks its
// verifiers in turn whose token it is: the bootstrap administrator's, one that
// was made here and is kept as a hash (package api), or one that a configured
// OpenID provider has issued. The header x-gw-ims-org-id may name one of the
// organisations that the token belongs to; without it the first is meant.
// X-api-key may say anything (contract A1).
//
// It promises that no error and no answer of it holds a token or a part of
// one, and that the time it takes says nothing about the right one.
package auth

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Errors of [Gate.Admit] besides those of a verifier that cannot do its work.
var (
	// ErrNoToken: the request has no bearer token, or more than one.
	ErrNoToken = errors.New("no bearer token")
	// ErrUnknownToken: the token is nobody's. Verifiers return it too.
	ErrUnknownToken = errors.New("the bearer token is not known")
	// ErrOtherOrg: the request means an organisation that is not the token's.
	ErrOtherOrg = errors.New("the bearer token does not belong to the organisation that x-gw-ims-org-id names")
	// ErrNoAccess: the token is good, and nothing in it gives access here.
	ErrNoAccess = errors.New("the bearer token is valid and gives no access here: its claims name no right or no organisation that is configured")
	// ErrIssuerAway: the token says that it is of an issuer whose keys are not
	// known yet, or have not been confirmed for too long.
	ErrIssuerAway = errors.New("the issuer of the bearer token cannot be reached, so the token cannot be checked now")
)

// RefusedError refuses a token that a verifier knows, and says why in words that
// quote nothing of it.
type RefusedError struct{ Why string }

func (e *RefusedError) Error() string { return "the bearer token " + e.Why }

// Principal is who a request is made for.
type Principal struct {
	// Org is the organisation whose records it may see, and no others.
	Org string
	// Orgs are those it belongs to, of which a request may choose; none means
	// Org alone.
	Orgs        []string
	Email       string
	DisplayName string
	Rights      Rights
	// Key tells this principal from all others, and is no secret: limits count by
	// it.
	Key string
	// Until is when the token ends, if what is made with it must end then too;
	// zero for never.
	Until time.Time
}

// in returns the principal within the organisations that a request names.
func (p Principal) in(named []string) (Principal, error) {
	chosen := ""
	for _, org := range named {
		switch {
		case org == "" || org == chosen:
		case chosen != "", org != p.Org && !slices.Contains(p.Orgs, org):
			return Principal{}, ErrOtherOrg
		default:
			chosen = org
		}
	}
	if chosen != "" {
		p.Org = chosen
	}
	return p, nil
}

// Verifier knows some tokens. Implementations are safe for concurrent use.
type Verifier interface {
	// Verify returns whose token it is, or ErrUnknownToken when it does not
	// know the token. Any other error is the last word: a *RefusedError,
	// ErrNoAccess, or that it cannot say now.
	Verify(ctx context.Context, token string) (Principal, error)
}

// Gate admits requests. It is safe for concurrent use.
type Gate struct {
	verifiers []Verifier
}

// NewGate returns a Gate that asks the verifiers in this order.
func NewGate(verifiers ...Verifier) *Gate { return &Gate{verifiers: verifiers} }

// Admit returns whom the request is made for, or ErrNoToken, ErrUnknownToken,
// ErrOtherOrg, or what a verifier has said.
func (g *Gate) Admit(r *http.Request) (Principal, error) {
	token, ok := bearer(r.Header)
	if !ok {
		return Principal{}, ErrNoToken
	}
	p, err := g.verify(r.Context(), token)
	if err != nil {
		return Principal{}, err
	}
	return p.in(r.Header.Values("X-Gw-Ims-Org-Id"))
}

func (g *Gate) verify(ctx context.Context, token string) (Principal, error) {
	for _, v := range g.verifiers {
		p, err := v.Verify(ctx, token)
		if !errors.Is(err, ErrUnknownToken) {
			return p, err
		}
	}
	return Principal{}, ErrUnknownToken
}

// bearer returns the token of the one Authorization header. The scheme's case
// does not matter (RFC 9110, section 11.1).
func bearer(h http.Header) (string, bool) {
	lines := h.Values("Authorization")
	if len(lines) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(lines[0], " ")
	token = strings.TrimSpace(token)
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}
