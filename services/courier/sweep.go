package courier

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// sweep removes what deleted callbacks have left until ctx ends.
func (c *Courier) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		for _, id := range c.orphans() {
			c.clear(ctx, id)
		}
		c.expire(ctx)
		c.bury(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// orphans returns the callbacks that this process does not know and of which there is
// something.
func (c *Courier) orphans() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := slices.Collect(maps.Keys(c.lines))
	ids = slices.AppendSeq(ids, maps.Keys(c.histories))
	ids = slices.AppendSeq(ids, maps.Keys(c.standings))
	slices.Sort(ids)
	return slices.DeleteFunc(slices.Compact(ids), func(id string) bool { return c.callbacks[id] != nil })
}

// clear removes what there is of a callback that is gone, as the state says: this process may
// only not know it yet.
func (c *Courier) clear(ctx context.Context, id string) {
	if _, _, err := c.deps.State.Get(ctx, state.CallbackKey(id)); !errors.Is(err, state.ErrNotFound) {
		return
	}
	c.mu.Lock()
	l, h, s := c.lines[id], c.histories[id], c.standings[id]
	delete(c.histories, id)
	delete(c.standings, id)
	c.mu.Unlock()
	if s != nil && s.revision > 0 {
		c.deps.State.Commit(ctx, state.Write{Key: state.ReplayKey(id), Expect: s.revision}) //nolint:errcheck // another process does
	}
	if h != nil {
		for key, rev := range h.records(id, c.deps.Now()) {
			c.deps.State.Commit(ctx, state.Write{Key: key, Expect: rev}) //nolint:errcheck // another process does
		}
	}
	for ctx.Err() == nil && l != nil {
		delivery, rev, ok := l.oldest(true)
		if !ok {
			c.forget(l)
			return
		}
		_, err := c.deps.State.Commit(ctx, state.Write{Key: state.DeliveryKey(id, delivery), Expect: rev})
		if err != nil && !errors.Is(err, state.ErrConflict) {
			return // the next sweep
		}
		l.remove(delivery)
	}
}

// forget ends the line of a callback that is gone, unless something has come into it: there
// is another when something comes later.
func (c *Courier) forget(l *line) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.callbacks[l.callback] == nil && l.len() == 0 {
		delete(c.lines, l.callback)
		l.stop()
	}
}

// expire removes tries that are told of no longer.
func (c *Courier) expire(ctx context.Context) {
	c.mu.Lock()
	all := maps.Clone(c.histories)
	c.mu.Unlock()
	for id, h := range all {
		for key, rev := range h.records(id, c.deps.Now().Add(-webhook.KeepTries)) {
			c.deps.State.Commit(ctx, state.Write{Key: key, Expect: rev}) //nolint:errcheck // another process does, or the next sweep
		}
	}
}

// bury removes the callbacks whose property is gone, when they have been told of that.
func (c *Courier) bury(ctx context.Context) {
	over := func(to *webhook.Callback) bool {
		return !to.EndedAt.IsZero() && c.deps.Now().Sub(to.EndedAt) > webhook.Linger
	}
	c.mu.Lock()
	all := slices.Collect(maps.Values(c.callbacks))
	c.mu.Unlock()
	for _, known := range all {
		if !over(known) {
			continue
		}
		body, rev, err := c.deps.State.Get(ctx, state.CallbackKey(known.ID))
		if err != nil {
			continue
		}
		if to := readCallback(body, known.ID); to != nil && over(to) {
			c.deps.State.Commit(ctx, state.Write{Key: state.CallbackKey(to.ID), Expect: rev}) //nolint:errcheck // another process does, or the next sweep
		}
	}
}
