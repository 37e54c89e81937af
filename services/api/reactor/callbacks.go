package reactor

import (
	"context"
	"strconv"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/webhook"
	"github.com/rekindle-dev/rekindle/services/api"
)

// callback is the resource of contract A15.8. Its meta is an addition.
type callback = resource[callbackAttributes, callbackRelationships, callbackLinks, callbackMeta]

type callbackAttributes struct {
	CreatedAt     timestamp        `json:"created_at"`
	Ordering      webhook.Ordering `json:"ordering"` // an addition
	Subscriptions []string         `json:"subscriptions"`
	UpdatedAt     timestamp        `json:"updated_at"`
	URL           string           `json:"url"`
}

type callbackRelationships struct {
	Property   toOne   `json:"property"`
	Deliveries related `json:"deliveries"` // an addition
}

type callbackLinks struct {
	Property string `json:"property"`
	Self     string `json:"self"`
}

type callbackMeta struct {
	// SigningSecret is shown when it is made, and never again.
	SigningSecret string `json:"signing_secret,omitempty"`
	// OldSecretUntil is until when the secret before it is signed with as well.
	OldSecretUntil *timestamp     `json:"old_secret_until,omitempty"`
	TestDelivery   *tryAttributes `json:"test_delivery,omitempty"`
	// Redelivery is what came of sending a message again.
	Redelivery *tryAttributes  `json:"redelivery,omitempty"`
	Replay     *callbackReplay `json:"replay,omitempty"`
}

// callbackReplay is how far the last replay is that was asked for.
type callbackReplay struct {
	AskedAt  timestamp  `json:"asked_at"`
	EndedAt  timestamp  `json:"ended_at"`
	From     *uint64    `json:"from"`
	Since    *timestamp `json:"since"`
	Messages int        `json:"messages"`
	Position uint64     `json:"position"`
	Until    uint64     `json:"until"`
	Status   string     `json:"status"`
}

// The states of a replay.
const (
	replayPending = "pending"
	replayRunning = "running"
	replayDone    = "done"
)

func newReplay(r *webhook.Replay, p *webhook.Progress) *callbackReplay {
	doc := &callbackReplay{AskedAt: timestamp(r.AskedAt), From: orNull(r.From), Status: replayPending}
	if r.From == 0 {
		doc.Since = new(timestamp(r.Since))
	}
	if p != nil {
		doc.Position, doc.Until, doc.Messages, doc.EndedAt, doc.Status = p.Position, p.Until, p.Messages, timestamp(p.EndedAt), replayDone
		if p.Runs() {
			doc.Status = replayRunning
		}
	}
	return doc
}

func (v view) callback(c *api.Callback) callback {
	doc := callback{
		ID: c.ID, Type: "callbacks",
		Attributes: callbackAttributes{timestamp(c.CreatedAt), c.Order(), c.Subscriptions, timestamp(c.UpdatedAt), c.URL},
		Relationships: callbackRelationships{
			Property:   toOne{Links: v.base.related("callbacks", c.ID, "property").Links, Data: &identifier{c.Property, "properties"}},
			Deliveries: v.base.related("callbacks", c.ID, "deliveries"),
		},
		Links: callbackLinks{v.base.to("properties", c.Property), v.base.to("callbacks", c.ID)},
	}
	var meta callbackMeta
	if len(c.Generations(v.now)) > 1 {
		meta.OldSecretUntil = new(timestamp(c.RotatedAt.Add(webhook.Overlap)))
	}
	if c.Replay != nil {
		meta.Replay = newReplay(c.Replay, v.replayOf(c))
	}
	if meta != (callbackMeta{}) {
		doc.Meta = &meta
	}
	return doc
}

// changedCallback is a callback with what is shown of it this once.
func (v view) changedCallback(c *api.ChangedCallback) callback {
	if c.Asked {
		v.replayOf = func(*api.Callback) *webhook.Progress { return nil }
	}
	doc := v.callback(c.Callback)
	if doc.Meta == nil && (c.Secret != nil || c.Test != nil || c.Again != nil) {
		doc.Meta = new(callbackMeta)
	}
	if c.Secret != nil {
		doc.Meta.SigningSecret = c.Secret.Reveal()
	}
	if c.Test != nil {
		doc.Meta.TestDelivery = new(tryOf(*c.Test))
	}
	if c.Again != nil {
		doc.Meta.Redelivery = new(tryOf(*c.Again))
	}
	return doc
}

// try is a try to tell a callback something: an addition to the contract.
type try = resource[tryAttributes, tryRelationships, struct{}, none]

