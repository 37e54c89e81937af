package exchanger

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rekindle-dev/rekindle/events"
)

// A signed JWT is good for a while of somebody's clock. When the provider's is far
// from ours, it refuses the JWT for its time, whatever else is in order.

// maxClocks is of how many hosts the clock is remembered.
const maxClocks = 1024

// clockLife is for how long it is. Clocks are put right.
const clockLife = 24 * time.Hour

// clocks are those of token endpoints, by host, where a JWT of our time was refused.
// What is forgotten is found out again.
type clocks struct {
	mu    sync.Mutex
	known map[string]clock
}

// clock is by how much a clock is ahead of ours, and until when that is believed.
type clock struct {
	ahead time.Duration
	until time.Time
}

// of is by how much a host's clock is ahead, 0 when nothing is known.
func (k *clocks) of(host string, now time.Time) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c := k.known[host]; now.Before(c.until) {
		return c.ahead
	}
	return 0
}

// set remembers a clock, unless it agrees with ours.
func (k *clocks) set(host string, ahead time.Duration, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.known, host)
	if ahead == 0 {
		return
	}
	if k.known == nil {
		k.known = make(map[string]clock)
	}
	for other := range k.known {
		if len(k.known) < maxClocks {
			break
		}
		delete(k.known, other)
	}
	k.known[host] = clock{ahead, now.Add(clockLife)}
}

// bear has a JWT of the secret sent, and once more, signed anew by the provider's
// clock, if the provider may have refused it because its clock is another than
// that it was signed by. A JWT that was refused has spent nothing (RFC 7523
// section 3.1). It returns by how much that clock is ahead of ours.
func (x *Exchanger) bear(ctx context.Context, c *claim, send func(TokenRequest) error) (ahead time.Duration, err error) {
	host := c.secret.Endpoint().Host
	ahead = x.clocks.of(host, x.now())
	err = x.sendSigned(ctx, c, ahead, send)
	why, refused := errors.AsType[*ExchangeError](err)
	if !refused || why.ProviderTime.IsZero() {
		return ahead, err
	}
	theirs := why.ProviderTime.Sub(x.now()).Round(time.Second)
	if theirs.Abs() <= clockSkew {
		theirs = 0 // what iat is dated back by
	}
	if (theirs - ahead).Abs() <= clockSkew {
		return ahead, err // the clock is not what it was refused for
	}
	x.metrics.resigned.Inc()
	x.Logger.WarnContext(ctx, "a JWT was refused by a provider whose clock is another: it is signed once more", "secret", c.secret.ID)
	if err = x.sendSigned(ctx, c, theirs, send); err == nil {
		x.clocks.set(host, theirs, x.now())
	}
	return theirs, err
}

// sendSigned sends a JWT signed by a clock that is ahead of ours.
func (x *Exchanger) sendSigned(ctx context.Context, c *claim, ahead time.Duration, send func(TokenRequest) error) error {
	jwt, _, err := x.sign(ctx, c, x.now().Add(ahead))
	if err != nil {
		return err
	}
	r := jwtBearerRequest(c.secret.Credentials, jwt)
	defer r.wipe()
	return send(r)
}

// warnOfClock warns of a provider's clock that is ahead of ours, or behind.
func (g *got) warnOfClock(ahead time.Duration) {
	where := "ahead of"
	if ahead < 0 {
		where = "behind"
	}
	if ahead != 0 {
		g.warn(events.WarningClockSkew, "the provider's clock is %v %s the exchanger's, so the JWT was signed by the provider's: check the clock of the exchanger", ahead.Abs(), where)
	}
}
