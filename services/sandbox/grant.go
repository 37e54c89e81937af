package sandbox

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"time"
)

// Bounds of what is remembered: with one more the oldest is forgotten, and then
// does not work.
const (
	maxGrants        = 1024 // of a client
	maxRefreshTokens = 1024 // of a grant
)

// Ending is why a grant came to its end.
type Ending string

// The endings.
const (
	EndedCodeReused    Ending = "code-reused"          // a code came twice (RFC 6749 §4.1.2)
	EndedRefreshReused Ending = "refresh-token-reused" // RefreshTokens.DetectReuse
	EndedRevoked       Ending = "revoked"              // Server.Revoke
	EndedTooMany       Ending = "too-many"             // RefreshTokens.PerAccount
)

// Grant is one consent and what came of it, as it stands. It has numbers in
// place of codes and tokens.
type Grant struct {
	Number       uint64    `json:"number"` // of the client's, from 1
	Account      string    `json:"account"`
	Scopes       []string  `json:"scopes,omitzero"`
	AuthorizedAt time.Time `json:"authorized_at"`
	// CodePresented is how often the code was, in order or not.
	CodePresented uint64 `json:"code_presented"`
	// ExpiresAt is when its refresh tokens end; zero is never, or that there
	// are none.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Ended is why nothing of the grant works any more; empty while it stands.
	// That a grant has expired is to be seen from ExpiresAt.
	Ended         Ending         `json:"ended,omitzero"`
	RefreshTokens []RefreshToken `json:"refresh_tokens,omitzero"`
}

// RefreshToken is one of a grant's. One that has a successor and was presented
// again tells of an answer that was lost, or of two that hold the same token; one
// that has none and was never presented is either in hand or lost.
type RefreshToken struct {
	Number      uint64    `json:"number"`               // within the grant, from 1
	Predecessor uint64    `json:"predecessor,omitzero"` // what it was given for; 0 is the code
	Presented   uint64    `json:"presented"`            // how often, in order or not
	ReplacedAt  time.Time `json:"replaced_at,omitzero"` // when it was first used
}

// grant is a Grant with what decides about it. Its record's lock guards it.
type grant struct {
	Grant
	redirectURI string
	challenge   string // of PKCE; empty is none
	nonce       string // for id tokens
	refreshes   bool   // its code brings a refresh token
	codeEnds    time.Time
	redeemed    bool            // its code was exchanged
	accessEnds  time.Time       // when the last access token does
	tokens      []*RefreshToken // those of the Grant
}

// end ends the grant for good; the first reason stays.
func (g *grant) end(why Ending) {
	if g.Ended == "" {
		g.Ended = why
	}
}

// expired reports whether the refresh tokens have come to their end.
func (g *grant) expired(now time.Time) bool {
	return !g.ExpiresAt.IsZero() && !now.Before(g.ExpiresAt)
}

// proves reports whether verifier is what the challenge was made from. Where
// there was no challenge there must be no verifier (RFC 9700 §2.1.1).
func (g *grant) proves(verifier string) bool {
	if g.challenge == "" {
		return verifier == ""
	}
	sum := sha256.Sum256([]byte(verifier))
	made := base64.RawURLEncoding.EncodeToString(sum[:])
	return subtle.ConstantTimeCompare([]byte(made), []byte(g.challenge)) == 1
}

// token returns the refresh token of that number, or nil if it is forgotten.
func (g *grant) token(number uint64) *RefreshToken {
	for _, t := range g.tokens {
		if t.Number == number {
			return t
		}
	}
	return nil
}

// add gives the grant another refresh token in place of its predecessor, of
// which 0 is the code, and returns its number.
func (g *grant) add(predecessor uint64) uint64 {
	next := &RefreshToken{Number: 1, Predecessor: predecessor}
	if n := len(g.tokens); n > 0 {
		next.Number = g.tokens[n-1].Number + 1
	}
	if len(g.tokens) == maxRefreshTokens {
		g.tokens = slices.Delete(g.tokens, 0, 1)
	}
	g.tokens = append(g.tokens, next)
	return next.Number
}

