package client

import (
	"context"
	"encoding/json"
	"net/http"
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
	} `json:"meta"`
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
	return c.actOnCallback(ctx, id, "test")
}

// RotateCallback replaces the signing secret of a callback.
func (c *Client) RotateCallback(ctx context.Context, id string) (Callback, error) {
	return c.actOnCallback(ctx, id, "rotate")
}

func (c *Client) actOnCallback(ctx context.Context, id, action string) (Callback, error) {
	return ask[Callback](ctx, c, http.MethodPatch, "/callbacks/"+id,
		document[any]{Data: map[string]any{"id": id, "type": "callbacks", "meta": map[string]any{"action": action}}})
}

// DeleteCallback deletes a callback, with what waits for it.
func (c *Client) DeleteCallback(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/callbacks/"+id, nil, nil)
}

// Deliveries returns the last tries to tell a callback something, the last first, and how
// many deliveries wait for it.
func (c *Client) Deliveries(ctx context.Context, id string) (tries []Delivery, waiting int, err error) {
	var doc struct {
		Data []json.RawMessage `json:"data"`
		Meta struct {
			Waiting int `json:"waiting"`
		} `json:"meta"`
	}
	if err := c.do(ctx, http.MethodGet, "/callbacks/"+id+"/deliveries?page[size]=999", nil, &doc); err != nil {
		return nil, 0, err
	}
	for _, raw := range doc.Data {
		one, err := decode[Delivery](raw)
		if err != nil {
			return nil, 0, err
		}
		tries = append(tries, one)
	}
	return tries, doc.Meta.Waiting, nil
}
