package client

import (
	"context"
	"time"
)

// ID is what every resource begins with.
type ID struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// Company is the root of what a token may see.
type Company struct {
	ID
	Attributes struct {
		Name  string `json:"name"`
		OrgID string `json:"org_id"`
	} `json:"attributes"`
}

// Property holds environments and secrets.
type Property struct {
	ID
	Attributes struct {
		Name      string    `json:"name"`
		Platform  string    `json:"platform"`
		CreatedAt time.Time `json:"created_at"`
	} `json:"attributes"`
}

// Environment is where workloads find the values of secrets.
type Environment struct {
	ID
	Attributes struct {
		Name      string    `json:"name"`
		Stage     string    `json:"stage"`
		CreatedAt time.Time `json:"created_at"`
	} `json:"attributes"`
}

// Secret is a secret as the API shows it (contract A7).
type Secret struct {
	ID
	Attributes struct {
		CreatedAt   time.Time      `json:"created_at"`
		UpdatedAt   time.Time      `json:"updated_at"`
		Name        string         `json:"name"`
		TypeOf      string         `json:"type_of"`
		ActivatedAt *time.Time     `json:"activated_at"`
		ExpiresAt   *time.Time     `json:"expires_at"`
		RefreshAt   *time.Time     `json:"refresh_at"`
		Status      string         `json:"status"`
		Credentials map[string]any `json:"credentials"`
	} `json:"attributes"`
	Relationships struct {
		Environment struct {
			Data *ID `json:"data"`
		} `json:"environment"`
	} `json:"relationships"`
	Meta struct {
		StatusDetails        Details `json:"status_details"`
		RefreshStatus        string  `json:"refresh_status"`
		RefreshStatusDetails Details `json:"refresh_status_details"`
	} `json:"meta"`
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

// NewSecret is what a secret is made of. Credentials are sent as they are and
// not kept.
type NewSecret struct {
	Name        string
	TypeOf      string
	Credentials map[string]any
	// Environment is the id of an environment of the property, or empty.
	Environment string
}

// Companies lists the companies the token may see.
func (c *Client) Companies(ctx context.Context) ([]Company, error) {
	return list[Company](ctx, c, "/companies")
}

// CreateProperty makes an edge property, the kind that can hold secrets.
func (c *Client) CreateProperty(ctx context.Context, company, name string) (Property, error) {
	return create[Property](ctx, c, "/companies/"+company+"/properties", resource("properties", map[string]any{"name": name, "platform": "edge"}))
}

// CreateEnvironment makes an environment of the stage.
func (c *Client) CreateEnvironment(ctx context.Context, property, name, stage string) (Environment, error) {
	return create[Environment](ctx, c, "/properties/"+property+"/environments", resource("environments", map[string]any{"name": name, "stage": stage}))
}

// CreateSecret makes a secret, which begins its first exchange.
func (c *Client) CreateSecret(ctx context.Context, property string, s NewSecret) (Secret, error) {
	doc := resource("secrets", map[string]any{"name": s.Name, "type_of": s.TypeOf, "credentials": s.Credentials})
	if s.Environment != "" {
		doc["relationships"] = map[string]any{"environment": map[string]any{"data": ID{s.Environment, "environments"}}}
	}
	return create[Secret](ctx, c, "/properties/"+property+"/secrets", doc)
}

// Secret returns a secret.
func (c *Client) Secret(ctx context.Context, id string) (Secret, error) {
	return get[Secret](ctx, c, "/secrets/"+id)
}

// Secrets lists the secrets of a property.
func (c *Client) Secrets(ctx context.Context, property string) ([]Secret, error) {
	return list[Secret](ctx, c, "/properties/"+property+"/secrets")
}

func resource(kind string, attributes map[string]any) map[string]any {
	return map[string]any{"type": kind, "attributes": attributes}
}
