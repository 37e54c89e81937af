package reactor

import (
	"context"
	"time"

	"github.com/rekindle-dev/rekindle/services/api"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// token is the resource of an API token: an addition to the contract.
type token = resource[tokenAttributes, struct{}, tokenLinks, tokenMeta]

type tokenAttributes struct {
	CreatedAt            timestamp       `json:"created_at"`
	CreatedByEmail       string          `json:"created_by_email"`
	CreatedByDisplayName string          `json:"created_by_display_name"`
	Name                 string          `json:"name"`
	OrgID                string          `json:"org_id"`
	Rights               auth.Rights     `json:"rights"`
	Status               api.TokenStatus `json:"status"`
	ExpiresAt            timestamp       `json:"expires_at"`
	LastUsedAt           timestamp       `json:"last_used_at"`
	RevokedAt            timestamp       `json:"revoked_at"`
}

type tokenLinks struct {
	Self string `json:"self"`
}

// tokenMeta has the token itself, in the answer to its creation and nowhere else.
type tokenMeta struct {
	Token string `json:"token"`
}

func (v view) token(t *api.Token) token {
	return token{
		ID: t.ID, Type: "tokens",
		Attributes: tokenAttributes{
			CreatedAt:            timestamp(t.CreatedAt),
			CreatedByEmail:       t.CreatedBy.Email,
			CreatedByDisplayName: t.CreatedBy.DisplayName,
			Name:                 t.Name,
			OrgID:                t.Org,
			Rights:               append(auth.Rights{}, t.Rights...),
			Status:               t.Status(v.now),
			ExpiresAt:            timestamp(t.ExpiresAt),
			LastUsedAt:           timestamp(t.LastUsedAt),
			RevokedAt:            timestamp(t.RevokedAt),
		},
		Links: tokenLinks{v.base.to("tokens", t.ID)},
	}
}

func filterableTokens(now time.Time) fields[*api.Token] {
	return fields[*api.Token]{
		"created_at": moment(func(t *api.Token) time.Time { return t.CreatedAt }),
		"expires_at": moment(func(t *api.Token) time.Time { return t.ExpiresAt }),
		"name":       text(func(t *api.Token) string { return t.Name }),
		"status":     text(func(t *api.Token) api.TokenStatus { return t.Status(now) }),
	}
}

func (d *door) listTokens(_ context.Context, r *request) (reply, error) {
	q, err := filterableTokens(r.view.now).strictQuery(r.http.URL.Query())
	if err != nil {
		return reply{}, err
	}
	return listed(q, d.service.Tokens(r.caller, q), r.view.token), nil
}

func (d *door) getToken(ctx context.Context, r *request) (reply, error) {
	t, err := d.service.Token(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return found(single[token]{r.view.token(t)}), nil
}

// createToken is the one answer with the token itself.
func (d *door) createToken(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		t, shown, err := d.service.CreateToken(ctx, r.caller, data)
		if err != nil {
			return reply{}, err
		}
		defer shown.Wipe()
		resource := r.view.token(t)
		resource.Meta = &tokenMeta{string(shown.Reveal())}
		return created(single[token]{resource}), nil
	})
}

// changeToken is the action revoke.
func (d *door) changeToken(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		t, err := d.service.ChangeToken(ctx, r.caller, r.id, data)
		if err != nil {
			return reply{}, err
		}
		return found(single[token]{r.view.token(t)}), nil
	})
}

func (d *door) deleteToken(ctx context.Context, r *request) (reply, error) {
	if err := d.service.DeleteToken(ctx, r.caller, r.id); err != nil {
		return reply{}, err
	}
	return gone(), nil
}
