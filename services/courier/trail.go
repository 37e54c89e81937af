package courier

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

// takePage makes deliveries of the entries of a page. Lines that it begins are served until
// running ends. What nobody can read is passed over: it would hold up all behind it.
func (c *Courier) takePage(running, ctx context.Context, body []byte) error {
	page, err := audit.ReadPage(body)
	if err != nil {
		c.deps.Logger.ErrorContext(ctx, "callbacks are not told of a page of the audit trail", "error", err)
		return nil
	}
	overflow := map[string]int{}
	for i, e := range page.Entries {
		for _, to := range c.wanting(page.Org, &e) {
			d := &webhook.Delivery{
				ID: webhook.NewDeliveryID(to.ID, e.ID), Callback: to.ID, Type: e.Type(), Entity: e.Entity.ID,
				Position: page.Total + uint64(i) + 1, At: page.At,
				Holder: c.deps.Name, HeldUntil: c.deps.Now().Add(holdFor),
			}
			if d.Body, err = document(&e, d); err != nil {
				c.deps.Logger.ErrorContext(ctx, "callbacks are not told of an entry of the audit trail", "event", e.ID, "error", err)
				continue
			}
			if err := c.enqueue(running, ctx, d, overflow); err != nil {
				return err
			}
		}
	}
	c.tellOverflow(ctx, overflow)
	return nil
}

// wanting returns the callbacks that are told of an entry: those that were there when it
// was done.
func (c *Courier) wanting(org string, e *audit.Entry) (found []*webhook.Callback) {
	if e.Entity.Property == "" {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, to := range c.callbacks {
		if to.Org == org && to.Property == e.Entity.Property && to.Wants(e.Type()) && !e.At.Before(to.CreatedAt) {
			found = append(found, to)
		}
	}
	return found
}

// enqueue stores a delivery, and drops the oldest of a callback for which too many wait.
func (c *Courier) enqueue(running, ctx context.Context, d *webhook.Delivery, overflow map[string]int) error {
	l := c.line(running, d.Callback)
	rev, err := c.write(ctx, d, 0)
	if errors.Is(err, state.ErrConflict) {
		return nil // the page was handed over before
	}
	if err != nil {
		return err
	}
	l.put(d, rev)
	for l.full() {
		id, rev, ok := l.oldest()
		if !ok {
			return nil
		}
		_, err := c.deps.State.Commit(ctx, state.Write{Key: state.DeliveryKey(d.Callback, id), Expect: rev})
		if err != nil && !errors.Is(err, state.ErrConflict) {
			return err
		}
		l.remove(id) // what was changed meanwhile is told anew
		overflow[d.Callback]++
	}
	return nil
}

// tellOverflow tells how many deliveries were dropped because too many were waiting.
func (c *Courier) tellOverflow(ctx context.Context, overflow map[string]int) {
	for callback, n := range overflow {
		c.metrics.dropped.WithLabelValues(droppedOverflow).Add(float64(n))
		c.deps.Logger.WarnContext(ctx, "deliveries were dropped, the oldest first, for too many were waiting", "callback", callback, "count", n)
		c.note(ctx, &webhook.Try{
			Callback: callback, At: c.deps.Now(), Outcome: webhook.Dropped, Problem: webhook.ProblemOverflow, Count: n,
		})
	}
}

// message is what is sent: the audit event as the API has it (contract A15.8), but for whose
// doing it was and on what request, which takes a right to read.
type message struct {
	Data messageData `json:"data"`
	Meta messageMeta `json:"meta"`
}

type messageData struct {
	ID            string                     `json:"id"`
	Type          string                     `json:"type"`
	Attributes    messageAttributes          `json:"attributes"`
	Relationships map[string]messageRelation `json:"relationships"`
	Meta          *messageDetail             `json:"meta,omitempty"`
}

type messageAttributes struct {
	CreatedAt   string `json:"created_at"`
	DisplayName string `json:"display_name"`
	Entity      string `json:"entity"` // JSON in a string
	TypeOf      string `json:"type_of"`
}

type messageRelation struct {
	Data messageIdentifier `json:"data"`
}

type messageIdentifier struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

type messageDetail struct {
	PropertyName string `json:"property_name,omitempty"`
	Action       string `json:"action,omitempty"`
	Outcome      string `json:"outcome,omitempty"`
	Reason       string `json:"reason,omitempty"`
}

type messageMeta struct {
	Callback string `json:"callback_id"`
	// Position grows from one thing that happened to the next.
	Position uint64 `json:"position"`
}

// timeLayout is how times are told (contract A2).
const timeLayout = "2006-01-02T15:04:05.000Z"

// document writes what is sent.
func document(e *audit.Entry, d *webhook.Delivery) (json.RawMessage, error) {
	entity, err := json.Marshal(struct {
		ID         string          `json:"id"`
		Type       string          `json:"type"`
		Attributes json.RawMessage `json:"attributes,omitempty"`
	}{e.Entity.ID, plural(e.Resource), e.Entity.Public})
	if err != nil {
		return nil, err
	}
	m := message{
		Data: messageData{
			ID: e.ID, Type: "audit_events",
			Attributes: messageAttributes{e.At.UTC().Format(timeLayout), e.Entity.Name, string(entity), e.Type()},
			Relationships: map[string]messageRelation{
				"entity":   {messageIdentifier{e.Entity.ID, plural(e.Resource)}},
				"property": {messageIdentifier{e.Entity.Property, "properties"}},
			},
		},
		Meta: messageMeta{d.Callback, d.Position},
	}
	if detail := (messageDetail{e.Entity.PropertyName, e.Action, e.Outcome, e.Reason}); detail != (messageDetail{}) {
		m.Data.Meta = &detail
	}
	return json.Marshal(m)
}

// plural is what the API calls resources of a kind.
func plural(kind string) string {
	if stem, ok := strings.CutSuffix(kind, "y"); ok {
		return stem + "ies"
	}
	return kind + "s"
}

// Ping sends a callback something that did not happen, once, and returns what came of it.
func (c *Courier) Ping(ctx context.Context, to *webhook.Callback) (webhook.Try, error) {
	now := c.deps.Now()
	d := &webhook.Delivery{
		ID: webhook.NewDeliveryID(to.ID, now.Format(time.RFC3339Nano)+c.deps.Name), Callback: to.ID, Type: TypePing, Entity: to.ID,
	}
	e := &audit.Entry{ID: audit.NewID(to.Org, d.ID, now), At: now, Resource: "callback", Verb: "test", Entity: audit.Entity{ID: to.ID, Property: to.Property}}
	var err error
	if d.Body, err = document(e, d); err != nil {
		return webhook.Try{}, err
	}
	t, err := c.try(ctx, to, d)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return t, err
	}
	if t.NextAt = (time.Time{}); t.Outcome == webhook.Failed {
		t.Outcome = webhook.Dropped
	}
	c.metrics.tried(&t)
	c.note(ctx, &t)
	return t, nil
}

// TypePing is what the message of a test is of.
const TypePing = "callback.test"
