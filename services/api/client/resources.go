package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// ID is what every resource begins with.
type ID struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

// Source is a resource as the server wrote it, with whatever this package does
// not know of.
type Source struct {
	JSON json.RawMessage `json:"-"`
}

func (s *Source) keep(raw json.RawMessage) { s.JSON = raw }

// Reference is a relationship to one resource, or to none.
type Reference struct {
	Data *ID `json:"data"`
}

// ID returns the id of the resource, or "".
func (r Reference) ID() string {
	if r.Data == nil {
		return ""
	}
	return r.Data.ID
}

// Company is the root of what a token may see.
type Company struct {
	ID
	Source
	Attributes struct {
		Name  string `json:"name"`
		OrgID string `json:"org_id"`
	} `json:"attributes"`
}

// Property holds environments and secrets.
type Property struct {
	ID
	Source
	Attributes struct {
		Name      string    `json:"name"`
		Platform  string    `json:"platform"`
		CreatedAt time.Time `json:"created_at"`
	} `json:"attributes"`
	Relationships struct {
		Company Reference `json:"company"`
	} `json:"relationships"`
}

// Environment is where workloads find the values of secrets.
type Environment struct {
	ID
	Source
	Attributes struct {
		Name      string    `json:"name"`
		Stage     string    `json:"stage"`
		CreatedAt time.Time `json:"created_at"`
	} `json:"attributes"`
	Relationships struct {
		Property Reference `json:"property"`
	} `json:"relationships"`
}

// Companies lists the companies the token may see.
func (c *Client) Companies(ctx context.Context) ([]Company, error) {
	return list[Company](ctx, c, "/companies", nil)
}

// CreateProperty makes an edge property, the kind that can hold secrets.
func (c *Client) CreateProperty(ctx context.Context, company, name string) (Property, error) {
	return create[Property](ctx, c, "/companies/"+company+"/properties", object("properties", map[string]any{"name": name, "platform": "edge"}))
}

// Property returns a property.
func (c *Client) Property(ctx context.Context, id string) (Property, error) {
	return get[Property](ctx, c, "/properties/"+id)
}

// Properties lists the properties of a company that the filter selects.
func (c *Client) Properties(ctx context.Context, company string, filter Filter) ([]Property, error) {
	return list[Property](ctx, c, "/companies/"+company+"/properties", filter)
}

// DeleteProperty deletes a property with all beneath it.
func (c *Client) DeleteProperty(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/properties/"+id, nil, nil)
}

// CreateEnvironment makes an environment of the stage.
func (c *Client) CreateEnvironment(ctx context.Context, property, name, stage string) (Environment, error) {
	return create[Environment](ctx, c, "/properties/"+property+"/environments", object("environments", map[string]any{"name": name, "stage": stage}))
}

// Environment returns an environment.
func (c *Client) Environment(ctx context.Context, id string) (Environment, error) {
	return get[Environment](ctx, c, "/environments/"+id)
}

// Environments lists the environments of a property that the filter selects.
func (c *Client) Environments(ctx context.Context, property string, filter Filter) ([]Environment, error) {
	return list[Environment](ctx, c, "/properties/"+property+"/environments", filter)
}

// DeleteEnvironment deletes an environment; its secrets stay, without one.
func (c *Client) DeleteEnvironment(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/environments/"+id, nil, nil)
}

func object(kind string, attributes map[string]any) map[string]any {
	return map[string]any{"type": kind, "attributes": attributes}
}
