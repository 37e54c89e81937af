package auth

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate is how often somebody may ask. A PerSecond of zero is no limit.
type Rate struct {
	PerSecond float64
	Burst     int // at once, after a rest
}

// Limits is how often requests are admitted.
type Limits struct {
	// Token is of each token, or of each subject of an issuer.
	Token Rate
	// Address is of each address, for requests without a token that is good.
	Address Rate
	// Proxies are the networks whose word is taken for whom they ask for, in
	// X-Forwarded-For. From all others that header means nothing.
	Proxies []netip.Prefix
}

// TooManyError refuses a request because there were too many like it.
type TooManyError struct {
	// Wait is after how long the next one is admitted, in whole seconds.
	Wait time.Duration
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("too many requests: the next one is admitted in %v", e.Wait)
}

// Limiter holds requests to Limits, within one process. A nil Limiter admits all.
// It is safe for concurrent use.
type Limiter struct {
	tokens, addresses buckets
	proxies           []netip.Prefix
}

// NewLimiter returns a Limiter that has admitted nothing.
func NewLimiter(l Limits) *Limiter {
	return &Limiter{tokens: buckets{rate: l.Token}, addresses: buckets{rate: l.Address}, proxies: l.Proxies}
}

// Token counts a request of a principal. It returns nil or a *TooManyError.
func (l *Limiter) Token(p Principal) error {
	if l == nil {
		return nil
	}
	return l.tokens.admit(p.Key, time.Now())
}

// Stranger counts a request of nobody knows whom. It returns nil or a
// *TooManyError.
func (l *Limiter) Stranger(r *http.Request) error {
	if l == nil {
		return nil
	}
	return l.addresses.admit(l.address(r), time.Now())
}

// address returns where a request comes from: the last address on its way that is
// not that of a proxy. Of IPv6 it is the network, for one machine has as many
// addresses as it likes (RFC 4291, section 2.5.1).
func (l *Limiter) address(r *http.Request) string {
	from, _ := netip.ParseAddrPort(r.RemoteAddr) //nolint:errcheck // the server has written it
	ip := from.Addr().Unmap()
	way := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(way) {
		if !slices.ContainsFunc(l.proxies, func(p netip.Prefix) bool { return p.Contains(ip) }) {
			break
		}
		before, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		ip = before.Unmap().WithZone("")
	}
	if ip.Is6() {
		network, _ := ip.Prefix(64) //nolint:errcheck // which an IPv6 address has
		return network.String()
	}
	return ip.String()
}

// maxBuckets bounds how many are told apart: about 15 MB.
const maxBuckets = 100_000

// buckets counts by keys. Those that find no place share one bucket.
type buckets struct {
	rate Rate

	mu    sync.Mutex
	kept  map[string]*rate.Limiter
	swept time.Time
}

func (b *buckets) admit(key string, now time.Time) error {
	if b.rate.PerSecond == 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	of := b.of(key, now)
	if of.AllowN(now, 1) {
		return nil
	}
	lack := (1 - of.TokensAt(now)) / b.rate.PerSecond
	wait := time.Duration(lack*float64(time.Second)) + time.Second - 1
	return &TooManyError{max(wait.Truncate(time.Second), time.Second)}
}

// of returns the bucket of a key.
func (b *buckets) of(key string, now time.Time) *rate.Limiter {
	if found, ok := b.kept[key]; ok {
		return found
	}
	if len(b.kept) >= maxBuckets {
		b.sweep(now)
	}
	if len(b.kept) >= maxBuckets {
		key = "" // nobody's own
		if found, ok := b.kept[key]; ok {
			return found
		}
	}
	if b.kept == nil {
		b.kept = make(map[string]*rate.Limiter)
	}
	b.kept[key] = rate.NewLimiter(rate.Limit(b.rate.PerSecond), b.rate.Burst)
	return b.kept[key]
}

// sweep drops the buckets that are full again, once a second at most.
func (b *buckets) sweep(now time.Time) {
	if now.Sub(b.swept) < time.Second {
		return
	}
	b.swept = now
	for key, of := range b.kept {
		if of.TokensAt(now) >= float64(of.Burst()) {
			delete(b.kept, key)
		}
	}
}