type tryAttributes struct {
	Attempt   int             `json:"attempt"`
	CreatedAt timestamp       `json:"created_at"`
	Count     int             `json:"count"`
	MessageID string          `json:"message_id"`
	NextAt    timestamp       `json:"next_attempt_at"`
	Outcome   webhook.Outcome `json:"outcome"`
	Problem   *string         `json:"problem"`
	Status    *int            `json:"status"`
	Took      int64           `json:"took_ms"`
	TypeOf    string          `json:"type_of"`
	EntityID  string          `json:"entity_id"`
}

type tryRelationships struct {
	Callback toOne `json:"callback"`
}

func tryOf(t webhook.Try) tryAttributes {
	return tryAttributes{
		Attempt: t.Attempt, CreatedAt: timestamp(t.At), Count: max(1, t.Count), MessageID: t.Delivery, NextAt: timestamp(t.NextAt),
		Outcome: t.Outcome, Problem: orNull(string(t.Problem)), Status: orNull(t.Status), Took: t.Took, TypeOf: t.Type, EntityID: t.Entity,
	}
}

func (v view) try(t webhook.Try) try {
	return try{
		ID: t.Callback + "-" + strconv.FormatUint(t.Number, 10), Type: "callback_deliveries", Attributes: tryOf(t),
		Relationships: tryRelationships{toOne{
			Links: relatedLinks{Related: v.base.to("callbacks", t.Callback)}, Data: &identifier{t.Callback, "callbacks"},
		}},
	}
}

// tryList is a list that also says what waits.
type tryList struct {
	Data []try       `json:"data"`
	Meta tryListMeta `json:"meta"`
}

type tryListMeta struct {
	Pagination pagination `json:"pagination"`
	Waiting    int        `json:"waiting"`
	// NextAt is when the next of what waits is due.
	NextAt timestamp `json:"next_attempt_at"`
}

// filterableCallbacks are an addition to the contract, which names none.
func filterableCallbacks() fields[*api.Callback] {
	return fields[*api.Callback]{
		"created_at": moment(func(c *api.Callback) time.Time { return c.CreatedAt }),
		"updated_at": moment(func(c *api.Callback) time.Time { return c.UpdatedAt }),
		"url":        text(func(c *api.Callback) string { return c.URL }),
	}
}

func filterableTries() fields[webhook.Try] {
	return fields[webhook.Try]{
		"created_at": moment(func(t webhook.Try) time.Time { return t.At }),
		"entity_id":  text(func(t webhook.Try) string { return t.Entity }),
		"message_id": text(func(t webhook.Try) string { return t.Delivery }),
		"outcome":    text(func(t webhook.Try) webhook.Outcome { return t.Outcome }),
		"problem":    text(func(t webhook.Try) webhook.Problem { return t.Problem }),
		"type_of":    text(func(t webhook.Try) string { return t.Type }),
	}
}

func (d *door) listCallbacks(ctx context.Context, r *request) (reply, error) {
	q := filterableCallbacks().query(r.http.URL.Query())
	page, err := d.service.Callbacks(ctx, r.caller, r.id, q)
	if err != nil {
		return reply{}, err
	}
	return listed(q, page, r.view.callback), nil
}

func (d *door) createCallback(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		c, err := d.service.CreateCallback(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return created(single[callback]{r.view.changedCallback(c)}).tagged(c.Tag()), nil
	})
}

func (d *door) getCallback(ctx context.Context, r *request) (reply, error) {
	c, err := d.service.Callback(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return found(single[callback]{r.view.callback(c)}).tagged(c.Tag()), nil
}

func (d *door) getPropertyOfCallback(ctx context.Context, r *request) (reply, error) {
	c, err := d.service.Callback(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return d.propertyReply(ctx, r, c.Property)
}

func (d *door) changeCallback(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		c, err := d.service.ChangeCallback(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return found(single[callback]{r.view.changedCallback(c)}).tagged(c.Tag()), nil
	})
}

func (d *door) deleteCallback(ctx context.Context, r *request) (reply, error) {
	if err := d.service.DeleteCallback(ctx, r.caller, r.id); err != nil {
		return reply{}, err
	}
	return gone(), nil
}

func (d *door) listDeliveries(ctx context.Context, r *request) (reply, error) {
	q := filterableTries().query(r.http.URL.Query())
	page, log, err := d.service.Deliveries(ctx, r.caller, r.id, q)
	if err != nil {
		return reply{}, err
	}
	doc := tryList{Data: make([]try, len(page.Items)), Meta: tryListMeta{paginate(q.Number, q.Size, page.Total), log.Waiting, timestamp(log.NextAt)}}
	for i, t := range page.Items {
		doc.Data[i] = r.view.try(t)
	}
	return found(doc), nil
}
