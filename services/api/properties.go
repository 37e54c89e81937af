package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"github.com/rekindle-dev/rekindle/pkg/audit"
	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Bounds of a property.
const (
	maxPrivacy = 64 // bytes
	maxDomains = 100
	maxDomain  = 253 // bytes of a domain name (RFC 1035, section 2.3.4)
)

// Properties lists the properties of a company.
func (s *Service) Properties(who Caller, company string, q Query[*Property]) (Page[*Property], error) {
	if _, err := s.Company(who, company); err != nil {
		return Page[*Property]{}, err
	}
	return list(s.view, q, func() (runs[*Property], error) { return s.view.properties.by(0, company), nil })
}

// Property returns a property, ErrNotFound or ErrUnavailable.
func (s *Service) Property(ctx context.Context, who Caller, id string) (*Property, error) {
	return find(ctx, s, keyOf(secret.PrefixProperty, id, state.PropertyKey), func() (*Property, error) {
		return s.view.property(who, id)
	})
}

// property is Property for those who hold the lock.
func (p *projection) property(who Caller, id string) (*Property, error) {
	found, ok := p.properties.get(id)
	if !ok || found.Org != who.Org {
		return nil, ErrNotFound
	}
	return found, nil
}

// CreateProperty makes a property of the resource data within a company. It
// returns ErrNotFound, a RefusedError or ErrUnavailable.
func (s *Service) CreateProperty(ctx context.Context, who Caller, company string, data *Object) (*Property, error) {
	parent, err := s.Company(who, company)
	if err != nil {
		return nil, err
	}
	p, err := readProperty(data)
	if err != nil {
		return nil, err
	}
	p.ID, p.Host = secret.NewID(secret.PrefixProperty), secret.NewID(secret.PrefixHost)
	p.Org, p.Company, p.Token = parent.Org, parent.ID, newToken()
	p.CreatedAt = s.now()
	p.UpdatedAt = p.CreatedAt
	rev, err := s.commit(ctx, did(who, audit.Created, p), put{key: state.PropertyKey(p.ID), record: p}, put{key: state.HostKey(p.Host), record: defaultHost(p)})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return p, nil
}

func readProperty(data *Object) (*Property, error) {
	if err := openResource(data, "properties", InvalidProperty); err != nil {
		return nil, err
	}
	a, _ := data.object("attributes")
	a.require("name", "platform")
	p := new(Property)
	p.readAttributes(a)
	platform, _ := a.oneOf("platform", string(Web), string(Mobile), string(Edge))
	p.Platform = Platform(platform)
	if p.Platform == Web {
		a.require("domains")
	}
	return p, data.report.err()
}

// readAttributes puts the attributes that were sent over those there are, but for
// those that are given once. What is wrong with them is noted.
func (p *Property) readAttributes(a *Object) {
	if name, sent := a.text("name", maxName); sent {
		p.Name = name
	}
	a.decode("development", &p.Development, "true or false")
	if names := domains(a); names != nil {
		p.Domains = names
	}
	if privacy, sent := a.text("privacy", maxPrivacy); sent {
		p.Privacy = privacy
	}
	a.switched("rule_component_sequencing_enabled", &p.RuleComponentSequencing)
	a.switched("ssl_enabled", &p.SSL)
	a.switched("undefined_vars_return_empty", &p.UndefinedVarsReturnEmpty)
}

// ChangeProperty changes what the resource data names and keeps what it does not. It
// returns ErrNotFound, a RefusedError, ErrChanged or ErrUnavailable.
func (s *Service) ChangeProperty(ctx context.Context, who Caller, id string, data *Object) (*Property, error) {
	if _, err := s.Property(ctx, who, id); err != nil {
		return nil, err
	}
	if err := openChange(data, "properties", id, InvalidProperty); err != nil {
		return nil, err
	}
	a, now, noted := data.attributes(), s.now(), len(data.report.problems)
	changed, rev, err := amend(ctx, s, did(who, audit.Updated, nil), state.PropertyKey(id), func(p *Property) error {
		data.report.problems = data.report.problems[:noted] // of an earlier run
		before := p.Tag()
		a.keep("name")
		a.final("platform", string(p.Platform))
		p.readAttributes(a)
		switch err := cmp.Or(who.IfMatch.admit(before), data.report.err()); {
		case err != nil:
			return err
		case p.Tag() == before:
			return errUnchanged
		}
		p.UpdatedAt = now
		return nil
	})
	if err != nil {
		return nil, err
	}
	s.see(ctx, rev)
	return changed, nil
}

func domains(a *Object) []string {
	var list []json.RawMessage
	if !a.decode("domains", &list, "a list of domain names") {
		return nil
	}
	if len(list) == 0 || len(list) > maxDomains {
		a.fault("domains", fmt.Sprintf("must have 1 to %d members", maxDomains))
		return nil
	}
	names := make([]string, len(list))
	for i, raw := range list {
		if json.Unmarshal(raw, &names[i]) != nil || lineProblem(names[i], maxDomain) != "" {
			a.fault("domains", fmt.Sprintf("must be domain names of at most %d bytes", maxDomain))
			return nil
		}
	}
	return names
}

// DeleteProperty deletes a property and, from that moment, all beneath it. It
// returns ErrNotFound, ErrChanged or ErrUnavailable.
func (s *Service) DeleteProperty(ctx context.Context, who Caller, id string) error {
	if _, err := s.Property(ctx, who, id); err != nil {
		return err
	}
	rev, err := remove(ctx, s, who, state.PropertyKey(id), func(p *Property, _ state.Revision) ([]state.Write, error) {
		return nil, who.IfMatch.admit(p.Tag())
	})
	if err != nil {
		return err
	}
	s.see(ctx, rev)
	return nil
}
