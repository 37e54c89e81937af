package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

// How often an issuer is asked for its keys.
const (
	// refreshEvery is when the keys are fetched again, so that one that the issuer
	// has withdrawn is not taken for long.
	refreshEvery = time.Hour
	// askPause is the least time between two fetches because of tokens.
	askPause = 10 * time.Second
	// askWait is how long a token waits for such a fetch.
	askWait = 5 * time.Second
	// maxStale is how long keys are taken that could not be confirmed.
	maxStale = 24 * time.Hour
	// Of an issuer that is away.
	firstRetry, lastRetry = time.Second, time.Minute
)

// issuer is an Issuer with its keys.
type issuer struct {
	Issuer
	log    *slog.Logger
	client *http.Client
	asked  chan struct{} // holds a token when there is to be a fetch

	mu        sync.Mutex
	keys      []jose.JSONWebKey
	fetchedAt time.Time     // zero: never
	askedAt   time.Time     // when a token last led to a fetch
	fetched   chan struct{} // closed at the end of the next fetch
}

func newIssuer(cfg Issuer, d OIDCDeps) *issuer {
	return &issuer{
		Issuer: cfg, log: d.Logger, client: newIssuerClient(cfg.Loopback, d.RootCAs),
		asked: make(chan struct{}, 1), fetched: make(chan struct{}),
	}
}

// run fetches the keys at once, every hour, and when they are asked for.
func (i *issuer) run(ctx context.Context) {
	defer i.client.CloseIdleConnections()
	retry := firstRetry
	for {
		next := refreshEvery
		keys, err := i.fetch(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			i.log.WarnContext(ctx, "the keys of an issuer could not be fetched", "url", i.URL, "error", err)
			next, retry = retry, min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		i.took(keys, err)
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
		case <-i.asked:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// took keeps what a fetch has brought, and wakes those who wait for it.
func (i *issuer) took(keys []jose.JSONWebKey, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if err == nil {
		i.keys, i.fetchedAt = keys, time.Now()
	}
	close(i.fetched)
	i.fetched = make(chan struct{})
}

// known returns the keys, or ErrIssuerAway when there are none that can be relied on.
func (i *issuer) known() ([]jose.JSONWebKey, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if time.Since(i.fetchedAt) > maxStale {
		return nil, ErrIssuerAway
	}
	return i.keys, nil
}

// ask has the keys fetched again, unless that was done for a token a moment ago, and
// reports whether it has been.
func (i *issuer) ask(ctx context.Context) bool {
	i.mu.Lock()
	fetched, now := i.fetched, time.Now()
	if now.Sub(i.askedAt) < askPause {
		i.mu.Unlock()
		return false
	}
	i.askedAt = now
	i.mu.Unlock()
	select {
	case i.asked <- struct{}{}:
	default: // there is to be one already
	}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	select {
	case <-fetched:
		return true
	case <-ctx.Done():
		return false
	}
}

// verify returns what a token says once its signature, its issuer and its audience
// are proven.
func (i *issuer) verify(ctx context.Context, token string) (*oidc.IDToken, error) {
	verified, err := i.try(ctx, token)
	if errors.Is(err, errNoKey) && i.ask(ctx) {
		verified, err = i.try(ctx, token)
	}
	if errors.Is(err, errNoKey) {
		return nil, &RefusedError{"is signed with a key that its issuer does not have"}
	}
	return verified, err
}

func (i *issuer) try(ctx context.Context, token string) (*oidc.IDToken, error) {
	keys, err := i.known()
	if err != nil {
		return nil, err
	}
	signed := &keySet{keys: keys}
	verified, err := oidc.NewVerifier(i.URL, signed, &oidc.Config{
		ClientID: i.Audience, SupportedSigningAlgs: algorithms(), SkipExpiryCheck: true, // see timely
	}).Verify(ctx, token)
	switch {
	case err == nil:
		return verified, nil
	case signed.proven: // so what it says is its issuer's
		return nil, &RefusedError{"is for another audience"}
	case signed.unknown:
		return nil, errNoKey
	default:
		return nil, &RefusedError{"is not signed as it must be"}
	}
}

// errNoKey: none of the keys that are known is that of a token.
var errNoKey = errors.New("no such key")

// keySet checks the signature of one token.
type keySet struct {
	keys []jose.JSONWebKey
	// unknown tells that the key is not among them, proven that the signature is
	// right.
	unknown, proven bool
}

var _ oidc.KeySet = (*keySet)(nil)

// VerifySignature implements [oidc.KeySet]. A token that names no key may be signed
// with any (RFC 7515, section 4.1.4).
func (s *keySet) VerifySignature(_ context.Context, token string) ([]byte, error) {
	var allowed []jose.SignatureAlgorithm
	for _, a := range algorithms() {
		allowed = append(allowed, jose.SignatureAlgorithm(a))
	}
	jws, err := jose.ParseSignedCompact(token, allowed)
	if err != nil {
		return nil, err
	}
	header := jws.Signatures[0].Header
	s.unknown = true
	for _, key := range s.keys {
		if header.KeyID != "" && key.KeyID != header.KeyID || key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		s.unknown = header.KeyID == ""
		if payload, err := jws.Verify(key.Key); err == nil {
			s.proven = true
			return payload, nil
		}
	}
	return nil, errNoKey
}
