package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// Callback is told what happens in a property (contract A15.8).
type Callback struct {
	ID
	Source
	Attributes struct {
		URL           string    `json:"url"`
		Subscriptions []string  `json:"subscriptions"`
		Ordering      string    `json:"ordering"`
		CreatedAt     time.Time `json:"created_at"`
		UpdatedAt     time.Time `json:"updated_at"`
	} `json:"attributes"`
	Relationships struct {
		Property Reference `json:"property"`
	} `json:"relationships"`
	Meta struct {
		// SigningSecret is there when it was made by the request.
		SigningSecret  string     `json:"signing_secret"`
		OldSecretUntil *time.Time `json:"old_secret_until"`
		// Test is there when the request asked for one.
		Test *Try `json:"test_delivery"`
		// Redelivery is there when the request asked for a message to be sent again.
		Redelivery *Try            `json:"redelivery"`
		Replay     *CallbackReplay `json:"replay"`
	} `json:"meta"`
}

// CallbackReplay is how far the last replay to a callback is.
type CallbackReplay struct {
	AskedAt time.Time  `json:"asked_at"`
	EndedAt *time.Time `json:"ended_at"`
	// From is the first position, 0 if it is from a time, which is Since.
	From     uint64     `json:"from"`
	Since    *time.Time `json:"since"`
	Messages int        `json:"messages"`
	Position uint64     `json:"position"`
	Until    uint64     `json:"until"`
	// Status is "pending", "running" or "done".
	Status string `json:"status"`
}

// ReplayStart is where a replay begins: a position in the audit trail or, if that is 0, a time.
type ReplayStart struct {
	Position uint64
	Since    time.Time
}

// Try is a try to tell a callback something.
type Try struct {
	Attempt   int        `json:"attempt"`
	CreatedAt time.Time  `json:"created_at"`
	Count     int        `json:"count"`
	MessageID string     `json:"message_id"`
	NextAt    *time.Time `json:"next_attempt_at"`
	Outcome   string     `json:"outcome"`
	Problem   string     `json:"problem"`
	Status    int        `json:"status"`
	TypeOf    string     `json:"type_of"`
	EntityID  string     `json:"entity_id"`
}

// Delivery is a try as a resource.
type Delivery struct {
	ID
	Source
	Attributes Try `json:"attributes"`
}

// NewCallback is what a callback is made of.
type NewCallback struct {
	URL           string
	Subscriptions []string
	// Ordering is "prompt" or "strict", empty for the default.
	Ordering string
}

// CreateCallback makes a callback. Its signing secret is in the answer, and in no other.
func (c *Client) CreateCallback(ctx context.Context, property string, made NewCallback) (Callback, error) {
	attributes := map[string]any{"url": made.URL, "subscriptions": made.Subscriptions}
	if made.Ordering != "" {
		attributes["ordering"] = made.Ordering
	}
	return create[Callback](ctx, c, "/properties/"+property+"/callbacks", object("callbacks", attributes))
}

// Callback returns a callback.
func (c *Client) Callback(ctx context.Context, id string) (Callback, error) {
	return get[Callback](ctx, c, "/callbacks/"+id)
}

// Callbacks lists the callbacks of a property.
func (c *Client) Callbacks(ctx context.Context, property string) ([]Callback, error) {
	return list[Callback](ctx, c, "/properties/"+property+"/callbacks", nil)
}

// TestCallback has a message sent to a callback that is about nothing.
func (c *Client) TestCallback(ctx context.Context, id string) (Callback, error) {
	return c.actOnCallback(ctx, id, map[string]any{"action": "test"})
}

// RotateCallback replaces the signing secret of a callback.
func (c *Client) RotateCallback(ctx context.Context, id string) (Callback, error) {
	return c.actOnCallback(ctx, id, map[string]any{"action": "rotate"})
}

// Redeliver has a message sent again, once.
func (c *Client) Redeliver(ctx context.Context, id, message string) (Callback, error) {
	return c.actOnCallback(ctx, id, map[string]any{"action": "redeliver", "message_id": message})
}

// Replay has a callback told again what has happened from somewhere on.
func (c *Client) Replay(ctx context.Context, id string, from ReplayStart) (Callback, error) {
	meta := map[string]any{"action": "replay", "from": from.Since}
	if from.Position > 0 {
		meta["from"] = from.Position
	}
	return c.actOnCallback(ctx, id, meta)
}

func (c *Client) actOnCallback(ctx context.Context, id string, meta map[string]any) (Callback, error) {
	return ask[Callback](ctx, c, http.MethodPatch, "/callbacks/"+id,
		document[any]{Data: map[string]any{"id": id, "type": "callbacks", "meta": meta}})
}

// DeleteCallback deletes a callback, with what waits for it.
func (c *Client) DeleteCallback(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/callbacks/"+id, nil, nil)
}

// DeliveryFilter selects tries; what is empty selects all.
type DeliveryFilter struct{ Message, Entity, Outcome string }

// Standing is how it fares with a callback.
type Standing struct {
	// Waiting is how many deliveries wait, and NextAt when the next is due.
	Waiting int        `json:"waiting"`
	NextAt  *time.Time `json:"next_attempt_at"`
}

// Deliveries returns the tries to tell a callback something that are kept, the last first, and
// how it fares.
func (c *Client) Deliveries(ctx context.Context, id string, f DeliveryFilter) (tries []Delivery, standing Standing, err error) {
	query := url.Values{"page[size]": {"999"}}
	for name, value := range map[string]string{"message_id": f.Message, "entity_id": f.Entity, "outcome": f.Outcome} {
		if value != "" {
			query.Set("filter["+name+"]", "EQ "+value)
		}
	}
	var doc struct {
		Data []json.RawMessage `json:"data"`
		Meta Standing          `json:"meta"`
	}
	if err := c.do(ctx, http.MethodGet, "/callbacks/"+id+"/deliveries?"+query.Encode(), nil, &doc); err != nil {
		return nil, standing, err
	}
	for _, raw := range doc.Data {
		one, err := decode[Delivery](raw)
		if err != nil {
			return nil, standing, err
		}
		tries = append(tries, one)
	}
	return tries, doc.Meta, nil
}
