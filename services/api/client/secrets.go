package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Secret is a secret as the API shows it (contract A7).
type Secret struct {
	ID
	Source
	Attributes struct {
		CreatedAt            time.Time      `json:"created_at"`
		UpdatedAt            time.Time      `json:"updated_at"`
		Name                 string         `json:"name"`
		TypeOf               string         `json:"type_of"`
		ActivatedAt          *time.Time     `json:"activated_at"`
		ExpiresAt            *time.Time     `json:"expires_at"`
		RefreshAt            *time.Time     `json:"refresh_at"`
		Status               string         `json:"status"`
		Credentials          map[string]any `json:"credentials"`
		CreatedByDisplayName string         `json:"created_by_display_name"`
		UpdatedByDisplayName string         `json:"updated_by_display_name"`
	} `json:"attributes"`
	Relationships struct {
		Property    Reference `json:"property"`
		Environment struct {
			Reference
			Meta struct {
				Stage string `json:"stage"`
			} `json:"meta"`
		} `json:"environment"`
	} `json:"relationships"`
	Meta SecretMeta `json:"meta"`
}

// SecretMeta tells how exchanges, refreshes and consents went, as far as there
// is something to tell.
type SecretMeta struct {
	StatusDetails        Details `json:"status_details"`
	RefreshStatus        string  `json:"refresh_status"`
	RefreshStatusDetails Details `json:"refresh_status_details"`
	// Warnings are what the exchange that yielded the value noticed and somebody
	// should know, though it is no failure.
	Warnings []Warning `json:"warnings"`

	// NextAttemptAt is when the next exchange begins that nobody has to ask for;
	// nil when there is none.
	NextAttemptAt *time.Time `json:"next_attempt_at"`

	// ElsewhereSince is since when another system keeps the secret fresh.
	ElsewhereSince *time.Time `json:"elsewhere_since"`

	// Where a person consents, and until when: in the answer to a change of an
	// interactive secret only (contract A13).
	AuthorizationURL          string     `json:"authorization_url"`
	AuthorizationURLExpiresAt *time.Time `json:"authorization_url_expires_at"`

	// ReauthorizeBy is when a person must have consented again;
	// AuthorizationRequired that it is time to.
	ReauthorizeBy         *time.Time `json:"reauthorize_by"`
	AuthorizationRequired bool       `json:"authorization_required"`
	// AuthorizationStatusDetails are why the last dialog brought no grant;
	// AuthorizationHeldAt is when another account than before consented, whose
	// grant is held.
	AuthorizationStatusDetails Details    `json:"authorization_status_details"`
	AuthorizationHeldAt        *time.Time `json:"authorization_held_at"`

	// AuthorizedScopes are the scopes that were granted, when they are not those
	// that were asked for.
	AuthorizedScopes []string `json:"authorized_scopes"`

	// TestExchange is what the provider answered to a test: it holds a token.
	// TestWarning is what would keep the answer from being accepted.
	TestExchange json.RawMessage `json:"test_exchange"`
	TestWarning  string          `json:"test_warning"`
}

// Warning is what an exchange noticed: its code is for programs, its detail for
// people.
type Warning struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Details are delayed errors (contract A5.2).
type Details struct {
	Errors []Problem `json:"errors"`
}

// String is the first detail, or "".
func (d Details) String() string {
	if len(d.Errors) == 0 {
		return ""
	}
	return d.Errors[0].Detail
}

// RetryAt is until when the provider asked to be left alone, nil when it did not.
func (d Details) RetryAt() *time.Time {
	if len(d.Errors) == 0 {
		return nil
	}
	return d.Errors[0].Meta.RetryAt
}

// ID tells failures apart; it is "" when there is none.
func (d Details) ID() string {
	if len(d.Errors) == 0 {
		return ""
	}
	return d.Errors[0].ID
}

// NewSecret is what a secret is made of. Credentials are sent as they are and
// not kept.
type NewSecret struct {
	Name        string
	TypeOf      string
	Credentials map[string]any
	// Environment is the id of an environment of the property, or empty.
	Environment string
}

// Change is what is to be changed of a secret; what is not set stays.
type Change struct {
	TypeOf      string // the secret's own, which the API wants repeated
	Name        string
	Credentials map[string]any
	Environment string
}

// Action is what can be asked of a secret (contract A8).
type Action string

// The actions. ActionAccept takes the consent of another account than before,
// which is held until then: whichever that is by now, unless asked with Accept.
const (
	ActionTest        Action = "test"
	ActionRetry       Action = "retry"
	ActionReauthorize Action = "reauthorize"
	ActionAccept      Action = "accept"
)

// CreateSecret makes a secret, which begins its first exchange.
func (c *Client) CreateSecret(ctx context.Context, property string, s NewSecret) (Secret, error) {
	doc := object("secrets", map[string]any{"name": s.Name, "type_of": s.TypeOf, "credentials": s.Credentials})
	attach(doc, s.Environment)
	return create[Secret](ctx, c, "/properties/"+property+"/secrets", doc)
}

// Secret returns a secret.
func (c *Client) Secret(ctx context.Context, id string) (Secret, error) {
	return get[Secret](ctx, c, "/secrets/"+id)
}

// Secrets lists the secrets of a property that the filter selects.
func (c *Client) Secrets(ctx context.Context, property string, filter Filter) ([]Secret, error) {
	return list[Secret](ctx, c, "/properties/"+property+"/secrets", filter)
}

// UpdateSecret changes a secret. New credentials, and an environment where there
// was none, begin an exchange.
func (c *Client) UpdateSecret(ctx context.Context, id string, change Change) (Secret, error) {
	attributes := map[string]any{"type_of": change.TypeOf}
	if change.Name != "" {
		attributes["name"] = change.Name
	}
	if change.Credentials != nil {
		attributes["credentials"] = change.Credentials
	}
	doc := object("secrets", attributes)
	attach(doc, change.Environment)
	return c.patchSecret(ctx, id, doc)
}

// Act asks for an action on a secret of the type.
func (c *Client) Act(ctx context.Context, id, typeOf string, action Action) (Secret, error) {
	return c.act(ctx, id, typeOf, map[string]any{"action": action})
}

// Accept accepts the consent of another account that is held since the moment the
// secret showed. When it is another's by now, the error has the status 409.
func (c *Client) Accept(ctx context.Context, id, typeOf string, heldAt time.Time) (Secret, error) {
	return c.act(ctx, id, typeOf, map[string]any{"action": ActionAccept, "authorization_held_at": heldAt})
}

func (c *Client) act(ctx context.Context, id, typeOf string, meta map[string]any) (Secret, error) {
	doc := object("secrets", map[string]any{"type_of": typeOf})
	doc["meta"] = meta
	return c.patchSecret(ctx, id, doc)
}

func (c *Client) patchSecret(ctx context.Context, id string, doc map[string]any) (Secret, error) {
	doc["id"] = id
	return ask[Secret](ctx, c, http.MethodPatch, "/secrets/"+id, document[any]{Data: doc})
}

// DeleteSecret deletes a secret and what it put into its environment.
func (c *Client) DeleteSecret(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/secrets/"+id, nil, nil)
}

func attach(doc map[string]any, environment string) {
	if environment != "" {
		doc["relationships"] = map[string]any{"environment": map[string]any{"data": ID{environment, "environments"}}}
	}
}
