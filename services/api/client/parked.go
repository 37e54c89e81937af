package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// ParkedMessage is a message that was set aside for a person. What its publisher
// does not say, or not so that it can be shown, is zero.
type ParkedMessage struct {
	ID
	Source
	Attributes struct {
		ParkedAt    time.Time         `json:"parked_at"`
		Lane        string            `json:"lane"`
		SecretID    string            `json:"secret_id"`
		Reason      string            `json:"reason"`
		Deliveries  *int              `json:"deliveries"`
		TypeOf      string            `json:"type_of"`
		MessageID   string            `json:"message_id"`
		Source      string            `json:"source"`
		OrgID       string            `json:"org_id"`
		Traceparent string            `json:"traceparent"`
		CreatedAt   *time.Time        `json:"created_at"`
		BodySize    int               `json:"body_size"`
		BodyMembers map[string]string `json:"body_members"`
	} `json:"attributes"`
}

// ParkedMessages lists the parked messages that the filter selects, newest first.
func (c *Client) ParkedMessages(ctx context.Context, filter Filter) ([]ParkedMessage, error) {
	return list[ParkedMessage](ctx, c, "/parked", filter)
}

// ParkedMessage returns a parked message.
func (c *Client) ParkedMessage(ctx context.Context, id string) (ParkedMessage, error) {
	return get[ParkedMessage](ctx, c, "/parked/"+url.PathEscape(id))
}

// Requeue gives the secret of a parked message a new job, deletes the message, and
// returns it as it was.
func (c *Client) Requeue(ctx context.Context, id string) (ParkedMessage, error) {
	doc := map[string]any{"id": id, "type": "parked_messages", "meta": map[string]any{"action": "requeue"}}
	return ask[ParkedMessage](ctx, c, http.MethodPatch, "/parked/"+url.PathEscape(id), document[any]{Data: doc})
}

// Discard deletes a parked message.
func (c *Client) Discard(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/parked/"+url.PathEscape(id), nil, nil)
}
