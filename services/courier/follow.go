package courier

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// applyCallback takes in a change of a callback.
func (c *Courier) applyCallback(change state.Change) {
	_, id := state.Split(change.Key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if change.Value == nil {
		delete(c.callbacks, id)
		return
	}
	to := readCallback(change.Value, id)
	if to == nil {
		c.unreadable(change)
		return
	}
	c.callbacks[id] = to
	if to.Replay != nil {
		c.ask()
	}
	if l := c.lines[id]; l != nil {
		l.stirred()
	}
}

// readCallback returns the callback with an id, nil for what is not that.
func readCallback(body []byte, id string) *webhook.Callback {
	to := new(webhook.Callback)
	if json.Unmarshal(body, to) != nil || to.ID != id {
		return nil
	}
	return to
}

func (c *Courier) unreadable(change state.Change) {
	c.deps.Logger.Error("a record cannot be read", "key", change.Key, "revision", uint64(change.Revision))
}

// applyDelivery takes in a change of what waits, or of what came of it.
func (c *Courier) applyDelivery(change state.Change) {
	c.seen.Store(max(c.seen.Load(), uint64(change.Revision))) // by one goroutine
	kind, rest := state.Split(change.Key)
	callback, id, _ := strings.Cut(rest, ".")
	switch {
	case kind == "replay":
		c.applyProgress(rest, change)
	case kind == "try" && change.Value != nil:
		t, err := webhook.ReadTry(change.Value)
		if err != nil || t.Callback != callback {
			c.unreadable(change)
			return
		}
		slot, err := strconv.ParseUint(id, 10, 32)
		if err != nil || slot >= webhook.MaxTriesKept {
			c.unreadable(change)
			return
		}
		c.history(callback).put(int(slot), t, change.Revision)
	case kind == "try":
		if slot, err := strconv.ParseUint(id, 10, 32); err == nil {
			c.history(callback).remove(int(slot), change.Revision)
		}
	case change.Value == nil:
		c.line(callback).remove(id)
	default:
		d, err := webhook.ReadDelivery(change.Value)
		if err != nil || d.Callback != callback || d.ID != id {
			c.unreadable(change)
			return
		}
		c.line(callback).put(d, change.Revision)
	}
}

// applyProgress takes in how far a replay is.
func (c *Courier) applyProgress(callback string, change state.Change) {
	if change.Value == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.standings, callback)
		return
	}
	p, err := webhook.ReadProgress(change.Value)
	if err != nil || p.Callback != callback {
		c.unreadable(change)
		return
	}
	c.progressed(p, change.Revision)
}
