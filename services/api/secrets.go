package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/rekindle-dev/rekindle/events/sealing"
	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// SecretsOfProperty lists the secrets of a property.
func (s *Service) SecretsOfProperty(ctx context.Context, who Caller, id string, q SecretQuery) (Page[*secret.Secret], error) {
	if _, err := s.Property(ctx, who, id); err != nil {
		return Page[*secret.Secret]{}, err
	}
	return s.listSecrets(q, func() (runs[*row], error) {
		_, err := s.view.property(who, id)
		return s.view.secrets.by(byProperty, id), err
	})
}

// SecretsOfEnvironment lists the secrets of an environment.
func (s *Service) SecretsOfEnvironment(ctx context.Context, who Caller, id string, q SecretQuery) (Page[*secret.Secret], error) {
	if _, err := s.Environment(ctx, who, id); err != nil {
		return Page[*secret.Secret]{}, err
	}
	return s.listSecrets(q, func() (runs[*row], error) {
		_, err := s.view.environment(who, id)
		return s.view.secrets.by(byEnvironment, id), err
	})
}

func (s *Service) listSecrets(q SecretQuery, find func() (runs[*row], error)) (Page[*secret.Secret], error) {
	oldestFirst, err := seen(s.view, find)
	if err != nil {
		return Page[*secret.Secret]{}, err
	}
	return s.warnedPage(q.of(oldestFirst, &s.view.rooms)), nil
}

// Secret returns a secret, ErrNotFound or ErrUnavailable. It must not be
// changed.
func (s *Service) Secret(ctx context.Context, who Caller, id string) (*secret.Secret, error) {
	return find(ctx, s, keyOf(secret.PrefixSecret, id, state.SecretKey), func() (*secret.Secret, error) {
		found, ok := s.view.secret(id)
		if !ok {
			return nil, ErrNotFound
		}
		_, err := s.view.property(who, found.Property)
		return s.warned(found), err
	})
}

// CreateSecret makes a secret of the resource data within a property and asks
// for its first exchange, or, if a person has to consent to it, opens a dialog.
// It returns ErrNotFound, a RefusedError, ErrNotReady or ErrUnavailable.
func (s *Service) CreateSecret(ctx context.Context, who Caller, property string, data *Object) (*Changed, error) {
	parent, err := s.Property(ctx, who, property)
	if err != nil {
		return nil, err
	}
	n, hidden, err := s.readSecret(ctx, who, parent, data)
	defer hidden.wipe()
	if err != nil {
		return nil, err
	}
	sealer, err := s.sealer()
	if err != nil {
		return nil, err
	}
	s.begin(ctx, who, n)
	n.Ask(n.CreatedAt)
	credential, err := sealFields(sealer, n, hidden)
	if err != nil {
		return nil, err
	}
	made := &Changed{Secret: n}
	draft := &secret.Draft{Secret: n, Credential: credential}
	if n.Kind.Interactive() {
		if made.Dialog, err = s.openDialog(draft, sealer, who, true); err != nil {
			return nil, err
		}
		n.UpdatedAt = n.CreatedAt // no update, however late the dialog was opened
	}
	rev, err := s.telling(func() deed { return created(who, n, false) }).Create(ctx, draft)
	if err != nil {
		return nil, nameTaken(err, n.Name)
	}
	s.see(ctx, rev)
	return made, nil
}

// created is the deed that makes a secret.
func created(who Caller, n *secret.Secret, imported bool) deed {
	return deed{who: who, verb: audit.Created, of: tellSecret{n}, says: []saying{sayCreated(n, imported)}}
}

// begin gives a new secret its id, and notes who made it.
func (s *Service) begin(ctx context.Context, who Caller, n *secret.Secret) {
	n.ID, n.CredentialGeneration = secret.NewID(secret.PrefixSecret), 1
	n.CreatedAt, n.CreatedBy, n.UpdatedBy = s.now(), who.Actor, who.Actor
	n.UpdatedAt, n.Trace = n.CreatedAt, traceparent(ctx)
}

// nameTaken makes of an error of the store what callers are told.
func nameTaken(err error, name string) error {
	if errors.Is(err, secret.ErrNameTaken) {
		return refuse(NotUnique, "/data/attributes/name", fmt.Sprintf("another secret of this property is called %s", name))
	}
	return unavailable(err)
}

