package exchanger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rekindle-dev/rekindle/events"
	"github.com/rekindle-dev/rekindle/pkg/seal"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
	"github.com/rekindle-dev/rekindle/pkg/transfer"
)

// exportPause is between two looks at a secret that somebody is at work on.
const exportPause = 100 * time.Millisecond

// exportSource is the CloudEvents source of what an exporter publishes.
const exportSource = "/rekindle/export"

// ExportDeps is what an Exporter is made of.
type ExportDeps struct {
	State   state.Store
	Events  Events
	Keyring *seal.Keyring
	// To is whom the rows are sealed to.
	To *transfer.Recipient
	// Property is the id of the one property, or empty for all.
	Property string
	// HandOver has another system keep the secrets fresh from now on.
	HandOver bool
	// By is who does it, for the ledger.
	By  string
	Now func() time.Time
	// Steady is that of Deps.
	Steady func() time.Duration
}

// Exporter makes rows of secrets, one at a time: it opens what is hidden of one and
// seals it to the recipient. It stands here because exchangers alone can open.
type Exporter struct {
	ExportDeps
	secrets secret.Store
	vault   secret.Vault
	opener  *seal.Opener
	names   map[string]string // of properties and environments, by key
}

// NewExporter returns an Exporter.
func NewExporter(d ExportDeps) *Exporter {
	if d.Steady == nil {
		d.Steady = always
	}
	return &Exporter{
		ExportDeps: d, secrets: secret.Store{State: d.State}, vault: secret.Vault{State: d.State},
		opener: seal.NewOpener(d.Keyring), names: map[string]string{},
	}
}

// Exported is a secret as it was exported.
type Exported struct {
	transfer.Row
	// Doubt is why the row may be of no use; empty if there is no doubt.
	Doubt string
}

// Run exports what there is when it begins. It holds the ids of all secrets, and one
// secret at a time. An error ends it; to run it again does no harm, and tells of
// everything again.
//
// The order of effects for each: with a hand-over the record says first that another
// system keeps the secret fresh, and the grant is fenced, so that the refresh token
// that is read is the last one. That it was read is announced before it is written:
// a row that nobody got may be in the ledger, and none that somebody got is missing.
func (e *Exporter) Run(ctx context.Context, write func(Exported) error) error {
	ids, err := e.list(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		row, s, err := e.export(ctx, id)
		if errors.Is(err, state.ErrNotFound) {
			continue // it was deleted meanwhile
		}
		if err == nil {
			err = e.announce(ctx, s)
		}
		if err == nil {
			err = write(row)
		}
		if err != nil {
			return fmt.Errorf("export of the secret %s: %w", id, err)
		}
	}
	return nil
}

// list returns the ids of the secrets that are to be exported.
func (e *Exporter) list(ctx context.Context) (ids []string, err error) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	var all bool
	var damaged error
	err = e.State.Follow(ctx, []string{state.SecretKey("*")}, func(c state.Change) {
		var s struct {
			ID       string `json:"id"`
			Property string `json:"property"`
		}
		switch {
		case c.Value == nil || all:
		case json.Unmarshal(c.Value, &s) != nil:
			damaged = fmt.Errorf("record %s is damaged", c.Key)
		case e.Property == "" || s.Property == e.Property:
			ids = append(ids, s.ID)
		}
	}, func() {
		all = true
		done()
	})
	if all {
		err = damaged
	}
	return ids, err
}

// export makes the row of a secret. It returns state.ErrNotFound if it is gone.
func (e *Exporter) export(ctx context.Context, id string) (Exported, *secret.Secret, error) {
	if e.HandOver {
		if err := e.leave(ctx, id); err != nil {
			return Exported{}, nil, err
		}
	}
	for {
		s, _, err := e.secrets.Get(ctx, id)
		if err != nil {
			return Exported{}, nil, err
		}
		if !s.DeletedAt.IsZero() {
			return Exported{}, nil, state.ErrNotFound
		}
		row, err := e.row(ctx, s)
		if !errors.Is(err, errBehind) {
			return row, s, err
		}
		select { // it is being changed
		case <-time.After(exportPause):
		case <-ctx.Done():
			return Exported{}, nil, ctx.Err()
		}
	}
}

