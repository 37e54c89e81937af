package courier

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// history is the last tries of one callback, by all processes.
type history struct {
	mu    sync.Mutex
	last  uint64
	slots [webhook.MaxTriesKept]struct {
		try      *webhook.Try
		revision state.Revision
	}
}

// put takes in a try as it is stored.
func (h *history) put(t *webhook.Try, rev state.Revision) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s := &h.slots[t.Slot()]; rev > s.revision {
		s.try, s.revision = t, rev
	}
	h.last = max(h.last, t.Number)
}

// take returns a number for a try, and the revision of what it replaces.
func (h *history) take() (number uint64, replaces state.Revision) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	return h.last, h.slots[h.last%webhook.MaxTriesKept].revision
}

// all returns the tries, the last first.
func (h *history) all() []webhook.Try {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []webhook.Try
	for _, s := range h.slots {
		if s.try != nil {
			list = append(list, *s.try)
		}
	}
	slices.SortFunc(list, func(a, b webhook.Try) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Number, a.Number))
	})
	return list
}

const (
	// noteTries is how often a place is looked for a try that another process took.
	noteTries = 5
	noteIn    = 5 * time.Second
)

// note keeps a try. That it could not be kept is no reason for anything else to fail.
func (c *Courier) note(ctx context.Context, t *webhook.Try) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteIn)
	defer cancel()
	h := c.history(t.Callback)
	var err error
	for range noteTries {
		kept := *t
		var replaces state.Revision
		kept.Number, replaces = h.take()
		var body []byte
		if body, err = json.Marshal(&kept); err != nil {
			break
		}
		var rev state.Revision
		rev, err = c.deps.State.Commit(ctx, state.Write{Key: keyOfTry(&kept), Value: body, Expect: replaces})
		if err == nil {
			h.put(&kept, rev)
			return
		}
		if !errors.Is(err, state.ErrConflict) {
			break
		}
	}
	c.deps.Logger.WarnContext(ctx, "it could not be noted how a delivery fared", "callback", t.Callback, "error", err)
}

func keyOfTry(t *webhook.Try) string { return state.TryKey(t.Callback, strconv.Itoa(t.Slot())) }

// Tries returns the last tries of a callback, the last first, and how many deliveries wait
// for it.
func (c *Courier) Tries(callback string) (tries []webhook.Try, waiting int) {
	c.mu.Lock()
	h, l := c.histories[callback], c.lines[callback]
	c.mu.Unlock()
	if h != nil {
		tries = h.all()
	}
	if l != nil {
		waiting = l.len()
	}
	return tries, waiting
}

// Secret returns a signing secret of a callback.
func (c *Courier) Secret(callback string, generation uint64) (webhook.Secret, error) {
	return c.deps.Key.Secret(callback, generation)
}

// applyCallback takes in a change of a callback.
func (c *Courier) applyCallback(change state.Change) {
	_, id := state.Split(change.Key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if change.Value == nil {
		delete(c.callbacks, id)
		return
	}
	to := new(webhook.Callback)
	if err := json.Unmarshal(change.Value, to); err != nil || to.ID != id {
		c.unreadable(change)
		return
	}
	c.callbacks[id] = to
	if l := c.lines[id]; l != nil {
		l.stirred()
	}
}

func (c *Courier) unreadable(change state.Change) {
	c.deps.Logger.Error("a record cannot be read", "key", change.Key, "revision", uint64(change.Revision))
}

// applyDelivery takes in a change of what waits, or of what came of it.
func (c *Courier) applyDelivery(ctx context.Context, change state.Change) {
	c.seen.Store(max(c.seen.Load(), uint64(change.Revision))) // by one goroutine
	kind, rest := state.Split(change.Key)
	callback, id, _ := strings.Cut(rest, ".")
	switch {
	case kind == "try" && change.Value != nil:
		t, err := webhook.ReadTry(change.Value)
		if err != nil || t.Callback != callback {
			c.unreadable(change)
			return
		}
		c.history(callback).put(t, change.Revision)
	case kind == "try":
	case change.Value == nil:
		c.line(ctx, callback).remove(id)
	default:
		d, err := webhook.ReadDelivery(change.Value)
		if err != nil || d.Callback != callback || d.ID != id {
			c.unreadable(change)
			return
		}
		c.line(ctx, callback).put(d, change.Revision)
	}
}

// sweep removes what deleted callbacks have left until ctx ends.
func (c *Courier) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		for _, id := range c.orphans() {
			c.clear(ctx, id)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// orphans returns the callbacks that this process does not know and of which there is
// something.
func (c *Courier) orphans() (ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.lines {
		if c.callbacks[id] == nil {
			ids = append(ids, id)
		}
	}
	for id := range c.histories {
		if c.callbacks[id] == nil && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// clear removes what there is of a callback that is gone, as the state says: this process may
// only not know it yet.
func (c *Courier) clear(ctx context.Context, id string) {
	if _, _, err := c.deps.State.Get(ctx, state.CallbackKey(id)); !errors.Is(err, state.ErrNotFound) {
		return
	}
	c.mu.Lock()
	l, h := c.lines[id], c.histories[id]
	delete(c.histories, id)
	c.mu.Unlock()
	if h != nil {
		for key, rev := range h.records(id) {
			c.deps.State.Commit(ctx, state.Write{Key: key, Expect: rev}) //nolint:errcheck // another process does
		}
	}
	for ctx.Err() == nil && l != nil {
		delivery, rev, ok := l.oldest()
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

// records are the keys of the tries, with their revisions.
func (h *history) records(callback string) map[string]state.Revision {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := map[string]state.Revision{}
	for i, s := range h.slots {
		if s.try != nil {
			found[state.TryKey(callback, strconv.Itoa(i))] = s.revision
		}
	}
	return found
}
