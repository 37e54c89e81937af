package api

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// Token is the record of an API token. It holds a hash of the token and not the
// token. Records are shared between readers: nobody may change one.
type Token struct {
	ID     string      `json:"id"`
	Org    string      `json:"org"`
	Name   string      `json:"name"`
	Rights auth.Rights `json:"rights"`
	// Hash is the SHA-256 of the token as it is shown. What is hashed has 256
	// random bits, so there is nothing to guess that a slow hash would slow down.
	Hash      []byte       `json:"hash"`
	CreatedAt time.Time    `json:"created_at"`
	CreatedBy secret.Actor `json:"created_by,omitzero"`
	// ExpiresAt is zero for a token that does not expire, RevokedAt for one that
	// was not revoked.
	ExpiresAt time.Time    `json:"expires_at,omitzero"`
	RevokedAt time.Time    `json:"revoked_at,omitzero"`
	RevokedBy secret.Actor `json:"revoked_by,omitzero"`
	// LastUsedAt is when it was last used, give or take a minute; zero for never.
	LastUsedAt time.Time `json:"last_used_at,omitzero"`
}

// TokenStatus says whether a token is good.
type TokenStatus string

// The statuses of tokens.
const (
	TokenActive  TokenStatus = "active"
	TokenExpired TokenStatus = "expired"
	TokenRevoked TokenStatus = "revoked"
)

// Status returns how the token stands.
func (t *Token) Status(now time.Time) TokenStatus {
	switch {
	case !t.RevokedAt.IsZero():
		return TokenRevoked
	case !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt):
		return TokenExpired
	default:
		return TokenActive
	}
}

// maxTokens bounds the tokens of an organisation, ended ones included.
const maxTokens = 1000

// Tokens lists the API tokens of the caller's organisation.
func (s *Service) Tokens(who Caller, q Query[*Token]) Page[*Token] {
	page, _ := list(s.view, q, func() (runs[*Token], error) { return s.view.tokens.by(0, who.Org), nil }) //nolint:errcheck // there is none
	return page
}

// Token returns an API token, ErrNotFound or ErrUnavailable.
func (s *Service) Token(ctx context.Context, who Caller, id string) (*Token, error) {
	found, err := s.findToken(ctx, id)
	if err == nil && found.Org != who.Org {
		return nil, ErrNotFound
	}
	return found, err
}

// findToken is Token for whoever asks.
func (s *Service) findToken(ctx context.Context, id string) (*Token, error) {
	return find(ctx, s, keyOf(secret.PrefixToken, id, state.TokenKey), func() (*Token, error) {
		found, ok := s.view.tokens.get(id)
		if !ok {
			return nil, ErrNotFound
		}
		return found, nil
	})
}

// CreateToken makes an API token of the resource data, within the caller's
// organisation, and returns it and its text, which nobody can be told again. It
// gives no right that the caller has not, and ends no later than the token that
// the caller has shown, if that is one of these. It returns a RefusedError or
// ErrUnavailable.
func (s *Service) CreateToken(ctx context.Context, who Caller, data *Object) (*Token, seal.Plaintext, error) {
	t, err := s.readToken(who, data)
	if err != nil {
		return nil, seal.Plaintext{}, err
	}
	text := newBearer(t.ID)
	t.Hash = hash(text)
	rev, err := s.commit(ctx, did(who, audit.Created, t), put{state.TokenKey(t.ID), t, 0})
	if err != nil {
		return nil, seal.Plaintext{}, err
	}
	s.see(ctx, rev)
	return t, seal.NewPlaintext(text), nil
}

func (s *Service) readToken(who Caller, data *Object) (*Token, error) {
	if err := openResource(data, "tokens", InvalidToken); err != nil {
		return nil, err
	}
	a, _ := data.object("attributes")
	a.require("name", "rights")
	t := &Token{
		ID: secret.NewID(secret.PrefixToken), Org: who.Org, CreatedAt: s.now(), CreatedBy: who.Actor,
		Rights: grantable(a, who.Rights), ExpiresAt: s.end(a, who.Until),
	}
	t.Name, _ = a.text("name", maxName)
	if s.Tokens(who, Query[*Token]{}).Total >= maxTokens {
		return nil, refuse(Conflict, "/data", fmt.Sprintf("an organisation has at most %d tokens: delete some that have ended", maxTokens))
	}
	return t, data.report.err()
}

// grantable returns the rights that are asked for, sorted. One that the caller has
// not cannot be given.
func grantable(a *Object, held auth.Rights) auth.Rights {
	var asked []string
	if !a.decode("rights", &asked, "a list of rights") {
		return nil
	}
	rights := make(auth.Rights, 0, len(asked))
	list := &Object{pointer: a.at("rights"), report: a.report}
	for i, text := range asked {
		right, at := auth.Right(text), strconv.Itoa(i)
		switch {
		case !slices.Contains(auth.AllRights(), right):
			list.note(list.report.invalid, at, "rights must be among "+strings.Join(asTexts(auth.AllRights()), ", "))
		case !held.Have(right):
			list.note(list.report.invalid, at, "rights must be among your own, and "+string(right)+" is not")
		case !slices.Contains(rights, right):
			rights = append(rights, right)
		}
	}
	slices.Sort(rights)
	return rights
}

func asTexts(rights auth.Rights) []string {
	texts := make([]string, len(rights))
	for i, r := range rights {
		texts[i] = string(r)
	}
	return texts
}

// end reads when the token ends: never, unless that is said, or the token that
// the caller has shown ends.
func (s *Service) end(a *Object, limit time.Time) time.Time {
	var at time.Time
	if !a.decode("expires_at", &at, "a time like 2027-03-01T12:00:00Z") {
		return limit
	}
	at = at.UTC().Truncate(time.Millisecond)
	switch now := s.now(); {
	case !at.After(now):
		a.fault("expires_at", "must be in the future")
	case at.After(now.Add(secret.MaxLifetime)):
		a.fault("expires_at", "must be within a hundred years")
	case !limit.IsZero() && at.After(limit):
		a.fault("expires_at", "must not be after the end of the token that you use, which is "+limit.Format(time.RFC3339))
	}
	return at
}

// Revoke is the one action on an API token.
const Revoke Action = "revoke"

// ChangeToken does to an API token what the resource data asks for: it ends it.
// One that was revoked stays as it is. It returns ErrNotFound, a RefusedError or
// ErrUnavailable.
func (s *Service) ChangeToken(ctx context.Context, who Caller, id string, data *Object) (*Token, error) {
	if _, err := s.Token(ctx, who, id); err != nil {
		return nil, err
	}
	if err := onlyAction(data, "tokens", id, Revoke); err != nil {
		return nil, err
	}
	t, rev, err := amend(ctx, s, did(who, audit.Updated, nil), state.TokenKey(id), func(t *Token) error {
		if !t.RevokedAt.IsZero() {
			return errUnchanged
		}
		t.RevokedAt, t.RevokedBy = s.now(), who.Actor
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return t, nil
}

// DeleteToken deletes an API token, which ends it. It returns ErrNotFound or
// ErrUnavailable.
func (s *Service) DeleteToken(ctx context.Context, who Caller, id string) error {
	if _, err := s.Token(ctx, who, id); err != nil {
		return err
	}
	rev, err := remove(ctx, s, who, state.TokenKey(id), func(*Token, state.Revision) ([]state.Write, error) { return nil, nil })
	if err != nil {
		return err
	}
	s.see(ctx, rev)
	return nil
}
