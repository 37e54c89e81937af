package api

import (
	"context"
	"strings"
	"time"

	"github.com/rekindle-dev/rekindle/pkg/secret"
)

// Extension is an extension that is installed in a property (contract A15.2): the
// core extension, in each, and no other. Nothing of it can change, so there is no
// record: all of it follows from the property.
type Extension struct {
	ID, Property string
	// Package is whose delegates it has (contract A16).
	Package   string
	CreatedAt time.Time
}

// ExtensionName begins the ids of all delegates.
const ExtensionName = "core"

// extensionOf is the id of a property's extension: the property's own under
// another prefix.
func extensionOf(property string) string {
	return string(secret.PrefixExtension) + strings.TrimPrefix(property, string(secret.PrefixProperty))
}

// propertyOf is the reverse of extensionOf.
func propertyOf(extension string) string {
	return string(secret.PrefixProperty) + strings.TrimPrefix(extension, string(secret.PrefixExtension))
}

func (p *Property) extension() *Extension {
	e := &Extension{ID: extensionOf(p.ID), Property: p.ID, Package: "@adobe/reactor-extension-core", CreatedAt: p.CreatedAt}
	if p.Platform != Web {
		e.Package += "-" + string(p.Platform)
	}
	return e
}

// Extensions lists the extensions of a property: one.
func (s *Service) Extensions(ctx context.Context, who Caller, property string, q Query[*Extension]) (Page[*Extension], error) {
	p, err := s.Property(ctx, who, property)
	if err != nil {
		return Page[*Extension]{}, err
	}
	return q.of(runs[*Extension]{{p.extension()}}), nil
}

// Extension returns an extension, ErrNotFound or ErrUnavailable.
func (s *Service) Extension(ctx context.Context, who Caller, id string) (*Extension, error) {
	p, err := s.Property(ctx, who, keyOf(secret.PrefixExtension, id, propertyOf))
	if err != nil {
		return nil, err
	}
	return p.extension(), nil
}

// CreateExtension refuses to install one. It returns ErrNotFound, a RefusedError or
// ErrUnavailable.
func (s *Service) CreateExtension(ctx context.Context, who Caller, property string) error {
	if _, err := s.Property(ctx, who, property); err != nil {
		return err
	}
	return refuse(InvalidExtension, "/data", "no extension can be installed: each property has the core extension from the beginning, and there is no other")
}

// ChangeExtension revises an extension: it never changes, so it is its own
// revision. Anything else is refused.
func (s *Service) ChangeExtension(ctx context.Context, who Caller, id string, data *Object) (*Extension, error) {
	found, err := s.Extension(ctx, who, id)
	if err != nil {
		return nil, err
	}
	action, err := readChange(data, "extensions", InvalidExtension, id, Revise)
	if err != nil {
		return nil, err
	}
	if action != Revise {
		return nil, refuse(ReadOnly, "/data", "the core extension cannot be changed; the one action it has is revise")
	}
	return found, nil
}

// CreateRule refuses to make a rule. It returns ErrNotFound, a RefusedError or
// ErrUnavailable.
func (s *Service) CreateRule(ctx context.Context, who Caller, property string) error {
	if _, err := s.Property(ctx, who, property); err != nil {
		return err
	}
	return refuse(InvalidRule, "/data", "no rule can be made here: rules are run by whatever deploys a library, and Rekindle keeps none")
}