// successor returns the first token that replaced another, or nil.
func (g *grant) successor(number uint64) *RefreshToken {
	i := slices.IndexFunc(g.tokens, func(t *RefreshToken) bool { return t.Predecessor == number })
	if i < 0 {
		return nil
	}
	return g.tokens[i]
}

// works reports whether the token may be used under the rules: as long as
// nothing replaced it, or within its grace while what did is unused.
func (g *grant) works(t *RefreshToken, rules RefreshTokens, now time.Time) bool {
	if t == nil {
		return false
	}
	if t.ReplacedAt.IsZero() {
		return true
	}
	succeeded := slices.ContainsFunc(g.tokens, func(s *RefreshToken) bool {
		return s.Predecessor == t.Number && !s.ReplacedAt.IsZero()
	})
	return !succeeded && now.Before(t.ReplacedAt.Add(time.Duration(rules.Grace)))
}

// view copies what is shown of the grant.
func (g *grant) view() Grant {
	v := g.Grant
	v.Scopes = slices.Clone(v.Scopes)
	for _, t := range g.tokens {
		v.RefreshTokens = append(v.RefreshTokens, *t)
	}
	return v
}

// grants are those of one client, oldest first.
type grants struct {
	list []*grant
	made uint64
}

// add numbers g and remembers it.
func (gs *grants) add(g *grant) {
	gs.made++
	g.Number = gs.made
	if len(gs.list) == maxGrants {
		gs.list = slices.Delete(gs.list, 0, 1)
	}
	gs.list = append(gs.list, g)
}

// find returns the grant of that number, or nil.
func (gs *grants) find(number uint64) *grant {
	i := slices.IndexFunc(gs.list, func(g *grant) bool { return g.Number == number })
	if i < 0 {
		return nil
	}
	return gs.list[i]
}

// cap ends the oldest grants of an account of which more stand than may.
func (gs *grants) cap(account string, most int, now time.Time) {
	standing := 0
	for _, g := range slices.Backward(gs.list) {
		if g.Account != account || !g.stands(now) {
			continue
		}
		if standing++; standing > most {
			g.end(EndedTooMany)
		}
	}
}

// stands reports whether the grant was redeemed and is good for something yet.
func (g *grant) stands(now time.Time) bool { return g.redeemed && g.Ended == "" && !g.expired(now) }

// standing reports whether the account has a grant that was redeemed and stands.
func (gs *grants) standing(account string, now time.Time) bool {
	return slices.ContainsFunc(gs.list, func(g *grant) bool {
		return g.Account == account && g.stands(now)
	})
}

// views copies what is shown of the grants.
func (r *record) views() []Grant {
	r.mu.Lock()
	defer r.mu.Unlock()
	views := make([]Grant, len(r.grants.list))
	for i, g := range r.grants.list {
		views[i] = g.view()
	}
	return views
}

// eachGrant changes the grant of that number, or with 0 all.
func (r *record) eachGrant(number uint64, change func(*grant)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if number == 0 {
		for _, g := range r.grants.list {
			change(g)
		}
		return nil
	}
	g := r.grants.find(number)
	if g == nil {
		return ErrUnknownGrant
	}
	change(g)
	return nil
}

// issued notes when the last access token of a grant ends.
func (r *record) issued(number uint64, ends time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g := r.grants.find(number); g != nil {
		g.accessEnds = ends
	}
}

// account returns whose grant it is and whether it stands. Grant 0, of no
// account, always does.
func (r *record) account(number uint64) (account string, stands bool) {
	if number == 0 {
		return "", true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.grants.find(number)
	if g == nil || g.Ended != "" {
		return "", false
	}
	return g.Account, true
}
