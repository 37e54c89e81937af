package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Import is a secret of another system, and what is to be done with it. What is
// hidden in it is sent as it is and not kept.
type Import struct {
	// Mode is "create", "check" or "take_over"; the last takes a name, and
	// the grant as it is by then.
	Mode string
	// Elsewhere leaves the secret to the system that it comes from until it is taken
	// over.
	Elsewhere bool
	// ExchangeIn is for how long the first exchange is put off, a day at most.
	ExchangeIn time.Duration

	Name        string
	TypeOf      string
	Credentials map[string]json.RawMessage
	// Grant is a consent that was given elsewhere; nil for none.
	Grant map[string]json.RawMessage
	// Environment is the id of an environment of the property, or empty.
	Environment string
}

// Imported is what an import came to.
type Imported struct {
	ID
	Source
	Attributes struct {
		// Result is "new", "created", "exists", "differs" or "taken_over".
		Result         string     `json:"result"`
		ExchangeAt     *time.Time `json:"exchange_at"`
		ElsewhereSince *time.Time `json:"elsewhere_since"`
	} `json:"attributes"`
}

// ImportSecret takes a secret of another system into a property. The same again
// changes nothing.
func (c *Client) ImportSecret(ctx context.Context, property string, i Import) (Imported, error) {
	attributes := map[string]any{"name": i.Name}
	if i.TypeOf != "" {
		attributes["type_of"], attributes["credentials"] = i.TypeOf, i.Credentials
	}
	if i.Grant != nil {
		attributes["grant"] = i.Grant
	}
	doc := object("secrets", attributes)
	attach(doc, i.Environment)
	doc["meta"] = map[string]any{"mode": i.Mode, "elsewhere": i.Elsewhere, "exchange_in": i.ExchangeIn.Seconds()}
	return ask[Imported](ctx, c, http.MethodPost, "/properties/"+property+"/imports", document[any]{Data: doc})
}
