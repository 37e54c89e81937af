package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/rekindle-dev/rekindle/pkg/secret"
	"github.com/rekindle-dev/rekindle/services/api/client"
)

// People say names where the API wants ids. Here names are looked up; what has
// the form of an id is taken as one.

// called is something with a name, and the name as a person chose it.
type called struct{ name, id, more string }

func callCompany(c client.Company) called {
	return called{c.Attributes.Name, c.ID.ID, c.Attributes.OrgID}
}

func callProperty(p client.Property) called { return called{p.Attributes.Name, p.ID.ID, ""} }

func callEnvironment(e client.Environment) called {
	return called{e.Attributes.Name, e.ID.ID, e.Attributes.Stage}
}

func callSecret(s client.Secret) called {
	return called{s.Attributes.Name, s.ID.ID, s.Attributes.TypeOf}
}

// String tells things of the same name apart.
func (c called) String() string {
	return strings.TrimSuffix(fmt.Sprintf("%s (%s, %s", c.name, c.id, c.more), ", ") + ")"
}

// byName returns the one of the candidates that has the name.
func byName[T any](kind, name string, candidates []T, call func(T) called) (T, error) {
	matches := slices.DeleteFunc(slices.Clone(candidates), func(c T) bool { return call(c).name != name })
	switch len(matches) {
	case 0:
		var none T
		return none, &codedError{exitNotFound, fmt.Errorf("there is no %s called %q", kind, name)}
	case 1:
		return matches[0], nil
	default:
		return matches[0], &usageError{fmt.Errorf("more than one %s is called %q; say which by its id: %s", kind, name, names(matches, call))}
	}
}

// only returns the one candidate there is, so that nobody has to name it.
func only[T any](kind, flag string, candidates []T, call func(T) called) (T, error) {
	var none T
	switch len(candidates) {
	case 0:
		return none, &codedError{exitNotFound, fmt.Errorf("there is no %s yet", kind)}
	case 1:
		return candidates[0], nil
	default:
		return none, &usageError{fmt.Errorf("there is more than one %s; say which with %s: %s", kind, flag, names(candidates, call))}
	}
}

// names lists candidates, the first ten of them.
func names[T any](candidates []T, call func(T) called) string {
	const most = 10
	var list []string
	for _, c := range candidates {
		list = append(list, call(c).String())
	}
	slices.Sort(list)
	if n := len(list); n > most {
		list = append(list[:most], fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(list, ", ")
}

// sortByName orders a list as people look for things.
func sortByName[T any](all []T, call func(T) called) {
	slices.SortStableFunc(all, func(a, b T) int { return strings.Compare(call(a).name, call(b).name) })
}

// missing says of an id that nothing has it.
func missing(kind, id string, err error) error {
	if answer, ok := errors.AsType[*client.Error](err); ok && answer.Status == http.StatusNotFound {
		return &codedError{exitNotFound, fmt.Errorf("there is no %s %s", kind, id)}
	}
	return err
}

// companyOf returns the company that is called ref, or the only one.
func (s *session) companyOf(ctx context.Context, ref string) (client.Company, error) {
	all, err := s.client.Companies(ctx)
	if err != nil {
		return client.Company{}, err
	}
	if ref == "" {
		return only("company", "--company", all, callCompany)
	}
	if at := slices.IndexFunc(all, func(c client.Company) bool { return c.ID.ID == ref }); at >= 0 {
		return all[at], nil
	}
	return byName("company", ref, all, callCompany)
}

// properties lists those of all companies.
func (s *session) properties(ctx context.Context, filter client.Filter) ([]client.Property, error) {
	companies, err := s.client.Companies(ctx)
	if err != nil {
		return nil, err
	}
	var all []client.Property
	for _, c := range companies {
		some, err := s.client.Properties(ctx, c.ID.ID, filter)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// propertyOf returns the property that is called ref, or the only one.
func (s *session) propertyOf(ctx context.Context, ref string) (client.Property, error) {
	if secret.ValidID(secret.PrefixProperty, ref) {
		p, err := s.client.Property(ctx, ref)
		return p, missing("property", ref, err)
	}
	all, err := s.properties(ctx, client.Filter{"name": ref})
	if err != nil {
		return client.Property{}, err
	}
	if ref == "" {
		return only("property", "--property", all, callProperty)
	}
	return byName("property", ref, all, callProperty)
}

// environmentOf returns the environment that is called ref.
func (s *session) environmentOf(ctx context.Context, ref string) (client.Environment, error) {
	if secret.ValidID(secret.PrefixEnvironment, ref) {
		e, err := s.client.Environment(ctx, ref)
		return e, missing("environment", ref, err)
	}
	p, err := s.propertyOf(ctx, s.property)
	if err != nil {
		return client.Environment{}, err
	}
	return s.environmentIn(ctx, p.ID.ID, ref)
}

// environmentIn returns the environment of a property that has the name.
func (s *session) environmentIn(ctx context.Context, property, name string) (client.Environment, error) {
	all, err := s.client.Environments(ctx, property, client.Filter{"name": name})
	if err != nil {
		return client.Environment{}, err
	}
	return byName("environment", name, all, callEnvironment)
}

// environmentID returns the id of the environment of a property that is called
// ref, "" for "". The server looks whether an id is right.
func (s *session) environmentID(ctx context.Context, property, ref string) (string, error) {
	if ref == "" || secret.ValidID(secret.PrefixEnvironment, ref) {
		return ref, nil
	}
	e, err := s.environmentIn(ctx, property, ref)
	return e.ID.ID, err
}

// secretOf returns the secret that is called ref.
func (s *session) secretOf(ctx context.Context, ref string) (client.Secret, error) {
	if secret.ValidID(secret.PrefixSecret, ref) {
		found, err := s.client.Secret(ctx, ref)
		return found, missing("secret", ref, err)
	}
	p, err := s.propertyOf(ctx, s.property)
	if err != nil {
		return client.Secret{}, err
	}
	all, err := s.client.Secrets(ctx, p.ID.ID, client.Filter{"name": ref})
	if err != nil {
		return client.Secret{}, err
	}
	return byName("secret", ref, all, callSecret)
}
