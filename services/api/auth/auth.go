// Package auth finds out on whose behalf a request is made.
//
// A request proves itself with a bearer token (RFC 6750). A [Gate] asks its
// verifiers in turn whose token it is: today the bootstrap administrator's;
// tokens kept as hashes and those of an OpenID provider are further verifiers.
// The header x-gw-ims-org-id may name the organisation that is meant and must
// then name the token's own; x-api-key may say anything (contract A1).
//
// It promises that no error and no answer of it holds a token or a part of
// one, and that the time it takes says nothing about the right one.
package auth

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// Errors of [Gate.Admit] besides those of a verifier that cannot do its work.
var (
	// ErrNoToken: the request has no bearer token, or more than one.
	ErrNoToken = errors.New("no bearer token")
	// ErrUnknownToken: the token is nobody's. Verifiers return it too.
	ErrUnknownToken = errors.New("the bearer token is not known")
	// ErrOtherOrg: the request means an organisation that is not the token's.
	ErrOtherOrg = errors.New("the bearer token belongs to another organisation")
)

// Principal is who a request is made for.
type Principal struct {
	// Org is the organisation whose records it may see, and no others.
	Org         string
	Email       string
	DisplayName string
	Rights      Rights
}

// Verifier knows some tokens. Implementations are safe for concurrent use.
type Verifier interface {
	// Verify returns whose token it is, or ErrUnknownToken when it does not
	// know the token. Any other error means that it cannot say now.
	Verify(ctx context.Context, token string) (Principal, error)
}

// Gate admits requests. It is safe for concurrent use.
type Gate struct {
	verifiers []Verifier
}

// NewGate returns a Gate that asks the verifiers in this order.
func NewGate(verifiers ...Verifier) *Gate { return &Gate{verifiers: verifiers} }

// Admit returns whom the request is made for, or ErrNoToken, ErrUnknownToken or
// ErrOtherOrg.
func (g *Gate) Admit(r *http.Request) (Principal, error) {
	token, ok := bearer(r.Header)
	if !ok {
		return Principal{}, ErrNoToken
	}
	p, err := g.verify(r.Context(), token)
	if err != nil {
		return Principal{}, err
	}
	for _, org := range r.Header.Values("X-Gw-Ims-Org-Id") {
		if org != "" && org != p.Org {
			return Principal{}, ErrOtherOrg
		}
	}
	return p, nil
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
