package courier

import (
	"context"
	"errors"
	"sync"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// tellAtOnce is for how many callbacks deliveries are made at a time: a large page of one
// organisation must not hold up those of others behind it for long.
const tellAtOnce = 16

// takePage makes deliveries of the entries of a page. What nobody can read is passed over: it
// would hold up all behind it. What cannot be stored is tried again here until ctx ends, so
// that nothing ahead of it is made twice.
func (c *Courier) takePage(ctx context.Context, body []byte) error {
	page, err := audit.ReadPage(body)
	if err != nil {
		c.deps.Logger.ErrorContext(ctx, "callbacks are not told of a page of the audit trail", "error", err)
		return nil
	}
	var telling sync.WaitGroup
	defer telling.Wait()
	room := make(chan struct{}, tellAtOnce)
	for _, to := range c.concerned(page) {
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		telling.Go(func() {
			defer func() { <-room }()
			c.tell(ctx, page, to)
		})
	}
	telling.Wait()
	return ctx.Err()
}

// concerned returns the callbacks of the properties that a page is about.
func (c *Courier) concerned(page *audit.Page) (found []*webhook.Callback) {
	about := map[string]bool{}
	for _, e := range page.Entries {
		about[e.Entity.Property] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, to := range c.callbacks {
		if to.Org == page.Org && about[to.Property] {
			found = append(found, to)
		}
	}
	return found
}

// tell makes deliveries of what a page has for a callback: what was done when the callback
// was there.
func (c *Courier) tell(ctx context.Context, page *audit.Page, to *webhook.Callback) {
	dropped := 0
	for i, e := range page.Entries {
		if !wanted(to, &e) || e.At.Before(to.CreatedAt) {
			continue
		}
		d, err := c.deliveryOf(page, i, to)
		if err != nil {
			c.deps.Logger.ErrorContext(ctx, "callbacks are not told of an entry of the audit trail", "event", e.ID, "error", err)
			continue
		}
		n, err := c.enqueue(ctx, d)
		if dropped += n; err != nil {
			break // ctx has ended
		}
	}
	c.tellOverflow(ctx, to.ID, dropped)
}

// wanted reports whether a callback is told of an entry of its organisation.
func wanted(to *webhook.Callback, e *audit.Entry) bool {
	return to.Property == e.Entity.Property && to.Wants(e.Type())
}

// deliveryOf makes a delivery of an entry of a page, held by this process.
func (c *Courier) deliveryOf(page *audit.Page, i int, to *webhook.Callback) (*webhook.Delivery, error) {
	e := &page.Entries[i]
	d := &webhook.Delivery{
		ID: webhook.NewDeliveryID(to.ID, e.ID), Callback: to.ID, Type: e.Type(), Entity: e.Entity.ID, Event: e.ID,
		Position: page.Total + uint64(i) + 1, At: page.At,
		Holder: c.deps.Name, HeldUntil: c.deps.Now().Add(holdFor),
	}
	var err error
	d.Body, err = document(e, d)
	return d, err
}

// enqueue stores a delivery, and drops the oldest of a callback for which too much waits; it
// returns how many. What is there already is left alone, but for a replay, which has it begin
// anew. It does not give up before ctx ends, whose error it then returns, unless nothing can
// ever come of it.
func (c *Courier) enqueue(ctx context.Context, d *webhook.Delivery) (dropped int, err error) {
	l := c.line(d.Callback)
	var expect state.Revision
	for {
		rev, err := c.write(ctx, d, expect)
		if d.Replayed && errors.Is(err, state.ErrConflict) {
			var sending bool
			if expect, sending, err = c.waits(ctx, d); sending {
				return 0, nil
			}
			if err == nil {
				rev, err = c.write(ctx, d, expect)
			}
		}
		switch {
		case err == nil:
			l.put(d, rev)
			return c.trim(ctx, l), nil
		case errors.Is(err, state.ErrConflict) && !d.Replayed:
			return 0, nil // the page was handed over before
		case errors.Is(err, state.ErrMalformed):
			c.deps.Logger.ErrorContext(ctx, "a callback is not told of what cannot be stored", "callback", d.Callback, "event", d.Type, "error", err)
			return 0, nil
		}
		c.rest(ctx, nil, c.deps.Now().Add(again))
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
}

// waits returns the revision with which a delivery waits, 0 if it does not, and whether
// somebody is sending it.
func (c *Courier) waits(ctx context.Context, d *webhook.Delivery) (rev state.Revision, sending bool, err error) {
	body, rev, err := c.deps.State.Get(ctx, state.DeliveryKey(d.Callback, d.ID))
	if errors.Is(err, state.ErrNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	waiting, err := webhook.ReadDelivery(body)
	if err != nil {
		return rev, false, nil // it is replaced by what can be read
	}
	return rev, waiting.HeldUntil.After(c.deps.Now()), nil
}

// trim drops the oldest of a line while too much waits, and returns how many. What cannot be
// removed now is dropped with the next.
func (c *Courier) trim(ctx context.Context, l *line) (dropped int) {
	for l.full() {
		id, rev, ok := l.oldest(false)
		if !ok {
			return dropped
		}
		_, err := c.deps.State.Commit(ctx, state.Write{Key: state.DeliveryKey(l.callback, id), Expect: rev})
		if err != nil && !errors.Is(err, state.ErrConflict) {
			return dropped
		}
		l.remove(id) // what was changed meanwhile is told anew
		dropped++
	}
	return dropped
}

// tellOverflow tells how many deliveries were dropped because too much was waiting.
func (c *Courier) tellOverflow(ctx context.Context, callback string, n int) {
	if n == 0 {
		return
	}
	c.metrics.dropped.WithLabelValues(droppedOverflow).Add(float64(n))
	c.deps.Logger.WarnContext(ctx, "deliveries were dropped, the oldest first, for too many were waiting", "callback", callback, "count", n)
	c.note(ctx, &webhook.Try{
		Callback: callback, At: c.deps.Now(), Outcome: webhook.Dropped, Problem: webhook.ProblemOverflow, Count: n,
	})
}
