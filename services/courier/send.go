package courier

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// serve sends what is due in a line until ctx ends.
func (c *Courier) serve(ctx context.Context, l *line) {
	select {
	case <-c.known:
	case <-ctx.Done():
	}
	for ctx.Err() == nil {
		to := c.callback(l.callback)
		if to == nil { // it is gone, or not known here yet
			c.rest(ctx, l.wake, time.Time{})
			continue
		}
		it, soonest := l.next(c.deps.Now(), c.rulesOf(to))
		if it != nil {
			c.senders.Go(func() {
				var notBefore time.Time
				defer func() { l.landed(it, notBefore) }()
				notBefore = c.deliver(ctx, l, it)
			})
			continue
		}
		c.rest(ctx, l.wake, soonest)
	}
}

// rest returns when something has changed, or at a time, zero for never.
func (c *Courier) rest(ctx context.Context, wake <-chan struct{}, until time.Time) {
	var alarm <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(max(until.Sub(c.deps.Now()), time.Millisecond))
		defer t.Stop()
		alarm = t.C
	}
	select {
	case <-wake:
	case <-alarm:
	case <-ctx.Done():
	}
}

// deliver makes one try of a delivery that is due, if nobody else does. It returns when
// the delivery is to be looked at again at the earliest.
func (c *Courier) deliver(ctx context.Context, l *line, it *item) (notBefore time.Time) {
	soon := func() time.Time { return c.deps.Now().Add(again) }
	d, rev, err := c.hold(ctx, l, it)
	if err != nil || d == nil {
		return soon()
	}
	to := c.callback(d.Callback)
	if to == nil {
		return soon()
	}
	t, err := c.try(ctx, to, d)
	if err != nil || ctx.Err() != nil && t.Outcome != webhook.Delivered { // a try that was cut off is none
		c.release(ctx, d, rev)
		return soon()
	}
	ctx = context.WithoutCancel(ctx) // what was taken is noted, also at the end
	l.fared(t.Outcome == webhook.Delivered)
	if !c.finish(ctx, l, d, rev, &t) {
		return soon()
	}
	return time.Time{}
}

// hold reads a delivery and makes sure that this process alone sends it. It returns nil
// when there is nothing to send.
func (c *Courier) hold(ctx context.Context, l *line, it *item) (*webhook.Delivery, state.Revision, error) {
	key := state.DeliveryKey(l.callback, it.id)
	body, rev, err := c.deps.State.Get(ctx, key)
	if errors.Is(err, state.ErrNotFound) && l.missed(it, c.deps.Now()) {
		l.remove(it.id)
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	d, err := webhook.ReadDelivery(body)
	if err != nil {
		return nil, 0, err
	}
	now := c.deps.Now()
	switch mine := d.Holder == c.deps.Name; {
	case d.DueAt().After(now), !mine && d.HeldUntil.After(now):
		l.put(d, rev)
		return nil, 0, nil
	case mine && d.HeldUntil.Sub(now) >= holdLeast:
		return d, rev, nil
	}
	d.Holder, d.HeldUntil = c.deps.Name, now.Add(holdFor)
	rev, err = c.write(ctx, d, rev)
	if err == nil {
		l.put(d, rev)
	}
	return d, rev, err
}

// write stores a delivery.
func (c *Courier) write(ctx context.Context, d *webhook.Delivery, expect state.Revision) (state.Revision, error) {
	body, err := json.Marshal(d)
	if err != nil {
		return 0, err
	}
	return c.deps.State.Commit(ctx, state.Write{Key: state.DeliveryKey(d.Callback, d.ID), Value: body, Expect: expect})
}

// try sends a delivery once, and returns what came of it.
func (c *Courier) try(ctx context.Context, to *webhook.Callback, d *webhook.Delivery) (webhook.Try, error) {
	began := c.deps.Now()
	t := webhook.Try{
		Callback: d.Callback, Delivery: webhook.MessageID(d.ID), Type: d.Type, Entity: d.Entity,
		Event: d.Event, Position: d.Position,
		At: began, Attempt: d.Tries + 1, Outcome: webhook.Delivered,
	}
	signatures, err := c.deps.Key.Signatures(to, t.Delivery, began, d.Body)
	if err != nil {
		return t, err
	}
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("Webhook-Id", t.Delivery)
	header.Set("Webhook-Timestamp", strconv.FormatInt(began.Unix(), 10))
	header.Set("Webhook-Signature", signatures)
	t.Status, t.Problem = c.deps.Poster.Post(ctx, to.URL, header, d.Body)
	t.Took = c.deps.Now().Sub(began).Milliseconds()
	if t.Problem == "" {
		return t, nil
	}
	t.Outcome = webhook.Failed
	if next, more := webhook.NextTry(t.Attempt, began); more {
		t.NextAt = next
	} else {
		t.Outcome = webhook.Dropped
	}
	return t, nil
}

// finish writes down how a try ended, and reports whether it could. If not, the delivery
// is sent again.
func (c *Courier) finish(ctx context.Context, l *line, d *webhook.Delivery, rev state.Revision, t *webhook.Try) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishIn)
	defer cancel()
	c.metrics.tried(t)
	for {
		err := c.settle(ctx, l, d, rev, t)
		switch {
		case err == nil:
			c.note(ctx, t)
			return true
		case errors.Is(err, state.ErrConflict):
			return false // somebody else holds it by now, or it is gone
		}
		c.rest(ctx, nil, c.deps.Now().Add(again))
		if ctx.Err() != nil {
			c.deps.Logger.WarnContext(ctx, "a delivery will be sent again, for it could not be written down how it ended",
				"callback", d.Callback, "event", d.Type, "error", err)
			return false
		}
	}
}

// settle removes a delivery that is over, or puts it off.
func (c *Courier) settle(ctx context.Context, l *line, d *webhook.Delivery, rev state.Revision, t *webhook.Try) error {
	if t.Outcome == webhook.Failed {
		next := *d
		next.Tries, next.NextAt, next.HeldUntil = t.Attempt, t.NextAt, time.Time{}
		rev, err := c.write(ctx, &next, rev)
		if err == nil {
			l.put(&next, rev)
		}
		return err
	}
	if _, err := c.deps.State.Commit(ctx, state.Write{Key: state.DeliveryKey(d.Callback, d.ID), Expect: rev}); err != nil {
		return err
	}
	l.remove(d.ID)
	if t.Outcome == webhook.Dropped {
		c.metrics.dropped.WithLabelValues(droppedTries).Inc()
		c.deps.Logger.WarnContext(ctx, "a delivery was dropped, for its last try has failed",
			"callback", d.Callback, "event", d.Type, "count", t.Attempt, "reason", string(t.Problem), "code", t.Status)
	}
	return nil
}

// release lets others have a delivery whose try was cut off.
func (c *Courier) release(ctx context.Context, d *webhook.Delivery, rev state.Revision) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), again)
	defer cancel()
	free := *d
	free.HeldUntil = time.Time{}
	c.write(ctx, &free, rev) //nolint:errcheck // if it is not, they have it when its time is over
}
