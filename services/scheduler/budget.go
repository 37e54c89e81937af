package scheduler

import (
	"math"
	"time"
)

// Budget is how much a provider is asked.
type Budget struct {
	// Rate is how many requests a second each client makes; 0 is no limit.
	Rate float64
	// Burst is how many it may make at once after it has made none; 0 is what it
	// makes in a tenth of a second, and at least one.
	Burst int
	// Concurrency is how many exchanges of all clients of the host may be under
	// way; 0 is DefaultConcurrency.
	Concurrency int
	// Shared tells that Rate and Burst are of all clients of the host together.
	Shared bool
}

// DefaultConcurrency leaves a quarter of one exchanger's workers to the other
// hosts when one of them is slow.
const DefaultConcurrency = 192

// Budgets are the budgets of all hosts.
type Budgets struct {
	Default Budget
	// Hosts has those that differ, by token host or provider (see
	// secret.Endpoint).
	Hosts map[string]Budget
}

func (b Budgets) of(host string) Budget {
	own, ok := b.Hosts[host]
	if !ok {
		own = b.Default
	}
	if own.Concurrency == 0 {
		own.Concurrency = DefaultConcurrency
	}
	if own.Burst == 0 {
		own.Burst = max(1, int(math.Ceil(own.Rate/10)))
	}
	return own
}

// bucket is a budget of requests, in Unix milliseconds: it fills at a rate up to
// a burst, and each request takes one. It may be overdrawn.
type bucket struct {
	rate   float64 // a millisecond; 0 is without a limit
	burst  float64
	tokens float64 // at the time at
	at     int64

	// After a cut the rate is left of it, and grows back to the whole within
	// the time of recovery.
	cutAt int64
	left  float64
	// lent tells that there is no limit but during a cut.
	lent bool
}

// recovery is how long a rate takes to grow back, in milliseconds.
const recovery = int64(time.Minute / time.Millisecond)

// slack keeps rounding from costing a token.
const slack = 1e-6

func newBucket(b Budget, now int64) bucket {
	return bucket{rate: b.Rate / 1000, burst: float64(b.Burst), tokens: float64(b.Burst), at: now}
}

// share is what is left of the rate at a time.
func (b *bucket) share(now int64) float64 {
	if b.cutAt == 0 || now >= b.cutAt+recovery {
		return 1
	}
	return b.left + (1-b.left)*float64(max(0, now-b.cutAt))/float64(recovery)
}

// fill brings the bucket up to the time now.
func (b *bucket) fill(now int64) {
	if now <= b.at {
		return
	}
	b.tokens = min(b.burst, b.tokens+float64(now-b.at)*b.rate*b.share((b.at+now)/2))
	b.at = now
	if b.lent && now >= b.cutAt+recovery {
		b.rate, b.lent = 0, false
	}
}

// ready is when the next request may be made.
func (b *bucket) ready(now int64) int64 {
	b.fill(now)
	if b.rate == 0 || b.tokens >= 1-slack {
		return now
	}
	return now + int64(math.Ceil((1-b.tokens)/(b.rate*b.share(now))-slack))
}

// full is when there is nothing left to remember.
func (b *bucket) full(now int64) int64 {
	b.fill(now)
	if b.rate == 0 {
		return now
	}
	at := now + int64(math.Ceil((b.burst-b.tokens)/(b.rate*b.share(now))-slack))
	if b.cutAt != 0 {
		at = max(at, b.cutAt+recovery)
	}
	return at
}

func (b *bucket) take() { b.tokens-- }
func (b *bucket) back() { b.tokens = min(b.burst, b.tokens+1) }

// cut halves the rate. Where there is no limit, there is one for as long as it
// takes to grow back: half of what was observed, in requests a second.
func (b *bucket) cut(now int64, observed float64) {
	b.fill(now)
	if b.rate == 0 {
		b.rate, b.lent = max(observed, 1)/1000, true
		b.burst, b.tokens = max(1, b.rate*100), 1
	}
	b.left, b.cutAt = b.share(now)/2, now
}

// perSecond is the rate at a time; 0 is without a limit.
func (b *bucket) perSecond(now int64) float64 { return 1000 * b.rate * b.share(now) }

// meter observes how many things happen in a second, as an average that forgets.
type meter struct {
	n  float64
	at int64
}

// memory is what a meter looks back on, in milliseconds.
const memory = 30_000

func (m *meter) add(now int64) {
	m.n = m.n*math.Exp(-float64(max(0, now-m.at))/memory) + 1
	m.at = max(m.at, now)
}

func (m *meter) perSecond(now int64) float64 {
	return m.n * 1000 / memory * math.Exp(-float64(max(0, now-m.at))/memory)
}