// readSecret reads what a person decides about a secret (contract A8). The
// hidden fields are the caller's to wipe, also when there is an error.
func (s *Service) readSecret(ctx context.Context, who Caller, parent *Property, data *Object) (*secret.Secret, hiddenFields, error) {
	if err := openResource(data, "secrets", InvalidSecret); err != nil {
		return nil, nil, err
	}
	if parent.Platform != Edge {
		return nil, nil, refuse(WrongPlatform, data.pointer, "only properties of the platform edge have secrets")
	}
	a, _ := data.object("attributes")
	a.require("name", "type_of")
	n := &secret.Secret{Org: parent.Org, Property: parent.ID}
	n.Name, _ = a.text("name", maxName)
	kind, known := s.readKind(a)
	n.Kind = kind
	credentials, _ := a.object("credentials")
	hidden := s.readHidden(credentials, kind, sealing.AboutName(n.Property, n.Name))
	if known && !credentials.broken {
		n.Credentials = s.readPublic(credentials, n.Kind)
		if name := kind.Hidden(); name != "" {
			credentials.require(name)
		}
	}
	e, err := s.target(ctx, who, parent, data)
	if err != nil {
		return nil, hidden, err
	}
	if e != nil {
		n.Attach(e.ID, string(e.Stage))
	}
	return n, hidden, data.report.err()
}

// target returns the environment a new secret is to be attached to, nil for
// none. What is wrong with it is noted; the error is ErrUnavailable.
func (s *Service) target(ctx context.Context, who Caller, parent *Property, data *Object) (*Environment, error) {
	const name = "environment"
	id := reference(data, name, "environments", secret.PrefixEnvironment)
	if id == "" {
		return nil, nil
	}
	relationships, _ := data.object("relationships")
	e, err := s.Environment(ctx, who, id)
	switch {
	case errors.Is(err, ErrNotFound):
		relationships.note(NotFound, name, "there is no such environment")
	case err != nil:
		return nil, err
	case e.Property != parent.ID:
		relationships.note(EnvironmentRequired, name, "the environment belongs to another property")
	}
	return e, nil
}

// readKind reads the type of a secret. Those that a person consents to take an
// app that is registered with the provider.
func (s *Service) readKind(a *Object) (secret.Kind, bool) {
	names := make([]string, 0, len(secret.Kinds())+len(s.cfg.Apps))
	for _, k := range secret.Kinds() {
		names = append(names, string(k))
	}
	for _, provider := range slices.Sorted(maps.Keys(s.cfg.Apps)) {
		if k := secret.ProviderKind(provider); !k.Known() {
			names = append(names, string(k))
		}
	}
	name, ok := a.oneOf("type_of", names...)
	if !ok {
		return "", false
	}
	kind := secret.Kind(name)
	if _, registered := s.cfg.Apps[kind.Provider()]; kind.Interactive() && !registered {
		a.fault("type_of", fmt.Sprintf("needs an app that is registered with the provider, and this deployment has none: "+
			"set providers.%s.client_id in its configuration", kind.Provider()))
		return "", false
	}
	return kind, true
}

// DeleteSecret deletes a secret; what the state holds decides. Its name is free at
// once; its artifact and its records go as soon as an exchanger comes to it. It
// returns ErrNotFound, ErrChanged or ErrUnavailable.
func (s *Service) DeleteSecret(ctx context.Context, who Caller, id string) error {
	if _, err := s.Secret(ctx, who, id); err != nil {
		return err
	}
	return s.deleteSecret(ctx, who, id)
}

func (s *Service) deleteSecret(ctx context.Context, who Caller, id string) error {
	now := s.now()
	var changed error
	var gone *secret.Secret
	_, rev, err := s.telling(func() deed {
		return deed{who: who, verb: audit.Deleted, of: tellSecret{gone}, says: []saying{sayDeleted(gone)}}
	}).Update(ctx, id, func(d *secret.Secret) error {
		gone = d
		if !d.DeletedAt.IsZero() {
			return errGone
		}
		if changed = who.IfMatch.admit(SecretTag(d)); changed != nil {
			return changed
		}
		d.Delete(now)
		d.UpdatedBy = who.Actor
		return nil
	})
	switch {
	case changed != nil:
		return changed
	case errors.Is(err, errGone), errors.Is(err, state.ErrNotFound):
		return ErrNotFound
	case err != nil:
		return unavailable(err)
	}
	s.see(ctx, rev)
	return nil
}
