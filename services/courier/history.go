package courier

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// history is the last tries of one callback, by all processes.
type history struct {
	mu    sync.Mutex
	last  uint64
	slots map[int]kept
}

// kept is a try as it is stored.
type kept struct {
	try      *webhook.Try
	revision state.Revision
}

// put takes in a try as it is stored.
func (h *history) put(slot int, t *webhook.Try, rev state.Revision) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if rev > h.slots[slot].revision {
		h.slots[slot] = kept{t, rev}
	}
	h.last = max(h.last, t.Number)
}

// remove forgets a try that was removed.
func (h *history) remove(slot int, rev state.Revision) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if rev > h.slots[slot].revision {
		delete(h.slots, slot)
	}
}

// take returns a number for a try, and the revision of what it replaces.
func (h *history) take() (number uint64, replaces state.Revision) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	return h.last, h.slots[webhook.Slot(h.last)].revision
}

// all returns the tries, the last first.
func (h *history) all() []webhook.Try {
	h.mu.Lock()
	defer h.mu.Unlock()
	var list []webhook.Try
	for _, s := range h.slots {
		list = append(list, *s.try)
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
		noted := *t
		var replaces state.Revision
		noted.Number, replaces = h.take()
		slot := webhook.Slot(noted.Number)
		var body []byte
		if body, err = json.Marshal(&noted); err != nil {
			break
		}
		var rev state.Revision
		rev, err = c.deps.State.Commit(ctx, state.Write{Key: state.TryKey(t.Callback, strconv.Itoa(slot)), Value: body, Expect: replaces})
		if err == nil {
			h.put(slot, &noted, rev)
			return
		}
		if !errors.Is(err, state.ErrConflict) {
			break
		}
	}
	c.deps.Logger.WarnContext(ctx, "it could not be noted how a delivery fared", "callback", t.Callback, "error", err)
}

// lastOf returns the last try of a message.
func (h *history) lastOf(message string) (t webhook.Try, ok bool) {
	for _, t := range h.all() {
		if t.Delivery == message {
			return t, true
		}
	}
	return t, false
}

// Log returns how a callback fares, as this process knows it.
func (c *Courier) Log(callback string) (log webhook.Log) {
	c.mu.Lock()
	h, l, to := c.histories[callback], c.lines[callback], c.callbacks[callback]
	c.mu.Unlock()
	if h != nil {
		log.Tries = h.all()
	}
	if l != nil {
		log.Waiting = l.len()
	}
	if l != nil && to != nil {
		log.NextAt = l.soonest(c.rulesOf(to))
	}
	if p, _ := c.standingOf(callback); p.Number > 0 {
		log.Replay = &p
	}
	return log
}

// records are the keys of the tries up to a time, with their revisions.
func (h *history) records(callback string, until time.Time) map[string]state.Revision {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := map[string]state.Revision{}
	for slot, s := range h.slots {
		if !s.try.At.After(until) {
			found[state.TryKey(callback, strconv.Itoa(slot))] = s.revision
		}
	}
	return found
}

// Secret returns a signing secret of a callback.
func (c *Courier) Secret(callback string, generation uint64) (webhook.Secret, error) {
	return c.deps.Key.Secret(callback, generation)
}
