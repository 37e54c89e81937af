package api

import (
	"context"
	"errors"
	"fmt"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api/auth"
)

// errNoTrail: nothing is written down here.
var errNoTrail = fmt.Errorf("%w: there is no audit trail here", ErrNotReady)

// AuditEvents lists what was done in the caller's organisation, what was written down last
// first. It returns ErrNotReady or ErrUnavailable.
func (s *Service) AuditEvents(ctx context.Context, who Caller, q audit.Query) (audit.Result, error) {
	if s.deps.Audit == nil {
		return audit.Result{}, errNoTrail
	}
	found, err := audit.Trail{Log: s.deps.Audit}.List(ctx, who.Org, q)
	return found, unavailable(err)
}

// AuditEvent returns an entry of the audit trail, ErrNotFound, ErrNotReady or
// ErrUnavailable.
func (s *Service) AuditEvent(ctx context.Context, who Caller, id string) (audit.Noted, error) {
	if s.deps.Audit == nil {
		return audit.Noted{}, errNoTrail
	}
	if !secret.ValidID(secret.PrefixAudit, id) {
		return audit.Noted{}, ErrNotFound
	}
	found, err := audit.Trail{Log: s.deps.Audit}.Entry(ctx, who.Org, id)
	if errors.Is(err, audit.ErrNone) {
		return found, ErrNotFound
	}
	return found, unavailable(err)
}

const (
	// auditPages and auditBytes bound one part of the raw trail.
	auditPages = 256
	auditBytes = 8 << 20
)

// AuditPages returns pages of the audit trail as they are stored, in their order, from the
// one with the sequence from; what comes behind the last of them has to be asked for. It
// returns ErrNotReady or ErrUnavailable.
func (s *Service) AuditPages(ctx context.Context, who Caller, from uint64) (pages []audit.Stored, err error) {
	if s.deps.Audit == nil {
		return nil, errNoTrail
	}
	for size := 0; len(pages) < auditPages && size < auditBytes; {
		p, err := s.deps.Audit.Next(ctx, who.Org, from)
		if errors.Is(err, audit.ErrNone) {
			break
		}
		if err != nil {
			return nil, unavailable(err)
		}
		pages, from, size = append(pages, p), p.Sequence+1, size+len(p.Body)
	}
	return pages, nil
}

// nameOfProperty returns what a property is called, "" for one that is gone.
func (s *Service) nameOfProperty(id string) string {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	if p, ok := s.view.properties.get(id); ok {
		return p.Name
	}
	return ""
}

// Shown reports whether there is a resource of the kind, as links name it, that the caller
// may see. What it does not know it does not report.
func (s *Service) Shown(who Caller, kind, id string) bool {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	return s.view.shows(who, kind, id)
}

func (p *projection) shows(who Caller, kind, id string) bool {
	var err error
	switch kind {
	case "companies":
		c, ok := p.companies.get(id)
		return ok && c.Org == who.Org
	case "properties":
		_, err = p.property(who, id)
	case "environments":
		_, err = p.environment(who, id)
	case "hosts":
		_, err = p.host(who, id)
	case "callbacks":
		_, err = p.callback(who, id)
	case "libraries":
		_, err = p.library(who, id)
	case "builds":
		b, ok := p.builds.get(id)
		return ok && p.shows(who, "libraries", b.Library)
	case "data_elements":
		e, ok := p.elements.get(id)
		return ok && p.shows(who, "properties", e.Property)
	case "extensions":
		return p.shows(who, "properties", propertyOf(id))
	case "secrets":
		r, ok := p.secrets.get(id)
		return ok && p.shows(who, "properties", r.facet.Value().property)
	case "notes":
		owner, ok := p.notes.owner(id)
		on, known := notableOf(owner)
		return ok && known && p.shows(who, on.typ, owner)
	case "tokens":
		t, ok := p.tokens.get(id)
		return ok && t.Org == who.Org && who.Rights.Have(auth.ManageTokens)
	default:
		return false
	}
	return err == nil
}
