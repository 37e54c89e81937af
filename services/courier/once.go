package courier

import (
	"context"
	"errors"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// typePing is what the message of a test is of.
const typePing = "callback.test"

// Send makes one try at once and returns what came of it: of a message that was sent before, by
// its id, or with none of one that is about nothing. It passes by whatever waits. A message
// that waits itself and is taken now waits no longer; if it is not, it goes on as it was. Send
// returns webhook.ErrNoMessage for a message that is not known, or not any more.
func (c *Courier) Send(ctx context.Context, to *webhook.Callback, message string) (webhook.Try, error) {
	d, rev, err := c.ping(to)
	if message != "" {
		d, rev, err = c.sent(ctx, to, message)
	}
	if err != nil {
		return webhook.Try{}, err
	}
	t, err := c.try(ctx, to, d)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return t, err
	}
	switch {
	case t.Outcome == webhook.Delivered:
		c.taken(ctx, d, rev)
	case rev == 0:
		t.Outcome, t.NextAt = webhook.Dropped, time.Time{}
	default:
		t.Outcome, t.NextAt = webhook.Failed, d.DueAt()
	}
	c.metrics.tried(&t)
	c.note(ctx, &t)
	return t, nil
}

// ping returns what is sent for a test. It waits nowhere.
func (c *Courier) ping(to *webhook.Callback) (*webhook.Delivery, state.Revision, error) {
	now := c.deps.Now()
	d := &webhook.Delivery{
		ID: webhook.NewDeliveryID(to.ID, now.Format(time.RFC3339Nano)+c.deps.Name), Callback: to.ID, Type: typePing, Entity: to.ID,
	}
	e := &audit.Entry{ID: audit.NewID(to.Org, d.ID, now), At: now, Resource: "callback", Verb: "test", Entity: audit.Entity{ID: to.ID, Property: to.Property}}
	var err error
	d.Body, err = document(e, d)
	return d, 0, err
}

// sent returns a message that was sent before: as it waits, with its revision, or as it is
// told in the audit trail.
func (c *Courier) sent(ctx context.Context, to *webhook.Callback, message string) (*webhook.Delivery, state.Revision, error) {
	last, ok := c.history(to.ID).lastOf(message)
	if !ok || last.Event == "" {
		return nil, 0, webhook.ErrNoMessage
	}
	d := &webhook.Delivery{
		ID: webhook.NewDeliveryID(to.ID, last.Event), Callback: to.ID, Type: last.Type, Entity: last.Entity,
		Event: last.Event, Position: last.Position, Tries: last.Attempt,
	}
	body, rev, err := c.deps.State.Get(ctx, state.DeliveryKey(to.ID, d.ID))
	if err == nil {
		d, err = webhook.ReadDelivery(body)
		return d, rev, err
	}
	if !errors.Is(err, state.ErrNotFound) {
		return nil, 0, err
	}
	e, err := audit.Trail{Log: c.deps.Log}.Entry(ctx, to.Org, last.Event)
	if errors.Is(err, audit.ErrNone) || err == nil && e.Entity.Property != to.Property {
		return nil, 0, webhook.ErrNoMessage
	}
	if err != nil {
		return nil, 0, err
	}
	d.Body, err = document(&e.Entry, d)
	return d, 0, err
}

// taken removes a delivery that the receiver has, if it waits with the revision. If it has
// another by now, it is sent once more.
func (c *Courier) taken(ctx context.Context, d *webhook.Delivery, rev state.Revision) {
	if rev == 0 {
		return
	}
	_, err := c.deps.State.Commit(ctx, state.Write{Key: state.DeliveryKey(d.Callback, d.ID), Expect: rev})
	if err != nil {
		return
	}
	c.mu.Lock()
	l := c.lines[d.Callback]
	c.mu.Unlock()
	if l != nil {
		l.remove(d.ID)
	}
}
