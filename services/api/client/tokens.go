package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// Token is an API token, without the token itself.
type Token struct {
	ID
	Source
	Attributes struct {
		CreatedAt      time.Time  `json:"created_at"`
		CreatedByEmail string     `json:"created_by_email"`
		Name           string     `json:"name"`
		OrgID          string     `json:"org_id"`
		Rights         []string   `json:"rights"`
		Status         string     `json:"status"`
		ExpiresAt      *time.Time `json:"expires_at"`
		LastUsedAt     *time.Time `json:"last_used_at"`
		RevokedAt      *time.Time `json:"revoked_at"`
	} `json:"attributes"`
}

// NewToken is what an API token is made of. A zero Expires is never.
type NewToken struct {
	Name    string
	Rights  []string
	Expires time.Time
}

// CreateToken makes an API token, and returns it and its text, which the server
// tells only now.
func (c *Client) CreateToken(ctx context.Context, n NewToken) (made Token, text string, err error) {
	attributes := map[string]any{"name": n.Name, "rights": append([]string{}, n.Rights...)}
	if !n.Expires.IsZero() {
		attributes["expires_at"] = n.Expires.UTC()
	}
	made, err = create[Token](ctx, c, "/tokens", object("tokens", attributes))
	if err != nil {
		return Token{}, "", err
	}
	var told struct {
		Meta struct {
			Token string `json:"token"`
		} `json:"meta"`
	}
	err = json.Unmarshal(made.JSON, &told)
	return made, told.Meta.Token, err
}

// Tokens lists the API tokens of the organisation, newest first.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	return list[Token](ctx, c, "/tokens", nil)
}

// Token returns an API token.
func (c *Client) Token(ctx context.Context, id string) (Token, error) {
	return get[Token](ctx, c, "/tokens/"+url.PathEscape(id))
}

// RevokeToken ends an API token, which stays in the list.
func (c *Client) RevokeToken(ctx context.Context, id string) (Token, error) {
	doc := map[string]any{"id": id, "type": "tokens", "meta": map[string]any{"action": "revoke"}}
	return ask[Token](ctx, c, http.MethodPatch, "/tokens/"+url.PathEscape(id), document[any]{Data: doc})
}

// DeleteToken deletes an API token, which ends it.
func (c *Client) DeleteToken(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/tokens/"+url.PathEscape(id), nil, nil)
}
