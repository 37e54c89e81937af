package api

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The pace of tests (contract A8, action test): each makes a request to a
// provider, which counts it against whoever owns the credentials.
const (
	secretTests     = 3 // at once, then one each
	secretTestEvery = 20 * time.Second
	orgTests        = 60 // at once, then one each
	orgTestEvery    = time.Second
)

// pace limits how often something is done, for each secret and for each
// organisation. What it keeps is bounded by what it has admitted within the last
// two minutes: a limit that is whole again is as good as none and is dropped,
// and for an organisation that must wait nothing new is kept. It is safe for
// concurrent use. The zero pace has admitted nothing.
type pace struct {
	mu      sync.Mutex
	secrets map[string]*rate.Limiter
	orgs    map[string]*rate.Limiter
	swept   time.Time
}

// admit returns for how long the caller has to wait, in whole seconds, or 0 if
// it may go ahead, which counts. Waiting does not reserve a turn.
func (p *pace) admit(org, secret string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sweep(now)
	ofOrg := limiter(p.orgs, org, orgTests, orgTestEvery)
	ofSecret := limiter(p.secrets, secret, secretTests, secretTestEvery)
	if wait := max(missing(ofOrg, now), missing(ofSecret, now)); wait > 0 {
		return wait
	}
	ofOrg.AllowN(now, 1)
	ofSecret.AllowN(now, 1)
	p.orgs[org], p.secrets[secret] = ofOrg, ofSecret
	return 0
}

// limiter returns what is kept under the key, or a whole limit.
func limiter(kept map[string]*rate.Limiter, key string, burst int, every time.Duration) *rate.Limiter {
	if l, ok := kept[key]; ok {
		return l
	}
	return rate.NewLimiter(rate.Every(every), burst)
}

// missing returns how long it takes until the limiter admits one more, rounded
// up to a second.
func missing(l *rate.Limiter, now time.Time) time.Duration {
	lack := max(0, 1-l.TokensAt(now))
	wait := time.Duration(lack / float64(l.Limit()) * float64(time.Second))
	return (wait + time.Second - 1).Truncate(time.Second)
}

// sweep drops what is whole again, once a minute.
func (p *pace) sweep(now time.Time) {
	if p.secrets != nil && now.Sub(p.swept) < time.Minute {
		return
	}
	if p.secrets == nil {
		p.secrets, p.orgs = map[string]*rate.Limiter{}, map[string]*rate.Limiter{}
	}
	p.swept = now
	for _, kept := range []map[string]*rate.Limiter{p.secrets, p.orgs} {
		for key, l := range kept {
			if l.TokensAt(now) >= float64(l.Burst()) {
				delete(kept, key)
			}
		}
	}
}
