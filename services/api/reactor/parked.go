package reactor

import (
	"context"
	"strconv"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/work"
	"github.com/rekindle-dev/rekindle/services/api"
)

// parkedMessage is the resource of a message that was set aside for a person: an
// addition to the contract.
type parkedMessage = resource[parkedAttributes, parkedRelationships, parkedLinks, struct{}]

type parkedAttributes struct {
	ParkedAt   timestamp `json:"parked_at"`
	Lane       string    `json:"lane"`
	SecretID   string    `json:"secret_id"`
	Reason     string    `json:"reason"`
	Deliveries *int      `json:"deliveries"` // null when not known

	// What the header says of the message, null where it says nothing that can
	// be shown.
	TypeOf    *string   `json:"type_of"`
	MessageID *string   `json:"message_id"`
	Source    *string   `json:"source"`
	OrgID     *string   `json:"org_id"`
	Trace     *string   `json:"traceparent"`
	CreatedAt timestamp `json:"created_at"`

	// What can be said of the body: its length in bytes, and the kinds of its
	// members, null in lists and for what is no JSON object.
	BodySize    int               `json:"body_size"`
	BodyMembers map[string]string `json:"body_members"`
}

type parkedRelationships struct {
	Secret *toOne `json:"secret,omitempty"` // none when the message is about no secret
}

type parkedLinks struct {
	Self string `json:"self"`
}

func (v view) parked(m *work.Parked) parkedMessage {
	id := strconv.FormatUint(m.ID, 10)
	return parkedMessage{
		ID: id, Type: "parked_messages",
		Attributes: parkedAttributes{
			ParkedAt:    timestamp(m.At),
			Lane:        m.Lane,
			SecretID:    m.Secret,
			Reason:      m.Reason,
			Deliveries:  unlessZero(m.Deliveries),
			TypeOf:      unlessZero(m.Type),
			MessageID:   unlessZero(m.Message),
			Source:      unlessZero(m.Source),
			OrgID:       unlessZero(m.Org),
			Trace:       unlessZero(m.Trace),
			CreatedAt:   timestamp(m.Time),
			BodySize:    m.Size,
			BodyMembers: m.Members,
		},
		Relationships: parkedRelationships{v.secretOfParked(m)},
		Links:         parkedLinks{v.base.to("parked", id)},
	}
}

// secretOfParked names the secret, which may be gone. What has not the form of one
// is not named.
func (v view) secretOfParked(m *work.Parked) *toOne {
	if !secret.ValidID(secret.PrefixSecret, m.Secret) {
		return nil
	}
	return &toOne{
		Links: relatedLinks{Related: v.base.to("secrets", m.Secret)},
		Data:  &identifier{m.Secret, "secrets"},
	}
}

// unlessZero returns a pointer to v, nil when v is zero.
func unlessZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func filterableParked() fields[*work.Parked] {
	return fields[*work.Parked]{
		"lane":      text(func(m *work.Parked) string { return m.Lane }),
		"parked_at": moment(func(m *work.Parked) time.Time { return m.At }),
		"reason":    text(func(m *work.Parked) string { return m.Reason }),
		"secret_id": text(func(m *work.Parked) string { return m.Secret }),
		"type_of":   {text: func(m *work.Parked) (string, bool) { return m.Type, m.Type != "" }},
	}
}

func (d *door) listParked(ctx context.Context, r *request) (reply, error) {
	q, err := filterableParked().strictQuery(r.http.URL.Query())
	if err != nil {
		return reply{}, err
	}
	page, err := d.service.ParkedMessages(ctx, r.caller, q)
	if err != nil {
		return reply{}, err
	}
	return listed(q, page, r.view.parked), nil
}

func (d *door) getParked(ctx context.Context, r *request) (reply, error) {
	m, err := d.service.ParkedMessage(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return found(single[parkedMessage]{r.view.parked(m)}), nil
}

// changeParked is the action requeue. The answer is the message as it was: it is
// gone.
func (d *door) changeParked(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		m, err := d.service.ChangeParked(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return found(single[parkedMessage]{r.view.parked(m)}), nil
	})
}

func (d *door) discardParked(ctx context.Context, r *request) (reply, error) {
	if err := d.service.DiscardParked(ctx, r.caller, r.id); err != nil {
		return reply{}, err
	}
	return gone(), nil
}
