package reactor

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api"
)

// secretResource is the resource of contract A7.
type secretResource = resource[secretAttributes, secretRelationships, secretLinks, secretMeta]

type secretAttributes struct {
	CreatedAt            timestamp          `json:"created_at"`
	UpdatedAt            timestamp          `json:"updated_at"`
	Name                 string             `json:"name"`
	TypeOf               secret.Kind        `json:"type_of"`
	ActivatedAt          timestamp          `json:"activated_at"`
	ExpiresAt            timestamp          `json:"expires_at"`
	RefreshAt            timestamp          `json:"refresh_at"`
	Status               secret.Status      `json:"status"`
	Credentials          secret.Credentials `json:"credentials"`
	CreatedByEmail       string             `json:"created_by_email"`
	CreatedByDisplayName string             `json:"created_by_display_name"`
	UpdatedByEmail       string             `json:"updated_by_email"`
	UpdatedByDisplayName string             `json:"updated_by_display_name"`
}

type secretRelationships struct {
	Property     toOne   `json:"property"`
	Environment  toOne   `json:"environment"`
	Notes        related `json:"notes"`
	DataElements related `json:"data_elements"`
	// Timeline is an addition to the contract.
	Timeline related `json:"timeline"`
}

type secretLinks struct {
	Self     string `json:"self"`
	Property string `json:"property"`
}

type secretMeta struct {
	StatusDetails        *errorsDoc    `json:"status_details,omitempty"`
	RefreshStatus        secret.Status `json:"refresh_status,omitempty"`
	RefreshStatusDetails *errorsDoc    `json:"refresh_status_details,omitempty"`
	// NextAttemptAt is when the next exchange begins that nobody has to ask for: an
	// addition to the contract, whose refresh_at stays what it was when attempts
	// have failed.
	NextAttemptAt *timestamp `json:"next_attempt_at,omitempty"`
	// ElsewhereSince is since when another system keeps the secret fresh: an
	// addition to the contract.
	ElsewhereSince *timestamp `json:"elsewhere_since,omitempty"`
	// Warnings are of the exchange that yielded the value in use: an addition to
	// the contract.
	Warnings []warning `json:"warnings,omitempty"`
	*authorizationMeta
	*dialogMeta
	*testMeta
}

// warning is what an exchange noticed that is no failure.
type warning struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// authorizationMeta is about the person whose consent a secret needs: additions
// to the contract (A13).
type authorizationMeta struct {
	// ReauthorizeBy is when somebody has to have consented again.
	ReauthorizeBy *timestamp `json:"reauthorize_by,omitempty"`
	// Required is there from the first announcement on, and when the grant has
	// ended.
	Required bool `json:"authorization_required,omitempty"`
	// Details is why the last dialog brought no grant.
	Details *errorsDoc `json:"authorization_status_details,omitempty"`
	// Scopes are those that were granted, when they are not what is asked for.
	Scopes []string `json:"authorized_scopes,omitempty"`
	// HeldAt is when another account consented, whose grant is held.
	HeldAt *timestamp `json:"authorization_held_at,omitempty"`
}

// dialogMeta is where a person may consent (contract A13), under the names of
// both generations of the contract.
type dialogMeta struct {
	URL      string    `json:"authorization_url"`
	Until    timestamp `json:"authorization_url_expires_at"`
	OldURL   string    `json:"token_url"`
	OldUntil timestamp `json:"token_url_expires_at"`
}

// testMeta is what a test found (contract A8).
type testMeta struct {
	Exchange json.RawMessage `json:"test_exchange"`
	// Warning says what would keep the answer from being accepted: an addition
	// to the contract.
	Warning string `json:"test_warning,omitempty"`
}

func (v view) secret(s *secret.Secret) secretResource {
	below := func(name string) related { return v.base.related("secrets", s.ID, name) }
	return secretResource{
		ID: s.ID, Type: "secrets",
		Attributes: secretAttributes{
			CreatedAt:            timestamp(s.CreatedAt),
			UpdatedAt:            timestamp(s.UpdatedAt),
			Name:                 s.Name,
			TypeOf:               s.Kind,
			ActivatedAt:          timestamp(s.ActivatedAt),
			ExpiresAt:            timestamp(s.ExpiresAt),
			RefreshAt:            timestamp(s.RefreshAt),
			Status:               s.StatusAt(v.now),
			Credentials:          s.Credentials,
			CreatedByEmail:       s.CreatedBy.Email,
			CreatedByDisplayName: s.CreatedBy.DisplayName,
			UpdatedByEmail:       s.UpdatedBy.Email,
			UpdatedByDisplayName: s.UpdatedBy.DisplayName,
		},
		Relationships: secretRelationships{
			Property:     toOne{Links: below("property").Links, Data: &identifier{s.Property, "properties"}},
			Environment:  v.attachment(s),
			Notes:        below("notes"),
			DataElements: below("data_elements"),
			Timeline:     below("timeline"),
		},
		Links: secretLinks{v.base.to("secrets", s.ID), v.base.to("secrets", s.ID, "property")},
		Meta:  v.secretMeta(s),
	}
}

func (v view) attachment(s *secret.Secret) toOne {
	to := toOne{Links: v.base.related("secrets", s.ID, "environment").Links}
	if s.Environment != "" {
		to.Data, to.Meta = &identifier{s.Environment, "environments"}, &stageMeta{s.Stage}
	}
	return to
}

