package api

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/pkg/state"
)

// Bounds of a property's domains.
const (
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
	rev, err := s.commit(ctx, put{state.PropertyKey(p.ID), p})
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
	name, _ := a.text("name", maxName)
	platform, _ := a.oneOf("platform", string(Web), string(Mobile), string(Edge))
	p := &Property{
		Name:        name,
		Platform:    Platform(platform),
		Development: a.flag("development"),
		Domains:     domains(a),
	}
	if p.Platform == Web {
		a.require("domains")
	}
	return p, data.report.err()
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
// returns ErrNotFound or ErrUnavailable.
func (s *Service) DeleteProperty(ctx context.Context, who Caller, id string) error {
	if _, err := s.Property(ctx, who, id); err != nil {
		return err
	}
	rev, err := s.remove(ctx, state.PropertyKey(id), func() ([]state.Write, error) { return nil, nil })
	if err != nil {
		return err
	}
	s.see(ctx, rev)
	return nil
}
