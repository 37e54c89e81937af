package exchanger

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/endpoint"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

const (
	// tripAfter is after how many failures in a row, of one exchanger, the
	// breaker of a host opens for the fleet.
	tripAfter = 5
	// maxFailing is of how many hosts failures are counted at a time.
	maxFailing = 10_000
	// notePatience is how long it may take to write down how a host fares. What
	// is not written is seen again at the next request.
	notePatience = 2 * time.Second
	// probeLife is for how long nobody else asks a host that one asks whether it
	// is back: twice as long as an exchange takes at most, unless a deployment
	// says otherwise. If that one dies, another asks then.
	probeLife = 20 * time.Second
)

// health is what this exchanger knows of the hosts that tokens come from: what
// the fleet has written down, and what it counts itself.
type health struct {
	store endpoint.Store
	now   func() time.Time
	log   *slog.Logger
	m     *metrics

	mu sync.Mutex
	// known is by the key of the record. A value in it is never changed.
	known map[string]*endpoint.Health
	// failing counts the failures in a row by host.
	failing map[string]int
}

func newHealth(d Deps, m *metrics) *health {
	return &health{
		store: endpoint.Store{State: d.State}, now: func() time.Time { return moment(d.Now()) }, log: d.Logger, m: m,
		known: map[string]*endpoint.Health{}, failing: map[string]int{},
	}
}

// follow keeps what is known up to date until ctx ends; its error is of the store.
func (h *health) follow(ctx context.Context, caughtUp func()) error {
	return h.store.State.Follow(ctx, []string{state.EndpointKeys}, func(c state.Change) {
		var known *endpoint.Health
		if c.Value != nil {
			var err error
			if known, err = endpoint.Decode(c.Key, c.Value, h.now()); err != nil {
				h.log.ErrorContext(ctx, "record is damaged, left out", "key", c.Key, "revision", uint64(c.Revision))
			}
		}
		if known == nil {
			known = &endpoint.Health{}
		}
		known.Revision = c.Revision
		h.learn(c.Key, known)
	}, caughtUp)
}

// learn takes what is known of a host in place of what was known before. What
// this exchanger has written itself it knows before it is told.
func (h *health) learn(key string, known *endpoint.Health) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := h.known[key]; old != nil && old.Revision > known.Revision {
		return
	}
	if known.Host == "" {
		delete(h.known, key)
	} else {
		h.known[key] = known
	}
}

// of is what is known of a host; never nil.
func (h *health) of(host string) *endpoint.Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	if known := h.known[state.EndpointKey(host)]; known != nil {
		return known
	}
	return &endpoint.Health{Host: host}
}

// paused is until when the client of an endpoint is to be left alone; a time that
// has passed when it is not.
func (h *health) paused(e secret.Endpoint) time.Time {
	return h.of(e.Host).Paused(endpoint.Client(e.Client))
}

// open is until when a host is to be left alone that has failed; zero when it
// has not.
func (h *health) open(e secret.Endpoint) time.Time {
	if known := h.of(e.Host); known.Open(h.now()) {
		return known.OpenUntil
	}
	return time.Time{}
}

// admit returns until when no request is to be sent, or a time that has passed. If
// the host has failed, and it is time to ask whether it is back, this one does,
// and is told so: no other of the fleet is admitted meanwhile.
func (h *health) admit(ctx context.Context, e secret.Endpoint) (until time.Time, probe bool) {
	now := h.now()
	if until = h.paused(e); until.After(now) {
		return until, false
	}
	until = h.open(e)
	if until.IsZero() || until.After(now) {
		return until, false
	}
	known, won := h.note(ctx, e.Host, func(k *endpoint.Health) bool { return k.Probe(now, probeLife) })
	if won || known != nil && !known.Open(now) {
		return time.Time{}, won
	}
	if known == nil {
		return now.Add(endpoint.FirstOpen), false
	}
	return known.OpenUntil, false
}

// failed notes how a request failed that was begun at a time, and returns until
// when the host is left alone for it; zero when it is not.
func (h *health) failed(ctx context.Context, e secret.Endpoint, why *ExchangeError, begun time.Time, probe bool) time.Time {
	if e.Host == "" {
		return time.Time{}
	}
	now, client := h.now(), endpoint.Client(e.Client)
	switch {
	case why.throttles() && why.RetryAfter > 0:
		if _, wrote := h.note(ctx, e.Host, func(k *endpoint.Health) bool { return k.Wait(client, now, why.RetryAfter) }); wrote {
			h.m.pauses.Inc()
		}
	case why.Reason == events.ReasonThrottled:
		if _, wrote := h.note(ctx, e.Host, func(k *endpoint.Health) bool { return k.Throttled(client, now) }); wrote {
			h.m.pauses.Inc()
		}
	}
	switch {
	case !why.hostFailed():
		if why.Status > 0 || why.Reason == events.ReasonWindow {
			h.answered(ctx, e, begun)
		}
		return time.Time{}
	case probe, h.count(e.Host):
		h.note(ctx, e.Host, func(k *endpoint.Health) bool { return k.Trip(now, probe) })
	}
	return h.open(e)
}

// answered notes that a host has answered a request that was begun at that time.
func (h *health) answered(ctx context.Context, e secret.Endpoint, begun time.Time) {
	if e.Host == "" {
		return
	}
	h.mu.Lock()
	delete(h.failing, e.Host)
	h.mu.Unlock()
	if h.of(e.Host).Trips > 0 {
		h.note(ctx, e.Host, func(k *endpoint.Health) bool { return k.Answered(begun) })
	}
}

// count counts a failure, and reports whether there were enough in a row.
func (h *health) count(host string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.failing[host]; !known && len(h.failing) >= maxFailing {
		clear(h.failing)
	}
	h.failing[host]++
	if h.failing[host] < tripAfter {
		return false
	}
	delete(h.failing, host)
	return true
}

// note writes down what has changed of a host, for the fleet and at once for this
// exchanger. It returns nil when that could not be done.
func (h *health) note(ctx context.Context, host string, change func(*endpoint.Health) bool) (known *endpoint.Health, wrote bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), notePatience)
	defer cancel()
	known, wrote, err := h.store.Update(ctx, host, h.now(), change)
	if err != nil {
		h.log.WarnContext(ctx, "how a host fares could not be stored", "key", state.EndpointKey(host), "error", err)
		return nil, false
	}
	h.learn(state.EndpointKey(host), known)
	return known, wrote
}

// throttles reports whether the provider asked for patience in a way that means
// the client, not this one request.
func (e *ExchangeError) throttles() bool {
	return e.Reason == events.ReasonThrottled || e.Status == http.StatusServiceUnavailable
}

// hostFailed reports whether a failure is the host's: it cannot be reached, gives
// no whole answer, or says itself that it fails. A provider that refuses a
// request, or asks one client for patience, works.
func (e *ExchangeError) hostFailed() bool {
	switch e.Reason {
	case events.ReasonUnreachable, events.ReasonTimeout, events.ReasonDisconnected:
		return true
	case events.ReasonMalformed:
		return e.Status == 0 // it does not even speak HTTP
	default:
		return e.Status >= http.StatusInternalServerError && e.RetryAfter == 0
	}
}
