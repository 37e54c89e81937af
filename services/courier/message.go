package courier

import (
	"encoding/json"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/webhook"
)

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
	entity, err := e.EntityDocument()
	if err != nil {
		return nil, err
	}
	m := message{
		Data: messageData{
			ID: e.ID, Type: "audit_events",
			Attributes: messageAttributes{e.At.UTC().Format(timeLayout), e.Entity.Name, string(entity), e.Type()},
			Relationships: map[string]messageRelation{
				"entity":   {messageIdentifier{e.Entity.ID, e.EntityType()}},
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