// leave has the record say that another system keeps the secret fresh, and waits
// until no exchanger is at work on it. Whoever planned an exchange before that finds
// the grant changed, and plans again.
func (e *Exporter) leave(ctx context.Context, id string) error {
	_, _, err := e.secrets.Update(ctx, id, func(s *secret.Secret) error {
		s.Leave(e.Now())
		return nil
	})
	if err != nil {
		return err
	}
	for {
		g, rev, err := e.vault.Grant(ctx, id)
		if err != nil {
			return err
		}
		left := heldFor(g.Claim, e.Now(), e.Steady())
		if left <= 0 {
			if g.Claim != nil {
				g = over(g, e.Now())
			}
			if _, err = e.vault.PutGrant(ctx, id, g, rev); !errors.Is(err, state.ErrConflict) {
				return err
			}
		}
		select {
		case <-time.After(min(left, exportPause)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// row opens what is hidden of a secret and seals it to the recipient.
func (e *Exporter) row(ctx context.Context, s *secret.Secret) (Exported, error) {
	x := Exported{Row: transfer.Row{Version: transfer.Version, ID: s.ID, Name: s.Name, TypeOf: string(s.Kind)}}
	public, err := json.Marshal(s.Credentials)
	if err == nil {
		err = json.Unmarshal(public, &x.Credentials)
	}
	if err == nil {
		x.Property, err = e.nameOf(ctx, state.PropertyKey(s.Property))
	}
	if err == nil && s.Environment != "" {
		x.Environment, err = e.nameOf(ctx, state.EnvironmentKey(s.Environment))
	}
	if err != nil {
		return x, err
	}
	if s.Kind.Interactive() {
		return x, e.sealConsent(ctx, s, &x)
	}
	return x, e.sealCredential(ctx, s, &x)
}

func (e *Exporter) sealCredential(ctx context.Context, s *secret.Secret, x *Exported) error {
	c, err := e.vault.Credential(ctx, s.ID)
	if err != nil {
		return err
	}
	name := s.Kind.Hidden()
	f, ok := c.Fields[name]
	switch {
	case c.Generation != s.CredentialGeneration:
		return errBehind
	case !ok:
		x.Doubt = "its " + name + " is not stored"
		return nil
	}
	value, err := e.opener.Open(s.Binding(name, f), f.Sealed)
	if err != nil {
		return err
	}
	defer value.Wipe()
	return e.To.SealCredential(&x.Row, value)
}

// sealConsent puts the consent in use into the row, if there is one.
func (e *Exporter) sealConsent(ctx context.Context, s *secret.Secret, x *Exported) error {
	g, _, err := e.vault.Grant(ctx, s.ID)
	if err != nil {
		return err
	}
	if g, err = adopted(ctx, e.vault, s, g); err != nil {
		return err
	}
	use := g.Consent
	if use == nil || len(use.Sealed) == 0 {
		x.Doubt = "nobody has consented to it, or the provider gave no refresh token"
		return nil
	}
	if g.Lost != nil {
		x.Doubt = "the answer to its last refresh was lost: the provider may have replaced the refresh token"
	}
	members := map[string]any{
		"authorized_at": use.AuthorizedAt, "client_id": use.ClientID, "account_fingerprint": use.Account, "scopes": use.Scopes, "extra": use.Extra,
	}
	if !use.EndsAt.IsZero() {
		members["reauthorize_by"] = use.EndsAt
	}
	encoded, err := json.Marshal(members)
	if err == nil {
		err = json.Unmarshal(encoded, &x.Grant)
	}
	if err != nil {
		return err
	}
	for name, value := range x.Grant {
		if string(value) == "null" || string(value) == `""` {
			delete(x.Grant, name)
		}
	}
	token, err := e.opener.Open(seal.Binding{Secret: s.ID, Field: secret.FieldRefreshToken, Generation: use.Generation}, use.Sealed)
	if err != nil {
		return err
	}
	defer token.Wipe()
	return e.To.SealRefreshToken(&x.Row, token)
}

// nameOf returns the name of a property or an environment.
func (e *Exporter) nameOf(ctx context.Context, key string) (string, error) {
	if name, ok := e.names[key]; ok {
		return name, nil
	}
	body, _, err := e.State.Get(ctx, key)
	if errors.Is(err, state.ErrNotFound) {
		_, id := state.Split(key) // it is deleted, and the secret will be, or detached
		return id, nil
	}
	if err != nil {
		return "", err
	}
	var named struct {
		Name string `json:"name"`
	}
	if json.Unmarshal(body, &named) != nil {
		return "", fmt.Errorf("record %s is damaged", key)
	}
	e.names[key] = named.Name
	return named.Name, nil
}

// announce puts it into the ledger that what is hidden of a secret was read.
func (e *Exporter) announce(ctx context.Context, s *secret.Secret) error {
	now := moment(e.Now())
	return e.Events.Publish(ctx, events.Event{
		ID: fmt.Sprintf("%s.exported.%d", s.ID, now.UnixMilli()), Source: exportSource, Org: s.Org, Time: now,
		Data: events.SecretExported{
			Secret: s.ID, Property: s.Property, Environment: s.Environment, Kind: string(s.Kind),
			Recipient: e.To.Key, HandedOver: e.HandOver, By: e.By,
		},
	})
}
