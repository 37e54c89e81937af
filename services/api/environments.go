package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// maxPath bounds the path of an environment, in bytes.
const maxPath = 1 << 10

// Environments lists the environments of a property.
func (s *Service) Environments(ctx context.Context, who Caller, property string, q Query[*Environment]) (Page[*Environment], error) {
	if _, err := s.Property(ctx, who, property); err != nil {
		return Page[*Environment]{}, err
	}
	return list(s.view, q, func() (runs[*Environment], error) {
		_, err := s.view.property(who, property)
		return s.view.environments.by(0, property), err
	})
}

// Environment returns an environment, ErrNotFound or ErrUnavailable.
func (s *Service) Environment(ctx context.Context, who Caller, id string) (*Environment, error) {
	return find(ctx, s, keyOf(secret.PrefixEnvironment, id, state.EnvironmentKey), func() (*Environment, error) {
		return s.view.environment(who, id)
	})
}

// environment is Environment for those who hold the lock. Without its property
// an environment is deleted, whatever is left of it.
func (p *projection) environment(who Caller, id string) (*Environment, error) {
	found, ok := p.environments.get(id)
	if !ok {
		return nil, ErrNotFound
	}
	if _, err := p.property(who, found.Property); err != nil {
		return nil, err
	}
	return found, nil
}

// CreateEnvironment makes an environment of the resource data within a
// property. It returns ErrNotFound, a RefusedError or ErrUnavailable.
func (s *Service) CreateEnvironment(ctx context.Context, who Caller, property string, data *Object) (*Environment, error) {
	parent, err := s.Property(ctx, who, property)
	if err != nil {
		return nil, err
	}
	company, err := s.Company(who, parent.Company)
	if err != nil {
		return nil, err
	}
	e, err := readEnvironment(data, parent)
	if err != nil {
		return nil, err
	}
	e.ID, e.Org, e.Property = secret.NewID(secret.PrefixEnvironment), parent.Org, parent.ID
	e.Host, e.Token, e.LibraryPath = parent.Host, newToken(), company.Token+"/"+parent.Token
	e.CreatedAt = s.now()
	e.UpdatedAt = e.CreatedAt
	rev, err := s.createEnvironment(ctx, e)
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return e, nil
}

func readEnvironment(data *Object, parent *Property) (*Environment, error) {
	if err := openResource(data, "environments", InvalidEnvironment); err != nil {
		return nil, err
	}
	a, _ := data.object("attributes")
	a.require("name")
	name, _ := a.text("name", maxName)
	stage, sent := a.oneOf("stage", string(Development), string(Staging), string(Production))
	if !sent {
		stage = string(Development)
	}
	path, _ := a.text("path", maxPath)
	e := &Environment{Name: name, Stage: Stage(stage), Archive: a.flag("archive"), Path: path}
	if host := reference(data, "host", "hosts", secret.PrefixHost); host != "" && host != parent.Host {
		relationships, _ := data.object("relationships")
		relationships.note(NotFound, "host", "there is no such host")
	}
	return e, data.report.err()
}

// createEnvironment stores a new environment, together with the place for its
// stage when a property has only one.
func (s *Service) createEnvironment(ctx context.Context, e *Environment) (state.Revision, error) {
	puts := []put{{state.EnvironmentKey(e.ID), e}}
	if e.Stage.unique() {
		puts = []put{{state.SlotKey(e.Property, string(e.Stage)), e.ID}, puts[0]}
	}
	rev, err := s.commit(ctx, puts...)
	if errors.Is(err, state.ErrConflict) {
		return 0, refuse(Conflict, "/data/attributes/stage",
			fmt.Sprintf("the property already has a %s environment", e.Stage))
	}
	return rev, err
}

// DeleteEnvironment deletes an environment. Its secrets stay, without one. It
// returns ErrNotFound or ErrUnavailable.
func (s *Service) DeleteEnvironment(ctx context.Context, who Caller, id string) error {
	e, err := s.Environment(ctx, who, id)
	if err != nil {
		return err
	}
	rev, err := s.removeEnvironment(ctx, e)
	if err != nil {
		return err
	}
	s.see(ctx, rev)
	return nil
}

// removeEnvironment removes an environment's record and frees its place.
func (s *Service) removeEnvironment(ctx context.Context, e *Environment) (state.Revision, error) {
	return s.remove(ctx, state.EnvironmentKey(e.ID), func() ([]state.Write, error) {
		if !e.Stage.unique() {
			return nil, nil
		}
		key := state.SlotKey(e.Property, string(e.Stage))
		body, rev, err := s.deps.State.Get(ctx, key)
		if errors.Is(err, state.ErrNotFound) {
			return nil, nil
		}
		var holder string
		if err != nil || json.Unmarshal(body, &holder) != nil || holder != e.ID {
			return nil, err
		}
		return []state.Write{{Key: key, Expect: rev}}, nil
	})
}