// secretMeta tells how the last exchange and the last refresh went, as far as
// there is something to tell.
func (v view) secretMeta(s *secret.Secret) *secretMeta {
	meta := secretMeta{
		StatusDetails:        delayed(s.StatusDetails),
		RefreshStatus:        s.RefreshState(v.now),
		RefreshStatusDetails: delayed(s.RefreshStatusDetails),
		NextAttemptAt:        known(s.NextAttempt(v.now)),
		ElsewhereSince:       known(s.Elsewhere),
		authorizationMeta:    v.authorization(s),
	}
	for _, w := range s.Warnings {
		meta.Warnings = append(meta.Warnings, warning(w))
	}
	if reflect.ValueOf(meta).IsZero() {
		return nil
	}
	return &meta
}

// authorization tells what concerns the person who consents, nil for nothing.
func (v view) authorization(s *secret.Secret) *authorizationMeta {
	a := s.Authorization
	if a == nil {
		return nil
	}
	meta := authorizationMeta{
		ReauthorizeBy: known(a.ReauthorizeBy), HeldAt: known(a.HeldAt),
		Required: s.ReauthorizationRequired(v.now), Details: delayed(a.Failure),
	}
	if asked := s.Credentials.Scopes; len(asked) > 0 && slices.ContainsFunc(asked, func(scope string) bool { return !slices.Contains(a.Scopes, scope) }) {
		meta.Scopes = a.Scopes
	}
	if reflect.ValueOf(meta).IsZero() {
		return nil
	}
	return &meta
}

// known returns a timestamp, nil for none.
func known(t time.Time) *timestamp {
	if t.IsZero() {
		return nil
	}
	shown := timestamp(t)
	return &shown
}

// changed writes a secret with what is told of it in one answer only.
func (v view) changed(c *api.Changed) single[secretResource] {
	resource := v.secret(c.Secret)
	if resource.Meta == nil && (c.Dialog != nil || c.Test != nil) {
		resource.Meta = new(secretMeta)
	}
	if d := c.Dialog; d != nil {
		resource.Meta.dialogMeta = &dialogMeta{d.URL, timestamp(d.Until), d.URL, timestamp(d.Until)}
	}
	if t := c.Test; t != nil {
		resource.Meta.testMeta = &testMeta{t.Exchange, t.Warning}
	}
	return single[secretResource]{resource}
}

// delayed writes a failure as a delayed error (contract A5.2).
func delayed(f *secret.Failure) *errorsDoc {
	if f == nil {
		return nil
	}
	return &errorsDoc{Errors: []errorObject{{
		ID:     f.ID,
		Code:   "secret-processing-error",
		Title:  "Secret Processing Error",
		Detail: f.Detail,
		Meta:   errorMeta{f.RequestID, known(f.RetryAt)},
	}}}
}

func (d *door) listSecretsOfProperty(ctx context.Context, r *request) (reply, error) {
	return secretsReply(ctx, r, d.service.SecretsOfProperty)
}

func (d *door) listSecretsOfEnvironment(ctx context.Context, r *request) (reply, error) {
	return secretsReply(ctx, r, d.service.SecretsOfEnvironment)
}

// secretsReply answers with a page of one of the two lists of secrets.
func secretsReply(ctx context.Context, r *request, ask func(context.Context, api.Caller, string, api.SecretQuery) (api.Page[*secret.Secret], error)) (reply, error) {
	q := secretQuery(r.http.URL.Query(), r.view.now)
	page, err := ask(ctx, r.caller, r.id, q)
	if err != nil {
		return reply{}, err
	}
	return listed(api.Query[*secret.Secret]{Number: q.Number, Size: q.Size}, page, r.view.secret), nil
}

func (d *door) createSecret(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		s, err := d.once(ctx, r, data, func(who api.Caller) (*api.Changed, error) {
			return d.service.CreateSecret(ctx, who, r.id, data)
		})
		if err != nil {
			return reply{}, err
		}
		return created(r.view.changed(s)).tagged(api.SecretTag(s.Secret)), nil
	})
}

// changeSecret is a PATCH: an action, or an update (contract A8).
func (d *door) changeSecret(ctx context.Context, r *request) (reply, error) {
	return r.withBody(func(data *api.Object) (reply, error) {
		s, err := d.once(ctx, r, data, func(who api.Caller) (*api.Changed, error) {
			return d.service.ChangeSecret(ctx, who, r.id, data)
		})
		if err != nil {
			return reply{}, err
		}
		return found(r.view.changed(s)).tagged(api.SecretTag(s.Secret)), nil
	})
}

func (d *door) getSecret(ctx context.Context, r *request) (reply, error) {
	s, err := d.service.Secret(ctx, r.caller, r.id)
	if err != nil {
		return reply{}, err
	}
	return found(single[secretResource]{r.view.secret(s)}).tagged(api.SecretTag(s)), nil
}

func (d *door) deleteSecret(ctx context.Context, r *request) (reply, error) {
	_, err := d.once(ctx, r, nil, func(who api.Caller) (*api.Changed, error) {
		return nil, d.service.DeleteSecret(ctx, who, r.id)
	})
	if err != nil {
		return reply{}, err
	}
	return gone(), nil
}
