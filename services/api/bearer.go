package api

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"sync"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// An API token as people see it is rkd_<id>_<random><checksum>: the id without its
// prefix, 256 random bits, and the CRC-32 of all that is before it, in lower-case
// hexadecimal digits. The id is no secret: it says which record to compare with,
// and which token to revoke when one is found where it should not be. The checksum
// lets scanners tell tokens from what looks like one, and typing errors from
// tokens that are gone.
const (
	bearerPrefix = "rkd_"
	bearerID     = 32 // digits
	bearerRandom = 64
	bearerSum    = 8
	bearerLength = len(bearerPrefix) + bearerID + 1 + bearerRandom + bearerSum
)

// newBearer returns the text of a new token.
func newBearer(id string) string {
	var random [bearerRandom / 2]byte
	rand.Read(random[:]) // never fails: it ends the program instead
	text := bearerPrefix + strings.TrimPrefix(id, string(secret.PrefixToken)) + "_" + hex.EncodeToString(random[:])
	return text + checksum(text)
}

func checksum(text string) string { return fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(text))) }

// bearerOf returns the id of the record of a token. Ours tells that it means to be
// one of these; whole that nothing of it is missing or mistyped.
func bearerOf(text string) (id string, ours, whole bool) {
	if !strings.HasPrefix(text, bearerPrefix) {
		return "", false, false
	}
	if len(text) != bearerLength {
		return "", true, false
	}
	body, sum := text[:bearerLength-bearerSum], text[bearerLength-bearerSum:]
	id = string(secret.PrefixToken) + text[len(bearerPrefix):len(bearerPrefix)+bearerID]
	return id, true, checksum(body) == sum && secret.ValidID(secret.PrefixToken, id)
}

// missRate is how many tokens a second that the projection does not know are asked
// the state for, at most.
const missRate = 20

var _ auth.Verifier = (*Service)(nil)

// Verify implements [auth.Verifier] for API tokens. It answers from the projection:
// a token that was revoked by way of this process is refused at once, by way of
// another as soon as this one has seen it. Hashes are compared in constant time.
func (s *Service) Verify(ctx context.Context, text string) (auth.Principal, error) {
	id, ours, whole := bearerOf(text)
	switch {
	case !ours:
		return auth.Principal{}, auth.ErrUnknownToken
	case !whole:
		return auth.Principal{}, &auth.RefusedError{Why: "is not whole: its checksum is wrong, so something of it is missing or mistyped"}
	}
	t, err := s.tokenFor(ctx, id)
	if errors.Is(err, ErrNotFound) || err == nil && subtle.ConstantTimeCompare(hash(text), t.Hash) != 1 {
		return auth.Principal{}, auth.ErrUnknownToken
	}
	if err != nil {
		return auth.Principal{}, err
	}
	now := s.now()
	if status := t.Status(now); status != TokenActive {
		return auth.Principal{}, &auth.RefusedError{Why: "is " + string(status)}
	}
	s.uses.note(t, now)
	return auth.Principal{
		Org: t.Org, DisplayName: t.Name, Email: "token-" + t.ID + "@localhost",
		Rights: t.Rights, Key: t.ID, Until: t.ExpiresAt,
	}, nil
}

// tokenFor returns a token, whoever's it is. What the projection does not know is
// looked for in the state, but not as often as a stranger might like.
func (s *Service) tokenFor(ctx context.Context, id string) (*Token, error) {
	s.view.mu.RLock()
	t, ok := s.view.tokens.get(id)
	s.view.mu.RUnlock()
	if ok {
		return t, nil
	}
	if !s.misses.Allow() {
		return nil, ErrNotFound
	}
	return s.findToken(ctx, id)
}

// How uses of tokens are written down.
const (
	noteEvery = time.Minute // no use is noted this soon after a noted one
	notePause = 30 * time.Second
	noteBatch = 250 // tokens, after each pause
)

// uses are the tokens that were used and whose record does not say so yet. The
// zero uses are none.
type uses struct {
	mu  sync.Mutex
	ids map[string]time.Time
}

// note remembers a use, unless the record has one that is recent enough. There
// are no more than there are tokens.
func (u *uses) note(t *Token, now time.Time) {
	if now.Sub(t.LastUsedAt) < noteEvery {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ids == nil {
		u.ids = make(map[string]time.Time)
	}
	u.ids[t.ID] = now
}

// take returns up to n of them, which it forgets.
func (u *uses) take(n int) map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := make(map[string]time.Time)
	for id, at := range u.ids {
		if len(taken) == n {
			break
		}
		taken[id] = at
		delete(u.ids, id)
	}
	return taken
}

// noteUses writes the uses of tokens into their records until ctx ends: beside the
// requests, a few at a time, and for each token at most once a minute by whichever
// process. What cannot be written is dropped: the next use is as good.
func (s *Service) noteUses(ctx context.Context) {
	pause := time.NewTicker(notePause)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
			s.writeUses(ctx)
		}
	}
}

func (s *Service) writeUses(ctx context.Context) {
	for id, at := range s.uses.take(noteBatch) {
		_, _, err := amendQuietly(ctx, s, state.TokenKey(id), func(t *Token) error {
			if at.Sub(t.LastUsedAt) < noteEvery {
				return errUnchanged
			}
			t.LastUsedAt = at
			return nil
		})
		if err != nil && !errors.Is(err, ErrNotFound) && ctx.Err() == nil {
			s.deps.Logger.WarnContext(ctx, "the use of a token could not be noted", "key", id, "error", err)
			return
		}
	}
}
